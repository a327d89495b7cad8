"""A model is lent: what it was before is what it is afterwards, whatever happens in between."""

import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(*models: nn.Module, training: bool) -> Iterator[None]:
    """Lend models for measuring, in eager mode, full precision and without gradients of their own.

    Afterwards every module's attributes, hooks, mode and buffers, every parameter's `grad` and
    `requires_grad`, and the global generators of torch, CUDA, numpy and python are as before.
    `training` is the mode of every submodule meanwhile.
    """
    modules = list(dict.fromkeys(module for model in models for module in model.modules()))
    parameters = list(dict.fromkeys(p for module in modules for p in module.parameters(False)))
    buffers = list(dict.fromkeys(b for module in modules for b in module.buffers(False)))
    attributes = [_attributes(module) for module in modules]
    values = [buffer.detach().clone() for buffer in buffers]
    grads = [(p.grad, p.requires_grad) for p in parameters]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    devices = {p.device.type for p in (*parameters, *buffers)}
    cuda = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with (
            torch.random.fork_rng(cuda),
            torch.inference_mode(False),
            torch.enable_grad(),
            _full_precision(devices),
            _eager(),
        ):
            torch.backends.mha.set_fastpath_enabled(False)  # it is not what trains
            for p in parameters:
                p.grad = None
            for module in modules:
                module.training = training  # not by `train`, which may do more
                if isinstance(module, nn.RNNBase) and not training:
                    # evaluation mode in effect: cuDNN's has no backward pass
                    module.training, module.dropout = True, 0.0
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        for module, kept in zip(modules, attributes, strict=True):
            _restore(module, *kept)
        for buffer, value in zip(buffers, values, strict=True):
            if not torch.equal(buffer, value):
                with torch.no_grad():
                    buffer.copy_(value)
        for p, (grad, required) in zip(parameters, grads, strict=True):
            p.grad = grad
            p.requires_grad_(required)


@contextmanager
def _full_precision(devices: set[str]) -> Iterator[None]:
    """Switch autocast off: finite differences drown in half precision."""
    kinds = [kind for kind in devices if torch.amp.is_autocast_available(kind)]
    if not kinds:
        yield
        return
    with torch.autocast(kinds[0], enabled=False), _full_precision(set(kinds[1:])):
        yield


def _eager() -> AbstractContextManager[Any]:
    """Run what is compiled as it was written: a compiled model ignores hooks that come later."""
    compiling = "torch._dynamo" in sys.modules  # importing it takes seconds
    return torch.compiler.set_stance("force_eager") if compiling else nullcontext()


def _attributes(module: nn.Module) -> tuple[dict[str, Any], dict[str, dict]]:
    """Return a module's attributes, and what is in those that are dictionaries: hooks, buffers."""
    own = dict(vars(module))
    return own, {name: value.copy() for name, value in own.items() if isinstance(value, dict)}


def _restore(module: nn.Module, own: dict[str, Any], contents: dict[str, dict]) -> None:
    vars(module).clear()
    vars(module).update(own)
    for name, content in contents.items():
        own[name].clear()
        own[name].update(content)


def reseed() -> None:
    """Start torch's global generators anew: passes draw the same numbers, as dropout does."""
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)

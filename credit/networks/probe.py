"""A torch module tried on zeros and noise, before anything is trained with it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from credit.errors import CreditError
from credit.networks.base import Layer, Shape
from credit.networks.forms import form_of
from credit.networks.module import PROBED, seeded


def probe(name: str, make: Callable[[], nn.Module], shape: Shape) -> Shape:
    """Return `shape` with the forms of the network's hidden states.

    Raises:
        CreditError: the module has not the parts it needs, draws random numbers when called,
            changes its buffers, or returns other than logits.
    """
    module = seeded(make, 0)
    missing = [part for part in ("embed", "blocks", "head") if not hasattr(module, part)]
    if missing:
        _refuse(name, f"has no {missing[0]}", "return a module with embed, blocks and head")
    if len(module.blocks) != shape.depth:
        count = len(module.blocks)
        _refuse(name, f"has {count} blocks for depth={shape.depth}", f"pass --depth {count}")
    _check_parameters(name, module)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(PROBED, *shape.image, generator=generator)
        before = {key: buffer.clone() for key, buffer in module.named_buffers()}
        layers, logits = _forms(name, module, x)
        _, again = _forms(name, module, x)
    for key, buffer in module.named_buffers():
        if not torch.equal(before[key], buffer):
            _refuse(
                name,
                f"changes its buffer {key} when called",
                "BatchNorm takes track_running_stats=False",
            )
    if not torch.equal(logits, again):
        _refuse(name, "draws random numbers when called", "leave dropout out, or set it to 0")
    if tuple(logits.shape) != (PROBED, shape.classes):
        _refuse(
            name,
            f"returns {tuple(logits.shape)} for {PROBED} samples",
            f"return logits ({PROBED}, {shape.classes})",
        )
    return shape._replace(layers=tuple(layers))


def _forms(name: str, module: Any, x: Tensor) -> tuple[list[Layer], Tensor]:
    state, layers = x, []
    parts = [module.embed, *module.blocks]
    for index, part in enumerate(parts):
        where = f"blocks.{index - 1}" if index else "embed"
        state = _called(name, where, part, state)
        if state.dim() not in (2, 3, 4):
            raise CreditError(
                f"{where} of network {name!r} returns {tuple(state.shape)}: return (N, d), "
                "(N, T, d) or (N, C, H, W)"
            )
        layers.append(form_of(state))
    return layers, _called(name, "head", module.head, state)


def _called(name: str, where: str, part: nn.Module, state: Tensor) -> Tensor:
    try:
        out = part(state)
    except Exception as error:  # the user's code: anything may come
        cause = " ".join(str(error).split())[:200]
        raise CreditError(
            f"{where} of network {name!r} fails on {tuple(state.shape)}: {type(error).__name__}: "
            f"{cause}"
        ) from error
    if not isinstance(out, Tensor) or not out.is_floating_point():
        _refuse(name, f"has a {type(out).__name__} from {where}", "return one tensor of floats")
    return out


def _check_parameters(name: str, module: nn.Module) -> None:
    """See that every parameter is in one part, and in no other."""
    names: dict[int, str] = {}
    for full, parameter in module.named_parameters():
        if not parameter.requires_grad:
            _refuse(name, f"has {full}, which takes no gradient", "make it a buffer, or trainable")
    for full, parameter in module.named_parameters(remove_duplicate=False):
        if full.partition(".")[0] not in ("embed", "blocks", "head"):
            _refuse(name, f"has {full} outside embed, blocks and head", "move it into one of them")
        if (other := names.setdefault(id(parameter), full)) != full:
            _refuse(name, f"shares {full} with {other}", "give each its own parameter")


def _refuse(name: str, what: str, remedy: str) -> None:
    raise CreditError(f"network {name!r} {what}: {remedy}")

"""Passes through a model: hidden states with their gradients, and losses past a changed one.

All is done by hooks. N samples of a micro-batch; a hidden state has any shape (N, ...).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from credit.diagnosis.layers import Layer
from credit.diagnosis.untouched import reseed
from credit.errors import CreditError

Inputs = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]
Forward = Callable[[nn.Module, Any, Any], Tensor]
"""(model, x, y) -> output, on a micro-batch."""
Loss = Callable[[Tensor, Any], Tensor]
"""(output, y) -> the loss of each sample, (N,)."""


@dataclass
class Seen:
    """One micro-batch in a model; hidden states, output and losses are parts of one graph."""

    x: Any
    y: Any
    hiddens: list[Tensor]
    raw: list[Any]
    """What the layers return, without the graph: tensors, or tuples with one."""
    output: Tensor
    losses: Tensor  # (N,)

    def grads(self, keep: bool) -> list[Tensor | None]:
        """Return the gradient of each sample's loss by every hidden state; may `keep` the graph."""
        loss = self.losses.sum()
        if not loss.requires_grad:
            return [None] * len(self.hiddens)
        return list(torch.autograd.grad(loss, self.hiddens, retain_graph=keep, allow_unused=True))


@dataclass(frozen=True)
class Passes:
    """A model that is run on micro-batches and watched at its layers."""

    model: nn.Module
    layers: Sequence[Layer]
    forward: Forward
    loss: Loss
    training: bool
    as_it_is: bool = False
    """Leave the outputs of layers alone: for backward passes that hang on them."""

    def see(self, x: Any, y: Any) -> Seen:
        """Run the model; return what its layers, its output and its losses are.

        Raises CreditError where a layer is not called once, in the order of the list, or gives no
        hidden state, or output or losses are not what they must be.
        """
        n, calls = samples(x), []
        hiddens: dict[int, Tensor] = {}
        raw: dict[int, Any] = {}
        versions: dict[int, int] = {}

        def watch(index: int, output: Any) -> Any:
            calls.append(index)
            h = hiddens[index] = _hidden(output, self.layers[index][0], n)
            raw[index] = mapped(output, torch.detach)
            versions[index] = h._version
            if h.requires_grad and self.as_it_is:
                return None
            if not h.requires_grad or index == 0:  # nothing below the first one is asked for
                h = hiddens[index] = h.detach().requires_grad_()
            with torch.enable_grad():
                return replaced(output, h.clone())  # what follows may change it in place

        with _hooked(self.layers, watch):
            output = self._run(x, y)
        self._check_calls(calls)
        for index, (name, _) in enumerate(self.layers):
            if self.as_it_is and hiddens[index]._version != versions[index]:
                raise CreditError(f"output of layer {name} is changed in place: name what does it")
        losses = self._losses(output, y, n)
        order = range(len(self.layers))
        return Seen(x, y, [hiddens[i] for i in order], [raw[i] for i in order], output, losses)

    @torch.no_grad()
    def losses_from(self, seen: Seen, layer: int, h: Tensor) -> Tensor:
        """Return each sample's loss where the hidden state of a layer is h (N, ...), float64 (N,).

        In training mode the layers below are computed again, for their share of random numbers.
        """

        def put(index: int, output: Any) -> Any:
            known = mapped(seen.raw[index], torch.clone)
            return replaced(known, h.clone()) if index == layer else known

        above = self.layers[: layer + 1]
        with _hooked(above, put), _skipped([] if self.training else above, seen.raw):
            output = self._run(seen.x, seen.y)
        return self._losses(output, seen.y, len(h)).double()

    def _run(self, x: Any, y: Any) -> Tensor:
        reseed()
        output = self.forward(self.model, mapped(x, torch.clone), y)  # it may change it in place
        if not isinstance(output, Tensor):
            raise CreditError(
                f"output of the model is {type(output).__name__}, not a tensor: "
                "pass forward=lambda model, x, y: ..., which returns one"
            )
        return output

    def _losses(self, output: Tensor, y: Any, n: int) -> Tensor:
        losses = self.loss(output, y)
        if not isinstance(losses, Tensor) or losses.shape != (n,):
            shape = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise CreditError(
                f"loss of {n} samples has shape {shape}, not ({n},): "
                'return one number per sample, with reduction="none"'
            )
        return losses

    def _check_calls(self, calls: list[int]) -> None:
        for index, (name, _) in enumerate(self.layers):
            if (count := calls.count(index)) != 1:
                raise CreditError(
                    f"layer {name} is called {count} times in a forward pass: "
                    "pass layers= that are called once"
                )
        if calls != sorted(calls):
            names = ", ".join(self.layers[index][0] for index in calls)
            raise CreditError(f"layers are called in another order: pass layers= as {names}")


@contextmanager
def _hooked(layers: Sequence[Layer], hook: Callable[[int, Any], Any]) -> Iterator[None]:
    """Show outputs of layers to a hook, which may return others."""
    handles = [
        module.register_forward_hook(lambda _module, _args, output, i=index: hook(i, output))
        for index, (_, module) in enumerate(layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _skipped(layers: Sequence[Layer], outputs: Sequence[Any]) -> Iterator[None]:
    """Let layers return known outputs at no cost."""
    before = [vars(module).get("forward") for _, module in layers]
    try:
        for (_, module), output in zip(layers, outputs, strict=False):
            vars(module)["forward"] = lambda *_args, known=output, **_more: known
        yield
    finally:
        for (_, module), forward in zip(layers, before, strict=True):
            vars(module).pop("forward", None)
            if forward is not None:
                vars(module)["forward"] = forward


def _hidden(output: Any, name: str, n: int) -> Tensor:
    """Return the first tensor of a layer's output; refuse what is no hidden state of n samples."""
    h = next(tensors(output), None)
    if h is None:
        raise CreditError(f"layer {name} returns {type(output).__name__} without a tensor")
    if not h.is_floating_point():
        raise CreditError(f"layer {name} returns {h.dtype}: name a layer with floating numbers")
    if h.dim() < 2 or len(h) != n:
        raise CreditError(
            f"layer {name} returns shape {tuple(h.shape)} for {n} samples: "
            "a hidden state is (samples, ...), batch first"
        )
    if not bool(h.detach().isfinite().all()):
        raise CreditError(f"layer {name} returns nan or inf: check x, or take earlier weights")
    return h


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a tensor, or of tuples, lists and dictionaries of them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from tensors(part)


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return the same with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return type(value)(**{key: mapped(part, change) for key, part in value.items()})
    if isinstance(value, list | tuple):
        parts = [mapped(part, change) for part in value]
        return value._make(parts) if hasattr(value, "_make") else type(value)(parts)  # type: ignore
    return value


def replaced(output: Any, h: Tensor) -> Any:
    """Return a layer's output with its first tensor replaced."""
    first = next(tensors(output))
    return mapped(output, lambda tensor: h if tensor is first else tensor)


def samples(x: Any) -> int:
    """Return how many samples an input has: the first dimension of its first tensor."""
    first = next(tensors(x), None)
    if first is None or first.dim() == 0:
        raise CreditError("x has no samples: pass a tensor, or a tuple or dictionary of them")
    return len(first)

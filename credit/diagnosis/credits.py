"""The credit that is audited, one list of tensors per micro-batch, wherever it comes from."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from credit.diagnosis.layers import Layer, counterparts
from credit.diagnosis.passes import Passes, Seen
from credit.diagnosis.rules import RuleCredit
from credit.errors import CreditError
from credit.rules import Rule

CreditFunction = Callable[[list[Tensor], Tensor, Any], Sequence[Tensor]]
"""(hiddens, logits, y) -> one credit per hidden state, of its shape."""
CreditOf = Callable[[Seen, list[Tensor], slice], list[Tensor]]
"""(micro-batch, its exact gradients, where it stands among all samples) -> a_0 ... a_L."""
SAME = 1e-3
"""Relative difference up to which two models compute the same: convolutions round differently."""


def credit_of(credit: Any, model: nn.Module, passes: Passes, n: int, seed: int) -> CreditOf | None:
    """Return what gives the credit of each micro-batch; None where there is none to audit.

    Args:
        model: whose own backward pass is the credit, if `credit` is "backward".
        passes: through the network that is the reference.
        n: samples in all.
        seed: of what a rule draws.
    """
    if credit is None:
        return None
    if isinstance(credit, str) and credit == "backward":
        return _backward(model, passes)
    if isinstance(credit, str | Rule):
        rule = RuleCredit(credit, seed)
        return lambda seen, grads, _: _checked(rule(seen, grads), seen, passes.layers)
    if callable(credit):
        return lambda seen, _grads, _where: _checked(
            credit(seen.hiddens, seen.output, seen.y), seen, passes.layers
        )
    if isinstance(credit, list | tuple):
        for given in credit:
            if isinstance(given, Tensor) and given.dim() and len(given) != n:
                raise CreditError(f"credit of shape {tuple(given.shape)} for {n} samples")
        return lambda seen, _, where: _checked([a[where] for a in credit], seen, passes.layers)
    raise CreditError(
        f"credit={credit!r}: pass tensors, a function (hiddens, logits, y), a rule or its name, or "
        '"backward"'
    )


def _backward(model: nn.Module, passes: Passes) -> CreditOf:
    """Return what arrives at the hidden states in a model's own backward pass."""
    layers = counterparts(model, passes.layers)
    own = Passes(model, layers, passes.forward, passes.loss, passes.training, as_it_is=True)

    def arrives(reference: Seen, _grads: list[Tensor], _where: slice) -> list[Tensor]:
        seen = own.see(reference.x, reference.y)
        names = [*(f"layer {name}" for name, _ in layers), "the last layer"]
        own_outputs, outputs = [*seen.hiddens, seen.output], [*reference.hiddens, reference.output]
        for name, a, b in zip(names, own_outputs, outputs, strict=True):
            a, b = a.detach(), b.detach()
            if a.shape != b.shape or float((a - b).abs().max()) > SAME * float(b.abs().max()):
                raise CreditError(
                    f"model and reference differ in the output of {name}: "
                    "copy the model's weights into the reference"
                )
        return _checked(seen.grads(keep=False), seen, layers)

    return arrives


def _checked(credits: Any, seen: Seen, layers: Sequence[Layer]) -> list[Tensor]:
    """Return credits without graph: one finite tensor per hidden state, in its shape."""
    names = [name for name, _ in layers]
    if not isinstance(credits, list | tuple) or len(credits) != len(names):
        count = len(credits) if isinstance(credits, list | tuple) else type(credits).__name__
        raise CreditError(f"credit: {count}, not {len(names)} tensors, one for {', '.join(names)}")
    found = []
    for name, a, h in zip(names, credits, seen.hiddens, strict=True):
        if a is None:
            raise CreditError(f"no credit arrives at layer {name}: it has no part in the loss")
        if not isinstance(a, Tensor) or a.shape != h.shape:
            shape = tuple(a.shape) if isinstance(a, Tensor) else type(a).__name__
            raise CreditError(
                f"credit for layer {name} has shape {shape}: its hidden state has {tuple(h.shape)}"
            )
        if not bool(a.isfinite().all()):
            raise CreditError(f"credit for layer {name} is nan or inf: pass finite numbers")
        found.append(a.detach().to(h))
    return found

"""Credit rules of the bench on any network: those that need no weights and learn nothing."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from credit import rules
from credit.diagnosis.passes import Seen, tensors
from credit.errors import CreditError
from credit.networks.arithmetic import output_error
from credit.networks.base import Shape
from credit.networks.forms import flat, folded, form_of
from credit.randomness import generator
from credit.rules import Rule, State, Trace
from credit.spec import RunSpec


class RuleCredit:
    """A rule's credit, folded into the shapes of the hidden states."""

    def __init__(self, rule: Rule | str, seed: int) -> None:
        self.name = rule if isinstance(rule, str) else type(rule).__name__
        self.rule = rules.get(rule) if isinstance(rule, str) else rule
        self.spec = RunSpec(seed=seed)
        self.noise = generator(seed, "noise")
        self.state: State | None = None
        for fact in ("reads_weights", "reads_input", "follows", "learned"):
            if getattr(self.rule, fact):
                raise CreditError(
                    f"rule {self.name!r} needs more of a network than its hidden states and "
                    f"output ({fact}): pass its credit as a function (hiddens, logits, y)"
                )

    def __call__(self, seen: Seen, grads: list[Tensor]) -> list[Tensor]:
        """Return a_0 … a_L, each (N, ...), of a micro-batch; refuse networks that do not suit."""
        logits, y = seen.output.detach(), seen.y
        if logits.dim() != 2 or not isinstance(y, Tensor) or y.shape != logits.shape[:1]:
            raise CreditError(
                f"rule {self.name!r} is for logits (N, C) and labels (N,), "
                f"not an output of shape {tuple(logits.shape)}: pass credit as a function"
            )
        if len(seen.hiddens) < 2:
            raise CreditError(f"rule {self.name!r} needs two layers at least: pass more layers=")
        hiddens = [h.detach() for h in seen.hiddens]
        shape = _shape(seen, hiddens)
        if self.state is None:
            self.rule.check(self.spec, shape)
            self.state = self.rule.init(self.spec, shape, generator(self.spec.seed, "feedback"))
        known = [flat(g) for g in grads]
        network: Any = SimpleNamespace(shape=shape)  # all that the rule may know of it
        trace = Trace(
            hiddens=[flat(h) for h in hiddens],
            logits=logits,
            labels=y,
            error=output_error(logits, y),
            grad_out=known[-1],
            hidden_grads=known if self.rule.reads_hidden_grads else [],
            weights={},
            inputs=logits.new_zeros(len(logits), 0),
            noise=_like(self.rule.noise(shape, len(logits), self.noise), logits),
            network=network,
        )
        found = self.rule.credit(_like(self.state, logits), trace)
        if [a.shape for a in found] != [h.shape for h in trace.hiddens]:
            shapes = [tuple(a.shape) for a in found]
            raise CreditError(f"rule {self.name!r} returns {shapes}: it does not suit the network")
        return [folded(a, layer) for a, layer in zip(found, shape.layers, strict=True)]


def _shape(seen: Seen, hiddens: list[Tensor]) -> Shape:
    """Return the dimensions of a network, as rules of the bench have them."""
    layers = tuple(map(form_of, hiddens))
    first = next(tensors(seen.x))
    inputs, classes = first[0].numel(), seen.output.shape[-1]
    return Shape(inputs, layers[0].units, classes, len(layers) - 1, layers)


def _like(state: State, logits: Tensor) -> State:
    """Return a state on the device of a tensor, float32 in its precision."""
    return {
        name: value.to(logits.device, logits.dtype if value.dtype == torch.float32 else value.dtype)
        for name, value in state.items()
    }

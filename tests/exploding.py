"""Rules from outside the package that misbehave, and harmless ones like them."""

import torch
from torch import Tensor

from credit.rules import Rule, State, Trace


class Exploding(Rule):
    """Every credit is infinite."""

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        return [torch.full_like(h, float("inf")) for h in trace.hiddens]


class Harmless(Rule):
    """Every credit is one."""

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        return [torch.ones_like(h) for h in trace.hiddens]


class Failing(Rule):
    """Gives no credit: it fails."""

    def credit(self, state, trace):
        raise ZeroDivisionError("no credit today")


class Estimating(Rule):
    """Carries a state whose size depends on the spec, and whose `init` looks at its numbers."""

    def init(self, spec, shape, generator):
        weight = torch.randn(shape.depth, shape.width, spec.directions, generator=generator)
        return {"weight": weight / weight.abs().max().item(), "count": torch.zeros(())}

    def credit(self, state, trace):
        return [trace.grad_out for _ in trace.hiddens]

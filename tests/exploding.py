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


class Solving(Rule):
    """Solves equations, which a GPU checks on the CPU."""

    def credit(self, state, trace):
        gram = trace.grad_out.mT @ trace.grad_out + torch.eye(trace.shape.width).to(trace.grad_out)
        return [torch.linalg.solve(gram, h.mT).mT for h in trace.hiddens]


class Reading(Rule):
    """Reads a number of what it has drawn."""

    def noise(self, shape, samples, generator):
        return {"scale": torch.rand(3, generator=generator)}

    def credit(self, state, trace):
        return [h * trace.noise["scale"].max().item() for h in trace.hiddens]


class Masking(Reading):
    """Chooses among what it has drawn."""

    def credit(self, state, trace):
        scale = trace.noise["scale"]
        return [h * scale[scale >= scale.max()].sum() for h in trace.hiddens]

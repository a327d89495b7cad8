"""Rules from outside the package: one whose credit is not finite, and a harmless one like it."""

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

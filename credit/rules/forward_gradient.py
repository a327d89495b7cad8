"""Forward gradients (Baydin et al. 2022, arXiv:2202.08587; Ren et al. 2022, arXiv:2210.03310).

Credit is the slope of the loss along a random direction of activities, times that direction.
"""

import threading
import warnings
from functools import partial

import torch
from torch import Tensor

from credit.rules.base import Costs, Look, Rule, Shape, State, Trace

_ONE_AT_A_TIME = threading.Lock()
"""Forward-mode differentiation of torch is not for several threads at once."""

with warnings.catch_warnings():  # its first use warns of torch's own code
    warnings.simplefilter("ignore", FutureWarning)
    torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.ones(()),))


class ForwardGradient(Rule):
    """a_l = <g_l, xi> xi, xi ~ N(0, 1) of h_l's form, drawn in every step; its mean is g_l.

    The product comes from forward-mode differentiation of the blocks above h_l: nothing goes back
    through a block. Each layer has its own pass, so that its credit holds no other layer's noise.
    BatchNorm mixes the samples of a batch, and there it is the slope of each sample's own loss.
    """

    look = Look("#DC0A45", "X", 27)
    reads_weights = True
    transports = "none"
    published_reduction = "sum"
    per_sample = True

    def noise(self, shape: Shape, samples: int, generator: torch.Generator) -> State:
        return {
            f"{layer:03d}": torch.randn(samples, units, generator=generator)
            for layer, units in enumerate(shape.units)
        }

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        credits = []
        for layer, h in enumerate(trace.hiddens):
            xi = trace.noise[f"{layer:03d}"]
            with _ONE_AT_A_TIME:
                found = torch.func.jvp(partial(trace.losses_from, layer=layer), (h,), (xi,))
            credits.append(found[1].unsqueeze(-1) * xi)
        return credits

    def costs(self, shape: Shape) -> Costs:
        """Count value and slope as an evaluation each; torch multiplies a third time, by zeros."""
        passes = (shape.depth + 1) / 2
        return Costs(passes=3 * passes, evaluations=2 * passes * shape.depth)


RULE = ForwardGradient()

"""Node perturbation (Fiete & Seung 2006, doi:10.1103/PhysRevLett.97.048104; Lansdell et al. 2020).

A hidden state is shaken, and credit is the shake times what the loss made of it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from credit.networks.arithmetic import losses
from credit.rules.base import Costs, Look, Rule, Shape, State, Trace

TINY = 1e-30
"""Keeps a state of zeros from being divided by."""


@dataclass(frozen=True)
class NodePerturbation(Rule):
    """a_l = (CE(h_l + s xi) - CE(h_l)) / s * xi, xi ~ N(0, 1) of h_l's form, drawn in every step.

    s is `step` times the rms of a sample's h_l: the stream may grow by orders of magnitude. Each
    layer has its own roll forward to its own loss, so that a layer's credit holds no other layer's
    noise. The mean over xi is g_l up to s^2 times third derivatives. BatchNorm mixes the samples of
    a batch, and there it is the gradient of each sample's own loss.
    """

    look = Look("#22380A", "v", 26)
    reads_weights = True
    transports = "none"
    published_reduction = "sum"
    per_sample = True
    small_differences = True
    positive = ("step",)
    step: float = 0.01

    def noise(self, shape: Shape, samples: int, generator: torch.Generator) -> State:
        return {
            f"{layer:03d}": torch.randn(samples, units, generator=generator)
            for layer, units in enumerate(shape.units)
        }

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        before, credits = losses(trace.logits, trace.labels), []
        for layer, h in enumerate(trace.hiddens):
            xi = trace.noise[f"{layer:03d}"]
            size = self.step * (h.square().mean(-1, keepdim=True).sqrt() + TINY)
            change = trace.losses_from(h + size * xi, layer) - before
            credits.append(change.unsqueeze(-1) / size * xi)
        return credits

    def costs(self, shape: Shape) -> Costs:
        passes = (shape.depth + 1) / 2
        return Costs(passes=passes, evaluations=passes * shape.depth)


RULE = NodePerturbation()

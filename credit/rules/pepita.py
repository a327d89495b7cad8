"""PEPITA (Dellaferrera & Kreiman 2022, arXiv:2201.11665): a second pass on a modulated input.

Credit is what the error, sent to the input by a fixed random matrix, changes in each hidden state.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from credit.rules.base import Costs, Look, Rule, Shape, State, Trace


@dataclass(frozen=True)
class Pepita(Rule):
    """a_l = h_l(x) - h_l(x - F e_T), F (D, C) ~ `scale` sqrt(2 / D) N(0, 1), fixed.

    The source descends along h_l(modulated) - h_l, and trains the output layer on the error itself:
    that is the head here, so a_L is a difference, too. It writes x + F e; F and -F are equally
    likely, and with the minus the second pass is that of an input on which the error is less where
    F is aligned with the way back. Its weight updates read the modulated activity below, the
    surrogate that of the first pass. BatchNorm has the statistics of each pass.
    """

    look = Look("#940EF4", "P", 29)
    reads_input = True
    transports = "none"
    published_reduction = "sum"
    per_sample = True
    small_differences = True
    positive = ("scale",)
    scale: float = 0.05

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        draw = torch.randn(shape.d_in, shape.classes, generator=generator)
        return {"feedback": draw * self.scale * (2 / shape.d_in) ** 0.5}

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        moved = trace.hiddens_of(trace.inputs - trace.error @ state["feedback"].mT)
        return [h - other for h, other in zip(trace.hiddens, moved, strict=True)]

    def costs(self, shape: Shape) -> Costs:
        at_input = shape.d_in * (shape.classes + shape.units[0])
        return Costs(credit=at_input, passes=1, evaluations=shape.depth)


RULE = Pepita()

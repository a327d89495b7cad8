"""Feedback alignment between blocks (Lillicrap et al. 2016, doi:10.1038/ncomms13276).

The exact gradient at h_L travels down through fixed random matrices that replace each block's
whole Jacobian, skip connection included.
"""

from itertools import pairwise

import torch
from torch import Tensor

from credit.rules.base import Costs, Look, Rule, Shape, State, Trace
from credit.rules.shared import feedback


class FeedbackAlignment(Rule):
    """a_L = g_L; a_l = B_l a_{l+1}, B_l (d, d) ~ N(0, 1) / sqrt(d), fixed.

    As published a_L belongs to the batch-mean loss and is not rescaled by N: once the residual
    stream has grown, rms(a) falls to `credit_eps` and the credit shrinks with it. Of states with
    positions B_l mixes the channels, the same at every position.
    """

    look = Look("#015893", "s", 2)
    exact_at_output = True

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        channels = [shape.layer(index).channels for index in range(shape.depth + 1)]
        return feedback.drawn(list(pairwise(channels)), generator)

    def check(self, spec, shape: Shape) -> None:
        feedback.check_grids(spec, shape)

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        credits = [trace.grad_out]
        layers = trace.shape
        for index, matrix in reversed(list(enumerate(feedback.matrices(state)))):
            above, below = layers.layer(index + 1), layers.layer(index)
            credits.append(feedback.spread(credits[-1], matrix, above, below))
        return credits[::-1]

    def costs(self, shape: Shape) -> Costs:
        layers = [shape.layer(index) for index in range(shape.depth + 1)]
        return Costs(credit=sum(a.channels * b.units for a, b in pairwise(layers)))


RULE = FeedbackAlignment()

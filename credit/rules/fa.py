"""Feedback alignment between blocks (Lillicrap et al. 2016, doi:10.1038/ncomms13276).

The exact gradient at h_L travels down through fixed random matrices that replace each block's
whole Jacobian, skip connection included.
"""

import torch
from torch import Tensor

from credit.rules.base import Costs, Look, Rule, Shape, State, Trace


class FeedbackAlignment(Rule):
    """a_L = g_L; a_l = B_l a_{l+1}, B_l (d, d) ~ N(0, 1) / sqrt(d), fixed.

    As published a_L belongs to the batch-mean loss and is not rescaled by N: once the residual
    stream has grown, rms(a) falls to `credit_eps` and the credit shrinks with it.
    """

    look = Look("#015893", "s", 2)
    exact_at_output = True

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        draw = torch.randn(shape.depth, shape.width, shape.width, generator=generator)
        return {"feedback": draw * shape.width**-0.5}

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        credits = [trace.grad_out]
        for matrix in reversed(state["feedback"].unbind(0)):
            credits.append(credits[-1] @ matrix.mT)
        return credits[::-1]

    def costs(self, shape: Shape) -> Costs:
        return Costs(credit=shape.depth * shape.width**2)


RULE = FeedbackAlignment()

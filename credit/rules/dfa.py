"""Direct feedback alignment (Nokland 2016, arXiv:1609.01596).

Every block receives the output error through its own fixed random matrix.
"""

import torch
from torch import Tensor

from credit.rules.base import Costs, Look, Rule, Shape, State, Trace
from credit.rules.shared import feedback


class DirectFeedbackAlignment(Rule):
    """a_l = B_l e_T, B_l (d, C) ~ N(0, 1) / sqrt(C), fixed; h_L is read with B_{L-1}.

    B_l is block l's matrix: it trains block l, although that block's output lands in h_{l+1}.
    The embedding trains with B_0. e_T is the per-sample error, not divided by N. Where hidden
    states differ in form there is a matrix for each, and block l trains with that of h_{l+1}.
    """

    look = Look("#B54200", "^", 3)
    block_credit = 0
    published_reduction = "sum"

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        units = shape.units[:-1] if shape.even else shape.units
        return feedback.drawn([(d, shape.classes) for d in units], generator)

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        credits = [trace.error @ matrix.mT for matrix in feedback.matrices(state)]
        return credits if len(credits) == len(trace.hiddens) else [*credits, credits[-1]]

    def costs(self, shape: Shape) -> Costs:
        units = shape.units[:-1] if shape.even else shape.units
        return Costs(credit=sum(units) * shape.classes)


RULE = DirectFeedbackAlignment()

"""Direct feedback alignment (Nokland 2016, arXiv:1609.01596).

Every block receives the output error through its own fixed random matrix.
"""

import torch
from torch import Tensor

from credit.rules.base import Costs, Look, Rule, Shape, State, Trace


class DirectFeedbackAlignment(Rule):
    """a_l = B_l e_T, B_l (d, C) ~ N(0, 1) / sqrt(C), fixed; h_L is read with B_{L-1}.

    B_l is block l's matrix: it trains block l, although that block's output lands in h_{l+1}.
    The embedding trains with B_0. e_T is the per-sample error, not divided by N.
    """

    look = Look("#B54200", "^", 3)
    block_credit = 0
    published_reduction = "sum"

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        draw = torch.randn(shape.depth, shape.width, shape.classes, generator=generator)
        return {"feedback": draw * shape.classes**-0.5}

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        credits = [trace.error @ matrix.mT for matrix in state["feedback"].unbind(0)]
        return [*credits, credits[-1]]

    def costs(self, shape: Shape) -> Costs:
        return Costs(credit=shape.depth * shape.width * shape.classes)


RULE = DirectFeedbackAlignment()

"""Direct random target projection (Frenkel, Lefebvre & Bol 2021, arXiv:1909.01311).

The label stands for the error: blocks learn from the target before the output is known.
"""

from torch import Tensor

from credit.networks.arithmetic import output_error
from credit.rules.base import Look, State, Trace
from credit.rules.dfa import DirectFeedbackAlignment


class DirectRandomTargetProjection(DirectFeedbackAlignment):
    """a_l = -B_l y*, y* the one-hot label, B_l that of the dfa run with the same seed.

    The source descends along B_l y* where dfa does along B_l (y* - softmax). As a gradient that is
    -B_l y*; B_l and -B_l being equally likely, the sign matters beside dfa alone. Where credit
    lands is as dfa has it.
    """

    look = Look("#D2B76C", "^", 24)
    per_sample = True

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        target = trace.logits.softmax(-1) - output_error(trace.logits, trace.labels)
        return super().credit(state, trace._replace(error=-target))


RULE = DirectRandomTargetProjection()

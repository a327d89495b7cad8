"""Kolen-Pollack learning (Kolen & Pollack 1994; Akrout et al. 2019, arXiv:1904.05391).

Weight and feedback receive the same updates and the same decay, so that what they differ in decays.
"""

import torch
from torch import Tensor

from credit.networks.base import Params
from credit.rules.base import Look, State, Trace
from credit.rules.fa_layerwise import LayerwiseFeedbackAlignment
from credit.rules.shared import feedback


class KolenPollack(LayerwiseFeedbackAlignment):
    """As fa_layerwise; after a step B becomes (1 - decay) B + (W_after - (1 - decay) W_before).

    The update is the one that AdamW has applied, weight decay apart. B - W shrinks by 1 - decay in
    a step, and `decay` is learning rate times `weight_decay`: a run of the published recipe (1e-3,
    cosine to 0, times .01, over 39,100 steps) shrinks it by exp(-.2) and no more. There B aligns
    with W because both grow by the same updates. A rule cannot change how W decays: for more decay
    of both pass a larger `--weight_decay`. The B of a block that does not train stays as it is, bit
    for bit.
    """

    look = Look("#9167FF", "d", 22)
    follows = True

    def followed(self, state: State, trace: Trace, weights: Params, decay: Tensor) -> State:
        changed, kept = {}, 1 - decay
        for name, b in feedback.by_weight(state).items():
            before, after = trace.weights[name], weights[name]
            moved = kept * b + (after - kept * before)
            changed[feedback.OF + name] = torch.where((after != before).any(), moved, b)
        return changed


RULE = KolenPollack()

"""Feedback alignment weight by weight (Lillicrap et al. 2016, doi:10.1038/ncomms13276).

Errors travel back through the blocks as in backpropagation, but for every weight of a Linear or
convolution, which a fixed random one stands for. So do libraries for convolutional and residual
networks (BioTorch, Sanfiz & Akrout 2021, arXiv:2108.13446); `fa` replaces whole blocks.
"""

import torch
from torch import Tensor

from credit.networks.base import Params
from credit.rules.base import Costs, Look, Rule, Shape, State, Trace
from credit.rules.shared import feedback


class LayerwiseFeedbackAlignment(Rule):
    """a_L = g_L; a_l = a_{l+1} pulled back through block l, each weight W replaced by B.

    B is drawn as the network draws W: where branches start small, as resmlp's do, they stay small
    on the way back, and most of a_l is what the skip brings. Skips, norms and slopes of
    activations are exact. Rules that choose B otherwise derive from this one.
    """

    look = Look("#7D8CF3", "*", 21)
    local = False
    exact_at_output = True
    reads_weights = True
    transports = "none"

    def check(self, spec, shape: Shape) -> None:
        feedback.of_weights(spec, shape, torch.Generator())

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        return feedback.of_weights(spec, shape, generator)

    def replacements(self, state: State, trace: Trace) -> Params:
        """Return B by the name of the W that it stands for."""
        return feedback.by_weight(state)

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        weights, credits = self.replacements(state, trace), [trace.grad_out]
        for layer in reversed(range(trace.depth)):
            credits.append(trace.pull(credits[-1], layer, weights))
        return credits[::-1]

    def costs(self, shape: Shape) -> Costs:
        return Costs(passes=2)


RULE = LayerwiseFeedbackAlignment()

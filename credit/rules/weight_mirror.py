"""Weight mirrors (Akrout et al. 2019, arXiv:1904.05391): feedback learns the weights from noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from credit.networks.base import Params
from credit.rules.base import Costs, Look, Shape, State, Trace
from credit.rules.fa_layerwise import LayerwiseFeedbackAlignment
from credit.rules.shared import feedback


@dataclass(frozen=True)
class WeightMirror(LayerwiseFeedbackAlignment):
    """As fa_layerwise; after every step B moves by `rate` times (mean of y x^T) - B.

    x ~ N(0, 1) stands at the input of a weight, one vector per sample of the batch, and y = W x is
    its linear response, without bias and activation. A convolution is one matrix from a patch to
    its channels, and sees noise patches. The mean of y x^T has the expectation W, so that B follows
    W with a memory of 1 / `rate` steps; the decay by `rate` is what bounds B in the source.
    The source has phases of noise between phases of learning; here each step has both. Responses
    are computed from the weights, which the measurement of transport cannot tell from a copy.
    """

    look = Look("#D217C1", "H", 23)
    follows = True
    transports = "weights"
    positive = ("rate",)
    rate: float = 0.01

    def redrawn(self, state: State, samples: int, generator: torch.Generator) -> State:
        return {
            key: torch.randn(samples, b[0].numel(), generator=generator) for key, b in state.items()
        }

    def followed(self, state: State, trace: Trace, weights: Params, decay: Tensor) -> State:
        changed = {}
        for name, b in feedback.by_weight(state).items():
            x = trace.noise[feedback.OF + name]
            y = x @ weights[name].flatten(1).mT
            changed[feedback.OF + name] = b.lerp((y.mT @ x / len(x)).view_as(b), self.rate)
        return changed

    def costs(self, shape: Shape) -> Costs:
        """Count the mirror as two passes; where weights serve many positions it is next to none."""
        return Costs(passes=2 if shape.layer(0).grid else 4)


RULE = WeightMirror()

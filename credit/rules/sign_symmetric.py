"""Sign-symmetric feedback: errors travel back through the signs of the weights.

Liao, Leibo & Poggio 2016 (arXiv:1510.05067); on ImageNet Xiao et al. 2018 (arXiv:1811.03567) and
Moskovitz, Litwin-Kumar & Abbott 2018 (arXiv:1812.06488).
"""

from dataclasses import dataclass

import torch

from credit.networks.base import Params
from credit.rules.base import Look, Shape, State, Trace
from credit.rules.fa_layerwise import LayerwiseFeedbackAlignment
from credit.rules.shared import feedback
from credit.spec import check_names

MAGNITUDES = ("uniform", "batch", "fixed")


@dataclass(frozen=True)
class SignSymmetric(LayerwiseFeedbackAlignment):
    """a_L = g_L; a_l = a_{l+1} pulled back through block l, W replaced by sign(W) |B|.

    `magnitude` says what |B| is: 1 (`uniform`), of B ~ N(0, 1) drawn in every step (`batch`), or
    once (`fixed`). The product is scaled to the rms of W, as Moskovitz et al. do, so that the three
    differ in the pattern of sizes alone and none drowns a skip.
    """

    look = Look("#5E01AF", "p", 20)
    transports = "signs"
    magnitude: str = "uniform"

    def refuse(self, spec) -> None:
        super().refuse(spec)
        check_names([self.configured(spec).magnitude], MAGNITUDES, "magnitude")

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        if self.magnitude == "uniform":
            return {}
        weights = feedback.of_weights(spec, shape, generator)
        return {key: torch.randn(w.shape, generator=generator) for key, w in weights.items()}

    def redrawn(self, state: State, samples: int, generator: torch.Generator) -> State:
        if self.magnitude != "batch":
            return {}
        return {key: torch.randn(b.shape, generator=generator) for key, b in state.items()}

    def replacements(self, state: State, trace: Trace) -> Params:
        network = trace.network
        sizes = feedback.by_weight(trace.noise if self.magnitude == "batch" else state)
        back = {}
        for name in (name for block in range(trace.depth) for name in network.matrices(block)):
            weight = trace.weights[name]
            sign, rms = weight.sign(), weight.square().mean().sqrt()
            if name in sizes:
                size = sizes[name].abs()
                sign = sign * (size / size.square().mean().sqrt())
            back[name] = sign * rms
        return back


RULE = SignSymmetric()

"""The system, its trajectories, and what a rule is shown of them.

    h_0 ~ N(0, I);  h_{l+1} = A h_l + sd * w_l;  cost = |C h_L - y|^2 / 2;  y ~ N(0, TARGET^2 I)

Ours to choose, and chosen so: A = decay * exp(K) turns and shrinks. K is skew-symmetric and random,
scaled so that the fastest plane turns by TURN over the whole horizon; what is left of a state after
it is DECAY. All singular values of A are equal and below 1: the system is stable, and the costate
keeps its size on the way back, so that the direction of every layer is as well defined as that of
the last. It turns far enough that the gradient at h_L, passed back unchanged, is no answer. C has
orthogonal rows of length GAIN. The targets vary more than the outputs, so that the error alone does
not tell the state: a value that is fitted given the error can only become more exact by reading the
state. Costs are small beside 1, the weight of terminal gradient matching, because the same spread
of targets is noise to the terminal value. Every seed draws its own A and C.

Shape legend: N trajectories, d width, C outputs, L steps.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from credit.randomness import generator
from credit.rules import Shape, Trace

OUTPUTS = 10
PROCESS_NOISE = 0.03
TURN = 3 * math.pi / 4
DECAY = 0.8
GAIN = 0.28
TARGET = 0.63


class System(NamedTuple):
    """One seed's matrices, or those of several with a leading dimension."""

    dynamics: Tensor  # A, (d, d)
    readout: Tensor  # C, (C, d)


class Draws(NamedTuple):
    """What is random in a batch of trajectories."""

    starts: Tensor  # h_0, (N, d)
    process: Tensor  # PROCESS_NOISE * w_l for l = 0 .. L-1, (L, N, d)
    targets: Tensor  # y, (N, C)


class LQTrace(Trace):
    """What a batch of trajectories shows a rule: `weights` are the system and the targets y.

    Errors and gradients are per sample, and labels are rows of the targets. `advance` rolls on
    without process noise, so the vector field's targets are those of the expected continuation.
    """

    @property
    def shape(self) -> Shape:
        """The dimensions of hidden states and outputs."""
        return Shape(0, self.hiddens[0].shape[-1], self.logits.shape[-1], self.depth)

    def advance(self, h: Tensor, layer: int) -> Tensor:
        """The expected h_{layer+1} from any h_layer (..., d)."""
        return h @ self.weights["dynamics"].mT

    def output_losses(self, h: Tensor, labels: Tensor) -> Tensor:
        """Cost of each row from any h_L (P, d), with the target that `labels` (P,) names."""
        return costs(h @ self.weights["readout"].mT, self.weights["targets"][labels])


def outputs_of(width: int) -> int:
    """C: OUTPUTS, or a quarter of a width below four times as many."""
    return max(1, min(OUTPUTS, width // 4))


def draw_system(seed: int, width: int, depth: int) -> System:
    """A seed's matrices, in float64."""
    stream = generator(seed, "system")
    draw = torch.randn(width, width, generator=stream, dtype=torch.float64)
    skew = draw - draw.mT
    skew = skew * (TURN / depth / torch.linalg.matrix_norm(skew, 2))
    rows = torch.randn(width, outputs_of(width), generator=stream, dtype=torch.float64)
    readout = GAIN * torch.linalg.qr(rows).Q.mT
    return System(DECAY ** (1 / depth) * torch.linalg.matrix_exp(skew), readout)


def draw_batch(
    stream: torch.Generator, samples: int, width: int, depth: int, outputs: int
) -> Draws:
    """The random numbers of a batch of trajectories, in float32."""
    return Draws(
        torch.randn(samples, width, generator=stream),
        PROCESS_NOISE * torch.randn(depth, samples, width, generator=stream),
        TARGET * torch.randn(samples, outputs, generator=stream),
    )


def trace(system: System, draws: Draws, exact: bool = False) -> LQTrace:
    """Roll a batch out, perhaps with a leading run dimension; `exact` shows the exact costates."""
    hiddens = [draws.starts]
    for noise in draws.process.unbind(-3):
        hiddens.append(hiddens[-1] @ system.dynamics.mT + noise)
    outputs = hiddens[-1] @ system.readout.mT
    error = outputs - draws.targets
    labels = torch.arange(error.shape[-2], device=error.device).expand(error.shape[:-1])
    found = costates(system, error, len(hiddens) - 1)
    shown, weights = found if exact else [], {**system._asdict(), "targets": draws.targets}
    nothing: Any = ()  # no network: this class has the methods that would ask for one
    inputs = error[..., :0]
    return LQTrace(hiddens, outputs, labels, error, found[-1], shown, weights, inputs, {}, nothing)


def constants() -> dict[str, str]:
    """The choices of this module that make the system, to be logged."""
    names = ("process_noise", "turn", "decay", "gain", "target")
    return {f"system_{name}": f"{globals()[name.upper()]:.6g}" for name in names}


def costs(outputs: Tensor, targets: Tensor) -> Tensor:
    """Quadratic cost of every row, (..., C) -> (...)."""
    return (outputs - targets).square().sum(-1) / 2


def costates(system: System, error: Tensor, depth: int) -> list[Tensor]:
    """The exact lambda_0 .. lambda_L, each (N, d), backwards from the error at the output (N, C).

    lambda_L = C^T error and lambda_l = A^T lambda_{l+1}, as no cost is paid on the way.
    """
    found = [error @ system.readout]
    for _ in range(depth):
        found.append(found[-1] @ system.dynamics)
    return found[::-1]

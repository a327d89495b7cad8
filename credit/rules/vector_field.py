"""Vector field: learn the credit itself from what small steps do to the loss.

A(h_l, t_l, s) is fitted so that its product with a random direction predicts the change of the loss
along it, measured by forward passes through the remaining blocks: a learned, conditioned form of
node perturbation. Forward evaluations only: with every sample shown at every layer, M directions
cost M L (L + 1) block evaluations per sample and step. Shown at one layer each, as by default, they
cost M (L + 1), and all layers are still seen equally often.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from credit.rules.base import Costs, Look, Shape, State, Trace
from credit.rules.learned import NOTHING, LearnedRule, Rows, part_of, relative_error, rms
from credit.rules.shared import estimator

TINY = 1e-30
"""Keeps a state of zeros from being divided by."""


@dataclass(frozen=True)
class VectorField(LearnedRule):
    """a_l = A(h_l, t_l, s).

    With `estimator_relative` everything is in steps relative to h_l, as pre-norm blocks see them:
    `field_eps` is a share of ‖h_l‖, and A is the estimator times c / rms(h_l), with rms over a
    sample's d entries and c the rms in the batch of rms(h_L) times the gradient at h_L. Gradients
    that shrink as the stream grows then ask the estimator for numbers of one size at every layer.
    """

    look = Look("#DF9300", "X", 6)
    small_differences = True
    field_directions: int = 4
    field_eps: float = 0.01
    one_sided: bool = False
    terminal_weight: float = 1.0
    shuffle: bool = False
    estimator_relative: bool = False

    def outputs(self, shape: Shape) -> int:
        return shape.units[0]

    def noise(self, shape: Shape, samples: int, generator: torch.Generator) -> State:
        rows = samples * self.rows_shown(shape)
        draws = torch.randn(self.field_directions, rows, shape.units[0], generator=generator)
        noise = {
            "order": torch.randperm(samples, generator=generator),
            "directions": F.normalize(draws, dim=-1),
        }
        if self.shuffle:
            noise["shuffle"] = torch.randperm(rows, generator=generator)
        return noise

    def loss(self, params: State, trace: Trace, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared errors over their targets' mean squares: along the directions, and at h_L."""
        rows, s = self.shown(trace, trace.noise["order"]), self.codes(params, trace)
        with torch.no_grad():
            slopes = self.slopes(trace, rows, trace.noise["directions"])
            if self.shuffle:
                slopes = slopes[:, trace.noise["shuffle"]]
        found = self.field(params, rows.h, rows.t, s[rows.samples])
        unit, wanted = self.unit(trace), self.scale(trace.hiddens[-1]) * trace.grad_out
        along = relative_error((trace.noise["directions"] * found).sum(-1), slopes.detach() / unit)
        last = trace.hiddens[-1]
        end = estimator.time_features(trace.depth, last)[-1:]
        terminal = relative_error(self.field(params, last, end, s), wanted / unit)
        loss = along + self.terminal_weight * terminal
        return loss, {"loss": loss, "directional": along, "terminal": terminal}

    def slopes(self, trace: Trace, rows: Rows, directions: Tensor) -> Tensor:
        """Change of the loss along `directions` (M, P, d), per step of length `scale`: (M, P).

        States of all layers travel together: those of layer l join the batch when it has reached
        h_l, so that each block is evaluated once.
        """
        length = directions.shape[-1] ** 0.5 if self.estimator_relative else 1.0
        step = self.field_eps * length * self.scale(rows.h) * directions
        behind = rows.h.unsqueeze(0) if self.one_sided else rows.h - step  # unmoved: one, not M
        moved = torch.cat([rows.h + step, behind])
        travelling = moved[:, :0]
        for layer, joining in enumerate(moved.split(rows.counts, dim=1)):
            travelling = trace.advance(torch.cat([travelling, joining], dim=1), layer)
        labels = trace.labels[rows.samples].repeat(len(travelling))
        losses = trace.output_losses(travelling.flatten(0, 1), labels).view(len(travelling), -1)
        ahead, behind = losses[: self.field_directions], losses[self.field_directions :]
        return (ahead - behind) / (self.field_eps * length * (1 if self.one_sided else 2))

    def scale(self, h: Tensor) -> Tensor | float:
        """Length that counts as one step at each state h (..., d): (..., 1), its rms; or 1."""
        if not self.estimator_relative:
            return 1.0
        return torch.linalg.vector_norm(h, dim=-1, keepdim=True) * h.shape[-1] ** -0.5 + TINY

    def unit(self, trace: Trace) -> Tensor | float:
        """Return what the estimator's output is measured in: c, or 1."""
        if not self.estimator_relative:
            return 1.0
        return rms(self.scale(trace.hiddens[-1]) * trace.grad_out).clamp(min=NOTHING)

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        params = part_of(state, "estimator")
        h, t, s = self.every(params, trace)
        found = self.field(params, h, t, s) * self.unit(trace) / self.scale(h)
        return list(found.unbind(0))

    def field(self, params: State, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """A(h, t, s) in its unit, as `estimator.apply`."""
        return estimator.apply(params, h, t, s)

    def costs(self, shape: Shape) -> Costs:
        """Count as every learned rule does, and the states that travel forward.

        The field is the credit: it costs one pass forward at every layer, no gradient is taken.
        """
        usual, shown = super().costs(shape), self.rows_shown(shape)
        ends = self.field_directions + (1 if self.one_sided else self.field_directions)
        blocks = shown * (shape.depth + 1) / 2  # that a sample's rows still have before them
        rolled = int(ends * blocks * 2 * shape.units[0] ** 2)
        return Costs(
            credit=self.row_products(shape) * (shape.depth + 1),
            learning=usual.learning + rolled // self.estimator_every,
            evaluations=ends * blocks / self.estimator_every,
            scratch=usual.scratch + ends * shown * 6 * shape.units[0],
        )


RULE = VectorField()

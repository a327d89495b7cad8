"""State bridge: predict the last hidden state from an earlier one, and ask the head for credit.

G(h_l, t_l, s) learns h_L by regression. a_l is the gradient of the loss that the network's own head
would have at the predicted state, through G instead of through the blocks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from credit.rules.base import Look, Shape, State, Trace
from credit.rules.learned import NOTHING, LearnedRule, part_of, relative_error, rms
from credit.rules.shared import estimator


@dataclass(frozen=True)
class StateBridge(LearnedRule):
    """a_l = grad_{h_l} loss(head(G(h_l, t_l, s))).

    With `estimator_relative`, G is the estimator times the rms of h_L in the batch: a stream that
    grows by orders of magnitude in training needs no output weights that follow it.
    """

    look = Look("#C674A4", "v", 4)
    estimator_relative: bool = False

    def outputs(self, shape: Shape) -> int:
        return shape.units[0]

    def noise(self, shape: Shape, samples: int, generator: torch.Generator) -> State:
        return {"order": torch.randperm(samples, generator=generator)}

    def loss(self, params: State, trace: Trace, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error over the target's mean square, at the rows shown and at h_L itself."""
        rows, s = self.shown(trace, trace.noise["order"]), self.codes(params, trace)
        last = trace.hiddens[-1]
        share = max(rows.counts)  # h_L as often as any other layer
        chosen = trace.noise["order"][:share]
        end = estimator.time_features(trace.depth, last)[-1:].expand(share, -1)
        h, t = torch.cat([rows.h, last[chosen]]), torch.cat([rows.t, end])
        samples = torch.cat([rows.samples, chosen])
        found = estimator.apply(params, h, t, s[samples])
        loss = relative_error(found, last[samples] / self.unit(last))
        return loss, {"loss": loss}

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        params = part_of(state, "estimator")
        h, t, s = self.every(params, trace)

        def loss(h: Tensor) -> Tensor:
            end = self.unit(trace.hiddens[-1]) * self.predicted(params, h, t, s)
            return trace.output_losses(end.flatten(0, 1), trace.labels.repeat(len(h))).sum()

        return list(torch.func.grad(loss)(h).unbind(0))

    def unit(self, last: Tensor) -> Tensor | float:
        """Return what the estimator's output is measured in, from h_L (N, d)."""
        return rms(last).clamp(min=NOTHING) if self.estimator_relative else 1.0

    def predicted(self, params: State, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """G(h, t, s) in its unit, as `estimator.apply`."""
        return estimator.apply(params, h, t, s)


RULE = StateBridge()

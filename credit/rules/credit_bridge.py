"""Credit bridge: learn the loss to come as a function of the hidden state; credit is its gradient.

V(h_l, t_l, s) is tied to the true loss at h_L, in value and in gradient, and from there backwards
by consistency: the value at h_l is the soft minimum of the values around h_{l+1}.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from credit.rules.base import Costs, Look, Shape, State, Trace
from credit.rules.learned import LearnedRule, part_of, relative_error, repeated
from credit.rules.shared import estimator


@dataclass(frozen=True)
class CreditBridge(LearnedRule):
    """a_l = grad_{h_l} V(h_l, t_l, s)."""

    look = Look("#69C2F6", "P", 5)
    tgw: float = 1.0
    tau: float = 0.1
    sigma: float = 0.1
    sigma_relative: bool = False
    draws: int = 8
    ema: float = 0.995

    def outputs(self, shape: Shape) -> int:
        return 1

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        state = super().init(spec, shape, generator)
        copy = {f"average/{k}": v.clone() for k, v in part_of(state, "estimator").items()}
        return state | copy

    def noise(self, shape: Shape, samples: int, generator: torch.Generator) -> State:
        rows = samples * self.rows_shown(shape)
        return {
            "order": torch.randperm(samples, generator=generator),
            "successors": torch.randn(self.draws, rows, shape.units[0], generator=generator),
        }

    def loss(self, params: State, trace: Trace, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Terminal value, bridge consistency and terminal gradient.

        The value terms are mean squared errors; the gradient term, weighted by `tgw`, is a squared
        error over the target's mean square, whatever the gradient's scale.
        """
        s = self.codes(params, trace)
        consistency = self._consistency(params, trace, state, s)
        last = trace.hiddens[-1]
        end = estimator.time_features(trace.depth, last)[-1:]
        slope, value = torch.func.grad(
            lambda h: _summed(self.value(params, h, end, s)), has_aux=True
        )(last)
        terminal = (value - trace.output_losses(last, trace.labels)).square().mean()
        matching = relative_error(slope, trace.grad_out)
        loss = terminal + consistency + self.tgw * matching
        parts = {"terminal": terminal, "consistency": consistency, "gradient": matching}
        return loss, {"loss": loss, **parts}

    def _consistency(self, params: State, trace: Trace, state: State, s: Tensor) -> Tensor:
        rows, depth = self.shown(trace, trace.noise["order"]), trace.depth
        groups = rows.samples.split(rows.counts)
        after = torch.cat([trace.hiddens[i + 1][m] for i, m in enumerate(groups)])
        later = repeated(estimator.time_features(depth, after)[1:], rows.counts)
        step = self.sigma
        if self.sigma_relative:
            step = step * after.square().mean(-1, keepdim=True).sqrt()
        with torch.no_grad():
            average = part_of(state, "average")
            codes = self.codes(average, trace)[rows.samples]
            values = self.value(average, after + step * trace.noise["successors"], later, codes)
            target = -self.tau * ((-values / self.tau).logsumexp(0) - math.log(self.draws))
        found = self.value(params, rows.h, rows.t, s[rows.samples])
        return (found - target.detach()).square().mean()

    def refreshed(self, state: State) -> State:
        """The averaged copy, one step closer to the estimator."""
        return {
            f"average/{name}": state[f"average/{name}"].lerp(value, 1 - self.ema)
            for name, value in part_of(state, "estimator").items()
        }

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        params = part_of(state, "estimator")
        h, t, s = self.every(params, trace)
        return list(torch.func.grad(lambda h: self.value(params, h, t, s).sum())(h).unbind(0))

    def costs(self, shape: Shape) -> Costs:
        """Count as every learned rule does, and the successors, with their hidden layers."""
        usual, successors = super().costs(shape), self.draws * self.rows_shown(shape)
        hidden = 2 * (self.estimator_depth - 1) * self.estimator_width
        values = self.row_products(shape) * successors // self.estimator_every
        return usual._replace(
            learning=usual.learning + values,
            scratch=usual.scratch + successors * (hidden + 3 * shape.units[0]),
        )

    def value(self, params: State, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """V(h, t, s), shaped as h without its last dimension."""
        return estimator.apply(params, h, t, s).squeeze(-1)


def _summed(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.sum(), values


RULE = CreditBridge()

"""Difference target propagation (Lee et al. 2015, arXiv:1412.7525; Meulemans et al. 2020).

Every hidden state has a target, brought down by learned inverses (arXiv:2006.14331).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from credit.rules.base import Costs, Look, Rule, Shape, State, Trace
from credit.rules.learned import NOTHING, relative_error, rms
from credit.rules.shared import feedback

PARTS = ("inner", "bias", "out", "offset")


@dataclass(frozen=True)
class DifferenceTargetPropagation(Rule):
    """t_L = h_L - s g_L; t_l = h_l + G_l(t_{l+1}) - G_l(h_{l+1}); a_l = (h_l - t_l) / s.

    Divided by s, credit has the units of a gradient and a_L is g_L. s is `step` times rms(h_L) over
    rms(g_L), both over the batch: the displacement stays in proportion to a stream that grows.

    G_l(v) = W [v, GELU(U v + b)] + c maps h_{l+1} back to h_l. Of states with positions it acts on
    the channels, the same at every position. It learns to give back h_l + n from the block's output
    for it, n ~ N(0, 1) times `corruption` times the rms of a sample's h_l; its loss is squared
    error over the target's mean square, its optimizer AdamW with `estimator_lr`. It starts random.
    No gradient passes through a block.
    """

    look = Look("#462D35", "D", 28)
    learned = True
    exact_at_output = True
    reads_weights = True
    transports = "none"
    published_reduction = "sum"
    per_sample = True
    positive = ("step",)
    estimator_lr: float = 1e-3
    estimator_every: int = 1
    step: float = 0.1
    corruption: float = 0.1

    def check(self, spec, shape: Shape) -> None:
        feedback.check_grids(spec, shape)

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        state = {}
        for layer in range(shape.depth):
            below, above = (shape.layer(layer + i).channels for i in (0, 1))
            inner = torch.randn(above, above, generator=generator) * above**-0.5
            out = torch.randn(below, 2 * above, generator=generator) * (2 * above) ** -0.5
            values = (inner, torch.zeros(above), out, torch.zeros(below))
            state |= {_name(layer, p): v for p, v in zip(PARTS, values, strict=True)}
        return state

    def noise(self, shape: Shape, samples: int, generator: torch.Generator) -> State:
        return {
            f"{layer:03d}": torch.randn(samples, units, generator=generator)
            for layer, units in enumerate(shape.units[:-1])
        }

    def gradients(self, state: State, trace: Trace) -> tuple[State, dict[str, Tensor]]:
        wanted, seen = [], []
        for layer, h in enumerate(trace.hiddens[:-1]):
            size = self.corruption * h.square().mean(-1, keepdim=True).sqrt()
            wanted.append(h + size * trace.noise[f"{layer:03d}"])
            seen.append(trace.advance(wanted[-1], layer))

        def loss(params: State) -> tuple[Tensor, Tensor]:
            found = [inverse(params, trace.shape, layer, v) for layer, v in enumerate(seen)]
            each = torch.stack(list(map(relative_error, found, wanted)))
            return each.sum(), each.mean()

        params = {key: value for key, value in state.items() if key.startswith("estimator/")}
        grads, mean = torch.func.grad(loss, has_aux=True)(params)
        return grads, {"loss": mean}

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        last, credits = trace.hiddens[-1], [trace.grad_out]
        size = self.step * rms(last) / rms(trace.grad_out).clamp(min=NOTHING)
        for layer in reversed(range(trace.depth)):
            above = trace.hiddens[layer + 1]
            target = above - size * credits[-1]
            back = [inverse(state, trace.shape, layer, v) for v in (above, target)]
            credits.append((back[0] - back[1]) / size)
        return credits[::-1]

    def costs(self, shape: Shape) -> Costs:
        inverses = 0
        for layer in range(shape.depth):
            below, above = shape.layer(layer), shape.layer(layer + 1)
            inverses += above.units * above.channels + 2 * above.channels * below.units
        learning = 3 * inverses // self.estimator_every
        evaluations = shape.depth / self.estimator_every
        return Costs(2 * inverses, learning, 1 / self.estimator_every, evaluations)


def inverse(params: State, shape: Shape, layer: int, v: Tensor) -> Tensor:
    """G_layer(v), (N, d), of v (N, d') at h_{layer+1}."""
    inner, bias, out, offset = (params[_name(layer, part)] for part in PARTS)
    below, above = shape.layer(layer), shape.layer(layer + 1)
    state = v.unflatten(-1, (-1, above.channels))
    features = torch.cat([state, F.gelu(F.linear(state, inner, bias))], dim=-1).flatten(-2)
    wide = above._replace(channels=2 * above.channels)
    return feedback.spread(features, out, wide, below) + offset.repeat(below.units // len(offset))


def _name(layer: int, part: str) -> str:
    return f"estimator/{layer:03d}.{part}"


RULE = DifferenceTargetPropagation()

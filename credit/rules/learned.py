"""What rules that learn their credit share: the code, which layers a step shows, the optimizer.

An estimator is trained beside the network, on the hidden states that the network's own forward
passes leave behind and on what is local to the output layer: logits, labels and the gradient at
h_L. No gradient passes through a block.

Choices that the rules' definitions leave open, the same for all three: AdamW with PyTorch's
defaults (weight decay .01) at a constant learning rate; `TIME_FEATURES` sines and cosines of t; a
step shows each sample at one random layer (`estimator_layers`) and at h_L, so that an update costs
the same at every depth. A layer then sees N / L samples a step.

Shape legend: N batch, d width, C classes, L depth, P rows shown to the estimator in one step.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from credit.errors import CreditError
from credit.rules.base import Costs, Rule, Shape, State, Trace
from credit.rules.shared import estimator
from credit.spec import RunSpec, warmup_epochs

PROJECTED = 32
"""Length of the learned projection of h_L in the codes that have one."""
NOTHING = 1e-24
"""Mean square below which a target is none."""


class Rows(NamedTuple):
    """Hidden states of several layers as one batch: layer after layer."""

    h: Tensor  # (P, d)
    t: Tensor  # (P, T), time features
    samples: Tensor  # (P,), which sample of the batch each row belongs to
    counts: list[int]  # rows per layer, from layer 0


@dataclass(frozen=True)
class LearnedRule(Rule):
    """Base of rules with an estimator; its fields are the RunSpec fields of the same names."""

    code: str = "eT"
    warmup_ratio: float = 0.05
    estimator_width: int = 256
    estimator_depth: int = 3
    estimator_lr: float = 1e-3
    estimator_every: int = 1
    estimator_layers: int = 1

    learned: ClassVar[bool] = True
    published_reduction: ClassVar[str] = "sum"
    per_sample: ClassVar[bool] = True

    def outputs(self, shape: Shape) -> int:
        """Return how many numbers the estimator returns for a row."""
        raise NotImplementedError

    def loss(self, params: State, trace: Trace, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what the estimator's parameters minimise, and its parts by name."""
        raise NotImplementedError

    def refuse(self, spec: RunSpec) -> None:
        if spec.batch_size < spec.depth:
            raise CreditError(
                f"batch_size={spec.batch_size} is below depth={spec.depth}: {spec.rule} would "
                "never see some layers, pass at least one sample per block"
            )
        super().refuse(spec)

    def check(self, spec: RunSpec, shape: Shape) -> None:
        if not shape.even:
            raise CreditError(
                f"{spec.rule} has one estimator for all hidden states, and those of "
                f"network={spec.network} differ in form: choose another rule or network"
            )

    # ---------------------------------------------------------------- state

    def code_length(self, shape: Shape) -> int:
        """S."""
        base = shape.classes if self.code.startswith("eT") else shape.units[0]
        return base + (PROJECTED if self.code.endswith("_hL") else 0)

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        # first what dfa draws, so that the warm-up is that of the dfa run with this seed
        draw = torch.randn(shape.depth, shape.units[0], shape.classes, generator=generator)
        params = estimator.init(*self.sizes(shape), generator)
        if self.code.endswith("_hL"):
            draws = torch.randn(PROJECTED, shape.units[0], generator=generator)
            params["code.hL"] = draws * shape.units[0] ** -0.5
        return {"feedback": draw * shape.classes**-0.5, **_named("estimator", params)}

    def gradients(self, state: State, trace: Trace) -> tuple[State, dict[str, Tensor]]:
        params = part_of(state, "estimator")
        grads, metrics = torch.func.grad(self.loss, has_aux=True)(params, trace, state)
        return _named("estimator", grads), metrics

    def costs(self, shape: Shape) -> Costs:
        """Count credit as forward and backward to the input at every layer.

        Learning is thrice forward per row shown. Scratch is the hidden layers before and after
        activation and their gradients, for every layer and row.
        """
        row, shown = self.row_products(shape), self.rows_shown(shape)
        hidden = 4 * (self.estimator_depth - 1) * self.estimator_width
        return Costs(
            credit=row * 2 * (shape.depth + 1),
            learning=row * (3 * (shown + 1) // self.estimator_every),
            scratch=(shape.depth + 1 + shown) * (hidden + 4 * shape.units[0]),
        )

    def sizes(self, shape: Shape) -> tuple[int, int, int, int, int]:
        """The estimator's sizes, as `estimator.init` takes them."""
        hidden, layers = self.estimator_width, self.estimator_depth
        return shape.units[0], self.code_length(shape), hidden, layers, self.outputs(shape)

    def row_products(self, shape: Shape) -> int:
        """Multiply-adds of one row through the estimator, forward."""
        return estimator.products(*self.sizes(shape))

    def rows_shown(self, shape: Shape) -> int:
        """Return how often an update shows each sample at one of h_0 .. h_{L-1}."""
        return min(self.estimator_layers or shape.depth, shape.depth)

    # ---------------------------------------------------------------- warm-up

    def warm(self, epoch: int, epochs: int) -> bool:
        return epoch < warmup_epochs(self.warmup_ratio, epochs)

    def warmup_credit(self, state: State, trace: Trace) -> list[Tensor]:
        """dfa's credit, where this rule's blocks look for theirs: B_l e_T at h_{l+1}."""
        credits = [trace.error @ matrix.mT for matrix in state["feedback"].unbind(0)]
        return [credits[0], *credits]

    # ---------------------------------------------------------------- what the estimator sees

    def codes(self, params: State, trace: Trace) -> Tensor:
        """s of every sample, (N, S): of `params` only the projection of h_L is read.

        The gradient at h_L enters over its rms in the batch: its scale changes by orders of
        magnitude in training.
        """
        if self.code.startswith("eT"):
            s = trace.error
        else:
            peak = trace.grad_out.abs().max().clamp(min=torch.finfo(trace.grad_out.dtype).tiny)
            s = trace.grad_out / peak  # first, because squares of small numbers underflow
            s = s / s.square().mean().sqrt().clamp(min=NOTHING)
        if self.code.endswith("_hL"):
            last = trace.hiddens[-1]
            s = torch.cat([s, F.layer_norm(last, last.shape[-1:]) @ params["code.hL"].mT], dim=-1)
        return s

    def shown(self, trace: Trace, order: Tensor) -> Rows:
        """The hidden states h_0 .. h_{L-1} of one update; `order` permutes the samples, (N,).

        Every sample is shown at `estimator_layers` of the L layers, all layers equally often but
        for what is left where L does not divide N. The numbers of rows per layer are the same in
        every step, which keeps shapes fixed.
        """
        depth = trace.depth
        times = min(self.estimator_layers or depth, depth)
        groups = [order[start::depth] for start in range(depth)]
        members = [
            torch.cat([groups[(layer + i) % depth] for i in range(times)]) for layer in range(depth)
        ]
        counts = [len(m) for m in members]
        h = torch.cat([trace.hiddens[layer][m] for layer, m in enumerate(members)])
        t = repeated(estimator.time_features(depth, h)[:depth], counts)
        return Rows(h, t, torch.cat(members), counts)

    def every(self, params: State, trace: Trace) -> tuple[Tensor, Tensor, Tensor]:
        """All hidden states (L+1, N, d), their time features (L+1, 1, T) and codes (N, S)."""
        h = torch.stack(trace.hiddens)
        return h, estimator.time_features(trace.depth, h).unsqueeze(1), self.codes(params, trace)


def repeated(features: Tensor, counts: list[int]) -> Tensor:
    """Row i of `features` counts[i] times; without counts on the device, as a graph wants it."""
    return torch.cat([row.expand(n, -1) for row, n in zip(features.split(1), counts, strict=True)])


def part_of(state: State, part: str) -> State:
    """The tensors of `state` under `part/`, by the rest of their name."""
    prefix = f"{part}/"
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _named(part: str, tensors: State) -> State:
    return {f"{part}/{key}": value for key, value in tensors.items()}


def rms(v: Tensor) -> Tensor:
    """Root of the mean square of all entries; divided by the largest before they are squared."""
    peak = v.abs().max().clamp(min=torch.finfo(v.dtype).tiny)
    return (v / peak).square().mean().sqrt() * peak


def relative_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Squared error divided by the target's mean square: 1 is what predicting 0 would cost.

    0 where the target's mean square is below `NOTHING`: nothing is there to learn, and dividing by
    it would leave gradients whose squares overflow in AdamW's moments for good.
    """
    scale = wanted.square().mean()
    error = (found - wanted).square().mean() / scale.clamp(min=NOTHING)
    return torch.where(scale > NOTHING, error, torch.zeros_like(error))

"""A stack: R runs of one network shape, advanced together by one batch step.

Parameters carry a leading run dimension. A single run is R = 1; there is no second loop. Runs share
the stack but nothing else: no number of a run depends on its neighbours beyond float rounding.

Shape legend: R runs, N batch, d width, C classes, L depth, S distinct seeds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass

import torch
from torch import Tensor

from credit import rules
from credit.networks import kinds
from credit.networks.base import Params, Pass, stacked
from credit.randomness import generator
from credit.rules import Rule, Shape, State, Trace
from credit.spec import RunSpec
from credit.training import products
from credit.training.group import Group
from credit.training.lane import Lane
from credit.training.steppers import Batch, Threaded, lanes_for, stepper
from credit.training.trainable import Tally


def arrange(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """The order in which a stack keeps its runs.

    Rule after rule, and of each those with the same knobs, rules that read exact gradients first:
    so that what is computed as one and all that need backpropagation are slices; within these by
    k, rising and falling in turn, so that the runs that train a block are few slices, too.
    """

    def rank(spec: RunSpec) -> tuple:
        rule = rules.of(spec)
        kind = f"{type(rule).__module__}.{type(rule).__qualname__}"  # one rule may have two names
        return not rule.reads_hidden_grads, kind, repr(rule) if is_dataclass(rule) else ""

    turns = {key: 1 - 2 * (i % 2) for i, key in enumerate(sorted({rank(spec) for spec in specs}))}
    return sorted(specs, key=lambda s: (*rank(s), turns[rank(s)] * s.k, s.spec_hash))


class Stack:
    """Parameters, optimizer and rule states of R runs of one `stack_key`, as `arrange` has them.

    `starts` has parameters of one run each, by the spec hash that `RunSpec.start` names.
    """

    def __init__(
        self, specs: Sequence[RunSpec], shape: Shape, starts: Mapping[str, Params] | None = None
    ) -> None:
        first = specs[0]
        assert "published" not in {s.credit_reduction for s in specs}, "specs are not resolved"
        assert len({spec.stack_key for spec in specs}) == 1, "specs of unequal stack_key"
        self.specs = list(specs)
        self.size = len(self.specs)  # R
        self.shape = shape
        self.device = torch.device(first.device)
        self.dtype = products.PRECISIONS[first.precision].states
        products.prepare(self.device)
        self.seeds = sorted({spec.seed for spec in specs})
        self.network = kinds.of(first, shape, self.device, self.dtype)
        self.params = self._init_params(starts or {})
        self.moments = {
            name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in self.params.items()
        }
        self.optimizer_steps = 0
        self.begin_epoch()
        self.bounds = lanes_for(specs, shape, self.device)
        self.lanes = [self._lane(rows) for rows in self.bounds]
        self._step = stepper(self.lanes, self.device)

    def _init_params(self, starts: Mapping[str, Params]) -> Params:
        found = {}
        for spec in self.specs:  # of one stack_key: one kind of network
            start = starts.get(spec.start)
            found[spec.seed, spec.start] = (
                {name: p.to(self.dtype) for name, p in start.items()}
                if start
                else self.network.init(spec, generator(spec.seed, "init"), self.dtype)
            )
        params = stacked([found[spec.seed, spec.start] for spec in self.specs])
        params |= self.network.constants(self.specs, self.dtype)
        return {name: tensor.to(self.device) for name, tensor in params.items()}

    def _lane(self, rows: slice) -> Lane:
        params = {name: p[rows] for name, p in self.params.items()}
        moments = {name: (m[rows], v[rows]) for name, (m, v) in self.moments.items()}
        return Lane(self.specs[rows], self.shape, params, moments, self.seeds)

    def begin_epoch(self) -> None:
        """Count losses and hits from nothing."""
        sums = torch.zeros(2, self.size, dtype=torch.float64, device=self.device)
        self.tally = Tally(sums[0], sums[1])

    def set_optimizer_steps(self, steps: int) -> None:
        self.optimizer_steps = steps
        for lane in self.lanes:
            lane.set_optimizer_steps(steps)

    def set_lr(self, lr: float) -> None:
        for lane in self.lanes:
            lane.set_lr(lr)

    def set_phase(self, epoch: int, epochs: int) -> None:
        """Say which epoch, from 0, the coming step belongs to."""
        for lane in self.lanes:
            lane.set_phase(epoch, epochs, self.optimizer_steps)

    def take_metrics(self) -> list[dict[str, float]]:
        return [metrics for lane in self.lanes for metrics in lane.take_metrics()]

    def rule_state(self, row: int) -> State:
        """Views of what the rule of run `row` carries."""
        group, member = self.group_of(row)
        return {key: value[member] for key, value in group.state.items()}

    def group_of(self, row: int) -> tuple[Group, int]:
        """The group of run `row`, and its place there."""
        rows, lane = next(
            pair for pair in zip(self.bounds, self.lanes, strict=True) if row < pair[0].stop
        )
        inner = row - rows.start
        group = next(g for g in lane.groups if inner < g.rows.stop)
        return group, inner - group.rows.start

    def rule_of(self, row: int) -> Rule:
        """The configured rule of run `row`."""
        return rules.of(self.specs[row])

    def non_finite(self, row: int) -> str:
        """Return which parameter of a run is not finite; empty if all are."""
        bad = (name for name, p in self.params.items() if not p[row].isfinite().all())
        return next((f"{name} is not finite" for name in bad), "")

    def shown(
        self, run: Pass, x: Tensor, labels: Tensor, error: Tensor, grads: list[Tensor]
    ) -> Iterator[tuple[Group, Trace]]:
        """Every group with what it is shown of held-out samples, in the order of the runs.

        `grads` are g_0 .. g_L, each (R, N, d).
        """
        for rows, lane in zip(self.bounds, self.lanes, strict=True):
            part = [g[rows] for g in grads]
            seen = (run.rows(rows), x, labels[rows], error[rows], part[-1], part)
            traces = lane.traces(*seen, lane.measured_noise(labels.shape[-1]))
            yield from zip(lane.groups, traces, strict=True)

    def measured_credits(
        self, run: Pass, x: Tensor, labels: Tensor, error: Tensor, grads: list[Tensor]
    ) -> list[Tensor]:
        """a_0 .. a_L of all runs, (R, N, d) each, as the measurements want them."""
        found = [
            group.lifted(group.rule.credit, trace)
            for group, trace in self.shown(run, x, labels, error, grads)
        ]
        return [torch.cat(parts).to(self.dtype) for parts in zip(*found, strict=True)]

    def ahead(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches of the coming steps, prepared beside the steps where lanes do that."""
        return self._step.ahead(batches) if isinstance(self._step, Threaded) else batches

    def step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """`Lane.step` for all runs. What it returns is valid until the next step."""
        with products.of_a_step(self.specs[0].precision):
            result = self._step(x, y, self.optimizer_steps)
        self.optimizer_steps += 1
        return result

"""A bundle: runs of one rule with the same knobs, whose estimators train side by side.

Shape legend: G runs of the bundle, N batch, n held-out trajectories, d width, C outputs, L steps.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from credit import rules
from credit.measures import Options, Probe, Report, take, vectors
from credit.randomness import generator
from credit.rules import Shape, State
from credit.spec import RunSpec
from credit.toy_lq.system import Draws, System, costs, draw_batch, draw_system, outputs_of, trace
from credit.training.group import Group
from credit.training.loop import EpochRecord
from credit.training.trainable import Tally

PRECISIONS = {"fp32": torch.float32, "fp64": torch.float64}


class Bundle:
    """Runs with equal configured rules: a `Trainable` without a network.

    Each seed has a system, trajectories and an estimator of its own.
    """

    def __init__(self, specs: Sequence[RunSpec]) -> None:
        first = specs[0]
        self.specs = list(specs)
        self.size = len(self.specs)  # G
        self.device = torch.device(first.device)
        self.dtype = PRECISIONS[first.precision]
        self.shape = Shape(0, first.width, outputs_of(first.width), first.depth)
        self.params: dict[str, Tensor] = {}
        self.moments: dict[str, tuple[Tensor, Tensor]] = {}
        self.optimizer_steps = 0
        self.tally = Tally(torch.zeros(self.size), torch.zeros(self.size))
        """Nothing: a bundle is saved between epochs only."""
        self.steps = math.ceil(first.train_samples / first.batch_size)
        """In an epoch."""
        systems = [draw_system(spec.seed, first.width, first.depth) for spec in specs]
        self.system = System(*map(self._stacked, zip(*systems, strict=True)))
        self.group = Group(specs, slice(0, len(specs)), self.shape, self.device, self.dtype)

    def group_of(self, row: int) -> tuple[Group, int]:
        return self.group, row

    def rule_state(self, row: int) -> State:
        return {name: value[row] for name, value in self.group.state.items()}

    def set_optimizer_steps(self, steps: int) -> None:
        self.optimizer_steps = steps
        self.group.set_optimizer_steps(steps)

    def non_finite(self, row: int) -> str:
        """Return which of a run's tensors has an inf or nan, if any."""
        bad = (name for name, v in self.rule_state(row).items() if not v.isfinite().all())
        return next(bad, "")

    def step(self, epoch: int) -> None:
        """One update of the estimators on fresh trajectories; rules that do not learn stay."""
        group, step, batch = self.group, self.optimizer_steps, self.specs[0].batch_size
        group.set_phase(epoch, self.specs[0].epochs, step)
        if group.learns:
            draws = self.draws(batch, "trajectories", step)
            seen = trace(self.system, draws, group.rule.reads_hidden_grads)
            group.learn(seen._replace(noise=group.noise(batch, step)))
            group.count_update()
        self.optimizer_steps += 1

    def draws(self, samples: int, purpose: str, *index: int) -> Draws:
        """Return what is random in a batch of each run, (G, ...), by the run's seed."""
        _, width, outputs, depth = self.shape[:4]
        found = [
            draw_batch(generator(spec.seed, purpose, *index), samples, width, depth, outputs)
            for spec in self.specs
        ]
        return Draws(*map(self._stacked, zip(*found, strict=True)))

    def _stacked(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(tensors)).to(self.device, self.dtype)


@dataclass(frozen=True)
class LQProbe(Probe):
    """Trajectories of a bundle, for the project's measurements."""

    system: System  # (G, ...)
    draws: Draws  # (G, ...)

    def losses(self, run: int, layer: int, h: Tensor) -> Tensor:
        """One run's cost of each sample, rolled forward from h_layer = h with the sample's noise.

        h (n, d) or (m, n, d) -> (n,) or (m, n), float64.
        """
        dynamics = self.system.dynamics[run].to(h.dtype)
        for noise in self.draws.process[run, layer:]:
            h = h @ dynamics.mT + noise.to(h.dtype)
        outputs = h.double() @ self.system.readout[run].double().mT
        return costs(outputs, self.draws.targets[run].double())

    def exact(self, run: int) -> list[Tensor]:
        """One run's costates in float64, each (n, d)."""
        system = System(*(t[run].double() for t in self.system))
        draws = Draws(*(t[run].double() for t in self.draws))
        return trace(system, draws, exact=True).hidden_grads


def train(
    bundle: Bundle, start_epoch: int, on_step: Callable[[int, int], None]
) -> Iterator[list[EpochRecord]]:
    """Train from `start_epoch` finished epochs to the end; one record per run and epoch.

    A run that turns non-finite gets a record with `failure` and is then no longer reported.
    """
    spec, alive = bundle.specs[0], set(range(bundle.size))
    for epoch in range(start_epoch, spec.epochs):
        started = time.perf_counter()
        for step in range(bundle.steps if bundle.group.rule.learned else 0):
            bundle.step(epoch)
            on_step(step + 1, bundle.steps)
        learned = bundle.group.take_metrics()  # waits for the device
        seconds = time.perf_counter() - started
        if not bundle.group.rule.learned:
            on_step(1, 1)
        last = epoch + 1 == spec.epochs
        due = last or (epoch + 1) % spec.measure_every == 0
        reports = measure(bundle) if due else []
        records = []
        for row in sorted(alive):
            metrics = {f"estimator/{name}": value for name, value in learned[row].items()}
            failure, report = "", reports[row] if reports else Report()
            if not all(map(math.isfinite, metrics.values())):
                alive.discard(row)
                where = bundle.non_finite(row) or "all parameters are finite"
                failure = f"non-finite estimator loss in epoch {epoch + 1}: {where}"
                report = Report()
            metrics |= {"time/epoch_seconds": seconds, **report.metrics}
            records.append(EpochRecord(row, epoch + 1, metrics, report.layers, failure))
        yield records
        if not alive:
            return


@torch.no_grad()
def measure(bundle: Bundle) -> list[Report]:
    """All of the project's measurements on held-out trajectories, against the exact costate."""
    spec, group = bundle.specs[0], bundle.group
    draws = bundle.draws(spec.measure_samples, "held_out")
    seen = trace(bundle.system, draws, exact=True)
    shown = seen if group.rule.reads_hidden_grads else seen._replace(hidden_grads=[])
    probe = LQProbe(
        None,
        {},
        seen.labels[0],
        seen.hiddens,
        seen.hidden_grads,
        group.lifted(group.rule.credit, shown),
        Options.from_spec(spec),
        tuple(spec.seed for spec in bundle.specs),
        (group.rule.exact_at_output,) * bundle.size,
        bundle.system,
        draws,
    )
    return take(probe, more=[_ceiling])


def _ceiling(probe: Probe) -> list[Report]:
    """`ceiling/hNN`: the largest cosine within reach of a gradient through LayerNorm(h_l).

    Such a gradient has no component along h_l - mean(h_l) nor along the vector of ones.
    """
    layers = []  # of every run
    for h, g in zip(probe.hiddens, probe.grads, strict=True):
        along = vectors.unit(h - h.mean(-1, keepdim=True))
        within = g - g.mean(-1, keepdim=True) - (g * along).sum(-1, keepdim=True) * along
        layers.append(vectors.cosine(within, g).mean(-1).tolist())
    reports = [Report(layers=[{"ceiling": v} for v in own]) for own in zip(*layers, strict=True)]
    for report in reports:
        report.add_layers("ceiling", [row["ceiling"] for row in report.layers])
    return reports


def bundles(specs: Sequence[RunSpec], done: Mapping[str, tuple[int, int]]) -> list[list[RunSpec]]:
    """Runs that can train side by side: same rule, knobs and settings, and as far along."""
    found: dict[tuple, list[RunSpec]] = {}
    for spec in specs:
        key = (spec.stack_key, rules.of(spec), done.get(spec.spec_hash))
        found.setdefault(key, []).append(spec)
    return list(found.values())

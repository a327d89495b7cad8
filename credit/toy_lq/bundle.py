"""A bundle: runs of one rule with the same knobs, whose estimators train side by side.

Shape legend: G runs of the bundle, N batch, n held-out trajectories, d width, C outputs, L steps.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.func import vmap

from credit import rules
from credit.errors import CreditError
from credit.measures import Options, Probe, Report, available, vectors
from credit.measures.base import layer_name
from credit.randomness import generator
from credit.rules import Shape, State, Trace
from credit.spec import RunSpec
from credit.toy_lq.system import Draws, System, costs, draw_batch, draw_system, outputs_of, trace
from credit.training.group import Group
from credit.training.loop import EpochRecord
from credit.training.stack import Tally

PRECISIONS = {"fp32": torch.float32, "fp64": torch.float64}


class Bundle:
    """Runs with equal configured rules. To checkpoints it is a stack without a network.

    Args:
        specs: the runs; each seed has a system, trajectories and an estimator of its own.
    """

    def __init__(self, specs: Sequence[RunSpec]) -> None:
        first = specs[0]
        self.specs = list(specs)
        self.device = torch.device(first.device)
        self.dtype = PRECISIONS[first.precision]
        self.shape = Shape(0, first.width, outputs_of(first.width), first.depth)
        self.params: dict[str, Tensor] = {}
        self.moments: dict[str, tuple[Tensor, Tensor]] = {}
        self.optimizer_steps = 0
        self.steps = math.ceil(first.train_samples / first.batch_size)
        """In an epoch."""
        systems = [draw_system(spec.seed, first.width, first.depth) for spec in specs]
        self.system = System(*map(self._stacked, zip(*systems, strict=True)))
        self.group = Group(specs, slice(0, len(specs)), self.shape, self.device, self.dtype)

    @property
    def size(self) -> int:
        """G."""
        return len(self.specs)

    def rule_state(self, row: int) -> State:
        """Views of what the rule of run `row` carries."""
        return {name: value[row] for name, value in self.group.state.items()}

    @property
    def tally(self) -> Tally:
        """Nothing: a bundle is saved between epochs only."""
        return Tally(torch.zeros(self.size), torch.zeros(self.size))

    def set_optimizer_steps(self, steps: int) -> None:
        """Continue after `steps` steps."""
        self.optimizer_steps = steps
        self.group.set_optimizer_steps(steps)

    def non_finite(self, row: int) -> str:
        """Which of a run's tensors has an inf or nan, if any."""
        bad = (name for name, v in self.rule_state(row).items() if not v.isfinite().all())
        return next(bad, "")

    def step(self, epoch: int) -> None:
        """One update of the estimators on fresh trajectories; rules that do not learn stay."""
        group, step, batch = self.group, self.optimizer_steps, self.specs[0].batch_size
        group.set_phase(epoch, self.specs[0].epochs, step)
        if group.learns:
            draws = self.draws(batch, "trajectories", step)
            seen = trace(self.system, draws, group.rule.reads_hidden_grads)
            group.learn(cast(Trace, seen), group.noise(batch, step))
            group.count_update()
        self.optimizer_steps += 1

    def draws(self, samples: int, purpose: str, *index: int) -> Draws:
        """What is random in a batch of each run, (G, ...), by the run's seed."""
        _, width, outputs, depth = self.shape
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
            failure = ""
            if not all(map(math.isfinite, metrics.values())):
                alive.discard(row)
                where = bundle.non_finite(row) or "all parameters are finite"
                failure = f"non-finite estimator loss in epoch {epoch + 1}: {where}"
            metrics["time/epoch_seconds"] = seconds
            layers = []
            if reports and not failure:
                metrics |= reports[row].metrics
                layers = reports[row].layers
            records.append(EpochRecord(row, epoch + 1, metrics, layers, failure))
        yield records
        if not alive:
            return


@torch.no_grad()
def measure(bundle: Bundle) -> list[Report]:
    """All of the project's measurements on held-out trajectories, against the exact costate.

    Beside them `copy/hNN`, the cosine of the cost's gradient at h_L, which every rule is shown,
    with the costate at h_l: what passing it back unchanged would reach; and `ceiling/hNN`, the
    largest cosine within reach of a gradient that passes through LayerNorm(h_l), as it has no
    component along h_l - mean(h_l) nor along the vector of ones.
    """
    spec, group = bundle.specs[0], bundle.group
    draws = bundle.draws(spec.measure_samples, "held_out")
    seen = trace(bundle.system, draws, exact=True)
    shown = seen if group.rule.reads_hidden_grads else seen._replace(hidden_grads=[])
    credits = vmap(group.rule.credit)(group.state, cast(Trace, shown))
    shapes = [tuple(a.shape) for a in credits]
    if shapes != [tuple(h.shape) for h in seen.hiddens]:
        raise CreditError(
            f"credits of shapes {shapes}: a rule must return {len(seen.hiddens)} tensors (N, d), "
            f"here {tuple(seen.hiddens[0].shape)} for the bundle"
        )
    probe = LQProbe(
        {},
        seen.labels[0],
        seen.hiddens,
        seen.hidden_grads,
        credits,
        Options.from_spec(spec),
        tuple(spec.seed for spec in bundle.specs),
        (group.rule.exact_at_output,) * bundle.size,
        bundle.system,
        draws,
    )
    parts = [*(one(probe) for one in available().values()), _references(probe)]
    return [_merged([part[row] for part in parts]) for row in range(bundle.size)]


def _references(probe: LQProbe) -> list[Report]:
    """`copy` and `ceiling`, see `measure`."""
    reports = [Report() for _ in range(probe.runs)]
    copies = [vectors.cosine(probe.grads[-1], g).mean(-1).tolist() for g in probe.grads]
    ceilings = []
    for h, g in zip(probe.hiddens, probe.grads, strict=True):
        along = vectors.unit(h - h.mean(-1, keepdim=True))
        within = g - g.mean(-1, keepdim=True) - (g * along).sum(-1, keepdim=True) * along
        ceilings.append(vectors.cosine(within, g).mean(-1).tolist())
    for name, values in (("copy", copies), ("ceiling", ceilings)):
        for row, report in enumerate(reports):
            own = [value[row] for value in values]
            for layer, value in enumerate(own):
                report.add(f"{name}/{layer_name(layer)}", value)
            report.add_means(name, own)
    for row, report in enumerate(reports):
        report.layers = [
            {"copy": copy[row], "ceiling": ceiling[row]}
            for copy, ceiling in zip(copies, ceilings, strict=True)
        ]
    return reports


def _merged(parts: Sequence[Report]) -> Report:
    whole = Report(layers=[{} for _ in parts[0].layers])
    for part in parts:
        whole.metrics |= part.metrics
        for row, columns in zip(whole.layers, part.layers, strict=True):
            row |= columns
    return whole


def bundles(specs: Sequence[RunSpec], done: Mapping[str, tuple[int, int]]) -> list[list[RunSpec]]:
    """Runs that can train side by side: same rule, knobs and settings, and as far along."""
    found: dict[tuple, list[RunSpec]] = {}
    for spec in specs:
        key = (spec.stack_key, rules.of(spec), done.get(spec.spec_hash))
        found.setdefault(key, []).append(spec)
    return list(found.values())

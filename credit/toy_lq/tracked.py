"""The toy LQ experiment in the tracking store, by the same runner as every sweep."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from credit.errors import CreditError
from credit.measures import Report
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep import planning
from credit.sweep.networks import Networks
from credit.sweep.tracked_stack import TrackedStack
from credit.toy_lq import system
from credit.toy_lq.bundle import PRECISIONS, Bundle, bundles, measure, train
from credit.tracking.writer import Store, Writer
from credit.training.loop import EpochRecord


@dataclass
class TrackedBundle(TrackedStack):
    """A bundle on its way through training, with the MLflow runs it reports to."""

    stack: Bundle
    data: None  # trajectories are drawn as they go
    saves_steps = False
    classifies = False  # of a linear system there is no network: what trains is an estimator

    def _records(
        self, start: int, on_step: Callable[[int, int], None], pause: Callable[[], None]
    ) -> Iterator[list[EpochRecord]]:
        return train(self.stack, start, on_step)

    def _reports(self) -> list[Report]:
        return measure(self.stack)

    def _summary(self, records: Sequence[EpochRecord]) -> str:
        return self.stack.specs[0].rule


class Trajectories(Networks):
    """Bundles in place of stacks; their trajectories are drawn as they go."""

    def __init__(
        self,
        specs: Sequence[RunSpec],
        pending: Sequence[RunSpec],
        store: Store,
        memory: int | None = None,
        workers: int = 1,  # bundles stay whole
    ) -> None:
        for spec in specs:
            check(spec)
        self._planned = memory is not None
        self.free = planning.memory_free(specs[0].device) if memory is None else memory

    def shape(self, spec: RunSpec) -> Shape:
        """No input units, as there is no embedding."""
        return Shape(0, spec.width, system.outputs_of(spec.width), spec.depth)

    def steps(self, spec: RunSpec) -> int:
        return math.ceil(spec.train_samples / spec.batch_size)

    def plan(
        self,
        pending: Sequence[RunSpec],
        done: Mapping[str, tuple[int, int]],
        began: Mapping[str, str],  # memory splits no bundle
    ) -> list[list[RunSpec]]:
        return bundles(pending, done)

    def source(self, spec: RunSpec) -> dict[str, str]:
        return data_of(spec)

    def stack(self, runs: Sequence[RunSpec]) -> Bundle:
        return Bundle(runs)

    def tracked(
        self, stack: Bundle, run_ids: list[str], store: Store, writer: Writer, state: Path
    ) -> TrackedBundle:
        return TrackedBundle(stack, run_ids, None, store, writer, state)


def check(spec: RunSpec) -> None:
    """Refuse a run that makes no sense here."""
    if spec.train_samples < 1:
        raise CreditError(
            f"train_samples={spec.train_samples}: trajectories are drawn without end, pass how "
            "many make an epoch"
        )
    if spec.width < 2:
        raise CreditError(
            f"width={spec.width} is too small for a system that turns: pass 2 or more"
        )
    if spec.precision not in PRECISIONS:
        raise CreditError(
            f"precision={spec.precision} is for networks: pass {' or '.join(PRECISIONS)}"
        )


def data_of(spec: RunSpec) -> dict[str, str]:
    """Return what the tracking store calls a run's data: all that its system is drawn from."""
    facts = {"seed": spec.seed, "width": spec.width, "depth": spec.depth, **system.constants()}
    return {
        "name": "toy_lq",
        "digest": hashlib.sha256(repr(facts).encode()).hexdigest()[:16],
        "source": "credit.toy_lq.system",
    }

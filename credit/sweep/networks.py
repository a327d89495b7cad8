"""Networks on data, as a sweep trains them: their stacks, their shapes and their memory."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from credit import rules
from credit.data import Dataset, load
from credit.errors import CreditError
from credit.finished import starting
from credit.networks import kinds
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep import planning
from credit.sweep.tracked_stack import TrackedStack
from credit.tracking.writer import Store, Writer
from credit.training import trial
from credit.training.stack import Stack


class Networks:
    """The networks of a sweep and their data.

    Another kind of training subclasses this (`credit.toy_lq.tracked`).

    Args:
        specs: all runs of the sweep; bad ones are a CreditError.
        pending: those of them that are still to be trained.
        memory: bytes that a worker has, where stacks train in other processes and are only planned
            here, on the CPU. None is what is free on their device.
        workers: how many stacks train at once.
    """

    def __init__(
        self,
        specs: Sequence[RunSpec],
        pending: Sequence[RunSpec],
        store: Store,
        memory: int | None = None,
        workers: int = 1,
    ) -> None:
        self._planned, self._workers = memory is not None, workers
        if len(devices := {spec.place for spec in specs}) > 1:
            raise CreditError(f"one sweep trains on one device, not {', '.join(sorted(devices))}")
        self._data = {key: load(*key) for key in dict.fromkeys(map(self._data_key, specs))}
        for spec in pending:
            check_staleness(spec, self.data(spec))
        used = sum(
            planning.memory_of_data(data, [s for s in specs if self._data_key(s) == key])
            for key, data in self._data.items()
        )
        free = planning.memory_free(specs[0].device) if memory is None else memory
        self.free = free - used
        self.starts = starting.networks(pending, store)

    def data(self, spec: RunSpec) -> Dataset:
        """Return what a run trains on."""
        return self._data[self._data_key(spec)]

    def _data_key(self, spec: RunSpec) -> tuple[str, str, None, int, int | None]:
        """Return the arguments of `load`."""
        device = "cpu" if self._planned else spec.device
        return spec.dataset, device, None, spec.train_samples, labels_seed(spec)

    def shape(self, spec: RunSpec) -> Shape:
        """The dimensions of a run's network."""
        return shape_of(spec, self.data(spec))

    def steps(self, spec: RunSpec) -> int:
        """Return how many steps an epoch of a run has."""
        return math.ceil(self.data(spec).n_train / spec.batch_size)

    def check(self, pending: Sequence[RunSpec]) -> None:
        """Refuse what cannot be trained, before any run is created."""
        for spec in pending:
            rules.of(spec).check(spec, self.shape(spec))
        trial.check_states(pending, self.shape)
        planning.check(pending, self.shape, self.free)
        here = [spec.replace(device="cpu") for spec in pending] if self._planned else pending
        trial.check_credits(here, self.shape)

    def plan(
        self,
        pending: Sequence[RunSpec],
        done: Mapping[str, tuple[int, int]],
        began: Mapping[str, str],
    ) -> list[list[RunSpec]]:
        """Return the runs of each stack; arguments as `planning.plan` has them."""
        return planning.plan(pending, self.shape, done, self.free, began, self._workers)

    def source(self, spec: RunSpec) -> dict[str, str]:
        """Return what the tracking store calls a run's data."""
        data = self.data(spec)
        return {"name": data.name, "digest": data.digest, "source": data.source}

    def stack(self, runs: Sequence[RunSpec]) -> Stack:
        """Runs that train together, before their first step."""
        return Stack(runs, self.shape(runs[0]), self.starts)

    def tracked(
        self, stack: Stack, run_ids: list[str], store: Store, writer: Writer, state: Path
    ) -> TrackedStack:
        """A stack with the MLflow runs it reports to."""
        return TrackedStack(stack, run_ids, self.data(stack.specs[0]), store, writer, state)


def labels_seed(spec: RunSpec) -> int | None:
    """The seed of the run's permuted labels; None where they are the true ones."""
    return spec.seed if spec.random_labels else None


def check_staleness(spec: RunSpec, data: Dataset) -> None:
    """Refuse a `stale_steps` above the steps of an epoch, where a run measures it."""
    steps = math.ceil(data.n_train / spec.batch_size)
    if rules.get(spec.rule).learned and spec.stale_steps > steps:
        raise CreditError(
            f"stale_steps={spec.stale_steps} is more than the {steps} steps of an epoch "
            f"({data.n_train} samples in batches of {spec.batch_size}): pass at most {steps}"
        )


def shape_of(spec: RunSpec, data: Dataset) -> Shape:
    """The dimensions of a run's network."""
    return kinds.shape_of(spec, tuple(data.train_images.shape[1:]), data.classes)

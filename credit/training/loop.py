"""The training loop: epochs of a stack, one record per run and epoch."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from credit.data import Dataset
from credit.data.batches import held_out, train_batches
from credit.measures import Report
from credit.training.cost import costs
from credit.training.measuring import evaluate, measure_held_out
from credit.training.stack import Stack
from credit.training.staleness import Staleness


@dataclass(frozen=True)
class EpochRecord:
    """What one run did in one epoch, as plain numbers."""

    row: int  # position in the stack
    epoch: int  # 1 is the first
    metrics: dict[str, float]
    layers: list[dict] = field(default_factory=list)  # per-layer diagnostics, where measured
    failure: str = ""  # why the run cannot go on


def learning_rate(base: float, epoch: int, epochs: int) -> float:
    """Cosine from `base` to 0, constant within an epoch; `epoch` counts from 0."""
    return base * (1 + math.cos(math.pi * epoch / epochs)) / 2


def train(
    stack: Stack,
    data: Dataset,
    start_epoch: int = 0,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
    pause: Callable[[], None] = lambda: None,
) -> Iterator[list[EpochRecord]]:
    """Train from `start_epoch` finished epochs to the end, yielding one record per run and epoch.

    Where the stack was restored in mid-epoch (`Stack.tally`), the epoch goes on from there. A run
    that turns non-finite gets a record with `failure` and is then no longer reported; the others go
    on, and their numbers do not change.

    Args:
        on_step: called after each step with (steps done, steps) of the epoch; what it raises stops
            the training.
        pause: called again and again while the epoch is evaluated and measured; what it raises
            stops the training after the epoch's last step, where a checkpoint can go on.
    """
    spec = stack.specs[0]
    test = held_out(data, stack.dtype)
    steps = math.ceil(data.n_train / spec.batch_size)
    alive = set(range(stack.size))
    for epoch in range(start_epoch, spec.epochs):
        tally = stack.tally
        started = time.perf_counter() - tally.seconds
        stack.set_lr(learning_rate(spec.lr, epoch, spec.epochs))
        last = epoch + 1 == spec.epochs
        measured = last or (epoch + 1) % spec.measure_every == 0
        stale = Staleness(stack, data) if measured and spec.stale_steps else None
        tally.whole = stale is None  # no checkpoint holds the estimators that are kept for it
        batches = train_batches(
            data, stack.seeds, epoch, spec.batch_size, spec.augment, stack.dtype
        )
        for step, (x, y) in enumerate(stack.ahead(batches), start=1):
            if step <= tally.steps:  # before the checkpoint
                continue
            stack.set_phase(epoch, spec.epochs)
            batch_loss, batch_correct = stack.step(x, y)
            tally.loss += batch_loss
            tally.correct += batch_correct
            tally.steps, tally.seconds = step, time.perf_counter() - started
            if stale and step == min(spec.stale_steps, steps):
                stale.note("steps")
            on_step(step, steps)
        accuracies = evaluate(stack.network, stack.params, *test, pause).tolist()  # waits
        losses, hits = ((t / data.n_train).tolist() for t in (tally.loss, tally.correct))
        seconds = time.perf_counter() - started
        reports = measure_held_out(stack, data, pause=pause) if measured else []
        if stale:
            stale.note("epoch")
        learned = stack.take_metrics()  # from here on a checkpoint is the whole epoch's
        stack.begin_epoch()
        records = []
        for row in sorted(alive):
            metrics = {
                "accuracy/test": accuracies[row],
                "accuracy/train": hits[row],
                "loss/train": losses[row],
                "time/epoch_seconds": seconds,
                "time/run_epoch_seconds": seconds / stack.size,
            }
            metrics |= {f"estimator/{name}": value for name, value in learned[row].items()}
            if epoch == 0:
                metrics |= costs(stack.specs[row], stack.shape)
            if stale:
                metrics |= stale.metrics[row]
            failure, report = "", reports[row] if reports else Report()
            if not math.isfinite(metrics["loss/train"]):
                alive.discard(row)
                where = stack.non_finite(row) or "all parameters are finite"
                failure = f"non-finite training loss in epoch {epoch + 1}: {where}"
                report = Report()
            metrics |= report.metrics
            records.append(EpochRecord(row, epoch + 1, metrics, report.layers, failure))
        yield records
        if not alive:
            return

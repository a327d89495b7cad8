"""A stack on its way through training, with the MLflow runs it reports to."""

import contextlib
import hashlib
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import ClassVar

import pandas as pd
import torch
from tqdm import tqdm

from credit.data import Dataset
from credit.errors import Stopped
from credit.measures import Report
from credit.serving import sample_of
from credit.spec import RunSpec
from credit.sweep import checkpoints
from credit.tracking.reader import LAYERS
from credit.tracking.writer import Store, Writer, log_network, log_table
from credit.training import checkpoint
from credit.training.loop import EpochRecord, train
from credit.training.measuring import measure_held_out
from credit.training.stack import Stack

CHECKPOINT_SECONDS = 60.0
"""Least time between two checkpoints of a stack; there is always one after the last epoch."""
MOST_SHOWN = 4
"""Rules whose accuracies the progress bar shows."""
FLUSH_SECONDS = 120.0
"""How long the end of a sweep waits for a tracking server that is away."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that ask a sweep to stop: SIGHUP says that the terminal is gone, and SIGUSR1 and SIGUSR2
are what batch systems send before the time is up or the job is preempted."""


class Patience:
    """When a signal stops the program: at once, or, within `until_asked`, when it is asked."""

    def __init__(self) -> None:
        self._waiting = False
        self._signal = ""

    def signalled(self, name: str) -> None:
        """A signal has come."""
        if not self._waiting:
            raise Stopped(name)
        self._signal = name

    @property
    def asked_to_stop(self) -> bool:
        """A signal waits to be obeyed."""
        return bool(self._signal)

    @contextlib.contextmanager
    def until_asked(self) -> Iterator[None]:
        """Note signals until the step's end; on leaving at the latest they raise Stopped."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False
            name, self._signal = self._signal, ""
            if name:
                raise Stopped(name)


PATIENCE = Patience()
"""Of this process: signals are the process's, too."""


class _AtStep(BaseException):
    """Ends training between two steps; why is `PATIENCE`'s to say."""


def hash_of(kind: str, specs: Sequence[RunSpec]) -> str:
    """16 hex digits that name a grid of runs, whatever their order."""
    text = "/".join([kind, *sorted(spec.spec_hash for spec in specs)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass
class TrackedStack:
    """One stack on its way through training, with the MLflow runs it reports to."""

    stack: Stack
    run_ids: list[str]
    data: Dataset
    store: Store
    writer: Writer
    state: Path
    uploads: bool = False
    """Checkpoints go to the tracking store, too."""
    saves_steps: ClassVar[bool] = True
    """A checkpoint may fall within an epoch."""
    classifies: ClassVar[bool] = True
    """Its networks take what the data has, and become MLflow models."""

    @property
    def path(self) -> Path:
        """The stack's checkpoint; the same for the same runs."""
        digest = hash_of("stack", self.stack.specs)
        return self.state / "stacks" / f"{digest}.safetensors"

    def train(self, start: int, bar: tqdm) -> dict[str, str]:
        """Train to the end and finish every run; return failures as spec hash -> reason."""
        failures: dict[int, str] = {}
        layers: dict[int, list[dict]] = {}
        try:
            with PATIENCE.until_asked(), contextlib.suppress(_AtStep):
                self._epochs(start, bar, failures, layers)
            self._finish(failures, layers)
        except torch.OutOfMemoryError:
            raise  # `worker.train` goes on with these runs
        except BaseException as error:
            reason = "stopped" if isinstance(error, Stopped) else f"{type(error).__name__}: {error}"
            for run_id in self.run_ids:  # what has ended, or is about to, keeps its end
                self.writer.finish(run_id, "KILLED", reason)
            raise
        return {self.stack.specs[row].spec_hash: reason for row, reason in failures.items()}

    def _epochs(
        self, start: int, bar: tqdm, failures: dict[int, str], layers: dict[int, list[dict]]
    ) -> None:
        epochs, done = self.stack.specs[0].epochs, start
        saved_at = uploaded_at = time.monotonic()

        def save() -> None:
            nonlocal saved_at, uploaded_at
            self.writer.sync(self.run_ids)
            checkpoint.save_stack(self.stack, done, self.path)
            saved_at = time.monotonic()
            due = saved_at - uploaded_at >= checkpoints.UPLOAD_SECONDS
            if self.uploads and (due or PATIENCE.asked_to_stop):
                checkpoints.upload(self.store, self.writer, self.run_ids[0], self.path)
                uploaded_at = time.monotonic()

        def save_step() -> None:
            if self.saves_steps and self.stack.tally.whole:
                save()

        def on_step(step: int, steps: int) -> None:
            bar.update(self.stack.size / steps)
            if time.monotonic() - saved_at >= CHECKPOINT_SECONDS:
                save_step()
            stop_if_asked()

        def stop_if_asked() -> None:
            if PATIENCE.asked_to_stop:
                save_step()
                raise _AtStep

        for records in self._records(start, on_step, stop_if_asked):
            for record in records:
                self.writer.log(self.run_ids[record.row], record.epoch, record.metrics)
                if record.layers:
                    layers[record.row] = record.layers
                if record.failure:
                    failures[record.row] = record.failure
                    self.writer.finish(self.run_ids[record.row], "FAILED", record.failure)
            done = records[0].epoch
            shown = f"{self._summary(records)}, epoch {done}/{epochs}"
            bar.set_postfix_str(shown, refresh=False)  # shown as often as the bar is
            due = PATIENCE.asked_to_stop or time.monotonic() - saved_at >= CHECKPOINT_SECONDS
            if done == epochs or due:
                save()
            if PATIENCE.asked_to_stop:
                return

    def _records(
        self, start: int, on_step: Callable[[int, int], None], pause: Callable[[], None]
    ) -> Iterator[list[EpochRecord]]:
        """Training itself, epoch after epoch."""
        return train(self.stack, self.data, start, on_step, pause)

    def _reports(self) -> list[Report]:
        """The measurements at the end, of every run."""
        return measure_held_out(self.stack, self.data)

    def _summary(self, records: Sequence[EpochRecord]) -> str:
        """Test accuracies by rule, of the most trained blocks, for the progress bar."""
        deep, by_rule = max(spec.k for spec in self.stack.specs), {}
        for record in records:
            spec = self.stack.specs[record.row]
            if spec.k == deep:
                name = spec.rule.rpartition(":")[2]
                by_rule.setdefault(name, []).append(record.metrics["accuracy/test"])
        said = [f"{name} {fmean(values):.3f}" for name, values in by_rule.items()]
        more = f" and {len(said) - MOST_SHOWN} more" if len(said) > MOST_SHOWN else ""
        return f"k={deep} {', '.join(said[:MOST_SHOWN])}{more}"

    def _finish(self, failures: dict[int, str], layers: dict[int, list[dict]]) -> None:
        """Upload weights, model and layer table, and end the runs.

        The stack's checkpoint goes when every end is accepted: a signal may end this anywhere.
        """
        spec = self.stack.specs[0]
        for row, run_id in enumerate(self.run_ids):
            reason = self.stack.non_finite(row)
            if row not in failures and reason:
                failures[row] = f"non-finite after epoch {spec.epochs}: {reason}"
                self.writer.finish(run_id, "FAILED", failures[row])
        if not layers:  # killed between the last epoch and here
            layers = {row: report.layers for row, report in enumerate(self._reports())}
        sample = sample_of(self.data) if self.classifies else None
        folders = []
        for row, run_id in enumerate(self.run_ids):
            if row in failures:
                continue
            folder = self.state / "final" / run_id
            checkpoint.save_run(self.stack, row, spec.epochs, folder / "checkpoint")
            folders.append(folder)
            files, frame = str(folder / "checkpoint"), pd.DataFrame(layers[row])
            client = self.store.client
            self.writer.then(run_id, partial(client.log_artifacts, run_id, files, "checkpoint"))
            self.writer.then(run_id, partial(log_table, self.store, run_id, frame, LAYERS))
            if sample:
                weights = folder / "checkpoint" / "weights.safetensors"
                model = (self.store, run_id, self.stack.specs[row], weights, sample)
                self.writer.then(run_id, partial(log_network, *model))
            self.writer.finish(run_id)
        if self.writer.flush(FLUSH_SECONDS) == 0:
            checkpoints.drop(self.path)
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Turn the first of `SIGNALS` into `Stopped`, so that runs are ended and metrics sent.

    Those that follow change nothing, but for a second Ctrl-C. Under `nohup` SIGHUP stays ignored.
    """

    def stop(number: int, frame: object) -> None:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C is not patient
        PATIENCE.signalled(signal.Signals(number).name)

    deaf = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    heard = [number for number in SIGNALS if not (deaf and number == signal.SIGHUP)]
    old = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)

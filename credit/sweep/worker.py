"""A stack from its specs to its finished runs, in the process of the sweep or in one of its own."""

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import tenacity
import torch
from filelock import FileLock
from tqdm import tqdm

from credit.errors import CreditError
from credit.rules.shared.names import run_name
from credit.spec import RunSpec
from credit.sweep import checkpoints, machine
from credit.sweep.networks import Networks
from credit.sweep.running import refuse_elsewhere
from credit.sweep.tracked_stack import FLUSH_SECONDS, PATIENCE, hash_of, stop_on_signals
from credit.tracking.marks import REASON
from credit.tracking.store import AWAY, is_final, open_store, quick_http, shown
from credit.tracking.writer import Row, Store, Writer, find_children, open_child
from credit.training import checkpoint
from credit.training.stack import Stack

T = TypeVar("T")

SETTLED = ("FINISHED", "FAILED")
"""States of runs that are not trained any further."""
PATIENCE_SECONDS = 600.0
"""How long a sweep waits, between two stacks, for a tracking store that is away."""


@dataclass(frozen=True)
class Task:
    """A stack to train, as it is handed to a worker."""

    specs: tuple[RunSpec, ...]
    parent_id: str
    names: Mapping[str, str]  # of rules, as `names.shortest` gave them
    owner: str  # the place whose commands train it
    state: Path
    uploads: bool  # checkpoints go to the store, too
    take_over: bool  # also runs that are RUNNING for another place
    context: Mapping[str, str]  # tags of new runs: the command, user and commit
    training: type[Networks]
    environment: Mapping[str, str]  # of a worker in a process of its own
    threads: int = 0  # of such a worker; 0 leaves torch's number

    @property
    def name(self) -> str:
        """Hex digits that name the stack; the same for the same runs."""
        return hash_of("stack", self.specs)


class Settled(NamedTuple):
    """The runs of a stack that are finished or failed."""

    run_ids: dict[str, str]  # by spec hash
    failures: dict[str, str]  # reasons by spec hash


NOTHING = Settled({}, {})


def unsettled(store: Store, specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Return the specs whose runs the store has neither as finished nor as failed."""
    found = find_children(store, [spec.spec_hash for spec in specs])
    settled = {key for key, run in found.items() if run.status in SETTLED}
    return [spec for spec in specs if spec.spec_hash not in settled]


def train(task: Task, work: Networks, writer: Writer, bar: tqdm) -> Settled:
    """Train a stack, from its last checkpoint if there is one, and end its runs.

    One that does not fit into a GPU's memory after all goes on in halves.

    Raises:
        CreditError: the only checkpoint is not readable, the store is away for
            `PATIENCE_SECONDS`, or a single run does not fit.
        Stopped: by a signal.
    """
    try:
        return _train(task, work, writer, bar)
    except torch.OutOfMemoryError as error:
        if len(task.specs) == 1:
            _abandon(task, writer, "out of memory")
            raise CreditError(
                f"{label(task.specs[0])} does not fit into the memory of {task.specs[0].device}: "
                "lower width, depth, batch_size or measure_samples, or use another device"
            ) from error
    gc.collect()  # here, because the error held the tensors of the stack
    torch.cuda.empty_cache()
    writer.flush(FLUSH_SECONDS)  # runs that have ended are then known to have
    print("credit: a stack does not fit into memory: it goes on in halves", file=sys.stderr)
    half, settled = len(task.specs) // 2, NOTHING
    try:
        for specs in (task.specs[:half], task.specs[half:]):
            own = train(replace(task, specs=specs), work, writer, bar)
            settled = Settled(settled.run_ids | own.run_ids, settled.failures | own.failures)
    except BaseException:
        _abandon(task, writer, "stopped before it was trained on")
        raise
    return settled


def _abandon(task: Task, writer: Writer, reason: str) -> None:
    """End the runs of a stack that are open: nothing stays RUNNING that nobody trains."""
    with contextlib.suppress(*AWAY), quick_http():  # the error that is on its way says more
        hashes = [spec.spec_hash for spec in task.specs]
        for run in find_children(writer.store, hashes).values():
            if run.status == "RUNNING":
                writer.finish(run.run_id, "KILLED", reason)


def _train(task: Task, work: Networks, writer: Writer, bar: tqdm) -> Settled:
    store = writer.store
    hashes = sorted(spec.spec_hash for spec in task.specs)
    folder = task.state / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as locks:
        for key in hashes:  # a worker whose command is gone may still train one of the runs
            locks.enter_context(FileLock(folder / key))
        found = patiently(store, lambda: find_children(store, hashes))
        refuse_elsewhere(found, "" if task.take_over else task.owner)
        ended = {key: run for key, run in found.items() if run.status in SETTLED}
        ids = {key: run.run_id for key, run in ended.items()}
        failures = {key: reason_of(run) for key, run in ended.items() if not run.finished}
        specs = [spec for spec in task.specs if spec.spec_hash not in ended]
        if specs:
            if task.uploads:
                patiently(store, lambda: checkpoints.fetch(store, found, task.state))
            stack = work.stack(specs)
            start = patiently(store, lambda: _resumed(stack, found, writer, task.state))
            opened: dict[str, str] = {}
            try:
                for spec in specs:
                    _open(task, spec, found.get(spec.spec_hash), opened, work, writer)
                run_ids = list(opened.values())
                tracked = work.tracked(stack, run_ids, store, writer, task.state)
                tracked.uploads = task.uploads
                failures |= tracked.train(start, bar)
            except torch.OutOfMemoryError:
                raise  # `train` goes on with these runs
            except BaseException:  # nothing stays RUNNING that nobody trains
                for run_id in opened.values():
                    writer.finish(run_id, "KILLED", "stopped before it was trained")
                raise
            ids |= opened
        if task.uploads:
            checkpoints.drop_uploads(store, ids.values())
        return Settled(ids, failures)


def reason_of(run: Row) -> str:
    """Return why a run failed, as far as is noted."""
    return run.tags.get(REASON, "failed earlier")


def run(task: Task) -> Settled:
    """Train a stack in a process that does nothing else; return when the store has all of it."""
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ.update(task.environment)
    path = task.environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path += [folder for folder in path if folder not in sys.path]  # of the user's rules
    if task.threads:
        torch.set_num_threads(task.threads)
    with stop_on_signals(), contextlib.ExitStack() as exits:
        store = patiently(None, open_store)
        writer = exits.enter_context(Writer(store, task.state / "journal"))
        work = patiently(store, lambda: task.training(task.specs, task.specs, store))
        settled = train(task, work, writer, tqdm(disable=True))
        sent(writer, task.state, PATIENCE_SECONDS)
        return settled


def sent(writer: Writer, state: Path, seconds: float = 0.0) -> None:
    """Refuse to end while a value has not reached the store."""
    unsent = writer.flush(seconds or FLUSH_SECONDS)
    for run_id, reason in writer.refused.items():
        raise CreditError(f"run {run_id} takes no more values: {reason}")
    if unsent:
        raise CreditError(
            f"{unsent} metric values are not sent: {shown(writer.store.uri)} is away; they are "
            f"kept in {state / 'journal'}, the same command sends them"
        )


def _resumed(stack: Stack, found: Mapping[str, Row], writer: Writer, state: Path) -> int:
    """Restore a stack from its checkpoint; return the epochs it has done, 0 from scratch."""
    saved = checkpoints.find(stack.specs, found, writer, state)
    sources = [saved.get(spec.spec_hash) for spec in stack.specs]
    whole = [source for source in sources if source is not None]
    if len(whole) == len(sources) and len({header.done for header, _ in whole}) == 1:
        checkpoint.restore(stack, whole)
        return whole[0][0].epoch
    lost = [
        f"{label(spec)}, {len(steps)} epochs"
        for spec in stack.specs
        if spec.spec_hash in found and (steps := writer.known_steps(found[spec.spec_hash].run_id))
    ]
    if lost:
        print(
            f"credit: {len(lost)} runs have recorded epochs ({lost[0]}), and no checkpoint in "
            f"{state / 'stacks'} goes on from them (CREDIT_STATE names another folder): they "
            "start over",
            file=sys.stderr,
        )
    return 0


def _open(
    task: Task, spec: RunSpec, old: Row | None, ids: dict[str, str], work: Networks, writer: Writer
) -> None:
    """Add the MLflow run of `spec`, ours from now on, to `ids`."""
    store, tries = writer.store, 0
    name, source = run_name(spec, task.names), work.source(spec)
    context = {**task.context, **machine.tags(spec.device)}

    def attempt() -> None:
        nonlocal tries, old
        if tries:  # the run may have been made, and the answer lost
            old = find_children(store, [spec.spec_hash]).get(spec.spec_hash)
        tries += 1
        with PATIENCE.until_asked():  # a signal must not part the run from its id
            ids[spec.spec_hash] = open_child(
                store, task.parent_id, spec, old, source, writer.then, name, task.owner, context
            )

    patiently(store, attempt)


def label(spec: RunSpec) -> str:
    """A run in words: its name, and what tells it from another of that name."""
    return f"{spec.name} ({spec.spec_hash[:8]})"


def patiently(store: Store | None, action: Callable[[], T]) -> T:
    """Return what `action` gives, repeated while the store is away, up to PATIENCE_SECONDS."""
    who = shown(store.uri) if store else "the tracking store"
    repeated = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_away),
        wait=tenacity.wait_exponential(max=10),
        stop=tenacity.stop_after_delay(PATIENCE_SECONDS),
    )
    try:
        return repeated(action)
    except tenacity.RetryError as error:
        raise CreditError(
            f"{who} has been away for {PATIENCE_SECONDS:.0f} s: what is trained is kept on disk, "
            "run the same command again"
        ) from error
    except AWAY as error:
        cause = shown(" ".join(str(error).split()))[:300]
        raise CreditError(
            f"{who} refuses it ({cause}): what is trained is kept on disk, mend that and run the "
            "same command again"
        ) from error


def _is_away(error: BaseException) -> bool:
    """Return whether the store did not answer, said by MLflow or by one of our lines."""
    cause = error.__cause__ if isinstance(error, CreditError) and error.__cause__ else error
    return isinstance(cause, AWAY) and not is_final(cause)

"""The queue of a sweep: which of its runs are open, and whose turn it is.

Several processes may work on the same runs at once. A process claims a stack before it trains it:
it marks the MLflow runs as its own, and is believed as long as it lives (`marks.is_busy`). On one
host a file lock makes claims one after another; between hosts, which share a server only, a claim
counts when it is still uncontested a moment later.
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import tenacity
from filelock import FileLock
from tqdm import tqdm

from credit.errors import CreditError
from credit.rules.names import run_name, shortest
from credit.spec import RunSpec
from credit.sweep.networks import Networks
from credit.sweep.state import read_plan, write_plan
from credit.sweep.tracked_stack import PATIENCE, TrackedStack, hash_of
from credit.tracking.store import AWAY, is_final, shown, sqlite_path
from credit.tracking.writer import (
    Busy,
    FoundRun,
    Store,
    Writer,
    contested,
    find_children,
    join,
    open_child,
    release,
)
from credit.training import checkpoint

T = TypeVar("T")

POLL_SECONDS = 2.0
"""Between two looks at runs that another process trains."""
SETTLE_SECONDS = 1.0
"""After which a claim on a server is looked at again; up to ten times as long where it is slow."""
PATIENCE_SECONDS = 600.0
"""How long a sweep waits, between two stacks, for a tracking store that is away."""


def label(spec: RunSpec) -> str:
    """A run in words: its name, and what tells it from another of that name."""
    return f"{spec.name} ({spec.spec_hash[:8]})"


def claims_lock(store: Store, state: Path) -> FileLock:
    """Held by one process of this host while it looks for runs and claims them."""
    path = sqlite_path(store.uri)  # two processes may share it and not the state folder
    return FileLock(f"{path}.claims" if path else state / "claims.lock")


class Queue:
    """The runs of a sweep that are not settled yet.

    Attributes:
        run_ids: of settled runs, and of those trained here, by spec hash.
        failures: reasons, by `label`.
    """

    def __init__(
        self,
        specs: Sequence[RunSpec],
        work: Networks,
        store: Store,
        parent_id: str,
        writer: Writer,
        state: Path,
    ) -> None:
        self.run_ids: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self._open = {spec.spec_hash: spec for spec in specs}
        self._work, self._store, self._parent_id = work, store, parent_id
        self._writer, self._state = writer, state
        self._names = shortest(spec.rule for spec in specs)
        self._from_scratch: set[str] = set()
        self._claimed: dict[str, str] = {}  # runs that this process has opened and not trained
        self._told: set[str] = set()
        self._lock = claims_lock(store, state)
        digest = hash_of(f"plan/{specs[0].device}", specs)
        self._plan = state / "plans" / f"{digest}.json"

    def train(self, bar: tqdm) -> None:
        """Train every run that is open and free; wait for those that others train.

        Raises:
            CreditError: a checkpoint is not readable and is the only one, the store is away for
                `PATIENCE_SECONDS`, or a value could not be sent.
            Stopped: by a signal.
        """
        try:
            while self._open:
                self._train_next(bar)
            self._plan.unlink(missing_ok=True)
        except BaseException:  # stopped, say: nothing stays RUNNING that nobody trains
            for run_id in self._claimed.values():
                self._writer.finish(run_id, "KILLED", "stopped before it was trained")
            raise

    def _train_next(self, bar: tqdm) -> None:
        """Train a stack; wait a little if none is free. Its memory is free on return."""
        taken = self._take(bar)
        if taken is None:
            time.sleep(POLL_SECONDS)
            return
        tracked, start = taken
        for key, reason in tracked.train(start, bar).items():
            self.failures[label(self._open[key])] = reason
        for spec, run_id in zip(tracked.stack.specs, tracked.run_ids, strict=True):
            self.run_ids[spec.spec_hash] = run_id
            del self._open[spec.spec_hash]
            self._claimed.pop(spec.spec_hash, None)

    def _take(self, bar: tqdm) -> tuple[TrackedStack, int] | None:
        """The next stack, claimed, and the epochs it has done; None if none is free now."""
        with self._lock:
            found = patiently(self._store, lambda: find_children(self._store, self._open))
            self._settle(found)
            free = [s for key, s in self._open.items() if key not in found or not found[key].busy]
            if busy := len(self._open) - len(free):
                self._tell("busy", f"{busy} runs are being trained by another process")
            if not free:
                return None
            return self._claim(free, found, bar)

    def _settle(self, found: Mapping[str, FoundRun]) -> None:
        before = len(self._open)
        there = [old.run_id for old in found.values() if old.status in ("FINISHED", "FAILED")]
        patiently(self._store, lambda: join(self._store, self._parent_id, there))
        for key, old in found.items():
            if old.status == "FAILED":
                self.failures[label(self._open[key])] = old.reason or "failed earlier"
            if old.status in ("FINISHED", "FAILED"):
                self.run_ids[key] = old.run_id
                del self._open[key]
                self._claimed.pop(key, None)
        if settled := before - len(self._open):
            self._tell("there", f"{settled} of {before} runs are already there")

    def _claim(
        self, free: Sequence[RunSpec], found: Mapping[str, FoundRun], bar: tqdm
    ) -> tuple[TrackedStack, int] | None:
        saved, began = self._saved(free, found), read_plan(self._plan)
        while True:  # until the first stack has no checkpoint that would leave a gap
            done = {key: header.done for key, (header, _) in saved.items()}
            stacks = self._work.plan(free, done, began)
            runs = stacks[0]
            broken = [
                spec.spec_hash
                for spec in runs
                if spec.spec_hash in saved
                and not self._continues(found[spec.spec_hash], saved[spec.spec_hash][0])
            ]
            if not broken:
                break
            self._from_scratch.update(broken)
            saved = {key: source for key, source in saved.items() if key not in broken}
        names = {spec.spec_hash: hash_of("stack", stack) for stack in stacks for spec in stack}
        if names.keys() - began.keys():
            write_plan(self._plan, names | began)
        left = sum(spec.epochs - done.get(spec.spec_hash, (0, 0))[0] for spec in free)
        bar.total = bar.n + left + 1e-6  # steps are fractions of an epoch: room for rounding
        stack = self._work.stack(runs)
        start, steps = done.get(runs[0].spec_hash, (0, 0))
        if start or steps:
            checkpoint.restore(stack, [saved[spec.spec_hash] for spec in runs])
        elif lost := [
            f"{label(spec)}, {len(steps)} epochs"
            for spec in runs
            if spec.spec_hash in found
            and (steps := self._writer.known_steps(found[spec.spec_hash].run_id))
        ]:
            here = self._state / "stacks"
            self._tell(
                ",".join(lost),
                f"credit: {len(lost)} runs have recorded epochs ({lost[0]}), and no checkpoint in "
                f"{here} goes on from them (CREDIT_STATE names another folder): they start over",
            )
        ids: dict[str, str] = {}
        began = time.monotonic()
        try:
            for spec in runs:
                self._opened(spec, found.get(spec.spec_hash), ids)
            if self._lost(ids, found, time.monotonic() - began):
                return None
            tracked = self._work.tracked(
                stack, list(ids.values()), self._store, self._writer, self._state
            )
        except Busy:  # another host was faster; what is ours by now is taken again
            return None
        return tracked, start

    def _opened(self, spec: RunSpec, old: FoundRun | None, ids: dict[str, str]) -> None:
        """Add the MLflow run of `spec`, ours from now on, to `ids`."""
        tries = 0

        def attempt() -> None:
            nonlocal tries, old
            if tries:  # the run may have been made, and the answer lost
                old = find_children(self._store, [spec.spec_hash]).get(spec.spec_hash)
            tries += 1
            source = self._work.source(spec)
            with PATIENCE.until_asked():  # a signal must not part the run from its id
                ids[spec.spec_hash] = self._claimed[spec.spec_hash] = open_child(
                    self._store,
                    self._parent_id,
                    spec,
                    old,
                    source,
                    self._writer.then,
                    run_name(spec, self._names),
                )

        patiently(self._store, attempt)

    def _lost(self, ids: Mapping[str, str], found: Mapping[str, FoundRun], took: float) -> bool:
        """Whether another host has claimed some of the runs first; what we made of them is gone.

        Args:
            took: seconds that the claim took; others may be as slow.
        """
        if sqlite_path(self._store.uri) is not None:  # claims are made one after another
            return False
        time.sleep(min(max(SETTLE_SECONDS, 2 * took), 10 * SETTLE_SECONDS))
        lost = patiently(self._store, lambda: contested(self._store, ids))
        for key in lost:
            self._claimed.pop(key, None)
            self._writer.forget(ids[key])
            if key not in found:
                release(self._store, ids[key])
        return bool(lost)

    def _saved(
        self, free: Iterable[RunSpec], found: Mapping[str, FoundRun]
    ) -> dict[str, tuple[checkpoint.Header, int]]:
        """Checkpoints to go on from, by spec hash."""
        known = {spec.spec_hash for spec in free} & found.keys() - self._from_scratch
        files, unreadable = checkpoint.find(self._state / "stacks", known)
        if unreadable and (lost := known - files.keys()):
            raise CreditError(f"{unreadable[0]} ({len(lost)} runs of this sweep have no other one)")
        for reason in unreadable:
            self._tell(str(reason), f"credit: {reason}; the one before is used")
        return {key: files[key] for key in known & files.keys()}

    def _continues(self, old: FoundRun, header: checkpoint.Header) -> bool:
        """Whether the metrics of `old` reach up to the checkpoint: going on leaves no gap."""
        return set(range(1, header.epoch + 1)) <= self._writer.known_steps(old.run_id)

    def _tell(self, what: str, line: str) -> None:
        if what not in self._told:
            self._told.add(what)
            print(line, file=sys.stderr)


def patiently(store: Store, action: Callable[[], T]) -> T:
    """What `action` gives, repeated while the store is away.

    Raises:
        CreditError: it is away for PATIENCE_SECONDS, or refuses what no repetition changes.
    """
    try:
        for attempt in tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, AWAY) and not is_final(e)),
            wait=tenacity.wait_exponential(max=10),
            stop=tenacity.stop_after_delay(PATIENCE_SECONDS),
        ):
            with attempt:
                return action()
    except tenacity.RetryError as error:
        raise CreditError(
            f"{shown(store.uri)} has been away for {PATIENCE_SECONDS:.0f} s: what is trained is "
            "kept on disk, run the same command again"
        ) from error
    except AWAY as error:
        cause = shown(" ".join(str(error).split()))[:300]
        raise CreditError(
            f"{shown(store.uri)} refuses it ({cause}): what is trained is kept on disk, mend that "
            "and run the same command again"
        ) from error
    raise AssertionError("unreachable")

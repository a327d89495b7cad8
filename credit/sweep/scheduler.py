"""The scheduler of a sweep: plans stacks, hands them out, and sees that every run is settled.

It is one process. Where stacks train is the launcher's: in this process, in workers of this
machine, on SLURM or on Ray. The tracking store says which runs are finished.
"""

import contextlib
import sys
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from tqdm import tqdm

from credit.errors import CreditError
from credit.rules.shared.names import shortest
from credit.spec import RunSpec
from credit.sweep import checkpoints
from credit.sweep.launchers.base import Ended, Launcher
from credit.sweep.networks import Networks
from credit.sweep.progress import Progress
from credit.sweep.running import refuse_elsewhere
from credit.sweep.worker import SETTLED, Task, label, patiently, reason_of
from credit.tracking.writer import Row, Store, Writer, find_children, join

RETRIES = 2
"""How often a stack is handed out again whose worker was lost."""


class Scheduler:
    """Hands out the stacks of a sweep; has `run_ids` by spec hash and `failures` by `label`."""

    def __init__(
        self, specs: Sequence[RunSpec], work: Networks, store: Store, writer: Writer, template: Task
    ) -> None:
        self.run_ids: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self._specs = {spec.spec_hash: spec for spec in specs}
        self._work, self._store, self._writer = work, store, writer
        self._template = replace(template, names=shortest(spec.rule for spec in specs))

    def train(self, launcher: Launcher, bar: tqdm) -> None:
        """Train every run that is open.

        Raises:
            CreditError: the only checkpoint of a run is not readable, a worker was lost more than
                RETRIES times, or the store is away for long.
            Stopped: by a signal.
        """
        found = self._found(self._specs)
        self._settle(found)
        if self.run_ids:
            there = f"{len(self.run_ids)} of {len(self._specs)} runs"
            print(f"{there} are already there", file=sys.stderr)
        left = [spec for key, spec in self._specs.items() if key not in self.run_ids]
        if left:
            refuse_elsewhere(found, "" if self._template.take_over else self._template.owner)
            tasks, done = self._tasks(left, found, bar)
            waiting, tries = deque(tasks), Counter[str]()
            progress = Progress(self._store, left, bar, done)
            stacks = launcher.run(lambda: waiting.popleft() if waiting else None, progress.show)
            with contextlib.closing(stacks):  # an error or a signal stops the workers
                for ended in stacks:
                    self._note(ended, waiting, tries)

    def _tasks(
        self, specs: Sequence[RunSpec], found: dict[str, Row], bar: tqdm
    ) -> tuple[list[Task], dict[str, int]]:
        """Return the stacks of these runs, and the epochs they have done by spec hash."""
        state = self._template.state
        if self._template.uploads:
            patiently(self._store, lambda: checkpoints.fetch(self._store, found, state))
        saved = patiently(self._store, lambda: checkpoints.find(specs, found, self._writer, state))
        done = {key: header.done for key, (header, _) in saved.items()}
        began = {key: header.path.stem for key, (header, _) in saved.items()}
        stacks = self._work.plan(specs, done, began)
        epochs = {key: whole for key, (whole, _) in done.items()}
        left = sum(spec.epochs - epochs.get(spec.spec_hash, 0) for spec in specs)
        bar.total = bar.n + left + 1e-6  # steps are fractions: room for rounding
        return [replace(self._template, specs=tuple(stack)) for stack in stacks], epochs

    def _note(self, ended: Ended, waiting: deque[Task], tries: Counter[str]) -> None:
        """Settle the runs of a stack, or hand it out again if its worker was lost."""
        task, lost = ended.task, ended.lost
        self.run_ids |= {k: i for k, i in ended.settled.run_ids.items() if k in self._specs}
        for key in ended.settled.failures.keys() & self._specs.keys():
            self.failures[label(self._specs[key])] = ended.settled.failures[key]
        open_now = [spec for spec in task.specs if spec.spec_hash not in self.run_ids]
        if not open_now:
            return
        lost = lost or "it trained other runs"  # a job of an earlier command, say
        tries[task.name] += 1
        if tries[task.name] > RETRIES:
            for run in self._found(spec.spec_hash for spec in open_now).values():
                if run.status == "RUNNING":
                    self._writer.finish(run.run_id, "KILLED", f"its worker was lost ({lost})")
            raise CreditError(
                f"the worker of {label(open_now[0])} and {len(open_now) - 1} more was lost "
                f"{tries[task.name]} times ({lost}): mend that and run the same command again, it "
                "goes on from the last checkpoint"
            )
        print(f"credit: a worker was lost ({lost}): its stack is trained on", file=sys.stderr)
        waiting.append(task)

    def _found(self, hashes: Iterable[str]) -> dict[str, Row]:
        return patiently(self._store, lambda: find_children(self._store, hashes))

    def _settle(self, found: dict[str, Row]) -> None:
        """Take what is there already."""
        for key, run in found.items():
            if run.status in SETTLED:
                self.run_ids[key] = run.run_id
                if not run.finished:
                    self.failures[label(self._specs[key])] = reason_of(run)
        ids = list(self.run_ids.values())
        patiently(self._store, lambda: join(self._store, self._template.parent_id, ids))

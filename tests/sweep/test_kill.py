"""A ladder that is killed again and again ends as one that never was."""

import contextlib
import functools
import mmap
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, MutableSequence
from pathlib import Path

import pandas as pd
import pytest

from credit.spec import RunSpec
from credit.sweep import sweep, tracked_stack, worker
from credit.tracking import sending
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from credit.training import checkpoint
from credit.training.stack import Stack
from tests.sweeps import (
    BASE,
    assert_complete_histories,
    assert_equal_weights,
    assert_same_series,
    weights,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tracking_store")]

KILLS, MOST_KILLS = 50, 100
IN_EACH = 3
"""So many kills at least in each of `TIMES`; there are more than KILLS where luck wants it so."""
EPOCHS, SEEDS = 40, 16
RULES = (("bp", 2), ("dfa", 1), ("credit_bridge", 2))

PHASES = ["starting", "parent", "between", "child", "step", "training", "checkpoint", "finishing"]
PHASES += ["sending"]
"""What a process does, as its wrapped functions note it in memory that outlives it. `sending`, that
metrics are in flight, has a place of its own: another thread does it."""
TIMES = {"parent": 1, "child": 3, "step": 20, "checkpoint": 3, "finishing": 1, "sending": 3}
"""Phases that are aimed at -> up to which of the times that a process enters them."""
HALFWAY = "some children made"
"""Aimed at as well: the store holds the parent, and not all children of a stack."""

DRIVEN = """
import os, sys
sys.path.insert(0, {root!r})
from tests.sweep import test_kill
test_kill.warm_up()
test_kill.note_phases({marks!r})
print("ready", flush=True)
while sys.stdin.readline():  # a process for every line that comes in: imports are paid once
    child = os.fork()
    if child == 0:
        os.setsid()
        test_kill.train()
        os._exit(0)
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


def grid() -> list[RunSpec]:
    """A stack for each seed; in each a rule that learns."""
    fields = {**BASE, "epochs": EPOCHS, "train_samples": 128, "measure_every": 9, "directions": 2}
    fields |= {"estimator_width": 8, "estimator_depth": 2, "draws": 2}
    return [
        RunSpec(**{**fields, "rule": rule, "k": k, "seed": seed})
        for seed in range(SEEDS)
        for rule, k in RULES
    ]


def train() -> sweep.Outcome:
    """The same command, every time."""
    return sweep.run(sweep.Sweep("ladder", "killed", grid()), open_store())


# ------------------------------------------------------------------ in the processes that die


def warm_up() -> None:
    """Load what a first sweep loads while it trains, once for all forks."""
    fields = {"epochs": 1, "measure_every": 1}
    specs = [spec.replace(**fields) for spec in grid()[: len(RULES)]]
    given = os.environ["MLFLOW_TRACKING_URI"]
    os.environ["MLFLOW_TRACKING_URI"] = given.replace("mlflow.db", "warm.db")
    sweep.run(sweep.Sweep("ladder", "warm", specs), open_store())
    os.environ["MLFLOW_TRACKING_URI"] = given


Marks = MutableSequence[int]
"""Shared numbers: the phase, whether metrics are in flight, and how often each was entered."""


def shared(path: Path | str) -> Marks:
    with open(path, "r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")  # type: ignore[return-value]


def note_phases(path: str) -> None:
    """Let this process and its forks write down where they are, in many checkpoints and sends."""
    marks = shared(path)
    tracked_stack.CHECKPOINT_SECONDS = 0.05
    sending.SENDING_SHARE = 0.5
    sweep.Writer = functools.partial(sending.Writer, interval_s=0.05)
    for owner, name, during, after in (
        (sweep, "open_parent", "parent", "between"),
        (worker, "open_child", "child", "between"),
        (Stack, "step", "step", "training"),
        (checkpoint, "save_stack", "checkpoint", "training"),
        (tracked_stack.TrackedStack, "_finish", "finishing", "between"),
    ):
        setattr(owner, name, noted(getattr(owner, name), marks, 0, during, after))
    sending.Writer._send = noted(sending.Writer._send, marks, 1, "sending", "starting")


def noted(real: Callable, marks: Marks, place: int, during: str, after: str) -> Callable:
    def inside(*args, **kwargs):
        marks[place] = PHASES.index(during)
        marks[2 + marks[place]] += 1
        result = real(*args, **kwargs)
        marks[place] = PHASES.index(after)
        return result

    return inside


# ------------------------------------------------------------------ in the one that kills


class Ladder:
    """The process that forks the ladder's processes, and what is known of the one that runs."""

    def __init__(self, folder: Path) -> None:
        self._errors = folder / "stderr"
        path = folder / "marks"
        path.write_bytes(bytes(8 * (2 + len(PHASES))))
        self._marks = shared(path)
        self._database = folder / "mlflow.db"
        code = DRIVEN.format(root=str(Path(__file__).parents[2]), marks=str(path))
        with self._errors.open("w") as errors:
            self._driver = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self._line() == "ready", self.errors()

    def _line(self) -> str:
        assert self._driver.stdout
        return self._driver.stdout.readline().strip()

    def errors(self) -> str:
        return self._errors.read_text()[-3000:]

    def start(self) -> None:
        for place in range(len(self._marks)):
            self._marks[place] = 0
        assert self._driver.stdin
        self._driver.stdin.write("go\n")
        self._driver.stdin.flush()
        self._pid = int(self._line())

    def wait_for(self, phase: str, time_of_entry: int) -> None:
        """Until the process enters a phase for the nth time, or ends."""
        while self._marks[2 + PHASES.index(phase)] < time_of_entry and self._lives():
            time.sleep(0.0002)

    def _lives(self) -> bool:
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> int:
        """SIGKILL; return the exit status of the process, 0 if it was through before."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        return int(self._line())

    def where(self) -> Iterator[str]:
        """What the process was doing when it died."""
        phase, made = PHASES[self._marks[0]], self.children()
        yield phase
        if PHASES[self._marks[1]] == "sending":
            yield "sending"
        if phase in ("between", "child") and (made == 0 or made % len(RULES)):
            yield HALFWAY

    def runs(self) -> int:
        """Of any kind, deleted ones among them."""
        return self._count("runs")

    def children(self) -> int:
        return self._count("tags WHERE key = 'mlflow.parentRunId'")

    def _count(self, what: str) -> int:
        with contextlib.closing(sqlite3.connect(self._database)) as database:
            return database.execute(f"SELECT count(*) FROM {what}").fetchone()[0]

    def end(self) -> None:
        self._driver.communicate()  # the end of its stdin ends it


def test_fifty_kills_leave_no_trace(monkeypatch, tmp_path):
    """SIGKILL from outside: every other time at a random moment, else in a phase that lacks kills.

    The random moment is uniform from the start of the process to a little after the first step, as
    far as earlier processes show when that is. In a phase: a random while, of 30 µs to 30 ms, after
    the process has entered it, for the first or a later time. What counts is where it died.
    """
    chance = random.Random(0)
    ladder = Ladder(tmp_path)
    deaths: Counter[str] = Counter()
    kills, longest = 0, 1.0
    while kills < KILLS or min(deaths[phase] for phase in (*TIMES, HALFWAY)) < IN_EACH:
        assert kills < MOST_KILLS, deaths
        made = ladder.children()
        ladder.start()
        blind = kills % 2 == 1
        aim = min((*TIMES, HALFWAY), key=lambda phase: (deaths[phase], chance.random()))
        if blind:
            time.sleep(chance.uniform(0.0, longest))
        else:
            if aim == HALFWAY:  # the children that are there are opened again first
                stack = len(RULES) if made and made % len(RULES) == 0 else 0
                ladder.wait_for("child", stack + chance.randint(2, len(RULES)))
            else:
                ladder.wait_for(aim, chance.randint(1, TIMES[aim]))
            time.sleep(10 ** chance.uniform(-4.5, -1.5))
        status = ladder.kill()
        assert status != 0, f"it was through after {kills} kills: raise SEEDS"
        assert status == -signal.SIGKILL, ladder.errors()
        kills += 1
        died = list(ladder.where())
        deaths.update(died)
        print(kills, aim if not blind else "blind", died, f"{made} children")
        if blind:
            longest *= 1.5 if died[0] == "starting" else 0.8
    ladder.end()
    print(f"{kills} kills:", ", ".join(f"{count} in {name}" for name, count in deaths.items()))

    survived = train()
    assert_nothing_is_left(survived)
    assert ladder.runs() == len(grid()) + 1, "a run was made twice"
    found, runs, history = weights(survived), by_hash(), series(survived)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'undisturbed.db'}")
    undisturbed = train()
    pd.testing.assert_frame_equal(runs, by_hash())
    assert_equal_weights(found, weights(undisturbed))
    assert_same_series(history, series(undisturbed))


def assert_nothing_is_left(survived: sweep.Outcome) -> None:
    """All is finished, under one parent; nothing waits in the state folder."""
    reader = connect()
    (parent,) = reader.parents("ladder").to_dict("records")
    assert parent["run_id"] == survived.parent_id and parent["status"] == "FINISHED"
    runs = reader.runs()
    assert set(runs["status"]) == {"FINISHED"}
    assert set(reader.children(survived.parent_id)) == set(runs["run_id"])
    assert set(runs["run_id"]) == set(survived.run_ids.values())
    for run_id in runs["run_id"]:
        assert reader.artifact(run_id, "diagnostics/layers.csv").is_file()
    assert_complete_histories(survived, EPOCHS)
    state = sweep.state_folder(open_store())
    for leftovers in ("stacks/[!.]*", "journal/*.jsonl", "final/*"):
        assert not list(state.glob(leftovers)), leftovers


def by_hash() -> pd.DataFrame:
    """The settings of all runs."""
    runs = connect().runs()
    fields = ["name", "status", *RunSpec(rule="bp").to_params()]
    return runs.set_index("spec_hash")[fields].sort_index()


def series(outcome: sweep.Outcome) -> pd.DataFrame:
    """All values, their runs named by spec hash."""
    history = connect().history(outcome.run_ids.values())
    names = {run_id: key for key, run_id in outcome.run_ids.items()}
    return history.assign(run_id=history["run_id"].map(names))

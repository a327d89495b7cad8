"""Several processes on the same runs at once: each run is trained once, and nothing is lost."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from credit.spec import RunSpec
from credit.sweep import sweep
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from tests.commands import begun
from tests.sweeps import BASE, assert_complete_histories, assert_equal_weights, weights

pytestmark = pytest.mark.usefixtures("tracking_store")

SCRIPT = """
import sys, time
from credit.sweep import running, tracked_stack
from tests.sweep import test_together
running.POLL_SECONDS = 0.2
if {slow}:
    real = tracked_stack.train
    def train(stack, data, start, on_step, pause):
        return real(stack, data, start, lambda *a: (time.sleep(0.5), on_step(*a)), pause)
    tracked_stack.train = train
tracked_stack.CHECKPOINT_SECONDS = 0.0
test_together.train(*sys.argv[1:])
"""
EPOCHS = 12


def grid(*seeds: str) -> list[RunSpec]:
    """A stack for every seed."""
    fields = {**BASE, "epochs": EPOCHS, "measure_every": EPOCHS}
    return [
        RunSpec(**{**fields, "rule": rule, "k": 2, "seed": int(seed)})
        for seed in seeds
        for rule in ("bp", "dfa")
    ]


def train(*seeds: str) -> sweep.Outcome:
    return sweep.run(sweep.Sweep("ladder", "together", grid(*seeds)), open_store())


def process(*seeds: str, slow: bool = False) -> subprocess.Popen:
    return begun(SCRIPT.format(slow=slow), *seeds)


def finished(*processes: subprocess.Popen) -> list[str]:
    errors = [one.communicate(timeout=300)[1] for one in processes]
    for one, error in zip(processes, errors, strict=True):
        assert one.returncode == 0, error
    return errors


def assert_whole(seeds: tuple[str, ...]) -> None:
    """Every run is there once and complete, and so is the parent's list."""
    reader = connect()
    (parent,) = reader.parents("ladder")["run_id"]
    assert reader.run(parent).info.status == "FINISHED"
    runs = reader.runs()
    wanted = [sweep.resolve(spec).spec_hash for spec in grid(*seeds)]
    assert sorted(runs["spec_hash"]) == sorted(wanted)
    assert set(runs["status"]) == {"FINISHED"}
    assert set(reader.runs(parent=parent)["run_id"]) == set(runs["run_id"])
    ids = dict(zip(runs["spec_hash"], runs["run_id"], strict=True))
    assert_complete_histories(sweep.Outcome(parent, ids, {}), EPOCHS)


@pytest.mark.slow
@pytest.mark.parametrize("others", ["123456", "56789"], ids=["the same grid", "two runs of it"])
def test_a_second_command_waits_and_every_run_is_trained_once(others):
    one, two = process(*"123456"), process(*others)
    errors = finished(one, two)
    runs = connect().runs()
    wanted = {sweep.resolve(spec).spec_hash for spec in grid(*sorted({*"123456", *others}))}
    assert sorted(runs["spec_hash"]) == sorted(wanted)
    assert set(runs["status"]) == {"FINISHED"}
    ids = dict(zip(runs["spec_hash"], runs["run_id"], strict=True))
    assert_complete_histories(sweep.Outcome("", ids, {}), EPOCHS)
    waited = [error for error in errors if "is running (pid" in error]
    (pid,) = {int(re.findall(r"pid (\d+) on", error)[0]) for error in waited}
    assert len(waited) == 1 and pid in (one.pid, two.pid)


@pytest.mark.slow
def test_a_dead_process_loses_its_runs_to_a_living_one(monkeypatch, tmp_path):
    """It is killed while the other one waits for it."""
    dead = process("1", slow=True)
    deadline = time.monotonic() + 120
    while not list(Path(os.environ["CREDIT_STATE"]).glob("*/stacks/[!.]*.safetensors")):
        assert dead.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    other = process("1")
    assert other.stderr is not None
    heard = [other.stderr.readline()]
    while heard[-1] and f"pid {dead.pid} on" not in heard[-1]:
        heard.append(other.stderr.readline())
    assert heard[-1], heard
    dead.kill()
    dead.communicate()
    finished(other)
    assert_whole(("1",))
    runs = connect().runs()
    found = weights(
        sweep.Outcome("", dict(zip(runs["spec_hash"], runs["run_id"], strict=True)), {})
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'undisturbed.db'}")
    assert_equal_weights(found, weights(train("1")))

"""A ladder that is killed at random moments, again and again, ends as one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from credit import sweep, tracked_stack
from credit.spec import RunSpec
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from tests.test_sweep import (
    BASE,
    assert_complete_histories,
    assert_equal_weights,
    assert_same_series,
    weights,
)

pytestmark = pytest.mark.usefixtures("tracking_store")

KILLS = 50
EPOCHS = 30

DRIVEN = """
import os, sys
sys.path.insert(0, {root!r})
from credit import tracked_stack
from tests import test_kill
tracked_stack.CHECKPOINT_SECONDS = 0.05
import credit.publish  # what the first run would load while it trains
print("ready", flush=True)
while True:  # a process for every line that comes in: imports are paid once
    if not sys.stdin.readline():
        break
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
    """Two stacks, one for each seed; in each a rule that learns."""
    fields = {**BASE, "epochs": EPOCHS, "measure_every": 7, "directions": 2, "estimator_width": 8}
    return [
        RunSpec(**{**fields, "rule": rule, "k": k, "seed": seed})
        for seed in (1, 2)
        for rule, k in (("bp", 2), ("dfa", 1), ("credit_bridge", 2))
    ]


def train() -> sweep.Outcome:
    return sweep.run(sweep.Sweep("ladder", "killed", grid()), open_store())


@pytest.mark.slow
def test_fifty_kills_leave_no_trace(monkeypatch, tmp_path):
    """SIGKILL after a random time: between runs, in steps, in checkpoints, in mid-send."""
    chance = random.Random(0)
    code = DRIVEN.format(root=str(Path(__file__).parents[1]))
    driver = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert driver.stdin and driver.stdout and driver.stdout.readline() == "ready\n"

    def start() -> int:
        assert driver.stdin and driver.stdout
        driver.stdin.write("go\n")
        driver.stdin.flush()
        return int(driver.stdout.readline())

    done, kills, longest = -9, 0, 1.0
    while kills < KILLS:
        child = start()
        time.sleep(chance.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        done = int(driver.stdout.readline())
        if done == 0:  # it was through before: try shorter
            longest *= 0.7
            assert not kills, "it ended before it had been killed often enough: make EPOCHS larger"
        else:
            kills += done == -signal.SIGKILL
            longest = min(longest * 1.05, 3.0)
    driver.stdin.close()
    driver.wait()

    survived = train()
    reader = connect()
    runs = reader.runs()
    assert set(runs["status"]) == {"FINISHED"} and len(runs) == len(grid())
    assert not runs["spec_hash"].duplicated().any()
    assert_complete_histories(survived, EPOCHS)
    state = sweep.state_folder(open_store())
    assert not list((state / "stacks").glob("*")) and not list((state / "journal").glob("*.jsonl"))
    found, history = weights(survived), reader.history(survived.run_ids.values())

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'undisturbed.db'}")
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 60.0)
    undisturbed = train()
    assert_equal_weights(found, weights(undisturbed))
    names = {survived.run_ids[key]: new for key, new in undisturbed.run_ids.items()}
    history["run_id"] = history["run_id"].map(names)
    assert_same_series(history, connect().history(undisturbed.run_ids.values()))

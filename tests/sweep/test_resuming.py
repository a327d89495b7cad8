"""Checkpoints of a sweep: which are used, which are refused, and when they go."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import save_file

from credit.errors import CreditError
from credit.spec import RunSpec
from credit.sweep import state, sweep, tracked_stack
from credit.tracking.reader import connect
from credit.tracking.store import Store, open_store
from credit.tracking.writer import finish, open_child, open_parent
from credit.training import checkpoint
from credit.training.loop import train
from tests import commands
from tests.sweeps import (
    BASE,
    Broken,
    assert_complete_histories,
    assert_equal_weights,
    grid,
    run,
    weights,
)

pytestmark = pytest.mark.usefixtures("tracking_store")


@pytest.mark.parametrize(
    "damage",
    [
        "truncated",
        *(pytest.param(d, marks=pytest.mark.slow) for d in ("foreign", "text", "flipped")),
    ],
)
def test_a_bad_checkpoint_is_refused_and_the_one_before_goes_on(damage, monkeypatch, capsys):
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 0.0)
    process = begun(generations=2)
    while True:
        process.send_signal(signal.SIGSTOP)
        there = list(Path(os.environ["CREDIT_STATE"]).glob("*/stacks/*[0-9a-f].safetensors"))
        if there:  # else it is between its two renames
            break
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    process.kill()
    process.communicate()
    (path,) = there
    if damage == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif damage == "foreign":
        save_file({"weights": torch.zeros(3)}, path)
    elif damage == "flipped":
        content = bytearray(path.read_bytes())
        content[-200:] = (byte ^ 1 for byte in content[-200:])
        path.write_bytes(content)
    else:
        path.write_text("no checkpoint")
    before = checkpoint.read_header(checkpoint.previous(path))
    resumed = run(grid(epochs=60))
    error = capsys.readouterr().err
    assert f"{path} is not a readable checkpoint" in error and "the one before is used" in error
    assert before.done > (0, 0)
    assert_complete_histories(resumed, epochs=60)


@pytest.mark.slow
def test_where_every_checkpoint_is_bad_the_user_decides(monkeypatch):
    process = begun()
    process.kill()
    process.communicate()
    files = list(Path(os.environ["CREDIT_STATE"]).glob("*/stacks/*.safetensors"))
    for file in files:
        os.truncate(file, 100)
    with pytest.raises(CreditError, match=r"delete it to start its runs .* no other one"):
        run(grid(epochs=60))
    for file in files:
        file.unlink()
    assert_complete_histories(run(grid(epochs=60)), epochs=60)


SCRIPT = """
from tests import sweeps
from credit.sweep import tracked_stack
tracked_stack.CHECKPOINT_SECONDS = 0.0
sweeps.run(sweeps.grid(epochs=60))
"""


def begun(generations: int = 1, sent: bool = True) -> subprocess.Popen:
    """A process that has saved so often, and `sent` parameters, which it does in the background."""
    process = commands.begun(SCRIPT)
    state, deadline = Path(os.environ["CREDIT_STATE"]), time.monotonic() + 120

    def saves() -> int:
        return len(list(state.glob("*/stacks/[!.]*.safetensors")))

    while saves() < generations or (sent and len(connect().runs()) < len(grid())):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_killed_process_is_continued_bit_for_bit(number, monkeypatch, tmp_path):
    process = begun()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    runs = connect().runs()
    expected = "KILLED" if number == signal.SIGTERM else "RUNNING"
    assert set(runs["status"]) == {expected}
    resumed = run(grid(epochs=60))
    assert set(resumed.run_ids.values()) == set(runs["run_id"])
    assert_complete_histories(resumed, epochs=60)
    assert set(connect().runs()["status"]) == {"FINISHED"}
    found = weights(resumed)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'undisturbed.db'}")
    assert_equal_weights(found, weights(run(grid(epochs=60))))


@pytest.mark.slow
def test_a_checkpoint_without_its_run_is_not_used(monkeypatch, tmp_path):
    """A new store starts from scratch, although checkpoints of an older one may lie around."""
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 0.0)
    process = begun(sent=False)  # else this process would know the store that goes
    process.kill()
    process.communicate()
    path = Path(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
    for file in path.parent.glob(f"{path.name}*[!g]"):
        file.unlink()
    assert_complete_histories(run(grid(epochs=60)), epochs=60)


def breaking(stack, data, start, on_step, pause):
    """Train one epoch."""
    for records in train(stack, data, start, on_step, pause):
        yield records
        raise Broken


def test_checkpoints_of_runs_that_a_store_does_not_know_stay(monkeypatch, tmp_path):
    """They are of another store at this address: it may come back."""
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(tracked_stack, "train", breaking)
    with pytest.raises(Broken):
        run(grid()[:1])
    folder = sweep.state_folder(open_store())
    path = next(folder.glob("stacks/*[0-9a-f].safetensors"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    other, spec = open_store(), sweep.resolve(grid()[0])
    state.drop_leftovers(other, folder)
    assert path.exists()
    child = open_child(other, open_parent(other, "name", "ladder", {}, "abc"), spec)
    for status in ("RUNNING", "KILLED"):
        other.client.update_run(child, status=status)
        state.drop_leftovers(other, folder)
        assert path.exists()
    finish(other, child, "FAILED")
    state.drop_leftovers(other, folder)
    assert not path.exists()


def test_checkpoints_go_when_their_runs_are_deleted_and_not_before(monkeypatch, tmp_path):
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(tracked_stack, "train", breaking)
    with pytest.raises(Broken):
        run(grid()[:2])
    monkeypatch.setattr(tracked_stack, "train", train)
    store = open_store()
    stacks = sweep.state_folder(store) / "stacks"
    left = sorted(stacks.glob("*.safetensors"))
    assert left
    unreadable = stacks / "0123456789abcdef.safetensors"
    unreadable.write_text("no checkpoint")
    one, other = connect().runs()["run_id"]
    others = [RunSpec(**{**BASE, "rule": "dfa", "k": 1})]
    run(others)
    assert sorted(stacks.glob("*.safetensors")) == sorted([*left, unreadable])
    store.client.delete_run(one)
    state.drop_leftovers(store, stacks.parent)
    assert sorted(stacks.glob("*.safetensors")) == sorted([*left, unreadable])
    store.client.delete_run(other)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = "http://127.0.0.1:9"  # nothing listens there
    state.drop_leftovers(Store(away, MlflowClient(away), store.experiment_id), stacks.parent)
    assert sorted(stacks.glob("*.safetensors")) == sorted([*left, unreadable])
    run(others)
    assert list(stacks.iterdir()) == [unreadable]

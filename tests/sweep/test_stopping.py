"""Sweeps that a signal or an error stops, and that go on as if nothing had been."""

import contextlib
import os
import signal

import pytest

from credit.errors import CreditError
from credit.spec import RunSpec
from credit.sweep import checkpoints, sweep, tracked_stack, worker
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from credit.tracking.writer import Writer
from credit.training import checkpoint
from credit.training.loop import train
from tests.sweeps import (
    BASE,
    assert_complete_histories,
    assert_equal_weights,
    assert_same_series,
    grid,
    run,
    weights,
)
from tests.training.checkpoints import small_disk

pytestmark = pytest.mark.usefixtures("tracking_store")


LEARNED = {"rule": "credit_bridge", "k": 2, "estimator_width": 16, "warmup_ratio": 0.25}


@pytest.mark.parametrize(
    ("at", "number"),
    [
        (1, signal.SIGTERM),
        (5, signal.SIGTERM),
        pytest.param(3, signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_signal_stops_at_the_next_step_and_nothing_is_done_twice(
    at, number, monkeypatch, tmp_path
):
    """Batches of an epoch: 5. The signal comes in the third epoch; the second run goes on there."""
    specs = [RunSpec(**{**BASE, **LEARNED}), RunSpec(**{**BASE, "rule": "dfa", "k": 1})]
    expected, outcome = weights(undisturbed := run(specs)), undisturbed
    whole = connect().history(outcome.run_ids.values())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    steps = []

    def signalled(stack, data, start, on_step, pause):
        def step(done: int, of: int) -> None:
            steps.append(done)
            if len(steps) == 2 * of + at:
                os.kill(os.getpid(), number)
            on_step(done, of)

        return train(stack, data, start, step)

    monkeypatch.setattr(tracked_stack, "train", signalled)
    with pytest.raises(tracked_stack.Stopped, match=signal.Signals(number).name):
        run(specs)
    assert len(steps) == 10 + at, "it did not stop at the step of the signal"
    assert set(connect().runs()["status"]) == {"KILLED"}
    (path,) = sweep.state_folder(open_store()).glob("stacks/*[0-9a-f].safetensors")
    assert checkpoint.read_header(path).done == (2, at)
    resumed = run(specs)
    assert len(steps) == 20, "a step was repeated or left out"
    assert_equal_weights(weights(resumed), expected)
    names = {new: old for key, new in resumed.run_ids.items() for old in [outcome.run_ids[key]]}
    again = connect().history(resumed.run_ids.values())
    again["run_id"] = again["run_id"].map(names)
    assert_same_series(again, whole)
    assert not list(path.parent.glob("*")), "finished stacks leave no checkpoint behind"


def test_a_full_disk_ends_a_sweep_with_a_word_and_it_goes_on_when_there_is_room(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 0.0)
    specs = grid(epochs=6)
    undisturbed = run(specs)
    expected = weights(undisturbed)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    disk = tmp_path / "disk"

    def filling(stack, data, start, on_step, pause):
        for records in train(stack, data, start, on_step, pause):
            if records[0].epoch == 3:
                with contextlib.suppress(OSError):
                    (disk / "filler").write_bytes(bytes(2**24))
            yield records

    with small_disk(disk, 2**24):
        monkeypatch.setenv("CREDIT_STATE", str(disk))
        monkeypatch.setattr(tracked_stack, "train", filling)
        with pytest.raises(CreditError, match=r"cannot write .*No space left.*free ") as caught:
            run(specs)
        assert "\n" not in str(caught.value)
        assert set(connect().runs()["status"]) == {"KILLED"}
        (path,) = disk.glob("*/stacks/*[0-9a-f].safetensors")
        assert checkpoint.read_header(path).epoch == 2
        (disk / "filler").unlink()
        monkeypatch.setattr(tracked_stack, "train", train)
        resumed = run(specs)
    assert_equal_weights(weights(resumed), expected)
    assert_complete_histories(resumed, epochs=6)


@pytest.mark.parametrize("at", [1, 2])
def test_a_signal_before_training_leaves_no_run_running(at, monkeypatch):
    """It comes while the children are made."""
    made = []
    real = worker.open_child

    def signalled(*args):
        made.append(real(*args))
        if len(made) == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return made[-1]

    monkeypatch.setattr(worker, "open_child", signalled)
    with pytest.raises(tracked_stack.Stopped, match="SIGTERM"):
        run(grid())
    runs = connect().runs()
    assert sorted(runs["run_id"]) == sorted(made) and len(made) == at
    assert set(runs["status"]) == set(connect().parents()["status"]) == {"KILLED"}
    monkeypatch.setattr(worker, "open_child", real)
    assert set(made) < set(run(grid()).run_ids.values())


@pytest.mark.parametrize("at", ["full disk", "upload", "flush", "accepted", "dropped"])
def test_a_stop_while_runs_end_leaves_the_ended_ones_ended(at, monkeypatch):
    """And of the others the checkpoint stays: the same command trains nothing twice."""
    specs, starts, saved = grid()[:3], [], []
    save_run, flush, drop = checkpoint.save_run, Writer.flush, checkpoints.drop

    def noted(stack, data, start, on_step, pause):
        starts.append(start)
        return train(stack, data, start, on_step, pause)

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def saving(*args):
        saved.append(args)
        if len(saved) == 2:
            if at == "full disk":
                raise CreditError("cannot write: free space")
            stop()
        save_run(*args)

    def flushing(writer, timeout_s=60.0):
        before, saved[:] = len(saved), [None] * 9  # at the first time only
        if at == "flush" and before < 9:
            stop()
        unsent = flush(writer, timeout_s)
        if at == "accepted" and before < 9:
            stop()
        return unsent

    def dropping(*args):
        drop(*args)
        stop()

    monkeypatch.setattr(tracked_stack, "train", noted)
    with monkeypatch.context() as patched:
        if at in ("full disk", "upload"):
            patched.setattr(checkpoint, "save_run", saving)
        elif at == "dropped":
            patched.setattr(checkpoints, "drop", dropping)
        else:
            patched.setattr(Writer, "flush", flushing)
        with pytest.raises((CreditError, tracked_stack.Stopped), match=r"cannot write|SIGTERM"):
            run(specs)
    early = at in ("full disk", "upload")
    expected = ["FINISHED", "KILLED", "KILLED"] if early else ["FINISHED"] * 3
    assert sorted(connect().runs()["status"]) == expected
    folder = sweep.state_folder(open_store())
    assert len(list(folder.glob("stacks/*.safetensors"))) == (at != "dropped")
    outcome = run(specs)
    assert starts == ([0, 4] if early else [0]), "epochs were trained again"
    assert set(connect().runs()["status"]) == {"FINISHED"} and len(connect().runs()) == 3
    assert len(weights(outcome)) == 3
    assert_complete_histories(outcome, epochs=4)
    left = [*folder.glob("stacks/*"), *folder.glob("final/*"), *folder.glob("journal/*")]
    assert not left

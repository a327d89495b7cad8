"""Signals that ask a command to stop: while it measures, from a batch system, by a hang-up."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from credit.measures.base import Probe
from credit.spec import RunSpec
from credit.sweep import sweep, tracked_stack
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from credit.training import checkpoint
from credit.training.stack import Stack
from tests.sweeps import BASE, assert_equal_weights, assert_same_series, run, weights

pytestmark = pytest.mark.usefixtures("tracking_store")

ROOT = Path(__file__).parents[2]
LEARNED = {"rule": "credit_bridge", "k": 2, "estimator_width": 16}
STEPS = 5  # of an epoch
MINUTES = "--dataset digits --width 16 --depth 30 --k 2 --epochs 2 --measure_every 1 --device cpu"
MINUTES += " --measure_samples 32 --directions 100000"


@pytest.fixture(autouse=True)
def hang_ups_arrive():
    """Commands of a test that runs under nohup would never see one."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("epoch", [3, 4], ids=["in between", "last epoch"])
def test_a_signal_stops_between_measurements_and_nothing_is_done_twice(
    epoch, monkeypatch, tmp_path
):
    """Epochs 3 and 4 are measured; the signal comes when a layer is rolled forward."""
    specs = [RunSpec(**{**BASE, **LEARNED}), RunSpec(**{**BASE, "rule": "dfa", "k": 1})]
    undisturbed = run(specs)
    expected = weights(undisturbed)
    whole = connect().history(undisturbed.run_ids.values())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    steps, rolled = [], []
    step, losses = Stack.step, Probe.losses

    def counted(*args):
        steps.append(1)
        return step(*args)

    def signalled(*args):
        result = losses(*args)
        rolled.append(len(steps))
        if rolled.count(epoch * STEPS) == 10:
            os.kill(os.getpid(), signal.SIGUSR1)
        return result

    monkeypatch.setattr(Stack, "step", counted)
    monkeypatch.setattr(Probe, "losses", signalled)
    with pytest.raises(tracked_stack.Stopped, match="SIGUSR1"):
        run(specs)
    assert rolled.count(epoch * STEPS) == 10, "it measured on"
    assert set(connect().runs()["status"]) == {"KILLED"}
    (path,) = sweep.state_folder(open_store()).glob("stacks/*[0-9a-f].safetensors")
    assert checkpoint.read_header(path).done == (epoch - 1, STEPS)
    monkeypatch.setattr(Probe, "losses", losses)
    resumed = run(specs)
    assert len(steps) == 4 * STEPS, "a step was repeated or left out"
    assert_equal_weights(weights(resumed), expected)
    names = {new: undisturbed.run_ids[key] for key, new in resumed.run_ids.items()}
    again = connect().history(resumed.run_ids.values())
    assert_same_series(again.assign(run_id=again["run_id"].map(names)), whole)


def wait_until_it_measures(process: subprocess.Popen) -> None:
    """An epoch is a fraction of a second, and its measurement minutes."""
    deadline = time.monotonic() + 120
    while not len(connect().runs()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(5)


def assert_stopped_after_the_first_epochs_last_step() -> None:
    assert set(connect().runs()["status"]) == {"KILLED"}
    (path,) = sweep.state_folder(open_store()).glob("stacks/*[0-9a-f].safetensors")
    epochs, steps = checkpoint.read_header(path).done
    assert epochs == 0 and steps > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGHUP"])
def test_a_command_that_measures_stops_within_seconds(name):
    """A second signal, as batch systems send one after their warning, changes nothing."""
    number = getattr(signal, name)
    command = [sys.executable, "-m", "entrypoints.train", *MINUTES.split()]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_until_it_measures(process)
    began = time.monotonic()
    process.send_signal(number)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number, error
    assert f"stopped by {name};" in error
    assert time.monotonic() - began < 20
    assert_stopped_after_the_first_epochs_last_step()


@pytest.mark.slow
@pytest.mark.parametrize("nohup", [False, True], ids=["", "nohup"])
def test_a_closed_terminal_stops_a_command_but_not_under_nohup(nohup, tmp_path):
    command = [sys.executable, "-m", "entrypoints.train", *MINUTES.split()]
    if nohup:
        command = ["nohup", *command]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command],
        cwd=ROOT,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=False,
    )
    os.close(theirs)
    wait_until_it_measures(process)
    os.close(ours)  # as a window that is closed
    if nohup:
        time.sleep(10)
        assert process.poll() is None
        assert set(connect().runs()["status"]) == {"RUNNING"}
        process.kill()
        process.wait()
        return
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert_stopped_after_the_first_epochs_last_step()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_command_that_is_asked_to_stop_says_how_to_go_on(number):
    words = "--preset quick --dataset digits --rules bp,dfa --ks 2 --seeds 42 --width 16 --depth 2"
    process = subprocess.Popen(
        [sys.executable, "-m", "entrypoints.ladder", *words.split(), "--epochs", "100000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    state = Path(os.environ["CREDIT_STATE"])
    while len(list(state.glob("*/journal/*.jsonl"))) < 2:  # an epoch is over
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number and out == ""
    last = err.splitlines()[-1]
    assert re.fullmatch(
        rf"credit: stopped by {number.name}; run the same command again to go on from the last "
        "checkpoint",
        last,
    )
    reader = connect()
    assert set(reader.runs()["status"]) == {"KILLED"} and len(reader.runs()) == 2
    assert set(reader.parents("ladder")["status"]) == {"KILLED"}
    (path,) = state.glob("*/stacks/*[0-9a-f].safetensors")
    assert checkpoint.read_header(path).done >= (1, 0)

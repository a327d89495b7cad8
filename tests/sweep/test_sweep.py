"""Sweeps against a real store: what they record, skip, continue and survive."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from safetensors.torch import load_file, save_file

from credit.errors import CreditError
from credit.spec import SCHEMA, RunSpec
from credit.sweep import checkpoints, scheduler, state, sweep, tracked_stack, worker
from credit.tracking.reader import connect
from credit.tracking.store import Store, open_store
from credit.tracking.writer import Writer, finish, open_child, open_parent
from credit.training import checkpoint
from credit.training.loop import train
from tests.training.checkpoints import small_disk

pytestmark = pytest.mark.usefixtures("tracking_store")

BASE = {
    "dataset": "digits",
    "width": 16,
    "depth": 2,
    "epochs": 4,
    "train_samples": 300,
    "batch_size": 64,
    "measure_every": 3,
    "measure_samples": 64,
    "directions": 4,
    "device": "cpu",
}
RULES = ("bp", "oracle", "fa", "dfa")


def grid(**changes) -> list[RunSpec]:
    return [RunSpec(**{**BASE, "rule": r, "k": k, **changes}) for r in RULES for k in (0, 2)]


def run(specs, kind="ladder") -> sweep.Outcome:
    return sweep.run(sweep.Sweep(kind, "test sweep", specs, {"rules": "all of them"}), open_store())


def weights(outcome: sweep.Outcome) -> dict[str, dict[str, torch.Tensor]]:
    """Final weights by spec hash."""
    reader = connect()
    return {
        key: load_file(reader.artifact(run_id, "checkpoint/weights.safetensors"))
        for key, run_id in outcome.run_ids.items()
    }


def assert_equal_weights(one, other) -> None:
    assert one.keys() == other.keys()
    for key, tensors in one.items():
        assert tensors.keys() == other[key].keys()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other[key][name]), name


def assert_complete_histories(outcome: sweep.Outcome, epochs: int) -> None:
    """Every per-epoch series has every step exactly once."""
    history = connect().history(outcome.run_ids.values())
    for _, series in history[history["key"] == "accuracy/test"].groupby("run_id"):
        assert sorted(series["step"]) == list(range(1, epochs + 1))
    assert not history.duplicated(["run_id", "key", "step"]).any()


def test_a_sweep_records_what_the_contract_names():
    outcome = run(grid())
    reader = connect()
    runs = reader.runs(parent=outcome.parent_id)
    assert len(runs) == 8 and set(runs["status"]) == {"FINISHED"} and not outcome.failures
    child = reader.run(outcome.run_ids[sweep.resolve(grid()[-1]).spec_hash])
    spec = sweep.resolve(grid()[-1])
    assert child.info.run_name == "dfa k2 s42"
    assert child.data.params == spec.to_params()
    assert child.data.tags["credit.spec_hash"] == spec.spec_hash
    assert child.data.tags["credit.schema"] == SCHEMA
    assert child.data.tags["mlflow.parentRunId"] == outcome.parent_id
    assert child.inputs is not None
    assert child.inputs.dataset_inputs[0].dataset.name == "digits"
    per_layer = [
        f"{n}/h{i:02d}" for n in ("hidden_norm", "grad_norm", "credit_norm") for i in range(3)
    ]
    expected = {
        "accuracy/test",
        "accuracy/train",
        "loss/train",
        "time/epoch_seconds",
        "growth/max",
        "valid/reference",
        "alignment/deep",
        "alignment/h00",
        "alignment/h02",
        "rho/h01",
        "nudge/h01",
        *per_layer,
    }
    assert expected <= child.data.metrics.keys()
    history = reader.history([child.info.run_id])
    steps = history.groupby("key")["step"].apply(sorted)
    assert steps["loss/train"] == [1, 2, 3, 4]
    assert steps["alignment/deep"] == [3, 4]  # every third epoch and the last
    for name in ("weights.safetensors", "last.safetensors", "spec.json"):
        assert reader.artifact(child.info.run_id, f"checkpoint/{name}").exists()
    saved = load_file(reader.artifact(child.info.run_id, "checkpoint/weights.safetensors"))
    assert saved["state/feedback"].shape == (2, 16, 10)
    stored = json.loads(reader.artifact(child.info.run_id, "checkpoint/spec.json").read_text())
    assert stored.pop("schema") == SCHEMA and RunSpec(**stored) == spec
    parent = reader.run(outcome.parent_id)
    assert parent.info.status == "FINISHED" and parent.data.params["rules"] == "all of them"


def test_a_value_that_was_valid_once_is_not_the_last_value():
    outcome = run(grid()[:1])
    (run_id,) = outcome.run_ids.values()
    client = open_store().client
    client.log_metric(run_id, "alignment/h01", 0.5, step=9)
    client.log_metric(run_id, "valid/reference", 0.0, step=10)  # measured again: no alignment
    client.log_metric(run_id, "accuracy/test", 0.5, step=11)
    (row,) = connect().runs(parent=outcome.parent_id).to_dict("records")
    assert row["valid/reference"] == 0 and row["accuracy/test"] == 0.5
    assert "alignment/h01" not in row


def test_the_same_sweep_again_trains_nothing(capsys):
    first = run(grid())
    before = connect().history(first.run_ids.values())
    capsys.readouterr()
    again = run(grid())
    assert again.run_ids == first.run_ids and again.parent_id == first.parent_id
    assert "8 of 8 runs are already there" in capsys.readouterr().err
    assert connect().history(again.run_ids.values()).equals(before)


def test_a_larger_grid_trains_only_what_is_missing():
    first = run(grid()[:3])
    second = run(grid())
    assert first.run_ids.items() <= second.run_ids.items()
    runs = connect().runs(parent=second.parent_id)
    assert len(runs) == 8
    assert len(connect().runs(parent=first.parent_id)) == 3  # and the smaller grid keeps its own
    client, own = open_store().client, f"tags.`credit.sweep.{second.parent_id}` = '1'"
    found = client.search_runs([open_store().experiment_id], own)  # as the UI's views ask
    assert {one.info.run_id for one in found} == set(second.run_ids.values())


class Broken(BaseException):
    """Stands for whatever ends a process in the middle of a step."""


def test_an_interrupted_sweep_continues_bit_for_bit(monkeypatch, tmp_path):
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 0.0)
    undisturbed = run(grid())
    expected = weights(undisturbed)
    store = f"sqlite:///{tmp_path / 'other.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)

    def breaking(stack, data, start, on_step, pause):
        seen = 0

        def step(done: int, steps: int) -> None:
            nonlocal seen
            seen += 1
            if seen == 2 * steps + 3:  # in the middle of the third epoch
                raise Broken
            on_step(done, steps)

        return train(stack, data, start, step)

    monkeypatch.setattr(tracked_stack, "train", breaking)
    with pytest.raises(Broken):
        run(grid())
    halfway = connect().runs()
    assert set(halfway["status"]) == {"KILLED"}
    started = []
    monkeypatch.setattr(
        tracked_stack,
        "train",
        lambda stack, data, start, on_step, pause: (
            started.append(start) or train(stack, data, start, on_step, pause)
        ),
    )
    resumed = run(grid())
    assert started == [2]
    assert set(resumed.run_ids.values()) == set(halfway["run_id"])  # the same MLflow runs
    assert_equal_weights(weights(resumed), expected)
    assert_complete_histories(resumed, epochs=4)
    assert set(connect().runs()["status"]) == {"FINISHED"}
    checkpoints = sweep.state_folder(open_store()) / "stacks"
    assert not list(checkpoints.glob("*")), "finished stacks leave no checkpoint behind"


LEARNED = {"rule": "credit_bridge", "k": 2, "estimator_width": 16, "warmup_ratio": 0.25}


@pytest.mark.parametrize("at", [1, 3, 5], ids="step {}".format)
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
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


def assert_same_series(one, other) -> None:
    """Every metric at every step, but for what a clock says."""
    frames = []
    for frame in (one, other):
        frame = frame.loc[~frame["key"].str.startswith("time/"), ["run_id", "key", "step", "value"]]
        frames.append(frame.sort_values(["run_id", "key", "step"]).reset_index(drop=True))
    assert len(frames[0]) > 100
    pd.testing.assert_frame_equal(*frames, check_exact=True)


@pytest.mark.parametrize(
    "damage",
    [
        "truncated",
        *(pytest.param(d, marks=pytest.mark.slow) for d in ("foreign", "text", "flipped")),
    ],
)
def test_a_bad_checkpoint_is_refused_and_the_one_before_goes_on(damage, monkeypatch, capsys):
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 0.0)
    process = start_process()
    wait_for_checkpoint(process, generations=2)
    while len(connect().runs()) < len(grid()):
        assert process.poll() is None
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
    process = start_process()
    wait_for_checkpoint(process)
    while len(connect().runs()) < len(grid()):
        assert process.poll() is None
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
import sys
sys.path.insert(0, {tests!r})
import test_sweep
from credit.sweep import tracked_stack
tracked_stack.CHECKPOINT_SECONDS = 0.0
test_sweep.run(test_sweep.grid(epochs=60))
"""


def start_process() -> subprocess.Popen:
    code = SCRIPT.format(tests=str(Path(__file__).parent))
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def wait_for_checkpoint(process: subprocess.Popen, generations: int = 1) -> None:
    state = Path(os.environ["CREDIT_STATE"])
    deadline = time.monotonic() + 120
    while len(list(state.glob("*/stacks/[!.]*.safetensors"))) < generations:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_killed_process_is_continued_bit_for_bit(number, monkeypatch, tmp_path):
    process = start_process()
    wait_for_checkpoint(process)
    while len(connect().runs()) < len(grid()):  # parameters are sent in the background
        assert process.poll() is None
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
    process = start_process()
    wait_for_checkpoint(process)
    process.kill()
    process.communicate()
    path = Path(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
    for file in path.parent.glob(f"{path.name}*[!g]"):
        file.unlink()
    assert_complete_histories(run(grid(epochs=60)), epochs=60)


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


def test_a_store_that_does_not_answer_once_ends_no_sweep(monkeypatch):
    failed = []

    def blip(module, name: str):
        real = getattr(module, name)

        def action(*args):
            if name not in failed:
                failed.append(name)
                raise MlflowException("no answer")
            return real(*args)

        monkeypatch.setattr(module, name, action)

    for module, name in ((scheduler, "find_children"), (sweep, "log_children")):
        blip(module, name)
    no_wait = worker.tenacity.wait_none()
    monkeypatch.setattr(worker.tenacity, "wait_exponential", lambda **_: no_wait)
    run(grid()[:1])
    assert failed == ["find_children", "log_children"]
    assert set(connect().parents()["status"]) == {"FINISHED"}


def test_checkpoints_of_runs_that_a_store_does_not_know_stay(monkeypatch, tmp_path):
    """They are of another store at this address: it may come back."""

    def breaking(stack, data, start, on_step, pause):
        for records in train(stack, data, start, on_step, pause):
            yield records
            raise Broken

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

    def breaking(stack, data, start, on_step, pause):
        for records in train(stack, data, start, on_step, pause):
            yield records
            raise Broken

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


def test_a_diverging_run_fails_with_its_reason_and_leaves_the_others_alone(monkeypatch, tmp_path):
    good = RunSpec(**{**BASE, "rule": "dfa", "k": 2})
    mild, bad = (good.replace(rule=f"tests.exploding:{r}") for r in ("Harmless", "Exploding"))
    outcome = run([good, bad], kind="pair")
    label = worker.label(sweep.resolve(bad))
    assert label.startswith("Exploding k2 s42 (") and list(outcome.failures) == [label]
    reason = outcome.failures[label]
    assert re.fullmatch(
        r"non-finite training loss in epoch 1: (embed|blocks\.\d)\.\S+ is not finite", reason
    )
    runs = connect().runs(parent=outcome.parent_id).set_index("name")
    assert runs.loc["Exploding k2 s42", "status"] == "FAILED"
    assert runs.loc["Exploding k2 s42", "reason"] == reason
    assert runs.loc["dfa k2 s42", "status"] == "FINISHED"
    again = run([good, bad], kind="pair")
    assert again.failures == outcome.failures  # known to diverge: not trained again
    key = sweep.resolve(good).spec_hash
    beside_bad = weights(sweep.Outcome("", {key: outcome.run_ids[key]}, {}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'healthy.db'}")
    beside_mild = weights(run([good, mild], kind="pair"))
    assert_equal_weights(beside_bad, {key: beside_mild[key]})


def test_runs_of_one_name_fail_each_for_itself():
    bad = RunSpec(**{**BASE, "rule": "tests.exploding:Exploding", "k": 2})
    both = [bad, bad.replace(width=24)]
    outcome = run(both)
    assert len({spec.name for spec in both}) == 1
    assert set(outcome.failures) == {worker.label(sweep.resolve(spec)) for spec in both}
    assert run(both).failures == outcome.failures


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule": "dfaa"}, "unknown rule 'dfaa': did you mean 'dfa'"),
        ({"device": "cuda:7"}, "device='cuda:7' is not available"),
        ({"train_samples": 10**6}, "1000000"),
    ],
)
def test_bad_input_creates_no_run(changes, message):
    with pytest.raises(CreditError, match=message):
        run([RunSpec(**{**BASE, "k": 1, **changes})])
    assert connect().runs().empty and connect().parents().empty


def test_published_reductions_are_resolved_per_rule():
    found = {r: sweep.resolve(RunSpec(rule=r, device="cpu")).credit_reduction for r in RULES}
    assert found == {"bp": "mean", "oracle": "mean", "fa": "mean", "dfa": "sum"}
    asked = [RunSpec(rule=r, device="cpu", credit_reduction="sum") for r in ("bp", "fa")]
    assert [sweep.resolve(s).credit_reduction for s in asked] == ["mean", "sum"]

"""Tracking against real stores: SQLite files, and one real `mlflow server` (slow)."""

import contextlib
import json
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from credit.errors import CreditError
from credit.spec import RunSpec, field_types
from credit.sweep import queue
from credit.tracking import history as history_module
from credit.tracking import marks, rows, runs, sending, store
from credit.tracking.journal import Journal
from credit.tracking.marks import owner_tags
from credit.tracking.reader import Reader, connect
from credit.tracking.writer import (
    Store,
    Writer,
    contested,
    end_parent,
    find_children,
    finish,
    log_children,
    log_figure,
    log_json,
    log_table,
    open_child,
    open_parent,
    open_store,
    release,
)
from tests.server import PATIENCE_S

SPEC = RunSpec(rule="dfa", k=2, epochs=3)
PARAMS = {"rules": "bp,dfa", "ks": "0,1,2", "lr": "0.001", "preset": "quick"}

DATASET = {"name": "cifar10", "digest": "f" * 64, "source": "torchvision.datasets.CIFAR10"}


@pytest.fixture
def opened(tracking_store: str) -> Store:
    return open_store()


def parent_of(opened: Store, sweep_hash: str = "abc") -> str:
    return open_parent(opened, "ladder quick", "ladder", PARAMS, sweep_hash, "a short ladder")


def values_at(step: int) -> dict[str, float]:
    return {"loss/train": 2.0 / step, "accuracy/test": 0.1 * step}


def steps_of(opened: Store, run_id: str, key: str = "loss/train") -> list[int]:
    return sorted(m.step for m in opened.client.get_metric_history(run_id, key))


def heartbeat_of(opened: Store, run_id: str) -> int:
    return marks.heartbeat(opened.client.get_run(run_id).data.tags)


# --- the store -------------------------------------------------------------------------------


def test_default_store_does_not_depend_on_the_cwd(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    if not (store.project_root() / "MLproject").is_file():
        pytest.skip("no MLproject above the package: it is installed, and the cwd is the project")
    before = store.tracking_uri()
    monkeypatch.chdir(tmp_path)
    assert store.tracking_uri() == before
    assert before == f"sqlite:///{store.project_root()}/mlflow.db"


def test_new_store_is_created_in_wal_mode_with_its_own_artifact_root(tmp_path):
    opened = open_store()
    experiment = opened.client.get_experiment(opened.experiment_id)
    assert experiment.name == "credit"
    assert experiment.artifact_location == (tmp_path / "mlartifacts").as_uri()
    assert open_store().experiment_id == opened.experiment_id
    database = sqlite3.connect(tmp_path / "mlflow.db")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert f"#/experiments/{opened.experiment_id}/runs?" in opened.ui_command
    assert f"--backend-store-uri sqlite:///{tmp_path}" in opened.ui_command


@pytest.mark.slow
def test_processes_that_open_a_new_store_at_once_all_succeed():
    code = "from credit.tracking.store import open_store; print(open_store().experiment_id)"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ids = {process.communicate(timeout=PATIENCE_S)[0].strip() for process in processes}
    assert len(ids) == 1
    assert ids != {""}


def test_unreachable_server_is_one_clear_line_within_seconds(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(CreditError, match=r"no tracking store answers at http://127.0.0.1:9") as e:
        open_store()
    assert time.monotonic() - start < 60  # MLflow's own patience is minutes
    assert "\n" not in str(e.value)
    assert "secret" not in str(e.value)
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


@pytest.mark.parametrize("name", ["is_a_folder", "not_a_database", "file/mlflow.db"])
def test_unwritable_sqlite_file_is_an_error(name, monkeypatch, tmp_path):
    (tmp_path / "is_a_folder").mkdir()
    (tmp_path / "not_a_database").write_text("words " * 1000)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / name}")
    with pytest.raises(CreditError, match="cannot write the tracking store"):
        open_store()


MAKING = """
import signal, sys
sys.path.insert(0, {root!r})
signal.signal(signal.SIGINT, signal.default_int_handler)
from credit.tracking.store import open_store
print("begins", flush=True)
open_store()
"""


@pytest.mark.slow
def test_a_store_whose_making_is_interrupted_is_made_by_the_next_command(tmp_path):
    root = str(Path(__file__).parents[1])
    command, stopped = [sys.executable, "-c", MAKING.format(root=root)], 0
    for delay in (0.3, 1.0, 2.0, 3.0):
        for file in tmp_path.glob("mlflow.db*"):
            file.unlink()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        stopped += process.wait(60) != 0
        process.stdout.close()
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        assert connect().runs().empty
        assert not list(tmp_path.glob(".mlflow.db*"))
    assert stopped


def test_a_half_made_store_is_told_with_its_remedy(tmp_path):
    """As an interrupted `mlflow` leaves it, which makes tables in place."""
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("CREATE TABLE metrics (key TEXT)")
    with pytest.raises(CreditError, match=r"mlflow\.db has only some of its tables.* delete it"):
        open_store()


@given(st.dictionaries(st.sampled_from(sorted(field_types())), st.text(max_size=50)))
@settings(max_examples=200, deadline=None)
@example({"seed": str(2**64)})
@example({"lr": "nan", "k": "9" * 5000})
def test_whatever_a_run_was_logged_with_the_others_are_read(params):
    rows_ = [
        rows.Row(name, name, "FINISHED", 1, 2, "", own, {marks.SPEC: name}, {})
        for name, own in (("good", SPEC.to_params()), ("odd", {"rule": "bp", **params}))
    ]
    reader = Reader("", None, [])  # pyright: ignore[reportArgumentType]
    reader._used = lambda *_: rows_  # what a store gives, without one for each example
    assert "good" in set(reader.runs()["run_id"])


@pytest.mark.parametrize("owner", ["x", "", "a:b:c", f"{socket.gethostname()}:{9**40}:1", ":²:²"])
def test_tags_that_nobody_wrote_claim_nothing(owner):
    assert not marks.is_busy("RUNNING", {marks.OWNER: owner, marks.HEARTBEAT: "abc"})
    assert marks.heartbeat({marks.HEARTBEAT: "9" * 5000}) == 0


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b"[" * 100000 + b"\n",
        b'{"known": 3}\n',
        b'{"known": ["a"]}\n',
        b'{"step": "x", "timestamp": 1, "metrics": {}}\n',
        b'{"step": 2, "timestamp": 1, "metrics": [1]}\n',
        b'{"step": 2, "timestamp": 1, "metrics": {"a": "b"}}\n',
    ],
)
def test_damaged_lines_of_a_journal_are_left_out(line, tmp_path):
    Journal(tmp_path, "r").append(1, 1001, {"a": 1.0})
    with (tmp_path / "r.jsonl").open("ab") as file:
        file.write(line)
    (tmp_path / "r.sent").write_bytes(b"\xff")
    again = Journal(tmp_path, "r")
    assert (again.steps, again.pending, again.complete) == ({1}, 1, False)


def test_a_run_that_was_deleted_for_good_is_no_outage(opened):
    began = time.monotonic()
    with pytest.raises(CreditError, match=r"refuses it .*0{32}.*run the same command again"):
        queue.patiently(opened, lambda: opened.client.get_run("0" * 32))
    assert time.monotonic() - began < 10


def test_experiment_from_the_environment(opened, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    other = open_store()
    assert opened.client.get_experiment(other.experiment_id).name == "other"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    with pytest.raises(CreditError, match="MLFLOW_EXPERIMENT_ID=77"):
        open_store()
    monkeypatch.setenv("MLFLOW_RUN_ID", opened.client.create_run("0").info.run_id)
    assert open_store().experiment_id == "0"
    assert "0" in connect().experiments  # whatever MLFLOW_EXPERIMENT_NAME says
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(CreditError, match="MLFLOW_RUN_ID"):
        open_store()


def test_deleted_experiment_names_the_remedy(opened):
    opened.client.delete_experiment(opened.experiment_id)
    with pytest.raises(CreditError, match="mlflow experiments restore"):
        open_store()


# --- parents and children --------------------------------------------------------------------


def test_parent_carries_the_contract(opened):
    run = opened.client.get_run(parent_of(opened))
    assert run.info.run_name == "ladder quick"
    assert run.data.params == PARAMS | {f"sweep.{name}": v for name, v in PARAMS.items()}
    tags = run.data.tags
    assert tags["credit.schema"] == "1"
    assert tags["credit.kind"] == "ladder"
    assert tags["credit.sweep_hash"] == "abc"
    assert tags["mlflow.note.content"] == "a short ladder"
    assert "mlflow.source.name" in tags


def test_child_carries_the_contract(opened):
    parent = parent_of(opened)
    run = opened.client.get_run(open_child(opened, parent, SPEC, None, DATASET))
    assert run.info.run_name == "dfa k2 s42"
    assert run.info.status == "RUNNING"
    assert run.data.params == SPEC.to_params()
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["credit.spec_hash"] == SPEC.spec_hash
    assert run.data.tags["credit.schema"] == "1"
    assert "dfa" in run.data.tags["mlflow.note.content"]
    [logged] = run.inputs.dataset_inputs
    assert logged.dataset.name == "cifar10"
    assert logged.dataset.digest == "f" * 36
    assert [(t.key, t.value) for t in logged.tags] == [("mlflow.data.context", "training")]


def test_same_sweep_continues_its_parent_and_another_does_not(opened):
    first = parent_of(opened)
    finish(opened, first, "KILLED", "stopped")
    assert parent_of(opened) == first
    assert opened.client.get_run(first).info.status == "RUNNING"
    assert parent_of(opened, "other") != first


def test_mlflow_run_parameters_are_compared_and_completed(opened, monkeypatch):
    logged = {"rules": "bp, dfa", "lr": "1e-3"}
    run = opened.client.create_run(opened.experiment_id)
    for key, value in logged.items():
        opened.client.log_param(run.info.run_id, key, value)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    assert parent_of(opened) == run.info.run_id
    resolved = {f"sweep.{name}": value for name, value in PARAMS.items()}
    assert opened.client.get_run(run.info.run_id).data.params == PARAMS | resolved | logged


@pytest.mark.parametrize(("key", "value"), [("ks", "0,1"), ("preset", "published"), ("ep", "9")])
def test_mlflow_run_parameter_that_disagrees_is_an_error(key, value, opened, monkeypatch):
    run = opened.client.create_run(opened.experiment_id)
    opened.client.log_param(run.info.run_id, key, value)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    with pytest.raises(CreditError, match=f"{key}="):
        parent_of(opened)


def test_parent_of_mlflow_run_continues_an_older_one_that_keeps_its_runs(opened, monkeypatch):
    older = parent_of(opened)
    child = open_child(opened, older, SPEC)
    new = opened.client.create_run(opened.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", new)
    assert parent_of(opened) == new
    runs.join(opened, new, [child])
    assert connect().children(older) == connect().children(new) == [child]
    old = opened.client.get_run(older)
    assert old.info.status == "KILLED"
    assert old.data.tags["credit.continued_by"] == new


def owner_of(process_id: int, host: str | None = None, started: int = 0) -> str:
    return f"{host or socket.gethostname()}:{process_id}:{started}"


def test_run_of_a_live_process_is_busy_and_of_a_dead_one_is_not(opened):
    parent = parent_of(opened)
    child = open_child(opened, parent, SPEC)

    def busy_with(owner: str, heartbeat: float) -> bool:
        opened.client.set_tag(child, "credit.owner", owner)
        opened.client.set_tag(child, "credit.heartbeat", str(int(heartbeat)))
        return find_children(opened, [SPEC.spec_hash])[SPEC.spec_hash].busy

    now = time.time()
    assert not find_children(opened, [SPEC.spec_hash])[SPEC.spec_hash].busy  # this process's own
    sleeper = subprocess.Popen(["sleep", "60"])
    started = int(psutil.Process(sleeper.pid).create_time())
    assert busy_with(owner_of(sleeper.pid, started=started), now)
    with pytest.raises(CreditError, match="is being trained by"):
        open_child(opened, parent, SPEC, find_children(opened, [SPEC.spec_hash])[SPEC.spec_hash])
    assert not busy_with(owner_of(sleeper.pid, started=started - 1000), now)  # pid used again
    sleeper.kill()
    while psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert not busy_with(owner_of(sleeper.pid, started=started), now)  # dead, not yet reaped
    sleeper.wait()
    assert not busy_with(owner_of(sleeper.pid, started=started), now)
    assert busy_with(owner_of(1, "elsewhere"), now - 60)
    assert not busy_with(owner_of(1, "elsewhere"), now - 3600)


def test_sweep_of_a_live_process_is_joined(opened):
    """And its parent ends as killed by its own process only."""
    parent = parent_of(opened)
    started = int(psutil.Process(os.getppid()).create_time())
    opened.client.set_tag(parent, "credit.owner", owner_of(os.getppid(), started=started))
    assert parent_of(opened) == parent
    end_parent(opened, parent, "KILLED")
    assert opened.client.get_run(parent).info.status == "RUNNING"
    end_parent(opened, parent, "FINISHED")
    assert opened.client.get_run(parent).info.status == "FINISHED"


def test_of_two_claims_the_earlier_counts(opened):
    """As two hosts make them that share a server only: each sees the other's a moment later."""
    parent = parent_of(opened)
    first = open_child(opened, parent, SPEC)
    time.sleep(0.002)
    second = open_child(opened, parent, SPEC)
    key, there = SPEC.spec_hash, owner_of(1, "elsewhere")
    assert contested(opened, {key: first}) == []  # both are this process's own
    opened.client.set_tag(second, "credit.owner", there)
    assert contested(opened, {key: first}) == []
    opened.client.set_tag(second, "credit.owner", owner_tags()["credit.owner"])
    opened.client.set_tag(first, "credit.owner", there)
    assert contested(opened, {key: second}) == [key]
    assert contested(opened, {key: first}) == [key]  # claimed again by another in the same moment
    opened.client.set_tag(first, "credit.heartbeat", str(int(time.time()) - 3600))
    assert contested(opened, {key: second}) == []  # its process is dead: the lease is over
    release(opened, second)
    assert set(connect().runs()["run_id"]) == {first}


def test_finished_run_wins_over_a_later_unfinished_one(opened):
    parent = parent_of(opened)
    done = open_child(opened, parent, SPEC)
    finish(opened, done)
    time.sleep(0.002)
    open_child(opened, parent, SPEC)
    other = SPEC.replace(k=1)
    found = find_children(opened, [SPEC.spec_hash, other.spec_hash])
    assert found.keys() == {SPEC.spec_hash}
    assert found[SPEC.spec_hash].run_id == done
    assert found[SPEC.spec_hash].finished


def test_child_is_reopened_in_place(opened):
    parent = parent_of(opened)
    child = open_child(opened, parent, SPEC, None, DATASET)
    finish(opened, child, "KILLED", "stopped")
    found = find_children(opened, [SPEC.spec_hash])[SPEC.spec_hash]
    assert (found.status, found.reason) == ("KILLED", "stopped")
    new_parent = parent_of(opened, "wider")
    assert open_child(opened, new_parent, SPEC, found, DATASET) == child
    run = opened.client.get_run(child)
    assert run.info.status == "RUNNING"
    assert "credit.reason" not in run.data.tags
    assert run.data.tags["mlflow.parentRunId"] == new_parent
    for above in (parent, new_parent):  # both use it
        assert set(connect().runs(parent=above)["run_id"]) == {child}
    assert len(run.inputs.dataset_inputs) == 1
    with pytest.raises(CreditError, match="k='1'"):
        open_child(opened, parent, SPEC.replace(k=1), found)


# --- the journal -----------------------------------------------------------------------------


def test_journal_survives_a_line_cut_in_mid_write(tmp_path):
    journal = Journal(tmp_path, "r")
    for step in (1, 2):
        journal.append(step, 1000 + step, values_at(step))
    whole = journal.path.read_bytes()
    for cut in range(1, 40):
        journal.path.write_bytes(whole[:-cut])
        again = Journal(tmp_path, "r")
        assert again.steps == {1}
        assert not again.complete
        again.append(2, 2000, values_at(2))
        assert [e.timestamp for e in again.unsent(100)] == [1001, 2000]


def test_journal_remembers_what_was_sent_and_ignores_a_damaged_mark(tmp_path):
    journal = Journal(tmp_path, "r")
    for step in (1, 2, 3):
        journal.append(step, step, values_at(step))
    assert [e.step for e in journal.unsent(5)] == [1, 2]  # 2 values each
    assert [e.step for e in journal.unsent(1)] == [1]
    journal.mark_sent(journal.unsent(5))
    assert journal.pending == 2
    again = Journal(tmp_path, "r")
    assert [e.step for e in again.unsent(100)] == [3]
    assert again.pending == 2
    assert again.complete
    for damaged in ("", "x", "7", "99999"):
        (tmp_path / "r.sent").write_text(damaged)
        assert [e.step for e in Journal(tmp_path, "r").unsent(100)] == [1, 2, 3]


def test_journal_logs_a_key_at_a_step_once(tmp_path):
    journal = Journal(tmp_path, "r")
    assert journal.append(1, 1, {"a": 1.0}) == 1
    assert journal.append(1, 2, {"a": 1.0, "b": 2.0}) == 1
    assert [e.metrics for e in journal.unsent(100)] == [{"a": 1.0}, {"b": 2.0}]
    journal.drop()
    assert list(tmp_path.iterdir()) == []


# --- the writer ------------------------------------------------------------------------------


def test_writer_sends_everything_and_drops_what_is_not_a_number(opened, tmp_path):
    child = open_child(opened, parent_of(opened), SPEC)
    with Writer(opened, tmp_path / "j") as writer:
        before = time.time_ns() // 1_000_000
        for step in (1, 2, 3):
            writer.log(child, step, values_at(step) | {"rho/h01": math.nan, "x": math.inf})
        writer.finish(child)
        assert writer.flush(30) == 0
    run = opened.client.get_run(child)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == pytest.approx(values_at(3))
    history = opened.client.get_metric_history(child, "loss/train")
    assert [m.step for m in history] == [1, 2, 3]
    assert all(before <= m.timestamp <= time.time() * 1000 for m in history)
    assert list((tmp_path / "j").iterdir()) == []


def test_more_than_a_thousand_values_arrive(opened, tmp_path):
    child = open_child(opened, parent_of(opened), SPEC)
    with Writer(opened, tmp_path) as writer:
        writer.log(child, 1, {f"m/{i:04d}": float(i) for i in range(2300)})
    assert len(opened.client.get_run(child).data.metrics) == 2300


def test_resume_repeats_epochs_without_duplicate_steps(opened, tmp_path):
    child = open_child(opened, parent_of(opened), SPEC)
    with Writer(opened, tmp_path) as writer:
        for step in (1, 2, 3):
            writer.log(child, step, values_at(step))
    with Writer(opened, tmp_path) as writer:
        assert writer.known_steps(child) == {1, 2, 3}
        for step in (2, 3, 4):  # the checkpoint was of epoch 1
            writer.log(child, step, values_at(step))
    assert steps_of(opened, child) == [1, 2, 3, 4]


@pytest.mark.parametrize("asked", [True, False])
def test_resume_without_journal_asks_the_server(asked, opened, tmp_path):
    child = open_child(opened, parent_of(opened), SPEC)
    with Writer(opened, tmp_path / "one") as writer:
        for step in (1, 2, 3):
            writer.log(child, step, values_at(step))
    for _ in range(2):  # and a third process knows it from the new journal
        with Writer(opened, tmp_path / "two") as writer:
            if asked:
                assert writer.known_steps(child) >= {1, 2, 3}
            for step in (2, 3, 4):
                writer.log(child, step, values_at(step))
    assert steps_of(opened, child) == [1, 2, 3, 4]


def test_asking_for_the_steps_of_another_process_s_run_sends_nothing(opened, tmp_path, monkeypatch):
    child = open_child(opened, parent_of(opened), SPEC)
    opened.client.set_tag(child, "credit.heartbeat", "1")
    Journal(tmp_path, child).append(1, 1000, values_at(1))  # not sent before its process died
    monkeypatch.setattr(sending, "HEARTBEAT_S", 0)
    with Writer(opened, tmp_path, interval_s=0.05) as writer:
        assert writer.known_steps(child) == {1}
        assert writer.unsent == 0
        time.sleep(0.3)
    assert steps_of(opened, child) == [] and heartbeat_of(opened, child) == 1
    with Writer(opened, tmp_path) as writer:
        assert writer.known_steps(child) == {1}
        writer.log(child, 2, values_at(2))
    assert steps_of(opened, child) == [1, 2]


@pytest.mark.parametrize("waits", [True, False])
def test_the_first_end_of_a_run_counts(waits, opened, tmp_path):
    one, other = (open_child(opened, parent_of(opened), SPEC.replace(seed=s)) for s in (1, 2))
    with Writer(opened, tmp_path) as writer:
        for run_id, ends in ((one, ("FINISHED", "KILLED")), (other, ("KILLED", "FINISHED"))):
            writer.log(run_id, 1, values_at(1))
            writer.finish(run_id, ends[0])
            if waits:
                assert writer.flush(30) == 0
            writer.finish(run_id, ends[1], "stopped")
        assert writer.flush(30) == 0
    assert opened.client.get_run(one).info.status == "FINISHED"
    assert opened.client.get_run(other).info.status == "KILLED"
    assert [path.stem for path in tmp_path.glob("*.jsonl")] == [other]


def test_what_a_killed_process_left_is_sent_once_by_the_next(opened, tmp_path):
    child = open_child(opened, parent_of(opened), SPEC)
    code = f"""
import os, signal
from credit.tracking.writer import Writer, open_store
writer = Writer(open_store(), {str(tmp_path / "j")!r}, interval_s=600)
for step in (1, 2, 3):
    writer.log({child!r}, step, {{"loss/train": 2.0 / step}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    [journal] = (tmp_path / "j").glob("*.jsonl")
    with journal.open("ab") as file:
        file.write(b'{"step":4,"timest')  # killed in mid-write
    stamps = [json.loads(line)["timestamp"] for line in journal.read_bytes().splitlines()[:3]]
    assert steps_of(opened, child) == []
    with Writer(opened, tmp_path / "j") as writer:
        assert writer.known_steps(child) == {1, 2, 3}
        writer.log(child, 3, {"loss/train": 2.0 / 3})
        writer.log(child, 4, {"loss/train": 0.5})
    history = opened.client.get_metric_history(child, "loss/train")
    assert [m.step for m in history] == [1, 2, 3, 4]
    assert [m.timestamp for m in history][:3] == stamps


def test_actions_follow_the_values_and_the_end_follows_the_actions(opened, tmp_path):
    child = open_child(opened, parent_of(opened), SPEC)
    seen = []

    def look() -> None:
        run = opened.client.get_run(child)
        seen.append((run.info.status, "loss/train" in run.data.metrics))

    with Writer(opened, tmp_path) as writer:
        writer.log(child, 1, values_at(1))
        writer.then(child, look)
        writer.finish(child, "FAILED", "loss is not finite at epoch 1")
    assert seen == [("RUNNING", True)]
    run = opened.client.get_run(child)
    assert run.info.status == "FAILED"
    assert run.data.tags["credit.reason"] == "loss is not finite at epoch 1"


def test_one_refused_run_does_not_hold_up_the_others(opened, tmp_path, caplog):
    parent = parent_of(opened)
    gone, fine, no_file = (open_child(opened, parent, SPEC.replace(seed=s)) for s in (1, 2, 3))
    opened.client.delete_run(gone)
    with Writer(opened, tmp_path) as writer:
        for run_id in (gone, fine, no_file):
            writer.log(run_id, 1, values_at(1))
        writer.then(no_file, (tmp_path / "absent").read_text)
        writer.finish(no_file)
        writer.finish(fine)
        assert writer.flush(30) == 2 + 2  # values of `gone`; the actions of `no_file`
        assert writer.refused.keys() == {gone, no_file}
    assert opened.client.get_run(fine).info.status == "FINISHED"
    assert opened.client.get_run(no_file).info.status == "RUNNING"
    assert (tmp_path / f"{gone}.jsonl").exists()


def test_locked_store_delays_but_loses_nothing(opened, tmp_path):
    """A store that takes no writes for a while: log returns at once, all arrives afterwards."""
    child = open_child(opened, parent_of(opened), SPEC)
    blocker = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    writer = Writer(opened, tmp_path / "j", interval_s=0.05)
    start = time.monotonic()
    for step in (1, 2, 3):
        writer.log(child, step, values_at(step))
    assert time.monotonic() - start < 1
    assert writer.flush(0.5) == 6
    blocker.execute("ROLLBACK")
    assert writer.close(60) == 0
    assert steps_of(opened, child) == [1, 2, 3]


def test_heartbeat_is_refreshed_without_values(opened, tmp_path, monkeypatch):
    child = open_child(opened, parent_of(opened), SPEC)
    opened.client.set_tag(child, "credit.heartbeat", "1")
    monkeypatch.setattr(sending, "HEARTBEAT_S", 0)
    with Writer(opened, tmp_path, interval_s=0.05) as writer:
        writer.watch(child)
        deadline = time.monotonic() + 20
        while heartbeat_of(opened, child) == 1 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert time.time() - heartbeat_of(opened, child) < 30


# --- artifacts and the reader ----------------------------------------------------------------


def fill(opened: Store, folder: Path) -> tuple[str, list[str]]:
    """A parent with three children: two finished, one KILLED with fewer epochs."""
    parent = parent_of(opened)
    specs = [SPEC.replace(k=k) for k in (0, 1, 2)]
    ids = [open_child(opened, parent, spec, None, DATASET) for spec in specs]
    with Writer(opened, folder) as writer:
        for number, run_id in enumerate(ids):
            for step in range(1, 4 - (number == 2)):
                extra = {"alignment/h01": 0.5} if step == 3 else {}
                writer.log(run_id, step, values_at(step) | extra)
            writer.finish(run_id, "KILLED" if number == 2 else "FINISHED")
    log_children(opened, parent, ids)
    finish(opened, parent)
    return parent, ids


def test_artifacts_are_stored_in_both_forms(opened):
    parent = parent_of(opened)
    frame = pd.DataFrame({"rule": ["bp", "a|b"], "accuracy": [0.61734, math.nan], "n": [3, 1]})
    log_table(opened, parent, frame, "tables/ladder")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    log_figure(opened, parent, figure, "ladder")
    plt.close(figure)
    log_json(opened, parent, {"D1": True}, "verdicts.json")
    reader = connect()
    pd.testing.assert_frame_equal(pd.read_csv(reader.artifact(parent, "tables/ladder.csv")), frame)
    assert reader.artifact(parent, "tables/ladder.md").read_text() == (
        "| rule | accuracy | n |\n| --- | ---: | ---: |\n| bp | 0.6173 | 3 |\n| a\\|b |  | 1 |\n"
    )
    assert reader.artifact(parent, "ladder.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in reader.artifact(parent, "ladder.svg").read_text()
    assert json.loads(reader.artifact(parent, "verdicts.json").read_text()) == {"D1": True}
    with pytest.raises(CreditError, match=r"no artifact 'x.csv': it has .*verdicts.json"):
        reader.artifact(parent, "x.csv")
    with pytest.raises(CreditError, match="no run '0000'"):
        reader.artifact("0000", "x.csv")


def test_reader_gives_typed_rows(opened, tmp_path):
    parent, ids = fill(opened, tmp_path / "j")
    reader = connect()
    frame = reader.runs(kind="ladder").sort_values("k", ignore_index=True)
    assert list(frame["run_id"]) == ids
    assert list(frame["name"]) == ["dfa k0 s42", "dfa k1 s42", "dfa k2 s42"]
    assert list(frame["status"]) == ["FINISHED", "FINISHED", "KILLED"]
    assert RunSpec.from_mapping(
        {
            n: frame[n][1].item() if hasattr(frame[n][1], "item") else frame[n][1]
            for n in field_types()
        }
    ) == SPEC.replace(k=1)
    assert frame["lr"].dtype == float
    assert frame["augment"].dtype == bool
    assert frame["k"].dtype == int
    assert frame["accuracy/test"].tolist() == pytest.approx([0.3, 0.3, 0.2])
    assert frame["alignment/h01"].isna().tolist() == [False, False, True]
    assert all(end >= start for start, end in zip(frame["started"], frame["ended"], strict=True))
    assert set(frame["parent_id"]) == {parent}
    assert len(reader.runs(filter="params.k = '1'")) == 1
    assert len(reader.runs(kind="scan")) == 0
    assert list(reader.parents()["run_id"]) == [parent]
    assert list(reader.parents("ladder")["params"]) == [PARAMS]
    with pytest.raises(CreditError, match="filter"):
        reader.runs(filter="k ~~ 1")


def frames(reader: Reader, parent: str) -> list[pd.DataFrame]:
    """Everything that can be asked about runs, with and without a filter."""
    return [
        reader.runs(),
        reader.runs(kind="ladder"),
        reader.runs(kind="none"),
        reader.runs(parent=parent),
        reader.runs(parent=parent, filter="params.k = '1'"),
        reader.runs(kind="scan", parent=parent),
        reader.runs(filter="metrics.`loss/train` < 1"),
        reader.parents(),
        reader.parents("scan"),
    ]


def test_runs_are_the_same_by_query_and_by_client(opened, tmp_path, monkeypatch):
    """Also those of two parents, with nan, deleted, of another schema, or just being created."""
    client = opened.client
    parent, ids = fill(opened, tmp_path / "j")
    second = open_parent(opened, "scan", "scan", {"note": "it's"}, "scanhash")
    own = open_child(opened, second, SPEC.replace(seed=7))
    log_children(opened, second, [*ids[:2], own])
    client.log_metric(own, "loss/train", math.nan, step=1)
    client.log_metric(own, "rho/h01", math.inf, step=1)
    client.delete_run(open_child(opened, parent, SPEC.replace(seed=8)))
    client.set_tag(open_child(opened, parent, SPEC.replace(seed=9)), "credit.schema", "0")
    later = []
    created = open_child(
        opened, second, SPEC.replace(seed=10), later=lambda *call: later.append(call)
    )
    client.create_run(client.create_experiment("other"), tags={"credit.schema": "1"})
    reader = connect()
    by_query = frames(reader, parent)
    assert [len(frame) for frame in by_query] == [4, 3, 0, 3, 1, 2, 2, 2, 1]
    assert by_query[0].iloc[0]["run_id"] == own
    assert math.isnan(by_query[0].iloc[0]["loss/train"])
    assert set(reader.runs(kind="scan")["run_id"]) == {*ids[:2], own}
    assert reader.children(second) == [*ids[:2], own, created]
    found = find_children(opened, [SPEC.replace(k=0).spec_hash, SPEC.replace(seed=8).spec_hash])
    monkeypatch.setattr(rows, "sqlite_path", lambda uri: None)
    for one, other in zip(by_query, frames(reader, parent), strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert reader.children(second) == [*ids[:2], own, created]
    assert found == find_children(opened, [SPEC.replace(k=0).spec_hash, "0"])
    monkeypatch.setattr(rows, "_AT_ONCE", 2)
    pd.testing.assert_frame_equal(by_query[3], reader.runs(parent=parent))
    monkeypatch.undo()
    monkeypatch.setattr(rows, "_AT_ONCE", 2)
    pd.testing.assert_frame_equal(by_query[0], reader.runs())


def test_child_whose_parameters_follow_later_is_whole_in_the_end(opened, tmp_path):
    parent = parent_of(opened)
    waiting = []
    child = open_child(opened, parent, SPEC, None, DATASET, lambda *later: waiting.append(later))
    assert opened.client.get_run(child).data.params == {}
    assert connect().runs().empty
    with Writer(opened, tmp_path, interval_s=600) as writer:
        writer.log(child, 1, values_at(1))
        writer.then(*waiting.pop())
    run = opened.client.get_run(child)
    assert run.data.params == SPEC.to_params()
    assert len(run.inputs.dataset_inputs) == 1
    assert connect().runs()["run_id"].tolist() == [child]


def test_child_that_was_killed_before_its_parameters_came_gets_them_at_resume(opened):
    parent = parent_of(opened)
    child = open_child(opened, parent, SPEC, None, DATASET, lambda run_id, complete: None)
    found = find_children(opened, [SPEC.spec_hash])[SPEC.spec_hash]
    assert open_child(opened, parent, SPEC, found, DATASET) == child
    run = opened.client.get_run(child)
    assert run.data.params == SPEC.to_params()
    assert len(run.inputs.dataset_inputs) == 1


def test_runs_used_by_two_parents_are_children_of_both(opened, tmp_path):
    parent, ids = fill(opened, tmp_path / "j")
    second = open_parent(opened, "scan", "scan", {}, "scanhash")
    log_children(opened, second, ids[:2])
    own = open_child(opened, second, SPEC.replace(seed=7))
    reader = connect()
    assert set(reader.children(second)) == {*ids[:2], own}
    assert set(reader.children(parent)) == set(ids)
    assert set(reader.runs(kind="scan")["run_id"]) == {*ids[:2], own}
    assert set(reader.runs(parent=parent)["run_id"]) == set(ids)


def test_history_is_the_same_by_query_and_by_client(opened, tmp_path, monkeypatch):
    _, ids = fill(opened, tmp_path / "j")
    reader = connect()
    by_query = reader.history(ids)
    assert len(by_query) == 3 + 3 + 2 + 3 + 3 + 2 + 1 + 1
    assert by_query.columns.tolist() == ["run_id", "key", "step", "value", "timestamp"]
    some = reader.history(ids[:1], ["accuracy/test", "absent"])
    assert some["step"].tolist() == [1, 2, 3]
    assert some["value"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert reader.history([]).empty
    monkeypatch.setattr(history_module, "sqlite_path", lambda uri: None)
    pd.testing.assert_frame_equal(by_query, reader.history(ids))


def test_reader_does_not_create_a_store(tmp_path):
    with pytest.raises(CreditError, match="no tracking store at"):
        connect(f"sqlite:///{tmp_path / 'absent.db'}")
    assert not (tmp_path / "absent.db").exists()


def test_reader_needs_no_torch():
    code = "import sys, credit.tracking.reader; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- a real server ---------------------------------------------------------------------------


@pytest.mark.slow
def test_same_reading_over_http_and_from_the_database(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    opened = open_store("reading")
    parent, ids = fill(opened, tmp_path / "j")
    over_http, direct = connect(), connect(server.sqlite)
    pd.testing.assert_frame_equal(over_http.runs(), direct.runs())
    assert set(over_http.runs(kind="ladder")["run_id"]) == set(ids)
    with pytest.raises(CreditError, match="set MLFLOW_TRACKING_URI to the server"):
        direct.runs(kind="ladder")  # `runs.json` is with the server
    pd.testing.assert_frame_equal(over_http.history(ids), direct.history(ids))
    for count, points in ((2, 25_000), (100, 4)):  # more runs than fit a call; answers cut short
        monkeypatch.setattr(history_module, "_BULK_RUNS", count)
        monkeypatch.setattr(history_module, "_BULK_POINTS", points)
        pd.testing.assert_frame_equal(over_http.history(ids), direct.history(ids))
    monkeypatch.setattr(history_module, "_BULK", "/ajax-api/2.0/mlflow/none")
    pd.testing.assert_frame_equal(over_http.history(ids), direct.history(ids))
    assert json.loads(over_http.artifact(parent, "runs.json").read_text()) == {"runs": ids}
    assert opened.ui_command.startswith(f"{server.uri}/#/experiments/")


@pytest.mark.slow
def test_training_never_waits_for_a_server_that_is_away(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    opened = open_store("away")
    runs = [open_child(opened, parent_of(opened), SPEC.replace(seed=s)) for s in range(3)]
    writer = Writer(opened, tmp_path / "j", interval_s=0.1)
    server.stop()
    slowest = 0.0
    for step in range(1, 41):
        for run_id in runs:
            start = time.monotonic()
            writer.log(run_id, step, values_at(step))
            slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.02)
    assert slowest < 0.5
    for run_id in runs:
        writer.finish(run_id)
    assert writer.flush(1) == 3 * (40 * 2 + 1)
    server.start()
    assert writer.close(PATIENCE_S) == 0
    for run_id in runs:
        assert steps_of(opened, run_id) == list(range(1, 41))
        assert opened.client.get_run(run_id).info.status == "FINISHED"

"""The journal and the writer: every value arrives once, whatever ends the process."""

import json
import math
import sqlite3
import time

import pytest

from credit.errors import CreditError
from credit.sweep import worker
from credit.tracking.journal import Journal
from credit.tracking.writer import Writer, open_child, open_store
from tests.commands import python
from tests.server import PATIENCE_S
from tests.tracking.stores import SPEC, parent_of, steps_of, values_at


@pytest.fixture
def child(opened) -> str:
    return open_child(opened, parent_of(opened), SPEC)


def log(writer: Writer, run_id: str, *steps: int) -> None:
    for step in steps:
        writer.log(run_id, step, values_at(step))


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


def test_writer_sends_everything_and_drops_what_is_not_a_number(opened, child, tmp_path):
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


def test_more_than_a_thousand_values_arrive(opened, child, tmp_path):
    with Writer(opened, tmp_path) as writer:
        writer.log(child, 1, {f"m/{i:04d}": float(i) for i in range(2300)})
    assert len(opened.client.get_run(child).data.metrics) == 2300


@pytest.mark.parametrize("folder", ["one", "two"], ids=["journal", "no journal"])
def test_resume_repeats_epochs_without_duplicate_steps(folder, opened, child, tmp_path):
    """Without a journal the server is asked, and a third process knows it from the new one."""
    with Writer(opened, tmp_path / "one") as writer:
        log(writer, child, 1, 2, 3)
    for known in ({1, 2, 3}, {1, 2, 3, 4}):
        with Writer(opened, tmp_path / folder) as writer:
            assert writer.known_steps(child) == known
            log(writer, child, 2, 3, 4)  # the checkpoint was of epoch 1
    assert steps_of(opened, child) == [1, 2, 3, 4]


def test_asking_for_the_steps_of_another_process_s_run_sends_nothing(opened, child, tmp_path):
    Journal(tmp_path, child).append(1, 1000, values_at(1))  # not sent before its process died
    with Writer(opened, tmp_path, interval_s=0.05) as writer:
        assert writer.known_steps(child) == {1}
        assert writer.unsent == 0
        time.sleep(0.3)
    assert steps_of(opened, child) == []
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


def test_what_a_killed_process_left_is_sent_once_by_the_next(opened, child, tmp_path):
    code = f"""
import os, signal
from credit.tracking.writer import Writer, open_store
writer = Writer(open_store(), {str(tmp_path / "j")!r}, interval_s=600)
for step in (1, 2, 3):
    writer.log({child!r}, step, {{"loss/train": 2.0 / step}})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert python("-c", code).returncode == -9
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


def test_actions_follow_the_values_and_the_end_follows_the_actions(opened, child, tmp_path):
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


def test_locked_store_delays_but_loses_nothing(opened, child, tmp_path):
    """A store that takes no writes for a while: log returns at once, all arrives afterwards."""
    blocker = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    writer = Writer(opened, tmp_path / "j", interval_s=0.05)
    start = time.monotonic()
    log(writer, child, 1, 2, 3)
    assert time.monotonic() - start < 1
    assert writer.flush(0.5) == 6
    blocker.execute("ROLLBACK")
    assert writer.close(60) == 0
    assert steps_of(opened, child) == [1, 2, 3]


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
        worker.patiently(opened, lambda: opened.client.get_run("0" * 32))
    assert time.monotonic() - began < 10


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

"""Parents and children: what they carry, how they go on, and to whom they belong."""

import os
import socket
import subprocess
import time

import psutil
import pytest

from credit.errors import CreditError
from credit.tracking import marks, runs
from credit.tracking.marks import owner_tags
from credit.tracking.reader import connect
from credit.tracking.writer import (
    Writer,
    contested,
    end_parent,
    find_children,
    finish,
    open_child,
    release,
)
from tests.tracking.stores import DATASET, PARAMS, SPEC, parent_of, values_at


def test_parent_carries_the_contract(opened):
    run = opened.client.get_run(parent_of(opened))
    assert run.info.run_name == "ladder quick"
    assert run.data.params == PARAMS | {f"sweep.{name}": v for name, v in PARAMS.items()}
    tags = run.data.tags
    ours = {"credit.schema": "1", "credit.kind": "ladder", "credit.sweep_hash": "abc"}
    assert (ours | {"mlflow.note.content": "a short ladder"}).items() <= tags.items()
    assert "mlflow.source.name" in tags


def test_child_carries_the_contract(opened):
    parent = parent_of(opened)
    run = opened.client.get_run(open_child(opened, parent, SPEC, None, DATASET))
    assert run.info.run_name == "dfa k2 s42"
    assert run.info.status == "RUNNING"
    assert run.data.params == SPEC.to_params()
    ours = {"credit.schema": "1", "credit.spec_hash": SPEC.spec_hash}
    assert (ours | {"mlflow.parentRunId": parent}).items() <= run.data.tags.items()
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


def found_of(opened):
    return find_children(opened, [SPEC.spec_hash])[SPEC.spec_hash]


def test_run_of_a_live_process_is_busy_and_of_a_dead_one_is_not(opened):
    parent = parent_of(opened)
    child = open_child(opened, parent, SPEC)

    def busy_with(owner: str, heartbeat: float) -> bool:
        opened.client.set_tag(child, "credit.owner", owner)
        opened.client.set_tag(child, "credit.heartbeat", str(int(heartbeat)))
        return found_of(opened).busy

    now = time.time()
    assert not found_of(opened).busy  # this process's own
    sleeper = subprocess.Popen(["sleep", "60"])
    started = int(psutil.Process(sleeper.pid).create_time())
    assert busy_with(owner_of(sleeper.pid, started=started), now)
    with pytest.raises(CreditError, match="is being trained by"):
        open_child(opened, parent, SPEC, found_of(opened))
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
    found = found_of(opened)
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
    found = found_of(opened)
    assert open_child(opened, parent, SPEC, found, DATASET) == child
    run = opened.client.get_run(child)
    assert run.data.params == SPEC.to_params()
    assert len(run.inputs.dataset_inputs) == 1


@pytest.mark.parametrize("owner", ["x", "", "a:b:c", f"{socket.gethostname()}:{9**40}:1", ":²:²"])
def test_tags_that_nobody_wrote_claim_nothing(owner):
    assert not marks.is_busy("RUNNING", {marks.OWNER: owner, marks.HEARTBEAT: "abc"})
    assert marks.heartbeat({marks.HEARTBEAT: "9" * 5000}) == 0

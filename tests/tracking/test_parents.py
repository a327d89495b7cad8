"""Parents and children: what they carry, how they go on, and to whom they belong."""

import time

import pytest

from credit.errors import CreditError
from credit.tracking import runs
from credit.tracking.reader import connect
from credit.tracking.writer import Writer, find_children, finish, open_child
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


@pytest.mark.parametrize(("key", "value"), [("ks", "0,1"), ("preset", "published")])
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


def found_of(opened):
    return find_children(opened, [SPEC.spec_hash])[SPEC.spec_hash]


def test_a_run_says_whose_commands_train_it(opened):
    child = open_child(opened, parent_of(opened), SPEC, owner="one place")
    assert found_of(opened).owner == "one place"
    assert open_child(opened, parent_of(opened), SPEC, found_of(opened), owner="another") == child
    assert found_of(opened).owner == "another"


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
    assert (found.status, found.tags["credit.reason"]) == ("KILLED", "stopped")
    new_parent = parent_of(opened, "wider")
    assert open_child(opened, new_parent, SPEC, found, DATASET) == child
    run = opened.client.get_run(child)
    assert run.info.status == "RUNNING"
    assert "credit.reason" not in run.data.tags
    assert run.data.tags["mlflow.parentRunId"] == new_parent
    for above in (parent, new_parent):  # both use it
        assert set(connect().runs(parent=above)["run_id"]) == {child}
    assert len(run.inputs.dataset_inputs) == 1


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

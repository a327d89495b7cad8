"""Sweeps against a real store: what they record, skip, refuse and clear away."""

import json
import re

import pytest
import torch
from mlflow.exceptions import MlflowException
from safetensors.torch import load_file

from credit.errors import CreditError
from credit.spec import SCHEMA, RunSpec
from credit.sweep import scheduler, sweep, worker
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from tests.sweeps import BASE, RULES, assert_equal_weights, grid, run, weights

pytestmark = pytest.mark.usefixtures("tracking_store")


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
    assert child.data.tags["credit.torch"] == torch.__version__
    assert child.data.tags["credit.threads"] == str(torch.get_num_threads())
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

"""Finished runs measured again: what is missing is added, what is there stays."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from credit.errors import CreditError
from credit.finished.remeasuring import chosen, remeasure
from credit.sweep import sweep
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from tests.sweeps import grid, run

pytestmark = pytest.mark.usefixtures("tracking_store")


def test_a_metric_that_a_run_lacks_is_measured_from_its_checkpoint():
    outcome = run(grid()[-2:])
    reader, client = connect(), MlflowClient()
    before = {i: reader.run(i).data.metrics for i in outcome.run_ids.values()}
    # as if these runs were older than the control: a store has no way to drop one metric
    fresh = sweep.run(sweep.Sweep("ladder", "again", grid(seed=7)[-2:]), open_store())
    lines = list(remeasure(open_store(), reader, outcome.parent_id, ["alignment"]))
    assert len(lines) == 2 and all(line.endswith(": 0 metrics") for line in lines)
    assert {i: reader.run(i).data.metrics for i in before} == before
    for run_id in fresh.run_ids.values():
        client.log_metric(run_id, "cost/flops_per_step", 1.0, step=1)
    lines = list(remeasure(open_store(), reader, fresh.parent_id, ["alignment"]))
    assert all(line.endswith(": 1 metrics") for line in lines)
    for run_id in fresh.run_ids.values():
        assert reader.run(run_id).data.metrics["cost/flops_per_step"] > 1


def test_a_run_measured_before_agreement_was_gets_what_is_valid_by_now():
    outcome = run(grid()[-1:])
    reader, client, (run_id,) = connect(), MlflowClient(), outcome.run_ids.values()
    names = ("alignment/deep", "copy/deep", "agreement/min")
    before = reader.runs(parent=outcome.parent_id).iloc[0]
    # as if the reference had been below the floor since epoch 3: its last values are of then
    client.log_metric(run_id, "valid/reference", 0.0, step=5)
    assert not reader.runs(parent=outcome.parent_id).columns.intersection(names).size
    (line,) = remeasure(open_store(), reader, outcome.parent_id)
    assert not line.endswith(": 0 metrics")
    last = {name: client.get_metric_history(run_id, name)[-1].value for name in names}
    assert last == {name: pytest.approx(before[name]) for name in names}
    valid = client.get_metric_history(run_id, "valid/reference")
    assert max(valid, key=lambda point: point.timestamp).value == 1.0
    assert "agreement" in reader.layers(run_id)


def test_a_run_that_cannot_be_measured_does_not_stop_the_others():
    outcome = run(grid()[:3])
    reader = connect()
    first = reader.runs(parent=outcome.parent_id).iloc[0]
    for file in Path(reader.artifact(first["run_id"], "checkpoint")).iterdir():
        file.unlink()
    lines = remeasure(open_store(), reader, outcome.parent_id, ["alignment"])
    assert [next(lines).endswith("metrics"), next(lines).endswith("metrics")] == [True, True]
    with pytest.raises(CreditError, match=f"{first['run_id']}.* cannot be measured again"):
        next(lines)


def test_measurements_are_named_one_by_one_or_all():
    assert chosen("all") == [] and chosen("alignment,scale") == ["alignment", "scale"]

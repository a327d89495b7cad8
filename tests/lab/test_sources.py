"""Tables read from histories and artifacts: costs, layers, epochs, untrained networks."""

import json
import math
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from credit.errors import CreditError
from credit.experiments import frozen_init
from credit.lab import Factor, Frame, results
from credit.lab.costs import with_costs
from credit.lab.layers import curves, layer_table, over_seeds
from credit.lab.quantity import ACCURACY, GRADIENT
from credit.lab.source import Reported
from credit.lab.untrained import as_runs, over_networks, read_back
from credit.tracking.exported import Export

RULE = Factor("rule")
FLOPS, SECONDS, A = "cost/flops_per_step", "time/run_epoch_seconds", ACCURACY.metric
LAYERS = {
    "a": "0,ok,1.0,2,0.2,1\n1,ok,0.5,4,0.4,1\n",
    "b": "0,ok,0.8,6,0.6,1\n1,reference_at_floor,0.9,8,0.0,1\n",
}


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Return three runs of one parent: `a` and `b` are bp's on two seeds, `c` is dfa's."""
    about = {"start": 0, "end": 0, "parent_id": "p", "sweeps": ["p"], "status": "FINISHED"}
    runs = [
        {
            **about,
            "run_id": run,
            "name": run,
            "tags": {},
            "params": {"rule": rule, "seed": seed, "depth": "1", "k": "1"},
        }
        for run, rule, seed in (("a", "bp", "1"), ("b", "bp", "2"), ("c", "dfa", "1"))
    ]
    (tmp_path / "runs.json").write_text(json.dumps({"runs": runs}))
    points = [  # run, key, step, value, timestamp; costs are logged once, before the measurement
        *((run, "valid/reference", 2, 1.0, 9) for run in "abc"),
        *(("a", FLOPS, 1, 7.0, 5), ("a", FLOPS, 1, 10.0, 6), ("b", FLOPS, 1, 10.0, 6)),
        ("c", FLOPS, 1, 8.0, 6),
        *(("a", SECONDS, 1, 4.0, 1), ("a", SECONDS, 2, 2.0, 2), ("a", SECONDS, 3, 1.5, 3)),
        *(("c", SECONDS, 1, 3.0, 1), ("c", SECONDS, 3, 1.5, 3), ("b", SECONDS, 3, 1.0, 3)),
        *(("a", A, 1, 0.2, 1), ("a", A, 2, 0.4, 2), ("b", A, 2, 0.5, 2), ("c", A, 2, 0.1, 2)),
        ("a", "grad_norm/h01", 2, 3.0, 2),
    ]
    names = ["run_id", "key", "step", "value", "timestamp"]
    pd.DataFrame(points, columns=names).to_parquet(tmp_path / "metrics.parquet")
    head = "layer,status,alignment_mean,hidden_norm,grad_norm,reference_floor,credit_norm\n"
    tables = [
        pd.read_csv(StringIO(head + rows.replace("\n", ",7\n"))).assign(run_id=run)
        for run, rows in LAYERS.items()
    ]
    (tmp_path / "artifacts" / "p").mkdir(parents=True)
    pd.concat(tables).to_parquet(tmp_path / "layers.parquet", index=False)
    return Export(tmp_path)


def test_costs_are_the_last_count_and_the_median_of_seconds(export: Export):
    found = with_costs(export.runs("p"), export).set_index("run_id")
    assert found[FLOPS].to_dict() == {"a": 10.0, "b": 10.0, "c": 8.0}
    assert found["cost/flops_ratio"].to_dict() == {"a": 1.0, "b": 1.0, "c": 0.8}
    assert found[SECONDS].to_dict() == {"a": 2.0, "b": 1.0, "c": 2.25}
    assert found["time/together"].to_dict() == {"a": 2.0, "b": 1.0, "c": 2.0}
    assert found["cost/block_evaluations"].isna().all()


def test_layers_are_means_over_valid_seeds_and_say_which_are_not(export: Export):
    runs = export.runs("p")
    frame = Frame(runs.loc[runs["rule"] == "bp"], (RULE,))
    published = Reported("a source", ACCURACY, ("rule", "layer"), {("bp", 1): 0.7}, recipe=False)
    first, last = layer_table(frame, export, [published]).to_dict("records")
    assert (first["alignment"], first["n"], first["status"]) == (0.9, 2, "ok")
    assert first["alignment_sd"] == pytest.approx(0.1 * math.sqrt(2))
    assert (last["alignment"], last["n"], last["seeds"]) == (0.5, 1, 2)
    assert last["status"] == "reference_at_floor (1 of 2)" and last["raw_cosine"] == 0.7
    assert (last["hidden_norm"], last["grad_norm"], last["credit_norm"]) == (6.0, 0.2, 7.0)
    assert last["reported_accuracy"] == 0.7 and math.isnan(first["reported_accuracy"])
    with pytest.raises(CreditError, match="c has no table"):
        layer_table(Frame(runs, (RULE,)), export)


def test_curves_have_a_row_per_run_and_epoch(export: Export):
    found = curves(Frame(export.runs("p"), (RULE,)), export, (ACCURACY, GRADIENT))
    bp = found.loc[found["rule"] == "bp"]
    assert bp[["seed", "epoch", "accuracy"]].values.tolist() == [
        [1, 1, 0.2],
        [1, 2, 0.4],
        [2, 2, 0.5],
    ]
    assert bp["gradient"].dropna().tolist() == [3.0]
    last = over_seeds(found, ["rule"], (ACCURACY,)).query("rule == 'bp' and epoch == 2").iloc[0]
    assert (last["accuracy"], last["n"]) == (pytest.approx(0.45), 2)


def test_untrained_networks_are_measured_and_read_back(export: Export):
    own = frozen_init.EXPERIMENT
    small = {"dataset": "digits", "width": "16", "depth": "2", "seeds": "1,2", "samples": "8"}
    chosen = own.settled(small)
    specs = own.grid(chosen)
    found = results(own, as_runs(specs, frozen_init.measured(specs)), export)
    row = found.table.iloc[0]
    assert row["network"] == "d=16 L=2" and row["n"] == row["cos_n"] == 2
    assert 0.8 < row["cos"] < 1 and math.isnan(row["reported_cos"])
    metrics = over_networks(found.frame, own.columns)
    assert metrics["identity/cos_mean"] == row["cos"]
    assert metrics["identity/cos_std"] == row["cos_sd"]
    found.more["networks"].to_csv(
        export.folders[0] / "artifacts" / "p" / "networks.csv", index=False
    )
    again = own.grid(own.settled(own.params(chosen, specs)))
    back = results(own, read_back(again, own.columns, export, "p"), export)
    pd.testing.assert_frame_equal(back.table, found.table)
    with pytest.raises(CreditError, match="samples=9999"):
        frozen_init.measured(own.grid({**chosen, "samples": "9999"}))

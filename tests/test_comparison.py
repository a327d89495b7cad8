"""The method comparison's table, costs, verdicts and figure, on frames worked out by hand."""

import dataclasses
import json
import math
import statistics

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from credit.analysis import comparison, comparison_checks, cost
from credit.analysis.comparison_figure import comparison_figure
from credit.analysis.page import footnote_of
from credit.errors import CreditError
from credit.publish import publish
from credit.spec import RunSpec
from credit.tracking.reader import connect
from credit.tracking.writer import finish, log_text, open_child, open_parent, open_store
from tests import test_notebooks
from tests.layout import assert_laid_out

ROOT = test_notebooks.ROOT
SEEDS = (42, 123, 456)
SHIFTS = (-0.01, 0.0, 0.01)
FLOOR = 1.024e-4  # per sample
RULES: dict[str, tuple[float, float, float]] = {  # accuracy, Γ, FLOPs as a multiple of bp's
    "bp": (0.60, 1.0, 1.0),
    "oracle": (0.48, 1.0, 1.0),
    "fa": (0.40, 0.30, 0.9),
    "dfa": (0.30, math.nan, 0.8),
    "state_bridge": (0.25, 0.2, 1.2),
    "credit_bridge": (0.31, 0.1, 2.5),
}
BP_FLOPS = 3.2e9


def spec_of(rule: str, seed: int, depth: int = 12, **fields) -> RunSpec:
    common = {"width": 512, "depth": depth, "k": depth, "device": "cpu"}
    common |= {"sigma_relative": True, "estimator_relative": True}  # as published
    return RunSpec.from_mapping({**common, **fields, "rule": rule, "seed": seed})


def measured(accuracy: float, gamma: float, depth: int = 12, flops: float = 1.0) -> dict:
    """Metrics of a finished run; Γ = nan puts the reference at the floor."""
    valid = math.isfinite(gamma)
    metrics = {
        "accuracy/test": accuracy,
        "accuracy/train": accuracy + 0.1,
        "growth/max": 3.0 if valid else 80.0,
        "valid/reference": float(valid),
        "cost/flops_per_step": flops * BP_FLOPS,
        "cost/block_evaluations": 12 * flops,
        "cost/estimator_parameters": 1.05e6 * (flops > 1),
        "time/run_epoch_seconds": 2.0,
    }
    for layer in range(depth + 1):
        metrics[f"grad_norm/h{layer:02d}"] = 1e-2 if valid else FLOOR / 2
        metrics[f"hidden_norm/h{layer:02d}"] = 10.0
        if valid:
            metrics[f"alignment/h{layer:02d}"] = gamma
            metrics[f"nudge/h{layer:02d}"] = -0.001
    if valid:
        metrics |= {"alignment/deep": gamma, "alignment/deep_inner": gamma, "rho/deep": gamma}
    return metrics


def row(spec: RunSpec, metrics: dict) -> dict:
    return {
        "run_id": spec.spec_hash,
        "name": spec.name,
        "status": "FINISHED",
        "reason": None,
        "started": pd.Timestamp("2026-01-01", tz="UTC"),
        **dataclasses.asdict(spec),
        **metrics,
    }


def frame(rules: dict[str, tuple[float, float, float]] | None = None, seeds=SEEDS, **fields):
    """Runs whose accuracy differs by .01 from seed to seed, around the given means."""
    depth = fields.get("depth", 12)
    return pd.DataFrame(
        row(spec_of(rule, seed, **fields), measured(accuracy + shift, gamma, depth, flops))
        for rule, (accuracy, gamma, flops) in (rules or RULES).items()
        for seed, shift in zip(seeds, SHIFTS if len(seeds) > 1 else (0.0,), strict=True)
    )


def tables_of(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    layers = comparison.by_layer(runs, {})
    return comparison.comparison(runs, layers), layers


def verdicts(runs: pd.DataFrame) -> dict[tuple[str, str], dict]:
    found = comparison_checks.verdicts(runs)
    json.dumps(found, allow_nan=False)
    return {(v["rule"], v["check"]): v for v in found}


def with_rule(rule: str, *values: float) -> pd.DataFrame:
    return frame(RULES | {rule: (*values, *RULES[rule][len(values) :])})  # pyright: ignore


def test_table_by_hand():
    table, layers = tables_of(frame())
    assert table["rule"].tolist() == list(RULES)
    assert set(table["n"]) == {3} and set(table["run"]) == {"published"}
    bridge = table.iloc[5].to_dict()
    assert bridge["accuracy"] == pytest.approx(0.31)
    assert bridge["accuracy_sd"] == pytest.approx(0.01)
    assert bridge["train_accuracy"] == pytest.approx(0.41)
    ratios = [0.30 / 0.59, 0.31 / 0.60, 0.32 / 0.61]
    assert bridge["bp_share"] == pytest.approx(statistics.fmean(ratios))
    assert bridge["bp_share_sd"] == pytest.approx(statistics.stdev(ratios))
    ratios = [0.30 / 0.47, 0.31 / 0.48, 0.32 / 0.49]
    assert bridge["oracle_share"] == pytest.approx(statistics.fmean(ratios))
    assert (bridge["flops"], bridge["flops_ratio"]) == (8e9, 2.5)
    assert (bridge["block_evaluations"], bridge["growth"]) == (30, 3)
    wide = comparison.wide(table)
    assert wide.iloc[5].to_dict() == {
        "rule": "credit_bridge",
        "test accuracy": ".310 ± .010",
        "train accuracy": ".410 ± .010",
        "of oracle's": ".646 ± .007",
        "of bp's": ".517 ± .008",
        "FLOP per step": "8 GFLOP",
        "× bp's FLOP": "2.5×",
        "block evaluations": "30",
        "estimator parameters": "1.05 M",
        "s per run-epoch": "2 ± 0",
        "Γ": ".100 ± .000",
        "Γ, l < L": ".100 ± .000",
        "ρ": ".100 ± .000",
        "nudge": "-0.001 ± 0",
        "max growth": "3",
        "valid reference": "3 of 3",
        "status of Γ": "ok",
        "n": 3,
        "run": "published",
    }
    assert wide["estimator parameters"].tolist() == ["0"] * 4 + ["1.05 M"] * 2
    assert len(layers) == 6 * 13


def test_credit_without_a_reference_is_absent_and_says_why():
    runs = frame()
    table, layers = tables_of(runs)
    dfa = comparison.wide(table).iloc[3]
    assert [dfa[name] for name in ("Γ", "Γ, l < L", "ρ", "nudge")] == [""] * 4
    assert dfa["status of Γ"] == "reference_at_floor"
    assert (dfa["valid reference"], dfa["max growth"]) == ("0 of 3", "80")
    assert layers.loc[layers["rule"] == "dfa", "alignment"].isna().all()
    # one seed at its floor in two layers: what is left has n = 2
    one = (runs["rule"] == "fa") & (runs["seed"] == 42)
    runs.loc[one, ["alignment/h01", "alignment/h02", "alignment/deep"]] = math.nan
    runs.loc[one, ["grad_norm/h01", "grad_norm/h02"]] = FLOOR / 2
    fa = comparison.wide(tables_of(runs)[0]).iloc[2]
    assert fa["Γ"] == ".300 ± .000 (n=2)"
    assert fa["status of Γ"] == "reference_at_floor (1 of 3) at h_1, h_2"
    # the artifacts know more than the metrics
    stored = {run: pd.DataFrame(_stored("credit_zero")) for run in runs.loc[one, "run_id"]}
    statuses = comparison.by_layer(runs, stored)
    assert comparison.status(statuses.loc[statuses["rule"] == "fa"]) == "credit_zero (1 of 3)"


def _stored(status: str, depth: int = 12) -> dict:
    layers = list(range(depth + 1))
    return {"layer": layers, "status": status, "alignment_mean": 0.0}


def test_reduced_runs_say_so():
    assert comparison.describe(frame()) == (
        "cifar10, d=512, L=12, all samples, 100 epochs in batches of 128, code eT, "
        "estimator_layers 1"
    )
    small = frame(seeds=(42,), epochs=20, train_samples=10000, width=256, depth=4, dataset="digits")
    assert comparison.describe(small).endswith(
        "; REDUCED: digits for cifar10, d=256 for 512, L=4 for 12, 20 of 100 epochs, "
        "the first 10000 samples, 1 of 3 seeds"
    )
    assert comparison.describe(small).endswith(tables_of(small)[0]["run"].iloc[0])
    runs = frame()
    runs.loc[(runs["rule"] == "fa") & (runs["seed"] == 42), "status"] = "RUNNING"
    assert comparison.describe(runs).endswith("; REDUCED: 2 to 3 of 3 seeds")
    table = tables_of(runs)[0]
    assert set(table["run"]) == {"REDUCED: 2 to 3 of 3 seeds"}
    assert table["bp_share_n"].tolist() == [3, 3, 2, 3, 3, 3]
    assert [n for n in comparison.notes(runs) if n.startswith("left out: fa")] == [
        f"left out: {spec_of('fa', 42).name}, RUNNING"
    ]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (3.2e9, "FLOP", "3.2 GFLOP"),
        (999.94, "FLOP", "1 kFLOP"),
        (999.4, "FLOP", "999 FLOP"),
        (0, "", "0"),
        (1_054_321, "", "1.05 M"),
        (2.5e13, "FLOP", "25 TFLOP"),
        (math.nan, "FLOP", ""),
    ],
)
def test_si(value, unit, shown):
    assert cost.si(value, unit) == shown


def test_costs_come_from_the_whole_course_of_a_run():
    runs = frame({"bp": RULES["bp"], "dfa": RULES["dfa"]}).drop(columns=list(cost.KEYS))
    rows = []
    for run in runs.to_dict("records"):
        rows.append((run["run_id"], "cost/flops_per_step", 0, 5e9))  # before any measurement
        slow = 9.0 if run["rule"] == "bp" else 9.5
        rows += [(run["run_id"], cost.METRICS["seconds"], e, s) for e, s in enumerate((slow, 1, 2))]
    history = pd.DataFrame(rows, columns=["run_id", "key", "step", "value"])
    found = cost.with_costs(runs, history)
    assert found["cost/flops_per_step"].tolist() == [5e9] * 6
    assert found["time/run_epoch_seconds"].tolist() == [2.0] * 6  # median of 9, 1, 2
    assert found["cost/block_evaluations"].isna().all()
    assert set(found[cost.TOGETHER]) == {"bp, dfa"}
    assert (
        "bp, dfa trained together, so their seconds are their stack's mean"
        in (cost.sharing(found)[0])
    )
    history.loc[history["run_id"].isin(runs.loc[runs["rule"] == "bp", "run_id"]), "value"] *= 2
    apart = cost.with_costs(runs, history)
    assert set(apart[cost.TOGETHER]) == {""}
    assert "trained together;" not in cost.sharing(apart)[0]
    none = cost.with_costs(runs, history.iloc[:0])
    assert cost.sharing(none) == []
    wide = comparison.wide(tables_of(none)[0])
    assert set(wide["FLOP per step"]) == set(wide["s per run-epoch"]) == {""}


def test_what_is_expected_passes():
    found = verdicts(frame())
    statement = {key: v for key, v in found.items() if key[1] not in ("D1", "D2", "direction")}
    assert len(statement) == 4 + 1 + 1 + 4
    failed = {key for key, v in statement.items() if v["status"] != "pass"}
    # these two cost more than bp and are far less accurate
    assert failed == {("state_bridge", "cost"), ("credit_bridge", "cost")}
    assert found["fa", "bp far ahead"]["value"] == pytest.approx(0.20)
    assert found["credit_bridge", "equals dfa"]["value"] == pytest.approx(0.01)
    assert found["state_bridge", "last"]["value"] == pytest.approx(0.05)
    bridge = found["credit_bridge", "cost"]
    assert (bridge["label"], bridge["value"]) == ("dominated", pytest.approx(2.5))
    assert "takes 8 GFLOP, 2.5 times bp's 3.2 GFLOP, for -29.0 points" in bridge["reason"]
    assert found["dfa", "D1"]["status"] == found["dfa", "D2"]["status"] == "fail"
    assert found["dfa", "direction"]["status"] == "undefined"
    assert found["fa", "D1"]["status"] == found["fa", "D2"]["status"] == "pass"
    assert found["fa", "direction"]["label"] == "reasonable"
    assert all("penalty" not in v for v in found.values())


@pytest.mark.parametrize(("accuracy", "status"), [(0.50, "pass"), (0.51, "fail")])
def test_far_ahead(accuracy, status):
    assert verdicts(with_rule("fa", accuracy))["fa", "bp far ahead"]["status"] == status


def test_far_ahead_on_every_seed():
    runs = frame()
    runs.loc[(runs["rule"] == "fa") & (runs["seed"] == 42), "accuracy/test"] = 0.5  # bp: .59
    found = verdicts(runs)["fa", "bp far ahead"]
    assert (found["status"], found["value"]) == ("fail", pytest.approx(0.09))
    assert "n = 3 seeds" in found["reason"]


@pytest.mark.parametrize(
    ("accuracy", "status", "label"),
    [(0.319, "pass", "equal"), (0.32, "fail", "better"), (0.28, "fail", "worse")],
)
def test_bridge_equals_dfa(accuracy, status, label):
    found = verdicts(with_rule("credit_bridge", accuracy))["credit_bridge", "equals dfa"]
    assert (found["status"], found["label"]) == (status, label)


@pytest.mark.parametrize(("accuracy", "status"), [(0.29, "pass"), (0.30, "fail"), (0.5, "fail")])
def test_state_bridge_is_last(accuracy, status):
    found = verdicts(with_rule("state_bridge", accuracy))["state_bridge", "last"]
    assert found["status"] == status
    assert "the lowest other is dfa with .300" in found["reason"]


@pytest.mark.parametrize(
    ("accuracy", "flops", "label"),
    [(0.58, 2.0, "worth it"), (0.57, 2.0, "dominated"), (0.57, 0.99, "cheaper")],
)
def test_cost_parity(accuracy, flops, label):
    found = verdicts(with_rule("fa", accuracy, 0.3, flops))["fa", "cost"]
    assert found["label"] == label
    assert found["status"] == ("fail" if label == "dominated" else "pass")


def test_verdicts_are_undefined_where_something_is_missing():
    few = frame({rule: RULES[rule] for rule in ("bp", "fa")})
    few.loc[few["rule"] == "fa", "cost/flops_per_step"] = math.nan
    found = verdicts(few)
    assert found["fa", "bp far ahead"]["status"] == "pass"
    assert found["fa", "cost"]["status"] == "undefined"
    assert "cost/flops_per_step of bp and fa is not known" in found["fa", "cost"]["reason"]
    assert "credit_bridge has no finished run" in found["credit_bridge", "equals dfa"]["reason"]
    assert found["state_bridge", "last"]["status"] == "undefined"
    runs = frame()
    gone = (runs["rule"] == "dfa") & (runs["seed"] == 42)
    runs.loc[gone, ["status", "reason"]] = ["FAILED", "non-finite training loss in epoch 3"]
    found = verdicts(runs)
    assert "dfa failed on seed 42" in found["dfa", "bp far ahead"]["reason"]
    assert found["dfa", "D1"]["status"] == "fail"  # grew without bound
    assert comparison.notes(runs)[-1].endswith("FAILED: non-finite training loss in epoch 3")


def test_only_like_is_compared_with_like():
    odd = pd.DataFrame([row(spec_of("fa", 7, lr=0.1), measured(0.4, 0.3))])
    mixed = pd.concat([frame(), odd], ignore_index=True)
    with pytest.raises(CreditError, match="differ in lr"):
        tables_of(mixed)
    deep = pd.concat([frame(), frame(depth=8)], ignore_index=True)
    for call in (comparison_checks.verdicts, lambda runs: comparison.comparison(runs, runs)):
        with pytest.raises(CreditError, match="differ in depth"):
            call(deep)
    with pytest.raises(CreditError, match="no runs to show"):
        comparison.describe(frame(k=3))
    # frozen blocks are left out, and a rule of the user's own goes last
    own = frame({"mine:Rule": (0.3, 0.1, 1.0)})
    table, _ = tables_of(pd.concat([own, frame(), frame(k=0)], ignore_index=True))
    assert table["rule"].tolist() == [*RULES, "mine:Rule"] and set(table["n"]) == {3}


@pytest.mark.parametrize("width", [3.5, 7.0])
def test_figure(width, tmp_path):
    table, layers = tables_of(frame())
    figure = comparison_figure(table, layers, "Method comparison", width)
    figure.savefig(tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == round(width * 200)
    bars, priced, layered = figure.axes
    names = [tick.get_text() for tick in bars.get_xticklabels()]
    assert names == list(RULES)
    drawn = [np.asarray(c[0].get_xydata()) for c in bars.containers]
    np.testing.assert_allclose(
        np.concatenate(drawn), [(i, v[0]) for i, v in enumerate(RULES.values())]
    )
    drawn = [np.asarray(c[0].get_xydata()) for c in priced.containers]
    np.testing.assert_allclose(
        np.concatenate(drawn), [(v[2] * BP_FLOPS, v[0]) for v in RULES.values()]
    )
    assert priced.get_xscale() == "log"
    assert [len(c[0].get_xydata()) for c in layered.containers] == [13] * 5  # all but dfa
    assert "where not drawn: dfa" in layered.get_title(loc="left").replace("\n", " ")
    assert "mean ± sample sd (error bars) over n = 3 seeds" in footnote_of(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(RULES)
    assert_laid_out(figure)


def test_incomplete_comparisons_can_be_drawn():
    runs = frame().assign(status="RUNNING")
    table, layers = tables_of(runs)
    assert set(table["status"]) == {"no finished run"}
    FigureCanvasAgg(comparison_figure(table, layers, "title", 3.5)).draw()
    assert {v["status"] for v in verdicts(runs).values()} == {"undefined"}
    with pytest.raises(CreditError, match="no rows"):
        comparison_figure(table.iloc[:0], layers, "title")


@pytest.mark.slow
def test_published_and_shown_by_the_notebook(tracking_store):
    store = open_store()
    parent = open_parent(store, "method comparison", "method_comparison", {}, "hash")
    for rule, (accuracy, gamma, flops) in RULES.items():
        run_id = open_child(store, parent, spec_of(rule, 42, epochs=20))
        for name, value in measured(accuracy, gamma, flops=flops).items():
            early = name.startswith("cost/")  # once per run, before the last measurement
            store.client.log_metric(run_id, name, value, step=0 if early else 20)
        status = "ok" if math.isfinite(gamma) else "reference_at_floor"
        log_text(
            store,
            run_id,
            pd.DataFrame(_stored(status)).to_csv(index=False),
            "diagnostics/layers.csv",
        )
        finish(store, run_id)
    finish(store, parent)
    text = publish(store, parent)
    assert "REDUCED: 20 of 100 epochs, 1 of 3 seeds" in text
    assert "2.5 times bp's 3.2 GFLOP" in text
    assert "their seconds are their stack's mean" in text
    reader = connect(tracking_store)
    stored = pd.read_csv(reader.artifact(parent, "table.csv"))
    assert stored["flops_ratio"].tolist() == [v[2] for v in RULES.values()]
    assert "reference_at_floor" in reader.artifact(parent, "table.md").read_text()
    assert len(pd.read_csv(reader.artifact(parent, "layers.csv"))) == 6 * 13
    found = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    assert [v["rule"] for v in found if v["status"] == "fail" and v["check"] == "cost"] == [
        "state_bridge",
        "credit_bridge",
    ]
    notebook = test_notebooks.execute("method_comparison", ROOT)
    html = test_notebooks.shown(notebook, "text/html")
    assert "8 GFLOP" in html and "reference_at_floor" in html and "dominated" in html
    output = test_notebooks.shown(notebook, "stdout")
    assert "REDUCED" in output and "torch loaded: False" in output
    assert test_notebooks.shown(notebook, "image/png").count("iVBOR") == 1


def test_notebook_is_short():
    test_notebooks.test_notebooks_are_short_and_ask_one_question("method_comparison")

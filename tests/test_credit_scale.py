"""Credit scale: settings, table, courses, verdicts and figure, worked out by hand."""

import dataclasses
import json
import math
import statistics

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from credit.analysis import credit_scale, credit_scale_checks
from credit.analysis.credit_scale_figure import credit_scale_figure
from credit.errors import CreditError
from credit.publish import publish
from credit.spec import RunSpec
from credit.tracking.reader import connect
from credit.tracking.writer import finish, open_child, open_parent, open_store
from tests.layout import assert_laid_out
from tests.test_notebooks import ROOT, execute, shown

SEEDS = (42, 123, 456)
SHIFTS = (-0.01, 0.0, 0.01)
EPS = (0.0, 1e-12, 1e-8, 1e-6, 1e-4)
FREE, HELD = (0.30, 3e6, 1.6e-4), (0.40, 2e5, 1.6e-4)  # accuracy, |h_L|, |a_L|
DFA = (0.295, 6e7, 4.8)
Cells = dict[tuple[str, str, float], tuple[float, float, float]]
EXPECTED: Cells = {
    **{("fa", "mean", eps): HELD if eps >= 1e-8 else FREE for eps in EPS},
    **{("fa", "sum", eps): HELD if eps >= 1e-4 else FREE for eps in EPS},
    **{("dfa", reduction, eps): DFA for reduction in ("mean", "sum") for eps in EPS},
}
CHECKS = ["mean = sum, eps 0", "eps 1e-06 - 0", "mean - sum, eps 1e-06"]
LEAD = ["lead", "share of the lead"]


def spec_of(rule: str, reduction: str, eps: float, seed: int, **fields) -> RunSpec:
    return RunSpec.from_mapping(
        {
            "rule": rule,
            "credit_reduction": reduction,
            "credit_eps": eps,
            "seed": seed,
            "device": "cpu",
            **fields,
        }
    )


def measured(accuracy: float, hidden: float, credit: float) -> dict[str, float]:
    return {
        "accuracy/test": accuracy,
        "hidden_norm/h04": hidden,
        "credit_norm/h04": credit,
        "credit_norm/h00": credit / 2,
        "growth/max": 12.0,
        "alignment/deep": 0.3,
    }


def frame(values: Cells | None = None, **fields) -> pd.DataFrame:
    """Runs whose accuracies differ by .01 from seed to seed, around the given means."""
    specs = [
        (spec_of(*key, seed, **fields), measured(cell[0] + shift, *cell[1:]))
        for key, cell in (values or EXPECTED).items()
        for seed, shift in zip(SEEDS, SHIFTS, strict=True)
    ]
    return pd.DataFrame(
        {
            "run_id": spec.spec_hash,
            "name": spec.name,
            "status": "FINISHED",
            "reason": None,
            **dataclasses.asdict(spec),
            "started": pd.Timestamp("2026-01-01", tz="UTC"),
            **metrics,
        }
        for spec, metrics in specs
    )


def at(runs: pd.DataFrame, rule: str, reduction: str, eps: float, seed: int) -> pd.Series:
    where = (runs["rule"] == rule) & (runs["credit_reduction"] == reduction)
    return where & (runs["credit_eps"] == eps) & (runs["seed"] == seed)


def verdicts(runs: pd.DataFrame, courses: pd.DataFrame | None = None) -> dict[str, dict]:
    """By check; those that both rules have, by "rule check"."""
    found = credit_scale_checks.verdicts(runs, courses)
    json.dumps(found, allow_nan=False)
    return {v["check"] if v["check"] in LEAD else f"{v['rule']} {v['check']}": v for v in found}


def epochs_of(runs: pd.DataFrame) -> pd.DataFrame:
    """Courses of two epochs, as `credit_scale.courses` gives them."""
    both = [
        pd.DataFrame(
            {
                "rule": runs["rule"],
                "reduction": runs["credit_reduction"],
                "eps": runs["credit_eps"],
                "seed": runs["seed"],
                "epoch": epoch,
                "accuracy": runs["accuracy/test"] * epoch / 100,
                "hidden": runs["hidden_norm/h04"] * epoch / 100,
                "credit": runs["credit_norm/h04"],
                "credit_0": runs["credit_norm/h00"],
            }
        )
        for epoch in (1, 100)
    ]
    return pd.concat(both, ignore_index=True)


def test_table_by_hand():
    table = credit_scale.credit_scale(frame())
    assert len(table) == 20
    assert table["rule"].tolist() == ["fa"] * 10 + ["dfa"] * 10
    assert table["reduction"].tolist() == (["mean"] * 5 + ["sum"] * 5) * 2
    assert table["eps"].tolist() == [*EPS] * 4
    main = table.iloc[3].to_dict()  # fa, mean, 1e-6
    assert main["accuracy"] == pytest.approx(0.40)
    assert main["accuracy_sd"] == pytest.approx(statistics.stdev(SHIFTS))
    assert main["rms"] == pytest.approx(1.6e-4 / 16 / 128)  # sqrt(256) = 16; a batch has 128
    assert main["kept"] == pytest.approx(7.8125e-8 / 1.078125e-6)
    assert main["kept_0"] == pytest.approx(3.90625e-8 / 1.0390625e-6)
    assert table["rms"][8] == pytest.approx(1e-5)  # with the sum
    assert table["kept"][8] == pytest.approx(1e-5 / 1.1e-5)
    assert table["kept"][0] == 1
    assert (main["reported_accuracy"], main["reported_sd"]) == (0.402, 0.009)
    assert main["reported_hidden"] == 1e5
    assert table["reported_accuracy"].notna().sum() == 2  # fa mean and dfa sum at 1e-6
    wide = credit_scale.credit_scale_wide(table)
    assert wide.iloc[3].to_dict() == {
        "rule": "fa",
        "reduction": "mean",
        "eps": "1e-06",
        "test accuracy": ".400 ± .010",
        "reported": ".402 ± .009",
        "‖h_L‖": "2e+05",
        "‖h_L‖ reported": "1e+05",
        "‖a_L‖": "0.00016",
        "‖a_0‖": "8e-05",
        "rms(a_L)": "7.8e-08",
        "kept of a_L": "7%",
        "growth/max": "12",
        "Γ": ".300 ± .000",
        "Γ, l < L": "",
        "n": 3,
    }
    assert credit_scale.describe(frame()) == "cifar10, d=256, L=4, k=4, 100 epochs"


def test_what_others_measured_stands_beside_its_own_configuration():
    runs = frame(epochs=40)
    table = credit_scale.credit_scale(runs)
    known = table.dropna(subset=["reported_accuracy"])
    assert known["reported_accuracy"].tolist() == [0.379, 0.297, 0.300]
    assert known["reported_hidden"].tolist() == [2e5, 3e6, 6e7]
    assert known["eps"].tolist() == [1e-6] * 3
    assert "40 epochs, n = 1" in credit_scale.sources(runs, table)[-1]
    words = credit_scale.sources(frame(), credit_scale.credit_scale(frame()))
    assert "not the same training: fa mean .379 with ‖h_L‖ 2e+05" in words[-1]
    assert "authors" in words[1]
    for change in ({"k": 3}, {"lr": 0.1}, {"width": 128}, {"penalty": 0.01}, {"dataset": "digits"}):
        table = credit_scale.credit_scale(frame(**change))
        assert table["reported_accuracy"].isna().all()
        assert "reported" not in credit_scale.credit_scale_wide(table)


def test_reduced_runs_say_so():
    runs = frame(epochs=6)
    runs = runs.loc[runs["seed"] == 42]
    words = "REDUCED: 6 of 100 epochs, 1 of 3 seeds"
    assert credit_scale.describe(runs) == f"cifar10, d=256, L=4, k=4, 6 epochs; {words}"
    wide = credit_scale.credit_scale_wide(credit_scale.credit_scale(runs))
    assert wide["settings"].tolist() == [words] * 20
    few = runs.loc[(runs["credit_eps"] > 0) & (runs["rule"] == "fa")]
    assert credit_scale.describe(few).endswith(
        "REDUCED: without dfa, without eps=0, 6 of 100 epochs, 1 of 3 seeds"
    )
    hole = frame().loc[lambda own: ~at(own, "fa", "sum", 1e-4, 42)]
    assert credit_scale.describe(hole).endswith("REDUCED: 2 to 3 of 3 seeds")
    gone = frame({key: cell for key, cell in EXPECTED.items() if key != ("fa", "sum", 1e-4)})
    assert credit_scale.describe(gone).endswith("REDUCED: without fa sum eps=0.0001")


def test_costs_stand_beside_accuracy():
    runs = frame()
    assert "FLOP per step" not in credit_scale.credit_scale_wide(credit_scale.credit_scale(runs))
    table = credit_scale.credit_scale(runs.assign(**{"cost/flops_per_step": 1.4e9}))
    assert set(credit_scale.credit_scale_wide(table)["FLOP per step"]) == {"1.4 GFLOP"}


def test_only_like_is_compared_with_like():
    mixed = pd.concat([frame(), frame(width=128)])
    with pytest.raises(CreditError, match="differ in width"):
        credit_scale.credit_scale(mixed)
    with pytest.raises(CreditError, match="no runs to show"):
        credit_scale_checks.verdicts(mixed.iloc[:0])


def test_a_lead_that_is_a_scale_effect():
    found = verdicts(frame(), epochs_of(frame()))
    assert list(found) == [*(f"{rule} {c}" for rule in ("fa", "dfa") for c in CHECKS), *LEAD]
    assert found["lead"]["value"] == pytest.approx(0.105)
    assert found["lead"]["reason"].endswith("3 of 3 seeds alone have them")
    share = found["share of the lead"]
    assert (share["status"], share["label"]) == ("fail", "scale effect")
    assert share["value"] == pytest.approx(0.005 / 0.105)
    assert "5% of the lead is left" in share["reason"]
    assert "3 of 3 seeds alone say the same (n = 3 seeds)" in share["reason"]
    brake, mean = found["fa eps 1e-06 - 0"], found["fa mean - sum, eps 1e-06"]
    for verdict in (brake, mean):
        assert (verdict["status"], verdict["label"]) == ("fail", "higher")
        assert verdict["value"] == pytest.approx(0.10)
    assert ".400 with ‖h_L‖ 2e+05 at mean, eps=1e-06" in brake["reason"]
    assert "by seed +10.0 +10.0 +10.0" in brake["reason"]
    assert {found[f"dfa {check}"]["status"] for check in CHECKS} == {"pass"}
    assert found["fa mean = sum, eps 0"]["value"] == 0


@pytest.mark.parametrize(
    ("free", "status", "share"),
    [(0.40, "pass", 1.0), (0.36, "pass", 65 / 105), (0.34, "fail", 45 / 105), (0.2, "fail", -0.9)],
)
def test_share_of_the_lead(free, status, share):
    cells = EXPECTED | {("fa", "mean", 0.0): (free, 3e6, 1e-4)}
    found = verdicts(frame(cells))["share of the lead"]
    assert (found["status"], found["value"]) == (status, pytest.approx(share, abs=0.01))
    assert found["label"] == ("direction" if status == "pass" else "scale effect")
    assert ("nothing of the lead is left" in found["reason"]) is (share < 0)


def test_half_of_the_lead_is_direction():
    cells = EXPECTED | {
        ("fa", "mean", 0.0): (0.345, 3e6, 1e-4),
        ("fa", "mean", 1e-6): (0.395, 1, 1),
    }
    found = verdicts(frame(cells))["share of the lead"]
    assert (found["status"], found["value"]) == ("pass", 0.5)


def test_no_lead_is_no_share():
    found = verdicts(frame(EXPECTED | {("fa", "mean", 1e-6): (0.31, 2e5, 1e-4)}))
    assert found["lead"]["status"] == "fail"
    assert found["share of the lead"]["status"] == "undefined"
    assert "fa leads dfa by +1.5 points" in found["share of the lead"]["reason"]


def test_without_eps_mean_and_sum_are_one_rule():
    runs = frame()
    runs.loc[at(runs, "fa", "sum", 0.0, 123), "accuracy/test"] = 0.321
    courses = epochs_of(runs)
    courses.loc[courses["epoch"] == 1, "accuracy"] = 0.2
    odd = (courses["eps"] == 0) & (courses["seed"] == 456) & (courses["epoch"] == 1)
    courses.loc[odd & (courses["reduction"] == "sum"), "accuracy"] = 0.2003
    found = verdicts(runs, courses)["fa mean = sum, eps 0"]
    assert (found["status"], found["value"]) == ("fail", pytest.approx(0.021))
    assert "at most 2.10 points at the end (n = 3 seeds), by 0.03 after epoch 1" in found["reason"]


def test_verdicts_are_undefined_where_something_is_missing():
    runs = frame()
    runs.loc[at(runs, "fa", "mean", 0.0, 42), "status"] = "FAILED"
    found = verdicts(runs)
    assert "fa at mean, eps=0 failed on seed 42" in found["share of the lead"]["reason"]
    assert found["lead"]["status"] == "pass"
    alone = verdicts(frame({("fa", "mean", 1e-6): HELD}))
    assert len(alone) == 8
    assert {v["status"] for v in alone.values()} == {"undefined"}
    running = frame().assign(status="RUNNING")
    table = credit_scale.credit_scale(running)
    assert set(table["n"]) == {0}
    assert credit_scale.credit_scale_wide(table)["test accuracy"].tolist() == [""] * 20
    assert math.isnan(table["kept"][0])


@pytest.mark.parametrize("width", [3.5, 7.0])
def test_figure(width, tmp_path):
    table = credit_scale.credit_scale(frame())
    epochs = credit_scale.medians(epochs_of(frame()))
    assert len(epochs) == 40 and set(epochs["n"]) == {3}
    figure = credit_scale_figure(table, epochs, "Credit scale", width)
    figure.savefig(tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == round(width * 200)
    accuracy, fa, dfa = figure.axes
    assert accuracy.get_xscale() == "symlog"
    ticks = [tick.get_text() for tick in accuracy.get_xticklabels()]
    assert ticks == ["0", "1e-12", "1e-08", "1e-06", "0.0001"]
    drawn = [np.asarray(line.get_ydata(), float) for line in accuracy.lines]
    assert any(len(p) == 5 and np.allclose(p, [0.3, 0.3, 0.4, 0.4, 0.4]) for p in drawn)
    assert len(fa.lines) == len(dfa.lines) == 10
    assert fa.get_ylim() == dfa.get_ylim()
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[:4] == ["fa, mean", "fa, sum", "dfa, mean", "dfa, sum"]
    assert words[-1] == "measured by others"
    assert_laid_out(figure)
    bare = credit_scale_figure(table, epochs.iloc[:0], "without courses", width)
    bare.savefig(tmp_path / "bare.png")
    with pytest.raises(CreditError, match="no rows"):
        credit_scale_figure(table.iloc[:0], epochs, "title")


@pytest.mark.slow
def test_published_and_shown_by_the_notebook(tracking_store):
    store = open_store()
    parent = open_parent(store, "credit scale", "credit_scale", {}, "hash")
    for key, cell in EXPECTED.items():
        run_id = open_child(store, parent, spec_of(*key, 42))
        for epoch in (1, 50, 100):
            store.client.log_metric(run_id, "accuracy/test", cell[0] * epoch / 100, step=epoch)
        for epoch in (50, 100):
            for name, value in measured(cell[0], cell[1] * epoch / 100, cell[2]).items():
                if name != "accuracy/test":
                    store.client.log_metric(run_id, name, value, step=epoch)
        finish(store, run_id)
    finish(store, parent)
    text = publish(store, parent)
    assert "Credit scale: cifar10, d=256, L=4, k=4, 100 epochs; REDUCED: 1 of 3 seeds" in text
    assert "mostly a scale effect" in text
    reader = connect(tracking_store)
    table = pd.read_csv(reader.artifact(parent, "table.csv"))
    assert table["accuracy"].tolist() == [cell[0] for cell in EXPECTED.values()]
    epochs = pd.read_csv(reader.artifact(parent, "epochs.csv"))
    course = epochs.loc[(epochs["rule"] == "dfa") & (epochs["eps"] == 1e-8)]
    assert course["epoch"].tolist() == [1, 50, 100] * 2
    assert course["hidden"].tolist()[1:3] == [3e7, 6e7]
    assert math.isnan(course["hidden"].iloc[0])
    stored = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    assert [v["check"] for v in stored] == [*CHECKS, *CHECKS, *LEAD]
    assert "by 0.00 after epoch 1" in stored[0]["reason"]
    notebook = execute("credit_scale", ROOT)
    html = shown(notebook, "text/html")
    assert "scale effect" in html and "kept of a_L" in html
    output = shown(notebook, "stdout")
    assert "not the same training" in output and "torch loaded: False" in output
    assert shown(notebook, "image/png").count("iVBOR") == 1

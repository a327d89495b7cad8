"""The nonlinearity ladder's table, statements and figure, on frames with known answers."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from credit.analysis import nonlinearity, published_nonlinearity
from credit.analysis.drawing import STYLES
from credit.analysis.nonlinearity_checks import verdicts
from credit.analysis.nonlinearity_figure import nonlinearity_figure
from credit.errors import CreditError
from credit.spec import RunSpec

SEEDS = (42, 123, 456)
COMMON = {
    "dataset": "teacher",
    "width": 128,
    "epochs": 80,
    "activation": "phi",
    "terminal_norm": False,
    "augment": False,
    "device": "cpu",
}
SHAPE = {  # (rule, alpha) -> gamma by depth; the shape that was reported
    ("bp", 1.0): {2: 1.0, 4: 1.0},
    ("dfa", 0.0): {2: 0.01, 4: -0.02},
    ("dfa", 1.0): {2: 0.03, 4: 0.05},
    ("state_bridge", 0.0): {2: 0.6, 4: 0.5},
    ("state_bridge", 1.0): {2: 0.52, 4: 0.34},
    ("credit_bridge", 0.0): {2: 0.5, 4: 0.4},
    ("credit_bridge", 1.0): {2: 0.55, 4: 0.45},
    ("vector_field", 1.0): {2: 0.9, 4: 0.91},
}


def row(rule, alpha, depth, seed, gamma, start=0, status="FINISHED", **fields) -> dict:
    """One run as `Reader.runs` gives it; nudges are -gamma at h_0, and l times that at h_l."""
    metrics = {name: value for name, value in fields.items() if "/" in name}
    knobs = {name: value for name, value in fields.items() if "/" not in name}
    place = {"rule": rule, "alpha": alpha, "depth": depth, "k": depth, "seed": seed}
    spec = RunSpec(**COMMON | place | knobs)
    return {
        "run_id": f"{spec.spec_hash}-{start}",
        "name": spec.name,
        "status": status,
        "reason": None,
        "started": pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=start),
        **dataclasses.asdict(spec),
        "accuracy/test": 0.5 + gamma / 10,
        "alignment/deep": gamma,
        "alignment/deep_inner": gamma - 0.02 if depth > 1 else math.nan,
        f"hidden_norm/h{depth:02d}": 10.0 * depth,
        "rho/deep": gamma + 0.02,
        **{f"nudge/h{layer:02d}": -layer * gamma for layer in range(depth + 1)},
        **metrics,
    }


def ladder(shape=SHAPE, seeds=SEEDS, **fields) -> pd.DataFrame:
    """Runs whose gammas are mean - .01, mean, mean + .01 by seed."""
    steps = dict(zip(SEEDS, (-0.01, 0.0, 0.01), strict=True))
    return pd.DataFrame(
        row(rule, alpha, depth, seed, gamma + steps[seed], **fields)
        for (rule, alpha), by_depth in shape.items()
        for depth, gamma in by_depth.items()
        for seed in seeds
    )


def cell(table: pd.DataFrame, rule: str, alpha: float, depth: int) -> dict:
    own = table[(table["rule"] == rule) & (table["alpha"] == alpha) & (table["depth"] == depth)]
    (found,) = own.to_dict("records")
    return found


def statement(runs: pd.DataFrame, rule: str, check: str) -> dict:
    (found,) = [v for v in verdicts(runs) if (v["rule"], v["check"]) == (rule, check)]
    return found


def with_gamma(rule: str, alpha: float, by_depth: dict[int, float]) -> pd.DataFrame:
    return ladder(SHAPE | {(rule, alpha): by_depth})


def test_table_by_hand():
    table = nonlinearity.table(ladder())
    assert len(table) == 2 * 8
    assert list(table["alpha"]) == sorted(table["alpha"])
    last = table.tail(5)
    assert list(last["rule"]) == ["bp", "dfa", "state_bridge", "credit_bridge", "vector_field"]
    assert set(last["alpha"]) == {1.0} and set(last["depth"]) == {4}
    state = cell(table, "state_bridge", 1.0, 4)
    assert state["seeds"] == state["gamma_n"] == state["accuracy_n"] == 3
    assert state["gamma"] == pytest.approx(0.34) and state["gamma_sd"] == pytest.approx(0.01)
    assert state["rho"] == pytest.approx(0.36)
    assert state["nudge"] == pytest.approx(-0.34 * (1 + 2 + 3 + 4) / 4)  # h_0 does not count
    assert state["accuracy"] == pytest.approx(0.534)
    assert state["accuracy_sd"] == pytest.approx(0.001)


def test_reported_values_stand_beside_their_cell():
    table = nonlinearity.table(ladder())
    credit = cell(table, "credit_bridge", 1.0, 2)
    assert (credit["gamma_reported"], credit["rho_reported"]) == (0.53, 0.57)
    assert credit["gamma_difference"] == pytest.approx(0.02)
    assert credit["rho_difference"] == pytest.approx(0.0)
    assert cell(table, "vector_field", 1.0, 4)["gamma_reported"] == 0.91
    for place in (("vector_field", 1.0, 2), ("bp", 1.0, 4), ("state_bridge", 0.0, 4)):
        assert math.isnan(cell(table, *place)["gamma_reported"])
    assert "reported: by the experiment's authors" in nonlinearity.comparison(ladder())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"epochs": 40}, "epochs=40 (reported: 80)"),
        ({"dataset": "digits"}, "dataset=digits (reported: teacher)"),
        ({"terminal_norm": True}, "terminal_norm=true (reported: false)"),
        ({"tgw": 4.0}, "tgw=4.0 (reported: 1.0)"),
        ({"sigma_relative": True}, "sigma_relative=true (reported: false)"),
        ({"field_eps": 0.1}, "field_eps=0.1 (reported: 0.01)"),
        ({"precision": "bf16"}, "precision=bf16 (reported: fp32)"),
    ],
)
def test_reported_values_stand_beside_the_same_configuration_only(change, reason):
    runs = ladder(**change)
    assert nonlinearity.table(runs)["gamma_reported"].isna().all()
    told = nonlinearity.comparison(runs)
    assert reason in told and "reported: by" not in told
    assert "dfa, state_bridge, credit_bridge, vector_field" in told and len(told.split("\n")) == 1


def test_one_rule_may_have_its_own_knobs_but_all_its_runs_the_same():
    others = {key: value for key, value in SHAPE.items() if key[0] != "credit_bridge"}
    bridge = {key: value for key, value in SHAPE.items() if key[0] == "credit_bridge"}
    runs = pd.concat([ladder(others), ladder(bridge, tgw=4.0)], ignore_index=True)
    table = nonlinearity.table(runs)
    assert math.isnan(cell(table, "credit_bridge", 1.0, 2)["gamma_reported"])
    assert cell(table, "state_bridge", 1.0, 2)["gamma_reported"] == 0.52
    mixed = pd.concat([ladder(), ladder(bridge, tgw=4.0)], ignore_index=True)
    for refuses in (nonlinearity.table, verdicts, nonlinearity.describe):
        with pytest.raises(CreditError, match=r"differ in tgw \(1.0, 4.0\)"):
            refuses(mixed)


@pytest.mark.parametrize(("field", "value"), [("lr", 0.1), ("epochs", 7), ("penalty", 0.5)])
def test_a_cell_is_of_one_configuration(field, value):
    mixed = pd.concat([ladder(), ladder(seeds=(42,), **{field: value})], ignore_index=True)
    with pytest.raises(CreditError, match=f"runs differ in {field}"):
        nonlinearity.table(mixed)


def test_rules_may_not_differ_in_what_they_share():
    other = ladder({("dfa", 1.0): {2: 0.03}}, lr=0.1)
    runs = pd.concat([ladder({("bp", 1.0): {2: 1.0}}), other], ignore_index=True)
    with pytest.raises(CreditError, match="runs differ in lr"):
        nonlinearity.table(runs)


def test_no_runs_is_an_error():
    with pytest.raises(CreditError, match="no runs to show"):
        nonlinearity.table(ladder().iloc[:0])


def test_invalid_and_missing_values_are_counted_not_averaged():
    runs = ladder()
    place = (runs["rule"] == "dfa") & (runs["alpha"] == 1) & (runs["depth"] == 4)
    runs.loc[place & (runs["seed"] == 42), "alignment/deep"] = math.nan
    runs.loc[place & (runs["seed"] == 123), "nudge/h03"] = math.nan
    runs.loc[place & (runs["seed"] == 456), "status"] = "RUNNING"
    found = cell(nonlinearity.table(runs), "dfa", 1.0, 4)
    assert (found["seeds"], found["gamma_n"], found["nudge_n"], found["rho_n"]) == (2, 1, 1, 2)
    assert found["gamma"] == pytest.approx(0.05) and math.isnan(found["gamma_sd"])


def test_a_seed_that_ran_twice_counts_once_and_only_full_training_counts():
    again = ladder({("dfa", 1.0): {2: 0.9}}, seeds=(42,), start=9)
    partly = ladder({("dfa", 1.0): {2: 0.7}}, seeds=(42,), k=1)
    found = cell(nonlinearity.table(pd.concat([ladder(), again, partly])), "dfa", 1.0, 2)
    assert found["gamma_n"] == 3
    assert found["gamma"] == pytest.approx(np.mean([0.89, 0.03, 0.04]))


def test_nothing_finished():
    runs = ladder(status="RUNNING")
    table = nonlinearity.table(runs)
    assert len(table) == 16 and set(table["gamma_n"]) == {0}
    assert nonlinearity.seeds_text(table) == "no run has finished yet"
    assert {v["status"] for v in verdicts(runs)} == {"undefined"}
    FigureCanvasAgg(nonlinearity_figure(table, "title")).draw()


def test_wide_table():
    wide = nonlinearity.wide(nonlinearity.table(ladder()), ("gamma", "nudge"))
    assert list(wide.columns) == ["alpha", "quantity", "rule", "values", "L=2", "L=4"]
    own = wide[(wide["alpha"] == "1") & (wide["rule"] == "state_bridge")]
    assert own.to_numpy().tolist() == [
        ["1", "Γ", "state_bridge", "ours", "0.520 ± 0.010 (n=3)", "0.340 ± 0.010 (n=3)"],
        ["1", "Γ", "state_bridge", "reported", "0.52", "0.34"],
        ["1", "Γ", "state_bridge", "difference", "+0.00", "+0.00"],
        ["1", "nudge", "state_bridge", "ours", "-7.8e-01 ± 1.5e-02 (n=3)", own.iloc[3]["L=4"]],
    ]
    field = wide[(wide["rule"] == "vector_field") & (wide["values"] == "reported")]
    assert field[["L=2", "L=4"]].to_numpy().tolist() == [["", "0.91"]]
    assert "vector_field" not in set(wide.loc[wide["alpha"] == "0", "rule"])


def test_the_reported_shape_passes_every_statement():
    found = verdicts(ladder())
    assert {v["status"] for v in found} == {"pass"}
    assert len({(v["rule"], v["check"]) for v in found}) == len(found) == 12
    assert {v["quantity"] for v in found} == {"gamma", "rho"}
    json.dumps(found, allow_nan=False)


def test_the_published_numbers_hold_what_the_statements_say():
    shape: dict = {(rule, 1.0): by for rule, by in published_nonlinearity.GAMMA.items()}
    found = verdicts(ladder(shape, seeds=(123,)))
    at_one = [v for v in found if v["alpha"] != 0.0 and v["quantity"] == "gamma"]
    assert {v["status"] for v in at_one} == {"pass"}


def test_a_lead_is_paired_by_seed_and_needed_at_every_depth():
    lead = statement(ladder(), "credit_bridge", "leads Γ α=1")
    assert lead["value"] == pytest.approx(0.03)
    assert (
        "L=2 0.550 against 0.520, +0.030 ± 0.000 (n=3), least +0.030, ahead at 3" in lead["reason"]
    )
    lost = with_gamma("credit_bridge", 1.0, {2: 0.55, 4: 0.335})
    found = statement(lost, "credit_bridge", "leads Γ α=1")
    assert found["status"] == "fail" and found["value"] == pytest.approx(-0.005)
    assert "-0.005 ± 0.000 (n=3), least -0.005, ahead at 0" in found["reason"]
    assert found["reason"].endswith("no lead on every seed at L=4, L=4 (l < L)")
    assert (
        statement(with_gamma("credit_bridge", 0.0, {2: 0.5, 4: 0.55}), *STATE)["status"] == "fail"
    )


STATE = ("state_bridge", "leads Γ α=0")


def test_only_seeds_of_both_rules_are_paired():
    runs = ladder()
    gone = (runs["rule"] == "state_bridge") & (runs["alpha"] == 1) & (runs["seed"] != 456)
    runs.loc[gone & (runs["depth"] == 2), "alignment/deep"] = math.nan
    reason = statement(runs, "credit_bridge", "leads Γ α=1")["reason"]
    assert "L=2 0.560 against 0.530, +0.030 (n=1), least +0.030, ahead at 1" in reason


def test_a_missing_cell_leaves_a_statement_open_unless_another_contradicts_it():
    runs = ladder()
    gone = (runs["rule"] == "state_bridge") & (runs["alpha"] == 1) & (runs["depth"] == 4)
    found = statement(runs[~gone], "credit_bridge", "leads Γ α=1")
    assert found["status"] == "undefined" and "no valid value at L=4" in found["reason"]
    lost = with_gamma("credit_bridge", 1.0, {2: 0.4, 4: 0.45})
    assert statement(lost[~gone], "credit_bridge", "leads Γ α=1")["status"] == "fail"
    absent = statement(runs[runs["rule"] != "vector_field"], "vector_field", "far above Γ")
    assert absent["status"] == "undefined" and "not in this experiment" in absent["reason"]


def changed(runs, column, value, **place) -> pd.DataFrame:
    here = np.logical_and.reduce([runs[name] == wanted for name, wanted in place.items()])
    return runs.assign(
        **{
            column: runs[column].where(~here, value)
            if column in runs
            else np.where(here, value, np.nan)
        }
    )


def test_a_lead_on_two_of_three_seeds_is_none():
    place = {"rule": "credit_bridge", "alpha": 1.0, "depth": 4}
    runs = changed(ladder(), "alignment/deep", 0.32, **place, seed=42)  # the other has .33
    found = statement(runs, "credit_bridge", "leads Γ α=1")
    assert (found["status"], found["value"]) == ("fail", pytest.approx(-0.01))
    assert "least -0.010, ahead at 2" in found["reason"]


def test_what_is_taught_at_the_last_state_is_no_lead():
    place = {"rule": "credit_bridge", "alpha": 1.0, "depth": 4}
    runs = changed(ladder(), "alignment/deep_inner", 0.1, **place)
    found = statement(runs, "credit_bridge", "leads Γ α=1")
    assert found["status"] == "fail" and found["reason"].endswith("seed at L=4 (l < L)")
    shallow = {key: {1: 0.5, 2: by[2] - 0.3} for key, by in SHAPE.items()}
    shallow["credit_bridge", 1.0] = {1: 0.6, 2: 0.4}
    alone = statement(ladder(shallow), "credit_bridge", "leads Γ α=1")
    assert alone["status"] == "pass" and "L=1 (l < L)" not in alone["reason"]


def test_an_estimator_that_is_not_fitted_is_named():
    runs = changed(ladder(), "estimator/gradient", 0.95, rule="credit_bridge", depth=4)
    note = "credit_bridge's terminal gradient is not fitted at L=4 (.950 of the target left)"
    for rule, check, labelled in (
        ("credit_bridge", "falls Γ α=1", True),
        ("state_bridge", "leads ρ α=0", True),
        ("credit_bridge", "leads Γ α=1", False),
        ("vector_field", "far above Γ", False),
        ("state_bridge", "falls Γ α=1", None),
    ):
        found = statement(runs, rule, check)
        label = "pass, but the estimator is not fitted" if labelled else ""
        assert (found["status"], found["label"]) == ("pass", label) or not labelled
        assert (note in found["reason"]) == (labelled is not None)
        assert found["reason"].startswith(label)
    assert "not fitted" not in str(verdicts(ladder()))
    table = nonlinearity.table(runs)
    assert cell(table, "credit_bridge", 1.0, 4)["fit"] == pytest.approx(0.95)
    wide = nonlinearity.wide(table, ("fit", "hidden", "gamma_inner"))
    fits = wide[wide["quantity"] == "fit"]
    assert set(fits["rule"]) == {"credit_bridge"} and "0.950 ± 0.000 (n=3)" in set(fits["L=4"])
    assert set(wide.loc[wide["quantity"] == "‖h_L‖", "L=4"]) == {"40 ± 0 (n=3)"}


def test_where_accuracy_is_no_evidence_is_computed():
    runs = changed(ladder(), "accuracy/test", 0.58, rule="bp", depth=4)
    runs = changed(runs, "accuracy/test", 0.54, rule="dfa", depth=4)
    note = nonlinearity.accuracy_note(nonlinearity.table(runs))
    assert note.startswith("accuracy is no evidence of good credit in 1 of 2 cells")
    assert note.endswith("α=1 L=4 (-4.0)")
    far = nonlinearity.accuracy_note(nonlinearity.table(ladder()))
    assert far.startswith("accuracy tells bp from dfa by 5 points or more") and "9.5" in far
    alone = ladder({("dfa", 1.0): {2: 0.1}})
    assert nonlinearity.accuracy_note(nonlinearity.table(alone)) == ""


def test_the_title_names_samples_and_steps():
    told = nonlinearity.describe(ladder(train_samples=3000))
    assert told == (
        "teacher, d=128, 3000 samples, 80 epochs (1920 steps of 128), code eT, estimator_layers 1"
    )
    assert "all samples, 80 epochs in batches of 128" in nonlinearity.describe(ladder())


def test_a_fall_is_from_each_depth_to_the_next():
    shape = SHAPE | {("state_bridge", 1.0): {2: 0.5, 4: 0.3, 8: 0.31}}
    found = statement(ladder(shape), "state_bridge", "falls Γ α=1")
    assert found["status"] == "fail" and found["value"] == pytest.approx(0.01)
    assert "L=8 0.310 ± 0.010 (n=3); L=2 (l < L) 0.480" in found["reason"]
    once = ladder({("state_bridge", 1.0): {2: 0.5}})
    alone = statement(once, "state_bridge", "falls Γ α=1")
    assert alone["status"] == "undefined" and "one depth shows no trend" in alone["reason"]


def test_near_zero_holds_at_every_alpha_and_depth():
    assert statement(ladder(), "dfa", "near 0 Γ")["value"] == pytest.approx(0.05)
    found = statement(with_gamma("dfa", 0.0, {2: 0.01, 4: -0.12}), "dfa", "near 0 Γ")
    assert found["status"] == "fail" and found["value"] == pytest.approx(0.12)
    assert "α=0 L=4 -0.120 ± 0.010 (n=3)" in found["reason"]
    assert found["reason"].endswith("not below 0.1 at α=0 L=4")


def test_far_above_is_measured_against_the_better_bridge():
    found = statement(ladder(), "vector_field", "far above Γ")
    assert found["value"] == pytest.approx(0.35)
    assert "L=2 0.900 against 0.550" in found["reason"]
    near = statement(
        with_gamma("vector_field", 1.0, {2: 0.7, 4: 0.91}), "vector_field", found["check"]
    )
    assert near["status"] == "fail" and near["reason"].endswith(
        "no lead of more than 0.2 on every seed at L=2, L=2 (l < L)"
    )


@pytest.mark.parametrize("width", [3.5, 7.0])
def test_the_figure_fits_its_page_and_says_what_it_shows(width):
    title = "Nonlinearity ladder: teacher, d=128, 80 epochs"
    alphas = {
        (rule, alpha): by
        for rule, _ in SHAPE
        for alpha in (0, 0.25, 0.5, 1.0)
        for by in [{2: 0.5, 4: 0.4, 8: 0.3, 12: 0.2}]
    }
    figure = nonlinearity_figure(nonlinearity.table(ladder(alphas)), title, width)
    FigureCanvasAgg(figure).draw()
    undrawn = {
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    words, page = [], figure.bbox
    for text in set(figure.findobj(Text)) - undrawn:
        box = text.get_window_extent()
        if text.get_text() and text.get_visible() and box.width:
            words.append(" ".join(text.get_text().split()))
            assert box.x0 >= -1 and box.y0 >= -1, text.get_text()
            assert box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1, text.get_text()
    shown = " ".join(words)
    for label in (
        "α = 0.25",
        "alignment Γ",
        "loss prediction ρ",
        "test accuracy",
        "L, residual",
        "state_bridge",
        "vector_field",
        "reported",
        "n = 3 seeds",
        "error bars",
    ):
        assert label in shown
    legend = figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)
    assert len(figure.axes) == 12


def test_the_figure_draws_the_numbers():
    table = nonlinearity.table(ladder())
    figure = nonlinearity_figure(table, "title")
    assert [axes.get_title() for axes in figure.axes[:2]] == ["α = 0", "α = 1"]
    for axes, alpha, name in (
        (figure.axes[1], 1.0, "gamma"),
        (figure.axes[3], 1.0, "rho"),
        (figure.axes[4], 0.0, "accuracy"),
    ):
        drawn = {line.get_color(): line for line in axes.lines if line.get_linestyle() == "-"}
        own = table[(table["rule"] == "credit_bridge") & (table["alpha"] == alpha)]
        line = drawn[STYLES["credit_bridge"].color]
        np.testing.assert_allclose(np.asarray(line.get_ydata(), float), own[name])
    hollow = [
        np.asarray(line.get_ydata(), float).tolist()
        for line in figure.axes[1].lines
        if line.get_markerfacecolor() == "white" and len(np.asarray(line.get_xdata()))
    ]
    assert sorted(hollow) == [[0.03, 0.05], [0.52, 0.34], [0.53, 0.45], [0.91]]


def test_an_empty_table_is_not_drawn():
    with pytest.raises(CreditError, match="nothing to draw"):
        nonlinearity_figure(nonlinearity.table(ladder()).iloc[:0], "title")

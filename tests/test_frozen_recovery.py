"""Frozen recovery: arms, tables, verdicts and figure, on frames worked out by hand."""

import dataclasses
import json
import math
import statistics
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from credit.analysis import frozen, frozen_checks, published_frozen
from credit.analysis.frozen import START
from credit.analysis.frozen_figure import frozen_figure
from credit.analysis.page import footnote_of
from credit.errors import CreditError
from credit.presets import FROZEN_ARMS
from credit.publish import publish
from credit.spec import RunSpec
from credit.tracking.reader import connect
from credit.tracking.writer import finish, open_child, open_parent, open_store
from tests.layout import assert_laid_out
from tests.test_notebooks import execute, shown

ROOT = Path(__file__).parents[1]
SEEDS = (42, 123, 456)
SHIFTS = (-0.01, 0.0, 0.01)
COMMON = {"device": "cpu", "credit_reduction": "sum"}
STILL = {"k": 0, "embed_trains": False, "head_trains": False, "warmup_ratio": 0.0}
VALUES = {  # arm -> Γ, Γ of l < L, ρ
    "dfa": (0.006, 0.005, 0.01),
    "state_bridge": (0.29, 0.25, 0.30),
    "credit_eT": (0.12, 0.11, 0.13),
    "credit_deltaL": (0.09, 0.08, 0.10),
    "M4": (0.36, 0.33, 0.40),
    "M8": (0.37, 0.34, 0.41),
    "M16": (0.37, 0.35, 0.42),
}
CHECKS = [
    *("M4 > state_bridge", "state_bridge > credit_eT", "credit_eT > credit_deltaL"),
    *("credit_deltaL >> dfa", "order"),
    *("state_bridge > copy", "credit_eT > copy", "credit_deltaL > copy"),
    *("M4 > copy", "M8 > copy", "M16 > copy"),
    *("dfa near 0", "M", "frozen"),
]
NETWORKS = ((256, 4), (256, 6), (512, 4))
COPY = (0.03, 0.01)  # Γ of g_L passed back unchanged, and that of l < L
GONE = "REDUCED: without d=256 L=6, d=512 L=4"
RELATIVE = {"sigma_relative": True, "estimator_relative": True}  # as published
UNITS = "sigma_relative=false for true, estimator_relative=false for true"
ACCURACY = {42: 0.61, 123: 0.62, 456: 0.63}


def reference(seed: int, **fields) -> RunSpec:
    spec = {**COMMON, "rule": "bp", "k": fields.get("depth", 4), "seed": seed, **fields}
    return RunSpec.from_mapping(spec | {"credit_reduction": "mean"})


def still(arm: str, seed: int, start: RunSpec, **fields) -> RunSpec:
    own = {"width": start.width, "depth": start.depth, "seed": seed, START: start.spec_hash}
    return RunSpec.from_mapping({**COMMON, **FROZEN_ARMS[arm], **STILL, **own, **fields})


def row(spec: RunSpec, metrics: dict[str, float]) -> dict:
    return {
        "run_id": spec.spec_hash,
        "name": spec.name,
        "spec_hash": spec.spec_hash,
        "status": "FINISHED",
        "reason": None,
        "started": pd.Timestamp("2026-01-01", tz="UTC"),
        **dataclasses.asdict(spec),
        **metrics,
    }


def measured(arm: str, seed: int, depth: int, values=VALUES) -> dict[str, float]:
    shift = SHIFTS[SEEDS.index(seed)]
    gamma, inner, rho = (value + shift for value in values[arm])
    return {
        "accuracy/test": ACCURACY[seed],
        "alignment/deep": gamma,
        "alignment/deep_inner": inner,
        "rho/deep": rho,
        "copy/deep": COPY[0],
        "copy/deep_inner": COPY[1],
        "estimator/loss": 0.3,
        "estimator/gradient": 0.4,
        "estimator/directional": 0.5,
        "cost/estimator_parameters": 0.0 if arm == "dfa" else 331_000.0,
        "cost/block_evaluations": 4.0,
        "cost/flops_per_step": 2.5e9,
        **{f"nudge/h{layer:02d}": -0.001 * layer for layer in range(depth + 1)},
        **{f"alignment/h{layer:02d}": inner + 0.01 * layer for layer in range(depth + 1)},
        **{f"rho/h{layer:02d}": rho for layer in range(depth + 1)},
    }


def frame(values=VALUES, networks=((256, 4),), seeds=SEEDS, ours=(), theirs=()) -> pd.DataFrame:
    """References and frozen runs. `ours`: fields of the frozen runs, `theirs`: of references."""
    rows = []
    for width, depth in networks:
        for seed in seeds:
            start = reference(seed, width=width, depth=depth, **dict(theirs))
            rows.append(row(start, {"accuracy/test": ACCURACY[seed]}))
            rows += [
                row(still(arm, seed, start, **dict(ours)), measured(arm, seed, depth, values))
                for arm in values
            ]
    return pd.DataFrame(rows)


def at(runs: pd.DataFrame, arm: str, seed: int = 0) -> pd.Series:
    here = frozen.with_arms(runs)["arm"] == arm
    return here & (runs["seed"] == seed) if seed else here


def verdicts(runs: pd.DataFrame) -> dict[str, dict]:
    found = frozen_checks.verdicts(runs)
    json.dumps(found, allow_nan=False)
    return {v["check"]: v for v in found}


def changed(**arms: tuple[float, float, float]) -> pd.DataFrame:
    return frame(VALUES | arms)


def test_arms_and_networks_are_read_off_the_runs():
    runs = frame(networks=((512, 4), (256, 6)))
    named = frozen.with_arms(runs)
    assert set(named["arm"]) == {*VALUES, "reference"}
    assert set(named["network"]) == {"d=512 L=4", "d=256 L=6"}
    assert set(named[START]) == {"none", "reference"}
    assert named["reference_accuracy"].tolist() == [ACCURACY[s] for s in named["seed"]]
    assert frozen.networks(runs) == [(256, 6), (512, 4)]
    assert frozen.in_order(["M16", "M8", "oracle", "dfa", "reference", "credit_eT"]) == [
        *("dfa", "credit_eT", "oracle", "M8", "M16"),
    ]


def test_table_by_hand():
    runs = frame()
    table = frozen.table(runs)
    assert table["arm"].tolist() == list(VALUES)
    assert set(table["n"]) == {3}
    state = table.iloc[1].to_dict()
    assert state["alignment"] == pytest.approx(0.29)
    assert state["alignment_sd"] == pytest.approx(statistics.stdev([0.28, 0.29, 0.30]))
    assert state["nudge"] == pytest.approx(-0.0025)  # over h_1 .. h_4
    assert (state["reported_alignment"], state["departures"]) == (0.287, "")
    assert frozen.wide(table).iloc[1].to_dict() == {
        "network": "d=256 L=4",
        "arm": "state_bridge",
        "Γ": ".290 ± .010",
        "Γ reported": ".287",
        "Γ, l < L": ".250 ± .010",
        "Γ of g_L passed back": ".030 ± .000",
        "Γ of g_L passed back, l < L": ".010 ± .000",
        "ρ": ".300 ± .010",
        "nudge": "-0.0025 ± 0",
        "fit": ".300 ± .000",
        "accuracy of the reference": ".620 ± .010",
        "n": 3,
        "estimator parameters": "331 k",
        "block evaluations": "4",
        "FLOP per step": "2.5 GFLOP",
        "settings": f"{GONE}, {UNITS}",
    }
    reported = frozen.wide(table)["Γ reported"].tolist()
    assert reported == [".006", ".287", ".115", "", ".364", "", ""]
    assert len(frozen.sources(table)) == 1
    assert frozen.describe(runs) == (
        "cifar10, bp for 100 epochs, then frozen; estimators: all samples, 100 epochs in batches "
        f"of 128, estimator_layers 1; {GONE}, {UNITS}"
    )


def test_layers_by_hand():
    layers = frozen.layers(frame())
    assert len(layers) == 7 * 5
    third = layers[(layers["arm"] == "credit_eT") & (layers["layer"] == 3)].iloc[0]
    assert third["alignment"] == pytest.approx(0.14)
    assert (third["alignment_n"], third["n"]) == (3, 3)
    wide = frozen.wide_layers(frozen.layers(frame(networks=((256, 4), (256, 6)))))
    assert list(wide.columns) == ["network", "Γ", *(f"h{i}" for i in range(7)), "n"]
    assert wide.iloc[1].tolist() == [
        *("d=256 L=4", "state_bridge", ".250", ".260", ".270", ".280", ".290", "", "", 3),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ({"epochs": 10}, {}, "estimator: epochs=10 (reported: 100)"),
        ({}, {"epochs": 10}, "reference: epochs=10 (reported: 100)"),
        ({}, {"train_samples": 500}, "reference: train_samples=500 (reported: 0)"),
        ({"estimator_width": 64}, {}, "estimator: estimator_width=64 (reported: 256)"),
        ({}, {"k": 3}, "reference: k=3 (reported: 4)"),
    ],
)
def test_reported_values_of_other_settings_say_so(ours, theirs, said):
    table = frozen.table(frame(ours=ours, theirs=theirs))
    wide = frozen.wide(table)
    assert wide["Γ reported"].iloc[4] == ".364*"
    assert said in " ".join(frozen.sources(table))
    assert "no comparison" in frozen.sources(table)[1]


def test_reported_values_of_other_networks_do_not_stand_there():
    for network in ((128, 4), (256, 6), (512, 4)):
        table = frozen.table(frame(networks=(network,)))
        assert table["reported_alignment"].isna().all()
        assert "Γ reported" not in frozen.wide(table)
        assert frozen.sources(table) == []
    runs = frame()
    assert set(published_frozen.reported_frozen(frozen.with_arms(runs))["departures"]) == {""}
    units = frame(ours={"estimator_relative": True, "sigma_relative": True})
    found = published_frozen.reported_frozen(frozen.with_arms(units)).set_index("arm")
    assert "estimator_relative=true (reported: false)" in found.loc["M4", "departures"]
    alone = frozen.table(runs[at(runs, "dfa")])  # without its reference
    assert alone["departures"].tolist() == ["reference: not among the runs"]
    assert alone["reference_accuracy"].isna().all()


def test_a_reduced_run_is_labelled():
    runs = frame(seeds=(42,), ours={"epochs": 20, "train_samples": 5000, **RELATIVE})
    label = f"{GONE}, 20 of 100 epochs, 5000 of 50000 samples, 1 of 3 seeds"
    assert frozen.describe(runs).endswith(f"; {label}")
    table = frozen.table(runs)
    assert set(table["settings"]) == {label}
    assert set(frozen.wide(table)["settings"]) == {label}
    assert "settings" not in frozen.wide(frozen.table(frame(networks=NETWORKS, ours=RELATIVE)))


def test_what_is_expected_passes():
    found = verdicts(frame(networks=((256, 4), (512, 4))))
    assert list(found) == CHECKS
    assert {v["status"] for v in found.values()} == {"pass"}
    assert found["M4 > state_bridge"]["value"] == pytest.approx(0.07)
    assert found["credit_deltaL >> dfa"]["value"] == pytest.approx(0.075)
    assert found["dfa near 0"]["value"] == pytest.approx(0.01)  # ρ: 0, .01, .02
    assert found["M"]["value"] == pytest.approx(0.0)
    assert found["frozen"]["value"] == 0
    reason = found["M4 > state_bridge"]["reason"]
    assert "d=256 L=4: Γ +.070 (least +.070), Γ, l < L +.080 (least +.080), ρ +.100" in reason
    assert "n = 3 seeds" in reason
    assert "Γ, l < L .330 .340 .350 (lowest step +.010)" in found["M"]["reason"]


@pytest.mark.parametrize(
    ("arm", "values", "check", "status", "value"),
    [
        ("state_bridge", (0.35, 0.25, 0.30), "M4 > state_bridge", "pass", 0.01),
        ("state_bridge", (0.355, 0.25, 0.30), "M4 > state_bridge", "fail", 0.005),
        ("state_bridge", (0.29, 0.40, 0.30), "M4 > state_bridge", "fail", -0.07),
        ("credit_eT", (0.12, 0.11, 0.35), "state_bridge > credit_eT", "fail", -0.05),
        ("credit_deltaL", (0.05, 0.06, 0.07), "credit_deltaL >> dfa", "fail", 0.044),
        ("dfa", (-0.06, 0.0, 0.0), "dfa near 0", "fail", 0.06),
        ("M8", (0.34, 0.33, 0.40), "M", "pass", -0.02),
        ("M8", (0.33, 0.33, 0.40), "M", "fail", -0.03),
    ],
)
def test_margins(arm, values, check, status, value):
    found = verdicts(changed(**{arm: values}))
    assert (found[check]["status"], found[check]["value"]) == (status, pytest.approx(value))
    if ">" in check:
        assert found["order"]["status"] == status


def test_a_lead_must_hold_on_every_seed():
    runs = frame()
    runs.loc[at(runs, "M4", 123), "rho/deep"] = 0.305  # the state bridge of this seed has .30
    found = verdicts(runs)["M4 > state_bridge"]
    assert (found["status"], found["value"]) == ("fail", pytest.approx(0.005))


def test_sizes_of_dfa_do_not_cancel_between_seeds():
    runs = frame()
    for seed, value in zip(SEEDS, (0.3, 0.0, -0.3), strict=True):
        runs.loc[at(runs, "dfa", seed), "alignment/deep"] = value
    found = verdicts(runs)["dfa near 0"]
    assert (found["status"], found["value"]) == ("fail", pytest.approx(0.2))
    assert "Γ .000 (mean size .200)" in found["reason"]


def test_a_network_that_moved_is_found():
    runs = frame()
    runs.loc[at(runs, "credit_eT", 123), "accuracy/test"] = 0.6205
    assert verdicts(runs)["frozen"]["status"] == "pass"
    runs.loc[at(runs, "credit_eT", 123), "accuracy/test"] = 0.60
    found = verdicts(runs)["frozen"]
    assert (found["status"], found["value"]) == ("fail", pytest.approx(0.02))
    assert "(credit_eT in d=256 L=4)" in found["reason"]


def test_what_is_missing_is_undefined_and_named():
    few = {arm: VALUES[arm] for arm in ("M4", "state_bridge")}
    found = verdicts(pd.concat([frame(), frame(few, networks=((512, 4),))]))
    assert found["M4 > state_bridge"]["status"] == "pass"
    assert "d=512 L=4" in found["M4 > state_bridge"]["reason"]
    assert "not run in d=512 L=4" in found["credit_deltaL >> dfa"]["reason"]
    runs = frame(few)
    runs.loc[at(runs, "M4", 123), "rho/deep"] = math.nan
    found = verdicts(runs)
    assert "ρ of M4 in d=256 L=4 is not valid on seed 123" in found["M4 > state_bridge"]["reason"]
    assert "no network has runs of dfa" in found["dfa near 0"]["reason"]
    assert "no network has vector fields of two M" in found["M"]["reason"]
    others = {c: v["status"] for c, v in found.items() if c != "frozen" and "copy" not in c}
    assert set(others.values()) == {"undefined"}
    runs.loc[at(runs, "M4", 456), "status"] = "FAILED"
    assert "failed on seed 456" in verdicts(runs)["M4 > state_bridge"]["reason"]


def test_a_rule_must_be_above_the_gradient_passed_back_unchanged():
    runs = frame()
    found = verdicts(runs)["M4 > copy"]
    assert (found["status"], found["label"], found["threshold"]) == ("pass", "more", 0.05)
    assert found["value"] == pytest.approx(0.31)
    assert "M4 in d=256 L=4: .330 − .010 = +.320 (least +.310), n = 3 seeds" in found["reason"]
    runs.loc[at(runs, "M4", 123), "copy/deep_inner"] = 0.30  # the field has .33 on this seed
    found = verdicts(runs)["M4 > copy"]
    assert (found["status"], found["value"]) == ("fail", pytest.approx(0.03))
    assert found["reason"].startswith("not more than the skip path: Γ, l < L minus that of g_L")
    assert "no room" not in found["reason"]
    # a network that hardly turns: the check of Γ against dfa passes, this one cannot
    high = frame(VALUES | {"M4": (0.98, 0.99, 0.9)})
    high.loc[at(high, "M4"), "copy/deep_inner"] = 0.97
    found = verdicts(high)
    assert found["M4 > state_bridge"]["status"] == "pass"
    own = found["M4 > copy"]
    assert (own["status"], own["label"], own["value"]) == ("undefined", "no room", None)
    assert "no room for +.050 in M4 in d=256 L=4 (.970): Γ decides nothing" in own["reason"]


def test_a_network_without_room_neither_passes_nor_fails_beside_another():
    runs = frame(networks=((256, 4), (512, 4)))
    wide = at(runs, "M4") & (runs["width"] == 512)
    runs.loc[wide, "copy/deep_inner"] = 0.96
    found = verdicts(runs)["M4 > copy"]  # the other passes, but every network is asked for
    assert (found["status"], found["label"]) == ("undefined", "no room")
    runs.loc[at(runs, "M4") & ~wide, "copy/deep_inner"] = 0.5
    found = verdicts(runs)["M4 > copy"]
    assert (found["status"], found["label"]) == ("fail", "not more than the skip path")
    assert "not judged: the copy leaves no room for +.050 in M4 in d=512" in found["reason"]


def test_every_network_must_be_above_the_copy():
    runs = frame(networks=((256, 4), (512, 4)))
    wide = at(runs, "M8") & (runs["width"] == 512)
    runs.loc[wide, "copy/deep_inner"] = 0.5
    found = verdicts(runs)
    assert (found["M4 > copy"]["status"], found["M8 > copy"]["status"]) == ("pass", "fail")
    assert "M8 in d=512 L=4: .340 − .500 = -.160" in found["M8 > copy"]["reason"]


def test_a_copy_that_was_not_measured_is_named():
    runs = frame().drop(columns=["copy/deep", "copy/deep_inner"])
    found = {c: v for c, v in verdicts(runs).items() if c.endswith("copy")}
    assert {v["status"] for v in found.values()} == {"undefined"}
    assert {v["label"] for v in found.values()} == {"not measured"}
    assert "has no copy/deep_inner on seed 42, 123, 456" in found["M4 > copy"]["reason"]
    assert "Γ of g_L passed back" not in frozen.wide(frozen.table(runs))
    runs = frame(networks=((256, 4), (512, 4)))
    wide = at(runs, "M4") & (runs["width"] == 512)
    runs.loc[wide, "copy/deep_inner"] = math.nan
    assert verdicts(runs)["M4 > copy"]["label"] == "not measured"
    runs.loc[at(runs, "M4") & ~wide, "copy/deep_inner"] = 0.5  # the other network decides
    found = verdicts(runs)["M4 > copy"]
    assert found["status"] == "fail" and "not judged: M4 in d=512 L=4 has no" in found["reason"]
    runs.loc[wide, "status"] = "RUNNING"
    assert verdicts(runs)["M4 > copy"]["status"] == "fail"


def test_one_block_has_nothing_between():
    runs = frame(networks=((256, 1),)).drop(columns=["alignment/deep_inner", "copy/deep_inner"])
    found = verdicts(runs)["M4 > copy"]
    assert found["status"] == "undefined" and "has one block" in found["reason"]


def test_references_that_are_shorter_say_so():
    label = "REDUCED: references: 6 of 100 epochs, references: 20000 of 50000 samples"
    theirs = {"epochs": 6, "train_samples": 20000}
    runs = frame(networks=NETWORKS, ours=RELATIVE, theirs=theirs)
    assert frozen.describe(runs).endswith(f"; {label}")
    few = frame({arm: VALUES[arm] for arm in ("dfa", "M4")}, NETWORKS, ours=RELATIVE)
    assert frozen.describe(few).endswith(
        "; REDUCED: without state_bridge, credit_eT, credit_deltaL, M8, M16"
    )
    other = frame(networks=((128, 4),))
    assert "REDUCED: without d=256 L=4, d=256 L=6, d=512 L=4" in frozen.describe(other)


def test_a_bridge_that_is_not_fitted_is_named():
    runs = frame()
    runs.loc[at(runs, "credit_deltaL"), "estimator/gradient"] = 0.95
    reason = verdicts(runs)["credit_deltaL >> dfa"]["reason"]
    assert "not fitted at credit_deltaL in d=256 L=4 (.950 of the target left)" in reason


def test_only_like_is_compared_with_like():
    for arm, fields in (("M8", {"field_eps": 0.1}), ("M4", {"epochs": 50}), ("M4", {"tgw": 2.0})):
        odd = row(still(arm, 7, reference(7), **fields), measured(arm, 42, 4))
        start = row(reference(7), {"accuracy/test": 0.6})
        mixed = pd.concat([frame(), pd.DataFrame([start, odd])])
        with pytest.raises(CreditError, match=f"differ in {next(iter(fields))} "):
            frozen.table(mixed)
    other = row(reference(7, lr=0.1), {"accuracy/test": 0.6})
    with pytest.raises(CreditError, match="differ in lr"):
        frozen.table(pd.concat([frame(), pd.DataFrame([other])]))
    wrong = row(still("M4", 7, reference(42)), measured("M4", 42, 4))
    with pytest.raises(CreditError, match=r"seed=7\) starts from a network of seed=42"):
        frozen.table(pd.concat([frame(), pd.DataFrame([wrong])]))
    with pytest.raises(CreditError, match="no runs to show"):
        frozen.table(frame().iloc[:0])
    references = frame({})
    with pytest.raises(CreditError, match="no frozen run"):
        frozen.table(references)
    assert {v["status"] for v in verdicts(references).values()} == {"undefined"}


@pytest.mark.parametrize("width", [3.5, 7.0])
@pytest.mark.parametrize("networks", [((256, 4),), ((256, 4), (256, 6), (512, 4))])
def test_figure(width, networks, tmp_path):
    runs = frame(networks=networks)
    table, layers = frozen.table(runs), frozen.layers(runs)
    title = f"Frozen recovery: {frozen.describe(runs)}"
    figure = frozen_figure(table, layers, title, width)
    figure.savefig(tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == round(width * 200)
    assert len(figure.axes) == 3 + len(networks)
    alignment, inner, rho, first = figure.axes[:4]
    assert [tick.get_text() for tick in rho.get_xticklabels()] == list(VALUES)
    for axes, name in ((alignment, "alignment"), (inner, "alignment_inner"), (rho, "rho")):
        bars = [np.asarray(c[0].get_ydata(), float) for c in axes.containers]
        ours = np.concatenate([y for y, c in zip(bars, axes.containers, strict=True) if c.has_yerr])
        np.testing.assert_allclose(ours, table[name])
    assert "hollow: reported" in footnote_of(figure)
    hollow = [x for x in alignment.lines if x.get_markerfacecolor() == "white"]
    assert [len(np.asarray(x.get_xdata())) for x in hollow] == [1] * 4
    assert "mean ± sample sd (error bars) over n = 3 seeds" in footnote_of(figure)
    lines = [np.asarray(line.get_ydata(), float) for line in first.lines]
    assert any(len(p) == 5 and np.allclose(p, [0.25, 0.26, 0.27, 0.28, 0.29]) for p in lines)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    several = [f"d={w} L={d}" for w, d in networks] if len(networks) > 1 else []
    assert words == [*several, *VALUES, "reported"]
    assert_laid_out(figure)


def test_a_figure_shows_no_reported_value_of_other_settings():
    runs = frame(ours={"epochs": 10}, seeds=(42,))
    figure = frozen_figure(frozen.table(runs), frozen.layers(runs), "title", 3.5)
    FigureCanvasAgg(figure).draw()
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == list(VALUES)
    assert "reported" not in footnote_of(figure)
    assert all(line.get_markerfacecolor() != "white" for line in figure.axes[0].lines)
    runs = runs.assign(status="RUNNING")
    table = frozen.table(runs)
    FigureCanvasAgg(frozen_figure(table, frozen.layers(runs), "title", 3.5)).draw()
    assert {v["status"] for v in verdicts(runs).values()} == {"undefined"}
    with pytest.raises(CreditError, match="no rows"):
        frozen_figure(table.iloc[:0], frozen.layers(runs), "title")


@pytest.mark.slow
def test_published_and_shown_by_the_notebook(tracking_store):
    store = open_store()
    parent = open_parent(store, "frozen recovery", "frozen_recovery", {}, "hash")
    start = reference(42)
    for spec, metrics in [
        (start, {"accuracy/test": ACCURACY[42]}),
        *((still(arm, 42, start), measured(arm, 42, 4)) for arm in VALUES),
    ]:
        run_id = open_child(store, parent, spec)
        for name, value in metrics.items():
            at_step = 0 if name.startswith("cost/") else 100
            store.client.log_metric(run_id, name, value, step=at_step)
        store.client.log_metric(run_id, "valid/reference", 1.0, step=100)
        finish(store, run_id)
    finish(store, parent)
    text = publish(store, parent)
    assert "reported: by the experiment's authors (ResMLP d=256 L=4" in text
    assert f"{GONE}, {UNITS}, 1 of 3 seeds" in text
    assert "331 k" in text
    reader = connect(tracking_store)
    stored = pd.read_csv(reader.artifact(parent, "table.csv"))
    assert stored["arm"].tolist() == list(VALUES)
    assert stored["alignment"].tolist() == pytest.approx([v[0] - 0.01 for v in VALUES.values()])
    assert "credit_deltaL" in reader.artifact(parent, "table.md").read_text()
    assert len(pd.read_csv(reader.artifact(parent, "layers.csv"))) == 7 * 5
    stored = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    assert [v["check"] for v in stored] == CHECKS
    assert {v["status"] for v in stored} == {"pass"}
    notebook = execute("frozen_recovery", ROOT)
    html, output = shown(notebook, "text/html"), shown(notebook, "stdout")
    assert "credit_deltaL" in html
    assert "M4 minus state_bridge, by seed" in html
    assert "reported: by the experiment's authors" in output
    assert "torch loaded: False" in output
    assert shown(notebook, "image/png").count("iVBOR") == 1

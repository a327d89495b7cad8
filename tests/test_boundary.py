"""The boundary ablation's sweeps, table, verdicts and figure, on frames worked out by hand."""

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

from credit.analysis import boundary, boundary_checks
from credit.analysis.boundary import Setting
from credit.analysis.boundary_figure import boundary_figure
from credit.analysis.page import footnote_of
from credit.errors import CreditError
from credit.publish import publish
from credit.spec import RunSpec
from credit.tracking.reader import connect
from credit.tracking.writer import finish, open_child, open_parent, open_store
from tests.layout import assert_laid_out
from tests.test_notebooks import execute, shown

ROOT = Path(__file__).parents[1]
SEEDS = (42, 123, 456)
COMMON = {
    "dataset": "teacher",
    "rule": "credit_bridge",
    "width": 128,
    "activation": "phi",
    "terminal_norm": False,
    "augment": False,
    "epochs": 80,
    "credit_reduction": "sum",
    "device": "cpu",
}
EXPECTED: dict[Setting, tuple[float, float]] = {  # setting -> Γ, accuracy
    Setting("eT", 1, 0.05): (0.40, 0.60),
    Setting("deltaL", 1, 0.05): (0.50, 0.61),
    Setting("eT_hL", 1, 0.05): (0.15, 0.59),
    Setting("deltaL_hL", 1, 0.05): (0.20, 0.62),
    Setting("eT", 0, 0.05): (0.20, 0.60),
    Setting("eT", 0.25, 0.05): (0.30, 0.60),
    Setting("eT", 4, 0.05): (0.45, 0.60),
    Setting("eT", 1, 0): (0.50, 0.55),
    Setting("eT", 1, 0.2): (0.35, 0.62),
    Setting("eT", 1, 0.5): (0.30, 0.65),
    Setting("deltaL", 1, 0): (0.60, 0.58),
    Setting("deltaL", 1, 0.2): (0.45, 0.62),
    Setting("deltaL", 1, 0.5): (0.40, 0.64),
}
"""The published grid, as it is expected to come out."""


def spec_of(setting: Setting, seed: int, **fields) -> RunSpec:
    return RunSpec(**{**COMMON, **setting._asdict(), "seed": seed, **fields})


def measured(gamma: float, accuracy: float, depth: int = 4) -> dict[str, float]:
    return {
        "accuracy/test": accuracy,
        "alignment/deep": gamma,
        "alignment/deep_inner": gamma - 0.02,
        "estimator/gradient": 0.5,
        "rho/deep": gamma + 0.05,
        **{f"nudge/h{layer:02d}": -0.001 * layer for layer in range(depth + 1)},
    }


def row(spec: RunSpec, metrics: dict[str, float], status: str = "FINISHED", start: int = 0) -> dict:
    return {
        "run_id": f"{spec.spec_hash}-{start}",
        "name": spec.name,
        "status": status,
        "reason": "non-finite training loss" if status == "FAILED" else None,
        "started": pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=start),
        **dataclasses.asdict(spec),
        **metrics,
    }


def frame(values: dict[Setting, tuple[float, float]], seeds=SEEDS, **fields) -> pd.DataFrame:
    """Runs whose Γ and accuracy differ by .01 from seed to seed, around the given means."""
    shifts = (-0.01, 0.0, 0.01)
    return pd.DataFrame(
        row(spec_of(setting, seed, **fields), measured(gamma + shift, accuracy + shift))
        for setting, (gamma, accuracy) in values.items()
        for seed, shift in zip(seeds, shifts, strict=False)
    )


def changed(**values: tuple[float, float]) -> dict[Setting, tuple[float, float]]:
    """EXPECTED with other values at the base, by code."""
    return EXPECTED | {Setting(code, 1, 0.05): pair for code, pair in values.items()}


def verdict(values: dict[Setting, tuple[float, float]], check: str) -> dict:
    found = {v["check"]: v for v in boundary_checks.verdicts(frame(values))}
    return found[check]


def test_sweeps_are_read_off_the_runs():
    runs = frame(EXPECTED)
    assert boundary.base_of(runs) == Setting("eT", 1, 0.05)
    found = {s.name: [getattr(x, s.field) for x in s.settings] for s in boundary.sweeps_of(runs)}
    assert found == {
        "code": ["eT", "deltaL", "eT_hL", "deltaL_hL"],
        "tgw": [0, 0.25, 1, 4],
        "warmup_ratio": [0, 0.05, 0.2, 0.5],
        "warmup_ratio, code=deltaL": [0, 0.05, 0.2, 0.5],
    }
    assert boundary.outside(runs) == []
    assert "base code=eT, tgw=1, warmup_ratio=0.05" in boundary.describe(runs)


def test_another_base_is_found_and_a_setting_outside_is_named():
    moved = {s._replace(tgw={1: 4.0, 4: 1.0}.get(s.tgw, s.tgw)): v for s, v in EXPECTED.items()}
    runs = frame(moved | {Setting("eT_hL", 0.25, 0.5): (0.1, 0.1)})
    assert boundary.base_of(runs) == Setting("eT", 4.0, 0.05)
    assert boundary.outside(runs) == ["code=eT_hL, tgw=0.25, warmup_ratio=0.5"]
    assert len(boundary.boundary(runs)) == 16
    cross = {Setting(c, 1, w): (0.4, 0.6) for c in ("eT", "deltaL") for w in (0, 0.05, 0.2, 0.5)}
    assert boundary.base_of(frame(cross)) == Setting("eT", 1, 0.05)  # all tied: the defaults
    one = frame({Setting("eT", 1, 0.05): (0.4, 0.6)})
    with pytest.raises(CreditError, match=r"nothing was varied around code=eT.*two or more values"):
        boundary.boundary(one)


def test_table_by_hand():
    runs = frame(EXPECTED)
    table = boundary.boundary(runs)
    assert table.groupby("sweep")["value"].agg(list).to_dict() == {
        "code": ["eT", "deltaL", "eT_hL", "deltaL_hL"],
        "tgw": ["0", "0.25", "1", "4"],
        "warmup_ratio": ["0", "0.05", "0.2", "0.5"],
        "warmup_ratio, code=deltaL": ["0", "0.05", "0.2", "0.5"],
    }
    assert set(table["n"]) == {3}
    assert table["base"].tolist() == [i in (0, 6, 9) for i in range(16)]  # one run, three sweeps
    top = table.iloc[7]
    assert (top["sweep"], top["value"]) == ("tgw", "4")
    assert top["alignment"] == pytest.approx(0.45)
    assert top["alignment_sd"] == pytest.approx(statistics.stdev([0.44, 0.45, 0.46]))
    assert top["alignment_inner"] == pytest.approx(0.43)
    assert top["rho"] == pytest.approx(0.50)
    assert top["nudge"] == pytest.approx(-0.0025)  # over h_1 .. h_4
    assert top["accuracy"] == pytest.approx(0.60)
    wide = boundary.boundary_wide(table)
    assert wide.iloc[0].tolist() == [
        *("code", "eT (base)", ".400 ± .010", ".380 ± .010", ".450 ± .010"),
        *("-0.0025 ± 0", ".600 ± .010", ".500 ± .000", 3),
    ]


def test_cells_hold_what_is_finished_and_valid():
    runs = frame(EXPECTED)
    at = (runs["tgw"] == 4) & (runs["seed"] == 123)
    runs.loc[at, "alignment/deep"] = math.nan
    runs.loc[at, "nudge/h02"] = math.nan
    runs.loc[(runs["tgw"] == 0) & (runs["seed"] != 42), "status"] = "RUNNING"
    again = runs.loc[(runs["tgw"] == 0.25) & (runs["seed"] == 42)].copy()
    again["started"] += pd.Timedelta(seconds=5)
    again["accuracy/test"] = 0.99
    table = boundary.boundary(pd.concat([runs, again]))
    wide = boundary.boundary_wide(table)
    rows = {row["value"]: row for row in table[table["sweep"] == "tgw"].to_dict("records")}
    assert (rows["4"]["n"], rows["4"]["alignment_n"], rows["4"]["nudge_n"]) == (3, 2, 2)
    assert rows["4"]["rho_n"] == 3
    assert wide["Γ"].iloc[7] == ".450 ± .014 (n=2)"
    assert rows["0"]["n"] == 1
    assert math.isnan(rows["0"]["alignment_sd"])
    assert wide["Γ"].iloc[4] == ".190"
    assert rows["0.25"]["n"] == 3  # the newer of two
    assert rows["0.25"]["accuracy"] == pytest.approx((0.99 + 0.60 + 0.61) / 3)


@pytest.mark.parametrize(
    "field", [{"width": 64}, {"sigma": 0.2}, {"k": 3}, {"alpha": 0.5}, {"measure_samples": 64}]
)
def test_a_mean_is_of_runs_that_agree_in_all_else(field):
    runs = frame(EXPECTED)
    extra = row(spec_of(Setting("eT", 1, 0.05), 7, **field), measured(0.4, 0.6))
    mixed = pd.concat([runs, pd.DataFrame([extra])])
    for call in (boundary.boundary, boundary_checks.verdicts, boundary.describe):
        with pytest.raises(CreditError, match=f"differ in {next(iter(field))} "):
            call(mixed)
    with pytest.raises(CreditError, match="no runs to show"):
        boundary.boundary(runs.iloc[:0])


def test_what_is_expected_passes():
    found = boundary_checks.verdicts(frame(EXPECTED))
    json.dumps(found, allow_nan=False)
    assert [v["check"] for v in found] == [
        *("deltaL leads", "eT_hL", "deltaL_hL", "tgw", "warmup", "warm deltaL"),
    ]
    assert {v["status"] for v in found} == {"pass"}
    assert all("n = 3 seeds" in v["reason"] for v in found)
    values = {v["check"]: v["value"] for v in found}
    assert values == pytest.approx(
        {"deltaL leads": 0.1, "eT_hL": 0.625, "deltaL_hL": 0.6, "tgw": 0.25}
        | {"warmup": -0.2, "warm deltaL": -0.2}
    )


def test_delta_l_behind():
    found = verdict(changed(deltaL=(0.38, 0.6)), "deltaL leads")
    assert (found["status"], found["value"]) == ("fail", pytest.approx(-0.02))
    assert "the best other code, eT, .400: -.020" in found["reason"]
    assert "0 of 3 seeds" in found["reason"]


@pytest.mark.parametrize(
    ("pair", "status", "label"),
    [
        ((0.19, 0.58), "pass", "Γ collapses, accuracy stays"),  # 2 points still count as equal
        ((0.21, 0.60), "fail", "Γ stays, accuracy stays"),
        ((0.10, 0.57), "fail", "Γ collapses, accuracy falls"),
        ((0.10, 0.63), "fail", "Γ collapses, accuracy rises"),
        ((-0.30, 0.60), "pass", "Γ collapses, accuracy stays"),
    ],
)
def test_h_l_in_the_code(pair, status, label):
    found = verdict(changed(eT_hL=pair), "eT_hL")
    assert (found["status"], found["label"]) == (status, label)
    assert found["value"] == pytest.approx(1 - pair[0] / 0.40)


def test_what_tgw_teaches_at_the_last_state_is_no_growth():
    runs = frame(EXPECTED)
    runs.loc[runs["tgw"] == 4, "alignment/deep_inner"] = 0.19
    (found,) = [v for v in boundary_checks.verdicts(runs) if v["check"] == "tgw"]
    assert (found["status"], found["label"]) == ("fail", "no trend")
    assert "Γ, l < L is .180 .280 .380 .190 over tgw=0,0.25,1,4: +.010" in found["reason"]


def test_delta_l_must_lead_on_every_seed_and_an_estimator_not_fitted_is_named():
    runs = frame(EXPECTED)
    place = (runs["code"] == "deltaL") & (runs["warmup_ratio"] == 0.05)
    runs.loc[place & (runs["seed"] == 42), "alignment/deep"] = 0.38  # that of eT is .39
    runs.loc[place, "estimator/gradient"] = 0.97
    found = {v["check"]: v for v in boundary_checks.verdicts(runs)}
    lead = found["deltaL leads"]
    assert (lead["status"], lead["value"]) == ("fail", pytest.approx(-0.01))
    assert "it leads on 2 of 3 seeds" in lead["reason"]
    note = "not fitted at code=deltaL, tgw=1, warmup_ratio=0.05 (.970 of the target left)"
    assert lead["reason"].endswith(note) and note not in found["tgw"]["reason"]


def test_there_must_be_something_to_destroy():
    found = verdict(changed(eT=(0.04, 0.6)), "eT_hL")
    assert (found["status"], found["value"]) == ("undefined", None)
    assert "nothing to destroy" in found["reason"]


@pytest.mark.parametrize(
    ("gammas", "status", "label"),
    [
        ((0.38, 0.37, 0.40, 0.44), "pass", "grows"),  # a step down within the slack
        ((0.38, 0.34, 0.40, 0.44), "fail", "no trend"),
        ((0.38, 0.39, 0.40, 0.42), "fail", "no trend"),
        ((0.50, 0.45, 0.40, 0.30), "fail", "falls"),
    ],
)
def test_tgw(gammas, status, label):
    own = {Setting("eT", t, 0.05): (g, 0.6) for t, g in zip((0, 0.25, 1, 4), gammas, strict=True)}
    found = verdict(EXPECTED | own, "tgw")
    assert (found["status"], found["label"]) == (status, label)
    assert found["value"] == pytest.approx(gammas[-1] - gammas[0])
    assert "over tgw=0,0.25,1,4" in found["reason"]


WARMUPS = (0, 0.05, 0.2, 0.5)
FALLS, RISES = (0.50, 0.45, 0.46, 0.40), (0.55, 0.60, 0.58, 0.65)  # steps back within the slack


@pytest.mark.parametrize(
    ("gammas", "accuracies", "status", "label"),
    [
        (FALLS, RISES, "pass", "Γ falls, accuracy rises"),
        ((0.50, 0.49, 0.48, 0.46), RISES, "fail", "Γ stays, accuracy rises"),
        (FALLS, (0.55, 0.56, 0.56, 0.56), "fail", "Γ falls, accuracy stays"),
        (FALLS, (0.60, 0.58, 0.55, 0.50), "fail", "Γ falls, accuracy falls"),
        ((0.40, 0.45, 0.44, 0.60), (0.60, 0.58, 0.55, 0.50), "fail", "Γ rises, accuracy falls"),
        (FALLS, (0.297, 0.276, 0.219, 0.345), "fail", "Γ falls, accuracy is non-monotone"),
        ((0.50, 0.30, 0.35, 0.30), RISES, "fail", "Γ is non-monotone, accuracy rises"),
        (FALLS, (0.60, 0.70, 0.60, 0.61), "fail", "Γ falls, accuracy is non-monotone"),
    ],
)
def test_warmup(gammas, accuracies, status, label):
    pairs = zip(WARMUPS, gammas, accuracies, strict=True)
    own = {Setting("deltaL", 1, w): (gamma, accuracy) for w, gamma, accuracy in pairs}
    found = verdict(EXPECTED | own, "warm deltaL")
    assert (found["status"], found["label"]) == (status, label)
    assert verdict(EXPECTED | own, "warmup")["status"] == "pass"


def test_verdicts_are_undefined_where_something_is_missing():
    base = Setting("eT", 1, 0.05)
    few = boundary_checks.verdicts(frame({base: (0.4, 0.6), Setting("eT", 4, 0.05): (0.5, 0.6)}))
    assert [(v["check"], v["status"]) for v in few] == [
        *(("deltaL leads", "undefined"), ("eT_hL", "undefined")),
        *(("deltaL_hL", "undefined"), ("tgw", "pass"), ("warmup", "undefined")),
    ]
    runs = frame(EXPECTED)
    deltas = (runs["code"] == "deltaL") & (runs["warmup_ratio"] == 0.05) & (runs["seed"] == 123)
    runs.loc[deltas, "alignment/deep"] = math.nan
    runs.loc[(runs["tgw"] == 4) & (runs["seed"] == 456), "status"] = "FAILED"
    runs.loc[(runs["warmup_ratio"] == 0.5) & (runs["code"] == "eT"), "status"] = "RUNNING"
    found = {v["check"]: v for v in boundary_checks.verdicts(runs)}
    json.dumps(list(found.values()), allow_nan=False)
    assert {check for check, v in found.items() if v["status"] == "pass"} == {"eT_hL"}
    assert "is not valid on seed 123" in found["deltaL leads"]["reason"]
    assert "tgw=4, warmup_ratio=0.05 failed on seed 456" in found["tgw"]["reason"]
    assert "warmup_ratio=0.5 has no finished run" in found["warmup"]["reason"]


def test_verdicts_compare_the_same_seeds():
    runs = frame(EXPECTED)
    late = (runs["code"] == "deltaL") & (runs["seed"] == 42)
    runs.loc[late, "status"] = "RUNNING"  # its lowest seed
    found = {v["check"]: v for v in boundary_checks.verdicts(runs)}
    assert found["deltaL leads"]["value"] == pytest.approx(0.1)
    assert "n = 2 seeds" in found["deltaL leads"]["reason"]
    assert "n = 3 seeds" in found["tgw"]["reason"]


@pytest.mark.parametrize("width", [3.5, 7.0])
def test_figure(width, tmp_path):
    table = boundary.boundary(frame(EXPECTED))
    figure = boundary_figure(table, "Boundary ablation", width)
    figure.savefig(tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == round(width * 200)
    assert len(figure.axes) == 8
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["code", "tgw", "warmup_ratio", "warmup_ratio\ncode=deltaL"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["Γ", "ρ", "test accuracy"]
    assert "n = 3 seeds" in footnote_of(figure)
    upper = next(axes for axes in figure.axes if axes.get_title() == "tgw")
    gamma = upper.lines[0]
    np.testing.assert_allclose(np.asarray(gamma.get_ydata(), float), [0.2, 0.3, 0.4, 0.45])
    assert_laid_out(figure)


def test_incomplete_ablations_can_be_drawn():
    runs = frame(EXPECTED).assign(status="RUNNING")
    table = boundary.boundary(runs)
    assert set(table["n"]) == {0}
    FigureCanvasAgg(boundary_figure(table, "title", 3.5)).draw()
    assert {v["status"] for v in boundary_checks.verdicts(runs)} == {"undefined"}
    odd = frame({s: v for s, v in EXPECTED.items() if s.code == "eT"})  # two sweeps
    assert len(boundary_figure(boundary.boundary(odd), "title", 7.0).axes) == 4
    with pytest.raises(CreditError, match="no rows"):
        boundary_figure(table.iloc[:0], "title")


@pytest.mark.slow
def test_published_and_shown_by_the_notebook(tracking_store, monkeypatch):
    store = open_store()
    parent = open_parent(store, "boundary", "boundary_ablation", {}, "hash")
    for setting, (gamma, accuracy) in EXPECTED.items():
        run_id = open_child(store, parent, spec_of(setting, 42))
        for name, value in measured(gamma, accuracy).items():
            store.client.log_metric(run_id, name, value, step=80)
        finish(store, run_id)
    finish(store, parent)
    text = publish(store, parent)
    assert "Γ goes from .400 with eT to .150 with eT_hL" in text
    assert "n = 1 seed" in text
    reader = connect(tracking_store)
    stored = pd.read_csv(reader.artifact(parent, "table.csv"))
    assert stored["alignment"].tolist()[4:8] == pytest.approx([0.2, 0.3, 0.4, 0.45])
    assert "eT (base)" in reader.artifact(parent, "table.md").read_text()
    verdicts = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    assert [v["status"] for v in verdicts] == ["pass"] * 6
    notebook = execute("boundary_ablation", ROOT)
    html = shown(notebook, "text/html")
    assert "eT (base)" in html
    assert "Γ collapses, accuracy stays" in html
    assert "torch loaded: False" in shown(notebook, "stdout")
    assert shown(notebook, "image/png").count("iVBOR") == 1

"""The online scan's cells, leads, staleness, verdicts and figure, on frames worked out by hand."""

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

from credit.analysis import online, online_checks, online_choice, online_staleness
from credit.analysis.online_figure import online_figure
from credit.analysis.page import footnote_of
from credit.errors import CreditError
from credit.presets import ONLINE_ARMS
from credit.publish import publish
from credit.spec import RunSpec
from credit.sweep import Sweep, resolve
from credit.sweep import run as sweep_run
from credit.tracking.reader import connect
from credit.tracking.writer import finish, open_child, open_parent, open_store
from tests.layout import assert_laid_out
from tests.test_notebooks import execute, shown

ROOT = Path(__file__).parents[1]
SHIFTS = {42: -0.01, 123: 0.0, 456: 0.01}
WEIGHT = {"credit_eT": "tgw", "credit_deltaL": "tgw", "vector_field": "terminal_weight"}
DFA = (0.20, 0.10, 0.15, 0.30)  # Γ, Γ of l < L, ρ, accuracy
VALUES = {
    "state_bridge": (0.15, 0.08, 0.10, 0.28),
    "credit_eT": (0.24, 0.14, 0.20, 0.33),
    "credit_deltaL": (0.10, 0.07, 0.08, 0.27),
    "vector_field": (0.12, 0.06, 0.09, 0.26),
}
BEST = ("credit_eT", 0.2, 4.0)
BEST_CELL = "credit_eT warm-up 0.2 tgw 4"
KEPT = {"now": 0.5, "steps": 0.4, "epoch": 0.3, "fresh": 0.45}  # Γ of l < L is half of it
CHECKS = ["S1 < 0", "eT S1 > 0", "order", "stale", "stale eT", "stale deltaL", "stale"]
CHECKS += ["baseline", *(f"{arm} > copy" for arm in VALUES)]
UNITS = "sigma_relative=false for true, estimator_relative=false for true"
GONE = f"REDUCED: without bp, oracle, 30 of 100 epochs, {UNITS}"
EPOCHS = (10, 20, 30)


def spec_of(arm: str, seed: int, warmup: float = 0.05, tgw: float = 1.0, **fields) -> RunSpec:
    own: dict = {"epochs": 30, "device": "cpu", "credit_reduction": "sum", "stale_steps": 50}
    if arm != "dfa":
        own |= {"warmup_ratio": warmup}
    if arm in WEIGHT:
        own |= {WEIGHT[arm]: tgw}
    return RunSpec.from_mapping({**own, **ONLINE_ARMS[arm], "seed": seed, **fields})


def measured(values: tuple[float, ...], seed: int, kept=KEPT) -> dict[str, float]:
    gamma, inner, rho, accuracy = (value + SHIFTS[seed] for value in values)
    return {
        "accuracy/test": accuracy,
        "alignment/deep": gamma,
        "alignment/deep_inner": inner,
        "rho/deep": rho,
        "copy/deep": 0.01,
        "copy/deep_inner": 0.0,
        "estimator/loss": 0.3,
        "estimator/gradient": 0.4,
        "estimator/directional": 0.5,
        "valid/reference": 1.0,
        **{f"nudge/h{layer:02d}": -0.001 for layer in range(5)},
        **{f"staleness/{m}": kept[m] for m in ("now", "steps", "epoch")},
        **{f"staleness/{m}_inner": kept[m] / 2 for m in ("now", "steps", "epoch")},
    }


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


def planned() -> list[tuple[str, RunSpec]]:
    """The scan on seed 42, then its best cell and dfa on two more: 1 + 3 + 3·6 + 2·2 runs."""
    found = [("dfa", spec_of("dfa", seed)) for seed in SHIFTS]
    for warmup in (0.0, 0.05, 0.2):
        found.append(("state_bridge", spec_of("state_bridge", 42, warmup)))
        for arm in WEIGHT:
            for tgw in (1.0, 4.0):
                seeds = list(SHIFTS) if (arm, warmup, tgw) == BEST else [42]
                found += [(arm, spec_of(arm, seed, warmup, tgw)) for seed in seeds]
    return found


def value_of(arm: str, spec: RunSpec, values=VALUES) -> tuple[float, ...]:
    """By arm; the best cell is .05 above the others."""
    best = arm == BEST[0] and (spec.warmup_ratio, spec.tgw) == BEST[1:]
    return DFA if arm == "dfa" else tuple(v + 0.05 * best for v in values[arm])


def frame(values=VALUES) -> pd.DataFrame:
    """With the staleness columns that `history` gives."""
    runs = pd.DataFrame(
        row(spec, measured(value_of(arm, spec, values), spec.seed)) for arm, spec in planned()
    )
    return online_staleness.with_staleness(runs, history(runs))


def history(runs: pd.DataFrame, kept=KEPT) -> pd.DataFrame:
    """The four moments at every measured epoch; at epoch 10 they are .1 lower."""
    rows = []
    for run in runs.to_dict("records"):
        for step in EPOCHS if run["rule"] != "dfa" else ():
            for moment, value in kept.items():
                for kind, share in (("", 1.0), ("_inner", 0.5)):
                    key = online_staleness.metric_of(moment, kind)
                    now = (value - 0.1 * (step == 10)) * share
                    rows.append((run["run_id"], key, step, now, 0))
    return pd.DataFrame(rows, columns=["run_id", "key", "step", "value", "timestamp"])


def ceilings() -> pd.DataFrame:
    """What the gradient itself reaches, on the scan's seed."""
    values = (1.0, 1.0, 1.0, 0.4)
    return pd.DataFrame(row(spec_of(arm, 42), measured(values, 42)) for arm in ("bp", "oracle"))


def at(runs: pd.DataFrame, cell: str, seed: int = 0) -> pd.Series:
    here = online.with_cells(runs)["cell"].str.startswith(cell)
    return here & (runs["seed"] == seed) if seed else here


def verdicts(runs: pd.DataFrame) -> list[dict]:
    found = online_checks.verdicts(runs)
    json.dumps(found, allow_nan=False)
    return found


def verdict(runs: pd.DataFrame, check: str, rule: str = "") -> dict:
    return next(v for v in verdicts(runs) if v["check"] == check and rule in ("", v["rule"]))


def test_cells_are_read_off_the_runs():
    cells = online.cells_of(online.with_cells(frame()))
    assert list(map(str, cells))[:6] == [
        *("dfa", "state_bridge warm-up 0", "state_bridge warm-up 0.05"),
        *("state_bridge warm-up 0.2", "credit_eT warm-up 0 tgw 1", "credit_eT warm-up 0 tgw 4"),
    ]
    assert len(cells) == 1 + 3 + 18
    assert [str(c) for c in cells if c.arm == "vector_field"][
        -1
    ] == "vector_field warm-up 0.2 tgw 4"
    assert online.scan_seeds(online.with_cells(frame())) == [42]


def test_leads_are_paired_by_seed():
    table = online.table(frame()).set_index("cell")
    best = table.loc[BEST_CELL]
    assert (best["n"], best["s1_n"]) == (3, 3)
    assert best["s1"] == pytest.approx(0.09)
    assert best["s1_sd"] == pytest.approx(0)  # both move with the seed
    assert best["alignment_sd"] == pytest.approx(statistics.stdev([0.28, 0.29, 0.30]))
    assert best["s2"] == pytest.approx(0.10)
    assert best["gain"] == pytest.approx(0.08)
    field = table.loc["vector_field warm-up 0 tgw 1"]
    assert field["s1"] == pytest.approx(-0.08)  # with dfa's of seed 42, not with its mean
    assert math.isnan(table.loc["dfa"]["s1"])
    assert table.loc["dfa"]["n"] == 3
    runs = frame()
    runs.loc[at(runs, "dfa", 123), "status"] = "RUNNING"
    few = online.table(runs).set_index("cell").loc[BEST_CELL]
    assert (few["n"], few["s1_n"], few["alignment_n"]) == (3, 2, 3)


def test_wide_table_by_hand():
    wide = online.wide(online.table(frame()))
    assert wide.iloc[9].to_dict() == {
        "arm": "credit_eT",
        "warm-up": "0.2",
        "tgw": "4",
        "Γ": ".290 ± .010",
        "Γ, l < L": ".190 ± .010",
        "Γ of g_L passed back": ".010 ± .000",
        "Γ of g_L passed back, l < L": ".000 ± .000",
        "ρ": ".250 ± .010",
        "S1": ".090 ± .000",
        "S1, l < L": ".090 ± .000",
        "S2": ".100 ± .000",
        "test accuracy": ".380 ± .010",
        "accuracy − dfa's": ".080 ± .000",
        "fit": ".400 ± .000",
        "n": 3,
        "settings": GONE,
    }
    assert wide.iloc[0][["arm", "warm-up", "tgw", "S1"]].tolist() == ["dfa", "", "", ""]
    assert online.describe(frame()).endswith(f"estimator_layers 1; {GONE}")
    whole = pd.concat([frame(), ceilings()], ignore_index=True).assign(epochs=100)
    whole = whole.assign(sigma_relative=True, estimator_relative=True)
    whole.loc[whole["rule"].isin(["bp", "oracle"]), "credit_reduction"] = "mean"
    assert "settings" not in online.wide(online.table(whole))
    few = whole[~(at(whole, "credit_eT warm-up 0 tgw 4") | (whole["seed"] != 42))]
    assert online.describe(few).endswith(
        "; REDUCED: without credit_eT warm-up 0 tgw 4, the best cell on 1 of 3 seeds"
    )


def test_the_best_cell_on_seeds_that_chose_it_and_on_others():
    runs = frame()
    runs.loc[at(runs, BEST_CELL, 123), "alignment/deep"] = 0.23  # dfa has .20
    best = online.best_table(runs)
    assert best["cell"].unique().tolist() == [BEST_CELL]
    assert best["which"].tolist() == ["42, 123, 456", "42", "123, 456"]
    assert best["n"].tolist() == [3, 1, 2]
    assert best["s1"].tolist() == pytest.approx([(0.09 + 0.03 + 0.09) / 3, 0.09, 0.06])
    assert best["s2"].tolist() == pytest.approx([0.1, 0.1, 0.1])
    assert online.wide_best(best)["S1"].tolist()[1:] == [".090", ".060 ± .042"]
    notes = online.notes(runs, best)
    assert f"{BEST_CELL}, the highest S1 on seed 42; what chose it is measured on test" in notes[1]
    alone = runs[runs["seed"] == 42]
    assert online.best_table(alone)["n"].tolist() == [1, 1, 0]
    none = runs[~at(runs, "dfa")]
    assert online.best_table(none).empty
    last = online.notes(none, online.best_table(none))[1]
    assert "none can be chosen: dfa or the cells have no finished run" in last


def grown(runs: pd.DataFrame, epochs: tuple[int, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """dfa's reference is valid at some epochs only: runs as the reader gives them, and series."""
    lost = runs["rule"] == "dfa"
    series = []
    for run in runs.to_dict("records"):
        for epoch in EPOCHS:
            valid = run["rule"] != "dfa" or epoch in epochs
            series.append((run["run_id"], "valid/reference", epoch, float(valid)))
            if valid:
                # the field's lead shrinks with the epochs
                early = (30 - epoch) / 100 * (run["rule"] == "vector_field")
                gamma = run["alignment/deep"] + early
                series.append((run["run_id"], "alignment/deep", epoch, gamma))
                series.append((run["run_id"], "rho/deep", epoch, run["rho/deep"]))
    found = runs.copy()
    if EPOCHS[-1] not in epochs:
        found.loc[lost, ["alignment/deep", "alignment/deep_inner", "rho/deep"]] = math.nan
        found.loc[lost, "valid/reference"] = 0.0
    return found, pd.DataFrame(series, columns=["run_id", "key", "step", "value"])


def test_cells_are_compared_where_dfa_was_last_valid():
    runs, series = grown(frame(), (10, 20))
    found = online_choice.with_choice(runs, series)
    assert set(found["choice/epoch"]) == {20}
    choice = online.chosen_cell(online.with_cells(found))
    # the field has .11 + .10 at epoch 20, the bridge's best cell .28
    assert (choice.by, choice.epochs, choice.last) == ("S1", ((42, 20),), False)
    assert choice.cell is not None and choice.cell.rule == "credit_bridge"
    table = online.table(found).set_index("cell")
    assert math.isnan(table.loc[BEST_CELL, "s1"])  # there is none at the end
    assert table.loc[BEST_CELL, online_choice.THEN] == pytest.approx(0.09)
    assert table.loc["vector_field warm-up 0 tgw 1", online_choice.THEN] == pytest.approx(0.02)
    assert "S1 while dfa's reference was valid" in online.wide(table.reset_index())
    assert "S1 while dfa's reference was valid" not in online.wide(online.table(frame()))
    best = online.best_table(found)
    assert best["cell"].unique().tolist() == [BEST_CELL]
    words = "the highest S1 at the last epoch with a valid reference of dfa, epoch 20 on seed 42"
    assert words in online.notes(found, best)[1]
    checks = {v["check"]: v for v in verdicts(found)}
    own = checks["baseline"]
    assert (own["status"], own["value"], own["label"]) == ("fail", 3, "no S1 at the end")
    assert "on seed 42, 123, 456: S1 and S2 are no numbers there" in own["reason"]
    assert words in own["reason"]
    assert checks["S1 < 0"]["status"] == "undefined"
    assert checks["vector_field > copy"]["status"] == "pass"  # needs no dfa


def test_an_epoch_of_the_warm_ups_compares_nothing():
    runs, series = grown(frame(), (10,))
    late = runs.assign(warmup_ratio=runs["warmup_ratio"].replace(0.2, 0.5))  # 15 epochs
    found = online_choice.with_choice(late, series)
    assert found["choice/epoch"].isna().all()
    early = online_choice.with_choice(runs, series)  # .2 are 6 epochs
    assert set(early["choice/epoch"]) == {10}


def test_without_a_valid_dfa_the_scan_chooses_by_alignment():
    runs, series = grown(frame(), ())
    found = online_choice.with_choice(runs, series)
    choice = online.chosen_cell(online.with_cells(found))
    assert (choice.by, choice.epochs) == ("Γ", ((42, 30),))
    best = online.best_table(found)
    assert best["cell"].unique().tolist() == [BEST_CELL]  # Γ .28 on seed 42, the field's .11
    assert best["which"].tolist() == ["42, 123, 456", "42", "123, 456"]
    assert best["s1"].isna().all()
    words = "the highest Γ itself on seed 42, because dfa's reference is valid at no measured epoch"
    assert words in online.notes(found, best)[1]
    assert words in verdict(found, "baseline")["reason"]
    failed = found.copy()
    failed.loc[failed["rule"] == "dfa", "status"] = "FAILED"
    assert online.chosen_cell(online.with_cells(failed)).by == "Γ"  # it will not become valid
    running = found.copy()
    running.loc[running["rule"] == "dfa", "status"] = "RUNNING"
    assert online.chosen_cell(online.with_cells(running)).cell is None
    assert verdict(running, "baseline")["status"] == "undefined"


def test_a_seed_without_a_valid_dfa_does_not_choose():
    specs = [spec_of(arm, seed, 0.0) for seed in (42, 123) for arm in VALUES]
    specs += [spec_of("dfa", seed) for seed in (42, 123)]
    gammas = {"state_bridge": {42: 0.5, 123: 0.9}, "credit_eT": {42: 0.6, 123: 0.1}}
    rows = []
    for arm, spec in zip([*VALUES, *VALUES, "dfa", "dfa"], specs, strict=True):
        gamma = gammas.get(arm, {}).get(spec.seed, 0.2)
        rows.append(row(spec, measured(DFA, spec.seed) | {"alignment/deep": gamma}))
    runs, series = grown(pd.DataFrame(rows), EPOCHS)
    gone = (runs["rule"] == "dfa") & (runs["seed"] == 123)
    runs.loc[gone, ["alignment/deep", "rho/deep"]] = math.nan
    runs.loc[gone, "valid/reference"] = 0.0
    series.loc[series["run_id"].isin(runs.loc[gone, "run_id"]), "value"] = 0.0
    choice = online_choice.choose(online_choice.with_choice(runs, series), [42, 123])
    assert choice.epochs == ((42, 30),) and choice.last
    assert choice.cell is not None and choice.cell.rule == "credit_bridge"


def test_the_best_cell_of_an_arm_must_be_above_the_copy():
    runs = frame()
    found = verdict(runs, "credit_eT > copy")
    assert (found["status"], found["rule"]) == ("pass", "credit_bridge")
    assert f"{BEST_CELL}: .190 − .000 = +.190 (least +.180), n = 3 seeds" in found["reason"]
    assert "the best of 6 cells and so biased upwards" in found["reason"]
    runs.loc[at(runs, "vector_field"), "copy/deep_inner"] = 0.04
    found = verdict(runs, "vector_field > copy")
    assert (found["status"], found["value"]) == ("fail", pytest.approx(0.01))
    assert found["label"] == "not more than the skip path"
    full = runs.copy()
    full.loc[at(runs, "vector_field warm-up 0 tgw 1"), "copy/deep_inner"] = 0.982
    found = verdict(full, "vector_field > copy")  # that cell does not decide, the others do
    assert found["status"] == "fail" and "not judged: the copy leaves no room" in found["reason"]
    full.loc[at(runs, "vector_field"), "copy/deep_inner"] = 0.982
    found = verdict(full, "vector_field > copy")
    assert (found["status"], found["label"], found["value"]) == ("undefined", "no room", None)
    runs.loc[at(runs, "vector_field warm-up 0 tgw 1"), "copy/deep_inner"] = math.nan
    found = verdict(runs, "vector_field > copy")  # that cell could be the one that is above
    assert (found["status"], found["label"]) == ("undefined", "not measured")
    bare = frame().drop(columns=["copy/deep", "copy/deep_inner"])
    own = [v for v in verdicts(bare) if v["check"].endswith("copy")]
    assert {v["label"] for v in own} == {"not measured"} and len(own) == 4
    assert "Γ of g_L passed back" not in online.wide(online.table(bare))


def test_costs_stand_beside_accuracy():
    runs = frame().assign(**{"cost/flops_per_step": 2.5e9, "cost/block_evaluations": 4.0})
    wide = online.wide(online.table(runs.assign(**{"cost/estimator_parameters": 331_000.0})))
    names = ["FLOP per step", "block evaluations", "estimator parameters"]
    assert wide.iloc[0][names].tolist() == ["2.5 GFLOP", "4", "331 k"]
    assert "FLOP per step" not in online.wide(online.table(frame()))


def test_staleness_by_hand():
    table = online_staleness.staleness(frame())
    assert len(table) == 21 * 4
    own = table[table["cell"] == "credit_eT warm-up 0.2 tgw 1"]
    mean = own[(own["layers"] == "l ≥ 1") & (own["when"] == "mean after warm-up")].iloc[0]
    # warm-up .2 of 30 epochs is 6: the epochs 10, 20 and 30 count
    assert mean["now"] == pytest.approx((0.4 + 0.5 + 0.5) / 3)
    assert mean["lost"] == pytest.approx(0.2 / mean["now"])
    assert (mean["epochs"], mean["n"], mean["now_n"], mean["steps_later"]) == (3, 1, 1, 50)
    last = own[(own["layers"] == "l < L") & (own["when"] == "last measured")].iloc[0]
    assert (last["now"], last["epoch"]) == (0.25, 0.15)
    assert last["fresh"] == pytest.approx(0.13)  # the last alignment/deep_inner: .14 − .01
    wide = online_staleness.wide(table)
    assert list(wide.columns) == [
        *("arm", "warm-up", "tgw", "layers", "Γ now", "50 steps later", "an epoch later"),
        *("up to date", "share lost", "n", "epochs"),
    ]
    assert len(wide) == 42


def test_epochs_of_the_warm_up_and_half_valid_ones_do_not_count():
    runs = frame()
    late = runs.assign(warmup_ratio=0.5)  # 15 epochs
    known = history(late)
    found = online_staleness.with_staleness(late, known)
    own = found[found["rule"] == "vector_field"].iloc[0]
    assert (own["stale/epochs"], own["stale/now/mean"]) == (2, 0.5)
    gone = (known["key"] == "staleness/epoch") & (known["step"] == 30)
    found = online_staleness.with_staleness(late, known[~gone])
    own = found[found["rule"] == "vector_field"].iloc[0]
    assert own["stale/epochs"] == 1
    assert found[found["rule"] == "dfa"]["stale/now/mean"].isna().all()
    empty = online_staleness.with_staleness(runs, known.iloc[:0])
    assert empty["stale/lost/mean"].isna().all()


def test_nothing_to_lose_is_no_share():
    runs = frame()
    low = online_staleness.with_staleness(runs, history(runs, dict.fromkeys(KEPT, 0.04)))
    assert low["stale/lost/mean"].isna().all()
    found = verdict(low, "stale", "vector_field")
    assert found["status"] == "undefined"
    assert "no Γ of vector_field warm-up 0 tgw 1 (Γ" in found["reason"]


def test_what_is_expected_passes():
    runs = frame()
    found = verdicts(runs)
    assert [v["check"] for v in found] == CHECKS
    assert {v["status"] for v in found} == {"pass"}
    behind = found[0]
    assert (behind["value"], behind["label"]) == (pytest.approx(-0.04), "behind dfa")
    assert "vector_field warm-up 0 tgw 1: S1 -.080, S1, l < L -.040, n = 1 seed" in behind["reason"]
    assert found[1]["value"] == pytest.approx(0.04)
    assert "S1 +.090 (+.090 to +.090)" in found[1]["reason"]
    order = found[2]
    assert order["value"] == pytest.approx(0.28 - 0.11)  # eT's best cell over the field's, seed 42
    assert "credit_eT minus vector_field is +.170" in order["reason"]
    assert f"by Γ {BEST_CELL} .280, dfa .190, state_bridge" in order["reason"]
    stale = found[6]
    assert stale["value"] == pytest.approx(0.2 / (1.4 / 3))
    assert "Γ .467 to .267 (-43%), up to date .417" in stale["reason"]


def test_the_vector_field_must_be_behind_everywhere():
    runs = frame()
    runs.loc[at(runs, "vector_field warm-up 0.2 tgw 4"), "alignment/deep"] = 0.19  # dfa has .19
    found = verdict(runs, "S1 < 0")
    assert (found["status"], found["value"], found["label"]) == ("fail", 0, "mixed")
    runs = frame(VALUES | {"vector_field": (0.3, 0.2, 0.2, 0.3)})
    assert verdict(runs, "S1 < 0")["label"] == "ahead of dfa"


def test_the_credit_bridge_must_be_ahead_at_every_weight_and_seed():
    runs = frame()
    runs.loc[at(runs, "credit_eT warm-up 0.2 tgw 1"), "alignment/deep_inner"] = 0.08  # dfa: .09
    found = verdict(runs, "eT S1 > 0")
    assert (found["status"], found["value"]) == ("fail", pytest.approx(-0.01))
    runs = frame()
    runs.loc[at(runs, "credit_eT warm-up 0 "), "alignment/deep"] = 0  # another warm-up
    assert verdict(runs, "eT S1 > 0")["status"] == "pass"
    runs.loc[at(runs, BEST_CELL, 456), "alignment/deep"] = 0.2
    found = verdict(runs, "eT S1 > 0")
    assert (found["status"], found["value"]) == ("fail", pytest.approx(-0.01))


def test_the_frozen_order_may_carry_over():
    same = {
        "vector_field": (0.6, 0.5, 0.6, 0.3),
        "state_bridge": (0.5, 0.4, 0.5, 0.3),
        "credit_eT": (0.35, 0.3, 0.4, 0.3),
        "credit_deltaL": (0.3, 0.2, 0.3, 0.3),
    }
    found = verdict(frame(same), "order")
    assert (found["status"], found["label"]) == ("fail", "the frozen order")
    assert found["value"] == pytest.approx(-0.1)
    assert "vector_field > state_bridge > credit_eT > credit_deltaL > dfa" in found["reason"]
    close = same | {"state_bridge": (0.605, 0.4, 0.5, 0.3)}
    assert verdict(frame(close), "order")["status"] == "fail"  # .005 is no other order
    far = same | {"state_bridge": (0.61, 0.4, 0.5, 0.3)}
    assert verdict(frame(far), "order")["status"] == "pass"


@pytest.mark.parametrize(
    ("epoch", "status", "label"),
    [(0.3, "pass", "stale"), (0.42, "fail", "holds"), (0.6, "fail", "holds")],
)
def test_staleness_has_a_number_with_a_sign(epoch, status, label):
    runs = frame()
    runs = online_staleness.with_staleness(runs, history(runs, KEPT | {"epoch": epoch}))
    found = verdict(runs, "stale", "vector_field")
    assert (found["status"], found["label"]) == (status, label)
    assert found["value"] == pytest.approx((0.5 - epoch) / (1.4 / 3))


def test_what_is_missing_is_undefined_and_named():
    runs = frame()
    runs = runs[~at(runs, "vector_field") & ~at(runs, "credit_eT warm-up 0.2")]
    found = {v["check"]: v for v in verdicts(runs)}
    assert "vector_field was not run" in found["S1 < 0"]["reason"]
    assert "credit_eT at warm-up 0.2 was not run" in found["eT S1 > 0"]["reason"]
    runs = frame()
    runs.loc[at(runs, "vector_field warm-up 0 tgw 1"), "status"] = "FAILED"
    assert "failed on seed 42" in verdict(runs, "S1 < 0")["reason"]
    no_base = frame()
    no_base.loc[at(no_base, "dfa", 42), "status"] = "RUNNING"
    assert "S1 of vector_field warm-up 0 tgw 1 is not valid" in verdict(no_base, "S1 < 0")["reason"]
    few = frame()
    few = few[at(few, "dfa")]
    statuses = {v["check"]: v["status"] for v in verdicts(few)}
    assert statuses.pop("baseline") == "pass" and set(statuses.values()) == {"undefined"}


def test_only_like_is_compared_with_like():
    for arm, fields in (
        ("dfa", {"width": 64}),
        ("credit_eT", {"sigma": 0.2}),
        ("vector_field", {"estimator_width": 64}),
        ("state_bridge", {"k": 3}),
    ):
        odd = row(spec_of(arm, 456, **fields), measured(DFA, 456))
        mixed = pd.concat([frame(), pd.DataFrame([odd])])
        with pytest.raises(CreditError, match=f"differ in {next(iter(fields))} "):
            online.table(mixed)
    with pytest.raises(CreditError, match="no runs to show"):
        online.table(frame().iloc[:0])


@pytest.mark.parametrize("width", [3.5, 7.0])
def test_figure(width, tmp_path):
    runs = frame()
    table, stale = online.table(runs), online_staleness.staleness(runs)
    title = f"Online conditioning scan: {online.describe(runs)}"
    figure = online_figure(table, stale, title, width)
    figure.savefig(tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == round(width * 200)
    s1, _, _, ageing = figure.axes
    lines = [np.asarray(line.get_ydata(), float) for line in s1.lines]
    assert any(len(p) == 3 and np.allclose(p, [0.04, 0.04, 0.09]) for p in lines)
    assert [tick.get_text() for tick in s1.get_xticklabels()] == ["0", "0.05", "0.2"]
    assert "solid tgw=1, dashed tgw=4" in footnote_of(figure)
    assert "mean ± sample sd (error bars)" in footnote_of(figure)
    drawn = [np.asarray(line.get_ydata(), float) for line in ageing.lines]
    assert any(len(p) == 3 and np.allclose(p, [1.4 / 3, 1.1 / 3, 0.8 / 3]) for p in drawn)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == list(VALUES)
    assert_laid_out(figure)


def test_more_stale_steps_than_an_epoch_has_are_refused_before_any_run(tracking_store):
    fields = {"dataset": "digits", "width": 8, "depth": 2, "k": 2, "epochs": 1, "stale_steps": 20}
    specs = [resolve(RunSpec(rule=rule, **fields)) for rule in ("dfa", "state_bridge")]
    plan = Sweep(kind="online_scan", name="stale", specs=specs)
    with pytest.raises(CreditError, match="stale_steps=20 is more than the 12 steps of an epoch"):
        sweep_run(plan, open_store())
    assert connect(tracking_store).parents().empty
    sweep_run(dataclasses.replace(plan, specs=specs[:1]), open_store())  # dfa has no estimator


def test_incomplete_scans_can_be_drawn():
    runs = frame().assign(status="RUNNING")
    table, stale = online.table(runs), online_staleness.staleness(runs)
    FigureCanvasAgg(online_figure(table, stale, "title", 3.5)).draw()
    assert {v["status"] for v in verdicts(runs)} == {"undefined"}
    alone = frame()
    alone = alone[at(alone, "dfa")]
    figure = online_figure(online.table(alone), online_staleness.staleness(alone), "title")
    FigureCanvasAgg(figure).draw()
    assert "not measured" in figure.axes[3].get_title(loc="left")
    with pytest.raises(CreditError, match="no rows"):
        online_figure(table.iloc[:0], stale, "title")


@pytest.mark.slow
def test_published_and_shown_by_the_notebook(tracking_store):
    store = open_store()
    parent = open_parent(store, "online scan", "online_scan", {}, "hash")
    kept = {online_staleness.metric_of(m, k) for m in KEPT for k in online_staleness.KINDS}
    for arm, spec in planned():
        run_id = open_child(store, parent, spec)
        for name, value in measured(value_of(arm, spec), spec.seed).items():
            if arm == "dfa" and name.startswith("staleness/"):
                continue
            for step in EPOCHS if name in kept else EPOCHS[-1:]:
                store.client.log_metric(run_id, name, value, step=step)
        finish(store, run_id)
    finish(store, parent)
    text = publish(store, parent)
    assert f"best cell: {BEST_CELL}, the highest S1 on seed 42" in text
    assert GONE in text
    reader = connect(tracking_store)
    stored = pd.read_csv(reader.artifact(parent, "table.csv")).set_index("cell")
    assert stored.loc[BEST_CELL, "s1"] == pytest.approx(0.09)
    best = pd.read_csv(reader.artifact(parent, "best.csv"))
    assert best["n"].tolist() == [3, 1, 2]
    stale = pd.read_csv(reader.artifact(parent, "staleness.csv"))
    assert set(stale["now"].round(9)) == {0.5, 0.25}
    stored = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    assert [v["check"] for v in stored] == CHECKS
    notebook = execute("online_scan", ROOT)
    html, output = shown(notebook, "text/html"), shown(notebook, "stdout")
    assert "credit_deltaL" in html
    assert "that did not" in html
    assert "a loss of more than 20% is expected" in html
    assert "best cell" in output
    assert "torch loaded: False" in output
    assert shown(notebook, "image/png").count("iVBOR") == 1

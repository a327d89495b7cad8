"""The vector audit's variants, table, verdicts and figure, on frames worked out by hand."""

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

from credit.analysis import published_vector, vector_audit, vector_audit_checks
from credit.analysis.vector_audit_figure import vector_figure
from credit.errors import CreditError
from credit.presets import ARMS
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
    "width": 128,
    "activation": "phi",
    "terminal_norm": False,
    "augment": False,
    "epochs": 80,
    "credit_reduction": "sum",
    "device": "cpu",
}
EXPECTED: dict[str, dict[int, tuple[float, float]]] = {  # arm -> depth -> Γ, ρ
    "scalar": {4: (0.45, 0.51), 8: (0.36, 0.42)},
    "M4": {4: (0.91, 0.95), 8: (0.96, 0.95)},
    "M8": {4: (0.93, 0.96), 8: (0.97, 0.97)},
    "shuffle": {4: (0.05, 0.04), 8: (-0.05, 0.04)},
    "no_terminal": {4: (0.95, 0.95), 8: (0.95, 0.95)},
    "shuffle+no_terminal": {4: (0.04, 0.04), 8: (-0.04, 0.04)},
    "one_sided": {4: (0.83, 0.90), 8: (0.83, 0.90)},
}
CHECKS = ["M4 > scalar", "M8 > scalar", "shuffle+no_terminal", "shuffle"]
CHECKS += ["no_terminal", "one_sided", "audit"]
SHIFTS = (-0.01, 0.0, 0.01)


def spec_of(arm: str, depth: int, seed: int, **fields) -> RunSpec:
    return RunSpec.from_mapping(
        {**COMMON, **ARMS[arm], "depth": depth, "k": depth, "seed": seed, **fields}
    )


def measured(gamma: float, rho: float, depth: int) -> dict[str, float]:
    return {
        "accuracy/test": 0.6,
        "alignment/deep": gamma,
        "alignment/deep_inner": gamma,
        "estimator/directional": 0.5,
        "estimator/gradient": 0.5,
        "rho/deep": rho,
        **{f"nudge/h{layer:02d}": -0.001 * layer for layer in range(depth + 1)},
    }


def row(spec: RunSpec, metrics: dict[str, float]) -> dict:
    return {
        "run_id": spec.spec_hash,
        "name": spec.name,
        "status": "FINISHED",
        "reason": None,
        "started": pd.Timestamp("2026-01-01", tz="UTC"),
        **dataclasses.asdict(spec),
        **metrics,
    }


def frame(values: dict[str, dict[int, tuple[float, float]]] | None = None, **fields):
    """Runs whose Γ and ρ differ by .01 from seed to seed, around the given means."""
    return pd.DataFrame(
        row(spec_of(arm, depth, seed, **fields), measured(gamma + shift, rho + shift, depth))
        for arm, by_depth in (values or EXPECTED).items()
        for depth, (gamma, rho) in by_depth.items()
        for seed, shift in zip(SEEDS, SHIFTS, strict=True)
    )


def at(runs: pd.DataFrame, variant: str, depth: int, seed: int = 0) -> pd.Series:
    named = vector_audit.with_variants(runs)["variant"]
    here = (named == variant) & (runs["depth"] == depth)
    return here & (runs["seed"] == seed) if seed else here


def verdicts(runs: pd.DataFrame) -> dict[str, dict]:
    found = vector_audit_checks.verdicts(runs)
    json.dumps(found, allow_nan=False)
    return {v["check"]: v for v in found}


def with_arm(arm: str, *pairs: tuple[float, float]) -> pd.DataFrame:
    return frame(EXPECTED | {arm: dict(zip((4, 8), pairs, strict=True))})


def test_variants_are_named_by_what_the_runs_say():
    runs = vector_audit.with_variants(frame())
    assert list(dict.fromkeys(runs["variant"])) == list(EXPECTED)
    odd = [
        row(spec_of("M4", 4, 42, field_directions=8, shuffle=True), measured(0, 0, 4)),
        row(spec_of("shuffle", 4, 42, one_sided=True), measured(0, 0, 4)),
        row(spec_of("M16", 4, 42), measured(0.9, 0.9, 4)),
        row(spec_of("scalar", 4, 42, rule="dfa"), measured(0, 0, 4)),
    ]
    table = vector_audit.vector_table(pd.concat([frame(), pd.DataFrame(odd)]))
    assert table.loc[table["depth"] == 4, "variant"].tolist() == [
        *("scalar", "M4", "M8", "M16", "shuffle", "no_terminal"),
        *("shuffle+no_terminal", "one_sided", "dfa", "shuffle M8", "shuffle+one_sided"),
    ]
    assert len(table) == 11 + 7


def test_table_by_hand():
    runs = frame()
    table = vector_audit.vector_table(runs)
    assert table["depth"].tolist() == [4] * 7 + [8] * 7
    assert table["variant"].tolist() == list(EXPECTED) * 2
    assert set(table["n"]) == {3}
    main = table.iloc[8].to_dict()
    assert main["alignment"] == pytest.approx(0.96)
    assert main["alignment_sd"] == pytest.approx(statistics.stdev([0.95, 0.96, 0.97]))
    assert main["alignment_inner"] == pytest.approx(0.96)
    assert main["nudge"] == pytest.approx(-0.0045)  # over h_1 .. h_8
    assert (main["reported_alignment"], main["reported_rho"]) == (0.96, 0.95)
    wide = vector_audit.vector_wide(table)
    assert wide.iloc[0].to_dict() == {
        "depth": 4,
        "variant": "scalar",
        "Γ": ".450 ± .010",
        "Γ reported": ".45",
        "Γ, l < L": ".450 ± .010",
        "ρ": ".510 ± .010",
        "ρ reported": ".51",
        "nudge": "-0.0025 ± 0",
        "test accuracy": ".600 ± .000",
        "fit": ".500 ± .000",
        "n": 3,
    }
    assert wide["Γ reported"].tolist() == [
        *(".45", ".91", "", ".05", ".95", "", ".83"),
        *(".36", ".96", "", ".05", ".95", "", ".83"),
    ]
    assert wide["ρ reported"].tolist() == [".51", ".95"] + [""] * 5 + [
        *(".42", ".95", "", "", "", "", ""),
    ]
    assert "without their depth" in vector_audit.sources(table)[0]
    assert vector_audit.describe(runs) == (
        "teacher, α=1, d=128, L=4 and 8, all samples, 80 epochs in batches of 128, code eT, "
        "estimator_layers 1"
    )
    assert "α" not in vector_audit.describe(frame(activation="gelu"))


@pytest.mark.parametrize(
    "change",
    [
        *({"dataset": "digits"}, {"width": 64}, {"epochs": 4}, {"alpha": 0.5}, {"lr": 0.1}),
        *({"activation": "gelu"}, {"terminal_norm": True}, {"precision": "bf16"}, {"k": 3}),
        {"estimator_width": 64},
    ],
)
def test_reported_values_stand_beside_their_configuration_only(change):
    table = vector_audit.vector_table(frame(**change))
    assert table[["reported_alignment", "reported_rho"]].isna().all(axis=None)
    assert "Γ reported" not in vector_audit.vector_wide(table)
    assert vector_audit.sources(table) == []


def test_reported_lookup():
    found = published_vector.reported_vector(vector_audit.with_variants(frame()))
    assert len(found) == 10
    free = frame(code="deltaL", warmup_ratio=0.2, measure_samples=64)  # not stated
    assert len(published_vector.reported_vector(vector_audit.with_variants(free))) == 10
    other = frame({arm: {6: (0.5, 0.5)} for arm in EXPECTED})
    assert published_vector.reported_vector(vector_audit.with_variants(other)).empty


def test_what_is_expected_passes():
    found = verdicts(frame())
    assert list(found) == CHECKS
    assert {v["status"] for v in found.values()} == {"pass"}
    assert found["M4 > scalar"]["value"] == pytest.approx(0.44)
    assert found["M8 > scalar"]["value"] == pytest.approx(0.45)
    assert found["shuffle"]["value"] == pytest.approx(0.06)
    assert found["no_terminal"]["value"] == pytest.approx(0.01)
    assert found["one_sided"]["value"] == pytest.approx(0.13)
    reason = found["M4 > scalar"]["reason"]
    assert (
        "L=4: Γ +.460 (least +.460), Γ, l < L +.460 (least +.460), ρ +.440 (least +.440), n = 3"
        in reason
    )
    assert "Γ, l < L .040 (largest size .050)" in found["shuffle+no_terminal"]["reason"]


@pytest.mark.parametrize(
    ("pairs", "status", "least"),
    [
        (((0.55, 0.61), (0.46, 0.52)), "pass", 0.10),
        (((0.55, 0.61), (0.45, 0.60)), "fail", 0.09),  # Γ at one depth
        (((0.60, 0.60), (0.60, 0.60)), "fail", 0.09),  # ρ at one depth
        (((0.30, 0.61), (0.60, 0.60)), "fail", -0.15),
    ],
)
def test_beating_the_scalar(pairs, status, least):
    found = verdicts(with_arm("M8", *pairs))
    assert found["M8 > scalar"]["status"] == status
    assert found["M8 > scalar"]["value"] == pytest.approx(least)
    assert found["audit"]["status"] == "pass"  # which is about M4
    assert verdicts(with_arm("M4", *pairs))["audit"]["status"] == status


def test_the_lead_must_hold_on_every_seed():
    runs = frame()
    runs.loc[at(runs, "M4", 8, 123), "rho/deep"] = 0.51  # the scalar of this seed has .42
    found = verdicts(runs)["M4 > scalar"]
    assert (found["status"], found["value"]) == ("fail", pytest.approx(0.09))
    assert "ρ +.383 (least +.090)" in found["reason"]


@pytest.mark.parametrize(
    ("pairs", "status", "size"),
    [
        (((0.08, 0), (0.08, 0)), "pass", 0.09),
        (((0.09, 0), (0.0, 0)), "fail", 0.10),
        (((0.0, 0), (-0.20, 0)), "fail", 0.21),
    ],
)
def test_shuffle_collapses(pairs, status, size):
    found = verdicts(with_arm("shuffle+no_terminal", *pairs))
    assert found["shuffle+no_terminal"]["status"] == found["audit"]["status"] == status
    assert found["shuffle+no_terminal"]["value"] == pytest.approx(size)
    alone = verdicts(with_arm("shuffle", *pairs))
    assert (alone["shuffle"]["status"], alone["audit"]["status"]) == (status, "pass")


def test_shuffle_may_keep_the_direction_at_the_last_state():
    runs = frame()
    kept = (runs["shuffle"]) & (runs["terminal_weight"] != 0)
    runs.loc[kept, "alignment/deep"] = 0.225  # .9 at h_L alone
    found = verdicts(runs)
    assert found["shuffle"]["status"] == "pass"
    assert "taught the exact gradient at h_L" in found["shuffle"]["reason"]
    runs.loc[runs["shuffle"] & ~kept, "alignment/deep"] = 0.225
    assert verdicts(runs)["shuffle+no_terminal"]["status"] == "fail"


def test_a_lead_at_the_last_state_alone_is_none():
    runs = frame()
    runs.loc[at(runs, "M4", 8), "alignment/deep_inner"] = 0.4
    assert verdicts(runs)["M4 > scalar"]["status"] == "fail"


def test_a_scalar_that_is_not_fitted_is_named():
    runs = frame()
    runs.loc[at(runs, "scalar", 8), "estimator/gradient"] = 0.99
    reason = verdicts(runs)["M4 > scalar"]["reason"]
    assert reason.endswith("terminal gradient is not fitted at L=8 (.990 of the target left)")


@pytest.mark.parametrize(
    ("arm", "gammas", "status", "label"),
    [
        ("no_terminal", (0.81, 0.86), "pass", "stays"),
        ("no_terminal", (0.80, 0.96), "fail", "falls"),
        ("no_terminal", (0.91, 0.30), "fail", "falls"),
        ("one_sided", (0.76, 0.81), "pass", "stays"),
        ("one_sided", (0.76, 0.80), "fail", "falls"),
    ],
)
def test_controls_that_keep_the_direction(arm, gammas, status, label):
    found = verdicts(with_arm(arm, *((g, 0.9) for g in gammas)))[arm]
    assert (found["status"], found["label"]) == (status, label)
    falls = [EXPECTED["M4"][depth][0] - gamma for depth, gamma in zip((4, 8), gammas, strict=True)]
    assert found["value"] == pytest.approx(max(falls))


def test_a_rise_does_not_count_against_a_control():
    values = {arm: {4: (0.5, 0.9)} for arm in EXPECTED} | {"no_terminal": {4: (0.7, 0.9)}}
    found = verdicts(frame(values))["no_terminal"]
    assert (found["status"], found["label"]) == ("pass", "rises")


def test_verdicts_are_undefined_where_something_is_missing():
    few = {arm: EXPECTED[arm] for arm in ("M4", "M8", "one_sided")}
    found = verdicts(frame(few | {"one_sided": {4: (0.83, 0.9)}}))
    assert list(found) == CHECKS
    assert {v["status"] for v in found.values()} == {"undefined"}
    assert "scalar at L=4 has no finished run" in found["M4 > scalar"]["reason"]
    assert "one_sided at L=8 has no finished run" in found["one_sided"]["reason"]
    runs = frame()
    runs.loc[at(runs, "M8", 4, 42), "rho/deep"] = math.nan
    runs.loc[at(runs, "shuffle", 8, 123), "status"] = "FAILED"
    runs.loc[at(runs, "no_terminal", 8), "status"] = "RUNNING"
    found = verdicts(runs)
    assert {check for check, v in found.items() if v["status"] == "pass"} == {
        *("M4 > scalar", "shuffle+no_terminal", "one_sided", "audit"),
    }
    assert "ρ of M8 at L=4 is not valid on seed 42" in found["M8 > scalar"]["reason"]
    assert "shuffle at L=8 failed on seed 123" in found["shuffle"]["reason"]
    assert found["audit"]["status"] == "pass"


def test_comparisons_are_paired_by_seed():
    runs = frame()
    runs.loc[at(runs, "M4", 4, 42), "status"] = "RUNNING"
    runs.loc[at(runs, "scalar", 4, 456), "status"] = "RUNNING"
    reason = verdicts(runs)["M4 > scalar"]["reason"]
    assert "ρ +.440 (least +.440), n = 1 seed;" in reason
    assert "n = 3 seeds" in reason
    runs.loc[at(runs, "M4", 4, 123), "status"] = "RUNNING"
    assert "no finished seed in common" in verdicts(runs)["M4 > scalar"]["reason"]


@pytest.mark.parametrize(
    ("arm", "change"),
    [
        ("M4", {"width": 64}),
        ("M4", {"sigma": 0.2}),
        ("scalar", {"tgw": 4.0}),
        ("M4", {"terminal_weight": 2.0}),
        ("M16", {"terminal_weight": 2.0}),
        ("M16", {"code": "deltaL"}),
        ("M16", {"field_eps": 0.1}),
        ("M16", {"k": 3}),
    ],
)
def test_only_like_is_compared_with_like(arm, change):
    extra = row(spec_of(arm, 4, 7, **change), measured(0.9, 0.9, 4))
    mixed = pd.concat([frame(), pd.DataFrame([extra])])
    for call in (vector_audit.vector_table, vector_audit_checks.verdicts):
        with pytest.raises(CreditError, match=f"differ in {next(iter(change))} "):
            call(mixed)


def test_rules_need_not_share_what_only_one_of_them_reads():
    bridge = frame({"scalar": EXPECTED["scalar"]}, tgw=4.0, sigma=0.2)
    field = frame({arm: v for arm, v in EXPECTED.items() if arm != "scalar"}, field_eps=0.1)
    found = verdicts(pd.concat([bridge, field], ignore_index=True))
    assert {v["status"] for v in found.values()} == {"pass"}
    other = frame({"scalar": EXPECTED["scalar"]}, code="deltaL")
    with pytest.raises(CreditError, match="differ in code"):  # which both of them read
        verdicts(pd.concat([other, field], ignore_index=True))
    with pytest.raises(CreditError, match="no runs to show"):
        vector_audit.vector_table(bridge.iloc[:0])


@pytest.mark.parametrize("width", [3.5, 7.0])
def test_figure(width, tmp_path):
    table = vector_audit.vector_table(frame())
    figure = vector_figure(table, "Vector audit", width)
    figure.savefig(tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == round(width * 200)
    alignment, rho, accuracy = figure.axes
    labels = [tick.get_text() for tick in alignment.get_xticklabels()]
    assert labels == list(EXPECTED)
    ours = [float(c[0].get_ydata()[0]) for c in alignment.containers if c.has_yerr]
    np.testing.assert_allclose(ours, [EXPECTED[arm][L][0] for L in (4, 8) for arm in EXPECTED])
    for axes, count in ((alignment, 10), (rho, 4), (accuracy, 0)):
        hollow = [x for x in axes.lines if x.get_markerfacecolor() == "white"]
        assert [len(np.asarray(x.get_xdata())) for x in hollow] == [1] * count
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["credit_bridge", "vector_field", "L=4", "L=8", "reported"]
    assert_laid_out(figure)


def test_incomplete_audits_can_be_drawn():
    runs = frame({"M4": {4: (0.9, 0.9)}}).assign(status="RUNNING")
    table = vector_audit.vector_table(runs)
    FigureCanvasAgg(vector_figure(table, "title", 3.5)).draw()
    assert {v["status"] for v in verdicts(runs).values()} == {"undefined"}
    with pytest.raises(CreditError, match="no rows"):
        vector_figure(table.iloc[:0], "title")


@pytest.mark.slow
def test_published_and_shown_by_the_notebook(tracking_store):
    store = open_store()
    parent = open_parent(store, "vector audit", "vector_audit", {}, "hash")
    for arm, by_depth in EXPECTED.items():
        for depth, (gamma, rho) in by_depth.items():
            run_id = open_child(store, parent, spec_of(arm, depth, 42))
            for name, value in measured(gamma, rho, depth).items():
                store.client.log_metric(run_id, name, value, step=80)
            finish(store, run_id)
    finish(store, parent)
    text = publish(store, parent)
    assert "reported: by the experiment's authors (teacher and student" in text
    assert "Γ, l < L +.600 (least +.600), ρ +.530 (least +.530), n = 1 seed" in text
    reader = connect(tracking_store)
    stored = pd.read_csv(reader.artifact(parent, "table.csv"))
    assert stored["alignment"].tolist()[:7] == [EXPECTED[arm][4][0] for arm in EXPECTED]
    assert "no_terminal" in reader.artifact(parent, "table.md").read_text()
    stored = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    assert [v["status"] for v in stored] == ["pass"] * 7
    notebook = execute("vector_audit", ROOT)
    html = shown(notebook, "text/html")
    assert "no_terminal" in html
    assert "M4 minus scalar, by seed" in html
    output = shown(notebook, "stdout")
    assert "reported: by the experiment's authors" in output
    assert "torch loaded: False" in output
    assert shown(notebook, "image/png").count("iVBOR") == 1

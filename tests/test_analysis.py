"""Tables, verdict inputs and figures on frames small enough to check by hand."""

import ast
import dataclasses
import json
import math
import statistics
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from credit.analysis import figures, published, selection, tables
from credit.analysis.audits import sample_floor
from credit.analysis.drawing import STYLES, style_of
from credit.analysis.page import footnote_of
from credit.errors import CreditError
from credit.spec import RunSpec

ROOT = Path(__file__).parents[1]
REDUCTION = {"dfa": "sum"}
PRECISIONS = next(
    f.metadata["one_of"] for f in dataclasses.fields(RunSpec) if f.name == "precision"
)


def row(accuracy: float, start: int = 0, status: str = "FINISHED", reason=None, **fields) -> dict:
    """One run as `Reader.runs` gives it; names with a slash are metrics."""
    metrics = {key: value for key, value in fields.items() if "/" in key}
    knobs = {key: value for key, value in fields.items() if "/" not in key}
    knobs = {"credit_reduction": REDUCTION.get(knobs["rule"], "mean"), "device": "cpu"} | knobs
    spec = RunSpec(**knobs)
    return {
        "run_id": f"{spec.spec_hash}-{start}",
        "name": spec.name,
        "status": status,
        "reason": reason,
        "started": pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=start),
        **dataclasses.asdict(spec),
        "accuracy/test": accuracy,
        **metrics,
    }


def grid(ladders: dict[str, dict[int, list[float]]], **fields) -> pd.DataFrame:
    """Runs of rule -> k -> accuracies of seeds 42, 123, ..."""
    seeds = (42, 123, 456)
    return pd.DataFrame(
        row(accuracy, rule=rule, k=k, seed=seed, **fields)
        for rule, ladder in ladders.items()
        for k, accuracies in ladder.items()
        for seed, accuracy in zip(seeds, accuracies, strict=False)
    )


FULL = {
    rule: {k: [mean - sd, mean, mean + sd] for k, (mean, sd) in enumerate(pairs)}
    for rule, pairs in published.LADDER[published.AUDITED].items()
} | {"oracle": {0: [0.34, 0.342, 0.344], 4: [0.42, 0.425, 0.43]}}


def cell(table: pd.DataFrame, rule: str, k: int) -> dict:
    found = table[(table["rule"] == rule) & (table["k"] == k)].to_dict("records")
    assert len(found) == 1
    return found[0]


def test_ladder_by_hand():
    table = tables.ladder(grid({"bp": {0: [0.38, 0.39, 0.40], 1: [0.56, 0.58]}}))
    assert list(table.columns) == [
        *("rule", "k", "mean", "sd", "n"),
        *("reported_mean", "reported_sd", "difference_points"),
    ]
    first, second = cell(table, "bp", 0), cell(table, "bp", 1)
    assert (first["n"], second["n"]) == (3, 2)
    assert first["mean"] == pytest.approx(0.39)
    assert first["sd"] == pytest.approx(0.01)
    assert second["sd"] == pytest.approx(statistics.stdev([0.56, 0.58]))
    assert (first["reported_mean"], first["reported_sd"]) == (0.389, 0.001)
    assert first["difference_points"] == pytest.approx(0.1)
    assert second["difference_points"] == pytest.approx(0.5)


def test_rules_come_in_canonical_order_and_strangers_last():
    names = ["dfa", "package.rules:Mine", "fa", "oracle", "bp"]
    table = tables.ladder(grid({name: {1: [0.3], 0: [0.2]} for name in names}))
    assert list(dict.fromkeys(table["rule"])) == ["bp", "oracle", "fa", "dfa", "package.rules:Mine"]
    assert list(table["k"]) == [0, 1] * 5


def test_missing_and_unfinished_runs_leave_empty_cells():
    runs = grid({"bp": {0: [0.4, 0.4], 1: [0.5]}, "fa": {0: [0.3]}})
    late = [
        row(0.9, rule="fa", k=1, seed=42, status="RUNNING"),
        row(0.1, rule="fa", k=1, seed=123, status="FAILED", reason="non-finite training loss"),
        row(math.nan, rule="fa", k=2, seed=42),
    ]
    runs = pd.concat([runs, pd.DataFrame(late)], ignore_index=True)
    table = tables.ladder(runs)
    assert len(table) == 2 * 3
    for rule, k in (("fa", 1), ("fa", 2), ("bp", 2)):
        empty = cell(table, rule, k)
        assert empty["n"] == 0
        assert math.isnan(empty["mean"])
        assert math.isnan(empty["difference_points"])
    assert cell(table, "fa", 1)["reported_mean"] == 0.382
    assert cell(table, "bp", 1)["mean"] == 0.5
    assert math.isnan(cell(table, "bp", 1)["sd"])
    missing = tables.left_out(runs)
    assert missing["name"].tolist() == ["fa k1 s42", "fa k1 s123", "fa k2 s42"]
    assert missing["reason"].tolist()[1] == "non-finite training loss"
    text = tables.ladder_text(table)
    assert "n = 1 to 2 seeds" in text
    assert ".400 ± .000 (n=2)" in text
    assert ".500 (n=1)" in text


def test_nothing_finished():
    runs = grid({"bp": {0: [0.4]}}, status="RUNNING").drop(columns="accuracy/test")
    table = tables.ladder(runs)
    assert table["n"].tolist() == [0]
    assert "no run has finished yet" in tables.ladder_text(table)
    assert "No finished run" in tables.agreement(table)
    assert {v["status"] for v in tables.verdicts(runs)} == {"undefined"}


def test_a_seed_that_ran_twice_counts_once_and_the_newer():
    runs = pd.DataFrame(
        [
            row(0.42, start=9, rule="bp", k=0, seed=42, device="cuda"),
            row(0.40, start=1, rule="bp", k=0, seed=42),
            row(0.44, start=5, rule="bp", k=0, seed=123),
        ]
    )
    found = cell(tables.ladder(runs), "bp", 0)
    assert (found["n"], found["mean"]) == (2, pytest.approx(0.43))


@pytest.mark.parametrize(
    ("field", "value"),
    [("width", 512), ("epochs", 5), ("dataset", "digits"), ("penalty", 0.01), ("lr", 0.1)],
)
def test_a_ladder_is_of_one_configuration(field, value):
    base = grid({"bp": {0: [0.4]}})
    other = grid({"bp": {0: [0.4]}}, **{field: value})
    with pytest.raises(CreditError, match=rf"differ in {field} \(.*{value}.*parent="):
        tables.ladder(pd.concat([base, other]))
    assert tables.ladder(other)["n"].tolist() == [1]


def test_one_rule_has_one_reduction_but_rules_may_differ():
    fine = grid({"fa": {0: [0.3]}, "dfa": {0: [0.3]}})
    assert len(tables.ladder(fine)) == 2
    mixed = pd.concat([fine, grid({"fa": {0: [0.3]}}, credit_reduction="sum")])
    with pytest.raises(CreditError, match="of fa differ in credit_reduction"):
        tables.ladder(mixed)


def test_no_runs_is_an_error_with_a_remedy():
    empty = grid({"bp": {0: [0.4]}}).iloc[:0]
    layers: dict = {}
    for call in (
        lambda: tables.ladder(empty),
        lambda: tables.verdicts(empty),
        lambda: tables.direction(empty, layers),
        lambda: tables.direction_verdicts(empty),
        lambda: tables.curves(empty, pd.DataFrame()),
        lambda: tables.describe(empty),
    ):
        with pytest.raises(CreditError, match="run the experiment first"):
            call()
    nothing = tables.ladder(grid({"bp": {0: [0.4]}})).iloc[:0]
    for draw in (figures.ladder_figure, figures.direction_figure, figures.curves_figure):
        with pytest.raises(CreditError, match="no rows"):
            draw(nothing, "title")


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "fashion_mnist"},
        {"width": 512},
        {"depth": 5},
        {"epochs": 40},
        {"lr": 1e-4},
        {"penalty": 0.01},
        {"credit_eps": 0.0},
        {"credit_reduction": "mean"},
        {"train_samples": 1000},
        {"augment": False},
    ],
)
def test_reported_values_appear_beside_the_same_configuration_only(change):
    same = tables.ladder(grid({"dfa": {0: [0.349]}}))
    assert same["reported_mean"].tolist() == [0.349]
    other = tables.ladder(grid({"dfa": {0: [0.349]}}, **change))
    assert other["reported_mean"].isna().all()
    assert other["difference_points"].isna().all()
    assert "reported" not in tables.ladder_text(other)


def test_measuring_differently_keeps_the_reported_values():
    runs = grid({"bp": {0: [0.389]}}, measure_samples=64, directions=4, measure_every=50)
    assert tables.ladder(runs)["reported_mean"].tolist() == [0.389]


def test_reported_lookup():
    found = published.reported_ladder("cifar10", 256, 4, 100)
    assert len(found) == 15
    assert cell(found, "fa", 2)["reported_mean"] == 0.349
    assert cell(found, "fa", 2)["reported_sd"] == 0.016
    for other in (("digits", 256, 4, 100), ("cifar10", 512, 2, 100), ("cifar10", 256, 4, 40)):
        assert published.reported_ladder(*other).empty
        assert published.reported_direction(*other).empty


def test_ladder_as_text():
    text = tables.ladder_text(tables.ladder(grid({"bp": {0: [0.38, 0.39, 0.40]}, "oracle": {}})))
    assert text.splitlines() == [
        "test accuracy at the last epoch, mean ± sample sd over n = 3 seeds; k = trainable blocks",
        "",
        "rule                              k=0",
        "bp    ours                .390 ± .010",
        "      reported            .389 ± .001",
        "      difference, points         +0.1",
        "",
        "reported: by the experiment's authors (ResMLP, CIFAR-10, 100 epochs, 3 seeds)",
    ]


def test_ladder_as_strings():
    wide = tables.ladder_wide(
        tables.ladder(grid({"bp": {0: [0.38, 0.40], 1: [0.5]}, "my": {0: [1]}}))
    )
    assert wide.to_dict("list") == {
        "rule": ["bp", "bp", "bp", "my"],
        "values": ["ours", "reported", "difference, points", "ours"],
        "k=0": [".390 ± .014 (n=2)", ".389 ± .001", "+0.1", "1.000 (n=1)"],
        "k=1": [".500 (n=1)", ".565 ± .003", "-6.5", ""],
    }


def test_agreement_names_what_deviates():
    near = tables.agreement(tables.ladder(grid({"bp": {0: [0.399]}, "fa": {0: [0.370]}})))
    assert near.splitlines() == ["2 of 2 cells lie within 1.5 points (bp 1.0) of the reported."]
    far = tables.agreement(tables.ladder(grid({"bp": {0: [0.401]}, "fa": {0: [0.339]}})))
    assert far.splitlines()[0].startswith("0 of 2")
    assert "DEVIATES: bp k=0 is .401 (n=1), reported .389 ± .001: +1.2 points." in far
    assert "DEVIATES: fa k=0 is .339 (n=1), reported .355 ± .003: -1.6 points." in far


def measured(**changes) -> dict[str, float]:
    return {
        "growth/max": 2.0,
        "grad_norm/h04": 0.01,
        "alignment/h02": 0.3,
        "alignment/h04": 0.9,
    } | changes


def by_check(found: list[dict], rule: str) -> dict[str, dict]:
    return {v["check"]: v for v in found if v["rule"] == rule}


def test_verdict_inputs():
    runs = grid(FULL, **measured())
    top = (runs["rule"] == "fa") & (runs["k"] == 4)
    runs.loc[top, "growth/max"] = [3.0, 60.0, 2.0]
    runs.loc[top, "alignment/h02"] = [0.02, -0.04, 0.06]
    runs.loc[(runs["rule"] == "fa") & (runs["k"] == 3), "growth/max"] = 1e9  # not fully trained
    found = tables.verdicts(runs)
    assert [v["rule"] for v in found] == ["bp"] * 5 + ["oracle"] * 5 + ["fa"] * 6 + ["dfa"] * 6
    json.dumps(found, allow_nan=False)
    fa = by_check(found, "fa")
    assert (fa["D1"]["status"], fa["D1"]["value"]) == ("fail", 60.0)
    assert fa["D2"]["value"] == 0.01
    assert fa["direction"]["value"] == pytest.approx(0.04)
    assert fa["direction"]["label"] == "poor"
    assert "h_2" in fa["direction"]["reason"]
    assert fa["D3"]["value"] == pytest.approx(0.047)
    assert fa["oracle_share"]["value"] == pytest.approx(0.047 / 0.083)
    assert by_check(found, "dfa")["shape"]["label"] == "falls"
    table = tables.verdict_table(found)
    assert table["rule"].tolist() == ["bp", "oracle", "fa", "dfa"]
    assert table["shape"].tolist()[-1] == "fail (falls)"
    assert list(table.columns[1:]) == ["D1", "D2", "direction", "D3", "shape", "oracle_share"]


def test_verdicts_are_undefined_where_something_is_missing():
    runs = grid({"fa": {0: [0.3], 4: [0.4]}}, **measured())
    runs = runs.drop(columns=["alignment/h02", "growth/max"])
    fa = by_check(tables.verdicts(runs), "fa")
    assert {check for check, v in fa.items() if v["status"] == "undefined"} == {
        "D1",
        "direction",
        "D3",
        "oracle_share",
    }
    assert fa["D3"]["reason"] == "no seed of bp has an accuracy at both k=0 and k=4"
    assert (fa["D2"]["status"], fa["shape"]["label"]) == ("pass", "climbs")


def test_a_diverged_seed_fails_scale_stability():
    runs = grid({"fa": {0: [0.3], 4: [0.4]}}, **measured())
    reason = "non-finite training loss in epoch 3, all parameters are finite"
    failed = row(0.1, rule="fa", k=4, seed=7, status="FAILED", reason=reason)
    found = by_check(tables.verdicts(pd.concat([runs, pd.DataFrame([failed])])), "fa")
    assert found["D1"]["status"] == "fail"
    failed["reason"] = "OSError: disk full"
    found = by_check(tables.verdicts(pd.concat([runs, pd.DataFrame([failed])])), "fa")
    assert found["D1"]["status"] == "pass"


def test_gains_are_those_of_the_same_seeds():
    bp = {"bp": {0: [0.4, 0.4, 0.4], 4: [0.6, 0.6, 0.6]}}
    whole = grid(bp | {"fa": {0: [0.3, 0.4, 0.5], 4: [0.31, 0.41, 0.55]}}, **measured())
    here = (whole["rule"] == "fa") & (whole["k"] == 4) & (whole["seed"] != 456)
    late = by_check(tables.verdicts(whole.loc[~here]), "fa")["D3"]
    assert late["value"] == pytest.approx(0.05) and "from 0.500 at k=0" in late["reason"]
    apart = (whole["rule"] == "fa") & ((whole["k"] == 4) == (whole["seed"] == 456))
    for check in ("D3", "shape"):
        none = by_check(tables.verdicts(whole.loc[~apart]), "fa")[check]
        assert none["status"] == "undefined"
        assert none["reason"] == "no seed of fa has an accuracy at both k=0 and k=4"
    reason = "non-finite training loss in epoch 3, all parameters are finite"
    failed = whole.assign(
        status=whole["status"].mask(here, "FAILED"), reason=whole["reason"].mask(here, reason)
    )
    found = by_check(tables.verdicts(failed), "fa")
    for check in ("D3", "shape", "oracle_share"):
        assert found[check]["status"] == "undefined"
        assert found[check]["reason"] == "2 runs of fa at k=4 diverged"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("published_floor", [1e-7, 3e-6])
def test_floor_is_the_one_that_the_measurements_use(precision, published_floor):
    from credit.measures import validity
    from credit.training.products import PRECISIONS as types

    dtype = types[precision].states
    floor = sample_floor({"precision": precision, "reference_floor": published_floor})
    assert floor == pytest.approx(validity.sample_floor(published_floor, dtype), rel=1e-12)


def direction_runs() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """DFA with lambda 0, at the floor from h_1 on, and 0.01, valid; two seeds, L = 4."""
    rows, layers = [], {}
    for penalty in (0.0, 0.01):
        for number, seed in enumerate((42, 123)):
            metrics, table = {"growth/max": 1.5 if penalty else 900.0}, []
            for layer in range(5):
                valid = penalty > 0 or layer == 0
                cosine = 0.1 * layer + 0.02 * number
                metrics |= {
                    f"grad_norm/h{layer:02d}": 0.01 * (1 + number) if valid else 1e-6,
                    f"credit_norm/h{layer:02d}": 2.0,
                    f"hidden_norm/h{layer:02d}": 10.0**layer,
                }
                if valid:
                    metrics[f"alignment/h{layer:02d}"] = cosine
                status = "ok" if valid else "reference_at_floor"
                table.append({"layer": layer, "status": status, "alignment_mean": cosine})
            run = row(0.3, rule="dfa", k=4, seed=seed, penalty=penalty, **metrics)
            rows.append(run)
            layers[run["run_id"]] = pd.DataFrame(table)
    rows.append(row(0.3, rule="dfa", k=0, seed=42, **{"alignment/h01": 0.99}))
    return pd.DataFrame(rows), layers


def test_direction_by_hand():
    runs, layers = direction_runs()
    table = tables.direction(runs, layers)
    assert table[["penalty", "layer"]].to_numpy().tolist() == [
        [penalty, layer] for penalty in (0.0, 0.01) for layer in range(5)
    ]
    vanilla, penalised = table[table["penalty"] == 0.0], table[table["penalty"] == 0.01]
    assert vanilla["status"].tolist() == ["ok"] + ["reference_at_floor"] * 4
    assert vanilla["n"].tolist() == [2, 0, 0, 0, 0]
    assert vanilla["alignment"].isna().tolist() == [False] + [True] * 4
    np.testing.assert_allclose(vanilla["raw_cosine"], [0.01, 0.11, 0.21, 0.31, 0.41])
    np.testing.assert_allclose(penalised["alignment"], [0.01, 0.11, 0.21, 0.31, 0.41])
    np.testing.assert_allclose(penalised["alignment_sd"], 0.02 / math.sqrt(2))
    assert penalised["grad_norm"].tolist() == [0.015] * 5
    assert penalised["hidden_norm"].tolist() == [1.0, 10.0, 100.0, 1e3, 1e4]
    assert vanilla["reported_alignment"].tolist() == published.DFA_ALIGNMENT
    assert vanilla["reported_hidden_norm"].tolist()[-1] == 5e8
    assert vanilla["reported_hidden_norm"].isna().sum() == 4
    assert penalised["reported_alignment"].isna().all()


def test_direction_without_layer_tables_and_with_seeds_that_disagree():
    runs, layers = direction_runs()
    bare = tables.direction(runs, {})
    assert bare["status"].tolist() == ["ok"] + ["reference_at_floor"] * 4 + ["ok"] * 5
    assert bare["raw_cosine"].isna().sum() == 4
    one = runs.index[(runs["penalty"] == 0.01) & (runs["seed"] == 42)][0]
    layers[str(runs.loc[one, "run_id"])].loc[2, "status"] = "reference_at_floor"
    runs.loc[one, "alignment/h02"] = math.nan
    mixed = tables.direction(runs, layers)
    found = mixed[(mixed["penalty"] == 0.01) & (mixed["layer"] == 2)].iloc[0]
    assert (found["n"], found["seeds"]) == (1, 2)
    assert found["status"] == "reference_at_floor (1 of 2)"
    assert found["alignment"] == pytest.approx(0.22)
    other = tables.direction(runs.assign(epochs=40), layers)
    assert other["reported_alignment"].isna().all()


def test_direction_verdicts_by_penalty():
    runs, _ = direction_runs()
    found = tables.direction_verdicts(runs)
    outcome = {(v["penalty"], v["check"]): v["status"] for v in found}
    assert outcome == {
        (0.0, "D1"): "fail",
        (0.0, "D2"): "fail",
        (0.0, "direction"): "undefined",
        (0.01, "D1"): "pass",
        (0.01, "D2"): "pass",
        (0.01, "direction"): "pass",
    }
    assert tables.verdict_table(found)["penalty"].tolist() == [0.0, 0.01]


def history_of(runs: pd.DataFrame, epochs: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"run_id": r["run_id"], "key": key, "step": e, "value": 0.1 * e, "timestamp": e}
            for r in runs.to_dict("records")
            for key in ("accuracy/test", "loss/train")
            for e in range(1, epochs + 1)
        ]
    )


def test_curves_have_one_point_per_run_and_epoch():
    runs = grid({"fa": {1: [0.4, 0.4]}, "bp": {0: [0.4]}})
    again = history_of(runs.iloc[:1]).assign(value=0.9)
    found = tables.curves(runs, pd.concat([history_of(runs), again]))
    assert list(found.columns) == ["rule", "k", "seed", "epoch", "accuracy"]
    assert len(found) == 3 * 4
    own = found[(found["rule"] == "fa") & (found["seed"] == 42)]
    assert own["epoch"].tolist() == [1, 2, 3, 4]
    assert own["accuracy"].tolist() == [0.9] * 4
    assert found[found["seed"] == 123]["accuracy"].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def drawings() -> dict:
    """Every figure, as a function of its width."""
    runs, layers = direction_runs()
    ladder = tables.ladder(grid(FULL | {"package.rules:Mine": {0: [0.2], 2: [0.3]}}))
    direction = tables.direction(runs, layers)
    mine = grid(FULL)
    curves = tables.curves(mine, history_of(mine))
    title = "Depth-utility ladder: cifar10, d=256, L=4, 100 epochs"
    return {
        "ladder": lambda width: figures.ladder_figure(ladder, title, width),
        "direction": lambda width: figures.direction_figure(direction, title, width),
        "curves": lambda width: figures.curves_figure(curves, title, width),
    }


LABELS = {
    "ladder": [
        "bp",
        "oracle",
        "fa",
        "dfa",
        "Mine",
        "reported",
        "sample sd (error bars) over n = 1 to 3 seeds",
    ],
    "direction": [
        "λ=0",
        "λ=0.01",
        "reported",
        "raw cosine where Γ is not valid",
        "‖g‖",
        "‖a‖",
        "‖h‖",
        "poor",
    ],
    "curves": ["bp", "oracle", "fa", "dfa", "k=0", "k=4", "one line per seed, 3 in all"],
}


@pytest.mark.parametrize("width", [3.5, 7.0])
@pytest.mark.parametrize("name", list(LABELS))
def test_figures_say_what_they_show(name, width, tmp_path):
    figure = drawings()[name](width)
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(tmp_path / "figure.svg")
    root = ElementTree.parse(tmp_path / "figure.svg").getroot()
    words = " ".join(" ".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text"))
    words = " ".join(words.split())
    assert [label for label in LABELS[name] if label not in words] == []
    figure.savefig(tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == round(width * 200)
    assert (pixels[..., :3].min(axis=-1) < 0.9).mean() > 0.01  # ink


@pytest.mark.parametrize("width", [3.5, 7.0])
@pytest.mark.parametrize("name", list(LABELS))
def test_nothing_is_cut_off_and_the_legend_covers_no_data(name, width):
    figure = drawings()[name](width)
    FigureCanvasAgg(figure).draw()
    page = figure.bbox
    undrawn = {
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    for text in set(figure.findobj(Text)) - undrawn:
        box = text.get_window_extent()
        if text.get_text() and text.get_visible() and box.width:
            inside = (
                box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1
            )
            assert inside, f"{text.get_text()!r} leaves the page: {box}"
    legend = figure.legends[0].get_window_extent()
    for axes in figure.axes:
        assert not legend.overlaps(axes.get_tightbbox())
        assert axes.get_window_extent().height > 0.15 * page.height


def test_ladder_figure_draws_the_numbers():
    table = tables.ladder(grid(FULL))
    figure = figures.ladder_figure(table, "title")
    drawn = {line.get_color(): line for line in figure.axes[0].lines if line.get_linestyle() == "-"}
    for rule in ("bp", "oracle", "fa", "dfa"):
        line = drawn[STYLES[rule].color]
        own = table[table["rule"] == rule]
        assert line.get_marker() == STYLES[rule].marker
        np.testing.assert_allclose(np.asarray(line.get_ydata(), float), own["mean"])
    hollow = [x for x in figure.axes[0].lines if x.get_markerfacecolor() == "white"]
    assert sorted(len(np.asarray(x.get_xdata())) for x in hollow) == [0, 5, 5, 5]  # no oracle


def test_incomplete_ladders_can_be_drawn():
    running = grid({"bp": {0: [0.4]}, "fa": {1: [0.3]}}, status="RUNNING")
    figure = figures.ladder_figure(tables.ladder(running), "title", 3.5)
    FigureCanvasAgg(figure).draw()
    assert "no run has finished yet" in footnote_of(figure)


def test_styles_tell_rules_apart():
    assert len({style.color for style in STYLES.values()}) == len(STYLES)
    assert len({style.marker for style in STYLES.values()}) == len(STYLES)
    assert set(selection.ORDER) == set(STYLES)
    stranger = style_of("package.rules:Mine")
    assert stranger == style_of("package.rules:Mine")
    assert stranger.color not in {style.color for style in STYLES.values()}


def test_analysis_and_notebooks_never_import_torch():
    sources = [path.read_text() for path in (ROOT / "credit" / "analysis").glob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for part in json.loads(path.read_text())["cells"]:
            if part["cell_type"] == "code":
                lines = "".join(part["source"]).splitlines()
                sources.append("\n".join(line for line in lines if not line.startswith("%")))
    assert len(sources) > 8
    heavy = ("torch", "credit.rules", "credit.training", "credit.sweep", "credit.measures")
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            assert not [n for n in names if n.startswith(heavy)]

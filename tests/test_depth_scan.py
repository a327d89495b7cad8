"""The depth scan's table, verdicts and figure, on frames worked out by hand."""

import json
import math

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from credit.analysis import comparison, depth_scan, depth_scan_checks
from credit.analysis.depth_scan_figure import depth_scan_figure
from credit.errors import CreditError
from credit.publish import publish
from credit.tracking.reader import connect
from credit.tracking.writer import finish, log_text, open_child, open_parent, open_store
from tests import test_notebooks
from tests.layout import assert_laid_out
from tests.test_comparison import SEEDS, SHIFTS, measured, row, spec_of

DEPTHS = (2, 4, 6, 8, 12)
GONE = "REDUCED: without oracle, fa, state_bridge"
COURSES: dict[str, tuple[float, ...]] = {  # accuracy at L = 2, 4, 6, 8, 12
    "bp": (0.58, 0.60, 0.61, 0.61, 0.61),
    "dfa": (0.35, 0.32, 0.31, 0.30, 0.28),
    "credit_bridge": (0.33, 0.34, 0.31, 0.33, 0.34),
}
GAMMAS = {"bp": 1.0, "dfa": 0.1, "credit_bridge": 0.3}


def frame(courses: dict[str, tuple[float, ...]] | None = None, **fields) -> pd.DataFrame:
    """Runs whose accuracy differs by .01 from seed to seed; dfa at L=12 has no reference."""
    rows = []
    for rule, course in (courses or COURSES).items():
        for depth, accuracy in zip(DEPTHS, course, strict=False):
            gamma = math.nan if (rule, depth) == ("dfa", 12) else GAMMAS[rule]
            for seed, shift in zip(SEEDS, SHIFTS, strict=True):
                metrics = measured(accuracy + shift, gamma, depth, 1.0 + (rule != "bp"))
                metrics["time/run_epoch_seconds"] = depth * (1.0 + (rule != "bp"))
                rows.append(row(spec_of(rule, seed, depth, **fields), metrics))
    return pd.DataFrame(rows)


def table_of(runs: pd.DataFrame) -> pd.DataFrame:
    return depth_scan.scan(runs, comparison.by_layer(runs, {}))


def verdicts(runs: pd.DataFrame) -> dict[tuple[str, str], dict]:
    found = depth_scan_checks.verdicts(runs)
    json.dumps(found, allow_nan=False)
    return {(v["rule"], v["check"]): v for v in found}


def test_table_by_hand():
    table = table_of(frame())
    assert table["rule"].tolist() == [rule for rule in COURSES for _ in DEPTHS]
    assert table["depth"].tolist() == list(DEPTHS) * 3
    assert table["accuracy"].tolist() == pytest.approx(sum(COURSES.values(), ()))
    assert table["flops_ratio"].tolist() == [1.0] * 5 + [2.0] * 10
    assert set(table["n"]) == {3} and set(table["run"]) == {GONE}
    wide = depth_scan.wide(table)
    assert wide.columns[:4].tolist() == ["rule", "L", "test accuracy", "train accuracy"]
    last = wide.loc[(wide["rule"] == "dfa") & (wide["L"] == 12)].iloc[0]
    assert (last["test accuracy"], last["Γ"], last["ρ"]) == (".280 ± .010", "", "")
    assert (last["status of Γ"], last["valid reference"]) == ("reference_at_floor", "0 of 3")
    assert wide["Γ"].tolist()[5:9] == [".100 ± .000"] * 4
    assert depth_scan.seconds(table).to_dict("records")[1] == {
        "rule": "dfa",
        "L=2": "4 ± 0 (n=3)",
        "L=4": "8 ± 0 (n=3)",
        "L=6": "12 ± 0 (n=3)",
        "L=8": "16 ± 0 (n=3)",
        "L=12": "24 ± 0 (n=3)",
    }
    assert depth_scan.describe(frame()) == (
        "cifar10, d=512, L=2, 4, 6, 8, 12, all samples, 100 epochs in batches of 128, code eT, "
        f"estimator_layers 1; {GONE}"
    )


def test_reduced_scans_say_so():
    runs = frame({rule: course[:3] for rule, course in COURSES.items()}, epochs=10)
    text = depth_scan.describe(runs)
    label = f"{GONE}, without L=8, 12, 10 of 100 epochs"
    assert text.endswith(f"; {label}")
    assert set(table_of(runs)["run"]) == {label}


def test_what_is_expected():
    found = verdicts(frame())
    assert list(found) == [
        *((rule, "shape") for rule in COURSES),
        ("bp", "does not fall"),
        ("dfa", "uses depth"),
        ("credit_bridge", "uses depth"),
    ]
    outcome = {key: (v["status"], v["label"]) for key, v in found.items()}
    assert outcome == {
        ("bp", "shape"): ("pass", "rises"),
        ("dfa", "shape"): ("fail", "falls"),
        ("credit_bridge", "shape"): ("fail", "stays"),
        ("bp", "does not fall"): ("pass", "rises"),
        ("dfa", "uses depth"): ("fail", "falls"),
        ("credit_bridge", "uses depth"): ("pass", "stays"),
    }
    reason = found["dfa", "uses depth"]["reason"]
    assert ".350 .320 .310 .300 .280 over L=2,4,6,8,12, -7.0 points" in reason
    assert "with a step down at L=4 (-3.0), L=12 (-2.0)" in reason
    assert "n = 3 seeds" in reason
    assert reason.endswith("it does not use depth; bp rises (+3.0 points)")
    assert "with a step down at L=6 (-3.0)" in found["credit_bridge", "shape"]["reason"]


@pytest.mark.parametrize(
    ("last", "word"),
    [(0.35, "rises"), (0.349, "stays"), (0.311, "stays"), (0.31, "falls")],
)
def test_margin(last, word):
    courses = COURSES | {"credit_bridge": (0.33, 0.33, 0.33, 0.33, last)}
    assert verdicts(frame(courses))["credit_bridge", "shape"]["label"] == word


def test_depth_is_judged_only_where_bp_does_not_fall():
    found = verdicts(frame(COURSES | {"bp": (0.60, 0.59, 0.58, 0.58, 0.57)}))
    assert found["bp", "does not fall"]["status"] == "fail"
    assert found["dfa", "uses depth"]["label"] == "not applicable"
    assert found["dfa", "uses depth"]["status"] == "undefined"
    without = verdicts(frame({"dfa": COURSES["dfa"]}))
    assert "bp was not run" in without["dfa", "uses depth"]["reason"]
    assert without["dfa", "shape"]["label"] == "falls"


def test_verdicts_are_undefined_where_something_is_missing():
    runs = frame()
    here = (runs["rule"] == "dfa") & (runs["depth"] == 8)
    runs.loc[here & (runs["seed"] == 123), "status"] = "FAILED"
    runs.loc[(runs["rule"] == "credit_bridge") & (runs["depth"] == 2), "status"] = "RUNNING"
    found = verdicts(runs)
    assert "dfa at L=8 failed on seed 123" in found["dfa", "shape"]["reason"]
    reason = found["credit_bridge", "uses depth"]["reason"]
    assert "credit_bridge at L=2 has no finished run" in reason
    one = verdicts(runs.loc[runs["depth"] == 4])
    assert "bp was run at L=4 only" in one["bp", "shape"]["reason"]
    # seeds that a depth lacks do not count at the others
    runs = frame()
    gone = (runs["rule"] == "bp") & (runs["depth"] == 12) & (runs["seed"] == 456)
    runs.loc[gone, "status"] = "RUNNING"
    reason = verdicts(runs)["bp", "shape"]["reason"]
    assert ".575 .595 .605 .605 .605" in reason and "n = 2 seeds" in reason


def test_only_like_is_compared_with_like():
    mixed = pd.concat([frame(), frame({"dfa": (0.3,)}, lr=0.1)], ignore_index=True)
    with pytest.raises(CreditError, match="differ in lr"):
        depth_scan_checks.verdicts(mixed)


@pytest.mark.parametrize("width", [3.5, 7.0])
def test_figure(width, tmp_path):
    table = table_of(frame())
    figure = depth_scan_figure(table, "Depth scan", width)
    figure.savefig(tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == round(width * 200)
    accuracy, gamma = figure.axes
    for bars, course in zip(accuracy.containers, COURSES.values(), strict=True):
        drawn = np.asarray(bars[0].get_xydata())
        np.testing.assert_allclose(drawn[:, 1], course)
        np.testing.assert_allclose(drawn[:, 0], DEPTHS, atol=0.2)
    for bars, (rule, value) in zip(gamma.containers, GAMMAS.items(), strict=True):
        drawn = np.asarray(bars[0].get_ydata(), float)
        gap = math.nan if rule == "dfa" else value
        np.testing.assert_allclose(drawn, [value] * 4 + [gap])
    assert "where not drawn: dfa" in gamma.get_title(loc="left").replace("\n", " ")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(COURSES)
    assert_laid_out(figure)


def test_incomplete_scans_can_be_drawn():
    runs = frame({"bp": (0.5,)}).assign(status="RUNNING")
    table = table_of(runs)
    FigureCanvasAgg(depth_scan_figure(table, "title", 3.5)).draw()
    assert set(depth_scan.seconds(table)["L=2"]) == {""}
    with pytest.raises(CreditError, match="no rows"):
        depth_scan_figure(table.iloc[:0], "title")


@pytest.mark.slow
def test_published_and_shown_by_the_notebook(tracking_store):
    store = open_store()
    parent = open_parent(store, "depth scan", "depth_scan", {}, "hash")
    for rule in ("bp", "dfa"):
        for depth, accuracy in zip(DEPTHS[:2], COURSES[rule], strict=False):
            run_id = open_child(store, parent, spec_of(rule, 42, depth, epochs=20))
            for name, value in measured(accuracy, GAMMAS[rule], depth).items():
                store.client.log_metric(run_id, name, value, step=20)
            layers = list(range(depth + 1))
            stored = pd.DataFrame({"layer": layers, "status": "ok", "alignment_mean": GAMMAS[rule]})
            log_text(store, run_id, stored.to_csv(index=False), "diagnostics/layers.csv")
            finish(store, run_id)
    finish(store, parent)
    text = publish(store, parent)
    assert f"{GONE}, credit_bridge, without L=6, 8, 12, 20 of 100 epochs, 1 of 3 seeds" in text
    assert "dfa falls: .350 .320 over L=2,4, -3.0 points" in text
    reader = connect(tracking_store)
    stored = pd.read_csv(reader.artifact(parent, "table.csv"))
    assert stored["depth"].tolist() == [2, 4, 2, 4]
    assert pd.read_csv(reader.artifact(parent, "seconds.csv"))["L=4"].tolist() == ["2 (n=1)"] * 2
    found = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    assert [v["status"] for v in found if v["check"] == "uses depth"] == ["fail"]
    notebook = test_notebooks.execute("depth_scan", test_notebooks.ROOT)
    html = test_notebooks.shown(notebook, "text/html")
    assert "it does not use depth" in html and "2 (n=1)" in html
    output = test_notebooks.shown(notebook, "stdout")
    assert "REDUCED" in output and "torch loaded: False" in output
    assert test_notebooks.shown(notebook, "image/png").count("iVBOR") == 1


def test_notebook_is_short():
    test_notebooks.test_notebooks_are_short_and_ask_one_question("depth_scan")

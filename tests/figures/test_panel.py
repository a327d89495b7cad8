"""Panels drawn from runs made by hand: numbers, places, looks and axes of the artists."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from credit import figures
from credit.experiments.credit_scale import EXPERIMENT as CREDIT_SCALE
from credit.lab import Experiment, Factor, Panel, Quantity, Reported, Results, results
from credit.lab import quantities as q
from credit.lab.looks import style_of
from credit.tracking.exported import Export
from tests.lab.made import made

ACCURACY, GAMMA = q.ACCURACY.metric, q.GAMMA.metric
RUNS = (
    {"rule": "fa", "k": 0, ACCURACY: [0.30, 0.32, 0.37]},
    {"rule": "fa", "k": 4, ACCURACY: [0.40, 0.44]},
    {"rule": "bp", "k": 0, ACCURACY: 0.5},
    {"rule": "bp", "k": 4, ACCURACY: [0.6, 0.6, 0.6]},
)
K = Panel(q.ACCURACY, x="k", by=("rule",))
SD = np.std([0.30, 0.32, 0.37], ddof=1)


LADDER = (Factor("rule"), Factor("k", sign="k="))
SOURCE = Export(Path(__file__).parents[2] / "results/credit_scale")


def made_results(panels, runs=RUNS, factors=LADDER, **more) -> Results:
    parts = {"grid": lambda _: [], "columns": (), "checks": lambda _: (), "presets": {}}
    own = Experiment("k", "Title", "A question?", factors, figure=tuple(panels), **(parts | more))
    return results(own, made(*runs), SOURCE)


def drawn(panels, runs=RUNS, factors=LADDER, **more) -> Figure:
    found = figures.figure(made_results(panels, runs, factors, **more))
    assert found is not None
    found.draw_without_rendering()
    return found


def series(axes: Axes, color: str) -> list[Line2D]:
    """Return the lines of a colour that have points, in the order in which they were drawn."""
    lines = [line for line in axes.lines if line.get_color() == color]
    return [line for line in lines if line.get_marker() not in ("_", ".", "x")]


def xs(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xdata(), float)


def ys(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), float)


def bars(axes: Axes) -> list[np.ndarray]:
    """Return the ends of every error bar: x and y of both."""
    found = [segment for own in axes.collections for segment in own.get_segments()]
    return [one for one in map(np.asarray, found) if one.shape == (2, 2) and np.isfinite(one).all()]


def test_means_stand_at_their_place_and_bars_are_sample_sd_where_n_is_3():
    axes = drawn([K]).axes[0]
    fa, bp = (series(axes, style_of(rule).color)[0] for rule in ("fa", "bp"))
    np.testing.assert_allclose(ys(fa), [0.33, 0.42])
    np.testing.assert_allclose(ys(bp), [0.5, 0.6])
    apart = xs(fa) - xs(bp)
    assert apart == pytest.approx(apart[0]) and 0 < abs(apart[0]) < 0.1
    np.testing.assert_allclose(np.round(xs(fa)), [0, 1])
    (own, zero) = sorted(bars(axes), key=lambda one: one[0, 1])
    np.testing.assert_allclose(own[:, 1], [0.33 - SD, 0.33 + SD])
    np.testing.assert_allclose(zero[:, 1], [0.6, 0.6])
    assert own[0, 0] == xs(fa)[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "4"]


def test_two_seeds_are_two_dots_and_no_bar():
    axes = drawn([K]).axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [list(ys(one)) for one in dots] == [[0.40, 0.44]]
    assert all(one[0, 1] != pytest.approx(0.42, abs=0.03) for one in bars(axes))


def test_a_rule_has_one_look_and_its_variants_differ_by_dash_and_filling():
    axes = drawn([K]).axes[0]
    for rule in ("fa", "bp"):
        line = series(axes, style_of(rule).color)[0]
        assert line.get_marker() == style_of(rule).marker and line.get_fillstyle() == "full"
    arms = Factor("arm", {f"M{m}": {"field_directions": m} for m in (4, 8)})
    runs = [
        {"rule": "vector_field", "field_directions": m, "k": k, ACCURACY: 0.1 * m}
        for m in (4, 8)
        for k in (0, 4)
    ]
    panel = Panel(q.ACCURACY, x="k", by=("arm",))
    axes = drawn([panel], runs, (arms, Factor("k"))).axes[0]
    one, other = series(axes, style_of("vector_field").color)
    assert one.get_marker() == other.get_marker()
    assert one.get_linestyle() != other.get_linestyle()
    assert one.get_fillstyle() != other.get_fillstyle()


def test_names_on_the_axis_have_the_look_of_their_rule_and_are_not_joined():
    runs = [{"rule": rule, ACCURACY: 0.5} for rule in ("bp", "fa", "dfa")]
    figure = drawn([Panel(q.ACCURACY, x="rule")], runs, (Factor("rule"),))
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_xticklabels()]
    for place, rule in enumerate(names):
        line = series(axes, style_of(rule).color)[0]
        assert list(xs(line)) == [place] and line.get_linestyle() == "None"
    assert {text.get_text() for text in figure.legends[0].get_texts()} == set(names)


def test_reported_values_are_hollow_and_right_of_ours():
    known = Reported("others", q.ACCURACY, ("rule", "k"), {("fa", 4): (0.41, 0.02)})
    figure = drawn([K], reported=(known,))
    axes, color = figure.axes[0], style_of("fa").color
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    (theirs,) = hollow
    places = xs(theirs)[~np.isnan(ys(theirs))]
    ours = xs(series(axes, color)[0])
    assert theirs.get_color() == color and theirs.get_linestyle() == "None"
    assert ours[1] < places[0] < ours[1] + 0.4
    assert any(np.allclose(one[:, 1], [0.39, 0.43]) for one in bars(axes))
    assert "reported" in {text.get_text() for text in figure.legends[0].get_texts()}
    assert "others" in figures.caption(made_results([K], reported=(known,)))


def test_layers_stand_at_their_number_and_a_cross_where_the_direction_is_not_valid():
    raw = Quantity("raw", "raw/deep", "raw cosine", "valid or not")
    keys = {f"alignment/h{layer:02d}": [0.1 * layer] * 3 for layer in (0, 1, 3)}
    runs = [
        {"rule": "dfa", "depth": 3, "k": 3, **keys, "raw/h02": [-0.01, 0.0, 0.04], ACCURACY: 0.3}
    ]
    panel = Panel(q.GAMMA, x="layer", invalid=raw)
    axes = drawn([panel], runs, (Factor("rule"),)).axes[0]
    line = series(axes, style_of("dfa").color)[0]
    assert list(xs(line)) == [0, 1, 2, 3]
    np.testing.assert_allclose(ys(line), [0, 0.1, np.nan, 0.3])
    crosses = next(line for line in axes.lines if line.get_marker() == "x")
    np.testing.assert_allclose(ys(crosses), [np.nan, np.nan, 0.01, np.nan])


def test_facets_share_their_axis_and_a_reference_and_a_level_are_grey():
    runs = [
        {"rule": rule, "width": width, "k": k, ACCURACY: value, "copy/deep": 0.25}
        for rule, value in (("bp", 0.9), ("fa", 0.4))
        for width in (64, 128)
        for k in (0, 4)
    ]
    copy = replace(q.COPY, axis="")
    panel = Panel(
        q.ACCURACY, x="k", by=("rule",), across="width", beside=(copy,), levels={"chance": 0.1}
    )
    factors = (Factor("width", sign="d="), Factor("rule"), Factor("k"))
    left, right = drawn([panel], runs, factors).axes
    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[0] < 0.1
    assert [axes.get_title("left") for axes in (left, right)] == ["d=64", "d=128"]
    grey = [line for line in left.lines if len({*to_rgba(line.get_color())[:3]}) == 1]
    heights = {float(ys(line)[0]) for line in grey}
    assert {0.25, 0.1} <= heights
    assert not right.get_ylabel() and left.get_ylabel()


@pytest.mark.parametrize("value", [1.0, 0.25, 1e-9, 3e5])
def test_an_axis_of_one_value_has_ticks_that_differ(value: float):
    same = [value * (1 + 1e-7 * i) for i in (-1, 0, 1)]
    runs = [{"rule": "bp", "k": k, GAMMA: same, ACCURACY: 0.5} for k in (0, 4)]
    plain = replace(q.GAMMA, axis="")
    axes = drawn([Panel(plain, x="k", by=("rule",))], runs).axes[0]
    low, high = axes.get_ylim()
    assert low < value < high and high - low > 0.01 * value
    seen = [t for t in axes.yaxis.get_major_ticks() if low <= t.get_loc() <= high]
    texts = [tick.label1.get_text() for tick in seen]
    assert len(set(texts)) == len(texts) > 1


def test_logarithmic_axes_have_two_decades_named_and_no_place_for_zero():
    runs = [{"rule": "bp", "k": k, "growth/max": g, ACCURACY: 0.5} for k, g in ((0, 0.0), (4, 4.0))]
    axes = drawn([Panel(q.GROWTH, x="k", by=("rule",), scale="log")], runs).axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim() == (1, 10)
    heights = ys(series(axes, style_of("bp").color)[0])
    np.testing.assert_allclose(heights, [np.nan, 4.0])


def test_a_quantity_and_named_places_may_be_the_x_axis():
    runs = [
        {"rule": rule, ACCURACY: y, q.FLOPS.metric: x, "now/x": 0.2, "later/x": 0.1}
        for rule, x, y in (("bp", 4e9, 0.6), ("fa", 8e9, 0.4))
    ]
    places = {name: Quantity(name, f"{name}/x", name, name) for name in ("now", "later")}
    panels = [Panel(q.ACCURACY, x=q.FLOPS, by=("rule",)), Panel(q.GAMMA, x=places, by=("rule",))]
    left, right = drawn(panels, runs, (Factor("rule"),)).axes
    assert left.get_xscale() == "log"
    line = series(left, style_of("fa").color)[0]
    assert list(ys(line)) == [0.4] and line.get_linestyle() == "None"
    assert xs(line)[0] == pytest.approx(8e9, rel=0.25)
    assert [text.get_text() for text in right.get_xticklabels()] == ["now", "later"]
    line = series(right, style_of("fa").color)[0]
    assert list(ys(line)) == [0.2, 0.1] and line.get_linestyle() == "-"


def test_epochs_come_from_the_histories():
    runs = SOURCE.runs(SOURCE.parents("credit_scale")[0])
    found = results(CREDIT_SCALE, runs, SOURCE)
    panel = Panel(q.ACCURACY, x="epoch", where={"rule": "dfa", "eps": 0.0, "reduction": "mean"})
    figure = figures.figure(replace(found, experiment=replace(CREDIT_SCALE, figure=(panel,))))
    assert figure is not None
    line = series(figure.axes[0], style_of("dfa").color)[0]
    own = found.frame.at({"rule": "dfa", "eps": 0.0, "reduction": "mean"})
    logged = SOURCE.history(own["run_id"], [ACCURACY]).groupby("step")["value"].mean()
    assert list(xs(line)) == logged.index.tolist()
    np.testing.assert_allclose(ys(line), logged.to_numpy())


def test_many_variants_of_a_rule_are_shades_and_nothing_drawn_is_none():
    runs = [
        {"rule": "fa", "k": k, "depth": 5, "width": w, ACCURACY: 0.1 * k}
        for k in range(6)
        for w in (8, 16)
    ]
    panel = Panel(q.ACCURACY, x="width", by=("k",))
    axes = drawn([panel], runs, (Factor("k"), Factor("width"))).axes[0]
    colors = [to_rgba(line.get_color()) for line in axes.lines if len(line.get_xdata()) == 2]
    light = [sum(color[:3]) for color in colors if color[0] != color[1]]
    assert len(set(light)) == 6 and light == sorted(light)
    failed = [{"rule": "fa", "k": 0, "status": "FAILED", ACCURACY: 0.1}]
    assert figures.figure(made_results([K], failed)) is None
    empty = made_results([Panel(q.RHO, x="k", by=("rule",))])
    assert figures.figure(empty) is None and figures.figure(made_results([])) is None


def test_a_factor_that_x_says_already_makes_no_series_and_one_left_open_does():
    name = Factor("name", of=lambda run: f"k={run['k']}" if run["depth"] == 4 else "shallow")
    runs = [{"rule": "fa", "k": k, ACCURACY: 0.1 * k} for k in (0, 2, 4)]
    runs.append({"rule": "fa", "k": 2, "depth": 2, ACCURACY: 0.9})
    some = Panel(q.ACCURACY, x="k", where={"name": lambda label: label.startswith("k=")})
    axes = drawn([some], runs, (Factor("k"), name)).axes[0]
    (line,) = series(axes, style_of("fa").color)
    np.testing.assert_allclose(ys(line), [0, 0.2, 0.4])
    axes = drawn([replace(some, where={})], runs, (Factor("k"), name)).axes[0]
    assert len(series(axes, style_of("fa").color)) == 4

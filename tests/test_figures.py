"""Figures as a reader sees them: colours told apart, words that fit, what is drawn said."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib import colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from benchmarks import figures as docs
from benchmarks import scaling_figure, soak_figure
from credit import rules
from credit.analysis import (
    boundary,
    controls,
    credit_scale,
    drawing,
    frozen,
    nonlinearity,
    online,
    online_staleness,
    selection,
    toy_lq,
    vector_audit,
)
from credit.analysis.boundary_figure import boundary_figure
from credit.analysis.comparison_figure import comparison_figure
from credit.analysis.controls_figure import controls_figure
from credit.analysis.credit_scale_figure import credit_scale_figure
from credit.analysis.depth_scan_figure import depth_scan_figure
from credit.analysis.frozen_figure import frozen_figure
from credit.analysis.nonlinearity_figure import nonlinearity_figure
from credit.analysis.online_figure import online_figure
from credit.analysis.page import COLUMN, WIDE, fitted, footnote_of, wrapped
from credit.analysis.story_figure import story_figure
from credit.analysis.toy_lq_figure import toy_lq_figure
from credit.analysis.vector_audit_figure import vector_figure
from credit.figure_files import save
from credit.tracking.reader import connect
from credit.tracking.writer import log_figure, open_parent, open_store
from tests import (
    test_analysis,
    test_boundary,
    test_comparison,
    test_credit_scale,
    test_depth_scan,
    test_frozen_recovery,
    test_matched_controls,
    test_nonlinearity,
    test_online_scan,
    test_story,
    test_toy_lq,
    test_vector_audit,
)

ROOT = Path(__file__).parent.parent
MINE = "examples.sign_symmetric:SignSymmetric"
SETTINGS = "cifar10, d=256, L=4, 20000 samples, 10 epochs (1570 steps of 128), code eT; REDUCED"

# ------------------------------------------------------------------ colours

SIGHT = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
"""What is left of linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.0."""
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Linear sRGB to CIE XYZ, D65."""


def lab(color: str, sight: str = "all cones") -> np.ndarray:
    """CIELAB (L* 0 to 100) of a colour as it is seen."""
    rgb = np.array(colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(SIGHT[sight] @ linear, 0, 1) / XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(sight: str) -> dict[tuple[str, str], float]:
    """Distance of each two rules' colours: 2.3 is just noticed side by side."""
    seen = {rule: lab(style.color, sight) for rule, style in drawing.STYLES.items()}
    pairs = itertools.combinations(seen, 2)
    return {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in pairs}


def test_lab_of_known_colours():
    np.testing.assert_allclose(lab("#FFFFFF"), [100, 0, 0], atol=0.01)
    np.testing.assert_allclose(lab("#FF0000"), [53.24, 80.09, 67.20], atol=0.02)
    np.testing.assert_allclose(lab("#0000FF"), [32.30, 79.19, -107.86], atol=0.02)
    for sight in SIGHT:  # no kind of sight sees a hue in grey
        np.testing.assert_allclose(lab("#808080", sight), lab("#808080"), atol=0.1)


@pytest.mark.parametrize("sight", list(SIGHT))
def test_colours_of_rules_are_told_apart(sight):
    near = {pair: round(d, 1) for pair, d in apart(sight).items() if d < 15}
    assert near == {}


def test_colours_of_rules_are_told_apart_in_grey_and_from_the_paper():
    light = {rule: float(lab(style.color)[0]) for rule, style in drawing.STYLES.items()}
    ordered = sorted(light.values())
    assert min(b - a for a, b in itertools.pairwise(ordered)) > 7, light
    assert ordered[-1] < 76, light  # white is 100


def test_every_rule_has_a_look_of_its_own():
    known = {*rules.available(), *selection.ORDER}
    looks = {rule: drawing.style_of(rule) for rule in known}
    assert len({style.color for style in looks.values()}) == len(looks)
    assert len({style.marker for style in looks.values()}) == len(looks)
    assert set(selection.ORDER) == set(drawing.STYLES)
    for style in drawing.SERIES:  # what is no rule is grey, with other markers
        assert np.ptp(colors.to_rgb(style.color)) == 0
        assert style.marker not in {other.marker for other in looks.values()}


def test_a_rule_of_another_package_has_a_look_that_stays():
    style = drawing.style_of(MINE)
    assert style == drawing.style_of(MINE) == drawing.Style(*LOOK_OF_MINE)
    assert drawing.label_of(MINE) == "SignSymmetric"
    assert drawing.label_of("some.package:ARuleWithALongName") == "ARuleWithALongN…"
    many = {drawing.style_of(f"package.rules:Rule{i}") for i in range(200)}
    assert len(many) == 20
    taken = {*drawing.STYLES.values(), *drawing.SERIES}
    for other in many:
        assert other.color not in {one.color for one in taken}
        assert other.marker not in {one.marker for one in taken}


LOOK_OF_MINE = ("#666600", "h")


def test_colours_stand_in_one_place():
    files = [*(ROOT / "credit").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    places = {"drawing.py", "story_tables.py"}  # rules and marks; the words for a status
    for path in files:
        if "report" not in path.parts and path.name not in places:  # a report's page has its own
            assert not re.search(r"[\"']#[0-9a-fA-F]{6}[\"']", path.read_text()), path


# ------------------------------------------------------------------ figures


def drawings() -> dict:
    """Every kind of figure, as a function of its width; settings as long as real ones."""
    made = dict(test_analysis.drawings())
    boundaries = boundary.boundary(test_boundary.frame(test_boundary.EXPECTED))
    compared = test_comparison.tables_of(test_comparison.frame())
    controlled = controls.controls(test_matched_controls.frame())
    scaled = credit_scale.credit_scale(test_credit_scale.frame())
    epochs = credit_scale.medians(test_credit_scale.epochs_of(test_credit_scale.frame()))
    scanned = test_depth_scan.table_of(test_depth_scan.frame())
    still = test_frozen_recovery.frame()
    several = test_frozen_recovery.frame(networks=((256, 4), (256, 6), (512, 4)))
    bent = nonlinearity.table(test_nonlinearity.ladder())
    onlines = test_online_scan.frame()
    leads, stale = online.table(onlines), online_staleness.staleness(onlines)
    layers = toy_lq.layers(test_toy_lq.frame())
    vectors = vector_audit.vector_table(test_vector_audit.frame())
    raw = max((ROOT / "benchmarks" / "results").glob("scaling_*.json"))
    scaling = json.loads(raw.read_text())

    def named(name: str) -> str:
        return f"{name}: {SETTINGS}"

    return made | {
        "boundary": lambda w: boundary_figure(boundaries, named("Boundary ablation"), w),
        "comparison": lambda w: comparison_figure(*compared, named("Method comparison"), w),
        "controls": lambda w: controls_figure(controlled, named("Matched controls"), w),
        "credit_scale": lambda w: credit_scale_figure(scaled, epochs, named("Credit scale"), w),
        "depth_scan": lambda w: depth_scan_figure(scanned, named("Depth scan"), w),
        "frozen": lambda w: frozen_figure(
            frozen.table(still), frozen.layers(still), named("Frozen recovery"), w
        ),
        "frozen, several": lambda w: frozen_figure(
            frozen.table(several), frozen.layers(several), named("Frozen recovery"), w
        ),
        "nonlinearity": lambda w: nonlinearity_figure(bent, named("Nonlinearity ladder"), w),
        "online": lambda w: online_figure(leads, stale, named("Online conditioning scan"), w),
        "toy_lq": lambda w: toy_lq_figure(layers, named("Toy LQ"), w),
        "vector": lambda w: vector_figure(vectors, named("Vector audit"), w),
        "story": lambda w: story_figure(test_story.every_chapter(), "When does credit work?", w),
        "scaling": lambda w: scaling_figure.draw(scaling, w),
        "soak": lambda w: soak_figure.draw(SOAKED, w),
    }


SOAKED = {
    "watched": "python -m entrypoints.ladder --seeds 42",
    "hardware": "2 cores, AMD EPYC",
    "date": "2026-11-23",
    "memory": {"warm_up_minutes": 2.0, "slope_mb_per_hour": -3.2, "median_mb": 900.0},
    "pace": {"drift": 0.012, "n": 18},
    "samples": [{"seconds": 60.0 * i, "rss_mb": 900.0 + i % 3} for i in range(12)],
    "epochs": [
        {"stack": i % 3, "minutes": 1.0 * i, "seconds": 20.0 + 3 * (i % 3)} for i in range(12)
    ],
}
NAMES = (
    *("ladder", "direction", "curves", "boundary", "comparison", "controls", "credit_scale"),
    *("depth_scan", "frozen", "frozen, several", "nonlinearity", "online", "toy_lq", "vector"),
    *("story", "scaling", "soak"),
)
SMALLEST = {"story": 6.0}
"""Points; 7 in every other figure."""


@pytest.fixture(scope="module")
def drawn():
    """A figure by name and width, each drawn once, at 100 dots per inch."""
    functions, found = drawings(), {}
    assert set(functions) == set(NAMES)

    def get(name: str, width: float) -> Figure:
        if (name, width) not in found:
            figure = functions[name](width)
            figure.set_dpi(100)
            FigureCanvasAgg(figure).draw()
            found[name, width] = figure
        return found[name, width]

    return get


def words_of(figure: Figure) -> list[Text]:
    """The texts that are on the page."""
    unseen = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axes.axison:
                unseen |= set(axis.findobj(Text))
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    unseen |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text not in unseen]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def ink_of(figure: Figure, text: Text) -> tuple[tuple[slice, slice], np.ndarray]:
    """Rows and columns of a text, and which pixels there it covers, with one around each."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()
    buffer, box = np.asarray(renderer.buffer_rgba()), text.get_window_extent()
    tall = buffer.shape[0]
    rows = slice(max(0, int(tall - box.y1) - 3), max(0, int(tall - box.y0) + 4))
    place = rows, slice(max(0, int(box.x0) - 3), max(0, int(box.x1) + 4))
    buffer[place] = 0
    text.draw(renderer)
    ink = buffer[place][..., 3] > 60
    for axis in (0, 1):
        ink = ink | np.roll(ink, 1, axis) | np.roll(ink, -1, axis)
    return place, ink


every = pytest.mark.parametrize("name", NAMES)
widths = pytest.mark.parametrize("width", [COLUMN, pytest.param(WIDE, marks=pytest.mark.slow)])


@every
@widths
def test_no_text_overlaps_another_or_a_panel_or_leaves_the_page(name, width, drawn):
    figure = drawn(name, width)
    page, texts = figure.bbox, words_of(figure)
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    shape = np.asarray(canvas.buffer_rgba()).shape[:2]
    owner, panels = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
    for number, axes in enumerate(figure.axes, start=1):
        frame = axes.get_window_extent()
        rows = slice(int(shape[0] - frame.y1) + 2, int(shape[0] - frame.y0) - 2)
        panels[rows, int(frame.x0) + 2 : int(frame.x1) - 2] = number
    for number, text in enumerate(texts, start=1):
        label, box = repr(text.get_text()), text.get_window_extent()
        assert box.x0 >= -0.5 and box.y0 >= -0.5, f"{label} is cut off"
        assert box.x1 <= page.x1 + 0.5 and box.y1 <= page.y1 + 0.5, f"{label} is cut off"
        place, ink = ink_of(figure, text)
        here = owner[place]  # which text covers a pixel so far
        hit = set(here[ink].tolist()) - {0}
        assert not hit, f"{label} overlaps {[texts[i - 1].get_text() for i in hit]}"
        here[ink] = number
        inside = text.axes is not None and text in text.axes.texts
        own = {0, figure.axes.index(text.axes) + 1} if inside else {0}
        assert set(panels[place][ink].tolist()) <= own, f"{label} lies on a panel"


@every
@widths
def test_sizes_as_printed(name, width, drawn):
    figure = drawn(name, width)
    assert figure.get_figwidth() == pytest.approx(width)
    assert figure.get_figheight() < (9.5 if name != "story" else 60)  # a page's
    small = [
        t.get_text() for t in words_of(figure) if float(t.get_fontsize()) < SMALLEST.get(name, 7)
    ]
    assert small == []
    for axes in figure.axes:
        box = axes.get_window_extent()
        inches = box.width / figure.dpi, box.height / figure.dpi
        assert min(inches) > (0.15 if name == "story" else 0.6), (axes.get_title("left"), inches)


@every
@widths
def test_every_figure_says_what_its_bars_are_and_n(name, width, drawn):
    figure = drawn(name, width)
    said = " ".join(" ".join(t.get_text() for t in words_of(figure)).split())
    assert re.search(r"error bar: ± sample sd|sample sd \(error bars\)|no error bars", said)
    assert re.search(r"\bn = \d", said) or name in ("curves", "soak"), said
    if name != "story":
        assert "\n" not in figure.get_suptitle()
        note = footnote_of(figure)
        assert re.search(r"sample sd \(error bars\)|no error bars", note), note
        if SETTINGS.split(",")[0] in note:
            assert SETTINGS in note or "100 epochs" in note


@every
@widths
def test_marks_are_the_rules_and_hollow_ones_are_reported(name, width, drawn):
    figure = drawn(name, width)
    markers = {style.color: style.marker for style in drawing.STYLES.values()}
    hollow = 0
    for axes in figure.axes:
        for line in axes.lines:
            marker = line.get_marker()
            if not len(np.asarray(line.get_xdata())) or marker in ("None", "", "x", "|", "_"):
                continue
            if name != "story" and isinstance(color := line.get_color(), str) and color in markers:
                assert marker == markers[color]
            if line.get_markerfacecolor() == "white":
                hollow += 1
                assert line.get_linestyle() == "None"
        assert axes.get_legend() is None
    note = footnote_of(figure)
    assert bool(hollow) == ("hollow: reported by" in note or "hollow: measured by" in note)
    box = figure.legends[0].get_window_extent()
    assert not any(box.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_lines_are_as_long_as_they_may_be():
    text = "mean ± sample sd (error bars) over n = 3 seeds " + "x" * 100
    lines = wrapped(text, 1.5, 7).split("\n")
    assert len(lines) > 3 and "".join(lines).replace(" ", "") == text.replace(" ", "")
    figure = Figure((1.5, 1.5), dpi=200)
    FigureCanvasAgg(figure)
    drawn = figure.text(0, 0.5, "\n".join(lines), fontsize=7)
    assert 0.85 < drawn.get_window_extent().width / 200 / 1.5 <= 1
    assert wrapped("", 1, 7) == "" and fitted("two words", 3, 7) == "two words"
    assert fitted(text, 1.5, 7) == "mean ± sample sd (error …"
    two = fitted("one two three four five six", 0.6, 7, lines=2).split("\n")
    assert len(two) == 2 and two[0] == "one two" and two[1].endswith(" …")


# ------------------------------------------------------------------ files


def test_files_are_the_same_each_time_and_embed_their_letters(tmp_path):
    draw = test_analysis.drawings()["ladder"]
    first = save(draw(COLUMN), tmp_path / "first")
    second = save(draw(COLUMN), tmp_path / "second")
    assert [path.suffix for path in first] == [".png", ".svg", ".pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.suffix
    assert "<text" not in first[1].read_text()  # outlines: no font is asked for
    pdf = first[2].read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType


def test_a_parent_run_has_its_figure_in_three_formats(tracking_store):
    store = open_store()
    parent = open_parent(store, "ladder", "ladder", {}, "hash")
    log_figure(store, parent, test_analysis.drawings()["ladder"](COLUMN), "deep/figure")
    reader = connect(tracking_store)
    heads = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    for kind, head in heads.items():
        assert reader.artifact(parent, f"deep/figure.{kind}").read_bytes().startswith(head)


def test_figures_of_the_documents_are_small_and_known():
    results = {path.parent.name for path in (ROOT / "results").glob("*/runs.json")}
    known = {docs.SCALING, *(docs.NAMES.get(kind, kind) for kind in results)}
    for path in (ROOT / "docs").glob("*.png"):
        assert path.stat().st_size < docs.LARGEST_BYTES
        assert path.stem in known
        assert matplotlib.image.imread(path).shape[1] == 1400


def test_an_unknown_figure_is_named():
    command = [sys.executable, "-m", "benchmarks.figures", "--only", "ladders"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "'ladders'" in done.stderr and "ladder" in done.stderr


@pytest.mark.slow
def test_documents_figures_come_from_the_exports(tmp_path):
    command = [sys.executable, "-m", "benchmarks.figures", "--folder", str(tmp_path)]
    done = subprocess.run(
        [*command, "--only", "direction_quality,scaling"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name in ("direction", "scaling"):
        assert matplotlib.image.imread(tmp_path / f"{name}.png").shape[1] == 1400

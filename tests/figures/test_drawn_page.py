"""Every figure of `results/` as a reader sees it: words that fit, sizes in print, legend, files."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from credit import experiments, figures
from credit.figures import page
from credit.lab import results
from credit.lab.looks import style_of
from credit.rules import available
from credit.tracking.exported import Export

FOLDER = Path(__file__).parents[2] / "results"
FOUND = sorted(path.parent.name for path in FOLDER.glob("*/runs.json"))
KINDS = [kind for kind in FOUND if kind in experiments.KINDS and experiments.find(kind).figure]


@pytest.fixture(scope="module", params=KINDS)
def figure(request) -> Figure:
    export = Export(FOLDER / request.param)
    own = experiments.find(request.param)
    found = figures.figure(results(own, export.runs(export.parents(request.param)[0]), export))
    assert found is not None
    found.set_dpi(100)
    FigureCanvasAgg(found).draw()
    return found


def words(figure: Figure) -> list[Text]:
    unseen = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    unseen |= {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if text not in unseen]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def ink(figure: Figure, text: Text) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return rows and columns of a text, and which pixels there it covers, with one around each."""
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    buffer, box = np.asarray(renderer.buffer_rgba()), text.get_window_extent()
    tall = buffer.shape[0]
    rows = slice(max(0, int(tall - box.y1) - 3), max(0, int(tall - box.y0) + 4))
    place = rows, slice(max(0, int(box.x0) - 3), max(0, int(box.x1) + 4))
    buffer[place] = 0
    text.draw(renderer)
    found = buffer[place][..., 3] > 60
    for axis in (0, 1):
        found = found | np.roll(found, 1, axis) | np.roll(found, -1, axis)
    return place, found


def test_no_text_overlaps_another_or_a_panel_or_leaves_the_page(figure):
    shape = np.asarray(figure.canvas.buffer_rgba()).shape[:2]
    owner, panels = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
    for axes in figure.axes:
        frame = axes.get_window_extent()
        rows = slice(int(shape[0] - frame.y1) + 2, int(shape[0] - frame.y0) - 2)
        panels[rows, int(frame.x0) + 2 : int(frame.x1) - 2] = 1
    texts = words(figure)
    for number, text in enumerate(texts, start=1):
        label, box = repr(text.get_text()), text.get_window_extent()
        assert box.x0 >= -0.5 and box.y0 >= -0.5, f"{label} is cut off"
        assert box.x1 <= figure.bbox.x1 + 0.5 and box.y1 <= figure.bbox.y1 + 0.5, label
        place, covered = ink(figure, text)
        hit = set(owner[place][covered].tolist()) - {0}
        assert not hit, f"{label} overlaps {[texts[i - 1].get_text() for i in hit]}"
        owner[place][covered] = number
        assert not panels[place][covered].any(), f"{label} lies on a panel"


def test_sizes_as_printed(figure):
    assert figure.get_figwidth() == page.WIDTH and figure.get_figheight() < 9.5
    assert min(float(text.get_fontsize()) for text in words(figure)) >= 7
    for axes in figure.axes:
        box = axes.get_window_extent()
        assert min(box.width, box.height) / figure.dpi > 0.9, axes.get_title("left")


def test_the_legend_is_on_the_page_and_covers_no_panel(figure):
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
    for axes in figure.axes:
        own = axes.get_tightbbox()
        assert own is not None and not box.overlaps(own)
        assert own.x0 >= -1 and own.x1 <= figure.bbox.x1 + 1
        assert axes.get_legend() is None
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(set(labels)) == len(labels)


def test_marks_are_those_of_their_rule_and_hollow_ones_are_reported(figure):
    markers = {style_of(rule).color: style_of(rule).marker for rule in available()}
    hollow = False
    for axes in figure.axes:
        for line in axes.lines:
            if line.get_marker() in ("None", "", "x", "_", "."):
                continue
            if isinstance(color := line.get_color(), str) and color in markers:
                assert line.get_marker() == markers[color]
            if line.get_markerfacecolor() == "white":
                hollow = True
                assert line.get_linestyle() == "None"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert hollow == ("reported" in labels)


def test_every_point_is_inside_its_panel(figure):
    for axes in figure.axes:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        for line in axes.lines:
            if line.get_transform() != axes.transData:
                continue  # a level
            x, y = (np.asarray(v, float) for v in line.get_data())
            seen = np.isfinite(x) & np.isfinite(y)
            assert ((left <= x) & (x <= right) & (low <= y) & (y <= high))[seen].all()


def test_files_are_the_same_each_time_and_embed_their_letters(tmp_path):
    def drawn() -> Figure:
        found, ((axes,),) = page.page("A question?", [1])
        axes.plot([0, 1], [0, 1])
        page.finish(found, [], "n = 1 seed, no error bars")
        return found

    first = figures.save(drawn(), tmp_path / "first")
    second = figures.save(drawn(), tmp_path / "second")
    assert [path.suffix for path in first] == [".png", ".svg", ".pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.suffix
    assert "<text" not in first[1].read_text()  # outlines: no font is asked for
    pdf = first[2].read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType

"""A figure's page: panels in rows, a shared legend and a footnote, at 7 inches; and its files.

The size is that of print: 178 mm are both columns of a page. PNG is to look at, SVG and PDF to
print: SVG has letters as outlines, so that it looks the same where the font is missing; PDF has
them as text in an embedded TrueType font, so that they can be searched and edited.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.textpath import text_to_path

from credit.figures.style import GREY, SMALL, TEXT, TITLE

WIDTH = 7.0
"""Inches."""
DPI = 200
PER_ROW = 4
FOOTNOTE = "footnote"
"""The id of a figure's footnote, in SVG, too."""
_EDGE = 0.06  # inches
_SPACING = 1.2  # of lines
FORMATS = ("png", "svg", "pdf")
_SETTINGS: dict[Any, Any] = {"svg.fonttype": "path", "svg.hashsalt": "credit", "pdf.fonttype": 42}
_UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_HEIGHT = {1: 3.4, 2: 2.9, 3: 2.9, 4: 2.6}
"""Inches of a single row, by the panels in it."""


def page(title: str, rows: Sequence[int]) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and its axes, by the panels of each row; `finish` completes it."""
    one = _HEIGHT[rows[0]] if len(rows) == 1 else {2: 2.4, 3: 1.75}.get(len(rows), 1.5)
    height = one * len(rows)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # measures texts; without one, each measure would make its own
    figure.suptitle(wrapped(title, WIDTH - 2 * _EDGE, TITLE), fontsize=TITLE, parse_math=False)
    span = math.lcm(*rows)
    grid = figure.add_gridspec(len(rows), span)
    return figure, [
        [figure.add_subplot(grid[y, span // n * x : span // n * (x + 1)]) for x in range(n)]
        for y, n in enumerate(rows)
    ]


def say(axes: Axes, text: str) -> None:
    """Write above a panel what is drawn, in small grey letters; `finish` wraps it."""
    axes.set_title(text, fontsize=SMALL, loc="left", color=GREY, parse_math=False)


def finish(figure: Figure, handles: Sequence[Artist], footnote: str) -> None:
    """Put legend and footnote below the panels, and wrap titles to their panel's width."""
    legend, text = _legend(figure, handles), wrapped(footnote, WIDTH - 2 * _EDGE, SMALL)
    foot = (text.count("\n") + 1) * _SPACING * SMALL / 72
    below = foot + (legend.get_window_extent().height / figure.dpi if legend else 0) + _EDGE
    whole = figure.get_figheight() + below
    figure.set_size_inches(WIDTH, whole)
    look: dict[str, Any] = {"fontsize": SMALL, "color": GREY, "linespacing": _SPACING}
    look |= {"va": "bottom", "parse_math": False, "gid": FOOTNOTE}
    figure.text(_EDGE / WIDTH, _EDGE / 2 / whole, text, **look)
    if legend:
        legend.set_bbox_to_anchor((0.5, foot / whole), figure.transFigure)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, below / whole, 1, 1 - below / whole))
    titles = {axes: axes.get_title(loc="left") for axes in figure.axes}
    for axes in titles:
        say(axes, "")
    figure.draw_without_rendering()  # places the panels, whose width is then known
    for axes, words in titles.items():
        say(axes, wrapped(words, axes.get_window_extent().width / figure.dpi, SMALL))


def wrapped(text: str, inches: float, size: float) -> str:
    """Return a text in lines of at most so many inches at a size in points."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and _inches(longer, size) > inches:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def one_line(notes: Sequence[str]) -> str:
    """Return the first of some notes, as many as fit one line of a footnote; "…" is for the rest.

    The last one is cut between its parts.
    """
    shown, *rest = notes
    for note in rest:
        parts = note.split(", ")
        while parts and _inches(f"{shown}; {', '.join(parts)}; …", SMALL) > WIDTH - 2 * _EDGE:
            parts.pop()
        if ", ".join(parts) != note:
            return "; ".join([shown, ", ".join([*parts, "…"])])
        shown = f"{shown}; {note}"
    return shown


@functools.lru_cache(4096)
def _inches(text: str, size: float) -> float:
    """Return the widest that a line becomes: on few pixels letters are wider than outlines."""
    font = FontProperties(size=size)
    return 1.05 * text_to_path.get_text_width_height_descent(text, font, False)[0] / 72


def _legend(figure: Figure, handles: Sequence[Artist]) -> Legend | None:
    """Return a legend at the bottom of the page, in the fewest rows that fit."""
    shown: dict[str, Any] = {"fontsize": TEXT, "frameon": False, "numpoints": 1}
    shown |= {"loc": "lower center", "columnspacing": 1.5, "borderpad": 0.3}
    for rows in range(1, len(handles) + 1):
        legend = figure.legend(handles=handles, ncols=-(-len(handles) // rows), **shown)
        if legend.get_window_extent().width <= 0.92 * figure.bbox.width or rows == len(handles):
            return legend
        legend.remove()
    return None


def save(figure: Figure, path: Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Save a figure as `path`, which has no suffix, in each format; returns the files.

    The same figure gives the same bytes whenever it is saved.
    """
    files = [path.with_name(f"{path.name}.{kind}") for kind in formats]
    with rc_context(_SETTINGS):
        for file in files:
            figure.savefig(file, metadata=_UNDATED.get(file.suffix[1:]))
    return files

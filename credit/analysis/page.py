"""A figure's page: sizes in which print takes it, panels, and what stands around them.

The title is short. Below the panels stand the legend and a footnote: settings, what error bars are,
and n. `new_figure` begins a figure and `finish` ends it.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.textpath import text_to_path

from credit.analysis.drawing import GREY

WIDE, COLUMN = 7.0, 3.3
"""Inches: both columns of a printed page (178 mm), and one of them (84 mm)."""
NARROW = 5.0
"""Below this, panels are stacked."""
TITLE, TEXT, SMALL = 9, 8, 7
"""Points in print: a figure is drawn at the size it is shown at."""
DPI = 200
FOOTNOTE = "footnote"
"""The id of a figure's footnote, in SVG, too."""
_EDGE = 0.06  # inches
_SPACING = 1.2  # of lines


def new_figure(
    title: str,
    width: float,
    height: float,
    panels: int = 1,
    per_row: int = 0,
    sharey: Literal["all", "row", "col", "none"] = "none",
) -> tuple[Figure, list[Axes]]:
    """An empty figure and its panels; `finish` completes it.

    Args:
        width, height: in inches, without legend and footnote.
        per_row: panels beside each other; 0 puts all of them in one row, or below each other in a
            narrow figure.
    """
    columns = per_row or (panels if width > NARROW else 1)
    figure = titled_figure(title, width, height)
    grid = figure.subplots(-(-panels // columns), columns, squeeze=False, sharey=sharey)
    every = list(grid.flat)
    for axes in every[panels:]:
        axes.remove()
    return figure, [tidy(axes) for axes in every[:panels]]


def titled_figure(title: str, width: float, height: float) -> Figure:
    """A figure without panels; of "name: settings" the name is its title, the rest a footnote."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)  # measures texts; without one, each measure would make its own
    name = title.partition(": ")[0]
    figure.suptitle(wrapped(name, width - 2 * _EDGE, TITLE), fontsize=TITLE, parse_math=False)
    return figure


def tidy(axes: Axes) -> Axes:
    """The panel, without its upper and right frame, with a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    return axes


def name_ticks(axes: Axes, names: Sequence[str], slanted: bool = True) -> None:
    """Names at 0, 1, 2 … of the x axis, with room at both ends."""
    slant: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, fontsize=TEXT, **(slant if slanted else {}))
    axes.set_xlim(-0.6, max(len(names), 1) - 0.4)


def caption(axes: Axes, text: str) -> None:
    """Say above a panel what is drawn, in small grey letters; `finish` wraps it."""
    axes.set_title(text, fontsize=SMALL, loc="left", color=GREY, parse_math=False)


def edge_note(axes: Axes, text: str, y: float) -> None:
    """Name a height, right of a panel."""
    axes.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(2, 0),
        textcoords="offset points",
        va="center",
        fontsize=SMALL,
        color=GREY,
    )


def say(axes: Axes, words: str) -> None:
    """Why a panel is empty, in its middle."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", color=GREY, fontsize=SMALL)


def zero_line(axes: Axes, height: float = 0, linestyle: str = "-") -> None:
    """A thin line across a panel, behind what is drawn."""
    axes.axhline(height, color=GREY, linewidth=0.6, linestyle=linestyle, zorder=1)


def footnote_of(figure: Figure) -> str:
    """A figure's footnote, in one line."""
    found = [text.get_text() for text in figure.texts if text.get_gid() == FOOTNOTE]
    return " ".join(" ".join(found).split())


def finish(figure: Figure, handles: Iterable[Artist], title: str, *notes: str) -> None:
    """Legend and footnote below the panels, and captions wrapped to their width. Call it last.

    Args:
        title: as of `new_figure`; what follows its first colon begins the footnote.
        notes: the rest of the footnote, in sentences; empty ones are left out.
    """
    width, height = figure.get_size_inches()
    legend = legend_below(figure, list(handles), TEXT if width > NARROW else SMALL)
    parts = [title.partition(": ")[2], "; ".join(filter(None, notes))]
    text = "\n".join(wrapped(part, width - 2 * _EDGE, SMALL) for part in parts if part)
    foot = (text.count("\n") + 1) * _SPACING * SMALL / 72 if text else 0
    below = foot + (legend.get_window_extent().height / figure.dpi if legend else 0) + _EDGE
    whole = height + below
    figure.set_size_inches(width, whole)
    figure.text(
        _EDGE / width,
        _EDGE / 2 / whole,
        text,
        fontsize=SMALL,
        color=GREY,
        linespacing=_SPACING,
        va="bottom",
        parse_math=False,
        gid=FOOTNOTE,
    )
    if legend:
        legend.set_bbox_to_anchor((0.5, foot / whole), figure.transFigure)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, below / whole, 1, 1 - below / whole))
    captions = {axes: axes.get_title(loc="left") for axes in figure.axes}
    for axes in captions:
        caption(axes, "")
    figure.draw_without_rendering()  # places the panels, whose width is then known
    for axes, words in captions.items():
        caption(axes, wrapped(words, axes.get_window_extent().width / figure.dpi, SMALL))


def wrapped(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """`text` in lines of at most so many inches at a size in points; longer words are broken."""

    def fits(line: str) -> bool:
        return _inches(line, size, weight) <= inches

    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".lstrip()
        if fits(longer):
            line = longer
            continue
        lines += [line] * bool(line)
        while not fits(word) and len(word) > 1:
            fit = max(1, sum(fits(word[: n + 1]) for n in range(len(word))))
            lines.append(word[:fit])
            word = word[fit:]
        line = word
    return "\n".join([*lines, line])


def fitted(text: str, inches: float, size: float, weight: str = "normal", lines: int = 1) -> str:
    """`text` in few lines of at most so many inches, its end left out if need be."""
    found = wrapped(text, inches, size, weight).split("\n")
    if len(found) <= lines:
        return "\n".join(found)
    rest = " ".join(found[lines - 1 :])
    last = wrapped(rest, inches - _inches(" …", size, weight), size, weight).split("\n")[0]
    return "\n".join([*found[: lines - 1], f"{last} …"])


@functools.lru_cache(4096)
def _inches(text: str, size: float, weight: str) -> float:
    """The widest that a line becomes: hinted letters on few pixels are wider than outlines."""
    font = FontProperties(size=size, weight=weight)
    outlines, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    drawn = (
        RendererAgg(1, 1, dpi).get_text_width_height_descent(text, font, False)[0] / dpi
        for dpi in (100, DPI)
    )
    return 1.02 * max(outlines / 72, *drawn)


def legend_below(figure: Figure, handles: Sequence[Artist], size: float) -> Legend | None:
    """A legend at the bottom of the page, in the fewest rows that fit; None without entries."""
    for rows in range(1, len(handles) + 1):
        legend = figure.legend(
            handles=handles,
            loc="lower center",
            ncols=-(-len(handles) // rows),
            fontsize=size,
            frameon=False,
            numpoints=1,
            columnspacing=1.5,
            borderpad=0.3,
        )
        if legend.get_window_extent().width <= 0.92 * figure.bbox.width or rows == len(handles):
            return legend
        legend.remove()
    return None

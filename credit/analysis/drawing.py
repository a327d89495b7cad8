"""What all figures share: colours, markers, and plain `Figure` objects with a legend outside."""

import textwrap
import zlib
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDE = 7.0
"""Page width in inches; below NARROW panels are stacked."""
NARROW = 5.0


class Style(NamedTuple):
    """How one rule looks in every figure."""

    color: str
    marker: str


STYLES = {
    "bp": Style("#000000", "o"),
    "oracle": Style("#009E73", "D"),
    "fa": Style("#0072B2", "s"),
    "dfa": Style("#D55E00", "^"),
    "state_bridge": Style("#CC79A7", "v"),
    "credit_bridge": Style("#56B4E9", "P"),
    "vector_field": Style("#E69F00", "X"),
}
"""Okabe and Ito's colours, told apart by all kinds of colour vision, and by marker in print."""

_OTHERS = (
    Style("#882255", "<"),
    Style("#666666", ">"),
    Style("#999933", "h"),
    Style("#332288", "p"),
    Style("#AA4499", "*"),
)
SMALL, TEXT = 7, 8  # points
GREY = "#555555"
OURS: dict[str, Any] = {"markersize": 5, "linewidth": 1.4, "capsize": 2.5, "zorder": 3}
REPORTED: dict[str, Any] = {
    "markersize": 5,
    "markerfacecolor": "white",
    "linestyle": "none",
    "elinewidth": 0.8,
    "capsize": 2,
    "zorder": 4,
}
"""How error bars look that are ours, and that others reported."""


def style_of(rule: str) -> Style:
    """A rule's colour and marker; an unknown rule's follow from its name alone."""
    return STYLES.get(rule) or _OTHERS[zlib.crc32(rule.encode()) % len(_OTHERS)]


def label_of(rule: str) -> str:
    """A rule's name without the package it comes from."""
    return rule.rpartition(":")[2]


def new_figure(
    title: str, width: float, height: float, panels: int = 1, per_row: int = 0
) -> tuple[Figure, list[Axes]]:
    """An empty figure and its panels.

    Args:
        width, height: in inches.
        per_row: panels beside each other, then with one y axis; 0 puts all of them in one row, or
            below each other in a narrow figure.
    """
    columns = per_row or (panels if width > NARROW else 1)
    figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
    size = 10 if width > NARROW else 9
    figure.suptitle(textwrap.fill(title, int(width * 135 / size)), fontsize=size)
    grid = figure.subplots(-(-panels // columns), columns, squeeze=False, sharey=per_row > 0)
    every = list(grid.flat)
    for axes in every[panels:]:
        axes.remove()
    for axes in every[:panels]:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=TEXT)
        axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    return figure, every[:panels]


def caption(axes: Axes, text: str, width: float) -> None:
    """Say above a panel what is drawn, in small grey letters."""
    wrapped = textwrap.fill(text, int(width * 17))
    axes.set_title(wrapped, fontsize=SMALL, loc="left", color=GREY)


def edge_note(axes: Axes, text: str, y: float) -> None:
    """Name a height, right of a panel."""
    axes.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(2, 0),
        textcoords="offset points",
        va="center",
        fontsize=6,
        color=GREY,
    )


def key(marker: str, label: str) -> Line2D:
    """A legend entry that belongs to no one line."""
    look: dict[str, Any] = {"color": GREY, "markerfacecolor": "white", "markersize": 5}
    return Line2D([], [], marker=marker, linewidth=0, label=label, **look)


def add_legend(figure: Figure, handles: list[Artist], width: float) -> None:
    """The legend, below the panels, in as many columns as fit."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    fit = max(1, min(len(handles), int(width * 16 / (longest + 6))))
    columns = -(-len(handles) // -(-len(handles) // fit))  # rows of even length
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        fontsize=TEXT if width > NARROW else SMALL,
        frameon=False,
    )

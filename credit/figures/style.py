"""The look of every figure.

A rule has one colour and one marker, which are the rules' alone: a reference, a level and the key
of a second factor are grey. Hollow marks are values that others reported, and nothing else; a
variant of a rule is dashed and half filled.
"""

from collections.abc import Callable
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from credit.lab.looks import Style, style_of

TITLE, TEXT, SMALL = 9, 8, 7
"""Points in print: a figure is drawn at the size it is shown at."""
GREY = "#555555"
DASHES = ("-", "--", ":", "-.")
FILLS = ("full", "left", "bottom", "right")
SIZE = 4.8
"""Of a mark, in points."""
_LARGER = {"P": 1.35, "X": 1.35}
"""Marks that have less of a face for their size."""
_PLAIN = Style(GREY, "o")
AXES = {
    "layer": "l of hidden state h_l",
    "k": "k, trainable blocks (counted from the last)",
    "depth": "L, residual blocks",
    "credit_eps": "eps of v / (rms(v) + eps)",
    "eps": "eps of v / (rms(v) + eps)",
    "warmup": "warm-up (share of epochs)",
    "warmup_ratio": "warm-up (share of epochs)",
}
"""By factor or column, what stands at an x axis of numbers; of another its name."""


def look(rule: str, dash: int = 0, fill: int = 0, color: Any = None) -> dict[str, Any]:
    """Return keywords of `Axes.errorbar` for runs of a rule; "" is no rule.

    Args:
        dash, fill: 0 for a rule as it is; further ones are its variants.
        color: replaces the rule's: shades of ordered variants.
    """
    style = style_of(rule) if rule else _PLAIN
    return {
        "color": color or style.color,
        "marker": style.marker,
        "linestyle": DASHES[dash % len(DASHES)],
        "fillstyle": FILLS[fill % len(FILLS)],
        "markerfacecoloralt": "white",
        "markersize": SIZE * _LARGER.get(style.marker, 1),
        "markeredgewidth": 0.8,
        "linewidth": 1.2,
        "elinewidth": 0.9,
        "capsize": 2,
        "zorder": 3,
    }


def hollow(rule: str) -> dict[str, Any]:
    """Return keywords of `Axes.errorbar` for values that others reported."""
    return look(rule) | {"linestyle": "none", "markerfacecolor": "white", "zorder": 4}


def beside(index: int) -> dict[str, Any]:
    """Return keywords of `Axes.plot` for the grey line of a reference."""
    return {"color": GREY, "linestyle": DASHES[1 + index % 3], "linewidth": 1, "zorder": 2}


def graded(place: int, count: int) -> Any:
    """Return a colour of ordered values, dark to light; none is too light on white."""
    return colormaps["viridis"](place / max(count, 1))


def entry(label: str, **own: Any) -> Line2D:
    """Return a legend entry, from keywords of `look`."""
    bars = ("capsize", "elinewidth", "zorder")  # what a line of its own does not have
    return Line2D([], [], label=label, **{n: v for n, v in own.items() if n not in bars})


def key(marker: str, label: str) -> Line2D:
    """Return the legend entry of a hollow grey mark."""
    own: dict[str, Any] = {"color": GREY, "markerfacecolor": "white", "markersize": SIZE}
    return Line2D([], [], marker=marker, linewidth=0, label=label, **own)


def tidy(axes: Axes) -> None:
    """Take the upper and right frame away, and lay a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)


def shade(span: Callable[..., Any], low: float, high: float) -> None:
    """Shade between two places, with `Axes.axhspan` or `Axes.axvspan`."""
    span(low, high, color=GREY, alpha=0.12, linewidth=0, zorder=0)


def level(axes: Axes, height: float, name: str = "", linestyle: str = ":") -> None:
    """Draw a thin line across a panel, behind the points, and name it at the right."""
    axes.axhline(height, color=GREY, linewidth=0.6, linestyle=linestyle, zorder=1)
    at: dict[str, Any] = {"xy": (1, height), "xycoords": ("axes fraction", "data")}
    at |= {"xytext": (2, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(name, **at, fontsize=SMALL, color=GREY)

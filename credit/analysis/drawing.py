"""How everything looks, in all figures.

A rule has one colour and one marker, which are the rules' alone: what is no rule (a norm, a depth,
a measured time) is grey, with a marker that no rule has, or a shade. Hollow marks are values that
others reported, and nothing else; a variant of a rule is dashed and half filled.
"""

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.lines import Line2D

from credit.rule_names import shortest


class Style(NamedTuple):
    """How one rule looks in every figure."""

    color: str
    marker: str


STYLES = {
    "bp": Style("#000000", "o"),
    "oracle": Style("#008C62", "D"),
    "fa": Style("#015893", "s"),
    "dfa": Style("#B54200", "^"),
    "state_bridge": Style("#C674A4", "v"),
    "credit_bridge": Style("#69C2F6", "P"),
    "vector_field": Style("#DF9300", "X"),
}
"""Okabe and Ito's hues, their lightness moved apart: told apart by all kinds of colour vision, and
in grey (`tests/test_figures.py` measures how far), and by marker anyway."""

_COLORS = ("#882255", "#666600", "#332288", "#AA4499", "#117777")
_MARKERS = ("<", ">", "h", "8")
"""Of rules that are not in STYLES."""

SERIES = (Style("#333333", "p"), Style("#8C8C8C", "d"), Style("#5C5C5C", "*"))
"""Of what is no rule."""

GREY, SHADE = "#555555", "#E3ECE3"
"""Of words and thin lines, and of where a claim holds."""
OURS: dict[str, Any] = {"linewidth": 1.2, "elinewidth": 0.9, "capsize": 2, "zorder": 3}
"""How lines and error bars look that are ours."""
SIZE = 4.8
"""Of a mark, in points."""
_LARGER = {"P": 1.35, "X": 1.35, "*": 1.5, "d": 1.2}
"""Marks that have less of a face for their size."""

DASHES = {"solid": "-", "dashed": "--", "dotted": ":", "dash-dotted": "-."}
"""By the word that a caption has for it."""
_FILLS = ("full", "left", "bottom", "right")

BARS = "(error bars)"
AXES = {
    "alignment": "Γ (mean cosine)",
    "alignment_inner": "Γ, l < L (mean cosine)",
    "rho": "ρ (correlation)",
    "accuracy": "test accuracy (fraction)",
    "layer": "l of hidden state h_l",
    "depth": "L, residual blocks",
}
"""What stands at an axis, with the unit."""
MEANING = {
    "alignment": "Γ: cosine of credit and exact gradient, mean over samples",
    "deep": "Γ: cosine of credit and exact gradient, mean over samples and h_1 … h_L",
    "rho": "ρ: correlation of predicted and measured loss changes",
}
"""What the symbols of AXES stand for; "deep" where there is one Γ for all layers."""


def style_of(rule: str) -> Style:
    """A rule's colour and marker; an unknown rule's follow from its name alone."""
    number = zlib.crc32(rule.encode())
    other = Style(_COLORS[number % len(_COLORS)], _MARKERS[number // len(_COLORS) % len(_MARKERS)])
    return STYLES.get(rule, other)


def label_of(rule: str, longest: int = 16) -> str:
    """A rule's name without the package it comes from, cut off where it is long."""
    name = rule.rpartition(":")[2]
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def look(style: Style, variant: int = 0) -> dict[str, Any]:
    """Keywords of `Axes.errorbar` for what is ours.

    Args:
        variant: 0 for a rule as it is; others of the same rule are dashed and half filled.
    """
    return {
        "color": style.color,
        "marker": style.marker,
        "linestyle": list(DASHES.values())[variant % len(DASHES)],
        "fillstyle": _FILLS[variant % len(_FILLS)],
        "markerfacecoloralt": "white",
        "markersize": SIZE * _LARGER.get(style.marker, 1),
        "markeredgewidth": 0.8,
        **OURS,
    }


def hollow(style: Style) -> dict[str, Any]:
    """Keywords of `Axes.errorbar` for what others reported."""
    own = look(style) | {"linestyle": "none", "elinewidth": 0.8, "zorder": 4}
    return own | {"markerfacecolor": "white"}


def shades(count: int) -> list[Any]:
    """Colours of ordered values, dark to light; none too light on white."""
    return [colormaps["viridis"](place / max(count, 1)) for place in range(count)]


def entry(label: str, **own: Any) -> Line2D:
    """A legend entry, from keywords of `look`."""
    bars = ("capsize", "elinewidth", "zorder")
    return Line2D([], [], label=label, **{n: v for n, v in own.items() if n not in bars})


def rule_entry(rule: str, among: Iterable[str] = (), **other: Any) -> Line2D:
    """A rule's legend entry, told from those `among` which it stands."""
    name = shortest({rule, *among})[rule]
    return entry(name if ":" in name else label_of(rule), **(look(style_of(rule)) | other))


def key(marker: str, label: str, **other: Any) -> Line2D:
    """A grey mark's legend entry, hollow unless told otherwise."""
    own: dict[str, Any] = {"color": GREY, "markerfacecolor": "white", "markersize": SIZE}
    return Line2D([], [], marker=marker, linewidth=0, label=label, **(own | other))


def spread(seeds: str) -> str:
    """What `tables.seeds_text` says, with what the error bars are."""
    if "±" in seeds:
        text = seeds.replace("sample sd", f"sample sd {BARS}")
        return f"{text}; no bar where n = 1" if "n = 1 " in seeds else text
    return f"{seeds}, so no error bars" if seeds.startswith("n = 1") else seeds

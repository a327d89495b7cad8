"""Panels that a figure is composed of, and the look and place of rules in every figure and table.

A rule has one colour and one marker, said in the rule's own file.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from credit.lab.factor import Factor
from credit.lab.frame import Frame
from credit.lab.quantity import Quantity


@dataclass(frozen=True)
class Panel:
    """A quantity against a factor; what is not its x is a series, in the look of its rule."""

    y: Quantity
    x: str | Quantity | Mapping[str, Quantity]
    """A factor, a column of the frame, "layer" (hidden states h_0 … h_L), "epoch", or a further
    quantity. Or names of places on the axis, each with the quantity that stands there. Points of a
    series are joined by a line where the places have an order."""
    by: tuple[str, ...] = ()
    """Factors that make a series; the first sets the colour, the second the line or the filling."""
    across: str = ""
    """A factor: one panel for each of its labels."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Only runs with these labels or settings, each a value or a function that accepts some."""
    say: str = ""
    """A short title above the panel."""
    band: float = 0.0
    """Shades |y| below it: what the checks call none."""
    levels: Mapping[str, float | Callable[[Frame], float]] = field(default_factory=dict)
    """Dotted heights by name: a number, or a function of the frame."""
    beside: tuple[Quantity, ...] = ()
    """References that no rule makes, as grey lines: Γ of the gradient passed back."""
    invalid: Quantity | None = None
    """Stands as a cross where y is not valid: the raw cosine."""
    mark: Mapping[str, Any] = field(default_factory=dict)
    """Labels of the runs whose x is shaded: those that the others are compared with."""
    scale: str = ""
    """linear or log; by default that of the quantity."""
    xscale: str = "even"
    """even (labels at equal distances), linear or log; where x is a quantity, that decides."""
    below: bool = False
    """Whether the panel begins a row of the figure."""


class Style(NamedTuple):
    """How one rule looks in every figure, and its place in every table."""

    color: str
    marker: str
    place: int = 100
    """Behind those of the rules of this package."""


_COLORS = ("#882255", "#666600", "#332288", "#AA4499", "#117777")
_MARKERS = ("<", ">", "h", "8")
"""Of rules whose file gives no look."""


def style_of(rule: str) -> Style:
    """Return a rule's look; without one in its file, colour and marker follow from its name."""
    from credit import rules  # here: it loads torch, which analyses do not need

    if own := rules.look(rule):
        return Style(*own)
    number = zlib.crc32(rule.encode())
    return Style(_COLORS[number % len(_COLORS)], _MARKERS[number // len(_COLORS) % len(_MARKERS)])


def place(rule: str) -> tuple[int, str]:
    """Return the key that puts rules in the order of every table and figure."""
    return style_of(rule).place, rule


def fitted(name: str) -> str:
    """Return a name of at most 24 characters, its middle left out: ends tell names apart."""
    return name if len(name) <= 24 else f"{name[:12]}…{name[-11:]}"


RULES = Factor("rule", key=place)
"""The factor of every experiment that compares rules."""

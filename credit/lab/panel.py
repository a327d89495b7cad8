"""Panels: what a figure is composed of. `credit.figures` draws all of them by one function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from credit.lab.frame import Frame
from credit.lab.quantity import Quantity

Level = float | Callable[[Frame], float]


@dataclass(frozen=True)
class Panel:
    """A quantity against a factor; what is not its x is a series, in the look of its rule."""

    y: Quantity
    x: str | Quantity | Mapping[str, Quantity]
    """A factor, a column of the frame, "layer" (hidden states h_0 … h_L), "epoch", or a further
    quantity. Or names of places on the axis, each with the quantity that stands there."""
    by: tuple[str, ...] = ()
    """Factors that make a series; the first sets the colour, the second the line or the filling."""
    across: str = ""
    """A factor: one panel for each of its labels."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Only runs with these labels or settings, each a value or a function that accepts some."""
    say: str = ""
    """A short title above the panel."""
    line: bool = True
    """Whether points of a series are joined, where x is a number."""
    band: float = 0.0
    """Shades |y| below it: what the checks call none."""
    levels: Mapping[str, Level] = field(default_factory=dict)
    """Dotted heights by name: a number, or a function of the frame."""
    beside: tuple[Quantity, ...] = ()
    """References that no rule makes, as grey lines: Γ of the gradient passed back."""
    invalid: Quantity | None = None
    """Stands as a cross where y is not valid: the raw cosine."""
    mark: Mapping[str, Any] = field(default_factory=dict)
    """Labels of the runs whose x is shaded: those that the others are compared with."""
    scale: str = ""
    """linear, log or symlog; by default that of the quantity."""
    xscale: str = "even"
    """even (labels at equal distances), linear or log."""
    below: bool = False
    """Whether the panel begins a row of the figure."""

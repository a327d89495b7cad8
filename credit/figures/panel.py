"""One way to draw a quantity over a factor: `draw` puts a cell's points on a pair of axes."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator, ScalarFormatter

from credit.figures import style
from credit.figures.points import Cell
from credit.lab.factor import text_of
from credit.lab.frame import pick
from credit.lab.looks import fitted
from credit.lab.quantity import Quantity

_SIGNED = ("mean cosine", "correlation", "difference")
"""Of quantities whose sign matters, so that zero is always in sight."""
_APART, _WIDTH, _RIGHT = 0.085, 0.76, 0.18
"""Between the lines of two series, so that bars can be told apart; room for all series that are not
joined; from a value to the reported one. Two labels of x are 1 apart."""
_POINTS = 2.3 / 72
"""Inches between two lines, where that is less than _APART."""
_LOOSE = {"linestyle": "none", "linewidth": 0}
Place = Callable[[Any, float], float]
"""From a label of x and a shift to a place on the axis."""


def draw(axes: Axes, cell: Cell, inches: float) -> list[Line2D]:
    """Draw a cell of about so many inches in width.

    Returns:
        Legend entries; those of points that the x axis names have the gid "rule".
    """
    style.tidy(axes)
    panel, points, unit = cell.panel, cell.points, cell.panel.y.scale
    place, entries = x_axis(axes, cell, inches), _references(axes, cell)
    series = list(dict.fromkeys(points["series"]))
    ordered = isinstance(panel.x, Mapping) or (isinstance(panel.x, str) and _in_order(cell.xs))
    lines = ordered and points["series"].duplicated().any()
    step = _WIDTH / len(series)
    if lines:
        step = min(step, _APART, _POINTS * len(cell.xs) / inches)
    for index, labels in enumerate(series):
        own = points.loc[[one == labels for one in points["series"]]]
        shift = 0 if panel.x == "epoch" else step * (index - (len(series) - 1) / 2)
        mixed = own["rule"].nunique() > 1
        for rule, some in own.groupby("rule", sort=False):
            look = looks(cell, labels, str(rule)) | ({} if lines and not mixed else _LOOSE)
            entries += _entries(cell, labels, str(rule), mixed, look)
            _draw(axes, cell, some, look, lambda x, s=shift: place(x, s))
            right = [place(x, shift + _RIGHT) for x in some["x"]]
            if some["reported"].notna().any():
                means, sds = unit * some["reported"], unit * some["reported_sd"]
                axes.errorbar(right, means, yerr=sds, **style.hollow(str(rule)))
    for x in points.loc[points["marked"], "x"].unique():
        style.shade(axes.axvspan, place(x, -0.36), place(x, 0.36))
    for index, means in enumerate(cell.beside):
        known = [x for x in cell.xs if x in means.index]
        axes.plot([place(x, 0) for x in known], unit * means[known], **style.beside(index))
    return entries


def _draw(
    axes: Axes,
    cell: Cell,
    some: pd.DataFrame,
    look: dict[str, Any],
    place: Callable[[Any], float],
) -> None:
    """Draw the points of a series: bars from three seeds on, both dots of two, none of one."""
    unit, x, color = cell.panel.y.scale, list(map(place, some["x"])), look["color"]
    mean = unit * some["mean"].where((some["mean"] > 0) | (cell.scale != "log"))
    bars = unit * some["sd"].where(some["n"] > 2)
    if curve(cell):
        axes.fill_between(x, mean - bars, mean + bars, color=color, alpha=0.2, linewidth=0)
        bars, look = None, look | {"marker": ""}
    axes.errorbar(x, mean, yerr=bars, **look)
    axes.plot(x, unit * some["crossed"], "x", color=color, zorder=4)
    for one, values in zip(x, some["values"], strict=True):
        if len(values) == 2 and cell.panel.x != "epoch":
            heights = unit * np.array(values)
            axes.plot([one, one], heights, ".", color=color, markersize=3, zorder=5)


def curve(cell: Cell) -> bool:
    """Return whether points stand so close that marks would hide each other."""
    return cell.panel.x == "epoch" and len(cell.xs) > 20


def looks(cell: Cell, labels: Sequence[Any], rule: str) -> dict[str, Any]:
    """Return the look of a series: of its rule; variants by its first factor and by the others."""
    if not labels:
        return style.look(rule)
    first, frame = cell.by[0], cell.frame
    rivals = frame.factor(first).in_order(pick(frame.runs, {"rule": rule})[first])
    variant, other = rivals.index(labels[0]), 0
    for name, label in zip(cell.by[1:], labels[1:], strict=True):
        known = [one for one in frame.labels(name) if one != ""]
        other = other * len(known) + (known.index(label) if label in known else 0)
    if len(rivals) > len(style.DASHES):  # more than there are dashes: in order, dark to light
        return style.look(rule, other, other, style.graded(variant, len(rivals)))
    return style.look(rule, other if labels[1:] else variant, variant if _varied(cell) else other)


def _varied(cell: Cell) -> bool:
    """Return whether a rule has several labels of the first factor."""
    return cell.frame.runs.groupby("rule")[cell.by[0]].nunique().max() > 1


def _entries(
    cell: Cell, labels: Sequence[Any], rule: str, mixed: bool, look: dict[str, Any]
) -> list[Line2D]:
    """Return the legend entries of a series: of its first label, and of the others in grey."""
    frame, full = cell.frame, {"fillstyle": "full"}
    if mixed or not labels:  # a point has the colour of its rule, and the filling of the series
        found = [style.entry(fitted(frame.short(rule)), **(look | full), gid="rule")]
    else:
        plain = look | (full if labels[1:] and not _varied(cell) else {})
        if labels[1:] and look["linestyle"] != "none":
            plain |= {"linestyle": "-"}
        if look["color"] != style.look(rule)["color"]:  # graded, whatever the rule
            plain |= {"marker": "", "linewidth": 2}
        found = [style.entry(fitted(frame.name({cell.by[0]: labels[0]})), **plain)]
    rest = dict(list(zip(cell.by, labels, strict=True))[0 if mixed else 1 :])
    if text := frame.name(rest):
        grey = {name: look[name] for name in ("linestyle", "linewidth", "fillstyle")}
        grey |= {"marker": ""} if _varied(cell) and not mixed else {}
        found.append(style.entry(text, **(style.look("") | grey)))
    return found


def _references(axes: Axes, cell: Cell) -> list[Line2D]:
    """Draw levels and band; return the legend entries of what is no run."""
    panel = cell.panel
    for name, height in _levels(cell):
        style.level(axes, panel.y.scale * height, name)
    if panel.band:
        style.shade(axes.axhspan, -panel.band * panel.y.scale, panel.band * panel.y.scale)
    found = [
        style.entry(one.symbol.removesuffix(", l < L"), **style.beside(i))
        for i, one in enumerate(panel.beside)
    ]
    if panel.invalid and cell.points["crossed"].notna().any():
        found.append(style.key("x", f"{panel.invalid.symbol}, not valid"))
    return found


def x_axis(axes: Axes, cell: Cell, inches: float) -> Place:
    """Set ticks, limits and label of the x axis; return where a label stands on it."""
    x, xs, scale, size = cell.panel.x, cell.xs, cell.panel.xscale, {"fontsize": style.TEXT}
    name = x if isinstance(x, str) else ""
    if isinstance(x, Quantity):
        axes.set_xlabel(axis_text(x), **size)
        scale = "log" if x.log else "linear"
    elif name in style.AXES or (name and _numeric(xs)):
        axes.set_xlabel(style.AXES.get(name, name), **size)
    if name in ("layer", "epoch"):
        scale = "linear"
    if scale == "even":
        shown = cell.frame.factor(name).show if name and not _numeric(xs) else text_of
        words = [fitted(shown(cell.frame.short(one))) for one in xs]
        axes.set_xticks(range(len(xs)), words, **size)
        axes.set_xlim(-0.55, max(len(xs), 1) - 0.45)
        if max(map(len, words), default=0) * 0.6 * style.TEXT / 72 > inches / max(len(xs), 1):
            for text in axes.get_xticklabels():  # they would touch each other
                text.set(rotation=40, ha="right", rotation_mode="anchor")
        return lambda label, shift: xs.index(label) + shift
    number, back = (np.log10, lambda u: 10.0**u) if scale == "log" else (float, float)
    low, high = float(number(min(xs))), float(number(max(xs)))
    unit = (high - low) / max(len(xs) - 1, 1) or 0.1
    room = max(0.04 * (high - low), 0.45 * unit if name != "epoch" else 0) or 0.5
    axes.set_xscale(scale)
    axes.set_xlim(back(low - room), back(high + room))
    axes.xaxis.set_minor_locator(NullLocator())
    if isinstance(x, Quantity):  # counts lie within a decade or so: few ticks, in words
        ticks = [back(u) for u in ((low, (low + high) / 2, high) if len(xs) > 1 else (low,))]
        axes.set_xticks(ticks, [x.text(float(f"{tick:.2g}")) for tick in ticks])
    elif len(xs) > 8 or name == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    else:
        axes.set_xticks(xs, [text_of(one) for one in xs])
    return lambda label, shift: back(number(label) + shift * unit)


def y_axis(group: Sequence[tuple[Axes, Cell]]) -> None:
    """Give axes that are compared the same scale and limits, and name the first one's."""
    (first, cell), panel = group[0], group[0][1].panel
    values = panel.y.scale * np.concatenate([_heights(cell) for _, cell in group])
    values = values[np.isfinite(values) & ((values > 0) | (cell.scale != "log"))]
    signed = bool(panel.band) or panel.y.axis.startswith(_SIGNED)
    low, high = limits(values, cell.scale == "log", signed)
    for axes, _ in group:
        if cell.scale == "log":
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
            axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
        axes.set_ylim(low, high)
        if cell.scale != "log" and low < 0 < high:
            style.level(axes, 0, linestyle="-")
        axes.tick_params(labelleft=axes is first)
    first.set_ylabel(axis_text(panel.y), fontsize=style.TEXT)


def _heights(cell: Cell) -> np.ndarray:
    """Return every height that must be in sight."""
    points, panel = cell.points, cell.panel
    bars, theirs = points["sd"].where(points["n"] > 2).fillna(0), points["reported_sd"].fillna(0)
    found = [points["mean"] - bars, points["mean"] + bars, points["crossed"], *cell.beside]
    found += [points["reported"] - theirs, points["reported"] + theirs]
    found += [values for values in points["values"] if len(values) == 2]
    found.append([h for _, h in _levels(cell)] + ([panel.band] if panel.band else []))
    return np.concatenate(found).astype(float)


def _levels(cell: Cell) -> list[tuple[str, float]]:
    """Return the dotted heights of a panel, with their names."""
    return [(n, h(cell.frame) if callable(h) else h) for n, h in cell.panel.levels.items()]


def limits(values: np.ndarray, log: bool = False, zero: bool = False) -> tuple[float, float]:
    """Return the ends of an axis that has all values in sight.

    Args:
        zero: whether 0 must be in sight; it also is where the axis would begin near it.
    """
    low, high = float(values.min(initial=math.inf)), float(values.max(initial=-math.inf))
    if log:
        low, high = math.log10(low), math.log10(high)
        if high - low < 1:  # whole decades, so that two of them are named
            return 10.0 ** math.floor(low - 0.05), 10.0 ** math.ceil(high + 0.05)
        room = 0.06 * (high - low)
        return 10 ** (low - room), 10 ** (high + room)
    if zero or 0 < low < high / 3:
        low, high = min(low, 0.0), max(high, 0.0)
    room, size = 0.06 * (high - low), max(abs(low), abs(high))
    if high - low < 1e-3 * size or not size:  # all the same, but for rounding
        room = 0.05 * size or 1.0
    return low - room, high + room


def axis_text(quantity: Quantity) -> str:
    """Return what stands at an axis: symbol and unit."""
    return f"{quantity.symbol} ({quantity.axis})" if quantity.axis else quantity.symbol


def _numeric(xs: Sequence[Any]) -> bool:
    return all(isinstance(x, int | float | np.number) for x in xs)


def _in_order(xs: Sequence[Any]) -> bool:
    """Return whether all labels are numbers, as such or in words."""
    return all(str(x).replace(".", "", 1).replace("e-", "", 1).isdigit() for x in xs)

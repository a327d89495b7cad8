"""The figure of `soak.py`: memory and epoch times over time, from its JSON."""

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from credit.analysis.drawing import GREY, SERIES, entry, key, shades
from credit.analysis.page import NARROW, TEXT, WIDE, caption, finish, new_figure

LINE: dict[str, Any] = {"color": SERIES[0].color, "linewidth": 1.2, "zorder": 3}
TREND: dict[str, Any] = LINE | {"linestyle": (0, (4, 2)), "color": SERIES[1].color, "zorder": 4}


def draw(result: dict, width: float = WIDE) -> Figure:
    """Memory with its slope after warm-up, and epoch times stack by stack.

    Args:
        result: what `soak.py` writes.
        width: in inches; narrow figures stack the panels.
    """
    title = f"Soak: {result['watched']}, {result['hardware']}, {result['date']}"
    figure, (left, right) = new_figure(title, width, 2.5 if width > NARROW else 4.6, 2)
    _memory(left, result)
    _epochs(right, result)
    for axes in (left, right):
        axes.set_xlabel("minutes", fontsize=TEXT)
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.set_xlim(left=0)
    handles: list[Artist] = [
        entry("resident memory", **LINE),
        entry("its slope", **TREND),
        Patch(color=GREY, alpha=0.12, linewidth=0, label="warm-up"),
        key("o", "one epoch, a shade per stack", markerfacecolor=GREY),
    ]
    finish(figure, handles, title, "single measurements, no error bars")
    return figure


def _memory(axes: Axes, result: dict) -> None:
    held = result["memory"]
    minutes = np.array([sample["seconds"] for sample in result["samples"]]) / 60
    values = np.array([sample["rss_mb"] for sample in result["samples"]])
    axes.plot(minutes, values, **LINE)
    axes.axvspan(0, held["warm_up_minutes"], color=GREY, alpha=0.12, linewidth=0)
    text = "memory of all processes"
    if held["slope_mb_per_hour"] is not None:
        ends = np.array([held["warm_up_minutes"], minutes[-1]])
        middle = held["slope_mb_per_hour"] / 60 * (ends - ends.mean())
        axes.plot(ends, held["median_mb"] + middle, **TREND)
        text += f"; {held['slope_mb_per_hour']:+.1f} MB an hour"
    axes.set_ylabel("MB", fontsize=TEXT)
    caption(axes, text)


def _epochs(axes: Axes, result: dict) -> None:
    paced = result["pace"]
    stacks = sorted({epoch["stack"] for epoch in result["epochs"]})
    for stack, color in zip(stacks, shades(len(stacks)), strict=True):
        points = [epoch for epoch in result["epochs"] if epoch["stack"] == stack]
        minutes = [point["minutes"] for point in points]
        axes.plot(minutes, [point["seconds"] for point in points], "o", markersize=3, color=color)
    text = "time of an epoch" if result["epochs"] else "no epoch ended"
    if paced["drift"] is not None:
        text += f"; {paced['drift']:+.1%} from first to last third (n={paced['n']})"
    axes.set_ylabel("seconds", fontsize=TEXT)
    caption(axes, text)

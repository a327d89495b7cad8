"""The figure of `soak.py`: memory and epoch times over time, from its JSON."""

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from credit.figures.page import finish, page, say
from credit.figures.style import GREY, TEXT, entry, graded, shade, tidy

LINE: dict[str, Any] = {"color": "#333333", "linewidth": 1.2, "zorder": 3}
TREND: dict[str, Any] = LINE | {"linestyle": (0, (4, 2)), "color": "#8C8C8C", "zorder": 4}


def draw(result: dict) -> Figure:
    """Draw memory with its slope after warm-up, and epoch times stack by stack.

    Args:
        result: what `soak.py` writes.
    """
    figure, [(left, right)] = page("Soak", [2])
    _memory(left, result)
    _epochs(right, result)
    for axes in (left, right):
        tidy(axes)
        axes.set_xlabel("minutes", fontsize=TEXT)
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.set_xlim(left=0)
    handles: list[Artist] = [
        entry("resident memory", **LINE),
        entry("its slope", **TREND),
        Patch(color=GREY, alpha=0.12, linewidth=0, label="warm-up"),
        entry("one epoch, a shade per stack", marker="o", linestyle="", markersize=3, color=GREY),
    ]
    settings = f"{result['watched']}, {result['hardware']}, {result['date']}"
    finish(figure, handles, f"{settings}; single measurements, no error bars")
    return figure


def _memory(axes: Axes, result: dict) -> None:
    held = result["memory"]
    minutes = np.array([sample["seconds"] for sample in result["samples"]]) / 60
    values = np.array([sample["rss_mb"] for sample in result["samples"]])
    axes.plot(minutes, values, **LINE)
    shade(axes.axvspan, 0, held["warm_up_minutes"])
    text = "memory of all processes"
    if held["slope_mb_per_hour"] is not None:
        ends = np.array([held["warm_up_minutes"], minutes[-1]])
        middle = held["slope_mb_per_hour"] / 60 * (ends - ends.mean())
        axes.plot(ends, held["median_mb"] + middle, **TREND)
        text += f"; {held['slope_mb_per_hour']:+.1f} MB an hour"
    axes.set_ylabel("MB", fontsize=TEXT)
    say(axes, text)


def _epochs(axes: Axes, result: dict) -> None:
    paced = result["pace"]
    stacks = sorted({epoch["stack"] for epoch in result["epochs"]})
    for index, stack in enumerate(stacks):
        points = [epoch for epoch in result["epochs"] if epoch["stack"] == stack]
        minutes = [point["minutes"] for point in points]
        color = graded(index, len(stacks))
        axes.plot(minutes, [point["seconds"] for point in points], "o", markersize=3, color=color)
    text = "time of an epoch" if result["epochs"] else "no epoch ended"
    if paced["drift"] is not None:
        text += f"; {paced['drift']:+.1%} from first to last third (n={paced['n']})"
    axes.set_ylabel("seconds", fontsize=TEXT)
    say(axes, text)

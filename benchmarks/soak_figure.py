"""The figure of `soak.py`: memory and epoch times over time, from its JSON."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.drawing import GREY, TEXT, WIDE, caption, new_figure

LINE: dict[str, Any] = {"color": "#0072B2", "linewidth": 1.2, "zorder": 3}
TREND: dict[str, Any] = {
    "color": "#D55E00",
    "linewidth": 1.2,
    "linestyle": (0, (4, 2)),
    "zorder": 4,
}
COLORS = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def draw(result: dict, width: float = WIDE) -> Figure:
    """Memory with its slope after warm-up, and epoch times stack by stack.

    Args:
        result: what `soak.py` writes.
        width: in inches.
    """
    title = f"{result['watched']}: {result['hardware']}, {result['date']}"
    figure, (left, right) = new_figure(title, width, 2.9, 2)
    _memory(left, result, width / 2)
    _epochs(right, result, width / 2)
    for axes in (left, right):
        axes.set_xlabel("minutes", fontsize=TEXT)
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
    return figure


def _memory(axes: Axes, result: dict, width: float) -> None:
    held = result["memory"]
    minutes = np.array([sample["seconds"] for sample in result["samples"]]) / 60
    values = np.array([sample["rss_mb"] for sample in result["samples"]])
    axes.plot(minutes, values, **LINE)
    axes.axvspan(0, held["warm_up_minutes"], color=GREY, alpha=0.12, linewidth=0)
    text = "resident memory; grey is warm-up"
    if held["slope_mb_per_hour"] is not None:
        ends = np.array([held["warm_up_minutes"], minutes[-1]])
        middle = held["slope_mb_per_hour"] / 60 * (ends - ends.mean())
        axes.plot(ends, held["median_mb"] + middle, **TREND)
        text += f"; dashed {held['slope_mb_per_hour']:+.1f} MB an hour"
    axes.set_ylabel("MB", fontsize=TEXT)
    caption(axes, text, width)


def _epochs(axes: Axes, result: dict, width: float) -> None:
    paced = result["pace"]
    for stack in sorted({epoch["stack"] for epoch in result["epochs"]}):
        points = [epoch for epoch in result["epochs"] if epoch["stack"] == stack]
        minutes = [point["minutes"] for point in points]
        color = COLORS[stack % len(COLORS)]
        axes.plot(minutes, [point["seconds"] for point in points], "o", markersize=3, color=color)
    text = "one epoch, a colour for each stack" if result["epochs"] else "no epoch ended"
    if paced["drift"] is not None:
        text += f"; {paced['drift']:+.1%} from first to last third (n={paced['n']})"
    axes.set_ylabel("seconds", fontsize=TEXT)
    caption(axes, text, width)

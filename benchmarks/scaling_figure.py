"""The figure of `scaling.py`: six small panels, from its JSON."""

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from credit.figures.page import finish, page, say
from credit.figures.style import GREY, TEXT, entry, look, tidy

MEASURED = look("", color="#333333")
PLANNED = look("", dash=2, fill=1, color="#8C8C8C")
IDEAL: dict[str, Any] = {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.0, "zorder": 1}


def draw(result: dict) -> Figure:
    """Draw time against R, d, L and directions, and memory against R.

    Axes are logarithmic where growth spans decades. Dashed is what values were if they grew with
    the work: runs, weights (a sample's arithmetic is in proportion to them), directions.

    Args:
        result: what `scaling.py` prints.
    """
    figure, rows = page("Growth", [3, 3])
    panels = [axes for row in rows for axes in row]
    runs, widths, depths = (_points(result, name) for name in ("runs", "width", "depth"))
    directions = _points(result, "directions")

    _panel(panels[0], runs, "runs", "epoch_seconds", lambda p: p["runs"])
    _panel(panels[1], runs, "runs", "run_epoch_seconds", lambda p: 1)
    _panel(panels[2], runs, "runs", "peak_bytes", lambda p: p["runs"], 1e-9, anchor=-1)
    _line(panels[2], runs, "runs", "planned_bytes", PLANNED, 1e-9)
    _panel(panels[3], widths, "width", "epoch_seconds", _arithmetic)
    _panel(panels[4], depths, "depth", "epoch_seconds", _arithmetic)
    _panel(panels[5], directions, "directions", "measure_seconds", lambda p: p["directions"])
    panels[1].set_yscale("linear")
    panels[4].set_yscale("linear")
    panels[4].set_xscale("linear")
    panels[4].xaxis.set_major_locator(FixedLocator([point["depth"] for point in depths]))
    panels[4].xaxis.set_minor_locator(NullLocator())
    for axes in (panels[1], panels[4]):
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    texts = (
        ("R, runs in the stack", "seconds", "one epoch of all runs"),
        ("R, runs in the stack", "seconds", "one epoch of one run"),
        ("R, runs in the stack", "GB", "peak memory"),
        ("d, hidden units", "seconds", "one epoch of 5 runs"),
        ("L, residual blocks", "seconds", "one epoch of 5 runs"),
        ("directions per sample", "seconds", "diagnostics of 5 runs, once"),
    )
    for axes, (x, y, text) in zip(panels, texts, strict=True):
        tidy(axes)
        axes.set_xlabel(x, fontsize=TEXT)
        axes.set_ylabel(y, fontsize=TEXT)
        say(axes, text)
    handles = [
        entry("measured", **MEASURED),
        entry("planner's estimate", **PLANNED),
        entry("in proportion to the work", **IDEAL),
    ]
    settings = f"{result['hardware']}, torch {result['torch']}, {result['date']}"
    finish(figure, handles, f"{settings}; {_count(result)}")
    return figure


def _count(result: dict) -> str:
    """What a point is, and of how many rounds."""
    counts = {len(found) for point in result["points"] for found in point["rounds"].values()}
    n = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return f"median of n = {n} rounds, no error bars" if n != "1" else "n = 1 round, no error bars"


def _points(result: dict, sweep: str) -> list[dict]:
    found = [point for point in result["points"] if sweep in point["sweeps"]]
    return sorted(found, key=lambda point: point[sweep])


def _arithmetic(point: dict) -> float:
    """Weights of one run on CIFAR-10: what a sample's arithmetic is in proportion to."""
    d = point["width"]
    return 3072 * d + point["depth"] * 2 * d * d + 10 * d


def _line(axes: Axes, points: list[dict], x: str, y: str, own: dict, scale: float = 1) -> None:
    values = [point["median"][y] * scale for point in points]
    axes.errorbar([point[x] for point in points], values, **own)


def _panel(
    axes: Axes,
    points: list[dict],
    x: str,
    y: str,
    ideal: Callable[[dict], float],
    scale: float = 1,
    anchor: int = 0,
) -> None:
    """Measured values, and dashed what they were if they grew from one point as `ideal` does."""
    _line(axes, points, x, y, MEASURED, scale)
    unit = points[anchor]["median"][y] * scale / ideal(points[anchor])
    axes.plot([point[x] for point in points], [unit * ideal(point) for point in points], **IDEAL)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator([point[x] for point in points]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())

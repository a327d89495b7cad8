"""The story as one figure for a page: a panel per claim, with its numbers and its threshold."""

import math
import textwrap
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from credit.analysis.drawing import GREY, NARROW, SMALL, WIDE, add_legend
from credit.analysis.frozen_figure import titled_figure
from credit.analysis.story import COLORS, Chapter
from credit.analysis.story_claim import MISSING, Claim
from credit.errors import CreditError

_TINY = 5.5  # points
_MARKERS = ("o", "s", "^", "D")
_SHADE = "#e8eee8"
_ROW, _FRAME = 0.105, 0.62  # inches: a line of numbers, and what a panel needs around them


def story_figure(chapters: Iterable[Chapter], title: str, width: float = WIDE) -> Figure:
    """A panel per claim: mean ± sample sd, every seed, the threshold, shaded where it holds.

    Experiments that are not there are named below.

    Args:
        chapters: of `story.tell`.
        width: in inches; narrow figures have fewer panels in a row.

    Raises:
        CreditError: no chapter has a claim.
    """
    told = list(chapters)
    panels = [(own, i, one) for own in told for i, one in enumerate(own.claims, start=1)]
    if not panels:
        raise CreditError("nothing to draw: no experiment of the story has a finished run")
    columns = 3 if width > NARROW else 1
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    heights = [_FRAME + _ROW * max(len(_labels(one)) for *_, one in row) for row in rows]
    figure = titled_figure(title, width, sum(heights) + 1.1)
    figure.get_layout_engine().set(hspace=0.02, h_pad=0.02, w_pad=0.03)  # pyright: ignore
    grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
    for index, (own, number, one) in enumerate(panels):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        _panel(axes, own, number, one, width / columns)
    missing = [f"{own.place} {own.kind}" for own in told if own.status == MISSING or own.trouble]
    if missing:
        text = f"not there yet: {', '.join(missing)}"
        figure.supxlabel(text, fontsize=SMALL, color=COLORS[MISSING])
    add_legend(figure, _legend(), width)
    return figure


def _panel(axes: Axes, own: Chapter, number: int, one: Claim, room: float) -> None:
    labels = _labels(one)
    kinds = list(dict.fromkeys(point.kind for point in one.points))
    unit, color = one.unit, COLORS[one.status]
    for point in one.points:
        place, kind = labels.index(point.label), kinds.index(point.kind)
        y = place + 0.22 * (kind - (len(kinds) - 1) / 2)
        seeds = [unit.scale * value for value in point.values.values()]
        if len(seeds) > 1:
            axes.plot(seeds, [y] * len(seeds), "|", color=GREY, markersize=4, alpha=0.7, zorder=2)
        if math.isfinite(point.mean):
            axes.errorbar(
                unit.scale * point.mean,
                y,
                xerr=unit.scale * point.sd if point.sd > 0 else None,
                color=color,
                marker=_MARKERS[kind % len(_MARKERS)],
                markersize=3,
                markerfacecolor="white" if kind else color,
                markeredgewidth=0.7,
                elinewidth=0.8,
                capsize=1.5,
                zorder=3,
            )
        else:
            axes.text(0.02, y, "not valid", fontsize=_TINY, transform=axes.get_yaxis_transform())
    _frame(axes, one, labels)
    title = textwrap.fill(f"{own.place}.{number} {one.name}: {one.status}", int(room * 19))
    what = "; ".join(filter(None, (" ".join(filter(None, (one.seeds, _short(own)))), _key(kinds))))
    axes.set_title(title, fontsize=6.5, loc="left", color=color, fontweight="bold", pad=8 + 6 * (len(what) > 46))
    wrapped = textwrap.fill(what, int(room * 22))
    axes.text(0, 1.01, wrapped, fontsize=5, color=GREY, va="bottom", transform=axes.transAxes)


def _frame(axes: Axes, one: Claim, labels: list[str]) -> None:
    """Axes, threshold and the shade where the claim holds."""
    unit, limit = one.unit, one.limit
    bounds = [unit.scale * bound for bound in limit.bounds]
    for bound in bounds:
        axes.axvline(bound, color="black", linewidth=0.8, linestyle="--", zorder=1)
    if not bounds or min(bounds) != 0:
        axes.axvline(0, color=GREY, linewidth=0.4, zorder=1)
    axes.margins(x=0.08)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    low, high = axes.get_xlim()
    first, last = unit.scale * limit.low, unit.scale * limit.high
    spans = [(max(first, low), min(last, high))]
    if not limit.inside:
        spans = [(low, first), (last, high)]
    for start, end in spans:
        axes.axvspan(start, end, color=_SHADE, zorder=0, linewidth=0)
    axes.set_xlim(low, high)
    axes.set_yticks(range(len(labels)), labels, fontsize=_TINY)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="x", labelsize=_TINY, length=2, pad=1)
    axes.tick_params(axis="y", length=0, pad=1)
    axes.set_xlabel(textwrap.fill(unit.axis, 48), fontsize=_TINY, labelpad=1)
    axes.spines[["top", "right"]].set_visible(False)


def _labels(one: Claim) -> list[str]:
    return list(dict.fromkeys(point.label for point in one.points)) or [""]


def _short(own: Chapter) -> str:
    """The settings in few letters."""
    return own.settings if own.settings != "published" else ""


def _key(kinds: list[str]) -> str:
    """Which marker is which quantity, where there are several."""
    names = ("●", "□", "△", "◇")
    return " ".join(f"{m} {k}" for m, k in zip(names, kinds, strict=False)) if len(kinds) > 1 else ""


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=GREY, marker="o", markersize=3, label="mean ± sample sd over n seeds"),
        Line2D([], [], color=GREY, marker="|", linewidth=0, label="one seed"),
        Line2D([], [], color="black", linestyle="--", linewidth=0.8, label="threshold"),
        Patch(color=_SHADE, label="where the claim holds"),
    ]

"""The story as one figure for a page: a panel per claim, with its numbers and its threshold."""

import math
from collections.abc import Iterable
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from credit.analysis.drawing import GREY, SERIES, SHADE, key
from credit.analysis.page import DPI, NARROW, TEXT, TITLE, WIDE, fitted, legend_below, wrapped
from credit.analysis.story import Chapter
from credit.analysis.story_claim import MISSING, UNDECIDED, Claim
from credit.analysis.story_tables import COLORS
from credit.errors import CreditError

PAGE = WIDE
"""Width in inches of a printed page, without its margins."""

_TINY, _SMALL = 6, 6.3  # points
_BOLD = "bold"
_MARKERS = dict(zip(("Γ", "Γ, l < L", "ρ"), (style.marker for style in SERIES), strict=True))
"""By quantity, where a claim is about several."""
# inches: a line of numbers, a panel's title and axis, a chapter's heading, its labels, its edges
_LINE, _ABOVE, _BELOW, _HEADING, _LABELS, _EDGE = 0.125, 0.3, 0.32, 0.34, 1.1, 0.12
_TOP, _BOTTOM = 0.35, 0.1


def story_figure(chapters: Iterable[Chapter], title: str, width: float = PAGE) -> Figure:
    """Chapter by chapter, a panel per claim, shaded where the claim holds.

    A panel has the mean of each number, an error bar (sample sd over seeds, where there are
    several), every seed, and the threshold. Chapters that are not there yet are named.

    Args:
        chapters: of `story.tell`.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: no chapter has a claim.
    """
    told = list(chapters)
    if not any(own.claims for own in told):
        raise CreditError("nothing to draw: no experiment of the story has a finished run")
    columns = 3 if width > NARROW else 1
    rows = [(own, _rows(own, columns)) for own in told]
    head = wrapped(title, width - 4 * _EDGE, TITLE)
    top = _TOP + 0.15 * head.count("\n")
    height = top + sum(_HEADING + sum(map(_height, panels)) for _, panels in rows)
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    legend = legend_below(figure, _legend(), _SMALL)
    below = _BOTTOM + (legend.get_window_extent().height / DPI if legend else 0)
    figure.set_size_inches(width, height + below)
    _write(figure, width / 2, 0.1, head, TITLE, ha="center")
    down, column = top, (width - 2 * _EDGE) / columns
    for own, panels in rows:
        _heading(figure, own, down)
        down += _HEADING
        for row in panels:
            for place, (number, one) in enumerate(row):
                _panel(figure, (_EDGE + place * column, down, column, _height(row)), number, one)
            down += _height(row)
    return figure


def _rows(own: Chapter, columns: int) -> list[list[tuple[str, Claim]]]:
    named = [(f"{own.place}.{i}", one) for i, one in enumerate(own.claims, start=1)]
    return [named[i : i + columns] for i in range(0, len(named), columns)]


def _height(row: list[tuple[str, Claim]]) -> float:
    return _ABOVE + _BELOW + _LINE * max(1.8, *(_lines(one) for _, one in row))


def _lines(one: Claim) -> int:
    """How many lines the labels of a panel take: all of them as many as the longest one."""
    return len(_labels(one)) * max(_shown(label).count("\n") + 1 for label in _labels(one))


def _shown(label: str) -> str:
    return fitted(label, _LABELS - 0.06, _TINY, lines=2)


def _write(figure: Figure, x: float, down: float, text: str, size: float, **look: str) -> None:
    """Text at inches from the left and from the top."""
    width, height = figure.get_size_inches()
    place = (x / width, 1 - down / height)
    figure.text(*place, text, fontsize=size, va="top", parse_math=False, **look)


def _heading(figure: Figure, own: Chapter, down: float) -> None:
    room = figure.get_size_inches()[0] - 2 * _EDGE
    state = own.trouble or own.settings
    if own.status == MISSING:
        state = f"{MISSING}: {own.command}"
    origin = f"{own.kind} {own.parent[:8]}".strip()
    gone = own.status == MISSING or own.trouble
    color = COLORS[UNDECIDED] if gone else "black"
    look = {"color": color, "fontweight": _BOLD}
    question = fitted(f"{own.place} {own.question}", room, TEXT, _BOLD)
    _write(figure, _EDGE, down + 0.03, question, TEXT, **look)
    text = fitted(f"{state}; {origin}", room, _SMALL)
    _write(figure, _EDGE, down + 0.185, text, _SMALL, color=GREY)


def _panel(figure: Figure, box: tuple[float, float, float, float], number: str, one: Claim) -> None:
    """One claim, in a box of left, top, width and height in inches."""
    left, top, room, tall = box
    width, height = figure.get_size_inches()
    place = (left + _LABELS, height - top - tall + _BELOW, room - _LABELS - 0.15)
    inner = (tall - _ABOVE - _BELOW) / height
    axes = figure.add_axes((place[0] / width, place[1] / height, place[2] / width, inner))
    labels, kinds = _labels(one), list(dict.fromkeys(point.kind for point in one.points))
    for point in one.points:
        middle = (len(kinds) - 1) / 2
        y = labels.index(point.label) + 0.24 * (kinds.index(point.kind) - middle)
        seeds = [one.unit.scale * value for value in point.values.values()]
        if len(seeds) > 1:
            axes.plot(seeds, [y] * len(seeds), "|", color=GREY, markersize=4, zorder=2)
        if not math.isfinite(point.mean):
            middle_left = axes.get_yaxis_transform()
            axes.text(0.03, y, "not valid", fontsize=_TINY, va="center", transform=middle_left)
            continue
        axes.errorbar(
            one.unit.scale * point.mean,
            y,
            xerr=one.unit.scale * point.sd if point.sd > 0 else None,
            color=COLORS[one.status],
            marker=_MARKERS.get(point.kind, _MARKERS["Γ"]),
            markersize=3.4,
            elinewidth=0.8,
            capsize=1.5,
            zorder=3,
        )
    _frame(axes, one, labels)
    below = top + tall - _BELOW + 0.14
    _write(figure, left + room - 0.15, below, one.unit.axis, _TINY, ha="right")
    look = {"color": COLORS[one.status], "fontweight": _BOLD}
    name = fitted(f"{number} {one.name}", room - 0.05, _SMALL, _BOLD)
    _write(figure, left, top, name, _SMALL, **look)
    _write(figure, left, top + 0.145, one.status, _TINY, **look)
    said = "; ".join(filter(None, (one.limit.text(one.unit), one.seeds)))
    _write(figure, left + 0.72, top + 0.145, fitted(said, room - 0.75, _TINY), _TINY, color=GREY)


def _frame(axes: Axes, one: Claim, labels: list[str]) -> None:
    """Axes, threshold, and the shade where the claim holds."""
    unit, limit = one.unit, one.limit
    bounds = [unit.scale * bound for bound in limit.bounds]
    for bound in bounds:
        axes.axvline(bound, color="black", linewidth=0.8, linestyle="--", zorder=1)
    axes.axvline(0, color=GREY, linewidth=0.4, zorder=1)
    axes.margins(x=0.1)
    low, high = axes.get_xlim()
    if limit.inside and bounds:  # some of where it would hold, however far the numbers are
        room = 0.15 * (high - low)
        low = min(low, max(bounds) - room) if math.isfinite(limit.high) else low
        high = max(high, min(bounds) + room) if math.isfinite(limit.low) else high
    first, last = max(unit.scale * limit.low, low), min(unit.scale * limit.high, high)
    for start, end in [(first, last)] if limit.inside else [(low, first), (last, high)]:
        axes.axvspan(start, end, color=SHADE, zorder=0, linewidth=0)
    axes.set_xlim(low, high)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    shown = [_shown(label) for label in labels]
    axes.set_yticks(range(len(labels)), shown, fontsize=_TINY, linespacing=1)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(axis="x", labelsize=_TINY, length=2, pad=1)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _labels(one: Claim) -> list[str]:
    return list(dict.fromkeys(point.label for point in one.points)) or [""]


def _legend() -> list[Artist]:
    filled: dict[str, Any] = {"markerfacecolor": GREY, "markersize": 4}
    return [
        Line2D([], [], color=GREY, linewidth=0.8, label="error bar: ± sample sd over seeds"),
        key("|", "one seed", markersize=5),
        *(
            key(m, f"mean of {kind}" if i else "mean (Γ, of several)", **filled)
            for i, (kind, m) in enumerate(_MARKERS.items())
        ),
        Line2D([], [], color="black", linestyle="--", linewidth=0.8, label="threshold"),
        Patch(color=SHADE, label="where the claim holds"),
    ]

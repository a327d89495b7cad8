"""The boundary ablation as a figure: direction and accuracy, a column of panels per sweep."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.cells import QUANTITIES
from credit.analysis.drawing import GREY, NARROW, OURS, SMALL, TEXT, WIDE, Style, add_legend
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_LOOKS = {
    "alignment": Style("#0072B2", "o"),
    "rho": Style("#D55E00", "s"),
    "accuracy": Style("#000000", "D"),
}


def boundary_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Γ and ρ, and below them accuracy, a column per sweep; the base setting is shaded.

    Args:
        table: of `boundary`.
        width: in inches; narrow figures show two sweeps beside each other.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    names = list(dict.fromkeys(table["sweep"]))
    columns = min(len(names), 4 if width > NARROW else 2)
    bands = -(-len(names) // columns)
    figure = Figure(figsize=(width, 1.1 + 3.1 * bands), dpi=200, layout="constrained")
    size = 10 if width > NARROW else 9
    figure.suptitle(textwrap.fill(title, int(width * 120 / size)), fontsize=size)
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    above, below = (list(grid[start::2].flat) for start in (0, 1))
    for axes in (*above[len(names) :], *below[len(names) :]):
        axes.remove()
    handles: list[Any] = []
    for index, name in enumerate(names):
        own, left = pick(table, sweep=name), index % columns == 0
        upper, lower = above[index], below[index]
        handles = _panel(upper, own, ("alignment", "rho"), table, left)
        handles += _panel(lower, own, ("accuracy",), table, left)
        upper.set_title(name.replace(", ", "\n"), fontsize=TEXT)
        upper.tick_params(labelbottom=False)
        if left:
            upper.set_ylabel("Γ and ρ", fontsize=TEXT)
            lower.set_ylabel("test accuracy", fontsize=TEXT)
    note = seeds_text(table).replace("sample sd", "sample sd (error bars)")
    note = f"{note}; Γ, ρ: means over l ≥ 1; shaded: the base setting"
    add_legend(figure, handles, width)
    figure.legends[0].set_title(textwrap.fill(note, int(width * 17)), {"size": SMALL})
    figure.legends[0].get_title().set_color(GREY)
    return figure


def _panel(
    axes: Axes, own: pd.DataFrame, kinds: Sequence[str], table: pd.DataFrame, left: bool
) -> list[Any]:
    """Draw quantities of one sweep, evenly spaced; their limits are those of the whole table."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT, labelleft=left)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    handles: list[Any] = []
    for index, kind in enumerate(kinds):
        places = [x + 0.08 * (index - (len(kinds) - 1) / 2) for x in range(len(own))]
        line = "none" if own["sweep"].iloc[0] == "code" else "-"
        bars = axes.errorbar(
            places,
            own[kind],
            yerr=own[f"{kind}_sd"],
            color=_LOOKS[kind].color,
            marker=_LOOKS[kind].marker,
            linestyle=line,
            label=QUANTITIES[kind],
            **OURS,
        )
        handles.append(bars)
    for place, base in enumerate(own["base"]):
        if base:
            axes.axvspan(place - 0.35, place + 0.35, color=GREY, alpha=0.12, linewidth=0, zorder=0)
    axes.set_xticks(range(len(own)), own["value"], rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.5, len(own) - 0.5)
    ends = [
        table[kind] + sign * table[f"{kind}_sd"].fillna(0) for kind in kinds for sign in (-1, 1)
    ]
    low, high = min(e.min() for e in ends), max(e.max() for e in ends)
    if math.isfinite(low):
        margin = 0.06 * (high - low) or 0.01
        axes.set_ylim(low - margin, high + margin)
    return handles

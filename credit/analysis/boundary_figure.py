"""The boundary ablation as a figure: direction and accuracy, a column of panels per sweep."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.cells import QUANTITIES
from credit.analysis.drawing import AXES, GREY, MEANING, entry, look, spread, style_of
from credit.analysis.page import NARROW, TEXT, WIDE, finish, name_ticks, tidy, titled_figure
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_RULE = "credit_bridge"  # the one rule that has a boundary to vary
_UPPER, _LOWER = {"alignment": 0, "rho": 1}, {"accuracy": 0}
"""Quantities of the two rows of panels, as variants of the rule's look."""


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
    figure = titled_figure(title, width, 0.3 + 3.0 * bands)
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    above, below = (list(grid[start::2].flat) for start in (0, 1))
    for axes in (*above[len(names) :], *below[len(names) :]):
        axes.remove()
    for index, name in enumerate(names):
        own, left = pick(table, sweep=name), index % columns == 0
        upper, lower = above[index], below[index]
        _panel(upper, own, _UPPER, table, left)
        _panel(lower, own, _LOWER, table, left)
        upper.set_title(name.replace(", ", "\n"), fontsize=TEXT)
        upper.tick_params(labelbottom=False)
        if left:
            upper.set_ylabel("Γ and ρ", fontsize=TEXT)
            lower.set_ylabel(AXES["accuracy"].replace(" (", "\n("), fontsize=TEXT)
    handles: list[Artist] = [
        entry(QUANTITIES[kind], **look(style_of(_RULE), variant))
        for kind, variant in (_UPPER | _LOWER).items()
    ]
    notes = (MEANING["deep"], MEANING["rho"], spread(seeds_text(table)))
    finish(figure, handles, title, *notes, "shaded: the base setting")
    return figure


def _panel(
    axes: Axes, own: pd.DataFrame, kinds: Mapping[str, int], table: pd.DataFrame, left: bool
) -> None:
    """Draw quantities of one sweep, evenly spaced; their limits are those of the whole table."""
    tidy(axes).tick_params(labelleft=left)
    for kind, variant in kinds.items():
        places = [x + 0.12 * (variant - (len(kinds) - 1) / 2) for x in range(len(own))]
        mine = look(style_of(_RULE), variant)
        if own["sweep"].iloc[0] == "code":
            mine |= {"linestyle": "none"}
        axes.errorbar(places, own[kind], yerr=own[f"{kind}_sd"], **mine)
    for place, base in enumerate(own["base"]):
        if base:
            axes.axvspan(place - 0.35, place + 0.35, color=GREY, alpha=0.12, linewidth=0, zorder=0)
    name_ticks(axes, list(own["value"]))
    ends = [
        table[kind] + sign * table[f"{kind}_sd"].fillna(0) for kind in kinds for sign in (-1, 1)
    ]
    low, high = min(e.min() for e in ends), max(e.max() for e in ends)
    if math.isfinite(low):
        margin = 0.06 * (high - low) or 0.01
        axes.set_ylim(low - margin, high + margin)

"""The depth scan as a figure: accuracy and Γ against the number of blocks, a line per rule."""

from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.drawing import (
    GREY,
    NARROW,
    OURS,
    TEXT,
    WIDE,
    add_legend,
    caption,
    label_of,
    new_figure,
    style_of,
)
from credit.analysis.selection import in_order, pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_APART = 0.012
"""Between the lines of two rules, as a share of the axis, so that error bars can be told apart."""


def depth_scan_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Test accuracy and Γ against L, a line per rule, with error bars.

    Args:
        table: of `depth_scan.scan`. Where Γ is not valid nothing is drawn, and the caption names
            the rule.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    height, room = (3.7, width / 2) if width > NARROW else (5.9, width)
    note = seeds_text(table).replace("sample sd", "sample sd (error bars)")
    figure, panels = new_figure(f"{title}; {note}", width, height, panels=2)
    handles = _lines(panels[0], table, "accuracy")
    _lines(panels[1], table, "alignment")
    panels[0].set_ylabel("test accuracy", fontsize=TEXT)
    panels[1].set_ylabel("Γ, mean over h_1 .. h_L", fontsize=TEXT)
    panels[1].axhline(0, color=GREY, linewidth=0.6, zorder=1)
    reduced = sorted(set(table["run"])) != ["published"]
    caption(panels[0], "at the last epoch" + (" (reduced run)" if reduced else ""), room)
    absent = [
        label_of(rule)
        for rule in in_order(table["rule"])
        if pick(table.loc[table["n"] > 0], rule=rule)["alignment"].isna().any()
    ]
    note = f"Γ not valid where not drawn: {', '.join(absent)}" if absent else "at the last epoch"
    caption(panels[1], note, room)
    add_legend(figure, handles, width)
    return figure


def _lines(axes: Axes, table: pd.DataFrame, quantity: str) -> list[Artist]:
    depths = sorted(table["depth"].unique().tolist())
    span = (depths[-1] - depths[0]) or 1
    rules = in_order(table["rule"])
    handles: list[Any] = []
    for index, rule in enumerate(rules):
        own = pick(table, rule=rule).sort_values("depth")
        color, marker = style_of(rule)
        bars = axes.errorbar(
            own["depth"] + span * _APART * (index - (len(rules) - 1) / 2),
            own[quantity],
            yerr=own[f"{quantity}_sd"],
            color=color,
            marker=marker,
            label=label_of(rule),
            **OURS | {"markersize": 4, "linewidth": 1.2},
        )
        handles.append(bars)
    axes.set_xticks(depths)
    axes.set_xlim(depths[0] - 0.08 * span, depths[-1] + 0.08 * span)
    axes.set_xlabel("L, residual blocks, all trained", fontsize=TEXT)
    return handles

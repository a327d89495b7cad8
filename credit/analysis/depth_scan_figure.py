"""The depth scan as a figure: accuracy and Γ against the number of blocks, a line per rule."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.drawing import (
    AXES,
    MEANING,
    label_of,
    look,
    rule_entry,
    spread,
    style_of,
)
from credit.analysis.page import NARROW, TEXT, WIDE, caption, finish, new_figure, zero_line
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
    figure, panels = new_figure(title, width, 2.8 if width > NARROW else 4.8, panels=2)
    rules = in_order(table["rule"])
    for axes, quantity in zip(panels, ("accuracy", "alignment"), strict=True):
        _lines(axes, table, quantity, rules)
    zero_line(panels[1])
    reduced = sorted(set(table["run"])) != ["published"]
    caption(panels[0], "at the last epoch" + (" (reduced run)" if reduced else ""))
    absent = [
        label_of(rule)
        for rule in rules
        if pick(table.loc[table["n"] > 0], rule=rule)["alignment"].isna().any()
    ]
    note = f"Γ not valid where not drawn: {', '.join(absent)}" if absent else "at the last epoch"
    caption(panels[1], note)
    handles = [rule_entry(rule, rules) for rule in rules]
    finish(figure, handles, title, spread(seeds_text(table)), MEANING["deep"])
    return figure


def _lines(axes: Axes, table: pd.DataFrame, quantity: str, rules: list[str]) -> None:
    depths = sorted(table["depth"].unique().tolist())
    span = (depths[-1] - depths[0]) or 1
    for index, rule in enumerate(rules):
        own = pick(table, rule=rule).sort_values("depth")
        places = own["depth"] + span * _APART * (index - (len(rules) - 1) / 2)
        axes.errorbar(places, own[quantity], yerr=own[f"{quantity}_sd"], **look(style_of(rule)))
    axes.set_xticks(depths)
    axes.set_xlim(depths[0] - 0.08 * span, depths[-1] + 0.08 * span)
    axes.set_xlabel("L, residual blocks, all trained", fontsize=TEXT)
    axes.set_ylabel(AXES[quantity], fontsize=TEXT)

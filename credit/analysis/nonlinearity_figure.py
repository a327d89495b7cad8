"""The nonlinearity ladder as a figure: quantity by depth, a panel per alpha, a line per rule."""

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.drawing import (
    AXES,
    MEANING,
    hollow,
    key,
    look,
    rule_entry,
    spread,
    style_of,
)
from credit.analysis.nonlinearity import QUANTITIES, seeds_text
from credit.analysis.page import NARROW, SMALL, TEXT, WIDE, finish, new_figure, zero_line
from credit.analysis.published_nonlinearity import SOURCE
from credit.analysis.selection import in_order, pick
from credit.errors import CreditError

DRAWN = ("gamma", "rho", "accuracy")
_APART = 0.085
"""Between the lines of two rules, so that error bars can be told apart; two depths are 1 apart."""
_SMALLER = {"linewidth": 1, "capsize": 1.5}


def nonlinearity_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Alignment, loss prediction and accuracy against depth.

    A column per alpha and a row per quantity; in a narrow figure the other way round.

    Args:
        table: of `nonlinearity.table`. Reported values are drawn hollow, right of ours.
        width: in inches.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    alphas = sorted(table["alpha"].unique())
    across = width > NARROW
    places = [(name, alpha) for name in DRAWN for alpha in alphas]
    if not across:
        places = [(name, alpha) for alpha in alphas for name in DRAWN]
    per_row = len(alphas) if across else len(DRAWN)
    rows = len(places) // per_row
    height = 0.4 + (1.5 if across else 1.25) * rows
    share = "row" if across else "col"
    figure, panels = new_figure(title, width, height, len(places), per_row, share)
    rules = in_order(table["rule"])
    for index, (axes, (name, alpha)) in enumerate(zip(panels, places, strict=True)):
        _panel(axes, pick(table, alpha=alpha), name, rules)
        label, size = QUANTITIES[name].label, TEXT if across else SMALL
        axes.tick_params(labelsize=size)
        if index < per_row:
            head = f"α = {alpha:g}" if across else label.replace(" ", "\n", 1)
            axes.set_title(head, fontsize=size)
        if index % per_row == 0:
            axes.set_ylabel(label if across else f"α = {alpha:g}", fontsize=size)
        if index >= len(places) - per_row:
            axes.set_xlabel(AXES["depth"] if across else "L, residual\nblocks", fontsize=size)
    handles: list[Artist] = [rule_entry(rule, rules) for rule in rules]
    source = ""
    if table[["gamma_reported", "rho_reported"]].notna().any(axis=None):
        handles.append(key("o", "reported"))
        source = f"hollow: {SOURCE}, means, on their teacher and data"
    notes = (MEANING["deep"], MEANING["rho"], spread(seeds_text(table)), source)
    finish(figure, handles, title, *notes)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, name: str, rules: list[str]) -> None:
    depths = sorted(table["depth"].unique())
    zero_line(axes)
    for index, rule in enumerate(rules):
        own, style = pick(table, rule=rule).sort_values("depth"), style_of(rule)
        x = own["depth"].map(depths.index) + _APART * (index - (len(rules) - 1) / 2)
        axes.errorbar(x, own[name], yerr=own[f"{name}_sd"], **look(style) | _SMALLER)
        if f"{name}_reported" in own:
            known = own[f"{name}_reported"].notna()
            reported = own.loc[known, f"{name}_reported"]
            axes.errorbar(x[known] + 3 * _APART, reported, **hollow(style))
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.set_xlim(-0.5, len(depths) - 0.5)

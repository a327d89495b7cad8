"""The nonlinearity ladder as a figure: quantity by depth, a panel per alpha, a line per rule."""

from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from credit.analysis.drawing import (
    GREY,
    NARROW,
    OURS,
    REPORTED,
    SMALL,
    TEXT,
    WIDE,
    add_legend,
    key,
    label_of,
    new_figure,
    style_of,
)
from credit.analysis.nonlinearity import QUANTITIES, seeds_text
from credit.analysis.selection import in_order, pick
from credit.errors import CreditError

DRAWN = ("gamma", "rho", "accuracy")
_APART = 0.085
"""Between the lines of two rules, so that error bars can be told apart; two depths are 1 apart."""
_SMALLER = OURS | {"markersize": 4, "linewidth": 1.1, "capsize": 2}


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
    height = 1.0 + (1.6 if across else 1.35) * rows
    full_title = f"{title}; {_note(table)}"
    figure, panels = new_figure(full_title, width, height, panels=len(places), per_row=per_row)
    rules = in_order(table["rule"])
    for index, (axes, (name, alpha)) in enumerate(zip(panels, places, strict=True)):
        _panel(axes, pick(table, alpha=alpha), name, rules)
        label = QUANTITIES[name].label
        if index < per_row:
            axes.set_title(f"α = {alpha:g}" if across else label, fontsize=TEXT)
        if index % per_row == 0:
            axes.set_ylabel(label if across else f"α = {alpha:g}", fontsize=TEXT)
        if index >= len(places) - per_row:
            axes.set_xlabel("L, residual blocks", fontsize=TEXT if across else SMALL)
    lines: list[Artist] = [
        Line2D([], [], color=color, marker=marker, markersize=5, label=label_of(rule))
        for rule in rules
        for color, marker in [style_of(rule)]
    ]
    add_legend(figure, lines + [key("o", "reported")] * _has_reported(table), width)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, name: str, rules: list[str]) -> None:
    depths = sorted(table["depth"].unique())
    axes.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    for index, rule in enumerate(rules):
        own = pick(table, rule=rule).sort_values("depth")
        color, marker = style_of(rule)
        look: dict[str, Any] = {"color": color, "marker": marker}
        x = own["depth"].map(depths.index) + _APART * (index - (len(rules) - 1) / 2)
        axes.errorbar(x, own[name], yerr=own[f"{name}_sd"], **look, **_SMALLER)
        if f"{name}_reported" in own:
            known = own[f"{name}_reported"].notna()
            axes.errorbar(
                x[known] + 3 * _APART, own.loc[known, f"{name}_reported"], **look, **REPORTED
            )
    axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
    axes.set_xlim(-0.5, len(depths) - 0.5)


def _note(table: pd.DataFrame) -> str:
    note = seeds_text(table)
    if any(table[f"{name}_sd"].notna().any() for name in DRAWN):
        note = note.replace("sample sd", "sample sd (error bars)")
    if _has_reported(table):
        note += "; hollow: reported by the experiment's authors, on their teacher and data"
    return note


def _has_reported(table: pd.DataFrame) -> bool:
    return bool(table[["gamma_reported", "rho_reported"]].notna().any(axis=None))

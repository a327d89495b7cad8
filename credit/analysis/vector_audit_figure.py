"""The vector audit as a figure: direction and accuracy by variant, a colour per depth."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.cells import QUANTITIES
from credit.analysis.drawing import (
    GREY,
    NARROW,
    OURS,
    REPORTED,
    TEXT,
    WIDE,
    Style,
    add_legend,
    caption,
    key,
    new_figure,
)
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.analysis.vector_audit import EMPTY, in_order, sources
from credit.analysis.vector_audit_checks import COLLAPSED
from credit.analysis.wording import short
from credit.errors import CreditError

_DEPTHS = tuple(map(Style, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), "osD^"))


def vector_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Γ, ρ and accuracy by variant, a colour per depth; reported values hollow.

    Args:
        table: of `vector_table`.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    height, room = (3.6, width / 4) if width > NARROW else (7.2, width)
    figure, panels = new_figure(title, width, height, panels=3)
    names = in_order(table["variant"])
    depths = sorted(table["depth"].unique())
    handles: list[Any] = []
    for axes, quantity in zip(panels, ("alignment", "rho", "accuracy"), strict=True):
        handles = [
            _points(axes, pick(table, depth=depth), names, quantity, index, len(depths))
            for index, depth in enumerate(depths)
        ]
        axes.set_xticks(
            range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=TEXT
        )
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylabel(QUANTITIES[quantity], fontsize=TEXT)
    if EMPTY in names:
        place = names.index(EMPTY)
        panels[0].fill_between(
            [place - 0.5, place + 0.5], -COLLAPSED, COLLAPSED, color=GREY, alpha=0.15, linewidth=0
        )
        caption(panels[0], f"shaded: collapsed, |Γ| < {short(COLLAPSED)[:-1]}", room)
    caption(panels[1], "Γ and ρ: mean over l ≥ 1", room)
    caption(panels[2], seeds_text(table), room)
    if sources(table):
        handles.append(key("o", "reported by the experiment's authors"))
    add_legend(figure, handles, width)
    return figure


def _points(
    axes: Axes, own: pd.DataFrame, names: list[str], quantity: str, index: int, depths: int
) -> Any:
    """One depth's points in a panel, and what was reported right of them."""
    look = _DEPTHS[index % len(_DEPTHS)]
    shift = 0.5 * (index - (depths - 1) / 2) / max(depths - 1, 1) - 0.09
    places = own["variant"].map(names.index) + shift
    bars = axes.errorbar(
        places,
        own[quantity],
        yerr=own[f"{quantity}_sd"],
        color=look.color,
        marker=look.marker,
        linestyle="none",
        label=f"L={own['depth'].iloc[0]}",
        **OURS,
    )
    if f"reported_{quantity}" in own:
        known = own[f"reported_{quantity}"].notna()
        axes.errorbar(
            places[known] + 0.18,
            own.loc[known, f"reported_{quantity}"],
            color=look.color,
            marker=look.marker,
            **REPORTED,
        )
    return bars

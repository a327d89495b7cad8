"""Frozen recovery as a figure: Γ and ρ by arm, and below them Γ by hidden state."""

import math
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.drawing import (
    AXES,
    GREY,
    MEANING,
    Style,
    entry,
    hollow,
    key,
    look,
    spread,
    style_of,
)
from credit.analysis.frozen import in_order, is_field
from credit.analysis.page import (
    NARROW,
    TEXT,
    WIDE,
    caption,
    finish,
    name_ticks,
    tidy,
    titled_figure,
    zero_line,
)
from credit.analysis.published_frozen import SOURCE
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_SHOWN = {
    "alignment": "mean over l ≥ 1",
    "alignment_inner": "without h_L, where some arms are taught the gradient",
    "rho": "mean over l ≥ 1",
}
"""The quantities by arm, and what stands above their panels."""
_ROW = 3  # networks in one row of a page


def frozen_figure(
    table: pd.DataFrame, layers: pd.DataFrame, title: str, width: float = WIDE
) -> Figure:
    """Γ, Γ below h_L and ρ by arm, side by side by network; Γ by hidden state, a panel per network.

    Reported values are hollow, and drawn only where our settings are the reported ones.

    Args:
        table, layers: of `frozen.table` and `frozen.layers`.
        width: in inches; narrow figures stack the panels of arms and show two networks in a row.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty or layers.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    names = list(dict.fromkeys(table["network"]))
    wide = width > NARROW
    columns = min(len(names), _ROW if wide else 2)
    above, rows = 1 if wide else len(_SHOWN), -(-len(names) // columns)
    figure = titled_figure(title, width, 0.3 + (2.4 if wide else 1.4) * (above + rows))
    span = math.lcm(len(_SHOWN), columns) if wide else columns
    grid = figure.add_gridspec(above + rows, span)
    third = span // len(_SHOWN)
    for index, (quantity, words) in enumerate(_SHOWN.items()):
        place = grid[0, third * index : third * (index + 1)] if wide else grid[index, :]
        axes = tidy(figure.add_subplot(place))
        _arms(axes, table, quantity, names)
        axes.tick_params(labelbottom=wide or index == len(_SHOWN) - 1)  # stacked ones share theirs
        caption(axes, words)
    first: Axes | None = None
    for index, name in enumerate(names):
        left = span // columns * (index % columns)
        place = grid[above + index // columns, left : left + span // columns]
        axes = tidy(figure.add_subplot(place, sharey=first))
        first = first or axes
        _layers(axes, pick(layers, network=name))
        caption(axes, f"{name}; dotted: h_L")
        if not index % columns:
            axes.set_ylabel(AXES["alignment"], fontsize=TEXT)
    arms = in_order(layers["arm"])
    handles: list[Artist] = [entry(arm, **look_of(arm, arms)) for arm in arms]
    if len(names) > 1:
        grey = Style(GREY, "o")
        keys = [look(grey, i) | {"linestyle": "none"} for i in range(len(names))]
        handles = [*(entry(n, **k) for n, k in zip(names, keys, strict=True)), *handles]
    source = ""
    if _comparable(table).any():
        handles.append(key("o", "reported"))
        source = f"hollow: {SOURCE}, means"
    notes = (MEANING["alignment"], MEANING["rho"], spread(seeds_text(table)), source)
    finish(figure, handles, title, *notes)
    return figure


def look_of(arm: str, arms: list[str]) -> dict[str, Any]:
    """How an arm looks: as its rule; the credit bridge told deltaL and larger M are variants."""
    if is_field(arm):
        fields = [other for other in arms if is_field(other)]
        return look(style_of("vector_field"), fields.index(arm))
    if arm.startswith("credit_"):
        return look(style_of("credit_bridge"), int(arm != "credit_eT"))
    return look(style_of(arm))


def _arms(axes: Axes, table: pd.DataFrame, quantity: str, networks: list[str]) -> None:
    """All points of a panel, network beside network, and what was reported right of them."""
    arms = in_order(table["arm"])
    for index, network in enumerate(networks):
        shift = 0.6 * (index - (len(networks) - 1) / 2) / max(len(networks) - 1, 1) - 0.04
        fill = look(Style(GREY, "o"), index)["fillstyle"]
        for row in pick(table, network=network).to_dict("records"):
            mine = look_of(row["arm"], arms) | {"linestyle": "none", "fillstyle": fill}
            mine["markersize"] *= 0.8 if len(networks) > 1 else 1
            place = arms.index(row["arm"]) + shift
            axes.errorbar([place], [row[quantity]], yerr=[row[f"{quantity}_sd"]], **mine)
            known = pd.notna(row["reported_alignment"]) and not row["departures"]
            if quantity == "alignment" and known:
                theirs = hollow(Style(mine["color"], mine["marker"]))
                axes.errorbar([place + 0.24], [row["reported_alignment"]], **theirs)
    zero_line(axes)
    name_ticks(axes, arms)
    axes.set_ylabel(AXES[quantity], fontsize=TEXT)


def _comparable(table: pd.DataFrame) -> pd.Series:
    return table["reported_alignment"].notna() & (table["departures"] == "")


def _layers(axes: Axes, own: pd.DataFrame) -> None:
    """One network's lines over hidden states."""
    arms, last = in_order(own["arm"]), int(own["layer"].max())
    axes.axvline(last, color=GREY, linewidth=0.6, linestyle=":", zorder=1)
    zero_line(axes)
    for arm in arms:
        line = pick(own, arm=arm)
        axes.errorbar(
            line["layer"], line["alignment"], yerr=line["alignment_sd"], **look_of(arm, arms)
        )
    axes.set_xticks(range(last + 1))
    axes.set_xlabel(AXES["layer"], fontsize=TEXT)

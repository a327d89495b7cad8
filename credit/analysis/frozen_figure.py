"""Frozen recovery as a figure: Γ and ρ by arm, and below them Γ by hidden state."""

import math
import textwrap
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
    style_of,
)
from credit.analysis.frozen import in_order, is_field
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_NETWORKS = tuple(map(Style, ("#000000", "#882255", "#999933", "#332288"), "osDh"))
"""None of a rule's colours, which the lines have."""
_SHOWN = ("alignment", "alignment_inner", "rho")
_ROW = 3  # networks in one row of a page
_DASHES = ("-", "--", ":", "-.")


def frozen_figure(
    table: pd.DataFrame, layers: pd.DataFrame, title: str, width: float = WIDE
) -> Figure:
    """Γ, Γ below h_L and ρ by arm, a colour per network; Γ by hidden state, a panel per network.

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
    figure = titled_figure(title, width, 1.2 + (2.8 if wide else 2.3) * (above + rows))
    span = math.lcm(len(_SHOWN), columns) if wide else columns
    grid = figure.add_gridspec(above + rows, span)
    handles: list[Any] = []
    third = span // len(_SHOWN)
    for index, quantity in enumerate(_SHOWN):
        place = grid[0, third * index : third * (index + 1)] if wide else grid[index, :]
        axes = tidy(figure.add_subplot(place))
        handles = [_arms(axes, table, name, quantity, i) for i, name in enumerate(names)]
        caption(axes, _note(table, quantity), width / 3.5 if wide else width)
    lines: list[Any] = []
    first: Axes | None = None
    for index, name in enumerate(names):
        left = span // columns * (index % columns)
        place = grid[above + index // columns, left : left + span // columns]
        axes = tidy(figure.add_subplot(place, sharey=first))
        first = first or axes
        lines = _layers(axes, pick(layers, network=name), lines)
        caption(axes, name if index else f"{name}; dotted: h_L", width / columns)
        if not index % columns:
            axes.set_ylabel("Γ at h_l", fontsize=TEXT)
    add_legend(figure, [*handles, *lines], width)
    return figure


def titled_figure(title: str, width: float, height: float) -> Figure:
    """An empty figure with a title, sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
    size = 10 if width > NARROW else 9
    figure.suptitle(textwrap.fill(title, int(width * 135 / size)), fontsize=size)
    return figure


def tidy(axes: Axes) -> Axes:
    """The panel, without its upper and right frame, with a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    axes.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    return axes


def look_of(arm: str, fields: list[str]) -> dict[str, Any]:
    """How an arm looks: its rule's colour and marker; the credit bridge told deltaL is hollow."""
    if is_field(arm) or arm == "vector_field":
        color, marker = style_of("vector_field")
        dashes = _DASHES[fields.index(arm) % len(_DASHES)] if arm in fields else "-"
        return {"color": color, "marker": marker, "linestyle": dashes}
    if not arm.startswith("credit_"):
        color, marker = style_of(arm)
        return {"color": color, "marker": marker}
    color, marker = style_of("credit_bridge")
    look = {"color": color, "marker": marker}
    return look if arm == "credit_eT" else {**look, "linestyle": ":", "markerfacecolor": "white"}


def _arms(axes: Axes, table: pd.DataFrame, network: str, quantity: str, index: int) -> Any:
    """One network's points in a panel, and what was reported right of them."""
    names, count = in_order(table["arm"]), table["network"].nunique()
    own = pick(table, network=network)
    color, marker = _NETWORKS[index % len(_NETWORKS)]
    shift = 0.5 * (index - (count - 1) / 2) / max(count - 1, 1) - 0.04
    places = own["arm"].map(names.index) + shift
    look: dict[str, Any] = {"color": color, "marker": marker, "linestyle": "none"} | OURS
    bars = axes.errorbar(places, own[quantity], yerr=own[f"{quantity}_sd"], label=network, **look)
    known = _comparable(own)
    if quantity == "alignment" and known.any():
        look = {"color": color, "marker": marker, **REPORTED}
        axes.errorbar(places[known] + 0.2, own.loc[known, "reported_alignment"], **look)
    axes.set_xticks(
        range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=TEXT
    )
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel(QUANTITIES[quantity], fontsize=TEXT)
    return bars


def _note(table: pd.DataFrame, quantity: str) -> str:
    """What a panel of arms says above itself."""
    if quantity == "alignment":
        hollow = (
            "; hollow: reported by the experiment's authors" if _comparable(table).any() else ""
        )
        return f"mean over l ≥ 1{hollow}"
    if quantity == "alignment_inner":
        return "without h_L, where some arms are taught the gradient"
    return ("error bars: " if table["n"].max() > 1 else "") + seeds_text(table)


def _comparable(table: pd.DataFrame) -> pd.Series:
    return table["reported_alignment"].notna() & (table["departures"] == "")


def _layers(axes: Axes, own: pd.DataFrame, known: list[Any]) -> list[Any]:
    """One network's lines over hidden states; returns legend entries, each arm once."""
    arms = in_order(own["arm"])
    fields = [arm for arm in arms if is_field(arm)]
    labels = {str(handle.get_label()) for handle in known}
    last = int(own["layer"].max())
    axes.axvline(last, color=GREY, linewidth=0.6, linestyle=":", zorder=1)
    for arm in arms:
        line = pick(own, arm=arm)
        look = OURS | {"markersize": 4} | look_of(arm, fields)
        bars = axes.errorbar(
            line["layer"], line["alignment"], yerr=line["alignment_sd"], label=arm, **look
        )
        if arm not in labels:
            known = [*known, bars]
    axes.set_xticks(range(last + 1))
    axes.set_xlabel("l of h_l", fontsize=TEXT)
    return known

"""The method comparison as a figure: accuracy by rule, against cost, and Γ by hidden state."""

import textwrap
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.cells import QUANTITIES
from credit.analysis.cost import si
from credit.analysis.drawing import (
    GREY,
    NARROW,
    OURS,
    SMALL,
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

_APART = 0.06
"""Between the lines of two rules, so that error bars can be told apart; two layers are 1 apart."""


def comparison_figure(
    table: pd.DataFrame, layers: pd.DataFrame, title: str, width: float = WIDE
) -> Figure:
    """Accuracy by rule, accuracy against FLOPs per step, and Γ by hidden state.

    Args:
        table: of `comparison.comparison`.
        layers: of `comparison.by_layer`. Where Γ is not valid nothing is drawn, and the caption
            names the rule.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    height, room = (3.9, width / 3) if width > NARROW else (7.8, width)
    note = seeds_text(table).replace("sample sd", "sample sd (error bars)")
    figure, panels = new_figure(f"{title}; {note}", width, height, panels=3)
    rules = in_order(table["rule"])
    handles = _accuracies(panels[0], table, rules, room)
    _against_cost(panels[1], table, rules)
    _by_layer(panels[2], table, layers, rules, room)
    add_legend(figure, handles, width)
    return figure


def _accuracies(axes: Axes, table: pd.DataFrame, rules: list[str], room: float) -> list[Artist]:
    handles: list[Any] = []
    for place, rule in enumerate(rules):
        own = pick(table, rule=rule)
        handles.append(_point(axes, [place], own, rule))
    names = [label_of(rule) for rule in rules]
    axes.set_xticks(
        range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=TEXT
    )
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel(QUANTITIES["accuracy"], fontsize=TEXT)
    reduced = sorted(set(table["run"])) != ["published"]
    caption(axes, "by rule" + (" (reduced run)" if reduced else ""), room)
    return handles


def _against_cost(axes: Axes, table: pd.DataFrame, rules: list[str]) -> None:
    known = table.dropna(subset=["flops", "accuracy"])
    axes.set_ylabel(QUANTITIES["accuracy"], fontsize=TEXT)
    axes.set_xlabel("FLOP per training step", fontsize=TEXT)
    if known.empty:
        _say(axes, "no cost is known")
        return
    for rule in rules:
        own = pick(known, rule=rule)
        if not own.empty:
            _point(axes, own["flops"].tolist(), own, rule)
    axes.set_xscale("log")
    # the counts lie within a decade or so: ticks that a log axis would choose are too few or many
    low, high = float(known["flops"].min()), float(known["flops"].max())
    step = (high / low) ** 0.5
    ticks = [low, low * step, high] if step > 1.15 else [low, high] if step > 1.02 else [low]
    axes.set_xticks(ticks, [si(float(f"{tick:.2g}")) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.margins(x=0.15)


def _by_layer(
    axes: Axes, table: pd.DataFrame, layers: pd.DataFrame, rules: list[str], room: float
) -> None:
    absent = []
    for index, rule in enumerate(rules):
        own = pick(layers, rule=rule)
        if own["alignment"].notna().any():
            color, marker = style_of(rule)
            axes.errorbar(
                own["layer"] + _APART * (index - (len(rules) - 1) / 2),
                own["alignment"],
                yerr=own["alignment_sd"],
                color=color,
                marker=marker,
                **OURS | {"markersize": 3.5, "linewidth": 1.1, "capsize": 1.5},
            )
        if own["alignment"].isna().any() and pick(table, rule=rule)["n"].sum():
            absent.append(label_of(rule))
    if not layers["alignment"].notna().any():
        _say(axes, "no Γ is valid")
    axes.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    depth = int(layers["layer"].max())
    axes.set_xticks(range(0, depth + 1, max(1, depth // 6)))
    axes.set_ylabel("Γ = cos(a, g)", fontsize=TEXT)
    axes.set_xlabel("l of h_l", fontsize=TEXT)
    note = f"Γ not valid where not drawn: {', '.join(absent)}" if absent else "by hidden state"
    caption(axes, note, room)


def _point(axes: Axes, x: list[float] | list[int], own: pd.DataFrame, rule: str) -> Any:
    color, marker = style_of(rule)
    return axes.errorbar(
        x,
        own["accuracy"],
        yerr=own["accuracy_sd"],
        color=color,
        marker=marker,
        label=label_of(rule),
        **OURS | {"linestyle": "none"},
    )


def _say(axes: Axes, words: str) -> None:
    """Why a panel is empty."""
    axes.text(
        *(0.5, 0.5),
        textwrap.fill(words, 20),
        transform=axes.transAxes,
        ha="center",
        color=GREY,
        fontsize=SMALL,
    )

"""The method comparison as a figure: accuracy by rule, against cost, and Γ by hidden state."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.cost import si
from credit.analysis.drawing import (
    AXES,
    MEANING,
    label_of,
    look,
    rule_entry,
    spread,
    style_of,
)
from credit.analysis.page import (
    NARROW,
    TEXT,
    WIDE,
    caption,
    finish,
    name_ticks,
    new_figure,
    say,
    zero_line,
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
    figure, panels = new_figure(title, width, 2.9 if width > NARROW else 6.6, panels=3)
    rules = in_order(table["rule"])
    _accuracies(panels[0], table, rules)
    _against_cost(panels[1], table, rules)
    _by_layer(panels[2], table, layers, rules)
    handles = [rule_entry(rule, rules, linewidth=0) for rule in rules]
    finish(figure, handles, title, spread(seeds_text(table)), MEANING["alignment"])
    return figure


def _accuracies(axes: Axes, table: pd.DataFrame, rules: list[str]) -> None:
    for place, rule in enumerate(rules):
        _point(axes, [place], pick(table, rule=rule), rule)
    name_ticks(axes, [label_of(rule) for rule in rules])
    axes.set_ylabel(AXES["accuracy"], fontsize=TEXT)
    reduced = sorted(set(table["run"])) != ["published"]
    caption(axes, "by rule" + (" (reduced run)" if reduced else ""))


def _against_cost(axes: Axes, table: pd.DataFrame, rules: list[str]) -> None:
    known = table.dropna(subset=["flops", "accuracy"])
    axes.set_ylabel(AXES["accuracy"], fontsize=TEXT)
    axes.set_xlabel("FLOP per training step", fontsize=TEXT)
    caption(axes, "by cost")
    if known.empty:
        say(axes, "no cost\nis known")
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


def _by_layer(axes: Axes, table: pd.DataFrame, layers: pd.DataFrame, rules: list[str]) -> None:
    absent = []
    for index, rule in enumerate(rules):
        own = pick(layers, rule=rule)
        if own["alignment"].notna().any():
            mine = look(style_of(rule)) | {"linewidth": 1, "capsize": 1.5}
            mine["markersize"] *= 0.75
            axes.errorbar(
                own["layer"] + _APART * (index - (len(rules) - 1) / 2),
                own["alignment"],
                yerr=own["alignment_sd"],
                **mine,
            )
        if own["alignment"].isna().any() and pick(table, rule=rule)["n"].sum():
            absent.append(label_of(rule))
    if not layers["alignment"].notna().any():
        say(axes, "no Γ is valid")
    zero_line(axes)
    depth = int(layers["layer"].max())
    axes.set_xticks(range(0, depth + 1, max(1, depth // 6)))
    axes.set_ylabel(AXES["alignment"], fontsize=TEXT)
    axes.set_xlabel(AXES["layer"], fontsize=TEXT)
    note = f"Γ not valid where not drawn: {', '.join(absent)}" if absent else "by hidden state"
    caption(axes, note)


def _point(axes: Axes, x: list[float] | list[int], own: pd.DataFrame, rule: str) -> None:
    mine = look(style_of(rule)) | {"linestyle": "none"}
    axes.errorbar(x, own["accuracy"], yerr=own["accuracy_sd"], **mine)

"""Credit scale as a figure: accuracy against credit_eps, and the size of h_L over epochs."""

from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from credit.analysis.drawing import (
    NARROW,
    OURS,
    REPORTED,
    TEXT,
    WIDE,
    add_legend,
    caption,
    key,
    label_of,
    new_figure,
    style_of,
)
from credit.analysis.selection import in_order, pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_DASHES = {"mean": "-", "sum": "--", "published": ":"}


def credit_scale_figure(
    table: pd.DataFrame, epochs: pd.DataFrame, title: str, width: float = WIDE
) -> Figure:
    """Accuracy against credit_eps by rule and reduction; ‖h_L‖ against epoch, a panel per rule.

    Args:
        table: of `credit_scale.credit_scale`. What others measured is hollow.
        epochs: of `credit_scale.medians`; may be empty.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    rules = in_order(table["rule"])
    count = 1 + len(rules)
    height, room = (3.8, width / count) if width > NARROW else (1.2 + 2.5 * count, width)
    figure, panels = new_figure(title, width, height, panels=count)
    handles = _accuracy_panel(panels[0], table)
    note = seeds_text(table).replace("sample sd", "sample sd (error bars)")
    caption(panels[0], f"{note}; dashed: sum", 0.9 * room)
    levels = sorted(table["eps"].unique())
    shades = colormaps["viridis"].resampled(len(levels) + 1)  # the last one is too light on white
    for axes, rule in zip(panels[1:], rules, strict=True):
        _course_panel(axes, epochs, rule, levels, shades)
        caption(axes, f"{label_of(rule)}: median over seeds; dashed: sum", room)
    handles += [
        Line2D([], [], color=shades(i), linewidth=2, label=f"eps = {eps:g}")
        for i, eps in enumerate(levels)
    ]
    if table["reported_accuracy"].notna().any():
        handles.append(key("o", "measured by others"))
    _same_limits(panels[1:])
    add_legend(figure, handles, width)
    return figure


def _accuracy_panel(axes: Axes, table: pd.DataFrame) -> list[Any]:
    handles: list[Any] = []
    groups = table[["rule", "reduction"]].drop_duplicates().itertuples(index=False)
    for rule, reduction in groups:
        own = pick(table, rule=rule, reduction=reduction).sort_values("eps")
        color, marker = style_of(rule)
        bars = axes.errorbar(
            own["eps"],
            own["accuracy"],
            yerr=own["accuracy_sd"],
            color=color,
            marker=marker,
            linestyle=_DASHES[reduction],
            label=f"{label_of(rule)}, {reduction}",
            **OURS,
        )
        handles.append(bars)
        known = own.dropna(subset=["reported_accuracy"])
        axes.errorbar(
            known["eps"] * 2.5,  # right of ours
            known["reported_accuracy"],
            yerr=known["reported_sd"],
            color=color,
            marker=marker,
            **REPORTED,
        )
    positive = table.loc[table["eps"] > 0, "eps"]
    levels = sorted(table["eps"].unique())
    if len(positive):
        # linear up to the smallest eps, so that 0 has a place beside the decades
        axes.set_xscale("symlog", linthresh=positive.min(), linscale=1)
        axes.set_xlim(-0.3 * positive.min(), positive.max() * 10)
    axes.set_xticks(levels, [f"{eps:g}" for eps in levels], rotation=40, fontsize=TEXT)
    axes.minorticks_off()
    axes.set_xlabel("credit_eps", fontsize=TEXT)
    axes.set_ylabel("test accuracy at the last epoch", fontsize=TEXT)
    return handles


def _course_panel(
    axes: Axes, epochs: pd.DataFrame, rule: str, levels: list[float], shades: Any
) -> None:
    own = pick(epochs, rule=rule).dropna(subset=["hidden"]) if len(epochs) else epochs
    for (reduction, eps), line in own.groupby(["reduction", "eps"]) if len(own) else ():
        axes.plot(
            line["epoch"],
            line["hidden"],
            color=shades(levels.index(eps)),
            linestyle=_DASHES[str(reduction)],
            marker=style_of(rule).marker,
            markersize=2.5,
            linewidth=1.2,
        )
    axes.set_yscale("log")
    axes.set_xlabel("epoch", fontsize=TEXT)
    axes.set_ylabel("‖h_L‖, median", fontsize=TEXT)


def _same_limits(panels: list[Axes]) -> None:
    """The panels over epochs share their y axis, so that the rules can be compared."""
    drawn = [axes for axes in panels if axes.lines]
    if drawn:
        low, high = min(a.get_ylim()[0] for a in drawn), max(a.get_ylim()[1] for a in drawn)
        for axes in panels:
            axes.set_ylim(low, high)

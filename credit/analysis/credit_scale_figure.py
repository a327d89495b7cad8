"""Credit scale as a figure: accuracy against credit_eps, and the size of h_L over epochs."""

from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from credit.analysis.drawing import (
    AXES,
    entry,
    hollow,
    key,
    label_of,
    look,
    shades,
    spread,
    style_of,
)
from credit.analysis.page import NARROW, TEXT, WIDE, caption, finish, new_figure
from credit.analysis.selection import in_order, pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_REDUCTIONS = ("mean", "sum", "published")
"""In the order of a rule's variants: solid, dashed, dotted."""


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
    height = 2.8 if width > NARROW else 0.3 + 2.0 * count
    figure, panels = new_figure(title, width, height, panels=count)
    handles = _accuracy_panel(panels[0], table)
    caption(panels[0], "accuracy at the last epoch")
    levels = sorted(table["eps"].unique())
    colors = shades(len(levels))
    for axes, rule in zip(panels[1:], rules, strict=True):
        _course_panel(axes, epochs, rule, dict(zip(levels, colors, strict=True)))
        caption(axes, f"{label_of(rule)}: size of h_L")
    handles += [
        entry(f"eps = {eps:g}", color=color, linewidth=2)
        for eps, color in zip(levels, colors, strict=True)
    ]
    source = ""
    if table["reported_accuracy"].notna().any():
        handles.append(key("o", "measured by others"))
        source = "hollow: measured by others, with their sample sd where they gave one"
    _same_limits(panels[1:])
    notes = (spread(seeds_text(table)), "‖h_L‖: medians over samples and seeds")
    finish(figure, handles, title, *notes, "dashed: loss summed over the batch", source)
    return figure


def _accuracy_panel(axes: Axes, table: pd.DataFrame) -> list[Artist]:
    handles: list[Artist] = []
    groups = list(table[["rule", "reduction"]].drop_duplicates().itertuples(index=False))
    positive = table.loc[table["eps"] > 0, "eps"]
    smallest = positive.min() if len(positive) else 1.0
    for index, (rule, reduction) in enumerate(groups):
        own = pick(table, rule=rule, reduction=reduction).sort_values("eps")
        style = style_of(rule)
        # error bars beside each other: by a tenth of a decade, or as much of the step from 0
        places = own["eps"] * 10 ** (0.16 * index) + (own["eps"] == 0) * 0.08 * smallest * index
        mine = look(style, _REDUCTIONS.index(reduction))
        axes.errorbar(places, own["accuracy"], yerr=own["accuracy_sd"], **mine)
        handles.append(entry(f"{label_of(rule)}, {reduction}", **mine))
        known = own.dropna(subset=["reported_accuracy"])
        axes.errorbar(
            known["eps"] * 6,  # right of ours
            known["reported_accuracy"],
            yerr=known["reported_sd"],
            **hollow(style),
        )
    levels = sorted(table["eps"].unique())
    if len(positive):
        # linear up to the smallest eps, so that 0 has a place beside the decades
        axes.set_xscale("symlog", linthresh=smallest, linscale=2)
        axes.set_xlim(-0.3 * smallest, positive.max() * 10)
    axes.set_xticks(levels, [f"{eps:g}" for eps in levels], rotation=40, fontsize=TEXT)
    axes.minorticks_off()
    axes.set_xlabel("eps of v / (rms(v) + eps)", fontsize=TEXT)
    axes.set_ylabel(AXES["accuracy"], fontsize=TEXT)
    return handles


def _course_panel(axes: Axes, epochs: pd.DataFrame, rule: str, colors: dict[float, Any]) -> None:
    own = pick(epochs, rule=rule).dropna(subset=["hidden"]) if len(epochs) else epochs
    for (reduction, eps), line in own.groupby(["reduction", "eps"]) if len(own) else ():
        mine = look(style_of(rule), _REDUCTIONS.index(str(reduction)))
        mine |= {"color": colors[eps], "markersize": 3}
        axes.errorbar(line["epoch"], line["hidden"], **mine)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("epoch", fontsize=TEXT)
    axes.set_ylabel("‖h_L‖ (median)", fontsize=TEXT)


def _same_limits(panels: list[Axes]) -> None:
    """The panels over epochs share their y axis, so that the rules can be compared."""
    drawn = [axes for axes in panels if axes.lines]
    if drawn:
        low, high = min(a.get_ylim()[0] for a in drawn), max(a.get_ylim()[1] for a in drawn)
        for axes in panels:
            axes.set_ylim(low, high)

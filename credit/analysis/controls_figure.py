"""The matched controls as a figure: accuracy and growth by control, a colour per rule."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit import audit
from credit.analysis.controls import RANDOM, SIZES, ordered
from credit.analysis.drawing import (
    GREY,
    NARROW,
    OURS,
    TEXT,
    WIDE,
    add_legend,
    caption,
    edge_note,
    label_of,
    new_figure,
    style_of,
)
from credit.analysis.selection import in_order, pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_PANELS = {
    "accuracy": "test accuracy",
    "train": "train accuracy",
    "growth": "largest growth per block",
}


def controls_figure(
    table: pd.DataFrame, title: str, width: float = WIDE, chance: float | None = None
) -> Figure:
    """Test accuracy, train accuracy and growth by control.

    Args:
        table: of `controls.controls`.
        width: in inches; narrow figures stack the panels.
        chance: accuracy of a guess, drawn where random labels were run; default that of 10 classes.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    height, room = (3.8, width / 3.2) if width > NARROW else (8.0, width)
    figure, panels = new_figure(title, width, height, panels=3)
    names, rules = ordered(table["control"]), in_order(table["rule"])
    handles: list[Any] = []
    for axes, (quantity, label) in zip(panels, _PANELS.items(), strict=True):
        handles = [
            _points(axes, pick(table, rule=rule), names, quantity, index, len(rules))
            for index, rule in enumerate(rules)
        ]
        axes.set_xticks(
            range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=TEXT
        )
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylabel(label, fontsize=TEXT)
    if RANDOM in names:
        level = chance or 1 / SIZES["cifar10"].classes
        for axes in panels[:2]:
            axes.axhline(level, color=GREY, linestyle=":", linewidth=0.9, zorder=1)
            edge_note(axes, "chance", level)
    panels[2].set_yscale("log")
    panels[2].axhline(audit.MAX_GROWTH, color=GREY, linestyle=":", linewidth=0.9, zorder=1)
    edge_note(panels[2], "D1", audit.MAX_GROWTH)
    note = seeds_text(table).replace("sample sd", "sample sd (error bars)")
    caption(panels[0], note, room)
    caption(panels[1], "counted while training", room)
    caption(panels[2], "the largest of all seeds", room)
    add_legend(figure, handles, width)
    return figure


def _points(
    axes: Axes, own: pd.DataFrame, names: list[str], quantity: str, index: int, rules: int
) -> Any:
    """One rule's points in a panel."""
    rule = str(own["rule"].iloc[0])
    color, marker = style_of(rule)
    shift = 0.6 * (index - (rules - 1) / 2) / max(rules, 1)
    return axes.errorbar(
        own["control"].map(names.index) + shift,
        own[quantity],
        yerr=own.get(f"{quantity}_sd"),
        color=color,
        marker=marker,
        linestyle="none",
        label=label_of(rule),
        **OURS,
    )

"""The matched controls as a figure: accuracy and growth by control, a colour per rule."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit import audit
from credit.analysis.controls import RANDOM, SIZES, ordered
from credit.analysis.drawing import AXES, look, rule_entry, spread, style_of
from credit.analysis.page import (
    NARROW,
    TEXT,
    WIDE,
    caption,
    edge_note,
    finish,
    name_ticks,
    new_figure,
    zero_line,
)
from credit.analysis.selection import in_order, pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_PANELS = {
    "accuracy": (AXES["accuracy"], "last epoch"),
    "train": ("train accuracy (fraction)", "counted while training"),
    "growth": ("growth per block (factor)", "largest of blocks and seeds"),
}
"""By quantity, what stands at its axis and above its panel."""


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
    figure, panels = new_figure(title, width, 3.0 if width > NARROW else 7.2, panels=3)
    names, rules = ordered(table["control"]), in_order(table["rule"])
    for axes, (quantity, (label, words)) in zip(panels, _PANELS.items(), strict=True):
        for index, rule in enumerate(rules):
            shift = 0.76 * (index - (len(rules) - 1) / 2) / max(len(rules), 1)
            _points(axes, pick(table, rule=rule), names, quantity, shift)
        name_ticks(axes, names)
        axes.set_ylabel(label, fontsize=TEXT)
        caption(axes, words)
    notes = [f"accuracies: {spread(seeds_text(table))}"]
    if RANDOM in names:
        level = chance or 1 / SIZES["cifar10"].classes
        for axes in panels[:2]:
            zero_line(axes, level, ":")
            edge_note(axes, "chance", level)
    panels[2].set_yscale("log")
    zero_line(panels[2], audit.MAX_GROWTH, ":")
    edge_note(panels[2], "D1", audit.MAX_GROWTH)
    notes.append(f"D1: growth of at most {audit.MAX_GROWTH:g} per block")
    finish(figure, [rule_entry(rule, rules, linewidth=0) for rule in rules], title, *notes)
    return figure


def _points(axes: Axes, own: pd.DataFrame, names: list[str], quantity: str, shift: float) -> None:
    """One rule's points in a panel."""
    axes.errorbar(
        own["control"].map(names.index) + shift,
        own[quantity],
        yerr=own.get(f"{quantity}_sd"),
        **look(style_of(str(own["rule"].iloc[0]))) | {"linestyle": "none"},
    )

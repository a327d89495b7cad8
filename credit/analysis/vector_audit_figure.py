"""The vector audit as a figure: direction and accuracy by variant, depth beside depth."""

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
    zero_line,
)
from credit.analysis.published_vector import SOURCE
from credit.analysis.selection import in_order as rules_in_order
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.analysis.vector_audit import CONTROLS, EMPTY, FIELD, SCALAR, in_order, sources
from credit.analysis.vector_audit_checks import COLLAPSED
from credit.analysis.wording import short
from credit.errors import CreditError


def vector_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Γ, ρ and accuracy by variant, in its rule's colour, a fill per depth; reported values hollow.

    Args:
        table: of `vector_table`.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    figure, panels = new_figure(title, width, 2.9 if width > NARROW else 6.8, panels=3)
    names = in_order(table["variant"])
    depths = sorted(table["depth"].unique())
    for axes, quantity in zip(panels, ("alignment", "rho", "accuracy"), strict=True):
        for index, depth in enumerate(depths):
            shift = 0.5 * (index - (len(depths) - 1) / 2) / max(len(depths) - 1, 1) - 0.09
            for row in pick(table, depth=depth).to_dict("records"):
                _point(axes, row, quantity, names.index(row["variant"]) + shift, index)
        name_ticks(axes, names)
        axes.set_ylabel(AXES[quantity], fontsize=TEXT)
    for axes in panels[:2]:
        zero_line(axes)
    if EMPTY in names:
        place = names.index(EMPTY)
        panels[0].fill_between(
            [place - 0.5, place + 0.5], -COLLAPSED, COLLAPSED, color=GREY, alpha=0.15, linewidth=0
        )
        caption(panels[0], f"shaded: collapsed, |Γ| < {short(COLLAPSED)[:-1]}")
    rules = rules_in_order(map(_rule, names))
    handles: list[Artist] = [rule_entry(rule, rules, linewidth=0) for rule in rules]
    handles += [
        entry(f"L={depth}", **(look(Style(GREY, "o"), index) | {"linestyle": "none"}))
        for index, depth in enumerate(depths)
    ]
    source = ""
    if sources(table):
        handles.append(key("o", "reported"))
        source = f"hollow: {SOURCE}, means, on their teacher and data"
    notes = (MEANING["deep"], MEANING["rho"], spread(seeds_text(table)), source)
    finish(figure, handles, title, *notes)
    return figure


def _rule(variant: str) -> str:
    """The rule behind a variant's name."""
    first = variant.partition(" ")[0].partition("+")[0]
    if variant == "scalar":
        return SCALAR
    return FIELD if first in CONTROLS or (first[0] == "M" and first[1:].isdigit()) else variant


def _point(axes: Axes, row: dict, quantity: str, place: float, index: int) -> None:
    """One variant at one depth, and right of it what was reported."""
    style = style_of(_rule(row["variant"]))
    mine = look(style, index) | {"linestyle": "none"}
    axes.errorbar([place], [row[quantity]], yerr=[row[f"{quantity}_sd"]], **mine)
    reported = row.get(f"reported_{quantity}")
    if reported is not None and pd.notna(reported):
        axes.errorbar([place + 0.2], [reported], **hollow(style))

"""The audit of one rule as a figure: its ladder, and where its credit points."""

import pandas as pd
from matplotlib.figure import Figure

from credit.analysis.drawing import AXES, MEANING, SERIES, entry, look, spread
from credit.analysis.figures import alignment_panel, ladder_panel
from credit.analysis.page import NARROW, TEXT, WIDE, caption, finish, new_figure
from credit.analysis.tables import CAPTION, seeds_text


def audit_figure(
    ladder: pd.DataFrame, direction: pd.DataFrame, title: str, width: float = WIDE
) -> Figure:
    """Accuracy by trainable blocks, and Γ by layer beside that of g_L passed back unchanged.

    Args:
        ladder: of `tables.ladder`.
        direction: of `tables.direction`, with a column `copy`.
        width: in inches; narrow figures stack the panels.
    """
    figure, (left, right) = new_figure(title, width, 2.8 if width > NARROW else 4.8, panels=2)
    handles = ladder_panel(left, ladder)
    by_penalty = alignment_panel(right, direction)
    handles += by_penalty[1:]  # without the penalty it looks as on the left
    passed = direction.drop_duplicates("layer")
    mine = look(SERIES[0], 2)
    right.errorbar(passed["layer"], passed["copy"], **mine)
    handles.append(entry("g_L passed back", **mine))
    right.set_xticks(sorted(direction["layer"].unique()))
    right.set_xlabel(AXES["layer"], fontsize=TEXT)
    caption(left, "does training more blocks raise accuracy?")
    caption(right, "where does the credit point, k = L?")
    finish(
        figure,
        handles,
        title,
        f"{CAPTION}, {spread(seeds_text(ladder))}",
        MEANING["alignment"],
    )
    return figure

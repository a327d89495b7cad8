"""The toy LQ experiment as a figure: Γ and ρ by hidden state."""

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.drawing import AXES, GREY, entry, label_of, look, spread, style_of
from credit.analysis.page import NARROW, TEXT, WIDE, finish, new_figure, zero_line
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.analysis.toy_lq import REFERENCES
from credit.analysis.toy_lq_checks import FOUND
from credit.analysis.wording import short
from credit.errors import CreditError

_SMALLER = {"capsize": 1.5}


def toy_lq_figure(layers: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Γ and ρ by hidden state, a line per variant with error bars, the references dashed.

    Args:
        layers: of `layers`.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: the table has no rows.
    """
    if layers.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    figure, panels = new_figure(title, width, 2.8 if width > NARROW else 4.8, panels=2)
    variants = list(layers["variant"].unique())
    handles: list[Artist] = []
    for axes, quantity in zip(panels, ("alignment", "rho"), strict=True):
        shown = [v for v in variants if v not in REFERENCES or quantity == "alignment"]
        lines = [_line(axes, pick(layers, variant=v), v, quantity) for v in shown]
        handles = handles or lines
        zero_line(axes)
        zero_line(axes, FOUND, ":")
        axes.set_ylabel(AXES[quantity], fontsize=TEXT)
        axes.set_xlabel(AXES["layer"], fontsize=TEXT)
        axes.set_ylim(top=1.05)
    finish(
        figure,
        handles,
        title,
        "Γ: cosine of credit and exact costate, mean over samples",
        "ρ: correlation of predicted and measured cost changes",
        spread(seeds_text(layers)),
        f"copy: the gradient at h_L, unchanged; ceiling: through LayerNorm; thin dotted: "
        f"{short(FOUND)[:-2]}; nothing was reported",
    )
    return figure


def _line(axes: Axes, own: pd.DataFrame, variant: str, quantity: str) -> Artist:
    """Draw one variant; returns its legend entry."""
    if variant in REFERENCES:
        dashes = "--" if variant == "copy" else "-."
        plain = {"color": GREY, "linestyle": dashes, "linewidth": 1}
        axes.plot(own["layer"], own[quantity], **plain)
        return entry(variant, **plain)
    rule, _, changed = variant.partition(" ")
    mine = look(style_of(rule), int(bool(changed))) | _SMALLER
    axes.errorbar(own["layer"], own[quantity], yerr=own[f"{quantity}_sd"], **mine)
    return entry(f"{label_of(rule)} {changed}".strip(), **mine)

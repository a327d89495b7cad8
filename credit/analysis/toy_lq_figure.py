"""The toy LQ experiment as a figure: Γ and ρ by hidden state."""

from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.drawing import (
    GREY,
    NARROW,
    OURS,
    TEXT,
    WIDE,
    add_legend,
    caption,
    new_figure,
    style_of,
)
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.analysis.toy_lq import REFERENCES
from credit.analysis.toy_lq_checks import FOUND
from credit.analysis.wording import short
from credit.errors import CreditError


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
    height, room = (3.6, width / 2) if width > NARROW else (5.8, width)
    whole = f"{title}; {seeds_text(layers)}; reported: n/a"
    found, panels = new_figure(whole, width, height, panels=2)
    handles: list[Artist] = []
    for axes, quantity, label in zip(
        panels, ("alignment", "rho"), ("Γ, cosine with the exact costate", "ρ"), strict=True
    ):
        lines = [
            _line(axes, pick(layers, variant=variant), variant, quantity)
            for variant in layers["variant"].unique()
            if variant not in REFERENCES or quantity == "alignment"
        ]
        handles = handles or lines
        axes.axhline(0, color=GREY, linewidth=0.6, zorder=1)
        axes.axhline(FOUND, color=GREY, linewidth=0.6, linestyle=":", zorder=1)
        axes.set_ylabel(label, fontsize=TEXT)
        axes.set_xlabel("l of h_l", fontsize=TEXT)
        axes.set_ylim(top=1.05)
    caption(panels[0], "copy: the gradient at h_L, unchanged; ceiling: through LayerNorm", room)
    caption(panels[1], f"error bars: sample sd; dotted: {short(FOUND)[:-2]}", room)
    add_legend(found, handles, width)
    return found


def _line(axes: Axes, own: pd.DataFrame, variant: str, quantity: str) -> Artist:
    if variant in REFERENCES:
        dashes = "--" if variant == "copy" else "-."
        look: dict[str, Any] = {"color": GREY, "linestyle": dashes, "linewidth": 1}
        return axes.plot(own["layer"], own[quantity], label=variant, **look)[0]
    rule, _, changed = variant.partition(" ")
    color, marker = style_of(rule)
    look = {"color": color, "marker": marker, **OURS, "markersize": 4}
    if changed:
        look |= {"linestyle": ":", "markerfacecolor": "white"}
    sd = own[f"{quantity}_sd"]
    return axes.errorbar(own["layer"], own[quantity], yerr=sd, label=variant, **look)  # pyright: ignore[reportReturnType]

"""The online conditioning scan as a figure: leads over dfa by warm-up, and staleness."""

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.drawing import AXES, DASHES, MEANING, entry, spread
from credit.analysis.frozen_figure import look_of
from credit.analysis.online import BASELINE, CEILINGS, in_order
from credit.analysis.online_staleness import KINDS, MOMENTS, WHENS
from credit.analysis.page import (
    NARROW,
    TEXT,
    WIDE,
    caption,
    finish,
    new_figure,
    zero_line,
)
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_LEADS = {
    "s1": ("S1 (difference in Γ)", "Γ − Γ of dfa, same seed"),
    "s2": ("S2 (difference in ρ)", "ρ − ρ of dfa, same seed"),
    "gain": ("difference in test accuracy", "accuracy − dfa's, same seed"),
}
"""By column of the table, what stands at the axis and above the panel."""


def online_figure(
    table: pd.DataFrame, stale: pd.DataFrame, title: str, width: float = WIDE
) -> Figure:
    """S1, S2 and accuracy over dfa's by warm-up, a line per arm and tgw; Γ as an estimator ages.

    Args:
        table: of `online.table`.
        stale: of `online_staleness.staleness`.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    wide = width > NARROW
    columns = 2 if wide else 1
    figure, panels = new_figure(title, width, 5.0 if wide else 7.2, panels=4, per_row=columns)
    learned = table.loc[~table["arm"].isin((*CEILINGS, BASELINE))]
    warmups = sorted(learned["warmup"].dropna().unique())
    weights = sorted(learned["tgw"].dropna().unique())
    for axes, (lead, (label, words)) in zip(panels, _LEADS.items(), strict=False):
        _lead(axes, learned, lead, warmups, weights)
        axes.set_ylabel(label, fontsize=TEXT)
        axes.set_xlabel("warm-up (share of epochs)", fontsize=TEXT)
        caption(axes, words)
    _ageing(panels[3], table, stale)
    arms = in_order(learned["arm"])
    handles: list[Artist] = [
        entry(arm, **(look_of(arm, arms) | {"linestyle": "-"})) for arm in arms
    ]
    dashes = zip(DASHES, weights, strict=False)
    lines = ", ".join(f"{name} tgw={weight:g}" for name, weight in dashes)
    notes = (MEANING["deep"], MEANING["rho"], spread(seeds_text(table)), lines)
    finish(figure, handles, title, *notes)
    return figure


def _lead(
    axes: Axes, table: pd.DataFrame, lead: str, warmups: list[float], weights: list[float]
) -> None:
    """A panel's lines."""
    arms = in_order(table["arm"])
    for place, arm in enumerate(arms):
        own = pick(table, arm=arm)
        lines = [(w, pick(own, tgw=w)) for w in weights if (own["tgw"] == w).any()]
        for index, (weight, line) in enumerate(lines or [(None, own)]):
            shift = 0.3 * (place - (len(arms) - 1) / 2) / max(len(arms) - 1, 1) + 0.06 * index
            number = weights.index(weight) if weight is not None else 0
            dashes = list(DASHES.values())[number % len(DASHES)]
            line = line.sort_values("warmup")
            axes.errorbar(
                [warmups.index(w) + shift for w in line["warmup"]],
                line[lead],
                yerr=line[f"{lead}_sd"],
                **(look_of(arm, arms) | {"linestyle": dashes, "linewidth": 1}),
            )
    zero_line(axes)
    axes.set_xticks(range(len(warmups)), [f"{w:g}" for w in warmups], fontsize=TEXT)
    axes.set_xlim(-0.5, max(len(warmups), 1) - 0.5)


def _ageing(axes: Axes, table: pd.DataFrame, stale: pd.DataFrame) -> None:
    """Γ of the kept estimator at the four moments, of each arm's cell with the largest Γ."""
    known = stale
    if len(stale):
        known = pick(stale, layers=KINDS[""], when=WHENS["mean"]).dropna(subset=["now"])
    if known.empty:
        caption(axes, "staleness was not measured")
        axes.set_axis_off()
        return
    arms = in_order(known["arm"])
    for place, arm in enumerate(arms):
        cells = pick(table, arm=arm).set_index("cell")["alignment"].dropna()
        own = known.loc[known["cell"].isin(cells.index) & (known["arm"] == arm)]
        best = cells.loc[cells.index.isin(own["cell"])]
        if best.empty:
            continue
        row = pick(own, cell=best.idxmax()).iloc[0]
        mine = look_of(arm, arms) | {"linestyle": "-", "linewidth": 1}
        heights, sds = ([row[f"{m}{end}"] for m in MOMENTS] for end in ("", "_sd"))
        xs = [x + 0.06 * (place - (len(arms) - 1) / 2) for x in range(4)]
        axes.errorbar(xs[:3], heights[:3], yerr=sds[:3], **mine)
        axes.errorbar(xs[3:], heights[3:], yerr=sds[3:], **(mine | {"linestyle": "none"}))
    steps = int(known["steps_later"].max())
    labels = ["now", f"{steps} steps\nlater", "an epoch\nlater", "up to\ndate"]
    zero_line(axes)
    axes.set_xticks(range(4), labels, fontsize=TEXT)
    axes.set_xlim(-0.4, 3.4)
    axes.set_ylabel(AXES["alignment"], fontsize=TEXT)
    caption(
        axes,
        "staleness: Γ of an epoch's first estimator, in each arm's best cell; mean over the "
        "epochs measured after warm-up; up to date: an epoch later",
    )

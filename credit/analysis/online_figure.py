"""The online conditioning scan as a figure: leads over dfa by warm-up, and staleness."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.drawing import NARROW, OURS, TEXT, WIDE, add_legend, caption
from credit.analysis.frozen_figure import look_of, tidy, titled_figure
from credit.analysis.online import BASELINE, CEILINGS, LEADS, in_order
from credit.analysis.online_staleness import KINDS, MOMENTS, WHENS
from credit.analysis.selection import pick
from credit.analysis.tables import seeds_text
from credit.errors import CreditError

_DASHES = ("-", ":", "--", "-.")


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
    figure = titled_figure(title, width, 6.4 if wide else 11.0)
    panels = [tidy(axes) for axes in figure.subplots(2 if wide else 4, 2 if wide else 1).flat]
    learned = table.loc[~table["arm"].isin((*CEILINGS, BASELINE))]
    warmups = sorted(learned["warmup"].dropna().unique())
    weights = sorted(learned["tgw"].dropna().unique())
    handles: list[Any] = []
    for axes, lead in zip(panels, ("s1", "s2", "gain"), strict=False):
        handles = _lead(axes, learned, lead, warmups, weights)
        axes.set_ylabel(LEADS[lead], fontsize=TEXT)
        axes.set_xlabel("warm-up, share of epochs", fontsize=TEXT)
    room = width / 2 if wide else width
    styles = ", ".join(
        f"{name} tgw={weight:g}"
        for name, weight in zip(("solid", "dotted", "dashed", "dash-dotted"), weights, strict=False)
    )
    bars = "error bars: " if table["n"].max() > 1 else ""
    caption(panels[0], f"Γ − Γ of dfa, same seed, mean over l ≥ 1; {styles}", room)
    caption(panels[1], "ρ − ρ of dfa, same seed", room)
    caption(panels[2], f"{bars}{seeds_text(table)}", room)
    _ageing(panels[3], table, stale, room)
    if handles:
        add_legend(figure, handles, width)
    return figure


def _lead(
    axes: Axes, table: pd.DataFrame, lead: str, warmups: list[float], weights: list[float]
) -> list[Any]:
    """A panel's lines; returns a legend entry per arm."""
    arms, handles = in_order(table["arm"]), []
    for place, arm in enumerate(arms):
        own = pick(table, arm=arm)
        lines = [(w, pick(own, tgw=w)) for w in weights if (own["tgw"] == w).any()]
        for index, (weight, line) in enumerate(lines or [(None, own)]):
            shift = 0.3 * (place - (len(arms) - 1) / 2) / max(len(arms) - 1, 1) + 0.06 * index
            dashes = _DASHES[weights.index(weight) % len(_DASHES)] if weight is not None else "-"
            line = line.sort_values("warmup")
            bars = axes.errorbar(
                [warmups.index(w) + shift for w in line["warmup"]],
                line[lead],
                yerr=line[f"{lead}_sd"],
                label=arm,
                **(OURS | look_of(arm, []) | {"linestyle": dashes, "linewidth": 1}),
            )
            if index == 0:
                handles.append(bars)
    axes.set_xticks(range(len(warmups)), [f"{w:g}" for w in warmups], fontsize=TEXT)
    axes.set_xlim(-0.5, max(len(warmups), 1) - 0.5)
    return handles


def _ageing(axes: Axes, table: pd.DataFrame, stale: pd.DataFrame, room: float) -> None:
    """Γ of the kept estimator at the four moments, of each arm's cell with the largest Γ."""
    known = stale
    if len(stale):
        known = pick(stale, layers=KINDS[""], when=WHENS["mean"]).dropna(subset=["now"])
    if known.empty:
        caption(axes, "staleness was not measured", room)
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
        look = OURS | look_of(arm, []) | {"linestyle": "-", "linewidth": 1}
        heights, sds = ([row[f"{m}{end}"] for m in MOMENTS] for end in ("", "_sd"))
        xs = [x + 0.06 * (place - (len(arms) - 1) / 2) for x in range(4)]
        axes.errorbar(xs[:3], heights[:3], yerr=sds[:3], **look)
        axes.errorbar(xs[3:], heights[3:], yerr=sds[3:], **(look | {"linestyle": "none"}))
    steps = int(known["steps_later"].max())
    labels = ["now", f"{steps} steps\nlater", "an epoch\nlater", "up to date,\nan epoch later"]
    axes.set_xticks(range(4), labels, fontsize=TEXT)
    axes.set_xlim(-0.4, 3.4)
    axes.set_ylabel("Γ", fontsize=TEXT)
    text = (
        "Γ of the estimator that an epoch begins with; each arm's cell with the largest Γ, mean "
        "over l ≥ 1 and measured epochs after warm-up"
    )
    caption(axes, text, room)

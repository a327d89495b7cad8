"""Figures of an experiment, from the tables of `credit.analysis.tables`.

Plain `Figure` objects, without pyplot's global state: they can be made in any thread and saved as
PNG or SVG. Readable at column width (3.5 inches) and page width (7).
"""

from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from credit import audit
from credit.analysis.drawing import (
    GREY,
    NARROW,
    OURS,
    REPORTED,
    TEXT,
    WIDE,
    Style,
    add_legend,
    caption,
    edge_note,
    key,
    label_of,
    new_figure,
    style_of,
)
from credit.analysis.selection import in_order, pick
from credit.analysis.tables import CAPTION, seeds_text
from credit.errors import CreditError

_QUANTITIES = {  # column -> label, style
    "hidden_norm": ("‖h‖ hidden state", Style("#0072B2", "s")),
    "grad_norm": ("‖g‖ exact gradient", Style("#000000", "o")),
    "credit_norm": ("‖a‖ credit", Style("#D55E00", "^")),
}
_DASHES = ("solid", "dashed", "dotted", "dashdot")
_PENALTIES = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#000000")


def ladder_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Accuracy against the number of trainable blocks, a line per rule.

    Args:
        table: of `tables.ladder`. Reported values are drawn hollow, beside ours.
        width: in inches.

    Raises:
        CreditError: the table has no rows.
    """
    _require(table)
    figure, (axes,) = new_figure(title, width, width * 0.62 if width > NARROW else width * 0.9)
    handles: list[Any] = []
    for rule in in_order(table["rule"]):
        own = pick(table, rule=rule).sort_values("k")
        color, marker = style_of(rule)
        bars = axes.errorbar(
            own["k"],
            own["mean"],
            yerr=own["sd"],
            color=color,
            marker=marker,
            label=label_of(rule),
            **OURS,
        )
        handles.append(bars)
        known = own.dropna(subset=["reported_mean"])
        axes.errorbar(
            known["k"] + 0.13,
            known["reported_mean"],
            yerr=known["reported_sd"],
            color=color,
            marker=marker,
            **REPORTED,
        )
    note = seeds_text(table)
    if table["sd"].notna().any():
        note = note.replace("sample sd", "sample sd (error bars)")
    if table["reported_mean"].notna().any():
        handles.append(key("o", "reported"))
        note += "; hollow: reported by the experiment's authors"
    axes.set_xticks(sorted(table["k"].unique()))
    axes.set_xlabel("k, trainable blocks (counted from the last)", fontsize=TEXT)
    axes.set_ylabel(CAPTION.replace(" at", "\nat"), fontsize=TEXT)
    caption(axes, note, width)
    add_legend(figure, handles, width)
    return figure


def direction_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Alignment per layer by penalty, and the norms behind it on a logarithmic axis.

    Args:
        table: of `tables.direction`. Layers without a valid direction are marked by a cross at the
            raw cosine, which is no alignment.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: the table has no rows.
    """
    _require(table)
    side_by_side = width > NARROW
    figure, (left, right) = new_figure(
        title, width, width * (0.5 if side_by_side else 1.5), panels=2
    )
    handles = _alignment_panel(left, table, width / 2 if side_by_side else width)
    handles += _norm_panel(right, table, width / 2 if side_by_side else width)
    for axes in (left, right):
        axes.set_xticks(sorted(table["layer"].unique()))
        axes.set_xlabel("layer l", fontsize=TEXT)
    add_legend(figure, handles, width)
    return figure


def curves_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Test accuracy over epochs: a panel per rule, a line per run, coloured by k.

    Args:
        table: of `tables.curves`.
        width: in inches.

    Raises:
        CreditError: the table has no rows.
    """
    _require(table)
    rules = in_order(table["rule"])
    per_row = min(len(rules), 4 if width > NARROW else 2)
    rows = -(-len(rules) // per_row)
    figure, panels = new_figure(title, width, 0.9 + 1.9 * rows, panels=len(rules), per_row=per_row)
    ks = sorted(table["k"].unique())
    shades = colormaps["viridis"].resampled(len(ks) + 1)  # the last one is too light on white
    for axes, rule in zip(panels, rules, strict=True):
        own = pick(table, rule=rule)
        for k, seed in own[["k", "seed"]].drop_duplicates().itertuples(index=False):
            run = pick(own, k=k, seed=seed)
            axes.plot(
                run["epoch"],
                run["accuracy"],
                marker="." if len(run) == 1 else None,
                linewidth=0.9,
                color=shades(ks.index(k)),
            )
        axes.set_title(label_of(rule), fontsize=TEXT)
        axes.set_ylim(*_padded(table["accuracy"]))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlabel("epoch", fontsize=TEXT)
    for axes in panels[::per_row]:
        axes.set_ylabel("test accuracy", fontsize=TEXT)
    handles: list[Artist] = [
        Line2D([], [], color=shades(i), linewidth=1.6, label=f"k={k}") for i, k in enumerate(ks)
    ]
    seeds = table["seed"].nunique()
    note = Line2D([], [], linewidth=0, label=f"one line per seed, {seeds} in all")
    add_legend(figure, [*handles, note] if seeds > 1 else handles, width)
    return figure


def _alignment_panel(axes: Axes, table: pd.DataFrame, width: float) -> list[Artist]:
    for bound in (audit.MEDIOCRE, audit.POOR):
        axes.axhspan(-bound, bound, color="#000000", alpha=0.06, linewidth=0, zorder=0)
    edge_note(axes, "mediocre", (audit.MEDIOCRE + audit.POOR) / 2)
    edge_note(axes, "poor", 0)
    handles: list[Any] = []
    groups = _groups(table)
    for index, (rule, penalty, own) in enumerate(groups):
        color = _PENALTIES[index % len(_PENALTIES)]
        marker = style_of(rule).marker if index == 0 else "os"[index % 2]
        shift = 0.08 * (index - (len(groups) - 1) / 2)
        bars = axes.errorbar(
            own["layer"] + shift,
            own["alignment"],
            yerr=own["alignment_sd"],
            color=color,
            marker=marker,
            **OURS,
            label=f"Γ, {label_of(rule)} λ={penalty:g}",
        )
        handles.append(bars)
        bad = own.loc[own["status"] != "ok"]
        axes.plot(bad["layer"] + shift, bad["raw_cosine"], "x", color=color, markersize=6, zorder=4)
        known = own.dropna(subset=["reported_alignment"])
        axes.errorbar(
            known["layer"] + shift + 0.12,
            known["reported_alignment"],
            color=color,
            marker=marker,
            **REPORTED,
        )
    if (table["status"] != "ok").any():
        handles.append(key("x", "raw cosine where Γ is not valid"))
    if table["reported_alignment"].notna().any():
        handles.append(key("o", "reported by the authors"))
    axes.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    axes.set_ylabel("alignment Γ = cos(a, g)", fontsize=TEXT)
    seeds = int(table["seeds"].max())
    note = f"mean ± sample sd (error bars) over the valid of {seeds} seeds"
    few = {0: "no run has finished yet", 1: "n = 1 seed"}
    caption(axes, few.get(seeds, note), width)
    return handles


def _norm_panel(axes: Axes, table: pd.DataFrame, width: float) -> list[Artist]:
    groups = _groups(table)
    for index, (_, _, own) in enumerate(groups):
        for column, (_, look) in _QUANTITIES.items():
            values = own[column].where(own[column] > 0)  # a norm of 0 has no place on a log axis
            face = look.color if index == 0 else "white"
            axes.plot(
                own["layer"],
                values,
                marker=look.marker,
                linestyle=_DASHES[index % len(_DASHES)],
                color=look.color,
                markerfacecolor=face,
                markersize=4.5,
                linewidth=1.2,
            )
    axes.set_yscale("log")
    floor = float(table["reference_floor"].iloc[0])
    axes.axhline(floor, color=GREY, linestyle=":", linewidth=1)
    edge_note(axes, "floor\nof ‖g‖", floor)
    axes.set_ylabel("median norm per sample", fontsize=TEXT)
    lines = zip(_DASHES, groups, strict=False)
    caption(axes, ", ".join(f"{dash} λ={penalty:g}" for dash, (_, penalty, _) in lines), width)
    return [
        Line2D([], [], color=look.color, marker=look.marker, markersize=4.5, label=label)
        for label, look in _QUANTITIES.values()
    ]


def _groups(table: pd.DataFrame) -> list[tuple[str, float, pd.DataFrame]]:
    """Rule, penalty and rows of each series of a direction figure."""
    pairs = table[["rule", "penalty"]].drop_duplicates().to_dict("records")
    return [
        (p["rule"], p["penalty"], pick(table, rule=p["rule"], penalty=p["penalty"])) for p in pairs
    ]


def _padded(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.01
    return low - margin, high + margin


def _require(table: pd.DataFrame) -> None:
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")

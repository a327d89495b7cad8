"""Figures of an experiment, from the tables of `credit.analysis.tables`.

Plain `Figure` objects, without pyplot's global state: they can be made in any thread and saved as
PNG, SVG or PDF (`credit.figure_files`). Drawn for both columns of a page (7 inches) or one (3.3).
"""

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from credit import audit
from credit.analysis import published
from credit.analysis.drawing import (
    AXES,
    DASHES,
    GREY,
    MEANING,
    SERIES,
    entry,
    hollow,
    key,
    label_of,
    look,
    rule_entry,
    shades,
    spread,
    style_of,
)
from credit.analysis.page import (
    NARROW,
    TEXT,
    WIDE,
    caption,
    edge_note,
    finish,
    new_figure,
    zero_line,
)
from credit.analysis.selection import in_order, pick
from credit.analysis.tables import CAPTION, seeds_text
from credit.errors import CreditError

_QUANTITIES = {  # column -> label
    "hidden_norm": "‖h‖ hidden state",
    "grad_norm": "‖g‖ exact gradient",
    "credit_norm": "‖a‖ credit",
}
_APART = 0.035
"""Between the lines of two rules, so that error bars can be told apart; two rungs are 1 apart."""


def ladder_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Accuracy against the number of trainable blocks, a line per rule.

    Args:
        table: of `tables.ladder`. Reported values are drawn hollow, beside ours.
        width: in inches.

    Raises:
        CreditError: the table has no rows.
    """
    _require(table)
    figure, (axes,) = new_figure(title, width, 3.4 if width > NARROW else 2.7)
    handles = ladder_panel(axes, table)
    known = table["reported_mean"].notna().any()
    source = f"hollow: {published.SOURCE}, mean ± sample sd" if known else ""
    finish(figure, handles, title, f"{CAPTION}, {spread(seeds_text(table))}", source)
    return figure


def ladder_panel(axes: Axes, table: pd.DataFrame) -> list[Artist]:
    """Draw a ladder; returns its legend entries."""
    handles: list[Artist] = []
    rules = in_order(table["rule"])
    for index, rule in enumerate(rules):
        own = pick(table, rule=rule).sort_values("k")
        style, shift = style_of(rule), _APART * (index - (len(rules) - 1) / 2)
        axes.errorbar(own["k"] + shift, own["mean"], yerr=own["sd"], **look(style))
        handles.append(rule_entry(rule, rules))
        known = own.dropna(subset=["reported_mean"])
        axes.errorbar(
            known["k"] + shift + 0.14,
            known["reported_mean"],
            yerr=known["reported_sd"],
            **hollow(style),
        )
    if table["reported_mean"].notna().any():
        handles.append(key("o", "reported"))
    axes.set_xticks(sorted(table["k"].unique()))
    axes.set_xlabel("k, trainable blocks (counted from the last)", fontsize=TEXT)
    axes.set_ylabel(AXES["accuracy"], fontsize=TEXT)
    return handles


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
    figure, (left, right) = new_figure(title, width, 2.8 if width > NARROW else 4.6, panels=2)
    handles = alignment_panel(left, table)
    handles += _norm_panel(right, table)
    for axes in (left, right):
        axes.set_xticks(sorted(table["layer"].unique()))
        axes.set_xlabel(AXES["layer"], fontsize=TEXT)
    seeds = int(table["seeds"].max())
    many = f"Γ: mean ± sample sd (error bars) over the valid ones of n = {seeds} seeds"
    few = {0: "no run has finished yet", 1: "n = 1 seed, so no error bars"}
    source = f"hollow: {published.SOURCE}, means"
    finish(
        figure,
        handles,
        title,
        MEANING["alignment"],
        few.get(seeds, many),
        "norms: medians over samples and seeds",
        source if table["reported_alignment"].notna().any() else "",
    )
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
    figure, panels = new_figure(title, width, 0.3 + 1.7 * rows, len(rules), per_row, "all")
    ks = sorted(table["k"].unique())
    colors = shades(len(ks))
    for axes, rule in zip(panels, rules, strict=True):
        own = pick(table, rule=rule)
        for k, seed in own[["k", "seed"]].drop_duplicates().itertuples(index=False):
            run = pick(own, k=k, seed=seed)
            axes.plot(
                run["epoch"],
                run["accuracy"],
                marker="." if len(run) == 1 else None,
                linewidth=0.9,
                color=colors[ks.index(k)],
            )
        axes.set_title(label_of(rule), fontsize=TEXT)
        axes.set_ylim(*_padded(table["accuracy"]))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlabel("epoch", fontsize=TEXT)
    for axes in panels[::per_row]:
        axes.set_ylabel(AXES["accuracy"], fontsize=TEXT)
    handles = [entry(f"k={k}", color=colors[i], linewidth=1.6) for i, k in enumerate(ks)]
    seeds = table["seed"].nunique()
    text = f"one line per seed, {seeds} in all" if seeds > 1 else "n = 1 seed"
    finish(figure, handles, title, f"{text}, no error bars; colour: k, trainable blocks")
    return figure


def alignment_panel(axes: Axes, table: pd.DataFrame) -> list[Artist]:
    """Draw Γ by layer, a series per rule and penalty; returns its legend entries."""
    for bound in (audit.MEDIOCRE, audit.POOR):
        axes.axhspan(-bound, bound, color=GREY, alpha=0.1, linewidth=0, zorder=0)
    edge_note(axes, "mediocre", (audit.MEDIOCRE + audit.POOR) / 2)
    edge_note(axes, "poor", 0)
    handles: list[Artist] = []
    groups = _groups(table)
    for index, (rule, penalty, own) in enumerate(groups):
        style = style_of(rule)
        mine = look(style, [p for r, p, _ in groups if r == rule].index(penalty))
        places = own["layer"] + 0.08 * (index - (len(groups) - 1) / 2)
        axes.errorbar(places, own["alignment"], yerr=own["alignment_sd"], **mine)
        handles.append(entry(f"{label_of(rule)}, λ={penalty:g}", **mine))
        bad = own["status"] != "ok"
        axes.plot(places[bad], own["raw_cosine"][bad], "x", color=style.color, zorder=4)
        known = own["reported_alignment"].notna()
        axes.errorbar(places[known] + 0.14, own["reported_alignment"][known], **hollow(style))
    if (table["status"] != "ok").any():
        handles.append(key("x", "raw cosine where Γ is not valid"))
    if table["reported_alignment"].notna().any():
        handles.append(key("o", "reported"))
    zero_line(axes)
    axes.set_ylabel("Γ (mean cosine)", fontsize=TEXT)
    return handles


def _norm_panel(axes: Axes, table: pd.DataFrame) -> list[Artist]:
    groups = _groups(table)
    for index, (_, _, own) in enumerate(groups):
        for column, style in zip(_QUANTITIES, SERIES, strict=True):
            values = own[column].where(own[column] > 0)  # a norm of 0 has no place on a log axis
            mine = look(style, index)
            axes.errorbar(own["layer"], values, **mine)
    axes.set_yscale("log")
    floor = float(table["reference_floor"].iloc[0])
    axes.axhline(floor, color=GREY, linestyle=":", linewidth=1)
    edge_note(axes, "floor\nof ‖g‖", floor)
    axes.set_ylabel("norm per sample (median)", fontsize=TEXT)
    lines = zip(DASHES, groups, strict=False)
    several = table["rule"].nunique() > 1
    words = [
        f"{dash} {label_of(rule) + ' ' if several else ''}λ={penalty:g}"
        for dash, (rule, penalty, _) in lines
    ]
    caption(axes, ", ".join(words))
    return [
        entry(label, **look(style))
        for label, style in zip(_QUANTITIES.values(), SERIES, strict=True)
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

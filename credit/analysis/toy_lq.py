"""Toy LQ: how close each rule's credit is to the exact costate, layer by layer.

A variant is a rule; a credit bridge at another tgw than the default is named "credit_bridge
tgw=0". Γ is the mean cosine between credit and costate, ρ correlates predicted and measured cost
changes; Γ, ρ and nudge of a run are means over h_1 .. h_L. Two references stand beside the rules:
`copy` passes the cost's gradient at h_L back unchanged, `ceiling` is the largest cosine within
reach of a gradient that passes through LayerNorm(h_l), as both bridges' does.

What the experiment expects, on every seed: |Γ| of dfa below NEAR_ZERO; Γ and ρ of both bridges
above FOUND, and their Γ above that of copy; a nudge below 0 for every learned rule. At tgw=0
nothing ties the credit bridge's direction, as the error alone tells the cost: its |Γ| must be below
COLLAPSED, where the audit protocol's reasonable directions begin. No values were reported.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from statistics import fmean
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis.boundary import Undecided, decide, over, short
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
from credit.analysis.selection import configuration, finished, in_order, metric, pick
from credit.analysis.tables import seeds_text
from credit.audit import Verdict
from credit.errors import CreditError
from credit.spec import LEARNED_FIELDS, RunSpec

NEAR_ZERO = 0.1
FOUND = 0.9
COLLAPSED = 0.2
HAVING = "valid/reference"
"""The metric that every measured run has."""
QUANTITIES = {"alignment": "Γ", "rho": "ρ", "nudge": "nudge"}
LEAD = "lead"
"""Γ minus copy's, of the same seed; in verdicts only."""
REFERENCES = ("copy", "ceiling")
CONTROL = "credit_bridge tgw=0"

_LEARNED = ("state_bridge", "credit_bridge", "vector_field")


def with_variants(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column `variant`.

    Raises:
        CreditError: there are no runs; they differ in a setting that all rules share; or those of
            one variant in any but the seed.
    """
    configuration(runs, vary=("rule", "seed", *LEARNED_FIELDS))
    named = runs.assign(variant=[_variant(run) for run in runs.to_dict("records")])
    for _, own in named.groupby("variant"):
        configuration(own, vary=("seed",))
    return named


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title: "d=64, L=12, 8000 steps of 256"."""
    config = configuration(runs, vary=("rule", "seed", *LEARNED_FIELDS))
    steps = config["epochs"] * math.ceil(config["train_samples"] / config["batch_size"])
    return "d={width}, L={depth}, {steps} steps of {batch_size}".format(**config, steps=steps)


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ and nudge by variant.

    Returns:
        Columns variant, n (finished runs), and for each of QUANTITIES its mean, `_sd` (ddof 1) and
        `_n`, the seeds at which it is valid; rules in canonical order, the references last, which
        have a Γ only.

    Raises:
        CreditError: as `with_variants`.
    """
    named = with_variants(runs)
    done = finished(named, HAVING)
    rows = []
    for variant in _in_order(named["variant"]):
        own = pick(done, variant=variant)
        row: dict[str, Any] = {"variant": variant, "n": len(own)}
        for quantity in QUANTITIES:
            row |= _summary(quantity, _values(own, quantity))
        rows.append(row)
    each = _of_each_seed(done)
    for name in REFERENCES:
        row = {"variant": name, "n": len(each)}
        rows.append(row | _summary("alignment", metric(each, f"{name}/deep")))
    return pd.DataFrame(rows)


def layers(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ and nudge by variant and hidden state; the references have a Γ only.

    Returns:
        As `table`, with a column `layer`, 0 .. L.

    Raises:
        CreditError: as `with_variants`.
    """
    named = with_variants(runs)
    done = finished(named, HAVING)
    each, rows = _of_each_seed(done), []
    for layer in range(int(named["depth"].iloc[0]) + 1):
        key = f"h{layer:02d}"
        for variant in _in_order(named["variant"]):
            own = pick(done, variant=variant)
            row: dict[str, Any] = {"variant": variant, "layer": layer, "n": len(own)}
            for quantity in QUANTITIES:
                row |= _summary(quantity, metric(own, f"{quantity}/{key}"))
            rows.append(row)
        for name in REFERENCES:
            row = {"variant": name, "layer": layer, "n": len(each)}
            rows.append(row | _summary("alignment", metric(each, f"{name}/{key}")))
    return pd.DataFrame(rows)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table as strings: ".950 ± .004"; a cell with fewer valid seeds than runs says so."""
    return pd.DataFrame(
        {"variant": table["variant"]}
        | {
            heading: [_cell(row, quantity) for row in table.to_dict("records")]
            for quantity, heading in QUANTITIES.items()
        }
        | {"n": table["n"]}
    )


def wide_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """Mean Γ by variant, a column per hidden state: h0 .. hL."""
    rows = []
    for variant in layers["variant"].unique():
        own = pick(layers, variant=variant)
        cells = zip(own["layer"], own["alignment"], strict=True)
        rows.append({"Γ": variant, **{f"h{i}": "" if pd.isna(v) else f"{v:.2f}" for i, v in cells}})
    return pd.DataFrame(rows)


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Whether the bounds stated above hold: pass, fail, or undefined where a value is missing.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`, the variant; strict JSON. `value` is that of
        the seed that lies nearest to failing.

    Raises:
        CreditError: as `with_variants`.
    """
    named = with_variants(runs)
    asked = [
        ("dfa", "alignment", "near 0", NEAR_ZERO),
        *((rule, q, "found", FOUND) for rule in _LEARNED[:2] for q in ("alignment", "rho")),
        *((rule, LEAD, "beats copy", 0.0) for rule in _LEARNED[:2]),
        *((rule, "nudge", "lowers cost", 0.0) for rule in _LEARNED),
        (CONTROL, "alignment", "collapses", COLLAPSED),
    ]
    return [
        {"rule": variant, **asdict(_judged(named, variant, quantity, check, bound))}
        for variant, quantity, check, bound in asked
    ]


def figure(layers: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
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


def _judged(runs: pd.DataFrame, variant: str, quantity: str, check: str, bound: float) -> Verdict:
    symbol = _symbol(quantity)
    name = check if quantity == LEAD else f"{check} {symbol}"
    holds, worst = _TESTS[check]

    def judge() -> Verdict:
        values = _sample(runs, variant, quantity)
        value = worst(values)
        reason = (
            f"{symbol} of {variant} is {_number(fmean(values), quantity)} "
            f"({_number(min(values), quantity)} to {_number(max(values), quantity)}), "
            f"{over(values)}; {_ASKED[check].format(short(bound))} on every seed is asked for"
        )
        status = "pass" if holds(value, bound) else "fail"
        return Verdict(name, status, value, bound, reason)

    return decide(name, bound, judge)


def _smallest(values: Iterable[float]) -> float:
    return min(values)


def _largest(values: Iterable[float]) -> float:
    return max(values)


def _largest_size(values: Iterable[float]) -> float:
    return max(map(abs, values))


_Test = tuple[Callable[[float, float], bool], Callable[[Iterable[float]], float]]
_TESTS: dict[str, _Test] = {
    "near 0": (float.__lt__, _largest_size),
    "collapses": (float.__lt__, _largest_size),
    "found": (float.__gt__, _smallest),
    "beats copy": (float.__gt__, _smallest),
    "lowers cost": (float.__lt__, _largest),
}
"""What must hold of a seed's value and the bound, and which seed is nearest to failing."""
_ASKED = {
    "near 0": "a size below {}",
    "collapses": "a size below {}",
    "found": "more than {}",
    "beats copy": "more than 0",
    "lowers cost": "a value below 0",
}


def _sample(runs: pd.DataFrame, variant: str, quantity: str) -> list[float]:
    """A quantity of a variant's finished runs, in order of seed.

    Raises:
        Undecided: there are none, one failed, or one has no valid value.
    """
    own = pick(runs, variant=variant)
    if (own["status"] == "FAILED").any():
        raise Undecided(f"{variant} failed on a seed")
    values = _values(finished(own, HAVING), quantity)
    if not values:
        raise Undecided(f"{variant} has no finished run")
    if not all(map(math.isfinite, values)):
        raise Undecided(f"{_symbol(quantity)} of {variant} is not valid on every seed")
    return values


def _values(runs: pd.DataFrame, quantity: str) -> list[float]:
    """A quantity's mean over h_1 .. h_L of every run, in order of seed."""
    if quantity == LEAD:
        pairs = zip(metric(runs, "alignment/deep"), metric(runs, "copy/deep"), strict=True)
        return [own - copy for own, copy in pairs]
    if quantity != "nudge" or runs.empty:
        return metric(runs, f"{quantity}/deep")
    depth = int(runs["depth"].iloc[0])
    columns = [metric(runs, f"nudge/h{layer:02d}") for layer in range(1, depth + 1)]
    return [fmean(own) for own in zip(*columns, strict=True)]


def _summary(quantity: str, values: list[float]) -> dict[str, Any]:
    column = pd.Series(values, dtype=float)
    return {
        quantity: column.mean(),
        f"{quantity}_sd": column.std(ddof=1),
        f"{quantity}_n": int(column.notna().sum()),
    }


def _of_each_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """One run per seed: what is the same for all rules is read off any."""
    return runs.drop_duplicates("seed")


def _variant(run: dict[str, Any]) -> str:
    if run["rule"] != "credit_bridge" or run["tgw"] == RunSpec.tgw:
        return str(run["rule"])
    return f"credit_bridge tgw={run['tgw']:g}"


def _in_order(variants: Iterable[str]) -> list[str]:
    known = set(variants)
    rules = in_order(variant.partition(" ")[0] for variant in known)
    return sorted(known, key=lambda variant: (rules.index(variant.partition(" ")[0]), variant))


def _symbol(quantity: str) -> str:
    return "Γ minus copy's" if quantity == LEAD else QUANTITIES[quantity]


def _cell(row: dict[str, Any], quantity: str) -> str:
    mean, sd = row[quantity], row[f"{quantity}_sd"]
    if pd.isna(mean):
        return ""
    few = f" (n={row[f'{quantity}_n']:.0f})" if row[f"{quantity}_n"] < row["n"] else ""
    spread = "" if pd.isna(sd) else f" ± {_number(sd, quantity)}"
    return f"{_number(mean, quantity)}{spread}{few}"


def _number(value: float, quantity: str) -> str:
    return f"{value:.2g}" if quantity == "nudge" else short(value)

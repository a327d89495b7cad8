"""A cell of a synthetic experiment's table: finished runs that differ in their seed only.

Alignment and loss prediction of a run are means over h_1 .. h_L. `inner` is the mean over
1 <= l < L: the rule is taught the exact gradient at h_L, which weighs 1/L of the whole mean, so a
direction that reaches no further back shows there alone.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from credit.analysis.selection import ACCURACY, configuration, finished, metric, pick
from credit.analysis.wording import short
from credit.audit import Verdict

QUANTITIES = {
    "alignment": "Γ",
    "alignment_inner": "Γ, l < L",
    "rho": "ρ",
    "nudge": "nudge",
    "accuracy": "test accuracy",
    "fit": "fit",
}
"""Columns of the tables and their headings."""

COPY = {"copy": "Γ of g_L passed back", "copy_inner": "Γ of g_L passed back, l < L"}
"""The control of networks on images: what the output's own gradient, which every local rule has,
reaches without any estimator. A direction that does not exceed it owes nothing to its rule."""

FITS = {
    "state_bridge": "estimator/loss",
    "credit_bridge": "estimator/gradient",
    "vector_field": "estimator/directional",
}
"""By rule, what its estimator misses of its target: squared error over the target's mean square,
at the last epoch. 1 is as good as predicting zero."""

UNFITTED = 0.9
"""A credit bridge that misses more than this of its terminal gradient has not learned it: what its
credit is worth then tells of the estimator, not of the rule."""

NOT_FITTED = "pass, but the estimator is not fitted"
"""Label of a verdict that passes on a cell like that."""

_METRICS = {
    "alignment": "alignment/deep",
    "alignment_inner": "alignment/deep_inner",
    "rho": "rho/deep",
    "accuracy": ACCURACY,
    "copy": "copy/deep",
    "copy_inner": "copy/deep_inner",
}


class Undecided(Exception):
    """Why a verdict cannot be given."""


def values(runs: pd.DataFrame, quantity: str) -> list[float]:
    """One of QUANTITIES of every run of one rule and depth, in order of seed; nan if not valid.

    The nudge is the mean over h_1 .. h_L, a number only where all of them are valid. Where the
    reference is at its floor, ρ and nudge compare losses that differ by rounding: they are not.
    """
    if runs.empty:
        return []
    if quantity in ("rho", "nudge") and "valid/reference" in runs:
        low = [valid == 0 for valid in metric(runs, "valid/reference")]
        found = values(runs.drop(columns="valid/reference"), quantity)
        return [math.nan if bad else value for bad, value in zip(low, found, strict=True)]
    if quantity == "nudge":
        depth = int(runs["depth"].iloc[0])
        layers = [metric(runs, f"nudge/h{layer:02d}") for layer in range(1, depth + 1)]
        return [fmean(own) for own in zip(*layers, strict=True)]
    if quantity == "fit":
        rule = str(runs["rule"].iloc[0])
        return metric(runs, FITS[rule]) if rule in FITS else [math.nan] * len(runs)
    return metric(runs, _METRICS[quantity])


def by_seed(runs: pd.DataFrame, quantity: str) -> dict[int, float]:
    """A quantity of finished runs, by seed; nan where it is not valid.

    Raises:
        CreditError: the runs differ in more than their seed.
    """
    if runs.empty:
        return {}
    configuration(runs, vary=("seed",))
    return dict(zip(sorted(runs["seed"].astype(int)), values(runs, quantity), strict=True))


def spread(quantity: str, own: Iterable[float]) -> dict[str, Any]:
    """A quantity's mean, `_sd` (ddof 1) and `_n`, how many of the values are valid."""
    column = pd.Series(list(own), dtype=float)
    return {
        quantity: column.mean(),
        f"{quantity}_sd": column.std(ddof=1),
        f"{quantity}_n": int(column.notna().sum()),
    }


def summary(runs: pd.DataFrame) -> dict[str, Any]:
    """Mean, sd and valid seeds of each quantity, and n, of a cell's finished runs.

    Raises:
        CreditError: the runs differ in more than their seed.
    """
    row: dict[str, Any] = {}
    for quantity in QUANTITIES:
        row |= spread(quantity, by_seed(runs, quantity).values())
    return row | {"n": len(runs)}


def formatted(table: pd.DataFrame, quantities: Mapping[str, str] = QUANTITIES) -> pd.DataFrame:
    """The quantities of a table as strings under their headings, and n.

    As ".450 ± .020"; a cell with fewer valid seeds than its row has runs says so: "(n=2)". COPY is
    left out where no run has it.
    """
    rows = table.to_dict("records")
    shown = {n: h for n, h in quantities.items() if n not in COPY or table[n].notna().any()}
    cells = {head: [_cell(row, name) for row in rows] for name, head in shown.items()}
    return pd.DataFrame(cells | {"n": table["n"].tolist()})


def directions(depth: int) -> tuple[str, ...]:
    """The alignments that a verdict judges: of all layers and, where there are any, of l < L."""
    return ("alignment", "alignment_inner") if depth > 1 else ("alignment",)


def sample(
    runs: pd.DataFrame,
    quantity: str,
    who: str,
    having: str = ACCURACY,
    take: Callable[[pd.DataFrame, str], list[float]] = values,
    symbol: str = "",
) -> dict[int, float]:
    """A quantity by seed, of a cell's finished runs, for a verdict.

    A seed that failed counts only where it did not finish in another run.

    Args:
        who: the cell's name.
        having: as in `selection.finished`.
        take: what the quantity of a cell's runs is.
        symbol: the quantity's name, if not that of QUANTITIES.

    Raises:
        CreditError: the runs differ in more than their seed.
        Undecided: there are none, one failed, or one has no valid value.
    """
    if runs.empty:
        raise Undecided(f"{who} has no finished run")
    configuration(runs, vary=("seed",))
    done = finished(runs, having)
    own = dict(zip(sorted(done["seed"].astype(int)), take(done, quantity), strict=True))
    failed = set(pick(runs, status="FAILED")["seed"].astype(int)) - set(own)
    if failed:
        raise Undecided(f"{who} failed on seed {', '.join(map(str, sorted(failed)))}")
    if not own:
        raise Undecided(f"{who} has no finished run")
    bad = [str(seed) for seed, value in own.items() if not math.isfinite(value)]
    if bad:
        name = symbol or QUANTITIES[quantity]
        raise Undecided(f"{name} of {who} is not valid on seed {', '.join(bad)}")
    return own


def paired(samples: Sequence[Mapping[int, float]]) -> list[list[float]]:
    """The values of each sample on the seeds that all have, in order of seed.

    Raises:
        Undecided: no seed is in all samples.
    """
    seeds = sorted(set.intersection(*(set(own) for own in samples)))
    if not seeds:
        raise Undecided("the runs to compare have no finished seed in common")
    return [[own[seed] for seed in seeds] for own in samples]


def leads(own: Sequence[float], *others: Sequence[float]) -> list[float]:
    """By how much a rule is ahead of the best of the others, seed by seed."""
    best = [max(rest) for rest in zip(*others, strict=True)]
    # rounded, because .6 - .5 is .1 and not .09999999999999998
    return [round(a - b, 12) for a, b in zip(own, best, strict=True)]


def decide(check: str, threshold: float, judge: Callable[[], Verdict]) -> Verdict:
    """The verdict of `judge`, or why there is none."""
    try:
        return judge()
    except Undecided as why:
        return Verdict(check, "undefined", None, threshold, str(why))


def not_fitted(fits: Mapping[str, float]) -> str:
    """Which credit bridges are UNFITTED, for a reason; empty where none is.

    Args:
        fits: mean fit by the cell's name, nan where there is none.
    """
    left = [
        f"{who} ({short(fit)} of the target left)" for who, fit in fits.items() if fit > UNFITTED
    ]
    return f"; credit_bridge's terminal gradient is not fitted at {', '.join(left)}" if left else ""


def _cell(row: Mapping[str, Any], quantity: str) -> str:
    mean, sd = row[quantity], row[f"{quantity}_sd"]
    if pd.isna(mean):
        return ""
    show = (lambda v: f"{v:.2g}") if quantity == "nudge" else short
    few = row[f"{quantity}_n"]
    return (
        show(mean)
        + ("" if pd.isna(sd) else f" ± {show(sd)}")
        + (f" (n={few:.0f})" if few < row["n"] else "")
    )

"""What is expected of the vector audit, and whether it holds.

Margins, fixed before any number was seen. All hold at every depth, or the check fails. What is
said of Γ must hold of the mean over h_1 .. h_L and of that over l < L: at h_L both rules are taught
the exact gradient.

- BEATS: Γ and ρ of M4 (and M8, ...) exceed the scalar's by .10 or more on every seed, compared
  with the run of the same seed. .10 is half of what the protocol calls reasonable (.20), and less
  than a quarter of the lead that was reported (.46 at L=4).
- COLLAPSED: |Γ| of shuffle+no_terminal is below .10 on every seed: targets that belong to other
  samples must teach no direction. A random vector has |Γ| about .003 at d=128, 1024 samples; .10
  leaves room for what is common to all samples, half of what counts as reasonable. `shuffle` alone
  keeps the exact gradient at h_L, which by itself gives a mean of 1/L, so it is judged on l < L.
- KEEPS: without its terminal term the field's Γ falls by at most .10, or that term is what carries
  it. Less than BEATS asks for, so that what is left would still lead. A rise does not count
  against it; the label tells.
- ONE_SIDED: with one-sided differences Γ falls by at most .15. More is allowed, because their
  first-order error is the estimator's price, not a sign of a wrong target.

`audit` is the experiment's own: M4 beats the scalar and shuffle+no_terminal collapses.
"""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import pandas as pd

from credit.analysis.cells import (
    QUANTITIES,
    Undecided,
    by_seed,
    decide,
    directions,
    not_fitted,
    paired,
    sample,
)
from credit.analysis.selection import finished, pick
from credit.analysis.vector_audit import EMPTY, FIELD, MAIN, in_order, with_variants
from credit.analysis.wording import over, short, status
from credit.audit import Verdict

BEATS = 0.10
COLLAPSED = 0.10
KEEPS = 0.10
ONE_SIDED = 0.15


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Each check's outcome over all depths, by the margins stated above.

    `value` is what lies nearest to failing: the smallest lead of any depth, seed, Γ or ρ; the
    largest |Γ| of a shuffled field; the largest fall of Γ, as a mean over seeds.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: as `vector_audit.with_variants`.
    """
    named = with_variants(runs)
    plain = {v for v in named["variant"] if v[0] == "M" and v[1:].isdigit()} | {MAIN}
    beats = [decide(f"{v} > scalar", BEATS, lambda v=v: _beats(named, v)) for v in in_order(plain)]
    empty, shuffle = (
        decide(v, COLLAPSED, lambda v=v: _collapses(named, v)) for v in (EMPTY, "shuffle")
    )
    main = next(verdict for verdict in beats if verdict.check.startswith(f"{MAIN} "))
    found = [
        *beats,
        empty,
        shuffle,
        *(
            decide(v, margin, lambda v=v, m=margin: _keeps(named, v, m))
            for v, margin in (("no_terminal", KEEPS), ("one_sided", ONE_SIDED))
        ),
        _both(main, empty),
    ]
    return [{"rule": FIELD, **asdict(verdict)} for verdict in found]


def _beats(runs: pd.DataFrame, variant: str) -> Verdict:
    gaps, parts, fits = [], [], {}
    for depth in _depths(runs):
        words, seeds = [], ""
        for quantity in (*directions(depth), "rho"):
            own = _differences(runs, depth, variant, "scalar", quantity)
            gaps.append(min(own))
            seeds = over(own)
            words.append(
                f"{QUANTITIES[quantity]} {short(fmean(own), '+')} (least {short(min(own), '+')})"
            )
        parts.append(f"L={depth}: {', '.join(words)}, {seeds}")
        scalar = finished(pick(runs, depth=depth, variant="scalar"))
        fits[f"L={depth}"] = float(pd.Series(by_seed(scalar, "fit"), dtype=float).mean())
    least = min(gaps)
    reason = (
        f"{variant} minus scalar, by seed: {'; '.join(parts)}; on every seed at least "
        f"{short(BEATS, '+')} is asked for{not_fitted(fits)}"
    )
    return Verdict(f"{variant} > scalar", status(least >= BEATS), least, BEATS, reason)


def _collapses(runs: pd.DataFrame, variant: str) -> Verdict:
    sizes, parts = [], []
    for depth in _depths(runs):
        kinds: Sequence[str] = directions(depth)
        if variant == "shuffle":
            kinds = kinds[1:]
            if not kinds:
                raise Undecided(f"{variant} at L={depth} has no layer below h_L")
        words, seeds = [], ""
        for kind in kinds:
            values = list(_cell(runs, depth, variant, kind).values())
            seeds = over(values)
            sizes.append(round(max(map(abs, values)), 12))  # .09 + .01 is .10, not below it
            size = f"(largest size {short(sizes[-1])})"
            words.append(f"{QUANTITIES[kind]} {short(fmean(values))} {size}")
        parts.append(f"L={depth}: {', '.join(words)}, {seeds}")
    worst = max(sizes)
    taught = ", which is taught the exact gradient at h_L" if variant == "shuffle" else ""
    reason = (
        f"{variant}{taught}: {'; '.join(parts)}; below {short(COLLAPSED)} on every seed is asked "
        "for"
    )
    return Verdict(variant, status(worst < COLLAPSED), worst, COLLAPSED, reason)


def _keeps(runs: pd.DataFrame, variant: str, margin: float) -> Verdict:
    changes, parts = [], []
    for depth in _depths(runs):
        words, seeds = [], ""
        for kind in directions(depth):
            own = _differences(runs, depth, variant, MAIN, kind)
            changes.append(round(fmean(own), 12))
            seeds = over(own)
            lowest = short(min(own), "+")
            words.append(f"{QUANTITIES[kind]} {short(changes[-1], '+')} (lowest seed {lowest})")
        parts.append(f"L={depth}: {', '.join(words)}, {seeds}")
    fall = -min(changes)
    label = "falls" if fall > margin else "rises" if max(changes) > margin else "stays"
    reason = (
        f"{label}: {variant} minus {MAIN}: {'; '.join(parts)}; a fall by {short(margin)} is allowed"
    )
    return Verdict(variant, status(fall <= margin), fall, margin, reason, label)


def _both(beats: Verdict, collapse: Verdict) -> Verdict:
    statuses = {beats.status, collapse.status}
    whole = next(s for s in ("fail", "undefined", "pass") if s in statuses)
    reason = f"{beats.check}: {beats.status}; {collapse.check} collapses: {collapse.status}"
    return Verdict("audit", whole, None, None, reason)


def _depths(runs: pd.DataFrame) -> list[int]:
    return sorted(runs["depth"].unique().tolist())


def _cell(runs: pd.DataFrame, depth: int, variant: str, quantity: str) -> dict[int, float]:
    own = pick(runs, depth=depth, variant=variant)
    return sample(own, quantity, f"{variant} at L={depth}")


def _differences(
    runs: pd.DataFrame, depth: int, variant: str, other: str, quantity: str
) -> list[float]:
    """Of `variant` minus `other`, by seed, on the seeds that both have."""
    pair = paired([_cell(runs, depth, name, quantity) for name in (variant, other)])
    return [round(a - b, 12) for a, b in zip(*pair, strict=True)]

"""What is expected of frozen recovery, and whether it holds.

Margins, fixed before any number was seen, but for *copy*, which came after. What is said of Γ must
hold of the mean over h_1 .. h_L and of that over l < L, because at h_L some arms are taught the
exact gradient; what is said of an order must hold of ρ, too. All hold in every network in which the
arms were run, or the check fails.

- STEP: vector field > state bridge > credit_eT > credit_deltaL: each is ahead of the next by .01 or
  more on every seed, compared with the run on the same network. .01 is the standard error of a mean
  cosine over 1024 samples whose sd is .3: a lead below it may be a matter of which samples are
  measured. The least step that was reported is .077.
- CLEAR: credit_deltaL, the last of them, is ahead of dfa by .05, what the protocol calls no
  direction.
- NEAR_ZERO: the mean over seeds of |Γ|, and of |ρ|, of dfa is below .05. The sign is dropped seed
  by seed, as in the audit: seeds that point opposite ways are no evidence of no direction.
- SLACK: from M=4 to 8 to 16 neither Γ nor ρ falls by more than .02 as a mean over seeds: seeds
  scatter.
- UNMOVED: test accuracy of a frozen run and of its reference differ by .0005 at most: nothing of
  the network trained, but rounding may turn single samples of 10,000.
- copy: every estimator's Γ below h_L is .05 above that of g_L passed back unchanged, in every
  network and on every seed (`copy_control` says why); else it has not found more than the skip
  path, whatever its lead over dfa.
"""

import itertools
from dataclasses import asdict
from statistics import fmean
from typing import Any

import pandas as pd

from credit import audit
from credit.analysis import copy_control
from credit.analysis.cells import (
    QUANTITIES,
    Undecided,
    by_seed,
    decide,
    directions,
    leads,
    not_fitted,
    paired,
    sample,
)
from credit.analysis.frozen import REFERENCE, in_order, is_field, networks, with_arms
from credit.analysis.selection import finished, pick
from credit.analysis.wording import LEARNED, over, short, status
from credit.audit import Verdict
from credit.spec import RunSpec

STEP = 0.01
CLEAR = audit.POOR
NEAR_ZERO = audit.POOR
SLACK = 0.02
UNMOVED = 0.0005

MAIN = f"M{RunSpec.field_directions}"
EXPECTED = (MAIN, "state_bridge", "credit_eT", "credit_deltaL", "dfa")
"""The order of the arms in Γ and ρ on a frozen network, the best first."""

_UNMOVED = "difference from the reference"


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Each check's outcome over all networks, by the margins stated above.

    `value` is what lies nearest to failing: the smallest lead of any network, seed and quantity;
    the largest size of dfa's; the lowest step over M; the largest difference in accuracy.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: as `frozen.with_arms`.
    """
    named = with_arms(runs)
    found: list[tuple[str, Verdict]] = []
    for upper, lower in itertools.pairwise(EXPECTED):
        margin = CLEAR if lower == "dfa" else STEP
        check = f"{upper} {'>>' if lower == 'dfa' else '>'} {lower}"
        found.append(
            (
                _rule(upper),
                decide(
                    check,
                    margin,
                    lambda u=upper, w=lower, m=margin, c=check: _step(named, u, w, m, c),
                ),
            )
        )
    found.append(("all", _order([verdict for _, verdict in found])))
    found += [(_rule(arm), _copy(named, arm)) for arm in estimators(named)]
    found.append(("dfa", decide("dfa near 0", NEAR_ZERO, lambda: _near_zero(named))))
    found.append(("vector_field", decide("M", -SLACK, lambda: _directions(named))))
    found.append(("all", decide("frozen", UNMOVED, lambda: _unmoved(named))))
    return [{"rule": rule, **asdict(verdict)} for rule, verdict in found]


def _step(runs: pd.DataFrame, upper: str, lower: str, margin: float, check: str) -> Verdict:
    gaps, parts, fits = [], [], {}
    for network, own in _with(runs, (upper, lower)):
        words, seeds = [], ""
        for quantity in _quantities(own):
            ahead = leads(*paired([_cell(own, arm, quantity) for arm in (upper, lower)]))
            gaps.append(min(ahead))
            seeds = over(ahead)
            change = short(round(fmean(ahead), 12), "+")
            words.append(f"{QUANTITIES[quantity]} {change} (least {short(min(ahead), '+')})")
        parts.append(f"{network}: {', '.join(words)}, {seeds}")
        for arm in (upper, lower):
            if arm.startswith("credit_"):
                cell = finished(pick(own, arm=arm))
                fit = float(pd.Series(by_seed(cell, "fit"), dtype=float).mean())
                fits[f"{arm} in {network}"] = fit
    least = min(gaps)
    reason = (
        f"{upper} minus {lower}, by seed: {'; '.join(parts)}; on every seed at least "
        f"{short(margin, '+')} is asked for{_missing(runs, (upper, lower))}{not_fitted(fits)}"
    )
    return Verdict(check, status(least >= margin), least, margin, reason)


def _order(steps: list[Verdict]) -> Verdict:
    statuses = {step.status for step in steps}
    whole = next(s for s in ("fail", "undefined", "pass") if s in statuses)
    reason = "; ".join(f"{step.check}: {step.status}" for step in steps)
    return Verdict("order", whole, None, None, reason)


def estimators(runs: pd.DataFrame) -> list[str]:
    """The arms that learn: all but the control that dfa is, and rules without an estimator."""
    return in_order(runs.loc[runs["rule"].isin(LEARNED)]["arm"])


def _copy(runs: pd.DataFrame, arm: str) -> Verdict:
    own = pick(runs, arm=arm)
    names = dict.fromkeys(own["network"])
    return copy_control.verdict(arm, {f"{arm} in {n}": pick(own, network=n) for n in names})


def _near_zero(runs: pd.DataFrame) -> Verdict:
    sizes, parts = [], []
    for network, own in _with(runs, ("dfa",)):
        words, seeds = [], ""
        for quantity in _quantities(own):
            values = list(_cell(own, "dfa", quantity).values())
            seeds = over(values)
            sizes.append(round(fmean(map(abs, values)), 12))
            size = f"(mean size {short(sizes[-1])})"
            words.append(f"{QUANTITIES[quantity]} {short(fmean(values))} {size}")
        parts.append(f"{network}: {', '.join(words)}, {seeds}")
    worst = max(sizes)
    reason = f"{'; '.join(parts)}; a mean size below {short(NEAR_ZERO)} is asked for"
    return Verdict("dfa near 0", status(worst < NEAR_ZERO), worst, NEAR_ZERO, reason)


def _directions(runs: pd.DataFrame) -> Verdict:
    steps, parts = [], []
    for width, depth in networks(runs):
        own = pick(runs, width=width, depth=depth)
        arms = [arm for arm in in_order(own["arm"]) if is_field(arm)]
        if len(arms) < 2:
            continue
        words, seeds = [], ""
        for quantity in _quantities(own):
            samples = paired([_cell(own, arm, quantity) for arm in arms])
            means = [fmean(values) for values in samples]
            seeds = over(samples[0])
            steps.append(round(min(b - a for a, b in itertools.pairwise(means)), 12))
            lowest = f"(lowest step {short(steps[-1], '+')})"
            words.append(f"{QUANTITIES[quantity]} {' '.join(map(short, means))} {lowest}")
        parts.append(f"{_name(own)}, {' '.join(arms)}: {', '.join(words)}, {seeds}")
    if not steps:
        raise Undecided("no network has vector fields of two M")
    lowest = min(steps)
    reason = f"{'; '.join(parts)}; no step below {short(-SLACK)} is asked for"
    return Verdict("M", status(lowest >= -SLACK), lowest, -SLACK, reason)


def _unmoved(runs: pd.DataFrame) -> Verdict:
    differences: dict[str, float] = {}
    for width, depth in networks(runs):
        own = pick(runs, width=width, depth=depth)
        for arm in in_order(own["arm"]):
            who = f"{arm} in {_name(own)}"
            values = sample(pick(own, arm=arm), _UNMOVED, who, take=_apart, symbol=_UNMOVED)
            differences[who] = round(max(values.values()), 12)
    if not differences:
        raise Undecided("there are no frozen runs")
    who = max(differences, key=lambda name: differences[name])
    worst = differences[who]
    reason = (
        f"test accuracy differs from the reference's by {100 * worst:.2f} points at most ({who}), "
        f"{100 * UNMOVED:g} are allowed"
    )
    return Verdict("frozen", status(worst <= UNMOVED), worst, UNMOVED, reason)


def _apart(runs: pd.DataFrame, quantity: str) -> list[float]:
    ordered = runs.sort_values("seed")
    return (ordered["accuracy/test"] - ordered["reference_accuracy"]).abs().tolist()


def _with(runs: pd.DataFrame, arms: tuple[str, ...]) -> list[tuple[str, pd.DataFrame]]:
    """Name and runs of each network in which all of these arms were run."""
    found = []
    for width, depth in networks(runs):
        own = pick(runs, width=width, depth=depth)
        if set(arms) <= set(own["arm"]):
            found.append((_name(own), own))
    if not found:
        raise Undecided(f"no network has runs of {' and '.join(arms)}")
    return found


def _missing(runs: pd.DataFrame, arms: tuple[str, ...]) -> str:
    """Which networks are not judged, for a reason; empty where all are."""
    judged = {name for name, _ in _with(runs, arms)}
    frozen = runs.loc[runs["arm"] != REFERENCE]
    left = [name for name in dict.fromkeys(frozen["network"]) if name not in judged]
    return f"; not run in {', '.join(left)}" if left else ""


def _quantities(runs: pd.DataFrame) -> tuple[str, ...]:
    return (*directions(int(runs["depth"].iloc[0])), "rho")


def _cell(runs: pd.DataFrame, arm: str, quantity: str) -> dict[int, float]:
    return sample(pick(runs, arm=arm), quantity, f"{arm} in {_name(runs)}")


def _name(runs: pd.DataFrame) -> str:
    return str(runs["network"].iloc[0])


def _rule(arm: str) -> str:
    if is_field(arm):
        return "vector_field"
    return "credit_bridge" if arm.startswith("credit_") else arm

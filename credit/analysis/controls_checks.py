"""What the matched controls say of each rule.

Margins, fixed before any number was seen; an accuracy is a fraction, a point is 0.01. Differences
are between runs of the same seed, and means over the seeds that all runs involved have, as in D3.

- DEPTH: `k=L` must be 2 points above the shallow network, the audit protocol's margin for a gain
  from depth (D3). The two are matched where their numbers of parameters differ by at most MATCHED:
  2 %, which moves accuracy by far less than the margin.
- CHANCE: trained on random labels, test accuracy must lie within 2 points of 1/classes on every
  seed. Guessing 10,000 images scatters by .3 points; 2 leave room for a network that answers alike
  for whole groups of images. Outside of that, the bench leaks the labels. What the rule memorises
  is the excess of its train accuracy over chance; less than 2 points is nothing. With augmented
  images no image is seen twice, so that "nothing" says little; the reason names it.
- SAME: the penalty may lower accuracy by at most 2 points. A gain of 2 points is named, and not
  held against it.
- D3 as in the protocol, against three baselines with frozen blocks: the embedding trained by the
  rule, by bp, and not at all. bp must climb from its own. A rule that passes against its own k=0
  and not against bp's passes because its embedding is poor.
"""

from dataclasses import asdict, replace
from statistics import fmean
from typing import Any

import pandas as pd

from credit import audit
from credit.analysis.audits import direction_verdicts
from credit.analysis.cells import Undecided, decide, paired
from credit.analysis.controls import (
    FROZEN,
    FULL,
    NONE,
    PENALTY,
    RANDOM,
    SHALLOW,
    cell,
    with_controls,
)
from credit.analysis.controls_wording import points
from credit.analysis.selection import in_order, pick
from credit.analysis.wording import over, short, status
from credit.audit import Verdict
from credit.network_size import SIZES, parameters

DEPTH = CHANCE = SAME = audit.DEPTH_MARGIN
MATCHED = 0.02
BASELINES = {"own": "its own", "bp": "bp's", "frozen": "a frozen"}
"""The embedding below frozen blocks that D3 is measured against, in words."""


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Every check of every rule that has runs at `k=L`; undefined where a control is missing.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: as `controls.with_controls`.
    """
    named = with_controls(runs)
    found: list[dict[str, Any]] = []
    for rule in in_order(pick(named, control=FULL)["rule"]):
        by_baseline = {name: _utility(named, rule, name) for name in BASELINES}
        if rule == "bp":
            del by_baseline["bp"]  # which is its own
        own = [
            decide("k=L > shallow", DEPTH, lambda r=rule: _deeper(named, r)),
            decide("random labels", CHANCE, lambda r=rule: _chance(named, r)),
            decide("penalty", -SAME, lambda r=rule: _penalised(named, r)),
            _stability(named, rule),
            *by_baseline.values(),
            _together(rule, by_baseline),
        ]
        found += [{"rule": rule, **asdict(verdict)} for verdict in own]
    return found


def _deeper(runs: pd.DataFrame, rule: str) -> Verdict:
    sizes = [_size(runs, rule, control) for control in (FULL, SHALLOW)]
    deep, shallow = paired([cell(runs, rule, control) for control in (FULL, SHALLOW)])
    excess = sizes[1] / sizes[0] - 1
    count = f"{sizes[1]:,.0f} parameters against {sizes[0]:,.0f}"
    if not abs(excess) <= MATCHED:
        raise Undecided(
            f"the shallow network of {rule} is not matched: {count}, {excess:+.1%}; "
            f"{MATCHED:.0%} are allowed"
        )
    gaps = [round(a - b, 12) for a, b in zip(deep, shallow, strict=True)]
    gain = round(fmean(gaps), 12)
    label = "deeper" if gain >= DEPTH else "shallower" if gain <= -DEPTH else "equal"
    words = {
        "deeper": "the blocks add what their parameters alone do not",
        "equal": "the parameters do as well in one block",
        "shallower": "the blocks cost what the same parameters gain in one",
    }
    width = int(pick(runs, rule=rule, control=SHALLOW)["width"].iloc[0])
    reason = (
        f"{rule} has {short(fmean(deep))} at {FULL}, {short(fmean(shallow))} in the shallow "
        f"network (d={width}, {count}, {excess:+.1%}): {points(gain)} (lowest seed "
        f"{points(min(gaps))}, {over(gaps)}), where {points(DEPTH)} are asked for: {words[label]}"
        f"{_no_blocks(runs, rule)}"
    )
    return Verdict("k=L > shallow", status(gain >= DEPTH), gain, DEPTH, reason, label)


def _no_blocks(runs: pd.DataFrame, rule: str) -> str:
    """Says so where a rule does better with no block trained: then none of its blocks add."""
    try:
        none, full = paired([cell(runs, rule, control) for control in (NONE, FULL)])
    except Undecided:
        return ""
    if fmean(none) <= fmean(full):
        return ""
    return f"; but with no block trained it has {short(fmean(none))}, more than with all of them"


def _chance(runs: pd.DataFrame, rule: str) -> Verdict:
    dataset = str(runs["dataset"].iloc[0])
    if dataset not in SIZES:
        raise Undecided(f"how many classes {dataset} has is not known")
    chance = 1 / SIZES[dataset].classes
    test = list(cell(runs, rule, RANDOM).values())
    train = list(cell(runs, rule, RANDOM, "train").values())
    far = max((round(own - chance, 12) for own in test), key=abs)
    learned = round(fmean(train) - chance, 12)
    label = "memorises" if learned >= CHANCE else "memorises nothing"
    seen = " of augmented images" if pick(runs, rule=rule, control=RANDOM)["augment"].all() else ""
    whole = f"{short(fmean(train))} of the random labels{seen} in training ({points(learned)})"
    ok = abs(far) <= CHANCE
    reason = (
        f"{rule} has {short(fmean(test))} on the test set, where chance is {short(chance)} "
        f"(farthest seed {points(far)}, {over(test)}; within {100 * CHANCE:g} points is asked for"
        f"{'' if ok else ': labels leak, or the answer is lopsided'}); it gets {whole}: {label}"
    )
    return Verdict("random labels", status(ok), far, CHANCE, reason, label)


def _penalised(runs: pd.DataFrame, rule: str) -> Verdict:
    plain, held = paired([cell(runs, rule, control) for control in (FULL, PENALTY)])
    gaps = [round(b - a, 12) for a, b in zip(plain, held, strict=True)]
    change = round(fmean(gaps), 12)
    label = "rises" if change >= SAME else "falls" if change < -SAME else "stays"
    reason = (
        f"accuracy of {rule} {label}: {short(fmean(plain))} without the penalty, "
        f"{short(fmean(held))} with λ={_penalty(runs):g}: {points(change)} (lowest seed "
        f"{points(min(gaps))}, {over(gaps)}); a fall by {100 * SAME:g} points is allowed"
    )
    return Verdict("penalty", status(change >= -SAME), change, -SAME, reason, label)


def _stability(runs: pd.DataFrame, rule: str) -> Verdict:
    """D1 with the penalty, and in the reason without it."""
    check = "penalty D1"
    pair = runs.loc[runs["control"].isin([FULL, PENALTY]) & (runs["rule"] == rule)]
    by_penalty = {
        v["penalty"]: v for v in direction_verdicts(pair) if v["check"] == "D1"
    }  # with 0 first
    if len(by_penalty) < 2:
        reason = f"{PENALTY} of {rule} has no finished run"
        return Verdict(check, "undefined", None, audit.MAX_GROWTH, reason)
    plain, held = by_penalty.values()
    reason = (
        f"with λ={held['penalty']:g} {held['reason']}; without, {plain['status']}: "
        f"{plain['reason']}"
    )
    return Verdict(check, held["status"], held["value"], held["threshold"], reason, held["label"])


def _utility(runs: pd.DataFrame, rule: str, baseline: str) -> Verdict:
    """D3 against frozen blocks over one of BASELINES."""
    check = f"D3 {baseline}"

    def judge() -> Verdict:
        whose, control = source(runs, rule, baseline)
        below, above = paired([cell(runs, whose, control), cell(runs, rule, FULL)])
        first, last = paired([cell(runs, "bp", name) for name in (NONE, FULL)])
        depth = int(pick(runs, control=FULL)["depth"].iloc[0])
        found = audit.depth_utility(rule, {0: below, depth: above}, {0: first, depth: last}, depth)
        reason = f"over {BASELINES[baseline]} embedding, {found.reason} ({over(above)})"
        return replace(found, check=check, reason=reason)

    return decide(check, audit.DEPTH_MARGIN, judge)


def _together(rule: str, found: dict[str, Verdict]) -> Verdict:
    """Whether depth is of use whatever trained the embedding below the frozen blocks."""
    statuses = {verdict.status for verdict in found.values()}
    whole = next(s for s in ("fail", "undefined", "pass") if s in statuses)
    own, bps = found["own"], found.get("bp")
    only = bps is not None and (own.status, bps.status) == ("pass", "fail")
    label = "only by its own embedding" if only else ""
    gains = ", ".join(
        f"{BASELINES[name]} {'' if v.value is None else points(v.value) + ' '}({v.status})"
        for name, v in found.items()
    )
    reason = f"{rule} at {FULL} against frozen blocks over the embedding that is {gains}"
    if bps is not None and own.value is not None and bps.value is not None and only:
        poor = round(own.value - bps.value, 12)
        reason += (
            f": it passes against its own only because that is poor, {100 * poor:.1f} points "
            "below bp's"
        )
    return Verdict("D3 together", whole, None, audit.DEPTH_MARGIN, reason, label)


def source(runs: pd.DataFrame, rule: str, baseline: str) -> tuple[str, str]:
    """Rule and control of a baseline's runs."""
    if baseline != "frozen":
        return (rule if baseline == "own" else "bp"), NONE
    rules = in_order(pick(runs, control=FROZEN)["rule"])
    return (rules[0] if rules else "bp"), FROZEN


def _size(runs: pd.DataFrame, rule: str, control: str) -> float:
    own = pick(runs, rule=rule, control=control)
    if own.empty:
        raise Undecided(f"{control} of {rule} has no finished run")
    return parameters(own.iloc[0])


def _penalty(runs: pd.DataFrame) -> float:
    return float(pick(runs, control=PENALTY)["penalty"].iloc[0])

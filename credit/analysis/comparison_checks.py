"""What is expected of the method comparison, and whether it holds.

Margins, fixed before any number was seen. An accuracy is a fraction, a point is .01; rules are
compared on the seeds that both have.

- FAR: bp is at least 10 points above every rule but the oracle, on every seed. With 4 blocks and
  256 units the authors reported 21 points over fa and 32 over dfa; half of the smaller leaves room
  for another network, and is five times what the audit counts as a gain from depth.
- EQUAL: the mean accuracies of dfa and credit_bridge lie less than 2 points apart, the audit's
  margin of D3: the bridge's credit is then worth no more than fixed random feedback.
- state_bridge has the lowest accuracy of all rules, on every seed.
- dominated: a rule whose step takes at least bp's FLOPs must not be more than 2 points less
  accurate, or bp is the better choice on both accounts. A cheaper rule passes.

D1, D2 and the direction at layer L // 2 are the audit's own.
"""

from dataclasses import asdict
from statistics import fmean
from typing import Any

import pandas as pd

from credit import audit
from credit.analysis.audits import direction_verdicts
from credit.analysis.cells import Undecided, decide, leads, paired, sample
from credit.analysis.comparison import fully_trained
from credit.analysis.cost import METRICS, costs, si
from credit.analysis.selection import configuration, finished, in_order, pick
from credit.analysis.wording import over, short, status
from credit.audit import Verdict

FAR = 0.10
EQUAL = audit.DEPTH_MARGIN
CEILINGS = ("bp", "oracle")
"""Rules with exact gradients, of which nothing is asked here."""


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Each check's outcome, by the margins stated above.

    Args:
        runs: of `cost.with_costs`, of one depth.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON. A check that the runs do not
        cover is undefined.

    Raises:
        CreditError: as `comparison.comparison`.
    """
    full = fully_trained(runs)
    configuration(full)
    rules = [rule for rule in in_order(full["rule"]) if rule not in CEILINGS]
    found = [
        *((r, decide("bp far ahead", FAR, lambda r=r: _behind(full, r))) for r in rules),
        ("credit_bridge", decide("equals dfa", EQUAL, lambda: _equal(full))),
        ("state_bridge", decide("last", 0.0, lambda: _last(full))),
        *((r, decide("cost", 1.0, lambda r=r: _dominated(full, r))) for r in rules),
    ]
    audited = [
        {name: value for name, value in verdict.items() if name != "penalty"}
        for verdict in direction_verdicts(full)
    ]
    return [{"rule": rule, **asdict(verdict)} for rule, verdict in found] + audited


def _behind(runs: pd.DataFrame, rule: str) -> Verdict:
    best, own = paired([_accuracy(runs, "bp"), _accuracy(runs, rule)])
    gaps = leads(best, own)
    reason = (
        f"bp {short(fmean(best))}, {rule} {short(fmean(own))}: {_points(fmean(gaps))} "
        f"(least {_points(min(gaps))}), {over(own)}; on every seed at least {_points(FAR)} are "
        "asked for"
    )
    return Verdict("bp far ahead", status(min(gaps) >= FAR), min(gaps), FAR, reason)


def _equal(runs: pd.DataFrame) -> Verdict:
    own, other = paired([_accuracy(runs, "credit_bridge"), _accuracy(runs, "dfa")])
    gap = round(fmean(own) - fmean(other), 12)
    label = "equal" if abs(gap) < EQUAL else "better" if gap > 0 else "worse"
    reason = (
        f"{label}: credit_bridge {short(fmean(own))}, dfa {short(fmean(other))}: {_points(gap)}, "
        f"{over(own)}; less than {100 * EQUAL:g} points either way count as equal"
    )
    return Verdict("equals dfa", status(label == "equal"), gap, EQUAL, reason, label)


def _last(runs: pd.DataFrame) -> Verdict:
    others = [rule for rule in in_order(runs["rule"]) if rule != "state_bridge"]
    if not others:
        raise Undecided("there is no rule to compare state_bridge with")
    own, *rest = paired([_accuracy(runs, rule) for rule in ("state_bridge", *others)])
    gaps = leads(*([-value for value in values] for values in (own, *rest)))
    means = {rule: fmean(values) for rule, values in zip(others, rest, strict=True)}
    next_to = min(means, key=lambda rule: means[rule])
    reason = (
        f"state_bridge {short(fmean(own))}, the lowest other is {next_to} with "
        f"{short(means[next_to])}; it is last on {sum(gap > 0 for gap in gaps)} of {len(gaps)} "
        f"seeds (least {_points(min(gaps))} behind), every seed is asked for"
    )
    return Verdict("last", status(min(gaps) > 0), min(gaps), 0.0, reason)


def _dominated(runs: pd.DataFrame, rule: str) -> Verdict:
    best, own = paired([_accuracy(runs, "bp"), _accuracy(runs, rule)])
    flops = [costs(finished(pick(runs, rule=who)))["flops"] for who in ("bp", rule)]
    if any(pd.isna(value) for value in flops):
        raise Undecided(f"{METRICS['flops']} of bp and {rule} is not known")
    ratio = flops[1] / flops[0]
    gap = round(fmean(own) - fmean(best), 12)
    cheaper, worse = ratio < 1, gap < -EQUAL
    label = "cheaper" if cheaper else "dominated" if worse else "worth it"
    reason = (
        f"{label}: a step of {rule} takes {si(flops[1], 'FLOP')}, {ratio:.3g} times bp's "
        f"{si(flops[0], 'FLOP')}, for {_points(gap)} of accuracy, {over(own)}; no cheaper and more "
        f"than {100 * EQUAL:g} points below is dominated"
    )
    return Verdict("cost", status(label != "dominated"), ratio, 1.0, reason, label)


def _accuracy(runs: pd.DataFrame, rule: str) -> dict[int, float]:
    return sample(pick(runs, rule=rule), "accuracy", rule)


def _points(gap: float) -> str:
    return f"{100 * gap:+.1f} points"

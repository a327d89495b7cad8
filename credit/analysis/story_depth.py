"""Claims on the depth scan: who gains as blocks are added?"""

import pandas as pd

from credit.analysis import depth_scan_checks
from credit.analysis.comparison import fully_trained
from credit.analysis.selection import finished, in_order, pick
from credit.analysis.story_claim import (
    POINTS,
    Claim,
    Limit,
    Point,
    Want,
    claim,
    difference,
    outcome,
)
from credit.analysis.wording import LEARNED

_FIXED = ("fa", "dfa")


def depths(runs: pd.DataFrame) -> list[Claim]:
    """Does a rule's accuracy rise from the shallowest to the deepest network?

    Raises:
        CreditError: as `depth_scan_checks.verdicts`.
    """
    full, found = fully_trained(runs), depth_scan_checks.verdicts(runs)
    done, rules = finished(full).copy(), in_order(full["rule"])
    ends = sorted(int(depth) for depth in full["depth"].unique())
    course = f"From L={ends[0]} to {ends[-1]}"
    margin = depth_scan_checks.MARGIN

    def change(rule: str) -> Point:
        """On the seeds that all of its depths have, as the check counts them."""
        own = pick(done, rule=rule)
        by_depth = [set(part["seed"]) for _, part in own.groupby("depth")]
        own = own.loc[own["seed"].isin(set.intersection(*by_depth) if by_depth else ())]
        pair = (pick(own, depth=depth) for depth in (ends[-1], ends[0]))
        return difference(rule, *pair, "accuracy")

    def rises(rule: str, name: str, who: str) -> Claim:
        says = (
            f"{course} {who} gains 2 points or more",
            f"{course} {who} does not gain 2 points",
        )
        status = outcome(found, [Want("shape", rule)])
        points = [change(rule)] if rule in rules else []
        return claim(name, says, status, points, POINTS, Limit(low=margin))

    def stays(own: list[str], name: str, who: str) -> Claim:
        says = (f"{course} no {who} gains 2 points", f"{course} a {who} gains 2 points or more")
        status = outcome(found, [Want("shape", rule, "fail") for rule in own])
        return claim(name, says, status, map(change, own), POINTS, Limit(high=margin))

    learned = [rule for rule in rules if rule in LEARNED]
    fixed = [rule for rule in rules if rule in _FIXED]
    return [
        rises("bp", "bp gains from depth", "backprop"),
        rises("oracle", "the oracle gains from depth", "the oracle, exact credit used locally,"),
        stays(fixed, "fixed feedback gains nothing from depth", "rule of fixed feedback"),
        stays(learned, "learned credit gains nothing from depth", "rule that learns its credit"),
    ]

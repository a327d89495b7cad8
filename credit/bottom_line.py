"""The bottom line of an audit: is there evidence that a rule trains depth? Pure, no runs in sight.

A gain alone is no evidence: a credit that knows nothing but the gradient at the output can gain as
much. So the controls veto: one that fails is enough for "no evidence", whatever else passes.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

CONFIDENCE = 0.95
"""Of the two-sided t interval within which a bound is not told from a mean gain."""
NOISE_OF_ONE = 0.01
"""One run has no standard error: its gain is not told from a bound within 1 point of it."""


def within_noise(gains: Sequence[float], bound: float) -> bool:
    """Return whether the gains of the seeds, each paired, leave open on which side their mean lies.

    Args:
        gains: one per seed, finite, at least one; fractions.
    """
    distance = abs(round(fmean(gains) - bound, 12))
    if len(gains) == 1:
        return distance <= NOISE_OF_ONE
    from scipy.special import stdtrit  # here: half a second, and training comes first

    quantile = float(stdtrit(len(gains) - 1, (1 + CONFIDENCE) / 2))
    return distance < quantile * stdev(gains) / math.sqrt(len(gains))


FAILED = {
    "D3": "training all blocks gains too little over none",
    "beyond a copy": "it does not exceed a copy of the output's gradient",
    "k=L > shallow": "a shallow network does as well",
    "D3 together": "its gain depends on what trained the embedding",
    "random labels": "it is not at chance on random labels",
    "D1": "its scale is not stable",
    "direction": "its credit has no direction",
    "calibration": "the bench fails its own calibration",
}
"""What a failed check says against depth. Each of them vetoes."""
SHALLOWER = "a shallow network does better"
NEEDED = ("D3", "beyond a copy", "k=L > shallow")
"""Without these there is no evidence, only an open question."""


class Outcome(NamedTuple):
    """Of one check: its status (pass, fail, undefined) and its label."""

    status: str
    label: str = ""


class BottomLine(NamedTuple):
    """`status` is pass, fail or undefined; `sentence` says so in words, with the reasons."""

    status: str
    sentence: str


def bottom_line(found: Mapping[str, Outcome]) -> BottomLine:
    """Judge one rule by its checks, by name; checks without a say are ignored."""
    against = [
        SHALLOWER if (check, found[check].label) == ("k=L > shallow", "shallower") else said
        for check, said in FAILED.items()
        if check in found and found[check].status == "fail"
    ]
    if against:
        return BottomLine("fail", f"no evidence that it trains depth: {'; '.join(against)}")
    missing = [
        f"{check} {found[check].label or 'undefined' if check in found else 'was not run'}"
        for check in NEEDED
        if check not in found or found[check].status != "pass"
    ]
    if missing:
        return BottomLine("undefined", f"undecided whether it trains depth: {'; '.join(missing)}")
    return BottomLine(
        "pass",
        "evidence that it trains depth: it gains by all blocks, exceeds a copy of the output's "
        "gradient and beats a shallow network",
    )

"""The bottom line of an audit: is there evidence that a rule trains depth? Pure, no runs in sight.

A gain alone is no evidence: a credit that knows nothing but the gradient at the output can gain as
much. So the controls veto: one that fails is enough for "no evidence", whatever else passes.
"""

from collections.abc import Iterable
from typing import NamedTuple

from credit.lab.verdict import FAIL, PASS, UNDEFINED, Verdict

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


class BottomLine(NamedTuple):
    """`status` is pass, fail or undefined; `sentence` says so in words, with the reasons."""

    status: str
    sentence: str


def bottom_line(verdicts: Iterable[Verdict]) -> BottomLine:
    """Judge one rule by its checks; those without a say are ignored."""
    found = {verdict.check: verdict for verdict in verdicts}
    against = [
        SHALLOWER if (check, found[check].label) == ("k=L > shallow", "shallower") else said
        for check, said in FAILED.items()
        if check in found and found[check].status == FAIL
    ]
    if against:
        return BottomLine(FAIL, f"no evidence that it trains depth: {'; '.join(against)}")
    missing = [
        f"{check} {found[check].label or found[check].status if check in found else 'was not run'}"
        for check in NEEDED
        if check not in found or found[check].status != PASS
    ]
    if missing:
        return BottomLine(UNDEFINED, f"undecided whether it trains depth: {'; '.join(missing)}")
    return BottomLine(
        PASS,
        "evidence that it trains depth: it gains by all blocks, exceeds a copy of the output's "
        "gradient and beats a shallow network",
    )

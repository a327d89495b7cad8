"""What is expected of the depth scan, and whether it holds.

Margins, fixed before any number was seen. From the shallowest to the deepest network a rule's mean
accuracy `rises` or `falls` if it changes by 2 points or more, the audit's margin of D3, and `stays`
otherwise. Means are over the seeds that all of the rule's depths have. Steps of 2 points or more
down on the way do not change the word; the reason names them.

- shape, of every rule: passes if accuracy rises.
- bp does not fall: depth is of use, or at least does no harm, where credit is exact.
- uses depth, of every other rule: fails if accuracy falls. A rule that loses accuracy as blocks are
  added does not use them, whatever its credit. Not applicable where bp itself falls.
"""

import itertools
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from credit import audit
from credit.analysis.cells import Undecided, decide, paired, sample
from credit.analysis.comparison import fully_trained
from credit.analysis.selection import in_order, pick
from credit.analysis.wording import over, short, status
from credit.audit import Verdict

MARGIN = audit.DEPTH_MARGIN


@dataclass(frozen=True)
class Course:
    """How a rule's accuracy goes with depth."""

    word: str
    """rises, stays or falls."""
    change: float
    """From the shallowest to the deepest network."""
    reason: str


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Each check's outcome, by the margins stated above.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON. A check that the runs do not
        cover is undefined.

    Raises:
        CreditError: as `comparison.fully_trained`.
    """
    full = fully_trained(runs)
    rules = in_order(full["rule"])
    others = [rule for rule in rules if rule != "bp"]
    found = [
        *((rule, decide("shape", MARGIN, lambda r=rule: _shape(full, r))) for rule in rules),
        ("bp", decide("does not fall", -MARGIN, lambda: _does_not_fall(full))),
        *((rule, decide("uses depth", -MARGIN, lambda r=rule: _uses(full, r))) for rule in others),
    ]
    return [{"rule": rule, **asdict(verdict)} for rule, verdict in found]


def course(runs: pd.DataFrame, rule: str) -> Course:
    """How a rule's accuracy goes with depth.

    Args:
        runs: of `comparison.fully_trained`.

    Raises:
        Undecided: a depth has no finished run, one failed, or there is only one depth.
    """
    own = pick(runs, rule=rule)
    depths = [int(depth) for depth in sorted(own["depth"].unique())]
    if len(depths) < 2:
        shown = f"was run at L={depths[0]} only" if depths else "was not run"
        raise Undecided(f"{rule} {shown}: one depth shows no trend")
    samples = [
        sample(pick(own, depth=depth), "accuracy", f"{rule} at L={depth}") for depth in depths
    ]
    values = paired(samples)
    means = [fmean(by_seed) for by_seed in values]
    # rounded, because .42 - .40 is two points and not 1.9999999999999962
    change = round(means[-1] - means[0], 12)
    word = "rises" if change >= MARGIN else "falls" if change <= -MARGIN else "stays"
    dips = [
        f"L={depth} ({100 * (after - before):+.1f})"
        for depth, (before, after) in zip(depths[1:], itertools.pairwise(means), strict=True)
        if round(before - after, 12) >= MARGIN
    ]
    listed = f"{' '.join(map(short, means))} over L={','.join(map(str, depths))}"
    reason = (
        f"{rule} {word}: {listed}, {100 * change:+.1f} points"
        + (f", with a step down at {', '.join(dips)}" if dips else "")
        + f", {over(values[0])} (less than {100 * MARGIN:g} points either way: stays)"
    )
    return Course(word, change, reason)


def _shape(runs: pd.DataFrame, rule: str) -> Verdict:
    own = course(runs, rule)
    ok = status(own.word == "rises")
    return Verdict("shape", ok, own.change, MARGIN, own.reason, own.word)


def _does_not_fall(runs: pd.DataFrame) -> Verdict:
    own = course(runs, "bp")
    ok = status(own.word != "falls")
    return Verdict("does not fall", ok, own.change, -MARGIN, own.reason, own.word)


def _uses(runs: pd.DataFrame, rule: str) -> Verdict:
    best, own = course(runs, "bp"), course(runs, rule)
    if best.word == "falls":
        reason = f"bp itself falls by {-100 * best.change:.1f} points here"
        return Verdict("uses depth", "undefined", None, -MARGIN, reason, "not applicable")
    ok = own.word != "falls"
    conclusion = "" if ok else ": it does not use depth"
    reason = f"{own.reason}{conclusion}; bp {best.word} ({100 * best.change:+.1f} points)"
    return Verdict("uses depth", status(ok), own.change, -MARGIN, reason, own.word)

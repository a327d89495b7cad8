"""Has a rule found more of the gradient than the skip path gives away?

Every local rule has g_L, the gradient at the output. Passed back unchanged it is the credit of a
network without blocks; where the blocks turn little it has a high Γ with nothing learned. It is
measured on the same samples in the same network as the rule (metrics `copy/...`), so that a rule is
compared with it run by run. What is judged is the mean over 1 <= l < L: at h_L the copy is the
gradient itself.

MARGIN is what was asked for over dfa, the other control, before any number was seen: on every seed
.05, below which the protocol speaks of no direction. The .01 that sets one estimator above another
says who is ahead, not that something was found. Where the copy itself is above .95 no rule can show
this margin, and Γ decides nothing.
"""

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import pandas as pd

from credit import audit
from credit.analysis.cells import QUANTITIES, Undecided, sample, values
from credit.analysis.selection import finished
from credit.analysis.wording import over, short, status
from credit.audit import Verdict

MARGIN = audit.POOR
QUANTITY, CONTROL = "alignment_inner", "copy_inner"
FOUND, NOT_FOUND, NOT_MEASURED = "more", "not more than the skip path", "not measured"
"""Labels of the verdicts."""


def check_of(who: str) -> str:
    """The name of the check of an arm."""
    return f"{who} > copy"


def margins(runs: pd.DataFrame, who: str) -> dict[int, float]:
    """By how much Γ is above the copy's below h_L, by seed, of a cell's finished runs.

    Raises:
        CreditError: the runs differ in more than their seed.
        Undecided: as `cells.sample`.
        NotMeasured: a run has Γ, but not the copy's.
    """
    if len(runs) and int(runs["depth"].max()) < 2:
        raise Undecided(f"{who} has one block, so that no hidden state lies between h_0 and h_L")
    own = sample(runs, QUANTITY, who)
    copies = _of(runs, CONTROL)
    if lost := [str(seed) for seed in own if not math.isfinite(copies[seed])]:
        raise NotMeasured(f"{who} has no copy/deep_inner on seed {', '.join(lost)}")
    return {seed: round(value - copies[seed], 12) for seed, value in own.items()}


class NotMeasured(Undecided):
    """The control was not measured beside the rule."""


def verdict(who: str, cells: Mapping[str, pd.DataFrame], any_cell: bool = False) -> Verdict:
    """Whether a rule has found more than the skip path.

    Args:
        who: the arm.
        cells: its runs by the name of the cell, each differing in the seed only.
        any_cell: one cell is enough, the best of them; else every cell must be above.
    """
    check, found, missing, unmeasured = check_of(who), {}, [], []
    for name, runs in cells.items():
        try:
            found[name] = margins(runs, name)
        except NotMeasured as why:
            unmeasured.append(str(why))
        except Undecided as why:
            missing.append(str(why))
    best = max(found, key=lambda name: min(found[name].values()), default="")
    shown = {best: found[best]} if any_cell and found else found
    value = _least(shown)
    ok, left = value >= MARGIN, [*unmeasured, *missing]
    if not found or (left and ok != any_cell):  # the rest could turn it round
        tail = ": python -m entrypoints.remeasure measures it" if unmeasured else ""
        reason = f"{'; '.join(left) or f'{who} was not run'}{tail}"
        label = NOT_MEASURED if unmeasured else ""
        return Verdict(check, "undefined", None, MARGIN, reason, label)
    parts = [_words(name, own, cells[name]) for name, own in shown.items()]
    chosen = f", the best of {len(found)} cells and so biased upwards" if len(found) > 1 else ""
    reason = (
        f"{FOUND if ok else NOT_FOUND}: {QUANTITIES[QUANTITY]} minus that of g_L passed back "
        f"unchanged, {'; '.join(parts)}{chosen if any_cell else ''}; on every seed at least "
        f"{short(MARGIN, '+')} is asked for{_room(shown, cells)}"
    )
    reason += f"; not judged: {'; '.join(left)}" if left else ""
    return Verdict(check, status(ok), value, MARGIN, reason, FOUND if ok else NOT_FOUND)


def _least(found: Mapping[str, Mapping[int, float]]) -> float:
    return min((min(own.values()) for own in found.values()), default=-math.inf)


def _words(name: str, own: Mapping[int, float], runs: pd.DataFrame) -> str:
    both = (_of(runs, quantity) for quantity in (QUANTITY, CONTROL))
    rule, copied = (fmean(found[seed] for seed in own) for found in both)
    return (
        f"{name}: {short(rule)} − {short(copied)} = {short(fmean(own.values()), '+')} (least "
        f"{short(min(own.values()), '+')}), {over(list(own.values()))}"
    )


def _room(shown: Mapping[str, Any], cells: Mapping[str, pd.DataFrame]) -> str:
    """Says so where no rule could be above by MARGIN."""
    full = [
        name
        for name, own in shown.items()
        if max(_of(cells[name], CONTROL)[seed] for seed in own) > 1 - MARGIN
    ]
    if not full:
        return ""
    return f"; the copy leaves no room for that in {', '.join(full)}: Γ decides nothing there"


def _of(runs: pd.DataFrame, quantity: str) -> dict[int, float]:
    """A quantity of a cell's finished runs, by seed."""
    done = finished(runs)
    return dict(zip(sorted(done["seed"].astype(int)), values(done, quantity), strict=True))

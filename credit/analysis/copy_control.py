"""Has a rule found more of the gradient than the skip path gives away?

Every local rule has g_L, the gradient at the output. Passed back unchanged it is the credit of a
network without blocks; where the blocks turn little it has a high Γ with nothing learned. It is
measured on the same samples in the same network as the rule (metrics `copy/...`), so that a rule is
compared with it run by run. What is judged is the mean over 1 <= l < L: at h_L the copy is the
gradient itself.

The check was added after first numbers had been seen; its threshold was not chosen for it. MARGIN
is taken from `audit.POOR`, below which the protocol speaks of no direction: the .05 that
was asked for over dfa, the other control, on every seed. The .01 that sets one estimator above
another says who is ahead, not that something was found. Where the copy itself is above .95 no rule
can show this margin, and Γ decides nothing.
"""

import math
from collections.abc import Iterable, Mapping
from statistics import fmean

import pandas as pd

from credit import audit
from credit.analysis.cells import QUANTITIES, Undecided, sample, values
from credit.analysis.selection import finished
from credit.analysis.wording import over, short, status
from credit.audit import Verdict

MARGIN = audit.POOR
QUANTITY, CONTROL = "alignment_inner", "copy_inner"
FOUND, NOT_FOUND = "more", "not more than the skip path"
NOT_MEASURED, NO_ROOM = "not measured", "no room"
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


def has_room(copies: Iterable[float]) -> bool:
    """Whether a rule could be MARGIN above the copy on every seed; Γ is at most 1."""
    return max(copies, default=0.0) <= 1 - MARGIN


class NotMeasured(Undecided):
    """The control was not measured beside the rule."""


def verdict(who: str, cells: Mapping[str, pd.DataFrame], any_cell: bool = False) -> Verdict:
    """Whether a rule has found more than the skip path.

    A cell whose copy leaves no room for MARGIN decides nothing.

    Args:
        who: the arm.
        cells: its runs by the name of the cell, each differing in the seed only.
        any_cell: one cell is enough, the best of them; else every cell must be above.
    """
    check, found = check_of(who), {}
    full, missing, unmeasured = [], [], []
    for name, runs in cells.items():
        try:
            own = margins(runs, name)
        except NotMeasured as why:
            unmeasured.append(str(why))
        except Undecided as why:
            missing.append(str(why))
        else:
            copies = _of(runs, CONTROL)
            if not has_room(copies[seed] for seed in own):
                full.append(f"{name} ({short(max(copies[seed] for seed in own))})")
            else:
                found[name] = own
    best = max(found, key=lambda name: min(found[name].values()), default="")
    shown = {best: found[best]} if any_cell and found else found
    value = _least(shown)
    ok, left = value >= MARGIN, [*unmeasured, *missing]
    room = (
        f"the copy leaves no room for {short(MARGIN, '+')} in {', '.join(full)}: Γ decides nothing "
        "there"
    )
    more = [*left, *([room] if full else [])]
    turning = left if any_cell else more  # without room no cell can be the one that is above
    if not found or (turning and ok != any_cell):
        tail = ["python -m entrypoints.remeasure measures it"] if unmeasured else []
        reason = "; ".join([*more, *tail]) or f"{who} was not run"
        label = NOT_MEASURED if unmeasured else NO_ROOM if full else ""
        return Verdict(check, "undefined", None, MARGIN, reason, label)
    parts = [_words(name, own, cells[name]) for name, own in shown.items()]
    chosen = f", the best of {len(found)} cells and so biased upwards" if len(found) > 1 else ""
    reason = (
        f"{FOUND if ok else NOT_FOUND}: {QUANTITIES[QUANTITY]} minus that of g_L passed back "
        f"unchanged, {'; '.join(parts)}{chosen if any_cell else ''}; on every seed at least "
        f"{short(MARGIN, '+')} is asked for"
    )
    reason += f"; not judged: {'; '.join(more)}" if more else ""
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


def _of(runs: pd.DataFrame, quantity: str) -> dict[int, float]:
    """A quantity of a cell's finished runs, by seed."""
    done = finished(runs)
    return dict(zip(sorted(done["seed"].astype(int)), values(done, quantity), strict=True))

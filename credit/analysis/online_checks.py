"""What is expected of the online conditioning scan, and whether it holds.

Margins, fixed before any number was seen, but for *copy*, which came after. What is said of Γ must
hold of the mean over h_1 .. h_L and of that over l < L, because at h_L some arms are taught the
exact gradient.

- vector_field: S1 < 0 in every cell and on every seed. On a frozen network it leads; while the
  network trains on it, it does worse than dfa.
- credit_eT: at warm-up .2, at every tgw and on every seed, S1 > 0.
- order: the order of the arms by Γ, each at its cell with the largest Γ, is not that of frozen
  recovery: an arm is ahead of one that should precede it by .01 or more, the step that frozen
  recovery asks for. As a mean over the seeds that every cell has.
- stale: within one epoch the estimator of its beginning loses more than a fifth (.20) of its Γ, in
  every cell, as a mean over seeds and measured epochs after warm-up. The estimator learns at every
  step, so that it lags behind by a part of an epoch only: if a whole epoch without learning cost
  less than a fifth, staleness could not be what takes all of the lead that the field has on a
  frozen network. Cells whose Γ is below .05 at the epoch's beginning have nothing to lose and are
  named, not judged.
- baseline: dfa's reference is valid at the last epoch, on every seed. Where it is not, there is no
  S1 and no S2 there; the reason says how the best cell was chosen instead (`online_choice`).
- copy: of every arm that learns at least one cell has a Γ below h_L that is .05 above that of g_L
  passed back unchanged in its own network, on every seed (`copy_control` says why). Else the arm
  has not found more than the skip path, whatever its S1.
"""

import math
from dataclasses import asdict
from statistics import fmean
from typing import Any

import pandas as pd

from credit import audit
from credit.analysis import copy_control, frozen_checks
from credit.analysis.cells import QUANTITIES, Undecided, decide, directions, sample, values
from credit.analysis.online import (
    BASELINE,
    CEILINGS,
    LEADS,
    Cell,
    cells_of,
    chosen_cell,
    in_order,
    scan_seeds,
    with_cells,
)
from credit.analysis.online_staleness import KINDS, column
from credit.analysis.selection import finished, metric, pick
from credit.analysis.wording import over, short, status
from credit.audit import Verdict

STEP = frozen_checks.STEP
STALE = 0.20
WARMUP = 0.2
"""The warm-up at which the credit bridge told eT is expected to be ahead of dfa."""
FROZEN = tuple(a.replace(frozen_checks.MAIN, "vector_field") for a in frozen_checks.EXPECTED)
"""The order that is expected of a frozen network."""

_LEADS = {"alignment": "s1", "alignment_inner": "s1_inner"}


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Each check's outcome, by the margins stated above.

    `value` is what lies nearest to failing: the largest S1 of the vector field; the smallest of
    credit_eT; the largest lead over an arm that should precede; the smallest share lost.

    Args:
        runs: of `online_staleness.with_staleness`.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: as `online.with_cells`.
    """
    named = with_cells(runs)
    arms = [arm for arm in in_order(named["arm"]) if arm not in (*CEILINGS, BASELINE)]
    found = [
        ("vector_field", decide("S1 < 0", 0.0, lambda: _behind(named))),
        ("credit_bridge", decide("eT S1 > 0", 0.0, lambda: _ahead(named))),
        ("all", decide("order", STEP, lambda: _order(named))),
    ]
    for arm in arms:
        rule = rule_of(arm)
        check = f"stale {arm.removeprefix('credit_')}" if rule == "credit_bridge" else "stale"
        found.append((rule, decide(check, STALE, lambda a=arm, c=check: _stale(named, a, c))))
    found.append((BASELINE, decide("baseline", 0.0, lambda: _baseline(named))))
    found += [(rule_of(arm), _copy(named, arm)) for arm in arms]
    return [{"rule": rule, **asdict(verdict)} for rule, verdict in found]


def _behind(runs: pd.DataFrame) -> Verdict:
    cells = [cell for cell in cells_of(runs) if cell.arm == "vector_field"]
    values, parts = _leads_of(runs, cells, "vector_field", max)
    worst = max(values)
    reason = f"{'; '.join(parts)}; below 0 in every cell and on every seed is expected"
    label = "behind dfa" if worst < 0 else "ahead of dfa" if min(values) > 0 else "mixed"
    return Verdict("S1 < 0", status(worst < 0), worst, 0.0, f"{label}: {reason}", label)


def _ahead(runs: pd.DataFrame) -> Verdict:
    cells = [c for c in cells_of(runs) if c.arm == "credit_eT" and c.warmup == WARMUP]
    values, parts = _leads_of(runs, cells, f"credit_eT at warm-up {WARMUP:g}", min)
    least = min(values)
    reason = f"{'; '.join(parts)}; above 0 at every tgw and on every seed is expected"
    label = "ahead of dfa" if least > 0 else "behind dfa" if max(values) < 0 else "mixed"
    return Verdict("eT S1 > 0", status(least > 0), least, 0.0, f"{label}: {reason}", label)


def _leads_of(runs: pd.DataFrame, cells: list[Cell], who: str, extreme: Any) -> tuple:
    """S1 of some cells: the extreme of each over seeds, and in words."""
    if not cells:
        raise Undecided(f"{who} was not run")
    values, parts = [], []
    for cell in cells:
        words, seeds = [], ""
        for kind in directions(int(runs["depth"].iloc[0])):
            lead = _LEADS[kind]
            own = list(_sample(runs, cell, lead, LEADS[lead]).values())
            values.append(extreme(own))
            seeds = over(own)
            ends = "" if len(own) == 1 else f" ({short(min(own), '+')} to {short(max(own), '+')})"
            words.append(f"{LEADS[lead]} {short(fmean(own), '+')}{ends}")
        parts.append(f"{cell}: {', '.join(words)}, {seeds}")
    return values, parts


def _order(runs: pd.DataFrame) -> Verdict:
    scan = runs.loc[runs["seed"].isin(scan_seeds(runs))]
    gammas: dict[str, float] = {}
    names: dict[str, str] = {}
    seeds: set[int] = set()
    for cell in cells_of(scan):
        if cell.arm not in FROZEN:
            continue
        own = sample(pick(scan, cell=str(cell)), "alignment", str(cell))
        seeds |= set(own)
        if cell.arm not in gammas or fmean(own.values()) > gammas[cell.arm]:
            gammas[cell.arm], names[cell.arm] = fmean(own.values()), str(cell)
    expected = [arm for arm in FROZEN if arm in gammas]
    if len(expected) < 3:
        raise Undecided(f"only {', '.join(expected) or 'none'} of the arms were run")
    ahead = {
        (below, above): round(gammas[below] - gammas[above], 12)
        for place, above in enumerate(expected)
        for below in expected[place + 1 :]
    }
    pair = max(ahead, key=lambda both: ahead[both])
    found = sorted(expected, key=lambda arm: -gammas[arm])
    shown = ", ".join(f"{names[arm]} {short(gammas[arm])}" for arm in found)
    other = ahead[pair] >= STEP
    label = "another order" if other else "the frozen order"
    reason = (
        f"{label}: by Γ {shown}; expected of a frozen network: {' > '.join(expected)}; "
        f"{pair[0]} minus {pair[1]} is {short(ahead[pair], '+')}, {short(STEP, '+')} is asked for; "
        f"{over(sorted(seeds))}"
    )
    return Verdict("order", status(other), ahead[pair], STEP, reason, label)


def _stale(runs: pd.DataFrame, arm: str, check: str) -> Verdict:
    shares, parts, empty, done = [], [], [], finished(runs)
    for cell in cells_of(runs):
        if cell.arm != arm:
            continue
        words, seeds = [], ""
        for quantity, kind in zip(directions(int(runs["depth"].iloc[0])), KINDS, strict=False):
            # the other moments are valid wherever the first is
            seeds = over(list(_sample(runs, cell, column("now", kind), "staleness")))
            own = pick(done, cell=str(cell))
            moments = ("now", "epoch", "fresh")
            now, later, fresh = (fmean(metric(own, column(m, kind))) for m in moments)
            if now < audit.POOR:
                empty.append(f"{cell} ({QUANTITIES[quantity]} {short(now)})")
                continue
            shares.append(round((now - later) / now, 12))
            words.append(
                f"{QUANTITIES[quantity]} {short(now)} to {short(later)} ({-shares[-1]:+.0%}), up "
                f"to date {short(fresh)}"
            )
        if words:
            parts.append(f"{cell}: {', '.join(words)}, {seeds}")
    if not shares:
        raise Undecided(f"no Γ of {', '.join(empty) or arm} reaches {short(audit.POOR)}")
    least = min(shares)
    left = f"; below {short(audit.POOR)}, not judged: {', '.join(empty)}" if empty else ""
    label = "stale" if least > STALE else "holds" if max(shares) <= STALE else "mixed"
    reason = (
        f"{label}: over one epoch {'; '.join(parts)}; a loss of more than {STALE:.0%} is expected"
        f"{left}"
    )
    return Verdict(check, status(least > STALE), least, STALE, reason, label)


def _baseline(runs: pd.DataFrame) -> Verdict:
    own = finished(pick(runs, rule=BASELINE))
    if own.empty:
        raise Undecided(f"{BASELINE} has no finished run")
    bad = [int(seed) for seed, gamma in zip(*_gammas(own), strict=True) if math.isnan(gamma)]
    choice = chosen_cell(runs)
    reason = f"the best cell has {choice.how}" if choice.cell else f"best cell: {choice.how}"
    if bad:
        reason = (
            f"dfa's reference gradient is below the floor at the last epoch on seed "
            f"{', '.join(map(str, bad))}: S1 and S2 are no numbers there; {reason}"
        )
    else:
        reason = f"dfa's reference gradient is valid at the last epoch; {reason}"
    label = "no S1 at the end" if bad else "valid"
    return Verdict("baseline", status(not bad), float(len(bad)), 0.0, reason, label)


def _gammas(runs: pd.DataFrame) -> tuple[list[int], list[float]]:
    return sorted(runs["seed"].astype(int)), values(runs, "alignment")


def _copy(runs: pd.DataFrame, arm: str) -> Verdict:
    cells = [str(cell) for cell in cells_of(runs) if cell.arm == arm]
    return copy_control.verdict(arm, {c: pick(runs, cell=c) for c in cells}, any_cell=True)


def rule_of(arm: str) -> str:
    """The rule of an arm."""
    return "credit_bridge" if arm.startswith("credit_") else arm


def _sample(runs: pd.DataFrame, cell: Cell, name: str, symbol: str) -> dict[int, float]:
    return sample(pick(runs, cell=str(cell)), name, str(cell), take=metric, symbol=symbol)

"""The audit protocol (arXiv:2606.21126) as checks: D1, D2, direction, D3, shape, oracle's share.

Thresholds are fixed here, before any number is seen. Accuracies are fractions; a point is .01.
"""

import math
from collections.abc import Callable

import numpy as np

from credit.lab.check import Check
from credit.lab.frame import IRRELEVANT, Cell, Frame, finished, pick
from credit.lab.measure import Found, Measure, Sample, gap, share, value
from credit.lab.quantity import ACCURACY, GAMMA_MIDDLE, GRADIENT, GROWTH
from credit.spec import field_types

MAX_GROWTH = 50.0
"""D1: largest |h_{l+1}| / |h_l| of a stable network."""
SAMPLE_FLOOR = 1e-7 * 1024
"""D2: smallest valid |g_L| of one sample in float32; 1e-7 for the mean loss over 1024 samples."""
POOR, MEDIOCRE = 0.05, 0.20
"""Direction quality by |cos|: below POOR poor, below MEDIOCRE mediocre, else reasonable."""
DEPTH_MARGIN = 0.02
"""D3: least gain of the fully trained net over frozen blocks, 2 points."""
CEILINGS = ("bp", "oracle")
"""Rules with exact gradients: no share of the oracle's gain is asked of them."""


def three_words(lower: str, same: str, higher: str) -> dict[str, float]:
    """Return words for a difference that DEPTH_MARGIN decides, by their first value."""
    return {lower: -math.inf, same: math.nextafter(-DEPTH_MARGIN, 0), higher: DEPTH_MARGIN}


COURSE = three_words("falls", "flat", "climbs")
"""The words of a ladder's shape."""


def scale_stability(rule: str, full: Cell) -> Check:
    """Return D1: no block lets the hidden state grow by more than MAX_GROWTH, on any seed."""
    return Check("D1", rule, _growth(full)).below(MAX_GROWTH, strict=False)


def reference_validity(rule: str, full: Cell) -> Check:
    """Return D2: the exact gradient at h_L is above the floor, on every seed."""
    return Check("D2", rule, value(full, (GRADIENT,))).above(sample_floor, strict=True)


def direction_quality(rule: str, full: Cell) -> Check:
    """Return direction: |cos| at the middle layer, mean over seeds; poor fails. D2 must hold.

    Each seed's cosine is made positive before averaging: seeds that point opposite ways are not
    evidence of no direction.
    """
    return Check(
        "direction",
        rule,
        value(full, (GAMMA_MIDDLE,), size=True),
        words={"poor": 0.0, "mediocre": POOR, "reasonable": MEDIOCRE},
        needs=(reference_validity(rule, full),),
    ).above(POOR, mean=True)


def depth_utility(rule: str, own: tuple[Cell, Cell], bp: tuple[Cell, Cell]) -> Check:
    """Return D3: training all blocks beats frozen blocks by DEPTH_MARGIN.

    Backprop must gain as much: where exact gradients gain nothing, depth is of no use.

    Args:
        own, bp: the cells of the fully trained net and of frozen blocks.
    """

    def gains(of: str, ends: tuple[Cell, Cell]) -> Check:
        measure = gap(*ends, (ACCURACY.points,))
        return Check("D3", of, measure).above(DEPTH_MARGIN, mean=True)

    return gains(rule, own).having(needs=(gains("bp", bp),), noise=True)


def shape(rule: str, full: Cell, frozen: Cell) -> Check:
    """Return shape: climbs, flat or falls by the gain from k = 0 to k = L."""
    measure = gap(full, frozen, (ACCURACY.points,))
    return Check("shape", rule, measure, words=COURSE).above(DEPTH_MARGIN, mean=True)


def oracle_share(rule: str, own: tuple[Cell, Cell], oracle: tuple[Cell, Cell]) -> Check:
    """Return the share of the oracle's gain from depth: passes above 0.

    Undefined unless the oracle gains DEPTH_MARGIN: a share of nothing is no number.
    """
    part, whole = (gap(full, frozen, (ACCURACY.points,)) for full, frozen in (own, oracle))
    measure = share(part, whole, DEPTH_MARGIN, nothing="none")
    check = Check("oracle_share", rule, measure, note=lambda frame: _best_rung(frame, oracle[0]))
    return check.above(0, strict=True)


def direction_checks(rule: str, full: Cell) -> list[Check]:
    """Return D1, D2 and direction of a fully trained net."""
    return [
        scale_stability(rule, full),
        reference_validity(rule, full),
        direction_quality(rule, full),
    ]


def ladder_checks(rule: str, ends: Callable[[str], tuple[Cell, Cell]]) -> list[Check]:
    """Return the whole protocol on one rule: D1, D2, direction, D3, shape, share of the oracle.

    Args:
        ends: of a rule, the cell of the fully trained net and that of frozen blocks.
    """
    found = [
        *direction_checks(rule, ends(rule)[0]),
        depth_utility(rule, ends(rule), ends("bp")),
        shape(rule, *ends(rule)),
    ]
    if rule not in CEILINGS:
        found.append(oracle_share(rule, ends(rule), ends("oracle")))
    return found


def sample_floor(frame: Frame) -> float:
    """Return the floor for a per-sample |g| in the precision of the runs."""
    # measured in the precision of the states, which only fp64 changes
    states = np.float64 if frame.one("precision") == "fp64" else np.float32
    precision = float(np.finfo(states).eps / np.finfo(np.float32).eps)
    return SAMPLE_FLOOR * frame.one("reference_floor") / 1e-7 * precision


def diverged(frame: Frame, cell: Cell) -> list[int]:
    """Return the seeds of a cell that failed because a loss was not finite."""
    failed = pick(frame.at(cell), {"status": "FAILED"})
    lost = failed.loc[failed["reason"].fillna("").astype(str).str.startswith("non-finite")]
    return sorted(set(lost["seed"].astype(int)) - set(finished(frame.at(cell))["seed"]))


def _best_rung(frame: Frame, full: Cell) -> str:
    """Return on which rung the oracle is best, where that is not k = L."""
    same = [name for name in field_types() if name not in IRRELEVANT | {"k", "seed"}]
    ends = frame.at(full)
    if len(ends[same].drop_duplicates()) != 1:  # a ladder per place
        return ""
    rungs = pick(frame.done, {name: ends[name].iloc[0] for name in same})
    means = {k: own[ACCURACY.metric].mean() for k, own in rungs.groupby("k")}
    best, last = max(means, key=lambda k: means[k]), ends["k"].iloc[0]
    return f"the oracle is best at k={best}" if means[best] > means[last] else ""


def _growth(full: Cell) -> Measure:
    """Return a measure of the growth per block; a run that diverged grew without bound."""

    def measure(frame: Frame) -> Found:
        lost: dict[int | None, float] = dict.fromkeys(diverged(frame, full), math.inf)
        return {"": [Sample(GROWTH, lost)]} if lost else value(full, (GROWTH,))(frame)

    return measure

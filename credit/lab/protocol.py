"""The audit protocol (arXiv:2606.21126) as checks: D1, D2, direction, D3, shape, oracle's share.

Beside it stands a check of ours: Γ beyond that of a copy of the output's gradient. Thresholds are
fixed here, before any number is seen. Accuracies are fractions; a point is .01.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from credit.lab.check import Check
from credit.lab.frame import IRRELEVANT, Cell, Frame, Undecided, finished, pick
from credit.lab.measure import Found, Measure, Name, Sample, at_places, gap, share, value
from credit.lab.quantity import (
    ACCURACY,
    AGREEMENT_MIDDLE,
    COPY_INNER,
    GAMMA_INNER,
    GAMMA_MIDDLE,
    GRADIENT,
    GROWTH,
    POINTS,
    TRANSPORT,
)
from credit.spec import field_types

MAX_GROWTH = 50.0
"""D1: largest |h_{l+1}| / |h_l| of a stable network."""
SAMPLE_FLOOR = 1e-7 * 1024
"""D2: smallest |g_L| of one sample in float32; 1e-7 for the mean loss over 1024 samples."""
AGREES = 0.99
"""Least cosine of a reference with the one that float64 finds, as in `credit.measures.validity`."""
POOR, MEDIOCRE = 0.05, 0.20
"""Direction quality by |cos|: below POOR poor, below MEDIOCRE mediocre, else reasonable."""
DEPTH_MARGIN = 0.02
"""D3: least gain of the fully trained net over frozen blocks, 2 points."""
COPY_MARGIN = POOR
"""Γ above that of a copy: the bound below which the protocol speaks of no direction."""
DECLARED = "transport/declared"
"""Metric of the transport that a rule declares."""
CEILINGS = ("bp", "oracle")
"""Rules with exact gradients: no share of the oracle's gain is asked of them."""


FLOOR = "scale: 1e-7 of a mean over 1024"
UNMEASURED = "measured before agreement was: remeasure"


def three_words(lower: str, same: str, higher: str) -> dict[str, float]:
    """Return words for a difference that DEPTH_MARGIN decides, by their first value."""
    return {lower: -math.inf, same: math.nextafter(-DEPTH_MARGIN, 0), higher: DEPTH_MARGIN}


COURSE = three_words("falls", "flat", "climbs")
"""The words of a ladder's shape."""


def scale_stability(rule: str, full: Cell) -> Check:
    """Return D1: no block lets the hidden state grow by more than MAX_GROWTH, on any seed."""
    return Check("D1", rule, _growth(full)).below(MAX_GROWTH, strict=False)


def reference_validity(rule: str, full: Cell) -> Check:
    """Return D2: the exact gradient at h_L is above the published floor, on every seed.

    It judges scale, and withholds nothing: g_L falls as 1/‖h_L‖ behind a LayerNorm, and keeps its
    direction (`valid_reference`). The floor is of a mean over 1024 samples.
    """
    check = Check("D2", rule, value(full, (GRADIENT,)), note=lambda _: FLOOR)
    return check.above(sample_floor, strict=True)


def valid_reference(rule: str, full: Cell) -> Check:
    """Return reference: float64 finds the same gradient at the middle layer, on every seed.

    Of runs measured before that agreement was, D2.
    """

    def measured(frame: Frame) -> bool:
        own = AGREEMENT_MIDDLE.values(finished(frame.at(full)))
        return len(own) > 0 and bool(own.notna().all())

    def measure(frame: Frame) -> Found:
        quantity = AGREEMENT_MIDDLE if measured(frame) else GRADIENT
        return value(full, (quantity,))(frame)

    return Check(
        "reference",
        rule,
        measure,
        low=lambda frame: AGREES if measured(frame) else sample_floor(frame),
        note=lambda frame: "" if measured(frame) else UNMEASURED,
    )


def direction_quality(rule: str, full: Cell) -> Check:
    """Return direction: |cos| at the middle layer, where the reference is valid; poor fails.

    Each seed's cosine is made positive before averaging: seeds that point opposite ways are not
    evidence of no direction.
    """
    return Check(
        "direction",
        rule,
        value(full, (GAMMA_MIDDLE,), size=True),
        words={"poor": 0.0, "mediocre": POOR, "reasonable": MEDIOCRE},
        needs=(valid_reference(rule, full),),
    ).above(POOR, mean=True)


def depth_utility(rule: str, own: tuple[Cell, Cell], bp: tuple[Cell, Cell]) -> Check:
    """Return D3: training all blocks beats frozen blocks by DEPTH_MARGIN.

    Backprop must gain as much: where exact gradients gain nothing, depth is of no use.

    Args:
        own, bp: the cells of the fully trained net and of frozen blocks.
    """

    def gains(of: str, ends: tuple[Cell, Cell]) -> Check:
        measure = gap(*ends, POINTS)
        return Check("D3", of, measure).above(DEPTH_MARGIN, mean=True)

    return gains(rule, own).having(needs=(gains("bp", bp),), noise=True)


def shape(rule: str, full: Cell, frozen: Cell) -> Check:
    """Return shape: climbs, flat or falls by the gain from k = 0 to k = L."""
    measure = gap(full, frozen, POINTS)
    return Check("shape", rule, measure, words=COURSE).above(DEPTH_MARGIN, mean=True)


def oracle_share(rule: str, own: tuple[Cell, Cell], oracle: tuple[Cell, Cell]) -> Check:
    """Return the share of the oracle's gain from depth: passes above 0.

    Undefined unless the oracle gains DEPTH_MARGIN: a share of nothing is no number.
    """
    part, whole = (gap(full, frozen, POINTS) for full, frozen in (own, oracle))
    measure = share(part, whole, DEPTH_MARGIN, nothing="none")
    check = Check("oracle_share", rule, measure, note=lambda frame: _best_rung(frame, oracle[0]))
    return check.above(0, strict=True)


def transport(rule: str, full: Cell) -> Check:
    """Return transport: the credit takes no more from the weights than the rule declares."""

    def declared(frame: Frame) -> float:
        cells = frame.at(full)
        return float(cells[DECLARED].max()) if DECLARED in cells else math.inf

    return Check(
        "transport",
        rule,
        value(full, (TRANSPORT,)),
        words={"none": 0.0, "signs": 1.0, "weights": 2.0, "gradient": 3.0},
        late=True,
    ).below(declared, strict=False)


def direction_checks(rule: str, full: Cell) -> list[Check]:
    """Return D1, D2 and direction of a fully trained net."""
    return [make(rule, full) for make in (scale_stability, reference_validity, direction_quality)]


def ends_of(factor: str, full: Any, frozen: Any) -> Callable[[str], tuple[Cell, Cell]]:
    """Return what names a rule's cells of the fully trained net and of frozen blocks."""
    return lambda rule: ({"rule": rule, factor: full}, {"rule": rule, factor: frozen})


def ladder_checks(rule: str, ends: Callable[[str], tuple[Cell, Cell]]) -> list[Check]:
    """Return the whole protocol on one rule: D1, D2, direction, D3, shape, share of the oracle."""
    own = ends(rule)
    found = [*direction_checks(rule, own[0]), depth_utility(rule, own, ends("bp"))]
    found.append(shape(rule, *own))
    return found if rule in CEILINGS else [*found, oracle_share(rule, own, ends("oracle"))]


def beyond_copy(cell: Name, rule: str, cells: Sequence[Name] = ()) -> Check:
    """Return the check that a rule finds more of the gradient than the skip path gives away.

    Every local rule has g_L, the gradient at the output. Passed back unchanged it is the credit of
    a network without blocks; where the blocks turn little it has a high Γ with nothing learned. It
    is measured on the same samples in the same network as the rule (metrics `copy/...`). Γ must be
    COPY_MARGIN above it on every seed, as means over 1 ≤ l < L: at h_L the copy is the gradient.

    The check was added after first numbers had been seen; its margin was not chosen for it. Where
    the copy is above 1 - COPY_MARGIN no rule can show the margin, and Γ decides nothing.

    Args:
        cells: one of these is enough; by default `cell` at every place.
    """
    many = tuple(cells) or (cell,)
    measure, name = (lambda frame: _margins(frame, many)), f"{cell} > copy"
    return Check(name, rule, measure, anywhere=bool(cells), late=True).above(COPY_MARGIN)


def _margins(frame: Frame, cells: Sequence[Name]) -> Found:
    found: dict[str, Sequence[Sample] | Undecided] = {}
    asked = GAMMA_INNER.text(COPY_MARGIN, "+")

    def room(cell: Name, place: Cell) -> None:
        most = max(frame.sample(cell, COPY_INNER, place).values())
        if most > 1 - COPY_MARGIN:
            shown = f"Γ of g_L passed back is {COPY_INNER.text(most)}"
            raise Undecided(f"{shown}: it leaves no room for {asked}")

    for cell in cells:
        own = gap(cell, None, (GAMMA_INNER,), less=COPY_INNER)(frame)
        rooms = at_places(frame, [cell], lambda place, c=cell: room(c, place))
        for place, samples in own.items():
            why = rooms[place]
            if why and len(cells) > 1:
                continue  # a cell that leaves no room can be none that is above
            name = " ".join(filter(None, (frame.name(cell) if len(cells) > 1 else "", place)))
            found[name] = why or samples
    if not found:
        raise Undecided(f"the copy leaves no room for {asked} anywhere")
    return found


def sample_floor(frame: Frame) -> float:
    """Return the floor for a per-sample |g| in the precision of the runs."""
    return sample_floor_of(frame.one("reference_floor"), frame.one("precision"))


def sample_floor_of(published: float, precision: str) -> float:
    """Return the floor for a per-sample |g| from the published one, of a mean over 1024."""
    # measured in the precision of the states, which only fp64 changes
    states = np.float64 if precision == "fp64" else np.float32
    return SAMPLE_FLOOR * published / 1e-7 * float(np.finfo(states).eps / np.finfo(np.float32).eps)


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
        failed = pick(frame.at(full), {"status": "FAILED"})
        lost = failed.loc[failed["reason"].fillna("").astype(str).str.startswith("non-finite")]
        seeds = sorted(set(lost["seed"].astype(int)) - set(finished(frame.at(full))["seed"]))
        if not seeds:
            return value(full, (GROWTH,))(frame)
        return {"": [Sample(GROWTH, dict.fromkeys(seeds, math.inf))]}

    return measure

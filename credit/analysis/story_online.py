"""Claims on learned credit while the network trains on it."""

import math
from statistics import fmean

import pandas as pd

from credit import audit
from credit.analysis import (
    copy_control,
    frozen_checks,
    online,
    online_checks,
    online_choice,
)
from credit.analysis.cells import QUANTITIES, directions
from credit.analysis.online_staleness import KINDS, LOST, column
from credit.analysis.selection import finished, pick
from credit.analysis.story_claim import (
    FAILS,
    HOLDS,
    POINTS,
    UNDECIDED,
    Claim,
    Limit,
    Point,
    Unit,
    Want,
    claim,
    difference,
    ids,
    of_cell,
    outcome,
)
from credit.analysis.story_copy import above_copy, copy_claim, has_room
from credit.analysis.wording import LEARNED, short

_LEAD = Unit("lead over dfa of the same seed")
_PERCENT_LOST = Unit("share of Γ that is lost, %", 100, ".0f", " %")


def moving(runs: pd.DataFrame) -> list[Claim]:
    """The same estimators while the network trains on their credit.

    Args:
        runs: of `online_staleness.with_staleness`.

    Raises:
        CreditError: as `online.with_cells`.
    """
    named, found = online.with_cells(runs), online_checks.verdicts(runs)
    learned = online.cells_of(named.loc[named["rule"].isin(LEARNED)])
    named = finished(named).copy()  # one block of memory, from which rows are taken fast
    field = [cell for cell in learned if cell.arm == "vector_field"]
    told = [c for c in learned if c.arm == "credit_eT" and c.warmup == online_checks.WARMUP]
    kinds = list(zip(directions(int(named["depth"].iloc[0])), KINDS, strict=False))
    stale = [
        _of(named, cell, (column(LOST, end),), QUANTITIES[kind])
        for kind, end in kinds
        for cell in field
    ]
    return [
        _none_clear(
            named,
            learned,
            "Γ (S1)",
            "no estimator clear of dfa in Γ (S1)",
            ("s1", "s1_inner"),
        ),
        _none_clear(named, learned, "ρ (S2)", "no estimator clear of dfa in ρ (S2)", ("s2",)),
        _none_clear(
            named, learned, "test accuracy", "no estimator beats dfa's accuracy", ("gain",)
        ),
        _pays(named, learned),
        _copied(named, learned, found),
        claim(
            "the vector field is behind dfa",
            (
                "The vector field is behind dfa in Γ in every cell and on every seed",
                "The vector field is not behind dfa in Γ in every cell and on every seed",
            ),
            outcome(found, [Want("S1 < 0", "vector_field")]),
            _leads(named, field),
            _LEAD,
            Limit(high=0.0),
        ),
        claim(
            "eT leads dfa after a long warm-up",
            (
                f"The credit bridge told eT, after a warm-up of {online_checks.WARMUP:g}, is ahead "
                "of dfa in Γ at every weight and on every seed",
                f"The credit bridge told eT, after a warm-up of {online_checks.WARMUP:g}, is not "
                "ahead of dfa in Γ at every weight and on every seed",
            ),
            outcome(found, [Want("eT S1 > 0", "credit_bridge")]),
            _leads(named, told),
            _LEAD,
            Limit(low=0.0),
        ),
        claim(
            "the field goes stale in an epoch",
            (
                "Without learning, the vector field loses more than a fifth of its Γ within one "
                "epoch, in every cell",
                "Without learning, the vector field does not lose a fifth of its Γ within one "
                "epoch in every cell",
            ),
            outcome(found, [Want("stale", "vector_field")]),
            stale,
            _PERCENT_LOST,
            Limit(low=online_checks.STALE),
        ),
    ]


def _copied(named: pd.DataFrame, learned: list[online.Cell], found: list[dict]) -> Claim:
    """Of each arm the cell that is furthest above g_L passed back, where that leaves room."""
    best: dict[str, tuple[tuple[bool, float], Point]] = {}
    for cell in learned:
        weight = "" if math.isnan(cell.tgw) else f"tgw {cell.tgw:g}"
        label = f"{cell.arm} warm-up {cell.warmup:g}"
        point = above_copy(label, _cell(named, cell), detail=weight)
        place = has_room(point), min(point.values.values(), default=-math.inf)
        if cell.arm not in best or place > best[cell.arm][0]:
            best[cell.arm] = (place, point)
    wants = [Want(copy_control.check_of(arm), online_checks.rule_of(arm)) for arm in best]
    points = [point for _, point in best.values()]
    return copy_claim(
        "While the network trains, at the best of each one's cells,", outcome(found, wants), points
    )


def _none_clear(
    named: pd.DataFrame, found: list[online.Cell], what: str, name: str, leads: tuple[str, ...]
) -> Claim:
    """That no cell is clear of dfa, on every seed; shown are each arm's cells that come nearest.

    No check's claim: it puts the margin of frozen recovery, or of depth utility, to another use.

    Args:
        leads: columns of `online.with_cells`; the smallest of them counts.
    """
    points = leads == ("gain",)
    unit, bound = (POINTS, audit.DEPTH_MARGIN) if points else (_LEAD, frozen_checks.CLEAR)
    least = "least of l ≥ 1, l < L" if len(leads) > 1 else ""
    best: dict[str, tuple[float, Point]] = {}
    clear, empty = [], []
    for cell in found:
        point = _of(named, cell, leads)
        if not point.values:
            empty.append(str(cell))
            continue
        lowest = min(point.values.values())
        clear += [str(cell)] * (lowest >= bound)
        if cell.arm not in best or lowest > best[cell.arm][0]:
            best[cell.arm] = (lowest, point)
    if clear:
        status = FAILS, ""
    elif empty or not found:
        status = UNDECIDED, f"no valid lead of {', '.join(empty) or 'an estimator'}"
    else:
        status = HOLDS, ""
    margin, cells_text = Limit(high=bound).text(unit).removeprefix("below "), f"{len(found)} cells"
    chosen = "shown is each one's cell that is furthest ahead"
    return claim(
        name,
        (
            f"While the network trains no estimator is {margin} or more ahead of dfa in {what}, in "
            f"none of {cells_text}; {chosen}",
            f"While the network trains an estimator is {margin} or more ahead of dfa in {what}, in "
            f"{len(clear)} of {cells_text}; {chosen}, chosen on test samples and so biased upwards",
        ),
        status,
        [point for _, point in best.values()],
        unit._replace(axis=", ".join(filter(None, (f"lead over dfa in {what}", least)))),
        Limit(high=bound),
        online_choice.same_warmups(named) if "s1" in leads else "",  # once is enough
    )


def _pays(named: pd.DataFrame, found: list[online.Cell]) -> Claim:
    """That the cell with the largest Γ is also the most accurate; no check's claim, either.

    On the seeds that every cell has. Both are measured on test samples.
    """
    seeds = (
        sorted(set.intersection(*(set(_cell(named, c)["seed"]) for c in found))) if found else []
    )
    scan = named.loc[named["seed"].isin(seeds)]
    of = {str(c): {q: of_cell(_cell(scan, c), q) for q in ("alignment", "accuracy")} for c in found}
    whole = {c: own for c, own in of.items() if all(len(v) == len(seeds) for v in own.values())}
    name, limit = "best direction, best accuracy", Limit(low=0.0)
    others = {c.arm for c in found}
    if not seeds or len(whole) < len(found) or len(others) < 2:
        why = "not every cell has a finished run with a valid Γ on the same seeds"
        return claim(name, ("", ""), (UNDECIDED, why), (), POINTS, limit)
    arm_of = {str(cell): cell.arm for cell in found}
    mean = {c: {q: fmean(v.values()) for q, v in own.items()} for c, own in whole.items()}
    first = max(mean, key=lambda c: mean[c]["alignment"])
    rivals = [c for c in mean if arm_of[c] != arm_of[first]]
    best = max(rivals, key=lambda c: mean[c]["accuracy"])
    cells = [pick(scan, cell=c) for c in (first, best)]
    point = difference(arm_of[first], *cells, "accuracy", detail=f"− {arm_of[best]}")
    shown = [f"{c}, Γ {short(mean[c]['alignment'])}" for c in (first, best)]
    status = HOLDS if point.mean > 0 else FAILS
    return claim(
        name,
        (
            f"The cell with the best direction ({shown[0]}) is more accurate than the best of any "
            f"other estimator ({shown[1]})",
            f"The cell with the best direction ({shown[0]}) is not more accurate than the best of "
            f"any other estimator ({shown[1]}): direction is not all that counts",
        ),
        (status, ""),
        [point],
        POINTS,
        limit,
    )


def _leads(named: pd.DataFrame, found: list[online.Cell]) -> list[Point]:
    """S1 of cells, of all layers and below h_L."""
    kinds = {"s1": QUANTITIES["alignment"], "s1_inner": QUANTITIES["alignment_inner"]}
    return [_of(named, c, (lead,), kind) for lead, kind in kinds.items() for c in found]


def _of(named: pd.DataFrame, cell: online.Cell, names: tuple[str, ...], kind: str = "") -> Point:
    """The smallest of some columns of a cell's runs, by seed, where all are valid."""
    own = _cell(named, cell)
    rows = own.set_index("seed")[list(names)].dropna().min(axis=1)
    weight = "" if math.isnan(cell.tgw) else f"tgw {cell.tgw:g}"
    label = " ".join(filter(None, (cell.arm, f"warm-up {cell.warmup:g}")))
    base = pick(named, rule=online.BASELINE)
    base = base.loc[base["seed"].isin(own["seed"])]
    runs = ids(own, base) if names[0] in online.LEADS else ids(own)
    values = {int(seed): float(value) for seed, value in rows.items()}
    return Point(label, dict(sorted(values.items())), runs, kind, weight)


def _cell(named: pd.DataFrame, cell: online.Cell) -> pd.DataFrame:
    return pick(named, cell=str(cell))

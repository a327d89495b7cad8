"""The claim that estimators find more than the skip path gives away."""

from typing import Any

import pandas as pd

from credit.analysis import copy_control
from credit.analysis.story_claim import (
    HOLDS,
    Claim,
    Limit,
    Point,
    Unit,
    claim,
    ids,
    judged,
    of_cell,
)


def above_copy(label: str, runs: pd.DataFrame, detail: str = "", **more: Any) -> Point:
    """By how much a cell's Γ below h_L is above that of g_L passed back unchanged, by seed.

    The detail says where the copy itself is so high that nothing can be told from it.
    """
    own, copies = (of_cell(runs, q) for q in (copy_control.QUANTITY, copy_control.CONTROL))
    # rounded, because .42 - .40 is two points and not 1.9999999999999962
    gaps = {seed: round(own[seed] - copies[seed], 12) for seed in own if seed in copies}
    if not copy_control.has_room(copies[seed] for seed in gaps):
        detail = ", ".join(filter(None, (detail, copy_control.NO_ROOM)))
    return Point(label, gaps, ids(runs), detail=detail, **more)


def has_room(point: Point) -> bool:
    """Whether the copy of a point of `above_copy` leaves room for the margin."""
    return not point.detail.endswith(copy_control.NO_ROOM)


def copy_claim(where: str, status: tuple[str, str], points: list[Point]) -> Claim:
    """That every estimator finds more than the output's gradient passed back unchanged."""
    bound = Limit(low=copy_control.MARGIN)
    above = sum(judged([point], bound)[0] == HOLDS for point in points)
    full = len(points) - sum(map(has_room, points))
    room = f" (of {full} the copy leaves no room for it)" if full else ""
    short_of = "Γ of g_L, which every local rule has, passed back unchanged"
    return claim(
        "estimators find more than the skip path",
        (
            f"{where} every estimator's Γ below h_L is .05 or more above the {short_of}",
            f"{where} {above} of {len(points)} have a Γ below h_L that is .05 above the "
            f"{short_of}{room}: the others have not been shown to find more than the skip path",
        ),
        status,
        points,
        Unit("Γ minus that of g_L passed back, l < L"),
        bound,
    )

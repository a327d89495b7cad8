"""The protocol's checks on one network: D1, D2 and the direction of its credit."""

from collections.abc import Mapping, Sequence
from typing import Any

from credit.lab import protocol
from credit.lab.check import Check
from credit.lab.frame import Frame, Undecided
from credit.lab.measure import Found, Measure, Sample
from credit.lab.quantity import AGREEMENT_MIDDLE, GAMMA_MIDDLE, GRADIENT, GROWTH, Quantity
from credit.lab.verdict import Verdict
from credit.measures import validity


def judged(
    rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, float], missing: str = ""
) -> list[Verdict]:
    """Return D1, D2 and direction, with the protocol's bounds, from rows and metrics; n = 1.

    `missing` says why there is no agreement with float64, so that D2 decides what is a reference.
    """
    last, middle = rows[-1], rows[(len(rows) - 1) // 2]
    one = "there is one layer only" if len(rows) == 1 else "no growth is a finite number"
    nothing = "no credit is given" if middle["credit_norm"] is None else f"Γ: {middle['status']}"
    bad = validity.NOT_FINITE
    gradient = None if last["status"] == bad else last["grad_norm"]
    own = middle["alignment_mean"] if middle["status"] == validity.OK else None
    stable = protocol.scale_stability("", {}).having(
        measure=_number(GROWTH, metrics.get("growth/max"), one)
    )
    floor = {
        "measure": _number(GRADIENT, gradient, "it is not finite"),
        "low": last["reference_floor"],
    }
    scale = protocol.reference_validity("", {}).having(**floor)
    agrees = {
        "measure": _number(AGREEMENT_MIDDLE, middle["agreement"], "the gradient is zero"),
        "low": protocol.AGREES,
    }
    valid = protocol.valid_reference("", {}).having(
        **(floor if missing else agrees), note=lambda _: missing
    )
    size = None if own is None else abs(own)
    direction = protocol.direction_quality("", {}).having(
        measure=_number(GAMMA_MIDDLE, size, nothing),
        needs=(valid,),
        note=lambda _: "it points against the gradient" if own is not None and own < 0 else "",
    )
    checks: list[Check] = [stable, scale, direction]
    return [check.judge(_NO_RUNS) for check in checks]


_NO_RUNS: Any = None
"""The frame of checks whose numbers are known."""


def _number(quantity: Quantity, value: float | None, nothing: str) -> Measure:
    """Return a measure of one known number, or the reason why there is none."""

    def measure(_frame: Frame) -> Found:
        if value is None:
            raise Undecided(nothing)
        return {"": [Sample(quantity, {None: value})]}

    return measure

"""Every check of the audit of one rule, in the order in which they are read.

The protocol's own (`credit.audit`: D1, D2, direction, D3, shape, share of the oracle's gain), the
matched controls' (`controls_checks`), and three that say whether these can be read as they are.
These three were added after first numbers had been seen. NEAR and BEYOND are chosen, not derived;
what calibration asks follows from what its credits are, but for the room of EXACT and CHANCE:

- frozen init: in an untrained network cos(h_L, h_0) is at least NEAR, so that the frozen blocks of
  k = 0 do little, and D3 compares with a network that has none in effect.
- beyond a copy: Γ at the middle layer is BEYOND above that of g_L passed back unchanged, which
  every local rule has. Below that, the skip path explains the direction, whatever the rule adds.
  Where the copy is that near to 1, there is nothing to add: no verdict on what is above the copy.
- calibration: on the same batch a = g has Γ 1, a = −g has −1, and a random credit 0 but for chance:
  its mean over n samples scatters by 1 / sqrt(d n), of which CHANCE are allowed. A nudge along g
  lowers the loss, and one along −g raises it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

import pandas as pd

from credit.analysis import controls, controls_checks
from credit.analysis.audits import direction_verdicts, verdicts
from credit.analysis.cells import Undecided, decide
from credit.analysis.protocol import Subject, full_and_penalised, label, rungs
from credit.analysis.selection import finished, metric, pick
from credit.analysis.wording import short, status
from credit.audit import Verdict
from credit.network_size import HELD_OUT

NEAR = 0.9
BEYOND = 0.02
ADDED = ("frozen init", "beyond a copy", "calibration")
"""Checks whose thresholds were set after the first runs."""
EXACT = 1e-3
"""How far Γ of a = g may be from 1."""
CHANCE = 4.0
CONTROLS = {
    controls.SHALLOW: ("k=L > shallow",),
    controls.RANDOM: ("random labels",),
    controls.PENALTY: ("penalty", "penalty D1", "penalty direction"),
    controls.FROZEN: ("D3 together",),
}
"""By control, the checks that need it."""


def checks(
    runs: pd.DataFrame, who: Subject, layers: Mapping[str, pd.DataFrame]
) -> list[dict[str, Any]]:
    """All verdicts on the audited rule.

    Args:
        layers: `layers.layer_tables` of the rule's runs.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: the runs are not those of one audit.
    """
    named = runs.assign(rule=runs["rule"].map(label))  # sentences have the short name
    own = {v["check"]: v for v in verdicts(rungs(named)) if v["rule"] == who.label}
    reference = Verdict(**{k: v for k, v in own["D2"].items() if k != "rule"})
    full = pick(rungs(named), rule=who.label, k=int(rungs(named)["depth"].iloc[0]))
    found = [
        {**asdict(frozen_init(who))},
        *(own[check] for check in ("D1", "D2", "direction")),
        asdict(beyond_copy(full, reference)),
        *(own[check] for check in ("D3", "shape", "oracle_share") if check in own),
        *of_controls(named, who),
        asdict(calibration(full, layers, reference)),
    ]
    return [{**verdict, "rule": who.rule} for verdict in found]


def frozen_init(who: Subject) -> Verdict:
    """Whether the untrained network is near the identity."""
    cos = who.identity.get("identity/cos_mean")
    if cos is None:
        reason = "the untrained network was not measured"
        return Verdict("frozen init", "undefined", None, NEAR, reason)
    ratio, deviation = (who.identity[f"identity/{n}_mean"] for n in ("block_ratio", "rel_dev"))
    ok = cos >= NEAR
    means = "do little: k=0 is a network without blocks, in effect" if ok else "are felt at k=0"
    reason = (
        f"untrained, a block adds {ratio:.0%} of ‖h‖, all of them {deviation:.0%}, and "
        f"cos(h_L, h_0) is {short(cos)}: frozen blocks {means}"
    )
    return Verdict("frozen init", status(ok), cos, NEAR, reason)


def beyond_copy(full: pd.DataFrame, reference: Verdict) -> Verdict:
    """Whether the credit is better aligned than g_L passed back unchanged, at the middle layer."""

    def judge() -> Verdict:
        layer = _middle(full, reference)
        key = f"h{layer:02d}"
        done = finished(full)
        own, copied = (_valid(metric(done, f"{n}/{key}"), n) for n in ("alignment", "copy"))
        words = f"Γ at h_{layer} is {short(fmean(own))}; g_L passed back unchanged has "
        words += short(fmean(copied))
        gap = round(fmean(a - b for a, b in zip(own, copied, strict=True)), 12)
        if gap > 0 and fmean(copied) > 1 - BEYOND:
            raise Undecided(f"{words}: nothing is left to add")
        ok = gap >= BEYOND
        means = "more than the skip path gives" if ok else "the skip path explains it"
        return Verdict("beyond a copy", status(ok), gap, BEYOND, f"{words}: {means}")

    return decide("beyond a copy", BEYOND, judge)


def chance(runs: pd.DataFrame) -> float:
    """How far from 0 a random credit's mean Γ may be: CHANCE / sqrt(d n), the most of the runs.

    Args:
        runs: with `dataset`, `width` d and `measure_samples` n, or as many as the dataset has.

    Returns:
        nan where there are no runs.
    """
    rows = zip(runs["dataset"], runs["width"], runs["measure_samples"], strict=True)
    numbers = [d * min(n, HELD_OUT.get(name, math.inf)) for name, d, n in rows]
    return CHANCE / math.sqrt(min(numbers, default=math.nan))


def calibration(
    full: pd.DataFrame, layers: Mapping[str, pd.DataFrame], reference: Verdict
) -> Verdict:
    """Whether credits with a known answer get it, at the middle layer."""
    limit = chance(full)

    def judge() -> Verdict:
        layer = _middle(full, reference)
        rows = [
            pick(layers[run_id], layer=layer).iloc[0]
            for run_id in finished(full)["run_id"]
            if run_id in layers
        ]
        if not rows:
            raise Undecided("the runs have no layer tables")

        def at(column: str) -> float:
            return fmean(_valid([float(row[column]) for row in rows], column))

        aligned, opposed, random = (at(f"alignment_{n}") for n in ("g", "neg_g", "random"))
        down, up = at("nudge_g"), at("nudge_neg_g")
        ok = max(abs(aligned - 1), abs(opposed + 1)) <= EXACT and abs(random) < limit
        ok = ok and down < 0 < up
        reason = (
            f"at h_{layer} a = g has Γ {short(aligned)} and nudge {down:+.1e}, a = −g "
            f"{short(opposed)} and {up:+.1e}, random credit {short(random)}"
        )
        return Verdict("calibration", status(ok), abs(random), limit, reason)

    return decide("calibration", limit, judge)


def of_controls(named: pd.DataFrame, who: Subject) -> list[dict[str, Any]]:
    """Return the matched controls' checks, of those controls that were run.

    Args:
        named: the runs of an audit, their rules by `label`.
    """
    there = set(controls.with_controls(named)["control"])
    wanted = [check for control, own in CONTROLS.items() if control in there for check in own]
    own = {v["check"]: v for v in controls_checks.verdicts(named) if v["rule"] == who.label}
    own |= _penalised(named, who)
    return [own[check] for check in wanted if check in own]


def _penalised(named: pd.DataFrame, who: Subject) -> dict[str, dict[str, Any]]:
    """The direction with the branch penalty: where the stream is held, what is it worth?"""
    pair = full_and_penalised(named, who.label)
    found: dict[str, dict[str, Any]] = {}
    for verdict in direction_verdicts(pair) if len(pair) else []:
        if verdict["penalty"] > 0 and verdict["check"] == "direction":
            own = {name: value for name, value in verdict.items() if name != "penalty"}
            found["penalty direction"] = own | {"check": "penalty direction"}
    return found


def _middle(full: pd.DataFrame, reference: Verdict) -> int:
    """L // 2, at which directions are judged.

    Raises:
        Undecided: there is no valid reference to compare with.
    """
    if reference.status != "pass":
        raise Undecided(f"D2 does not hold: {reference.reason}")
    return int(full["depth"].iloc[0]) // 2


def _valid(values: Sequence[float], what: str) -> list[float]:
    known = [value for value in values if value == value]  # not nan
    if not known or len(known) < len(values):
        raise Undecided(f"no valid {what} was measured")
    return known

"""What is expected of the boundary ablation, and whether it holds.

Margins are fixed here, before any number was seen; that a trend over warm-ups takes no step back
was asked for after the first numbers. An accuracy is a fraction, a point is 0.01. What is said of Γ
must hold of the mean over h_1 .. h_L and of that over l < L, where `tgw` teaches nothing directly.
deltaL leads only if it is ahead of every other code on every shared seed; the other statements are
on means over the seeds that all runs involved have.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any

import pandas as pd

from credit import audit
from credit.analysis.boundary import (
    CODES,
    Setting,
    Variation,
    base_of,
    of,
    shared,
    shown,
    sweeps_of,
)
from credit.analysis.cells import (
    QUANTITIES,
    Undecided,
    by_seed,
    decide,
    directions,
    leads,
    not_fitted,
    paired,
    sample,
)
from credit.analysis.selection import finished
from credit.analysis.wording import over, short, status
from credit.audit import Verdict

COLLAPSE = 0.5
"""h_L in the code destroys Γ when Γ falls by more than this share of itself."""
ACCURACY_MARGIN = audit.DEPTH_MARGIN
"""Accuracies within 2 points of each other count as equal, as in the audit protocol (D3)."""
TREND_MARGIN = audit.POOR
"""Least change of Γ over a sweep that counts: .05, what the protocol calls no direction."""
STEP_SLACK = 0.02
"""How far Γ may go back from one value to the next in a sweep with a trend: seeds scatter.

Accuracy may go back by ACCURACY_MARGIN."""
TIGHTENED = "warm"
"""What checks are called of which more was asked after the first numbers had been seen."""
NON_MONOTONE = "is non-monotone"
"""Said of a sweep that goes both ways."""


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Whether what is expected holds: deltaL leads, h_L collapses, tgw helps, warmup trades.

    A check that the runs do not cover is undefined. Where a cell's estimator is not fitted, the
    reason says so.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: as `boundary.boundary`.
    """
    rule, base = shared(runs)["rule"], base_of(runs)
    sweeps = {sweep.name: sweep for sweep in sweeps_of(runs)}
    found = [
        decide("deltaL leads", 0.0, lambda: _leads(runs, base)),
        decide("eT_hL", COLLAPSE, lambda: _collapse(runs, base, "eT")),
        decide("deltaL_hL", COLLAPSE, lambda: _collapse(runs, base, "deltaL")),
        decide("tgw", TREND_MARGIN, lambda: _grows(runs, sweeps.get("tgw"))),
    ]
    names = [name for name in sweeps if name.startswith("warmup_ratio")] or ["warmup_ratio"]
    for name in names:
        check = "warmup" if name == "warmup_ratio" else f"warm {name.rpartition('=')[2]}"
        own = sweeps.get(name)
        found.append(decide(check, -TREND_MARGIN, lambda s=own, c=check: _trades(runs, s, c)))
    return [{"rule": rule, **asdict(verdict)} for verdict in found]


def _leads(runs: pd.DataFrame, base: Setting) -> Verdict:
    settings = {code: base._replace(code=code) for code in CODES}
    settings = {code: own for code, own in settings.items() if not of(runs, own).empty}
    if "deltaL" not in settings or len(settings) < 2:
        raise Undecided("deltaL and another code were not both run")
    gaps, parts = [], []
    for kind in _kinds(runs):
        samples = paired([_sample(runs, setting, kind) for setting in settings.values()])
        values = dict(zip(settings, samples, strict=True))
        own = values.pop("deltaL")
        rival = max(values, key=lambda code, known=values: fmean(known[code]))
        ahead = leads(own, *values.values())
        gaps += ahead
        change = short(round(fmean(own) - fmean(values[rival]), 12), "+")
        parts.append(
            f"{QUANTITIES[kind]} of deltaL is {short(fmean(own))}, of the best other code, "
            f"{rival}, {short(fmean(values[rival]))}: {change}; it leads on "
            f"{sum(gap > 0 for gap in ahead)} of {len(own)} seeds ({over(own)})"
        )
    reason = f"{'; '.join(parts)}; a lead on every seed is asked for"
    found = Verdict("deltaL leads", status(min(gaps) > 0), min(gaps), 0.0, reason)
    return _noted(runs, found, list(settings.values()))


def _collapse(runs: pd.DataFrame, base: Setting, code: str) -> Verdict:
    pair = [base._replace(code=code), base._replace(code=f"{code}_hL")]
    losses, parts = [], []
    for kind in _kinds(runs):
        bare, joined = paired([_sample(runs, setting, kind) for setting in pair])
        if fmean(bare) < audit.POOR:
            raise Undecided(
                f"{QUANTITIES[kind]} of {code} is {short(fmean(bare))} ({over(bare)}), below "
                f"{short(audit.POOR)}: there is nothing to destroy"
            )
        losses.append(round(1 - fmean(joined) / fmean(bare), 12))
        parts.append(
            f"{QUANTITIES[kind]} goes from {short(fmean(bare))} with {code} to "
            f"{short(fmean(joined))} with {code}_hL, {-losses[-1]:+.0%}"
        )
    before, after = paired([_sample(runs, setting, "accuracy") for setting in pair])
    change = round(fmean(after) - fmean(before), 12)
    gone, stays = min(losses) > COLLAPSE, abs(change) <= ACCURACY_MARGIN
    label = (
        f"Γ {'collapses' if gone else 'stays'}, accuracy "
        f"{'stays' if stays else 'rises' if change > 0 else 'falls'}"
    )
    reason = (
        f"{label}: {'; '.join(parts)} (a collapse is a fall by more than {COLLAPSE:.0%}); accuracy "
        f"from {short(fmean(before))} to {short(fmean(after))}, {100 * change:+.1f} points "
        f"(within {100 * ACCURACY_MARGIN:g} it stays); {over(before)}"
    )
    found = Verdict(f"{code}_hL", status(gone and stays), min(losses), COLLAPSE, reason, label)
    return _noted(runs, found, pair)


def _grows(runs: pd.DataFrame, sweep: Variation | None) -> Verdict:
    if sweep is None:
        raise Undecided("tgw was not varied")
    gains, steps, parts, seeds = [], [], [], ""
    for kind in _kinds(runs):
        means, seeds = _course(runs, sweep, kind)
        gains.append(round(means[-1] - means[0], 12))
        steps.append(round(min(b - a for a, b in itertools.pairwise(means)), 12))
        parts.append(
            f"{QUANTITIES[kind]} is {_listed(means, sweep)}: {short(gains[-1], '+')}, the lowest "
            f"step {short(steps[-1], '+')}"
        )
    gain = min(gains)
    grows = gain >= TREND_MARGIN and min(steps) >= -STEP_SLACK
    label = "grows" if grows else "falls" if max(gains) <= -TREND_MARGIN else "no trend"
    reason = (
        f"{label}: {'; '.join(parts)} ({short(TREND_MARGIN, '+')} is asked for, without a step "
        f"below {short(-STEP_SLACK)}); {seeds}"
    )
    found = Verdict("tgw", status(grows), gain, TREND_MARGIN, reason, label)
    return _noted(runs, found, sweep.settings)


def _trades(runs: pd.DataFrame, sweep: Variation | None, check: str) -> Verdict:
    if sweep is None:
        raise Undecided("warmup_ratio was not varied")
    turns, ways, parts = [], set(), []
    for kind in _kinds(runs):
        means, _ = _course(runs, sweep, kind)
        turns.append(round(means[-1] - means[0], 12))
        ways.add(_way(means, TREND_MARGIN, STEP_SLACK))
        listed = _listed(means, sweep)
        parts.append(f"{QUANTITIES[kind]} is {listed}: {short(turns[-1], '+')}")
    accuracies, seeds = _course(runs, sweep, "accuracy")
    gain = round(accuracies[-1] - accuracies[0], 12)
    words = (
        ways.pop() if len(ways) == 1 else "has no one trend",
        _way(accuracies, ACCURACY_MARGIN, ACCURACY_MARGIN),
    )
    label = f"Γ {words[0]}, accuracy {words[1]}"
    reason = (
        f"{label}: {'; '.join(parts)} (a change from {short(TREND_MARGIN)}, without a step back of "
        f"more than {short(STEP_SLACK)}); accuracy {' '.join(map(short, accuracies))}: "
        f"{100 * gain:+.1f} points (a change from {100 * ACCURACY_MARGIN:g}, without a step back "
        f"of more); {seeds}"
    )
    ok = words == ("falls", "rises")
    found = Verdict(check, status(ok), max(turns), -TREND_MARGIN, reason, label)
    return _noted(runs, found, sweep.settings)


def _course(runs: pd.DataFrame, sweep: Variation, quantity: str) -> tuple[list[float], str]:
    """Means of a quantity along a sweep, over the seeds that all its values have, and how many."""
    found = paired([_sample(runs, setting, quantity) for setting in sweep.settings])
    return [fmean(own) for own in found], over(found[0])


def _listed(means: Sequence[float], sweep: Variation) -> str:
    values = ",".join(shown(getattr(s, sweep.field)) for s in sweep.settings)
    return f"{' '.join(map(short, means))} over {sweep.field}={values}"


def _way(means: Sequence[float], margin: float, slack: float) -> str:
    """Which way a quantity goes along a sweep, if it does so without a step back of over slack."""
    change = round(means[-1] - means[0], 12)
    steps = [round(b - a, 12) for a, b in itertools.pairwise(means)]
    up, down = max(steps) > slack, min(steps) < -slack
    if change >= margin:
        return NON_MONOTONE if down else "rises"
    if change <= -margin:
        return NON_MONOTONE if up else "falls"
    return NON_MONOTONE if up and down else "stays"


def _kinds(runs: pd.DataFrame) -> tuple[str, ...]:
    return directions(int(runs["depth"].iloc[0]))


def _sample(runs: pd.DataFrame, setting: Setting, quantity: str) -> dict[int, float]:
    return sample(of(runs, setting), quantity, str(setting))


def _noted(runs: pd.DataFrame, found: Verdict, settings: Sequence[Setting]) -> Verdict:
    """The verdict, which says which of its settings have an estimator that is not fitted."""
    fits = {}
    for setting in settings:
        own = pd.Series(by_seed(finished(of(runs, setting)), "fit"), dtype=float)
        fits[f"{setting}"] = float(own.mean())
    note = not_fitted(fits) if shared(runs)["rule"] == "credit_bridge" else ""
    return replace(found, reason=found.reason + note)

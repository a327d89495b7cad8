"""The audit protocol: from measured numbers to verdicts. Pure; plain numbers in and out.

D1 scale stability, D2 reference validity, direction quality, D3 depth utility, the ladder's shape,
and the share of the oracle's gain. A gain within the noise of D3's bound is undecided: undefined,
with its value. Thresholds are fixed here, before any number is seen.
Accuracies are fractions; a point is 0.01.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from credit.bottom_line import within_noise

MAX_GROWTH = 50.0
"""D1: largest |h_{l+1}| / |h_l| of a stable network."""
SAMPLE_FLOOR = 1e-7 * 1024
"""D2: smallest valid |g_L| of one sample in float32; 1e-7 for the mean loss over 1024 samples."""
POOR, MEDIOCRE = 0.05, 0.20
"""Direction quality by |cos|: below POOR poor, below MEDIOCRE mediocre, else reasonable."""
DEPTH_MARGIN = 0.02
"""D3: least gain of the fully trained net over frozen blocks, 2 points."""

UNDECIDED = "undecided"
"""Label of a verdict whose number is there, but within the noise of its bound."""
CEILINGS = ("bp", "oracle")
"""Rules with the exact gradient, which have no share of the oracle's gain."""

Ladder = Mapping[int, Sequence[float]]
"""Accuracies in order of seed, by number of trainable blocks k; k = 0 and L of the same seeds."""
PerSeed = float | Sequence[float] | None
"""One number, or one per seed, or None where it is not valid."""


@dataclass(frozen=True)
class Verdict:
    """One check's outcome. `dataclasses.asdict` of it is strict JSON: no inf, no nan."""

    check: str
    status: str  # pass, fail, undefined
    value: float | None
    threshold: float | None
    reason: str  # one sentence, with the numbers
    label: str = (
        ""  # the outcome in a word where the protocol has one: poor, climbs, not applicable
    )


def audit_rule(
    rule: str,
    ladder: Ladder,
    bp_ladder: Ladder,
    oracle_ladder: Ladder,
    *,
    depth: int,
    growth: PerSeed,
    grad_norm: PerSeed,
    middle_alignment: PerSeed,
    floor: float = SAMPLE_FLOOR,
    middle_layer: int | None = None,
) -> list[Verdict]:
    """All verdicts on one rule at one configuration; bp and the oracle have no share of it.

    Args:
        rule: the rule's name, for the sentences.
        ladder, bp_ladder, oracle_ladder: accuracies by k; rungs may be missing.
        depth: L; the fully trained net is k = L.
        growth: largest block growth of the fully trained net (`growth/max`).
        grad_norm: median per-sample |g_L| of the fully trained net.
        middle_alignment: mean cosine at a middle layer (`alignment/hNN`).
        floor: per-sample floor of |g_L|, for the precision that was used.
        middle_layer: which layer that is, for the sentence.
    """
    reference = reference_validity(grad_norm, floor)
    found = [
        scale_stability(growth),
        reference,
        direction_quality(middle_alignment, reference, middle_layer),
        depth_utility(rule, ladder, bp_ladder, depth),
        ladder_shape(rule, ladder, depth),
    ]
    if rule not in CEILINGS:
        found.append(oracle_share(rule, ladder, oracle_ladder, depth))
    return found


def scale_stability(growth: PerSeed) -> Verdict:
    """D1: no block lets the hidden state grow by more than MAX_GROWTH, on any seed."""
    values = _values(growth)
    if not values or any(math.isnan(v) for v in values):
        return _undefined("D1", MAX_GROWTH, "no growth was measured")
    worst = max(values)
    ok = worst <= MAX_GROWTH
    return Verdict(
        "D1",
        _status(ok),
        worst if math.isfinite(worst) else None,
        MAX_GROWTH,
        "the largest growth per block is {}, {} {}".format(
            *_between(worst, "within" if ok else "above", MAX_GROWTH)
        )
        + _over(values),
    )


def reference_validity(grad_norm: PerSeed, floor: float = SAMPLE_FLOOR) -> Verdict:
    """D2: the exact gradient at h_L is above the floor, on every seed."""
    values = _values(grad_norm)
    if not values or not all(math.isfinite(v) for v in values):
        return _undefined("D2", floor, "no finite gradient norm at h_L was measured")
    least = min(values)
    ok = least > floor
    return Verdict(
        "D2",
        _status(ok),
        least,
        floor,
        "the median per-sample |g_L| is {}, {} the floor {}".format(
            *_between(least, "above" if ok else "not above", floor)
        )
        + _over(values),
    )


def direction_quality(
    middle_alignment: PerSeed, reference: Verdict, layer: int | None = None
) -> Verdict:
    """Direction in words by |cos| at a middle layer, mean over seeds. Poor fails.

    Each seed's cosine is made positive before averaging: seeds that point opposite ways are not
    evidence of no direction. Undefined unless D2 holds.
    """
    check, where = "direction", f"h_{layer}" if layer is not None else "the middle layer"
    if reference.status != "pass":
        return _undefined(check, POOR, f"D2 does not hold: {reference.reason}")
    values = _values(middle_alignment)
    if not values or not all(math.isfinite(v) for v in values):
        return _undefined(check, POOR, f"no valid alignment at {where} was measured")
    size = fmean(abs(v) for v in values)
    label = "poor" if size < POOR else "mediocre" if size < MEDIOCRE else "reasonable"
    return Verdict(
        check,
        _status(size >= POOR),
        size,
        POOR,
        f"|cos| at {where} is {size:.3f}{_over(values)}: {label} "
        f"(poor below {POOR}, mediocre below {MEDIOCRE})",
        label,
    )


def depth_utility(rule: str, ladder: Ladder, bp_ladder: Ladder, depth: int) -> Verdict:
    """D3: training all blocks beats frozen blocks by DEPTH_MARGIN.

    Precondition: BP itself gains that much on the same configuration; if not, depth is of no use
    there and the verdict is "not applicable". A gain within the noise of the bound is UNDECIDED.
    """
    bp_gain = _gain(bp_ladder, depth)
    if bp_gain is None:
        return _undefined("D3", DEPTH_MARGIN, _lacking("bp", bp_ladder, depth))
    if bp_gain < DEPTH_MARGIN:
        reason = f"bp itself gains only {_points(bp_gain)} from k=0 to k={depth} here"
        return _undefined("D3", DEPTH_MARGIN, reason, "not applicable")
    gain = _gain(ladder, depth)
    if gain is None:
        return _undefined("D3", DEPTH_MARGIN, _lacking(rule, ladder, depth))
    first, last = ladder[0], ladder[depth]
    paired = (
        [b - a for a, b in zip(first, last, strict=True)] if len(first) == len(last) else [gain]
    )
    reason = (
        f"{rule} goes from {_spread(first)} at k=0 to {_spread(last)} at k={depth}: "
        f"{_points(gain)}, where {_points(DEPTH_MARGIN)} are asked for (bp: {_points(bp_gain)})"
    )
    if within_noise(paired, DEPTH_MARGIN):
        reason += f"; that is within the noise of the bound, n = {len(paired)}"
        return Verdict("D3", "undefined", gain, DEPTH_MARGIN, reason, UNDECIDED)
    return Verdict("D3", _status(gain >= DEPTH_MARGIN), gain, DEPTH_MARGIN, reason)


def ladder_shape(rule: str, ladder: Ladder, depth: int) -> Verdict:
    """climbs, flat or falls: k = L at least DEPTH_MARGIN above k = 0, within it, or below.

    Steps down of DEPTH_MARGIN or more on the way do not change the word; the reason names them.
    """
    gain = _gain(ladder, depth)
    if gain is None:
        return _undefined("shape", DEPTH_MARGIN, _lacking(rule, ladder, depth))
    label = "climbs" if gain >= DEPTH_MARGIN else "falls" if gain <= -DEPTH_MARGIN else "flat"
    means = {k: m for k in sorted(ladder) if (m := _mean(ladder[k])) is not None}
    rungs = list(means)
    dips = [
        f"k={k} ({_points(means[k] - means[below])})"
        for below, k in itertools.pairwise(rungs)
        if means[below] - means[k] >= DEPTH_MARGIN
    ]
    course = " ".join(f"{m:.3f}" for m in means.values())
    return Verdict(
        "shape",
        _status(label == "climbs"),
        gain,
        DEPTH_MARGIN,
        f"{rule} {label}: {course} over k={','.join(map(str, rungs))}"
        + (f", with a step down at {', '.join(dips)}" if dips else ""),
        label,
    )


def oracle_share(rule: str, ladder: Ladder, oracle_ladder: Ladder, depth: int) -> Verdict:
    """(acc_rule(L) - acc_rule(0)) / (acc_oracle(L) - acc_oracle(0)); passes above 0.

    Undefined unless the oracle gains DEPTH_MARGIN: a share of nothing is no number.
    """
    gain, ceiling = _gain(ladder, depth), _gain(oracle_ladder, depth)
    if gain is None or ceiling is None:
        who, own = (rule, ladder) if gain is None else ("oracle", oracle_ladder)
        return _undefined("oracle_share", 0.0, _lacking(who, own, depth))
    if ceiling < DEPTH_MARGIN:
        reason = f"the oracle itself gains only {_points(ceiling)} from k=0 to k={depth}"
        return _undefined("oracle_share", 0.0, reason, "not applicable")
    share = gain / ceiling
    means = {k: m for k in sorted(oracle_ladder) if (m := _mean(oracle_ladder[k])) is not None}
    best = max(means, key=lambda k: means[k])
    reason = (
        f"{rule} gains {_points(gain)} of the oracle's {_points(ceiling)}: {shown_share(share)}"
    )
    if means[best] > means[depth]:
        reason += f"; the oracle is best at k={best}, not at k={depth}"
    return Verdict("oracle_share", _status(share > 0), share, 0.0, reason)


def shown_share(share: float) -> str:
    """Return a share as "56%", or "none" where there is no gain to share."""
    return f"{share:.0%}" if share > 0 else "none"


def _values(given: PerSeed) -> list[float]:
    if given is None:
        return []
    return [float(v) for v in given] if isinstance(given, Sequence) else [float(given)]


def _mean(accuracies: Sequence[float]) -> float | None:
    """Mean over seeds; None when there are none or one is not finite."""
    return fmean(accuracies) if accuracies and all(map(math.isfinite, accuracies)) else None


def _gain(ladder: Ladder, depth: int) -> float | None:
    """Mean accuracy at k = depth minus that at k = 0."""
    first, last = (_mean(ladder.get(k, ())) for k in (0, depth))
    # rounded, because .42 - .40 is two points and not 1.9999999999999962
    return None if first is None or last is None else round(last - first, 12)


def _lacking(rule: str, ladder: Ladder, depth: int) -> str:
    """Why a rule has no gain."""
    for k in (0, depth):
        if lost := sum(not math.isfinite(value) for value in ladder.get(k, ())):
            runs = "a run" if lost == 1 else f"{lost} runs"
            return f"{runs} of {rule} at k={k} diverged"
    return f"no seed of {rule} has an accuracy at both k=0 and k={depth}"


def _status(ok: bool) -> str:
    return "pass" if ok else "fail"


def _undefined(check: str, threshold: float, reason: str, label: str = "") -> Verdict:
    return Verdict(check, "undefined", None, threshold, reason, label)


def _points(gain: float) -> str:
    return f"{100 * gain:+.1f} points"


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def _between(value: float, word: str, bound: float) -> tuple[str, str, str]:
    """A number, a word and a bound, with as many digits as tell one number from the other."""
    digits = (d for d in range(3, 18) if f"{value:.{d}g}" != f"{bound:.{d}g}" or value == bound)
    shown = next(digits)
    return f"{value:.{shown}g}", word, f"{bound:.{shown}g}"


def _over(values: Sequence[float]) -> str:
    return f" over {len(values)} seeds" if len(values) > 1 else ""

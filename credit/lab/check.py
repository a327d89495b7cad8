"""Checks: numbers by place and seed, and the bound that they must keep.

    gap("M4", "scalar", (*DIRECTION, RHO)).above(0.10)        # on every seed, at every place
    value("dfa", DIRECTION, size=True).below(0.05, mean=True)  # as a mean over seeds
    steps(("M4", "M8", "M16"), DIRECTION).above(-0.02, mean=True)

A check fails where it fails at one place; else it is undefined where a place has no number. A check
with `anywhere` is passed by one place, and undefined where none passes and a place has no number.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any, NamedTuple

from credit.lab.frame import Frame, Undecided
from credit.lab.measure import Found, Measure, Sample
from credit.lab.statistics import CONFIDENCE, Statistics, statistics
from credit.lab.verdict import FAIL, PASS, UNDECIDED, UNDEFINED, Verdict, cut, worst

Bound = float | Callable[[Frame], float]
NOISE_OF_ONE = 0.01
"""One run has no standard error: its gain is not told from a bound within 1 point of it."""
_MANY = 3
"""From so many places on a reason names the worst alone."""


class Bounds(NamedTuple):
    """The bounds of a check on one experiment's runs."""

    low: float
    high: float

    @property
    def shown(self) -> float | None:
        """The bound that a verdict names."""
        return next((b for b in (self.high, self.low) if math.isfinite(b)), None)

    def nearest(self, samples: Sequence[Sample], mean: bool) -> tuple[float, float]:
        """Return margin and value of the number that is nearest to failing."""
        own = [v for s in samples for v in ([s.mean] if mean else s.by_seed.values())]
        return min((round(min(v - self.low, self.high - v), 12), v) for v in own)

    def asked(self, sample: Sample, strict: bool) -> str:
        """Return the bound in words."""
        lower = math.isfinite(self.low)
        if lower and self.low == -self.high:
            return f"a size {'below' if strict else 'up to'} {sample.quantity.text(self.high)}"
        bound = self.low if lower else self.high
        words = ("at least", "more than") if lower else ("at most", "less than")
        return f"{words[strict]} {sample.quantity.text(bound, sample.sign) if bound else '0'}"


@dataclass(frozen=True)
class Check:
    """What must hold of the numbers of an experiment."""

    name: str
    rule: str
    """Whose check it is: a rule, an arm, or "all"."""
    measure: Measure
    low: Bound = -math.inf
    high: Bound = math.inf
    mean: bool = False
    """Judge the mean over seeds instead of every seed."""
    strict: bool = False
    """A value equal to the bound fails."""
    anywhere: bool = False
    """One place is enough."""
    words: Mapping[str, float] | None = None
    """The outcome in a word, by the value from which on it holds; none below the lowest."""
    late: bool = False
    place: str = ""
    """Where, in words, if checks of one name and rule are told apart by it."""
    also: tuple["Check", ...] = ()
    """Must hold, too; the value shown is this check's own."""
    unless: "Check | None" = None
    """The check passes where this one does."""
    needs: tuple["Check", ...] = ()
    """Undefined where one of these does not pass."""
    doubt: "Check | None" = None
    """Where this one fails, the label says its name: a number stands, and means less."""
    note: Callable[[Frame], str] | None = None
    """Says of the runs what belongs behind the numbers; "" where nothing does."""
    noise: bool = False
    """A mean within the noise of the bound decides nothing: undefined, with its value."""

    def above(self, low: Bound, **more: Any) -> "Check":
        """Return the check with a lower bound, itself allowed unless `strict`."""
        return replace(self, low=low, **more)

    def below(self, high: Bound, **more: Any) -> "Check":
        """Return the check with an upper bound, itself forbidden unless `strict=False`."""
        return replace(self, high=high, **{"strict": True, **more})

    def within(self, bound: float, **more: Any) -> "Check":
        """Return the check with a bound on the size, itself allowed unless `strict`."""
        return replace(self, low=-bound, high=bound, **more)

    def having(self, **more: Any) -> "Check":
        """Return the check with further fields set: also, needs, words, late."""
        return replace(self, **more)

    def judge(self, frame: Frame) -> Verdict:
        """Return the verdict on the runs of a frame."""
        bounds = Bounds(*(b(frame) if callable(b) else b for b in (self.low, self.high)))
        own = {"late": self.late, "place": self.place}
        none = Verdict(self.name, self.rule, UNDEFINED, None, bounds.shown, "", **own)
        for need in self.needs:
            if (first := need.judge(frame)).status != PASS:
                label = "not applicable" * (first.status == FAIL)
                why = f"{first.check} does not hold: {first.reason}"
                return replace(none, reason=cut(why), label=label)
        try:
            found = self.measure(frame)
        except Undecided as why:
            return replace(none, reason=cut(str(why)))
        return self._joined(self._decide(found, bounds, none, frame), frame)

    def _decide(self, found: Found, bounds: Bounds, none: Verdict, frame: Frame) -> Verdict:
        lost = [str(why) for why in found.values() if isinstance(why, Undecided)]
        known = {p: s for p, s in found.items() if not isinstance(s, Undecided)}
        judged = {p: bounds.nearest(samples, self.mean) for p, samples in known.items()}
        if not judged:
            return replace(none, reason=cut("; ".join(dict.fromkeys(lost))))
        best = (max if self.anywhere else min)(judged, key=lambda place: judged[place][0])
        margin, value = judged[best]
        ok = margin > 0 if self.strict else margin >= 0
        if lost and ok != self.anywhere:
            return replace(none, reason=cut("; ".join(lost)))
        shown = known if len(known) < _MANY and not self.anywhere else {best: known[best]}
        label, first = self._word(value), known[best][0]
        reason = self._reason(shown, value, label, bounds, len(known))
        seeds = list(first.by_seed.values())
        found_out = statistics(seeds, bounds.low, bounds.high)
        notes = (self.note(frame) if self.note else "", _in_words(found_out, first))
        verdict = replace(
            none,
            status=PASS if ok else FAIL,
            value=value if math.isfinite(value) else None,
            reason=cut("; ".join(filter(None, (reason, *notes)))),
            label=label,
            numbers=tuple(
                s.number(place)
                for place, samples in known.items()
                for s in samples
                if math.isfinite(s.mean)
            ),
            shown=first.quantity.text(value, first.sign),
            statistics=found_out,
        )
        if self.noise and within_noise(seeds, bounds.shown or 0.0):
            reason = cut(f"{UNDECIDED}, within the noise: {verdict.reason}")
            return replace(verdict, status=UNDEFINED, label=UNDECIDED, reason=reason)
        return verdict

    def _joined(self, own: Verdict, frame: Frame) -> Verdict:
        others = [check.judge(frame) for check in self.also]
        status = worst([own.status, *(other.status for other in others)])
        if status != own.status:
            why = next(other for other in others if other.status == status)
            own = replace(own, status=status, reason=cut(f"{own.reason}; {why.reason}"))
        if self.unless and own.status == FAIL:
            other = self.unless.judge(frame)
            reason = cut(f"{own.reason}; {other.reason}")
            own = replace(own, status=other.status, reason=reason)
        if self.doubt and own.value is not None and self.doubt.judge(frame).status == FAIL:
            own = replace(own, label=f"{own.label or own.status}, but {self.doubt.name}")
        return replace(own, numbers=(*own.numbers, *(n for o in others for n in o.numbers)))

    def _word(self, value: float) -> str:
        fits = {start: word for word, start in (self.words or {}).items() if start <= value}
        return fits[max(fits)] if fits else ""

    def _reason(
        self,
        shown: Mapping[str, Sequence[Sample]],
        value: float,
        label: str,
        bounds: Bounds,
        places: int,
    ) -> str:
        first = next(iter(shown.values()))[0]
        parts = []
        for place, samples in shown.items():
            numbers = ", ".join(sample.text for sample in samples)
            parts.append(f"{place}: {numbers}" if place else numbers)
        seeds = max(sample.n for samples in shown.values() for sample in samples)
        seeded = seeds > 1 and None not in first.by_seed  # a ratio of means has no seeds
        several = len(parts) > 1 or (seeded and not self.mean)
        nearest = f" (nearest {first.quantity.text(value, first.sign)})" if several else ""
        who = (" of the mean" if self.mean else " of every seed") if seeded else ""
        head = f"{label}: " if label else ""
        if len(shown) < places:
            head += f"{'best' if self.anywhere else 'worst'} of {places}: "
        asked = f"{bounds.asked(first, self.strict)} is asked{who}, n = {seeds}"
        return f"{head}{'; '.join(parts)}{nearest}; {asked}"


def _in_words(found: Statistics | None, sample: Sample) -> str:
    """The interval of a number, and how many more seeds would decide on which side it lies."""
    if found is None:
        return ""
    low, high = (sample.quantity.text(end, sample.sign) for end in (found.low, found.high))
    more = f"; {found.more} more seeds would decide" if found.more else ""
    return f"{CONFIDENCE:.0%} {low} to {high}{more}"


def within_noise(gains: Sequence[float], bound: float) -> bool:
    """Return whether finite gains, one per seed, leave open on which side their mean lies."""
    distance = abs(round(fmean(gains) - bound, 12))
    if len(gains) == 1:
        return distance <= NOISE_OF_ONE
    from scipy.special import stdtrit  # here: half a second, and training comes first

    quantile = float(stdtrit(len(gains) - 1, (1 + CONFIDENCE) / 2))
    return distance < quantile * stdev(gains) / math.sqrt(len(gains))


@dataclass(frozen=True)
class All:
    """A verdict on several checks together: the worst of theirs."""

    name: str
    rule: str
    checks: tuple["Check | All", ...]
    threshold: float | None = None

    def judge(self, frame: Frame) -> Verdict:
        """Return the verdict: fail where one fails, undefined where one is, else pass."""
        own = [check.judge(frame) for check in self.checks]
        reason = cut("; ".join(f"{verdict.check}: {verdict.status}" for verdict in own))
        status = worst(verdict.status for verdict in own)
        return Verdict(self.name, self.rule, status, None, self.threshold, reason)

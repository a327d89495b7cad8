"""Checks: numbers by place and seed, and the bound that they must keep.

    gap("M4", "scalar", (*DIRECTION, RHO)).above(0.10)        # on every seed, at every place
    value("dfa", DIRECTION, size=True).below(0.05, mean=True)  # as a mean over seeds
    steps(("M4", "M8", "M16"), DIRECTION).above(-0.02, mean=True)

A check fails where it fails at one place; else it is undefined where a place has no number. A check
with `anywhere` is passed by one place, and undefined where none passes and a place has no number.
"""

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from credit.lab.bounds import Bound, Bounds
from credit.lab.frame import Frame, Undecided
from credit.lab.measure import Found, Measure, Sample
from credit.lab.noise import within_noise
from credit.lab.verdict import FAIL, PASS, UNDECIDED, UNDEFINED, Number, Verdict, cut, worst

_MANY = 3
"""From so many places on a reason names the worst alone."""


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
    """The outcome in a word, by the value from which on it holds."""
    claim: str = ""
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
        """Return the check with further fields set: claim, also, needs, words, late."""
        return replace(self, **more)

    def judge(self, frame: Frame) -> Verdict:
        """Return the verdict on the runs of a frame."""
        bounds = Bounds.of(self.low, self.high, frame)
        bound = bounds.shown
        for need in self.needs:
            if (first := need.judge(frame)).status != PASS:
                why = f"{first.check} does not hold: {first.reason}"
                return self._undefined(why, bound, "not applicable" * (first.status == FAIL))
        try:
            found = self.measure(frame)
        except Undecided as why:
            return self._undefined(str(why), bound)
        own = self._decide(found, bounds, frame)
        return self._joined(own, frame)

    def _decide(self, found: Found, bounds: Bounds, frame: Frame) -> Verdict:
        lost = {place: why for place, why in found.items() if isinstance(why, Undecided)}
        known = {p: s for p, s in found.items() if not isinstance(s, Undecided)}
        judged = {p: bounds.nearest(samples, self.mean) for p, samples in known.items()}
        if not judged:
            return self._undefined("; ".join(dict.fromkeys(map(str, lost.values()))), bounds.shown)
        best = (max if self.anywhere else min)(judged, key=lambda place: judged[place][0])
        margin, value = judged[best]
        ok = margin > 0 if self.strict else margin >= 0
        shown = known if len(known) < _MANY and not self.anywhere else {best: known[best]}
        if lost and ok != self.anywhere:
            return self._undefined("; ".join(map(str, lost.values())), bounds.shown)
        label = self._word(value)
        note = self.note(frame) if self.note else ""
        reason = self._reason(shown, value, label, bounds, len(known))
        verdict = Verdict(
            self.name,
            self.rule,
            PASS if ok else FAIL,
            value if math.isfinite(value) else None,
            bounds.shown,
            cut("; ".join(filter(None, (reason, note)))),
            label,
            self.claim,
            self.late,
            self.place,
            tuple(_numbers(known)),
            known[best][0].quantity.text(value, known[best][0].sign),
        )
        if self.noise and within_noise(list(known[best][0].by_seed.values()), bounds.shown or 0.0):
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

    def _undefined(self, why: str, bound: float | None, label: str = "") -> Verdict:
        own = (label, self.claim, self.late, self.place)
        return Verdict(self.name, self.rule, UNDEFINED, None, bound, cut(why), *own)

    def _word(self, value: float) -> str:
        if not self.words:
            return ""
        starts = sorted(self.words.values())
        start = starts[max(bisect.bisect_right(starts, value) - 1, 0)]
        return next(word for word, own in self.words.items() if own == start)

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
        several = len(parts) > 1 or (None not in first.by_seed and seeds > 1 and not self.mean)
        nearest = f" (nearest {first.quantity.text(value, first.sign)})" if several else ""
        ratio = None in first.by_seed
        who = ", " if ratio else " of the mean, " if self.mean else " of every seed, "
        head = f"{label}: " if label else ""
        asked = f"{bounds.asked(first, self.strict)} is asked"
        asked += f"{who if seeds > 1 else ', '}n = {seeds}"
        if len(shown) < places:
            head += f"{'best' if self.anywhere else 'worst'} of {places}: "
        return f"{head}{'; '.join(parts)}{nearest}; {asked}"


def _numbers(found: Mapping[str, Sequence[Sample]]) -> list[Number]:
    return [
        Number(
            place,
            s.quantity.symbol,
            s.mean,
            {str(seed): v for seed, v in s.by_seed.items() if seed is not None},
        )
        for place, samples in found.items()
        for s in samples
        if math.isfinite(s.mean)
    ]


@dataclass(frozen=True)
class All:
    """A verdict on several checks together: the worst of theirs."""

    name: str
    rule: str
    checks: tuple["Check | All", ...]
    threshold: float | None = None
    claim: str = ""
    late: bool = False

    def judge(self, frame: Frame) -> Verdict:
        """Return the verdict: fail where one fails, undefined where one is, else pass."""
        own = [check.judge(frame) for check in self.checks]
        reason = "; ".join(f"{verdict.check}: {verdict.status}" for verdict in own)
        return Verdict(
            self.name,
            self.rule,
            worst(verdict.status for verdict in own),
            None,
            self.threshold,
            cut(reason),
            "",
            self.claim,
            self.late,
        )

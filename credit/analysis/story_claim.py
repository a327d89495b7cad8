"""A claim of the story: a sentence chosen by numbers, the numbers, and the runs they come from.

Whether a claim holds is what the experiment's own checks say, with their margins; a claim of two
experiments, which none of them can check, is judged by the same margins from the numbers shown.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis.cells import values
from credit.audit import DEPTH_MARGIN

HOLDS, FAILS, UNDECIDED, MISSING = "holds", "does not hold", "undecided", "not there yet"
"""What is said of a claim. MISSING: its experiment has no finished run in the store."""

_LISTED = 4  # numbers that a sentence gives one by one; of more it gives the range


class Unit(NamedTuple):
    """How the numbers of a claim are shown."""

    axis: str
    scale: float = 1.0
    form: str = "+.3f"
    sign: str = ""  # behind the number

    def text(self, value: float, sd: float = math.nan) -> str:
        """As "+5.1 ± 0.3 points"."""
        own = f"{self.scale * value:{self.form}}"
        spread = f" ± {self.scale * sd:{self.form.lstrip('+')}}" if sd > 0 else ""
        return f"{own}{spread}{self.sign}"


POINTS = Unit("points of test accuracy", 100, "+.1f", " points")
PERCENT = Unit("%", 100, "+.0f", " %")


class Limit(NamedTuple):
    """Where the numbers of a claim lie if it holds: between two bounds, or outside of them."""

    low: float = -math.inf
    high: float = math.inf
    inside: bool = True

    @property
    def bounds(self) -> list[float]:
        """Those that are numbers."""
        return [bound for bound in (self.low, self.high) if math.isfinite(bound)]

    def text(self, unit: Unit) -> str:
        """As "above 2 points"."""
        ends = [f"{unit.scale * bound:.3g}" for bound in self.bounds]
        if len(ends) == 2:
            side = "within" if self.inside else "outside"
            return f"{side} {ends[0]} … {ends[1]}{unit.sign}"
        side = "above" if math.isfinite(self.low) else "below"
        return f"{side} {ends[0]}{unit.sign}" if ends else ""


class Point(NamedTuple):
    """One number of a claim: its values by seed, and the ids of the runs behind them."""

    label: str
    values: Mapping[int, float]
    runs: tuple[str, ...]
    kind: str = ""  # which quantity, where a claim is about several
    detail: str = ""  # tells points of one label apart
    whole: float = math.nan  # the number, where it is not the mean of the values
    count: int = 0  # seeds behind it, where these are more than the values

    @property
    def name(self) -> str:
        """Label and detail."""
        return f"{self.label} {self.detail}".strip()

    @property
    def mean(self) -> float:
        """The number; nan where there is none."""
        if math.isfinite(self.whole):
            return self.whole
        return fmean(self.values.values()) if self.values else math.nan

    @property
    def n(self) -> int:
        """How many seeds the number stands on."""
        return max(self.count, len(self.values))

    @property
    def sd(self) -> float:
        """Sample standard deviation over all its seeds (ddof 1); nan where it has none."""
        own = self.values.values()
        return stdev(own) if 1 < len(own) == self.n else math.nan


@dataclass(frozen=True)
class Claim:
    """What is claimed, and what the runs say."""

    name: str
    status: str
    sentence: str  # chosen by the status, with the numbers
    points: tuple[Point, ...]
    unit: Unit
    limit: Limit

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of all runs behind the numbers, each once."""
        return tuple(dict.fromkeys(run for point in self.points for run in point.runs))

    @property
    def seeds(self) -> str:
        """What a number is a mean of: "n = 3", "n = 1 to 3"; empty where there is none."""
        counts = sorted({point.n for point in self.points if point.n})
        ends = dict.fromkeys(counts[:1] + counts[-1:])
        return f"n = {' to '.join(map(str, ends))}" if counts else ""


class Want(NamedTuple):
    """A check's verdict, and what it must be for a claim to hold."""

    check: str
    rule: str
    status: str = "pass"


def claim(
    name: str,
    says: tuple[str, str],
    outcome: tuple[str, str],
    points: Iterable[Point],
    unit: Unit,
    limit: Limit,
    note: str = "",
) -> Claim:
    """A claim with its sentence.

    Args:
        says: the sentence's beginning if the claim holds, and if it does not.
        outcome: of `outcome` or `judged`: the status, and why where it is undecided.
        note: a further sentence.
    """
    points, (status, why) = tuple(points), outcome
    if status not in (HOLDS, FAILS):
        return Claim(name, status, f"Undecided, {name}: {why}.", points, unit, limit)
    found = Claim(name, status, "", points, unit, limit)
    numbers = "; ".join(filter(None, (_numbers(points, unit), found.seeds)))
    start = says[0] if status == HOLDS else says[1]
    sentence = " ".join(filter(None, (f"{start} ({numbers}).", note)))
    return Claim(name, status, sentence, points, unit, limit)


def outcome(
    found: Sequence[Mapping[str, Any]], wants: Sequence[Want], **where: Any
) -> tuple[str, str]:
    """Status of a claim that several verdicts make, and why where it is undecided.

    One verdict that is not as wanted is enough for a claim not to hold.

    Args:
        found: verdicts as dictionaries.
        where: further keys that a verdict must have, such as penalty=0.0.
    """
    reasons, refuted = [], False
    for want in wants:
        place = {"check": want.check, "rule": want.rule, **where}
        own = [v for v in found if all(v.get(key) == value for key, value in place.items())]
        if not own:
            reasons.append(f"{want.rule} was not run")
        for verdict in own:
            if verdict["status"] == "undefined":
                reasons.append(str(verdict["reason"]))
            refuted |= verdict["status"] not in (want.status, "undefined")
    if refuted:
        return FAILS, ""
    if reasons or not wants:
        return UNDECIDED, "; ".join(dict.fromkeys(reasons)) or "nothing to judge was run"
    return HOLDS, ""


def judged(points: Sequence[Point], limit: Limit) -> tuple[str, str]:
    """Status of a claim that must hold on every seed of every number, and why if undecided."""
    own = [value for point in points for value in point.values.values()]
    empty = [" of ".join(filter(None, (p.kind, p.name))) for p in points if not p.values]
    if any(not limit.low <= value <= limit.high for value in own):
        return FAILS, ""
    if empty or not own:
        return UNDECIDED, f"no valid number of {', '.join(empty)}" if empty else "nothing was run"
    return HOLDS, ""


def single(
    label: str,
    runs: pd.DataFrame,
    quantity: str,
    take: Callable[[pd.DataFrame, str], list[float]] = values,
    **more: Any,
) -> Point:
    """A quantity of a cell's finished runs, by seed, where it is valid."""
    return Point(label, of_cell(runs, quantity, take), ids(runs), **more)


def difference(
    label: str,
    runs: pd.DataFrame,
    other: pd.DataFrame,
    quantity: str,
    take: Callable[[pd.DataFrame, str], list[float]] = values,
    **more: Any,
) -> Point:
    """By how much a cell is above another one, on the seeds that both have."""
    ours, theirs = (of_cell(own, quantity, take) for own in (runs, other))
    # rounded, because .42 - .40 is two points and not 1.9999999999999962
    gaps = {seed: round(ours[seed] - theirs[seed], 12) for seed in ours if seed in theirs}
    return Point(label, gaps, ids(runs, other), **more)


def of_cell(
    runs: pd.DataFrame,
    quantity: str,
    take: Callable[[pd.DataFrame, str], list[float]] = values,
) -> dict[int, float]:
    """The valid values of a cell's finished runs, by seed.

    A cell, here and below, is made of finished runs only, of `selection.finished`.
    """
    if runs.empty:
        return {}
    found = zip(sorted(runs["seed"].astype(int)), take(runs, quantity), strict=True)
    return {seed: value for seed, value in found if math.isfinite(value)}


def value_of(found: list[dict[str, Any]], check: str, rule: str) -> float:
    """A verdict's number; nan where there is none."""
    own = [v["value"] for v in found if (v["check"], v["rule"]) == (check, rule)]
    return math.nan if not own or own[0] is None else float(own[0])


def share(label: str, part: Point, whole: Point, value: float) -> Point:
    """A ratio of means (`value`), with the ratio of every seed on which it is a number."""
    both = {s: (v, whole.values[s]) for s, v in part.values.items() if s in whole.values}
    own = {s: mine / other for s, (mine, other) in both.items() if other >= DEPTH_MARGIN}
    runs = tuple(dict.fromkeys(part.runs + whole.runs))
    count = len(both) if math.isfinite(value) else 0
    return Point(label, own if count else {}, runs, whole=value, count=count)


def ids(*cells: pd.DataFrame) -> tuple[str, ...]:
    """Run ids of cells, in order of seed."""
    return tuple(run for c in cells for _, run in sorted(zip(c["seed"], c["run_id"], strict=True)))


def _numbers(points: Sequence[Point], unit: Unit) -> str:
    parts = []
    for kind in dict.fromkeys(point.kind for point in points):
        own = [p for p in points if p.kind == kind and math.isfinite(p.mean)]
        if not own:
            continue
        texts = [f"{p.name} {unit.text(p.mean, p.sd)}".strip() for p in own]
        if len(own) > _LISTED:
            low, high = min(own, key=lambda p: p.mean), max(own, key=lambda p: p.mean)
            ends = (f"{unit.text(p.mean, p.sd)} ({p.name})" for p in (low, high))
            texts = [f"{' to '.join(ends)}, {len(own)} numbers"]
        parts.append(": ".join(filter(None, (kind, ", ".join(texts)))))
    return "; ".join(parts)

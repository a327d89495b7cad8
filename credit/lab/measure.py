"""Measures of cells that a check compares with its bound, five in all, each by place and seed.

A measure is a function from a frame to numbers. An experiment may write one of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple, TypeVar

from credit.lab.frame import Cell, Frame, Place, Undecided
from credit.lab.quantity import Quantity

BySeed = dict[int | None, float]


class Sample(NamedTuple):
    """One number by seed."""

    quantity: Quantity
    by_seed: BySeed
    """A ratio of means has no seed: its key is None."""
    sign: str = ""
    """"+" where it is a difference."""
    over: int = 0
    """Seeds that a ratio of means stands on."""

    @property
    def n(self) -> int:
        """How many seeds the number stands on."""
        return self.over or len(self.by_seed)

    @property
    def text(self) -> str:
        """The mean as people read it."""
        return f"{self.quantity.symbol} {self.quantity.text(self.mean, self.sign)}"

    @property
    def mean(self) -> float:
        """Over seeds; rounded, because .42 - .40 is .02 and not 1.9999999999999962."""
        return round(fmean(self.by_seed.values()), 12)


Found = Mapping[str, "Sequence[Sample] | Undecided"]
"""By place, in words: the samples there, or why there are none."""
Measure = Callable[[Frame], Found]
Name = Cell | str
T = TypeVar("T")


def at_places(
    frame: Frame, cells: Sequence[Name], judge: Callable[[Place], T]
) -> dict[str, T | Undecided]:
    """Return what `judge` finds at every place where all cells were run, by its name.

    Raises:
        Undecided: there is no such place.
    """
    found: dict[str, T | Undecided] = {}
    for place in frame.where(cells):
        try:
            found[frame.place(place)] = judge(place)
        except Undecided as why:
            found[frame.place(place)] = why
    return found


def _by_place(cells: Sequence[Name], judge: Callable[[Frame, Place], Sequence[Sample]]) -> Measure:
    return lambda frame: at_places(frame, cells, lambda place: judge(frame, place))


def value(cell: Name, quantities: Sequence[Quantity], size: bool = False) -> Measure:
    """Return a measure of a cell's own numbers; `size` drops the sign, seed by seed."""

    def judge(frame: Frame, place: Place) -> list[Sample]:
        own = [
            Sample(q, frame.sample(cell, q, place))
            for q in _inner(quantities, frame, [cell], place)
        ]
        drop = abs if size else float
        return [s._replace(by_seed={k: drop(v) for k, v in s.by_seed.items()}) for s in own]

    return _by_place([cell], judge)


def gap(
    cell: Name,
    others: Name | Sequence[Name] | None,
    quantities: Sequence[Quantity],
    less: Quantity | None = None,
    lowest: bool = False,
    size: bool = False,
) -> Measure:
    """Return a measure of a cell minus the best of others, on the seeds that all have.

    Args:
        others: one cell or several; None for the cell itself, where `less` names another quantity.
        less: what is subtracted, if not the same quantity.
        lowest: subtract the cell from the lowest of the others instead.
        size: drop the sign, seed by seed.
    """
    if others is None:
        rest: Sequence[Name] = [cell]
    else:
        rest = [others] if isinstance(others, str | Mapping) else others
    cells = [cell, *rest]

    def judge(frame: Frame, place: Place) -> list[Sample]:
        found = []
        for quantity in _inner(quantities, frame, cells, place):
            own = frame.sample(cell, quantity, place)
            pool = [frame.sample(other, less or quantity, place) for other in rest]
            gaps: BySeed = {}
            for seed in _shared([own, *pool], cells, frame):
                best = (min if lowest else max)(one[seed] for one in pool)
                apart = round(best - own[seed] if lowest else own[seed] - best, 12)
                gaps[seed] = abs(apart) if size else apart
            if less:
                quantity = replace(quantity, symbol=f"{quantity.symbol} − {less.symbol}")
            found.append(Sample(quantity, gaps, "" if size else "+"))
        return found

    return _by_place(cells, judge)


def each(cells: Sequence[Name], make: Callable[[Name], Measure]) -> Measure:
    """Return a measure of several cells, each of which is a place: `each(arms, lambda a: ...)`."""

    def measure(frame: Frame) -> Found:
        if not cells:
            raise Undecided("there is no such run")
        found: dict[str, Sequence[Sample] | Undecided] = {}
        for cell in cells:
            try:
                own = make(cell)(frame)
            except Undecided as why:
                own = {"": why}
            for place, samples in own.items():
                found[f"{frame.name(cell)} {place}".strip()] = samples
        return found

    return measure


def steps(cells: Sequence[Name], quantities: Sequence[Quantity]) -> Measure:
    """Return a measure of the differences of neighbours along an order of cells."""
    pairs = [(i, i + 1) for i in range(len(cells) - 1)]

    def measure(frame: Frame) -> Found:
        found: dict[str, Sequence[Sample] | Undecided] = {}
        names = [frame.name(cell) for cell in cells]
        for place, own in _differences(frame, cells, quantities, pairs).items():
            if isinstance(own, Undecided):
                found[place] = own
                continue
            for (before, after), samples in zip(pairs, own, strict=True):
                found[f"{place} {names[before]} to {names[after]}".strip()] = samples
        return found

    return measure


def course(cells: Sequence[Name], quantities: Sequence[Quantity]) -> Measure:
    """Return a measure of the last of an order of cells minus the first."""

    def measure(frame: Frame) -> Found:
        found = _differences(frame, cells, quantities, [(0, -1)])
        return {p: own if isinstance(own, Undecided) else own[0] for p, own in found.items()}

    return measure


def _differences(
    frame: Frame,
    cells: Sequence[Name],
    quantities: Sequence[Quantity],
    pairs: Sequence[tuple[int, int]],
) -> dict[str, list[list[Sample]] | Undecided]:
    """Return, by place, the samples of each pair of cells: the second minus the first."""
    if len(cells) < 2:
        raise Undecided(f"{', '.join(map(frame.name, cells)) or 'nothing'} alone shows no trend")

    def judge(place: Place) -> list[list[Sample]]:
        found: list[list[Sample]] = [[] for _ in pairs]
        for quantity in _inner(quantities, frame, cells, place):
            own = [frame.sample(cell, quantity, place) for cell in cells]
            seeds = _shared(own, cells, frame)
            for samples, (first, last) in zip(found, pairs, strict=True):
                apart: BySeed = {s: round(own[last][s] - own[first][s], 12) for s in seeds}
                samples.append(Sample(quantity, apart, "+"))
        return found

    return at_places(frame, cells, judge)


def share(part: Measure, whole: Measure, least: float, nothing: str = "") -> Measure:
    """Return a measure of the ratio of two means; none where the whole is below `least`.

    Args:
        nothing: said in place of a share that is not above 0.
    """

    def ratio(one: Sample, total: Sample, place: str) -> Sample:
        own = total.quantity
        if total.mean < least:
            where = f" at {place}" if place else ""
            below = f"is below {own.text(least, total.sign)}"
            raise Undecided(f"{total.text}{where} {below}: a share of it is no number")
        named = ("share", "", f"share of {own.symbol}", "a ratio of means", ".2f")
        quantity = Quantity(*named, nothing=nothing)
        return Sample(quantity, {None: round(one.mean / total.mean, 12)}, "", one.n)

    def measure(frame: Frame) -> Found:
        wholes = whole(frame)
        found: dict[str, Sequence[Sample] | Undecided] = {}
        for place, samples in part(frame).items():
            totals = wholes.get(place, Undecided(f"nothing to share at {place}"))
            lost = next((s for s in (samples, totals) if isinstance(s, Undecided)), None)
            try:
                pairs = zip(samples, totals, strict=True) if lost is None else ()
                found[place] = lost or [ratio(one, total, place) for one, total in pairs]
            except Undecided as why:
                found[place] = why
        return found

    return measure


def _shared(samples: Sequence[BySeed], cells: Sequence[Name], frame: Frame) -> list[int | None]:
    seeds = sorted(set.intersection(*map(set, samples)))
    if not seeds:
        names = ", ".join(dict.fromkeys(map(frame.name, cells)))
        raise Undecided(f"{names} have no finished seed in common")
    return seeds


def _inner(
    quantities: Sequence[Quantity], frame: Frame, cells: Sequence[Name], place: Place
) -> list[Quantity]:
    """Return the quantities that the networks have: with one block none is inner."""
    deep = all(frame.at(cell, place)["depth"].min() > 1 for cell in cells)
    found = [q for q in quantities if deep or not q.name.endswith("_inner")]
    if not found:
        raise Undecided("a network of one block has no layer below h_L")
    return found

"""What a check compares with its bound: five measures of cells, each by place and seed.

A measure is a function from a frame to numbers. An experiment may write one of its own.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple, TypeVar

from credit.lab.frame import Cell, Frame, Place, Undecided
from credit.lab.quantity import Quantity


class Sample(NamedTuple):
    """One number by seed."""

    quantity: Quantity
    by_seed: dict[int | None, float]
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
Course = tuple[Quantity, list[dict[int | None, float]]]
"""A quantity along an order of cells, on the seeds that all have."""
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


def value(cell: Name, quantities: Sequence[Quantity], size: bool = False) -> Measure:
    """Return a measure of a cell's own numbers; `size` drops the sign, seed by seed."""

    def measure(frame: Frame) -> Found:
        def judge(place: Place) -> list[Sample]:
            known = _inner(quantities, frame, [cell], place)
            found = [Sample(q, frame.sample(cell, q, place)) for q in known]
            if not size:
                return found
            return [s._replace(by_seed={k: abs(v) for k, v in s.by_seed.items()}) for s in found]

        return at_places(frame, [cell], judge)

    return measure


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
    rest = _cells(others) if others is not None else (cell,)

    def measure(frame: Frame) -> Found:
        def judge(place: Place) -> list[Sample]:
            found = []
            for quantity in _inner(quantities, frame, [cell, *rest], place):
                own = frame.sample(cell, quantity, place)
                pool = [frame.sample(other, less or quantity, place) for other in rest]
                best = min if lowest else max
                gaps = {
                    seed: round(own[seed] - best(one[seed] for one in pool), 12)
                    for seed in _shared([own, *pool], [cell, *rest], frame)
                }
                sign = -1 if lowest else 1
                gaps = {seed: abs(v) if size else sign * v for seed, v in gaps.items()}
                if less:
                    quantity = replace(quantity, symbol=f"{quantity.symbol} − {less.symbol}")
                found.append(Sample(quantity, gaps, "" if size else "+"))
            return found

        return at_places(frame, [cell, *rest], judge)

    return measure


def each(cells: Sequence[Name], make: Callable[[Name], Measure]) -> Measure:
    """Return a measure of several cells, each of which is a place: `each(arms, lambda a: ...)`."""

    def measure(frame: Frame) -> Found:
        if not cells:
            raise Undecided("there is no such run")
        found: dict[str, Sequence[Sample] | Undecided] = {}
        for cell in cells:
            name = frame.name(cell)
            try:
                own = make(cell)(frame)
            except Undecided as why:
                own = {"": why}
            found |= {f"{name} {place}".strip(): samples for place, samples in own.items()}
        return found

    return measure


def steps(cells: Sequence[Name], quantities: Sequence[Quantity]) -> Measure:
    """Return a measure of the differences of neighbours along an order of cells."""

    def measure(frame: Frame) -> Found:
        found: dict[str, Sequence[Sample] | Undecided] = {}
        names = [frame.name(cell) for cell in cells]
        for place, courses in _courses(frame, cells, quantities).items():
            if isinstance(courses, Undecided):
                found[place] = courses
                continue
            for i, (before, after) in enumerate(itertools.pairwise(names)):
                where = f"{place} {before} to {after}".strip()
                found[where] = [Sample(q, _difference(own, i, i + 1), "+") for q, own in courses]
        return found

    return measure


def course(cells: Sequence[Name], quantities: Sequence[Quantity]) -> Measure:
    """Return a measure of the last of an order of cells minus the first."""

    def measure(frame: Frame) -> Found:
        return {
            place: courses
            if isinstance(courses, Undecided)
            else [Sample(q, _difference(own, 0, -1), "+") for q, own in courses]
            for place, courses in _courses(frame, cells, quantities).items()
        }

    return measure


def share(part: Measure, whole: Measure, least: float, nothing: str = "") -> Measure:
    """Return a measure of the ratio of two means; none where the whole is below `least`.

    Args:
        nothing: said in place of a share that is not above 0.
    """

    def measure(frame: Frame) -> Found:
        wholes = whole(frame)
        found: dict[str, Sequence[Sample] | Undecided] = {}
        for place, samples in part(frame).items():
            totals = wholes.get(place, Undecided(f"nothing to share at {place}"))
            if isinstance(samples, Undecided) or isinstance(totals, Undecided):
                found[place] = samples if isinstance(samples, Undecided) else totals
                continue
            try:
                pairs = zip(samples, totals, strict=True)
                ratios = [_ratio(sample, total, least, place) for sample, total in pairs]
                found[place] = [
                    one._replace(quantity=replace(one.quantity, nothing=nothing)) for one in ratios
                ]
            except Undecided as why:
                found[place] = why
        return found

    return measure


def _ratio(part: Sample, whole: Sample, least: float, place: str) -> Sample:
    own = whole.quantity
    if whole.mean < least:
        where = f" at {place}" if place else ""
        below = f"is below {own.text(least, whole.sign)}"
        raise Undecided(f"{whole.text}{where} {below}: a share of it is no number")
    quantity = Quantity("share", "", f"share of {own.symbol}", "a ratio of means", ".2f")
    return Sample(quantity, {None: round(part.mean / whole.mean, 12)}, "", part.n)


def _courses(
    frame: Frame, cells: Sequence[Name], quantities: Sequence[Quantity]
) -> dict[str, list[Course] | Undecided]:
    """Return the values along an order of cells, by place."""
    if len(cells) < 2:
        raise Undecided(f"{', '.join(map(frame.name, cells)) or 'nothing'} alone shows no trend")

    def judge(place: Place) -> list[Course]:
        found = []
        for quantity in _inner(quantities, frame, cells, place):
            own = [frame.sample(cell, quantity, place) for cell in cells]
            seeds = _shared(own, cells, frame)
            found.append((quantity, [{seed: one[seed] for seed in seeds} for one in own]))
        return found

    return at_places(frame, cells, judge)


def _difference(
    course: Sequence[Mapping[int | None, float]], first: int, last: int
) -> dict[int | None, float]:
    return {seed: round(course[last][seed] - v, 12) for seed, v in course[first].items()}


def _shared(samples: Sequence[dict[int, float]], cells: Sequence[Name], frame: Frame) -> list[int]:
    seeds = sorted(set.intersection(*(set(own) for own in samples)))
    if not seeds:
        names = ", ".join(dict.fromkeys(map(frame.name, cells)))
        raise Undecided(f"{names} have no finished seed in common")
    return seeds


def _cells(others: Name | Sequence[Name]) -> tuple[Name, ...]:
    if isinstance(others, str | Mapping):
        return (others,)
    return tuple(others)


def _inner(
    quantities: Sequence[Quantity], frame: Frame, cells: Sequence[Name], place: Place
) -> list[Quantity]:
    """Return the quantities that the networks have: with one block none is inner."""
    deep = all(frame.at(cell, place)["depth"].min() > 1 for cell in cells)
    found = [q for q in quantities if deep or not q.name.endswith("_inner")]
    if not found:
        raise Undecided("a network of one block has no layer below h_L")
    return found

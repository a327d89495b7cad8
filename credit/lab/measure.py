"""Measures of cells that a check compares with its bound, five in all, each by place and seed.

A measure is a function from a frame to numbers. An experiment may write one of its own.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

from credit.lab.frame import Cell, Frame, Undecided
from credit.lab.quantity import Quantity
from credit.lab.verdict import Number

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
        """Return how many seeds the number stands on."""
        return self.over or len(self.by_seed)

    @property
    def text(self) -> str:
        """The mean as people read it."""
        return f"{self.quantity.symbol} {self.quantity.text(self.mean, self.sign)}"

    @property
    def mean(self) -> float:
        """Over seeds; rounded, because .42 - .40 is .02 and not 1.9999999999999962."""
        return round(fmean(self.by_seed.values()), 12)

    def number(self, place: str) -> Number:
        """Return the number as a verdict keeps it."""
        seeds = {str(seed): v for seed, v in self.by_seed.items() if seed is not None}
        return Number(place, self.quantity.symbol, self.mean, seeds)


Found = Mapping[str, "Sequence[Sample] | Undecided"]
"""By place, in words: the samples there, or why there are none."""
Measure = Callable[[Frame], Found]
Name = Cell | str
T = TypeVar("T")


def at_places(
    frame: Frame, cells: Sequence[Name], judge: Callable[[Cell], T]
) -> dict[str, T | Undecided]:
    """Return what `judge` finds at every place where all cells were run, by its name.

    Raises:
        Undecided: there is no such place.
    """
    return {frame.name(place): _tried(judge, place) for place in frame.where(cells)}


def _tried(judge: Callable[..., T], *args: Any) -> T | Undecided:
    """Return what a function finds, or why it finds nothing."""
    try:
        return judge(*args)
    except Undecided as why:
        return why


def _flattened(found: Mapping[str, Found | Undecided]) -> Found:
    """Return what was found within places or cells, by the names of both."""
    return {
        f"{name} {place}".strip(): samples
        for name, own in found.items()
        for place, samples in ({"": own} if isinstance(own, Undecided) else own).items()
    }


def _by_place(cells: Sequence[Name], judge: Callable[[Frame, Cell], Sequence[Sample]]) -> Measure:
    return lambda frame: at_places(frame, cells, lambda place: judge(frame, place))


def value(cell: Name, quantities: Sequence[Quantity], size: bool = False) -> Measure:
    """Return a measure of a cell's own numbers; `size` drops the sign, seed by seed."""

    def judge(frame: Frame, place: Cell) -> list[Sample]:
        found = []
        for quantity in _inner(quantities, frame, [cell], place):
            own = frame.sample(cell, quantity, place)
            found.append(Sample(quantity, {k: abs(v) for k, v in own.items()} if size else own))
        return found

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

    def judge(frame: Frame, place: Cell) -> list[Sample]:
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
        return _flattened({frame.name(cell): _tried(make(cell), frame) for cell in cells})

    return measure


def steps(cells: Sequence[Name], quantities: Sequence[Quantity]) -> Measure:
    """Return a measure of the differences of neighbours along an order of cells, each a place."""
    return _trend(cells, quantities, [*itertools.pairwise(range(len(cells)))], "{} to {}")


def course(cells: Sequence[Name], quantities: Sequence[Quantity]) -> Measure:
    """Return a measure of the last of an order of cells minus the first."""
    return _trend(cells, quantities, [(0, -1)], "")


def _trend(
    cells: Sequence[Name],
    quantities: Sequence[Quantity],
    pairs: Sequence[tuple[int, int]],
    called: str,
) -> Measure:
    """Return a measure of the second minus the first of pairs of cells, on the seeds of all."""

    def measure(frame: Frame) -> Found:
        names = [frame.name(cell) for cell in cells]
        if len(cells) < 2:
            raise Undecided(f"{', '.join(names) or 'nothing'} alone shows no trend")

        def judge(place: Cell) -> dict[str, list[Sample]]:
            found = {called.format(names[a], names[b]): [] for a, b in pairs}
            for quantity in _inner(quantities, frame, cells, place):
                own = [frame.sample(cell, quantity, place) for cell in cells]
                seeds = _shared(own, cells, frame)
                for samples, (a, b) in zip(found.values(), pairs, strict=True):
                    apart: BySeed = {seed: round(own[b][seed] - own[a][seed], 12) for seed in seeds}
                    samples.append(Sample(quantity, apart, "+"))
            return found

        return _flattened(at_places(frame, cells, judge))

    return measure


def share(part: Measure, whole: Measure, least: float, nothing: str = "") -> Measure:
    """Return a measure of the ratio of two means; none where the whole is below `least`.

    Args:
        nothing: said in place of a share that is not above 0.
    """

    def ratios(samples: Any, totals: Any, place: str) -> list[Sample]:
        for own in (samples, totals or Undecided(f"nothing to share at {place}")):
            if isinstance(own, Undecided):
                raise own
        found = []
        for one, total in zip(samples, totals, strict=True):
            own = total.quantity
            if total.mean < least:
                where = f" at {place}" if place else ""
                below = f"is below {own.text(least, total.sign)}"
                raise Undecided(f"{total.text}{where} {below}: a share of it is no number")
            named = ("share", "", f"share of {own.symbol}", "a ratio of means", ".2f")
            apart: BySeed = {None: round(one.mean / total.mean, 12)}
            found.append(Sample(Quantity(*named, nothing=nothing), apart, "", one.n))
        return found

    def measure(frame: Frame) -> Found:
        wholes = whole(frame)
        return {
            place: _tried(ratios, samples, wholes.get(place), place)
            for place, samples in part(frame).items()
        }

    return measure


def _shared(samples: Sequence[BySeed], cells: Sequence[Name], frame: Frame) -> list[int | None]:
    seeds = sorted(set.intersection(*map(set, samples)))
    if not seeds:
        names = ", ".join(dict.fromkeys(map(frame.name, cells)))
        raise Undecided(f"{names} have no finished seed in common")
    return seeds


def _inner(
    quantities: Sequence[Quantity], frame: Frame, cells: Sequence[Name], place: Cell
) -> list[Quantity]:
    """Return the quantities that the networks have: with one block none is inner."""
    deep = all(frame.at(cell, place)["depth"].min() > 1 for cell in cells)
    found = [q for q in quantities if deep or not q.name.endswith("_inner")]
    if not found:
        raise Undecided("a network of one block has no layer below h_L")
    return found

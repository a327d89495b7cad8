"""Two sweeps, or two rules of one, side by side: paired differences, verdicts and settings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.lab.frame import IRRELEVANT, Frame, one_configuration, pick
from credit.lab.quantity import Quantity
from credit.lab.results import Results
from credit.lab.statistics import FEWEST, statistics
from credit.lab.verdict import Verdict
from credit.spec import field_types, format_value


@dataclass(frozen=True)
class Side:
    """One of the two: its name, its runs, and what was judged of them."""

    name: str
    frame: Frame
    verdicts: Sequence[Verdict]


@dataclass(frozen=True)
class Comparison:
    """What differs between two sides.

    Attributes:
        a, b: their names.
        table: a row per quantity and common cell: quantity, cell, a and b, means over the seeds
            that both have; difference, b - a; low and high, its 95 % t interval, nan below three
            seeds; n, the pairs of runs of one seed; unpaired, the seeds of which one side has no
            valid number.
        verdicts: checks that both have with another status: check, rule, a, b.
        settings: settings in which they differ, with all their values: setting, a, b.
        missing: the quantity that was to come first and has no pair of valid values, if so.
        parents: the ids of the parent runs that they are of.
    """

    a: str
    b: str
    table: pd.DataFrame
    verdicts: pd.DataFrame
    settings: pd.DataFrame
    quantities: Sequence[Quantity]
    missing: str = ""
    parents: tuple[str, ...] = ()

    @property
    def shown(self) -> pd.DataFrame:
        """The table as people read it, in strings."""
        known = {quantity.symbol: quantity for quantity in self.quantities}
        rows = []
        for row in self.table.to_dict("records"):
            own = known[row["quantity"]]
            apart = own.text(row["difference"], "+")
            interval = (
                f"{own.text(row['low'], '+')} to {own.text(row['high'], '+')}"
                if math.isfinite(row["low"])
                else ""
            )
            n = str(row["n"]) + (f" ({row['unpaired']} unpaired)" if row["unpaired"] else "")
            numbers = own.text(row["a"]), own.text(row["b"]), apart, interval, n
            rows.append((row["quantity"], row["cell"], *numbers))
        heads = ["", "cell", self.a, self.b, "difference", "95 % interval", "n"]
        return pd.DataFrame(rows, columns=heads)

    @property
    def first(self) -> pd.DataFrame:
        """The rows of `shown` that are of the first quantity."""
        return self.shown.loc[self.shown[""] == self.quantities[0].symbol]

    @property
    def answer(self) -> str:
        """One line: in how many cells the first quantity differs, and how many verdicts."""
        first = self.table.loc[self.table["quantity"] == self.quantities[0].symbol]
        sure = first.loc[(first["low"] > 0) | (first["high"] < 0)]
        largest = first.loc[first["difference"].abs().idxmax()]
        where = f" at {largest['cell']}" if largest["cell"] else ""
        shown = self.quantities[0].text(largest["difference"], "+")
        decided = (
            f"the 95 % interval of a cell, not corrected for {len(first)} of them, leaves out 0 in "
            f"{len(sure)}"
        )
        few = first["n"].max() < FEWEST
        lost = f"{self.missing} has no pair of valid values, " if self.missing else ""
        return (
            f"{self.b} against {self.a}: {lost}{self.quantities[0].symbol} differs most{where}, by "
            f"{shown}; {f'fewer than {FEWEST} seeds give no interval' if few else decided}; "
            f"{len(self.verdicts)} verdicts and {len(self.settings)} settings differ."
        )


def sides(first: Results, second: Results, names: tuple[str, str]) -> tuple[Side, Side]:
    """Return two sweeps of one kind as sides."""
    if first.experiment.kind != second.experiment.kind:
        kinds = f"{first.experiment.kind} and {second.experiment.kind}"
        raise CreditError(f"{kinds} have no cell in common: compare two sweeps of one kind")
    one, other = (Side(n, r.frame, r.verdicts) for n, r in zip(names, (first, second), strict=True))
    return one, other


def labels(results: Results, first: str, second: str) -> tuple[Side, Side]:
    """Return two labels of a factor of one sweep as sides, such as two rules.

    Raises:
        CreditError: no factor has both.
    """
    frame = results.frame
    for factor in frame.factors:
        own = frame.labels(factor.name)
        known = {str(label): label for label in own}  # a rule's full name is one, too
        known |= {str(frame.short(label)): label for label in own}
        if first in known and second in known:
            found = [_only(results, factor.name, known[name]) for name in (first, second)]
            return found[0], found[1]
    every = [str(frame.short(v)) for f in frame.factors for v in frame.labels(f.name) if v != ""]
    lost = next((name for name in (first, second) if name not in every), f"{first} and {second}")
    raise CreditError(
        f"{lost} is no label of the {results.experiment.kind}, nor a parent run: choose two of "
        f"{', '.join(every)}, or two run ids that `credit ls runs` lists"
    )


def _only(results: Results, factor: str, label: Any) -> Side:
    frame = results.frame
    rest = tuple(own for own in frame.factors if own.name != factor)
    own = replace(frame, runs=pick(frame.runs, {factor: label}), factors=rest)
    verdicts = [replace(verdict, rule="") for verdict in results.verdicts if verdict.rule == label]
    return Side(str(frame.short(label)), own, verdicts)


def compare(first: Side, second: Side, quantities: Sequence[Quantity]) -> Comparison:
    """Set two sides side by side, seed by seed; sides of one cell each, whatever its labels.

    Raises:
        CreditError: they have no finished run of one cell and seed in common, or the runs of a
            cell differ in more than their seed.
    """
    names = [factor.name for factor in first.frame.factors]
    first_cells, second_cells = (side.frame.cells(names) for side in (first, second))
    common = [(cell, cell) for cell in first_cells if cell in second_cells]
    if not common and len(first_cells) == len(second_cells) == 1:
        common = [(first_cells[0], second_cells[0])]
    rows = []
    for quantity in quantities:
        for cell, other_cell in common:
            one = _by_seed(first.frame, cell, quantity)
            other = _by_seed(second.frame, other_cell, quantity)
            seeds = sorted(one.keys() & other.keys())
            if seeds:
                pairs = [(one[seed], other[seed]) for seed in seeds]
                name = first.frame.name(cell) if cell == other_cell and cell else ""
                unpaired = len(one.keys() ^ other.keys())
                rows.append({**_row(quantity, name, pairs), "unpaired": unpaired})
    if not rows:
        raise CreditError(
            f"{first.name} and {second.name} have no finished runs of one cell and seed in common"
        )
    known = {row["quantity"] for row in rows}
    return Comparison(
        first.name,
        second.name,
        pd.DataFrame(rows),
        _verdicts(first.verdicts, second.verdicts),
        _settings(first.frame, second.frame),
        [quantity for quantity in quantities if quantity.symbol in known],
        "" if quantities[0].symbol in known else quantities[0].symbol,
    )


def _by_seed(frame: Frame, cell: dict[str, Any], quantity: Quantity) -> dict[int, float]:
    """Return a quantity of a cell's finished runs by seed; invalid ones are left out."""
    one_configuration(pick(frame.runs, cell))
    done = pick(frame.done, cell)
    found = dict(zip(done["seed"].astype(int), quantity.values(done), strict=True))
    return {seed: value for seed, value in found.items() if math.isfinite(value)}


def _row(quantity: Quantity, cell: str, pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    apart = [round(b - a, 12) for a, b in pairs]
    known = statistics(apart, 0.0, math.inf)
    return {
        "quantity": quantity.symbol,
        "cell": cell,
        "a": sum(a for a, _ in pairs) / len(pairs),
        "b": sum(b for _, b in pairs) / len(pairs),
        "difference": sum(apart) / len(apart),
        "low": known.low if known else math.nan,
        "high": known.high if known else math.nan,
        "n": len(pairs),
    }


def _verdicts(first: Sequence[Verdict], second: Sequence[Verdict]) -> pd.DataFrame:
    """Return the checks of both whose status differs."""
    statuses = {(v.check, v.rule, v.place): v.status for v in first}
    rows = [
        (v.check, " ".join(filter(None, (v.rule, v.place))), statuses[key], v.status)
        for v in second
        if (key := (v.check, v.rule, v.place)) in statuses and statuses[key] != v.status
    ]
    return pd.DataFrame(rows, columns=["check", "rule", "a", "b"])


def _settings(first: Frame, second: Frame) -> pd.DataFrame:
    """Return the settings whose values differ between the runs of two frames."""
    rows, factors = [], {factor.name for factor in first.factors}
    for name in field_types():
        if name in IRRELEVANT - {"device"} or (name == "rule" and name not in factors):
            continue
        own = [", ".join(sorted({format_value(v) for v in f.runs[name]})) for f in (first, second)]
        if own[0] != own[1]:
            rows.append((name, *own))
    return pd.DataFrame(rows, columns=["setting", "a", "b"])

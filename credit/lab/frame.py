"""Finished runs of one experiment as one tidy table, with the labels of its factors."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from credit.errors import CreditError
from credit.lab.factor import Factor
from credit.lab.quantity import ACCURACY, Quantity
from credit.spec import LEARNED_FIELDS, field_types, format_value

IRRELEVANT = frozenset({"device", "measure_every"})
"""Fields that do not change what a number means."""
OWN = LEARNED_FIELDS | {"credit_reduction", "rule_code"}
"""Fields that are a rule's own: runs of different rules may differ in them, and do."""

Cell = Mapping[str, Any]
"""Labels by factor: of runs that differ in their seed and place only, as in {"arm": "M4"}, or of
the place at which a check must hold, as in {"network": "256x4"}."""
EVERYWHERE: Cell = {}


class Undecided(Exception):
    """Why a check has no verdict."""


@dataclass(frozen=True)
class Frame:
    """The runs of one parent, finished and failed, a column per factor.

    Attributes:
        runs: as of `Reader.runs`, with a column per factor.
        factors: in the order in which a table lists them; the last one is what checks name.
        places: names of the factors at each level of which a check must hold.
        having: the metric that a finished run has.
        parent: metrics of the parent run itself.
    """

    runs: pd.DataFrame
    factors: tuple[Factor, ...]
    places: tuple[str, ...] = ()
    having: str = ACCURACY.metric
    parent: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def done(self) -> pd.DataFrame:
        """The finished runs; of two with the same settings the newer."""
        return finished(self.runs, self.having, [factor.name for factor in self.factors])

    def values(self, quantity: Quantity) -> pd.Series:
        """Return a quantity of every finished run; figures ask for it series by series."""
        if quantity not in self._values:
            self._values[quantity] = quantity.values(self.done)
        return self._values[quantity]

    @cached_property
    def _values(self) -> dict[Quantity, pd.Series]:
        return {}

    @property
    def main(self) -> str:
        """The name of the factor that a bare label stands for."""
        return [f.name for f in self.factors if f.name not in self.places][-1]

    @property
    def depth(self) -> int:
        """Blocks L of the deepest network."""
        return int(self.runs["depth"].max())

    @cached_property
    def names(self) -> dict[str, str]:
        """The shortest names by which people tell the rules of the runs apart, by full name."""
        known = set(self.runs["rule"])
        if not any(":" in rule for rule in known):
            return {}
        from credit.rules.shared.names import shortest  # here: it loads torch

        return shortest(known)

    def short(self, label: Any) -> Any:
        """Return a label as people read it: a rule by its shortest name, others as they are."""
        return self.names.get(label, label) if isinstance(label, str) else label

    def one(self, name: str) -> Any:
        """Return the value that a field has in all runs.

        Raises:
            CreditError: runs differ in it.
        """
        found = self.runs[name].unique().tolist()
        if len(found) != 1:
            raise CreditError(f"runs differ in {name} ({', '.join(map(format_value, found))})")
        return found[0]

    def labels(self, name: str, runs: pd.DataFrame | None = None) -> list[Any]:
        """Return the labels of a factor or column among the runs, or some of them, in order."""
        return self.factor(name).in_order((self.runs if runs is None else runs)[name])

    def factor(self, name: str) -> Factor:
        """Return a factor by name; of another column of the runs, one with its values as labels."""
        own = (factor for factor in self.factors if factor.name == name)
        return next(own, Factor(name, sign=f"{name}="))

    def cell(self, cell: "Cell | str") -> dict[str, Any]:
        """Return a cell as labels by factor; a bare label is one of the main factor."""
        return dict(cell) if isinstance(cell, Mapping) else {self.main: cell}

    def name(self, cell: "Cell | str") -> str:
        """Return a cell in words: "M4", or "fa k=4"."""
        if not isinstance(cell, Mapping):
            return str(cell)
        return " ".join(filter(None, (self.factor(n).show(self.short(v)) for n, v in cell.items())))

    def at(self, cell: "Cell | str", place: Cell = EVERYWHERE) -> pd.DataFrame:
        """Return the runs of a cell at a place, of any status."""
        return pick(self.runs, {**place, **self.cell(cell)})

    def cells(self, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return the labels that runs have together, by factor, each in its factor's order.

        Args:
            names: of factors; all by default.
        """
        names = [factor.name for factor in self.factors] if names is None else names
        orders = {name: self.labels(name) for name in names}
        rows = self.runs[list(names)].drop_duplicates().to_dict("records") if names else [{}]
        return sorted(rows, key=lambda row: [orders[name].index(row[name]) for name in names])

    def where(self, cells: Sequence["Cell | str"]) -> list[dict[str, Any]]:
        """Return the places at which every one of some cells was run.

        Raises:
            Undecided: there is none.
        """
        fixed = {n for cell in cells for n in self.cell(cell)}
        places = self.cells([n for n in self.places if n not in fixed])
        found = [p for p in places if all(len(self.at(cell, p)) for cell in cells)]
        if not found:
            lost = [c for c in cells if all(self.at(c, p).empty for p in places)]
            names = ", ".join(self.name(cell) for cell in lost or cells)
            raise Undecided(f"{names} was not run" if lost else f"no place has all of {names}")
        return found

    def sample(
        self, cell: "Cell | str", quantity: Quantity, place: Cell = EVERYWHERE
    ) -> dict[int | None, float]:
        """Return a quantity of a cell by seed.

        A seed that failed counts only where it did not finish in another run.

        Raises:
            CreditError: the runs differ in more than their seed.
            Undecided: there is no finished run, one failed, or one has no valid value.
        """
        who = f"{self.name(cell)} {self.name(place)}".strip()
        own = self.at(cell, place)
        one_configuration(own)
        done = own.loc[own.index.isin(self.done.index)].sort_values("seed")
        failed = set(own.loc[own["status"] == "FAILED", "seed"]) - set(done["seed"])
        if failed:
            raise Undecided(f"{who} failed on seed {', '.join(map(str, sorted(failed)))}")
        if done.empty:
            raise Undecided(f"{who} has no finished run")
        found = dict(zip(done["seed"].astype(int), quantity.values(done), strict=True))
        bad = [str(seed) for seed, value in found.items() if math.isnan(value)]
        if bad:
            raise Undecided(f"{quantity.symbol} of {who} is not valid on seed {', '.join(bad)}")
        return found


def finished(
    runs: pd.DataFrame, having: str = ACCURACY.metric, labels: Iterable[str] = ()
) -> pd.DataFrame:
    """Return the runs that reached their last epoch, with the metric `having`.

    Of two with the same settings and labels, the newer.

    Args:
        labels: columns of factors; a run may stand in several cells.
    """
    if having not in runs:
        return runs.iloc[:0]
    whole = runs.loc[(runs["status"] == "FINISHED") & runs[having].notna()]
    settings = [name for name in (*field_types(), *labels) if name not in IRRELEVANT]
    return whole.sort_values("started", kind="stable").drop_duplicates(settings, keep="last")


def pick(runs: pd.DataFrame, equal: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows whose columns have these values: `pick(runs, {"rule": "fa", "k": 2})`."""
    if not equal:
        return runs
    return runs.loc[np.logical_and.reduce([runs[name] == value for name, value in equal.items()])]


def one_configuration(runs: pd.DataFrame) -> None:
    """Refuse runs that differ in more than their seed: a mean over them would mean nothing.

    Raises:
        CreditError: they differ in another field.
    """
    for name in (name for name in field_types() if name not in IRRELEVANT | {"seed"}):
        values = sorted(runs[name].unique().tolist())
        if len(values) > 1:
            shown = [format_value(value) for value in values]
            raise CreditError(
                f"runs differ in {name} ({', '.join(shown)}): read one experiment with "
                f"""runs(parent=...), or add filter="params.{name} = '{shown[0]}'\""""
            )

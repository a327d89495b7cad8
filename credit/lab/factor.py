"""A factor of an experiment: what varies, from label to settings and back by the same table."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.lab.options import items
from credit.spec import check_names, field_types, format_value, parse_value

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Factor:
    """Something that an experiment varies.

    Either `levels` gives each label the RunSpec fields that it stands for, or `of` reads the label
    from a run: with neither, the label is the value of the field of the factor's own name.
    """

    name: str
    """Column of the tables."""
    levels: Mapping[str, Fields] = field(default_factory=dict)
    of: Callable[[Mapping[str, Any]], Any] | None = None
    sign: str = ""
    """Before a label in words: "k=" makes "k=4"."""
    reads: tuple[str, ...] = ()
    """The fields that `of` reads: a label says what they are."""
    key: Callable[[Any], Any] | None = None
    """Sorts labels; by default the levels' order, others following sorted."""

    def __getitem__(self, label: str) -> Fields:
        """Return the fields that a label stands for.

        Raises:
            CreditError: there is no such label.
        """
        check_names([label], self.levels, self.name)
        return self.levels[label]

    @property
    def fields(self) -> frozenset[str]:
        """The RunSpec fields that a label says."""
        if self.levels:
            return frozenset(name for own in self.levels.values() for name in own)
        return frozenset(self.reads or (self.name,))

    def label(self, run: Mapping[str, Any]) -> Any:
        """Return the label of a run: the most specific level whose fields the run has.

        A run that fits no level has its rule's name.
        """
        if self.of:
            return self.of(run)
        if not self.levels:
            return run[self.name]
        fits = [
            label
            for label, own in self.levels.items()
            if all(run[name] == _typed(name, value) for name, value in own.items())
        ]
        return max(fits, key=lambda label: len(self.levels[label]), default=str(run["rule"]))

    def in_order(self, labels: Iterable[Any]) -> list[Any]:
        """Return each label once, in the factor's order."""
        known = set(labels)
        if self.key:
            return sorted(known, key=self.key)
        first = [label for label in self.levels if label in known]
        rest = known.difference(first)
        numbers = sorted(label for label in rest if isinstance(label, int | float))
        return [*first, *numbers, *sorted(rest.difference(numbers), key=str)]

    def show(self, label: Any) -> str:
        """Return a label in words; "" stands for what an arm does not have."""
        return "" if label == "" else f"{self.sign}{text_of(label)}"

    def chosen(self, option: str, text: str) -> list[str]:
        """Return the labels that an option names, comma-separated.

        Raises:
            CreditError: one is not known, empty or named twice.
        """
        named = items(option, text)
        check_names(named, self.levels, option.removesuffix("s"))
        return named


def labelled(runs: pd.DataFrame, factors: Iterable[Factor]) -> pd.DataFrame:
    """Return runs, or specs as rows, with a column of labels for each factor."""
    rows = runs.to_dict("records")
    return runs.assign(**{f.name: [f.label(row) for row in rows] for f in factors})


def text_of(label: Any) -> str:
    """Return a label as text, a number without needless digits."""
    return f"{label:g}" if isinstance(label, float) else str(label)


def _typed(name: str, value: Any) -> Any:
    text, types = format_value(value), field_types()
    if name not in types:
        raise CreditError(f"{name}={text} is no setting of a run")
    return parse_value(name, types[name], text)

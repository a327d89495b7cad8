"""Sources of numbers: finished runs of a store or a folder, and values that others reported."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pandas as pd

from credit.lab.quantity import Quantity
from credit.spec import RunSpec


class Source(Protocol):
    """Reads runs, their histories and artifacts; `credit.tracking.reader.Reader` is one."""

    def history(self, run_ids: Iterable[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
        """Return every logged value: run_id, key, step, value, timestamp."""
        ...

    def layers(self, run_id: str) -> pd.DataFrame:
        """Return a run's table of layers: their status, direction, norms and calibration."""
        ...

    def artifact(self, run_id: str, path: str) -> Path:
        """Return a local path to an artifact of a run."""
        ...


AUTHORS = "reported by the experiment's authors"
"""How every reported value of arXiv:2606.21126 and its notes is introduced."""
RECIPE = ("dataset", "epochs", "batch_size", "lr", "weight_decay", "clip", "credit_eps", "augment")
RECIPE += ("train_samples", "precision")
"""Fields that a comparable run leaves at their default, the published recipe, unless `where` says
otherwise."""


class Span(NamedTuple):
    """A reported range."""

    low: float
    high: float


Value = float | tuple[float, float] | Span
"""A mean, a mean and its sample sd, or a range."""


@dataclass(frozen=True)
class Reported:
    """Published values of one quantity, with their source and configuration."""

    source: str
    quantity: Quantity
    factors: tuple[str, ...]
    """The factors that name a cell; `layer` and `seed` may be among them."""
    values: Mapping[Any, Value]
    """By label, or tuple of labels; () names all runs of the configuration."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Settings that comparable runs have, beside the recipe."""
    recipe: bool = True
    """Whether runs must follow the published recipe to be comparable."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options, beside the published preset, with which the experiment trains this configuration."""
    measure: Quantity | None = None
    """The quantity of ours to compare with, where it is not `quantity` to the letter."""
    rough: bool = False
    """Whether values are known to an order of magnitude only."""
    bound: str = ""
    """"≤" or "≥" where a value bounds the quantity."""
    absent: str = ""
    """Why no experiment measures the quantity; empty where one does."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that comparable runs have."""
        recipe = {name: getattr(RunSpec, name) for name in RECIPE} if self.recipe else {}
        return {**recipe, **self.where}

    def find(self, labels: Mapping[str, Any], runs: pd.DataFrame) -> tuple[float, float]:
        """Return mean and sd reported for a cell, nan where nothing was or its runs differ.

        Args:
            labels: of the cell, by factor.
            runs: those of the cell.
        """
        key = tuple(labels.get(name) for name in self.factors)
        own = self.values.get(key, self.values.get(key[0]) if len(key) == 1 else None)
        asked = self.settings.items()
        if own is None or runs.empty or any((runs[n] != v).any() for n, v in asked):
            return math.nan, math.nan
        return mean_and_sd(own)


def mean_and_sd(value: Value) -> tuple[float, float]:
    """Return mean and sample sd of a reported value: of a range its middle, and nan."""
    if isinstance(value, Span):
        return (value.low + value.high) / 2, math.nan
    return value if isinstance(value, tuple) else (value, math.nan)

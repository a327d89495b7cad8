"""Sources of numbers: finished runs of a store or a folder, and values that others reported."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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


@dataclass(frozen=True)
class Reported:
    """Published values of one quantity, with their source and configuration."""

    source: str
    quantity: Quantity
    factors: tuple[str, ...]
    """The factors that name a cell."""
    values: Mapping[Any, float | tuple[float, float]]
    """By label, or tuple of labels: the mean, or mean and sample sd."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Settings that comparable runs have, beside the recipe."""
    recipe: bool = True
    """Whether runs must follow the published recipe to be comparable."""

    def find(self, labels: Mapping[str, Any], runs: pd.DataFrame) -> tuple[float, float]:
        """Return mean and sd reported for a cell, nan where nothing was or its runs differ.

        Args:
            labels: of the cell, by factor.
            runs: those of the cell.
        """
        key = tuple(labels.get(name) for name in self.factors)
        own = self.values.get(key, self.values.get(key[0]) if len(key) == 1 else None)
        asked = {name: getattr(RunSpec, name) for name in RECIPE} if self.recipe else {}
        asked |= self.where
        if own is None or runs.empty or any((runs[n] != v).any() for n, v in asked.items()):
            return math.nan, math.nan
        return own if isinstance(own, tuple) else (own, math.nan)

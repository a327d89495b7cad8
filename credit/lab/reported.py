"""Values that others reported, shown beside runs of their configuration only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from credit.lab.quantity import Quantity
from credit.spec import RunSpec

AUTHORS = "reported by the experiment's authors"
"""How every reported value of arXiv:2606.21126 and its notes is introduced."""
RECIPE = (
    "dataset",
    "epochs",
    "batch_size",
    "lr",
    "weight_decay",
    "clip",
    "credit_eps",
    "augment",
    "train_samples",
    "precision",
)
"""Fields that a comparable run leaves at their default, the published recipe, unless `where` says
otherwise."""

Value = float | tuple[float, float]


@dataclass(frozen=True)
class Reported:
    """Published values of one quantity, with their source and configuration."""

    source: str
    quantity: Quantity
    factors: tuple[str, ...]
    """The factors that name a cell."""
    values: Mapping[Any, Value]
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
        if own is None or runs.empty or not self._comparable(runs):
            return float("nan"), float("nan")
        return own if isinstance(own, tuple) else (own, float("nan"))

    def _comparable(self, runs: pd.DataFrame) -> bool:
        default = {name: getattr(RunSpec, name) for name in RECIPE} if self.recipe else {}
        return all(bool((runs[name] == v).all()) for name, v in {**default, **self.where}.items())

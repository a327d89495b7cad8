"""Arms, presets, option helps and lookups that several experiments share."""

import math
from typing import Any

import pandas as pd

from credit.lab import Frame, Quantity
from credit.lab.frame import Cell

QUICK = {
    "width": "128",
    "epochs": "6",
    "train_samples": "20000",
    "measure_samples": "512",
    "directions": "8",
}
QUICK_LEARNED = {
    "epochs": "4",
    "train_samples": "5000",
    "measure_every": "4",
    "measure_samples": "512",
    "directions": "8",
    "estimator_width": "64",  # estimators cost several times what the network does
}
RELATIVE = {"estimator_relative": "true", "sigma_relative": "true"}
"""Units of the batch: hidden states of CIFAR-10 networks grow by orders of magnitude."""
ARMS = {
    "dfa": {"rule": "dfa"},
    "state_bridge": {"rule": "state_bridge"},
    "credit_eT": {"rule": "credit_bridge", "code": "eT"},
    "credit_deltaL": {"rule": "credit_bridge", "code": "deltaL"},
    **{f"M{m}": {"rule": "vector_field", "field_directions": m} for m in (4, 8, 16)},
}
STEP = 0.01
"""The standard error of a mean cosine over 1024 samples with sd .3: a lead of an arm that counts.
It was fixed before any number was seen."""
HELPS = {
    "rules": "credit rules, comma-separated; package.module:Rule for your own",
    "depths": "numbers of residual blocks, comma-separated; all of them train",
    "seeds": "seeds, comma-separated",
}


def helps(*shared: str, **own: str) -> dict[str, str]:
    """Return options with their help: some of HELPS, and an experiment's own."""
    return {name: HELPS[name] for name in shared} | own


def rule_of(arm: str) -> str:
    """Return the rule of an arm; one that is none of ARMS has its rule's name."""
    return str(ARMS.get(arm, {"rule": arm})["rule"])


def beside(
    runs: pd.DataFrame, others: pd.DataFrame, quantity: Quantity, by: tuple[str, ...] = ("seed",)
) -> pd.Series:
    """Return for every run the quantity of the other run that agrees in `by`, nan without one."""
    keys, own = (list(zip(*(part[name] for name in by), strict=True)) for part in (others, runs))
    known = dict(zip(keys, quantity.values(others), strict=True))
    return pd.Series([known.get(key, math.nan) for key in own], runs.index, dtype=float)


def along(frame: Frame, factor: str, cell: Cell) -> list[dict[str, Any]]:
    """Return a cell once for each label of a factor with which it was run, in their order."""
    labels = frame.factor(factor).in_order(frame.at(cell)[factor])
    return [{**cell, factor: label} for label in labels]

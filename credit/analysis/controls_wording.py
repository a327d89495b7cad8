"""How the controls and the scale experiment put things: what a run falls short of, points."""

from typing import Any

import pandas as pd

from credit.analysis.selection import finished

PUBLISHED = {"dataset": "cifar10", "width": 256, "depth": 4, "epochs": 100}
SAMPLES, SEEDS = 50_000, 3
"""The size of the experiments at d=256, L=4: what a smaller run is called reduced against."""


def reduced(runs: pd.DataFrame) -> str:
    """In what the runs fall short of the published size: "reduced: 6 of 100 epochs", or "".

    Seeds count where a run has finished.
    """
    config = deepest(runs)
    symbols = {"width": "d=", "depth": "L="}
    parts = []
    if config["dataset"] != PUBLISHED["dataset"]:
        parts.append(f"{config['dataset']} for {PUBLISHED['dataset']}")
    for name, sign in symbols.items():
        if config[name] < PUBLISHED[name]:
            parts.append(f"{sign}{config[name]} of {PUBLISHED[name]}")
    if config["epochs"] < PUBLISHED["epochs"]:
        parts.append(f"{config['epochs']} of {PUBLISHED['epochs']} epochs")
    if 0 < config["train_samples"] < SAMPLES:
        parts.append(f"{config['train_samples']} of {SAMPLES} samples")
    if (seeds := finished(runs)["seed"].nunique()) < SEEDS:
        parts.append(f"{seeds} of {SEEDS} seeds")
    return f"reduced: {', '.join(parts)}" if parts else ""


def deepest(runs: pd.DataFrame) -> dict[str, Any]:
    """The settings of the deepest runs, as a mapping."""
    return dict(runs.loc[runs["depth"] == runs["depth"].max()].iloc[0])


def points(gain: float) -> str:
    """A difference of accuracies: "+2.3 points"."""
    return f"{100 * gain:+.1f} points"

"""Values that others reported, and where they may be shown: beside runs of the same configuration.

All accuracies are fractions. "Reported by the experiment's authors" stands for ResMLP, CIFAR-10,
100 epochs, 3 seeds, mean and sample standard deviation.
"""

import dataclasses
from typing import NamedTuple

import pandas as pd

from credit.spec import RunSpec

SOURCE = "reported by the experiment's authors (ResMLP, CIFAR-10, 100 epochs, 3 seeds)"
"""How every reported value is introduced."""


class Configuration(NamedTuple):
    """What must agree before a reported value is shown beside ours."""

    dataset: str
    width: int
    depth: int
    epochs: int


AUDITED = Configuration("cifar10", width=256, depth=4, epochs=100)
"""The configuration of the reported ladder and of the reported DFA direction."""

LADDER: dict[Configuration, dict[str, list[tuple[float, float]]]] = {
    AUDITED: {
        "bp": [(0.389, 0.001), (0.565, 0.003), (0.598, 0.003), (0.608, 0.001), (0.617, 0.002)],
        "fa": [(0.355, 0.003), (0.382, 0.008), (0.349, 0.016), (0.398, 0.008), (0.402, 0.009)],
        "dfa": [(0.349, 0.003), (0.244, 0.015), (0.286, 0.013), (0.296, 0.008), (0.301, 0.006)],
    }
}
"""Test accuracy by rule, (mean, sd) for k = 0, 1, ... trainable blocks; reported by the
experiment's authors (ResMLP, CIFAR-10, 100 epochs, 3 seeds). The oracle was not reported."""

DFA_ALIGNMENT = [0.42, 0.006, -0.015, -0.004, -0.004]
"""Mean cosine of vanilla DFA's credit with the exact gradient at h_0 .. h_4 (d=256, L=4), without
regard to the reference floor; reported by the experiment's authors (ResMLP, CIFAR-10, 100 epochs,
3 seeds)."""

DFA_SCALE = {"hidden_norm": 5e8, "grad_norm": 1e-10}
"""Order of magnitude of |h_L| and |g_L| under vanilla DFA; reported by the experiment's authors
(ResMLP, CIFAR-10, 100 epochs, 3 seeds). The reduction behind |g_L| is not stated; of the mean loss
over 1024 samples it would be 1e-7 per sample, which is how this project states norms."""

REDUCTION = {"dfa": "sum"}
"""What `credit_reduction=published` resolved to in the reported runs, where it is not "mean"."""

RECIPE = (
    "batch_size",
    "lr",
    "weight_decay",
    "clip",
    "credit_eps",
    "augment",
    "train_samples",
    "precision",
)
"""RunSpec fields that a comparable run leaves at their default, the published recipe."""


def reported_ladder(dataset: str, width: int, depth: int, epochs: int) -> pd.DataFrame:
    """The reported ladder of a configuration: rule, k, reported_mean, reported_sd; may be empty."""
    rows = LADDER.get(Configuration(dataset, width, depth, epochs), {})
    types = {"rule": str, "k": int, "reported_mean": float, "reported_sd": float}
    return pd.DataFrame(
        [(rule, k, *pair) for rule, pairs in rows.items() for k, pair in enumerate(pairs)],
        columns=list(types),
    ).astype(types)


def reported_direction(dataset: str, width: int, depth: int, epochs: int) -> pd.DataFrame:
    """What was reported of vanilla DFA's direction at one configuration; may be empty.

    Returns:
        Columns rule, penalty, layer, reported_alignment, reported_hidden_norm, reported_grad_norm.
        The norms, orders of magnitude, are of h_L only; see DFA_SCALE for the gradient's reduction.
    """
    rows = []
    if Configuration(dataset, width, depth, epochs) == AUDITED:
        for layer, cosine in enumerate(DFA_ALIGNMENT):
            scale = DFA_SCALE if layer == depth else dict.fromkeys(DFA_SCALE, float("nan"))
            rows.append(("dfa", 0.0, layer, cosine, scale["hidden_norm"], scale["grad_norm"]))
    names = ["reported_alignment", "reported_hidden_norm", "reported_grad_norm"]
    types = {"rule": str, "penalty": float, "layer": int, **dict.fromkeys(names, float)}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def follows_recipe(runs: pd.DataFrame) -> bool:
    """Whether there are runs, of one rule, and all have the published settings.

    Dataset, width, depth and epochs are the lookups' business, the penalty is the caller's.
    """
    if runs.empty:
        return False
    default = {field.name: field.default for field in dataclasses.fields(RunSpec)}
    reductions = ["published", REDUCTION.get(runs["rule"].iloc[0], "mean")]
    return bool(runs["credit_reduction"].isin(reductions).all()) and all(
        bool((runs[name] == default[name]).all()) for name in RECIPE
    )

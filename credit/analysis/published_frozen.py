"""What was reported of frozen recovery, with its settings.

Γ as fractions, without spread: of a network of d=256, L=4, trained by backprop and then frozen, in
which the estimators learned for as many epochs.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from credit.analysis.selection import pick
from credit.spec import RunSpec, format_value

SOURCE = "reported by the experiment's authors (ResMLP d=256 L=4, CIFAR-10, 100 epochs, 3 seeds)"
"""How every reported value of frozen recovery is introduced."""

GAMMA = {"dfa": 0.006, "credit_eT": 0.115, "state_bridge": 0.287, "M4": 0.364}
"""Alignment by arm at d=256, L=4; reported by the experiment's authors. Neither ρ nor Γ by layer,
nor credit_deltaL, M8, M16 and the other networks were reported."""

NETWORK = {"dataset": "cifar10", "width": 256, "depth": 4, "activation": "gelu"} | {
    "terminal_norm": True
}
"""Without these there is nothing to set a reported value beside."""

_SHARED = (
    *("epochs", "train_samples", "batch_size", "lr", "weight_decay", "clip", "credit_eps"),
    *("penalty", "augment", "random_labels", "precision"),
)
_ESTIMATOR = (
    *("warmup_ratio", "tgw", "tau", "sigma", "draws", "ema", "field_eps", "one_sided"),
    *("terminal_weight", "shuffle", "estimator_width", "estimator_depth", "estimator_lr"),
    *("estimator_every", "estimator_layers", "estimator_relative", "sigma_relative"),
)
_STATED = {"warmup_ratio": 0.0}
"""What differs from RunSpec's default: a network that stands still has no warm-up."""


def reported_frozen(runs: pd.DataFrame) -> pd.DataFrame:
    """What was reported of the arms among `runs`; may be empty.

    Args:
        runs: of `frozen.with_arms`.

    Returns:
        Columns width, depth, arm, reported_alignment, departures: in what our runs differ from the
        reported ones, as "reference: epochs=10 (reported: 100)". Empty where nothing differs: only
        then may the two be compared.
    """
    rows = []
    named = pick(runs, **NETWORK)
    reference = pick(named, arm="reference")
    for arm, gamma in GAMMA.items():
        own = pick(named, arm=arm)
        if own.empty:
            continue
        rule = own["rule"].iloc[0]
        wanted = {name: getattr(RunSpec, name) for name in _SHARED}
        # a rule without an estimator keeps the defaults of knobs that it does not read
        learned = {n: getattr(RunSpec, n) for n in _ESTIMATOR} | _STATED if rule != "dfa" else {}
        found = [f"estimator: {text}" for text in departures(own, wanted | learned)]
        whole = wanted | {"rule": "bp", "k": NETWORK["depth"]}
        found += (
            [f"reference: {text}" for text in departures(reference, whole)]
            if len(reference)
            else ["reference: not among the runs"]
        )
        rows.append((NETWORK["width"], NETWORK["depth"], arm, gamma, "; ".join(found)))
    types = {"width": int, "depth": int, "arm": str, "reported_alignment": float}
    types["departures"] = str
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def departures(runs: pd.DataFrame, wanted: Mapping[str, Any]) -> list[str]:
    """In what runs depart from settings: "epochs=10 (reported: 100)"; empty where in nothing."""
    found = []
    for name, value in wanted.items():
        if others := [v for v in sorted(runs[name].unique().tolist()) if v != value]:
            shown = ", ".join(map(format_value, others))
            found.append(f"{name}={shown} (reported: {format_value(value)})")
    return found

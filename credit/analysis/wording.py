"""How the analysis of the synthetic experiments puts things: titles, counts, short numbers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

NOT_THEIRS = "their teacher and data are not known, ours are our own"
"""Stands beside every comparison with a reported value of a synthetic experiment."""


def over(values: Sequence[float]) -> str:
    """How many seeds a number stands on: "n = 3 seeds"."""
    return f"n = {len(values)} seed{'s' if len(values) > 1 else ''}"


def short(value: float, sign: str = "") -> str:
    """As `.450`, or with `sign="+"` as `+.450`."""
    text = f"{value:{sign}.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def status(ok: bool) -> str:
    """A verdict's status."""
    return "pass" if ok else "fail"


def trained(config: Mapping[str, Any]) -> str:
    """For how long on what: "3072 samples, 80 epochs (1920 steps of 128)".

    Where all samples are used, a run does not say how many there are, nor how many steps.
    """
    samples, epochs, batch = (config[n] for n in ("train_samples", "epochs", "batch_size"))
    if not samples:
        return f"all samples, {epochs} epochs in batches of {batch}"
    steps = math.ceil(samples / batch) * epochs
    return f"{samples} samples, {epochs} epochs ({steps} steps of {batch})"


def estimators(runs: pd.DataFrame, code: bool = True) -> str:
    """What the learned rules among `runs` are told and shown: "code eT, estimator_layers 1".

    Empty where there are none; several values are joined by "/".
    """
    learned = runs.loc[runs["rule"].isin(LEARNED)]
    if learned.empty:
        return ""
    fields = [("code", "code")] * code + [("estimator_layers", "estimator_layers")]
    return ", ".join(
        f"{label} {'/'.join(sorted(map(str, learned[name].unique())))}" for name, label in fields
    )


def bend(config: Mapping[str, Any]) -> str:
    """The blocks' nonlinearity: "α=0.5" of phi, which alone has an α, else its name."""
    return f"α={config['alpha']:g}" if config["activation"] == "phi" else str(config["activation"])


LEARNED = ("state_bridge", "credit_bridge", "vector_field")
"""The rules with an estimator."""

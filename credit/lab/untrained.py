"""Experiments that train nothing: networks measured at their start, without child runs.

What the parent run keeps of them, a row per network in `networks.csv`, is read back as runs.
"""

from collections.abc import Sequence

import pandas as pd

from credit.errors import CreditError
from credit.lab.frame import Frame
from credit.lab.quantity import Quantity
from credit.lab.source import Source
from credit.spec import RunSpec

NETWORKS = "networks"
"""The table with a row per network, each named by its seed."""


def as_runs(specs: Sequence[RunSpec], measured: pd.DataFrame) -> pd.DataFrame:
    """Return measured networks, a row per spec, a column per metric, as finished runs."""
    settings = pd.DataFrame([vars(spec) for spec in specs])
    about = {"status": "FINISHED", "started": pd.Timestamp(0, tz="UTC"), "reason": None}
    names = [spec.name for spec in specs]
    return pd.concat([settings, measured.reset_index(drop=True)], axis=1).assign(
        **about, run_id=names, name=names
    )


def by_seed(frame: Frame, quantities: Sequence[Quantity]) -> pd.DataFrame:
    """Return a row per network: its seed and the quantities."""
    own = frame.done.sort_values("seed")
    return pd.DataFrame({"seed": own["seed"], **{q.name: q.values(own) for q in quantities}})


def read_back(
    specs: Sequence[RunSpec], quantities: Sequence[Quantity], source: Source, parent: str
) -> pd.DataFrame:
    """Return the networks of a parent run as runs.

    Args:
        specs: the grid of the parent's parameters.

    Raises:
        CreditError: the parent has no table of them, or not of these seeds.
    """
    path = source.artifact(parent, f"{NETWORKS}.csv")
    table = pd.read_csv(path)
    names = {q.name: q.metric for q in quantities}
    try:
        rows = table.set_index("seed").loc[[spec.seed for spec in specs], list(names)]
    except KeyError as error:
        raise CreditError(f"{path.name} of run {parent} lacks {error}") from error
    return as_runs(specs, rows.rename(columns=names))


def over_networks(frame: Frame, quantities: Sequence[Quantity]) -> dict[str, float]:
    """Return what the parent run logs: METRIC_mean, and METRIC_std where there are several."""
    values = {q.metric: q.values(frame.done) for q in quantities}
    found = {f"{name}_mean": float(own.mean()) for name, own in values.items()}
    if len(frame.done) > 1:
        found |= {f"{name}_std": float(own.std(ddof=1)) for name, own in values.items()}
    return found

"""Quantities over epochs."""

from collections.abc import Sequence

import pandas as pd

from credit.lab.frame import Frame
from credit.lab.quantity import Quantity
from credit.lab.source import Source
from credit.lab.table import spread


def curves(frame: Frame, source: Source, quantities: Sequence[Quantity]) -> pd.DataFrame:
    """Return one row per finished run and epoch at which it logged one of the quantities.

    Returns:
        The factors, seed, epoch, and a column per quantity, nan at epochs without a valid value.
    """
    done = frame.done
    keys = list(dict.fromkeys([*(factor.name for factor in frame.factors), "seed"]))
    depths = set(done["depth"])
    metrics = {q.metric.format(L=f"{d:02d}", M=f"{d // 2:02d}") for q in quantities for d in depths}
    points = source.history(done["run_id"], sorted(metrics))
    points = points.drop_duplicates(["run_id", "key", "step"], keep="last")
    logged = points.pivot(index=["run_id", "step"], columns="key", values="value").reset_index()
    who = done[list(dict.fromkeys(["run_id", "depth", *keys]))]
    rows = who.merge(logged.rename(columns={"step": "epoch"}), on="run_id")
    found = rows[[*keys, "epoch"]].assign(**{q.name: q.values(rows) for q in quantities})
    return found.sort_values([*keys, "epoch"], ignore_index=True)


def over_seeds(
    courses: pd.DataFrame, factors: Sequence[str], quantities: Sequence[Quantity]
) -> pd.DataFrame:
    """Return one row per cell and epoch: each quantity as a table has it, and n, its runs.

    Args:
        courses: as of `curves`.
    """
    rows = []
    for key, own in courses.groupby([*factors, "epoch"], sort=False):
        row = dict(zip([*factors, "epoch"], key, strict=True))
        for quantity in quantities:
            row |= spread(quantity, own[quantity.name])
        rows.append({**row, "n": len(own)})
    return pd.DataFrame(rows)

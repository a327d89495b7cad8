"""The costs of a rule: products counted once, seconds timed at every epoch.

Counts are the same on every machine and seed. Seconds are the median over a run's epochs; runs of
one stack share their time evenly, so that the seconds of rules that trained together say nothing of
either: `time/together` counts them.
"""

import pandas as pd

from credit.lab.quantity import COSTS, FLOPS, SECONDS, Quantity
from credit.lab.source import Source

FLOPS_RATIO = Quantity(
    "flops_ratio",
    "cost/flops_ratio",
    "× bp's FLOP",
    "FLOP per step as a multiple of bp's in the same network",
    ".3g",
    over="same",
)
TOGETHER = Quantity(
    "together",
    "time/together",
    "rules in its stack",
    "rules that trained together, whose seconds are their stack's mean",
    ".0f",
    over="max",
)
KEYS = tuple(one.metric for one in (*COSTS, SECONDS, FLOPS_RATIO, TOGETHER))
"""Columns that `with_costs` adds."""
_NETWORK = ["dataset", "width", "depth", "batch_size"]


def with_costs(runs: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the runs, as of `Reader.runs`, with their costs, nan where a run has none.

    A run's row has its latest measurement only, and costs are logged once, before it.
    """
    keys = [one.metric for one in (*COSTS, SECONDS)]
    history = source.history(runs["run_id"], keys).sort_values(["step", "timestamp"])
    series = history.groupby(["key", "run_id"])["value"]
    medians, last = series.median(), series.last()
    found = runs.copy()
    for key in keys:
        own = (medians if key == SECONDS.metric else last).get(key, pd.Series(dtype=float))
        found[key] = found["run_id"].map(own).astype(float)
    bp = found.loc[found["rule"] == "bp"].groupby(_NETWORK)[FLOPS.metric].first().rename("bp")
    found[FLOPS_RATIO.metric] = found[FLOPS.metric] / found.join(bp, on=_NETWORK)["bp"]
    # all runs of a stack log one time, to the digit
    timed = history.loc[history["key"] == SECONDS.metric].drop_duplicates("run_id", keep="last")
    own = runs[["run_id", "rule"]].merge(timed[["run_id", "step", "value"]], how="left")
    together = own.groupby(["step", "value"])["rule"].transform("nunique")
    found[TOGETHER.metric] = together.set_axis(runs.index)
    return found

"""What a rule costs: products counted once, seconds timed at every epoch.

Counts are the same on every machine and seed. Seconds are the median over a run's epochs; runs of
one stack share their time evenly, so that the seconds of rules that trained together say nothing of
either: `time/together` counts them.
"""

import pandas as pd

from credit.lab.quantity import COSTS, SECONDS, Quantity
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
COUNTED = tuple(one.metric for one in COSTS)
TIMED = SECONDS.metric
KEYS = (*COUNTED, TIMED, FLOPS_RATIO.metric, TOGETHER.metric)
"""Columns that `with_costs` adds."""
_NETWORK = ["dataset", "width", "depth", "batch_size"]


def with_costs(runs: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the runs with their costs, nan where a run has none.

    A run's row has its latest measurement only, and costs are logged once, before it.

    Args:
        runs: as of `Reader.runs`.
    """
    history = source.history(runs["run_id"], [*COUNTED, TIMED]).sort_values(["step", "timestamp"])
    series = history.groupby(["key", "run_id"])["value"]
    medians, last = series.median(), series.last()
    found = runs.copy()
    for key in (*COUNTED, TIMED):
        own = (medians if key == TIMED else last).get(key, pd.Series(dtype=float))
        found[key] = found["run_id"].map(own).astype(float)
    return found.assign(
        **{FLOPS_RATIO.metric: _ratio(found), TOGETHER.metric: _together(found, history)}
    )


def _ratio(runs: pd.DataFrame) -> pd.Series:
    flops = COSTS[0].metric
    bp = runs.loc[runs["rule"] == "bp"].groupby(_NETWORK)[flops].first().rename("bp")
    return runs[flops] / runs.join(bp, on=_NETWORK)["bp"].astype(float)


def _together(runs: pd.DataFrame, history: pd.DataFrame) -> pd.Series:
    """Return how many rules are in each run's stack, which logs one time for all, to the digit."""
    timed = history.loc[history["key"] == TIMED].drop_duplicates("run_id", keep="last")
    own = runs[["run_id", "rule"]].merge(timed[["run_id", "step", "value"]], how="left")
    counts = own.groupby(["step", "value"])["rule"].transform("nunique")
    return counts.set_axis(runs.index)

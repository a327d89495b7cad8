"""The depth scan: accuracy, Γ and ρ by rule and number of blocks, all of them trained.

Of networks at their last epoch; only finished runs count. What a column means is said in
`comparison` and `cost`.
"""

from typing import Any

import pandas as pd

from credit.analysis import comparison, cost, reduction
from credit.analysis.selection import finished, in_order, pick

KIND = "depth_scan"


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title, and in what they are not the published ones.

    Raises:
        CreditError: as `comparison.fully_trained`.
    """
    return comparison.describe(runs, KIND)


def scan(runs: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, credit and cost by rule and depth.

    Args:
        runs: of `cost.with_costs`.
        layers: of `comparison.by_layer` for the same runs.

    Returns:
        One row per rule, in canonical order, and depth: the columns of `comparison.comparison`, but
        for the shares, and depth.

    Raises:
        CreditError: as `comparison.fully_trained`.
    """
    full = comparison.fully_trained(runs)
    done = finished(full)
    rows: list[dict[str, Any]] = []
    for rule in in_order(full["rule"]):
        for depth in sorted(pick(full, rule=rule)["depth"].unique().tolist()):
            place = {"rule": rule, "depth": depth}
            own = comparison.measured(pick(done, **place), pick(layers, **place))
            rows.append({**place, **own})
    return cost.with_ratio(pd.DataFrame(rows)).assign(run=reduction.settings(KIND, full))


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `scan` as strings, for Markdown."""
    parts = [
        table[["rule"]].assign(L=table["depth"]),
        comparison.accuracy_columns(table, ("accuracy", "train_accuracy")),
        cost.formatted(table),
        comparison.credit_columns(table),
    ]
    return pd.concat(parts, axis=1)


def seconds(table: pd.DataFrame) -> pd.DataFrame:
    """Seconds per run-epoch as strings: a row per rule, a column per depth, with n."""
    depths = sorted(table["depth"].unique())
    rows = []
    for rule in in_order(table["rule"]):
        own = {row["depth"]: row for row in pick(table, rule=rule).to_dict("records")}
        cells = {f"L={d}": _seconds(own[d]) if d in own else "" for d in depths}
        rows.append({"rule": rule, **cells})
    return pd.DataFrame(rows)


def _seconds(row: dict[str, Any]) -> str:
    return f"{cost.seconds(row)} (n={row['seconds_n']})" if row["seconds_n"] else ""

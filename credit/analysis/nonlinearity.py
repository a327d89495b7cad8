"""The nonlinearity ladder: what each rule's credit is worth by share of tanh and by depth.

Of fully trained networks at their last epoch: alignment gamma and loss prediction rho (means over
h_1 .. h_L), nudge (the same mean, of loss changes) and test accuracy. Only finished runs count.
"""

import math
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis import published_nonlinearity as published
from credit.analysis import tables
from credit.analysis.selection import (
    ACCURACY,
    configuration,
    finished,
    in_order,
    metric,
    pick,
)
from credit.spec import LEARNED_FIELDS

GRID = ("k", "seed", "alpha", "depth")
"""What runs of one rule may differ in."""


class Quantity(NamedTuple):
    """One measured number per run."""

    symbol: str
    label: str


QUANTITIES = {
    "gamma": Quantity("Γ", "alignment Γ"),
    "rho": Quantity("ρ", "loss prediction ρ"),
    "nudge": Quantity("nudge", "nudge"),
    "accuracy": Quantity("accuracy", "test accuracy"),
}
"""By column of `table`; the first two have reported values."""


def values(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per finished run with k = L: rule, alpha, depth, seed and the QUANTITIES.

    A quantity is nan where the run has no valid value of it.

    Raises:
        CreditError: there are no runs, or those of one rule differ in more than alpha, depth, k
            and seed, or those of different rules in a setting that they share.
    """
    check(runs)
    done = finished(runs)
    done = done.loc[done["k"] == done["depth"]]
    parts = []
    for _, own in done.groupby(["rule", "alpha", "depth"]):
        own, depth = own.sort_values("seed"), int(own["depth"].iloc[0])
        nudges = [metric(own, f"nudge/h{layer:02d}") for layer in range(1, depth + 1)]
        found = {
            "gamma": metric(own, "alignment/deep"),
            "rho": metric(own, "rho/deep"),
            "nudge": pd.DataFrame(nudges).mean(axis=0, skipna=False).to_numpy(),
            "accuracy": metric(own, ACCURACY),
        }
        parts.append(own[["rule", "alpha", "depth", "seed"]].assign(**found))
    columns = ["rule", "alpha", "depth", "seed", *QUANTITIES]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Every quantity by alpha, depth and rule, with what was reported for it.

    Returns:
        One row per alpha, depth and rule of the grid, rules in canonical order: alpha, depth, rule,
        seeds (finished runs), and for each quantity its mean, `_sd` (ddof 1) and `_n`, the seeds at
        which it is valid; `_reported` and `_difference` (ours minus that) for gamma and rho. What
        does not exist is nan; reported values stand beside runs of their configuration only.

    Raises:
        CreditError: as `values`.
    """
    found = values(runs)
    full = runs.loc[runs["k"] == runs["depth"]]
    rank = {rule: index for index, rule in enumerate(in_order(full["rule"]))}
    cells = full[["alpha", "depth", "rule"]].drop_duplicates()
    rows = []
    for cell in cells.to_dict("records"):
        own = pick(found, **cell)
        row = {**cell, "seeds": len(own)}
        for name in QUANTITIES:
            column = own[name].astype(float)
            row |= {name: column.mean(), f"{name}_sd": column.std(ddof=1)}
            row[f"{name}_n"] = int(column.notna().sum())
        rows.append(row)
    same = [r for r in rank if not published.departures(pick(full, rule=r))]
    known = published.reported()
    frame = pd.DataFrame(rows, columns=_columns())
    frame = frame.merge(
        known.loc[known["rule"].isin(same)], on=["rule", "alpha", "depth"], how="left"
    )
    for name in ("gamma", "rho"):
        frame[f"{name}_difference"] = frame[name] - frame[f"{name}_reported"]
    return frame.sort_values(
        ["alpha", "depth", "rule"],
        key=lambda column: column.map(rank) if column.name == "rule" else column,
        ignore_index=True,
    )


def wide(table: pd.DataFrame, quantities: tuple[str, ...] = tuple(QUANTITIES)) -> pd.DataFrame:
    """The table as strings: columns alpha, quantity, rule, values, L=2, L=4, ...

    A row of ours per rule ("mean ± sd (n=3)"), and what was reported, with the difference, below.
    """
    depths = sorted(table["depth"].unique())
    rows = []
    for alpha in sorted(table["alpha"].unique()):
        for name in quantities:
            for rule in in_order(pick(table, alpha=alpha)["rule"]):
                records = pick(table, alpha=alpha, rule=rule).to_dict("records")
                own = {record["depth"]: record for record in records}
                start = {"alpha": f"{alpha:g}", "quantity": QUANTITIES[name].symbol, "rule": rule}
                for kind in ("ours", "reported", "difference"):
                    cells = {f"L={d}": _cell(own.get(d, {}), name, kind) for d in depths}
                    if kind == "ours" or any(cells.values()):
                        rows.append({**start, "values": kind, **cells})
    return pd.DataFrame(rows)


def seeds_text(table: pd.DataFrame) -> str:
    """What a cell is a mean of: "mean ± sample sd over n = 3 seeds"."""
    return tables.seeds_text(table.assign(n=table["seeds"]))


def comparison(runs: pd.DataFrame) -> str:
    """Where the reported values come from, and beside which rules they are not shown and why."""
    apart: dict[str, list[str]] = {}
    for rule in in_order(set(runs["rule"]) & set(published.GAMMA)):
        reason = ", ".join(published.departures(pick(runs, rule=rule)))
        apart.setdefault(reason, []).append(rule)
    lines = [
        f"no reported values beside {', '.join(rules)}: {reason}"
        for reason, rules in apart.items()
        if reason
    ]
    if "" in apart:
        lines.insert(0, f"reported: {published.SOURCE.removeprefix('reported ')}")
    return "\n".join(lines)


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title: "teacher, d=128, 80 epochs"."""
    return "{dataset}, d={width}, {epochs} epochs".format(**check(runs))


def check(runs: pd.DataFrame) -> dict[str, Any]:
    """The settings that all runs share.

    The knobs of learned rules are each rule's own and must agree within it only.

    Raises:
        CreditError: as `values`.
    """
    shared = configuration(runs, vary=("rule", *GRID, *LEARNED_FIELDS))
    for _, own in runs.groupby("rule"):
        configuration(own, vary=GRID)
    return shared


def _columns() -> list[str]:
    spread = [f"{name}{end}" for name in QUANTITIES for end in ("", "_sd", "_n")]
    return ["alpha", "depth", "rule", "seeds", *spread]


def _cell(row: dict[str, Any], name: str, kind: str) -> str:
    """One cell of `wide`; empty where there is nothing."""
    mean = row.get(name if kind == "ours" else f"{name}_{kind}", math.nan)
    if math.isnan(mean):
        return ""
    if kind != "ours":
        return f"{round(mean, 2) + 0:{'+' if kind == 'difference' else ''}.2f}"
    sd, form = row[f"{name}_sd"], ".1e" if name == "nudge" else ".3f"
    spread = "" if math.isnan(sd) else f" ± {sd:{form}}"
    return f"{mean:{form}}{spread} (n={row[f'{name}_n']})"

"""The method comparison: what each rule's credit is worth at one depth, and what it costs.

Of fully trained networks (k = L) at their last epoch. Only finished runs count. Γ, ρ and nudge are
means over h_1 .. h_L, absent where the exact gradient is not valid: the status says why.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from credit.analysis import cost, reduction, wording
from credit.analysis.cells import COPY, formatted, spread
from credit.analysis.cells import values as cell_values
from credit.analysis.layers import OK, direction, layer_tables
from credit.analysis.selection import configuration, finished, in_order, left_out, metric, pick
from credit.tracking.reader import Reader

GRID = ("rule", "k", "seed", "depth")
"""What the runs of a comparison over rules, or over rules and depths, may differ in."""

ACCURACIES = {
    "accuracy": "test accuracy",
    "train_accuracy": "train accuracy",
    "oracle_share": "of oracle's",
    "bp_share": "of bp's",
}
CREDIT = {"alignment": "Γ", "alignment_inner": "Γ, l < L", **COPY, "rho": "ρ", "nudge": "nudge"}
"""Columns of the tables and their headings. A share is the rule's test accuracy over the other's,
by seed; Γ below h_L leaves out where a rule is taught, or given, the exact gradient."""

KIND = "method_comparison"


def fully_trained(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with k = L.

    Raises:
        CreditError: there are none, or they differ in more than rule, seed and depth; rules that
            learn may differ in their own knobs.
    """
    full = runs.loc[runs["k"] == runs["depth"]]
    configuration(full, vary=GRID)
    return full


def load(reader: Reader, runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs as `comparison` takes them, and their layers: of `cost.with_costs`, of `by_layer`.

    Raises:
        CreditError: as `fully_trained`, or the diagnostics of a finished run are missing.
    """
    full = fully_trained(runs)
    timed = cost.with_costs(full, reader.history(full["run_id"], cost.KEYS))
    return timed, by_layer(timed, layer_tables(reader, timed))


def describe(runs: pd.DataFrame, kind: str = KIND) -> str:
    """What all runs have in common, for a title, and in what they are not the published ones.

    Args:
        kind: the experiment whose published runs these are set beside.

    Raises:
        CreditError: as `fully_trained`.
    """
    full = fully_trained(runs)
    config = configuration(full, vary=GRID)
    own = ", ".join(map(str, sorted(full["depth"].unique())))
    parts = (
        f"{config['dataset']}, d={config['width']}, L={own}",
        wording.trained(config),
        wording.estimators(full),
    )
    return reduction.told(", ".join(filter(None, parts)), kind, full)


def comparison(runs: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, cost and credit by rule.

    Args:
        runs: of `cost.with_costs`, of one depth.
        layers: of `by_layer` for the same runs.

    Returns:
        One row per rule, in canonical order: rule; for each of ACCURACIES and CREDIT its mean,
        `_sd` (ddof 1) and `_n` (valid seeds); growth (the largest of any block and seed),
        valid (seeds with a valid reference at h_L), status (of Γ: "ok" or why it is absent); the
        columns of `cost`; n (finished runs), and run (`reduction.settings` of all runs).

    Raises:
        CreditError: as `fully_trained`, or the runs have several depths.
    """
    full = fully_trained(runs)
    configuration(full)
    done = finished(full)
    known = {rule: pick(done, rule=rule) for rule in in_order(full["rule"])}
    none = done.iloc[:0]
    rows = []
    for rule, own in known.items():
        row = {"rule": rule, **measured(own, pick(layers, rule=rule))}
        for other in ("oracle", "bp"):
            row |= spread(f"{other}_share", _shares(own, known.get(other, none)))
        rows.append(row)
    return cost.with_ratio(pd.DataFrame(rows)).assign(run=reduction.settings(KIND, full))


def measured(done: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Any]:
    """A row of `comparison` without shares: of finished runs that differ in their seed only."""
    row: dict[str, Any] = spread("accuracy", cell_values(done, "accuracy"))
    row |= spread("train_accuracy", metric(done, "accuracy/train"))
    for name in CREDIT:
        row |= spread(name, cell_values(done, name))
    valid = pd.Series(metric(done, "valid/reference"), dtype=float)
    return {
        **row,
        "growth": pd.Series(metric(done, "growth/max"), dtype=float).max(),
        "valid": int((valid == 1).sum()),
        "status": status(layers),
        **cost.costs(done),
        "n": len(done),
    }


def by_layer(runs: pd.DataFrame, layers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Γ and norms by depth, rule and hidden state, with the status of each.

    Args:
        layers: of `layers.layer_tables`.

    Returns:
        the columns of `layers.direction`, and depth.

    Raises:
        CreditError: as `fully_trained`.
    """
    full = fully_trained(runs)
    parts = [
        direction(pick(full, depth=depth), layers).assign(depth=int(depth))
        for depth in sorted(full["depth"].unique())
    ]
    return pd.concat(parts, ignore_index=True)


def status(layers: pd.DataFrame) -> str:
    """Why Γ of a rule is not a number at every h_1 .. h_L and seed, or "ok".

    As "reference_at_floor", or "reference_at_floor (1 of 3) at h_1, h_2".
    """
    if layers.empty or not layers["seeds"].iloc[0]:
        return "no finished run"
    inner = layers.loc[layers["layer"] > 0]
    bad = inner.loc[inner["status"] != OK]
    parts = []
    for why, own in bad.groupby("status", sort=False):
        where = ", ".join(f"h_{layer}" for layer in own["layer"])
        parts.append(str(why) if len(own) == len(inner) else f"{why} at {where}")
    return "; ".join(parts) or OK


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `comparison` as strings, for Markdown: cost beside accuracy, then the credit."""
    parts = [table[["rule"]], _without_n(table, ACCURACIES), cost.formatted(table)]
    return pd.concat([*parts, credit_columns(table)], axis=1)


def credit_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Credit, growth, validity, n and the run's label as strings."""
    counts = table[["valid", "n"]].to_dict("records")
    more = {
        "max growth": [f"{v:.3g}" if math.isfinite(v) else "" for v in table["growth"]],
        "valid reference": [f"{row['valid']} of {row['n']}" for row in counts],
        "status of Γ": table["status"].tolist(),
        "n": table["n"].tolist(),
        "run": table["run"].tolist(),
    }
    return pd.concat([_without_n(table, CREDIT), pd.DataFrame(more)], axis=1)


def accuracy_columns(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Some of ACCURACIES as strings."""
    return _without_n(table, {name: ACCURACIES[name] for name in names})


def text(wide: pd.DataFrame) -> str:
    """A wide table for the terminal in two parts: accuracy and cost, then the credit."""
    place = int(wide.columns.get_loc(CREDIT["alignment"]))  # pyright: ignore[reportArgumentType]
    keys = [name for name in ("rule", "L") if name in wide]
    first = wide.iloc[:, :place].assign(n=wide["n"])
    second = pd.concat([wide[keys], wide.iloc[:, place:]], axis=1)
    return f"{first.to_string(index=False)}\n\n{second.to_string(index=False)}"


def notes(runs: pd.DataFrame) -> list[str]:
    """What stands below the tables: reported values, seconds, and the runs that do not count.

    Raises:
        CreditError: as `fully_trained`.
    """
    full = fully_trained(runs)
    gone = left_out(full).to_dict("records")
    return [
        "reported: n/a (no value of this configuration was reported)",
        *cost.sharing(full),
        *(
            f"left out: {run['name']}, {run['status']}"
            + ("" if pd.isna(run["reason"]) else f": {run['reason']}")
            for run in gone
        ),
    ]


def _shares(own: pd.DataFrame, other: pd.DataFrame) -> list[float]:
    """Accuracy over the other rule's, by seed, on the seeds that both have."""
    pair = [
        dict(zip(sorted(done["seed"].astype(int)), cell_values(done, "accuracy"), strict=True))
        for done in (own, other)
    ]
    shared = sorted(set(pair[0]) & set(pair[1]))
    return [pair[0][seed] / pair[1][seed] for seed in shared if pair[1][seed] > 0]


def _without_n(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    return formatted(table, names).drop(columns="n")

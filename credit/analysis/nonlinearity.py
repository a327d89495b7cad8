"""The nonlinearity ladder: what each rule's credit is worth by share of tanh and by depth.

Of fully trained networks at their last epoch: alignment gamma and loss prediction rho (means over
h_1 .. h_L), nudge (the same mean, of loss changes), test accuracy, what the estimator misses of its
target, and the size of h_L. Only finished runs count.
"""

import math
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis import cells, tables, wording
from credit.analysis import published_nonlinearity as published
from credit.analysis.selection import (
    ACCURACY,
    configuration,
    finished,
    in_order,
    metric,
    pick,
)

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
    "gamma_inner": Quantity("Γ, l < L", "alignment Γ below h_L"),
    "fit": Quantity("fit", "share of its target that the estimator misses"),
    "hidden": Quantity("‖h_L‖", "size of the last hidden state"),
}
"""By column of `table`; the first two have reported values. `gamma_inner` is the mean over
1 <= l < L, nan at L = 1; `fit` is that of `cells.FITS`; `hidden` the median over the samples."""

MAIN = ("gamma", "rho", "nudge", "accuracy")
"""What every rule has at every depth."""

ACCURACY_MARGIN = 0.05
"""Where dfa's accuracy is less than 5 points below bp's, accuracy is no evidence of good credit."""


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
        found = {
            "gamma": metric(own, "alignment/deep"),
            "rho": metric(own, "rho/deep"),
            "nudge": cells.values(own, "nudge"),
            "accuracy": metric(own, ACCURACY),
            "gamma_inner": metric(own, "alignment/deep_inner") if depth > 1 else math.nan,
            "fit": cells.values(own, "fit"),
            "hidden": metric(own, f"hidden_norm/h{depth:02d}"),
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
    places = full[["alpha", "depth", "rule"]].drop_duplicates()
    rows = []
    for place in places.to_dict("records"):
        own = pick(found, **place)
        row = {**place, "seeds": len(own)}
        for name in QUANTITIES:
            row |= cells.spread(name, own[name])
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


def wide(table: pd.DataFrame, quantities: tuple[str, ...] = MAIN) -> pd.DataFrame:
    """The table as strings: columns alpha, quantity, rule, values, L=2, L=4, ...

    A row of ours per rule ("mean ± sd (n=3)"), and what was reported, with the difference, below.
    A quantity that is not of MAIN has rows of the rules that have it only.
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
                    shown = {f"L={d}": _cell(own.get(d, {}), name, kind) for d in depths}
                    if (kind == "ours" and name in MAIN) or any(shown.values()):
                        rows.append({**start, "values": kind, **shown})
    return pd.DataFrame(rows, columns=["alpha", "quantity", "rule", "values", *_by_depth(depths)])


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
        source = published.SOURCE.removeprefix("reported ")
        lines.insert(
            0,
            f"reported: {source}; {wording.NOT_THEIRS}, so a difference is one of tasks, too",
        )
    return "\n".join(lines)


def accuracy_note(table: pd.DataFrame) -> str:
    """Where accuracy is no evidence of good credit: dfa, whose credit is none, comes close to bp.

    Empty where no cell has both rules.
    """
    ends = [pick(table, rule=rule)[["alpha", "depth", "accuracy"]] for rule in ("dfa", "bp")]
    both = ends[0].merge(ends[1], on=["alpha", "depth"], suffixes=("_dfa", "_bp")).dropna()
    if both.empty:
        return ""
    both["gap"] = (both["accuracy_dfa"] - both["accuracy_bp"]).round(9)
    points = f"{100 * ACCURACY_MARGIN:g} points"
    near = both.loc[both["gap"] > -ACCURACY_MARGIN]
    if near.empty:
        least = f"{-100 * both['gap'].max():.1f} points"
        return f"accuracy tells bp from dfa by {points} or more at every α and L (least: {least})"
    parts = []
    for alpha, own in near.groupby("alpha"):
        gaps = ", ".join(f"L={r['depth']} ({100 * r['gap']:+.1f})" for r in own.to_dict("records"))
        parts.append(f"α={alpha:g} {gaps}")
    return (
        f"accuracy is no evidence of good credit in {len(near)} of {len(both)} cells, where dfa is "
        f"less than {points} below bp, or above it (dfa minus bp, in points): {'; '.join(parts)}"
    )


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title.

    As "teacher, d=128, 3072 samples, 80 epochs (1920 steps of 128), code eT, estimator_layers 1".

    Raises:
        CreditError: as `values`.
    """
    config = check(runs)
    parts = ("{dataset}, d={width}".format(**config), wording.trained(config))
    return ", ".join(filter(None, (*parts, wording.estimators(runs))))


def check(runs: pd.DataFrame) -> dict[str, Any]:
    """The settings that all runs share.

    The knobs of learned rules are each rule's own and must agree within it only.

    Raises:
        CreditError: as `values`.
    """
    return configuration(runs, vary=("rule", *GRID))


def _columns() -> list[str]:
    spread = [f"{name}{end}" for name in QUANTITIES for end in ("", "_sd", "_n")]
    return ["alpha", "depth", "rule", "seeds", *spread]


_FORMS = {"nudge": ".1e", "hidden": ".3g"}


def _by_depth(depths: list[int]) -> list[str]:
    return [f"L={depth}" for depth in depths]


def _cell(row: dict[str, Any], name: str, kind: str) -> str:
    """One cell of `wide`; empty where there is nothing."""
    mean = row.get(name if kind == "ours" else f"{name}_{kind}", math.nan)
    if math.isnan(mean):
        return ""
    if kind != "ours":
        return f"{round(mean, 2) + 0:{'+' if kind == 'difference' else ''}.2f}"
    sd, form = row[f"{name}_sd"], _FORMS.get(name, ".3f")
    spread = "" if math.isnan(sd) else f" ± {sd:{form}}"
    return f"{mean:{form}}{spread} (n={row[f'{name}_n']})"

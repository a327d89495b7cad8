"""Tables of an experiment, from the typed frames of `Reader.runs`.

Accuracies are fractions of the test set at the last epoch; a point is 0.01. Only finished runs
count; `left_out` names the others.
"""

import math

import pandas as pd

from credit.analysis import published
from credit.analysis.audits import direction_verdicts, verdict_table, verdicts
from credit.analysis.layers import direction, layer_tables
from credit.analysis.selection import (
    ACCURACY,
    configuration,
    describe,
    finished,
    in_order,
    left_out,
    metric,
    pick,
)
from credit.rule_names import shortest

__all__ = [
    "agreement",
    "curves",
    "describe",
    "direction",
    "direction_verdicts",
    "ladder",
    "ladder_text",
    "ladder_wide",
    "layer_tables",
    "left_out",
    "seeds_text",
    "verdict_table",
    "verdicts",
]

CAPTION = "test accuracy at the last epoch"
TOLERANCE_POINTS = {"bp": 1.0}
"""How far a mean may lie from the reported one before it is called a deviation, by rule."""
OTHER_TOLERANCE_POINTS = 1.5


def ladder(runs: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by rule and number of trainable blocks, with what was reported for it.

    Returns:
        One row per rule and k of the grid, rules in canonical order: rule, k, mean, sd (ddof 1),
        n (seeds), reported_mean, reported_sd, difference_points. What does not exist is nan: all of
        a cell without a finished run (n = 0), sd at n = 1, reported values of other configurations.

    Raises:
        CreditError: there are no runs, or they differ in more than rule, k and seed.
    """
    config = configuration(runs)
    done = finished(runs)
    rows = []
    for rule in in_order(runs["rule"]):
        for k in sorted(runs["k"].unique()):
            own = pick(done, rule=rule, k=k)
            cell = pd.Series(metric(own, ACCURACY), dtype=float)
            rows.append((rule, int(k), cell.mean(), cell.std(ddof=1), len(cell)))
    table = pd.DataFrame(rows, columns=["rule", "k", "mean", "sd", "n"])
    names = ("dataset", "width", "depth", "epochs")
    reported = published.reported_ladder(**{name: config[name] for name in names})
    if config["penalty"]:
        reported = reported.iloc[:0]
    same = [r for r in set(runs["rule"]) if published.follows_recipe(pick(runs, rule=r))]
    table = table.merge(reported.loc[reported["rule"].isin(same)], on=["rule", "k"], how="left")
    table["difference_points"] = 100 * (table["mean"] - table["reported_mean"])
    return table


def ladder_wide(table: pd.DataFrame) -> pd.DataFrame:
    """A ladder as strings, for Markdown and CSV: a row of ours per rule, what was reported below.

    Columns rule, values ("ours", "reported", "difference, points"), k=0, k=1, ...
    """
    return _wide(table, state_n=True)


def ladder_text(table: pd.DataFrame) -> str:
    """A ladder for the terminal, with a caption that states n and the source of reported values."""
    counts = set(table.loc[table["n"] > 0, "n"])
    wide = _wide(table, state_n=len(counts) > 1)
    lines = [[str(column) for column in wide.columns], *wide.astype(str).to_numpy().tolist()]
    for this, above in zip(lines[:0:-1], lines[-2:0:-1], strict=False):
        this[0] = "" if this[0] == above[0] else this[0]
    lines[0][1] = ""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    caption = f"{CAPTION}, {seeds_text(table)}; k = trainable blocks"
    notes = (
        [f"reported: {published.SOURCE.removeprefix('reported ')}"]
        if table["reported_mean"].notna().any()
        else []
    )
    return "\n".join([caption, "", *text, *([""] if notes else []), *notes])


def seeds_text(table: pd.DataFrame) -> str:
    """What a cell of a ladder is a mean of: "mean ± sample sd over n = 3 seeds"."""
    counts = table.loc[table["n"] > 0, "n"]
    if counts.empty:
        return "no run has finished yet"
    low, high = int(counts.min()), int(counts.max())
    if high == 1:
        return "n = 1 seed"
    return f"mean ± sample sd over n = {low if low == high else f'{low} to {high}'} seeds"


def agreement(table: pd.DataFrame) -> str:
    """Whether a ladder's means lie within tolerance of the reported ones; a line per deviation."""
    known = table.dropna(subset=["difference_points"])
    if known.empty:
        return "No finished run has a reported value to compare with at this configuration."
    limits = known["rule"].map(TOLERANCE_POINTS).fillna(OTHER_TOLERANCE_POINTS)
    # rounded, because .402 - .387 is 1.5 points and not 1.5000000000000013
    beyond = known.loc[known["difference_points"].abs().round(9) > limits]
    bounds = (
        f"{OTHER_TOLERANCE_POINTS} points "
        f"({', '.join(f'{rule} {limit}' for rule, limit in TOLERANCE_POINTS.items())})"
    )
    lines = [
        f"{len(known) - len(beyond)} of {len(known)} cells lie within {bounds} of the reported."
    ]
    for row in beyond.to_dict("records"):
        lines.append(
            f"DEVIATES: {row['rule']} k={row['k']} is {_accuracy(row['mean'], row['sd'], row['n'])}"
            f", reported {_accuracy(row['reported_mean'], row['reported_sd'])}: "
            f"{row['difference_points']:+.1f} points."
        )
    return "\n".join(lines)


def curves(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy over epochs of every run, unfinished ones too.

    Args:
        runs: of `Reader.runs`.
        history: of `Reader.history`, with the test accuracy among its keys.

    Returns:
        Columns rule, k, seed, epoch, accuracy.

    Raises:
        CreditError: as `ladder`.
    """
    configuration(runs)
    points = pick(history, key=ACCURACY).drop_duplicates(["run_id", "step"], keep="last")
    named = points.rename(columns={"step": "epoch", "value": "accuracy"})
    joined = runs[["run_id", "rule", "k", "seed"]].merge(
        named[["run_id", "epoch", "accuracy"]], on="run_id"
    )
    return joined.drop(columns="run_id").sort_values(
        ["rule", "k", "seed", "epoch"], ignore_index=True
    )


def _wide(table: pd.DataFrame, state_n: bool) -> pd.DataFrame:
    rows, names = [], shortest(table["rule"])
    for full_name, own in table.groupby("rule", sort=False):
        rule = names[str(full_name)]
        records = own.sort_values("k").to_dict("records")
        ours = {
            f"k={r['k']}": _accuracy(r["mean"], r["sd"], r["n"] if state_n else None)
            for r in records
        }
        rows.append({"rule": rule, "values": "ours", **ours})
        if own["reported_mean"].notna().any():
            reported = {
                f"k={r['k']}": _accuracy(r["reported_mean"], r["reported_sd"]) for r in records
            }
            points = {
                f"k={r['k']}": "" if math.isnan(d := r["difference_points"]) else f"{d:+.1f}"
                for r in records
            }
            rows.append({"rule": rule, "values": "reported", **reported})
            rows.append({"rule": rule, "values": "difference, points", **points})
    return pd.DataFrame(rows)


def _accuracy(mean: float, sd: float, n: int | None = None) -> str:
    """As `.615 ± .002 (n=3)`; without ± where there is no sd, empty where there is no mean."""
    if math.isnan(mean):
        return ""
    spread = "" if math.isnan(sd) else f" ± {_short(sd)}"
    return _short(mean) + spread + (f" (n={n})" if n is not None else "")


def _short(fraction: float) -> str:
    return f"{fraction:.3f}".removeprefix("0")

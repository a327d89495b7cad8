"""What a rule costs, beside what it is worth: the columns that comparisons share.

| column | metric | what it is |
| --- | --- | --- |
| `flops` | `cost/flops_per_step` | of one training step on a batch: twice the multiply-adds |
| `flops_ratio` | | the same as a multiple of bp's at the same depth |
| `block_evaluations` | `cost/block_evaluations` | forward passes of blocks, per sample and step |
| `estimator_parameters` | `cost/estimator_parameters` | numbers trained beside the network |
| `seconds` | `time/run_epoch_seconds` | wall time of one epoch of one run, test set included |

FLOPs count the matrix products of network, credit and estimator, not the optimizer and what is done
element by element. The network's own L forward passes are among the block evaluations. A rule
without an estimator has 0 parameters.

The first four are counted, and are the same on every machine and seed. Seconds are measured: the
median over a run's epochs of the time that an epoch took, divided by the runs that trained
together. Runs in one stack share their time evenly, so that rules in one stack have the same
seconds, which then say nothing of either; `sharing` tells which.
"""

import math
from typing import Any

import pandas as pd

from credit.analysis.cells import spread
from credit.analysis.selection import finished, in_order, metric, pick
from credit.tracking.reader import Reader

METRICS = {
    "flops": "cost/flops_per_step",
    "block_evaluations": "cost/block_evaluations",
    "estimator_parameters": "cost/estimator_parameters",
    "seconds": "time/run_epoch_seconds",
}
"""By column, what is read from the runs."""
KEYS = tuple(METRICS.values())
"""The series that `with_costs` needs."""
HEADINGS = {
    "flops": "FLOP per step",
    "flops_ratio": "× bp's FLOP",
    "block_evaluations": "block evaluations",
    "estimator_parameters": "estimator parameters",
    "seconds": "s per run-epoch",
}
"""Columns of the tables and their headings."""

COUNTED = {"flops": "FLOP", "block_evaluations": "", "estimator_parameters": ""}
"""Columns that every table of trained networks has beside accuracy, and their units."""

TOGETHER = "time/together"
"""Column of `with_costs`: the rules in a run's stack, "bp, dfa"; "" if its own only."""
_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def load(reader: Reader, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of `Reader.runs` as `with_costs` makes them."""
    return with_costs(runs, reader.history(runs["run_id"], KEYS))


def with_costs(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The runs with their costs: what was counted once, and the median of what was timed.

    Args:
        runs: of `Reader.runs`.
        history: of `Reader.history` for them, with KEYS among its keys.

    Returns:
        a copy with the columns KEYS, nan where a run has none, and TOGETHER.
    """
    found = runs.copy()
    for key in KEYS:
        series = pick(history, key=key).sort_values("step").groupby("run_id")["value"]
        own = series.median() if key == METRICS["seconds"] else series.last()
        found[key] = found["run_id"].map(own).astype(float)
    timed = pick(history, key=METRICS["seconds"]).sort_values("step")
    last = timed.drop_duplicates("run_id", keep="last")
    # one stack logs one time, to the last digit, for all of its runs
    stacks = dict(zip(last["run_id"], zip(last["step"], last["value"], strict=True), strict=True))
    rules: dict[tuple[int, float], set[str]] = {}
    for run, rule in zip(found["run_id"], found["rule"], strict=True):
        if run in stacks:
            rules.setdefault(stacks[run], set()).add(rule)
    shared = {run: in_order(rules.get(stack, ())) for run, stack in stacks.items()}
    together = [shared.get(run, []) for run in found["run_id"]]
    found[TOGETHER] = [", ".join(own) if len(own) > 1 else "" for own in together]
    return found


def costs(runs: pd.DataFrame) -> dict[str, Any]:
    """Costs of a cell's finished runs, which differ in their seed only.

    Returns:
        the columns of METRICS, nan where not known; of the seconds also `_sd` and `_n`.
    """
    row = {name: pd.Series(metric(runs, key), dtype=float).mean() for name, key in METRICS.items()}
    return row | spread("seconds", metric(runs, METRICS["seconds"]))


def counted(runs: pd.DataFrame) -> dict[str, Any]:
    """Of `costs`, the columns of COUNTED."""
    own = costs(runs)
    return {name: own[name] for name in COUNTED}


def with_ratio(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `flops_ratio`, to bp's row, of the same depth where there are several."""
    by = table.assign(depth=table.get("depth", 0))
    known = pick(by, rule="bp").set_index("depth")["flops"]
    return table.assign(flops_ratio=table["flops"] / by["depth"].map(known).astype(float))


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """The costs of a table as strings under their HEADINGS; empty where not known."""
    rows = table.to_dict("records")
    shown = {
        "flops": [si(row["flops"], "FLOP") for row in rows],
        "flops_ratio": [_times(row["flops_ratio"]) for row in rows],
        "block_evaluations": [_plain(row["block_evaluations"]) for row in rows],
        "estimator_parameters": [si(row["estimator_parameters"]) for row in rows],
        "seconds": [seconds(row) for row in rows],
    }
    return pd.DataFrame({HEADINGS[name]: column for name, column in shown.items()})


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """The columns COUNTED of a table as strings under their HEADINGS; none where none is known."""
    known = {name: unit for name, unit in COUNTED.items() if table[name].notna().any()}
    return pd.DataFrame(
        {HEADINGS[name]: [si(v, unit) for v in table[name]] for name, unit in known.items()},
        index=table.index,
    )


def si(value: float, unit: str = "") -> str:
    """To three digits with an SI prefix: `si(3.2e9, "FLOP")` is "3.2 GFLOP"; empty if no number."""
    if not math.isfinite(value):
        return ""
    size = abs(float(f"{value:.2e}"))  # rounded first: 999.9 is 1 k
    power = int(math.log10(size) // 3) if size >= 1000 else 0
    power = min(power, len(_PREFIXES) - 1)
    return f"{value / 1000**power:.3g} {_PREFIXES[power]}{unit}".strip()


def seconds(row: dict[str, Any]) -> str:
    """A row's seconds as "2.41 ± 0.05"; empty where none were measured."""
    sd = row["seconds_sd"]
    return _plain(row["seconds"]) + ("" if pd.isna(sd) else f" ± {sd:.2g}")


def sharing(runs: pd.DataFrame) -> list[str]:
    """What the seconds mean, for below a table: nothing where none were measured."""
    done = finished(runs)
    if METRICS["seconds"] not in done or done[METRICS["seconds"]].isna().all():
        return []
    where = "/".join(sorted(done["device"].astype(str).unique()))
    text = (
        f"s per run-epoch (device {where}): an epoch's seconds, median over epochs, divided by the "
        "runs that trained together"
    )
    groups = sorted(set(done[TOGETHER]) - {""}) if TOGETHER in done else []
    if groups:
        text += f"; {'; '.join(groups)} trained together, so their seconds are their stack's mean"
    return [text]


def _times(ratio: float) -> str:
    return f"{ratio:.3g}×" if math.isfinite(ratio) else ""


def _plain(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else ""

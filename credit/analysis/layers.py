"""Per-layer tables: the direction of the credit, and the scale of what it is compared with."""

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from credit.analysis import published
from credit.analysis.audits import sample_floor
from credit.analysis.selection import configuration, finished, in_order, metric, pick
from credit.errors import CreditError
from credit.tracking.reader import Reader

OK, AT_FLOOR, UNKNOWN = "ok", "reference_at_floor", "not measured"
_NAN = float("nan")


def layer_tables(reader: Reader, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The per-layer diagnostics of every finished run, by run id: raw values and their status."""
    return {run_id: _layer_table(reader, run_id) for run_id in finished(runs)["run_id"]}


def _layer_table(reader: Reader, run_id: str) -> pd.DataFrame:
    path = reader.artifact(run_id, "diagnostics/layers.csv")
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:  # pandas' own are ValueErrors
        raise CreditError(f"diagnostics/layers.csv of run {run_id} is no table: {error}") from error
    if "layer" not in table:
        raise CreditError(f"diagnostics/layers.csv of run {run_id} has no column 'layer'")
    return table


def direction(runs: pd.DataFrame, layers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Direction and scale per layer of fully trained nets, by rule and penalty.

    Args:
        runs: of `Reader.runs`; those with k < L are not used.
        layers: `layer_tables`; runs that are missing there have no raw cosine.

    Returns:
        Columns rule, penalty, layer; alignment and its sd (ddof 1) over the n seeds at which it is
        valid, of `seeds` in all; status ("ok", or why not, where any seed is not valid);
        raw_cosine, over all seeds, valid or not; hidden_norm, grad_norm, credit_norm: medians over
        seeds of medians over samples; reference_floor, for |g|; and the reported values.

    Raises:
        CreditError: there are no runs, or they differ in more than rule, k, seed and penalty.
    """
    config = configuration(runs, vary=("rule", "k", "seed", "penalty"))
    depth, floor = int(config["depth"]), sample_floor(config)
    done = pick(finished(runs), k=depth)
    rows = []
    for rule in in_order(runs["rule"]):
        for penalty in sorted(pick(runs, rule=rule)["penalty"].unique()):
            own = pick(done, rule=rule, penalty=penalty)
            for layer in range(depth + 1):
                row = _layer_row(own, layer, layers, floor)
                rows.append({"rule": rule, "penalty": float(penalty), "layer": layer, **row})
    names = ("dataset", "width", "depth", "epochs")
    reported = published.reported_direction(**{name: config[name] for name in names})
    if not published.follows_recipe(pick(runs, rule="dfa")):
        reported = reported.iloc[:0]
    return pd.DataFrame(rows).merge(reported, on=["rule", "penalty", "layer"], how="left")


def _layer_row(
    runs: pd.DataFrame, layer: int, layers: Mapping[str, pd.DataFrame], floor: float
) -> dict[str, object]:
    key = f"h{layer:02d}"
    cosines = pd.Series(metric(runs, f"alignment/{key}"), dtype=float)
    grads = pd.Series(metric(runs, f"grad_norm/{key}"), dtype=float)
    statuses: list[str] = []
    raw: list[float] = []
    ordered = list(runs.sort_values("seed")["run_id"])
    for run_id, cosine, grad in zip(ordered, cosines, grads, strict=True):
        stored = layers.get(run_id)
        if stored is not None:
            row = pick(stored, layer=layer).to_dict("records")[0]
            statuses.append(str(row["status"]))
            raw.append(float(row["alignment_mean"]))
        elif math.isfinite(cosine):
            statuses.append(OK)
            raw.append(cosine)
        else:
            statuses.append(AT_FLOOR if grad <= floor else UNKNOWN)
            raw.append(_NAN)
    return {
        "alignment": cosines.mean(),
        "alignment_sd": cosines.std(ddof=1),
        "n": int(cosines.notna().sum()),
        "seeds": len(runs),
        "status": _status(statuses),
        "raw_cosine": pd.Series(raw, dtype=float).mean(),
        "hidden_norm": pd.Series(metric(runs, f"hidden_norm/{key}"), dtype=float).median(),
        "grad_norm": grads.median(),
        "credit_norm": pd.Series(metric(runs, f"credit_norm/{key}"), dtype=float).median(),
        "reference_floor": floor,
    }


def _status(statuses: Iterable[str]) -> str:
    """One status for all seeds: "ok", or each other one with the number of seeds."""
    counts = pd.Series(list(statuses), dtype=str).value_counts()
    if counts.empty:
        return UNKNOWN
    bad = {name: count for name, count in counts.items() if name != OK}
    if not bad:
        return OK
    total = int(counts.sum())
    return ", ".join(f"{n}" if c == total else f"{n} ({c} of {total})" for n, c in bad.items())

"""Quantities along the hidden states of a network, and over its epochs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from credit.lab.frame import Frame, finished, pick
from credit.lab.quantity import Quantity
from credit.lab.source import Reported, Source
from credit.lab.table import spread, spreads

OK = "ok"
MEDIANS = ("hidden_norm", "grad_norm", "credit_norm", "sensitivity")
RAW = Quantity(
    "raw_cosine",
    "raw/deep",
    "raw cosine",
    "cosine of a_l and g_l, whether or not float64 is known to find the same g_l",
)


def layer_table(frame: Frame, source: Source, reported: Sequence[Reported] = ()) -> pd.DataFrame:
    """Return one row per cell and hidden state h_0 … h_L, of finished runs at their last epoch.

    Args:
        reported: values whose factors include "layer"; the quantity's name is a column's.

    Returns:
        The factors, layer; alignment, its sd (ddof 1) and n, over the seeds at which it is valid;
        seeds, all of them; status ("ok", or why not, where any seed is not valid); agreement, the
        least; raw_cosine, over all seeds, valid or not; hidden_norm, grad_norm, credit_norm,
        sensitivity: medians over seeds of medians over samples; reference_floor of D2;
        `reported_NAME` where anything was. Nan where runs are older than a measurement.

    Raises:
        CreditError: the diagnostics of a run are missing or no table.
    """
    rows = []
    for labels, done in _done(frame):
        layers = pd.concat([source.layers(run_id) for run_id in done["run_id"]])
        layers = layers.reindex(columns=layers.columns.union([*MEDIANS, "agreement"], sort=False))
        for layer, own in layers.groupby("layer"):
            valid = own["alignment_mean"].where(own["status"] == OK)
            row = {
                **labels,
                "layer": int(layer),  # pyright: ignore[reportArgumentType]
                "alignment": valid.mean(),
                "alignment_sd": valid.std(ddof=1),
                "n": int(valid.count()),
                "seeds": len(own),
                "status": _status(own["status"]),
                "agreement": own["agreement"].min(),
                "raw_cosine": own["alignment_mean"].mean(),
                **{name: own[name].median() for name in MEDIANS},
                "reference_floor": own["reference_floor"].iloc[0],
            }
            for one in reported:
                row[f"reported_{one.quantity.name}"], _ = one.find(row, done)
            rows.append(row)
    return pd.DataFrame(rows)


def _done(frame: Frame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the labels of every cell with finished runs, and these by seed."""
    for labels in frame.cells():
        done = pick(frame.done, labels).sort_values("seed")
        if len(done):
            yield labels, done


def _status(found: pd.Series) -> str:
    """Return "ok", or each other status, with its seeds where it is not that of all."""
    bad = found.loc[found != OK].value_counts()
    shown = (f"{why} ({n} of {len(found)})" if n < len(found) else why for why, n in bad.items())
    return ", ".join(map(str, shown)) or OK


def with_raw(runs: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the runs with a column raw/hNN per hidden state: RAW, which is no metric."""
    own = {i: source.layers(run_id) for i, run_id in finished(runs)["run_id"].items()}
    rows = {i: layers.set_index("layer")["alignment_mean"] for i, layers in own.items()}
    return runs.join(pd.DataFrame(rows).T.rename(columns=lambda layer: f"raw/h{layer:02d}"))


def at_layer(quantity: Quantity, layer: int) -> Quantity:
    """Return a quantity of one hidden state: the metric `alignment/h03` of `alignment/deep`."""
    return replace(quantity, metric=f"{quantity.metric.partition('/')[0]}/h{layer:02d}", of=None)


def layer_means(frame: Frame, quantities: Sequence[Quantity]) -> pd.DataFrame:
    """Return one row per cell and hidden state h_0 … h_L: means over the finished runs.

    Returns:
        The factors, layer, n; of each quantity its mean, `_sd` and `_n`, as a table has them.
    """
    rows = [
        {**labels, "layer": layer, "n": len(done)}
        | spreads((at_layer(one, layer) for one in quantities), done)
        for labels, done in _done(frame)
        for layer in range(int(done["depth"].max()) + 1)
    ]
    return pd.DataFrame(rows)


def by_epoch(history: pd.DataFrame) -> pd.DataFrame:
    """Return logged values by run and step, a column per metric; of one logged twice the last."""
    points = history.drop_duplicates(["run_id", "key", "step"], keep="last")
    return points.pivot(index=["run_id", "step"], columns="key", values="value")


def curves(frame: Frame, source: Source, quantities: Sequence[Quantity]) -> pd.DataFrame:
    """Return one row per finished run and epoch at which it logged one of the quantities.

    Returns:
        The factors, seed, epoch, and a column per quantity, nan at epochs without a valid value.
    """
    done = frame.done
    keys = list(dict.fromkeys([*(factor.name for factor in frame.factors), "seed"]))
    metrics = {q.key(depth) for q in quantities for depth in set(done["depth"])}
    logged = by_epoch(source.history(done["run_id"], sorted(metrics))).reset_index()
    who = done[list(dict.fromkeys(["run_id", "depth", *keys]))]
    rows = who.merge(logged.rename(columns={"step": "epoch"}), on="run_id")
    found = rows[[*keys, "epoch"]].assign(**{q.name: q.values(rows) for q in quantities})
    return found.sort_values([*keys, "epoch"], ignore_index=True)


def over_seeds(
    courses: pd.DataFrame, factors: Sequence[str], quantities: Sequence[Quantity]
) -> pd.DataFrame:
    """Return `curves` over seeds: a row per cell and epoch, quantities as a table has them, n."""
    rows = []
    for key, own in courses.groupby([*factors, "epoch"], sort=False):
        row = dict(zip([*factors, "epoch"], key, strict=True))
        for quantity in quantities:
            row |= spread(quantity, own[quantity.name])
        rows.append({**row, "n": len(own)})
    return pd.DataFrame(rows)

"""The direction of the credit and the scale of what it is compared with, layer by layer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from credit.lab.frame import Frame, finished, pick
from credit.lab.quantity import Quantity
from credit.lab.reported import Reported
from credit.lab.source import Source
from credit.lab.table import cells, spread

OK = "ok"
MEDIANS = ("hidden_norm", "grad_norm", "credit_norm")
RAW = Quantity(
    "raw_cosine",
    "raw/deep",
    "raw cosine",
    "cosine of a_l and g_l where g_l may lie below its floor: rounding, not alignment",
)


def layer_table(frame: Frame, source: Source, reported: Sequence[Reported] = ()) -> pd.DataFrame:
    """Return one row per cell and hidden state h_0 … h_L, of finished runs at their last epoch.

    Args:
        reported: values whose factors include "layer"; the quantity's name is a column's.

    Returns:
        The factors, layer; alignment, its sd (ddof 1) and n, over the seeds at which it is valid;
        seeds, all of them; status ("ok", or why not, where any seed is not valid); raw_cosine, over
        all seeds, valid or not; hidden_norm, grad_norm, credit_norm: medians over seeds of medians
        over samples; reference_floor of |g|; `reported_NAME` where anything was.

    Raises:
        CreditError: the diagnostics of a run are missing or no table.
    """
    rows = []
    for labels in cells(frame):
        done = pick(frame.done, labels).sort_values("seed")
        if done.empty:
            continue
        layers = pd.concat([source.layers(run_id) for run_id in done["run_id"]])
        for layer, own in layers.groupby("layer"):
            row = {**labels, "layer": int(layer), **_row(own)}  # pyright: ignore[reportArgumentType]
            for one in reported:
                row[f"reported_{one.quantity.name}"], _ = one.find(row, done)
            rows.append(row)
    return pd.DataFrame(rows)


def with_raw(runs: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the runs with a column raw/hNN per hidden state: RAW, which is no metric."""
    own = {i: source.layers(run_id) for i, run_id in finished(runs)["run_id"].items()}
    rows = {i: layers.set_index("layer")["alignment_mean"] for i, layers in own.items()}
    return runs.join(pd.DataFrame(rows).T.rename(columns=lambda layer: f"raw/h{layer:02d}"))


def _row(own: pd.DataFrame) -> dict[str, Any]:
    valid = own["alignment_mean"].where(own["status"] == OK)
    return {
        "alignment": valid.mean(),
        "alignment_sd": valid.std(ddof=1),
        "n": int(valid.count()),
        "seeds": len(own),
        "status": _status(own["status"]),
        "raw_cosine": own["alignment_mean"].mean(),
        **{name: own[name].median() for name in MEDIANS},
        "reference_floor": own["reference_floor"].iloc[0],
    }


def _status(found: pd.Series) -> str:
    """Return "ok", or each other status, with its seeds where it is not that of all."""
    bad = found.loc[found != OK].value_counts()
    shown = (f"{why} ({n} of {len(found)})" if n < len(found) else why for why, n in bad.items())
    return ", ".join(map(str, shown)) or OK


def at_layer(quantity: Quantity, layer: int) -> Quantity:
    """Return a quantity of one hidden state: the metric `alignment/h03` of `alignment/deep`."""
    return replace(quantity, metric=f"{quantity.metric.partition('/')[0]}/h{layer:02d}", of=None)


def layer_means(frame: Frame, quantities: Sequence[Quantity]) -> pd.DataFrame:
    """Return one row per cell and hidden state h_0 … h_L: means over the finished runs.

    Returns:
        The factors, layer, n; of each quantity its mean, `_sd` and `_n`, as a table has them.
    """
    rows = []
    for labels in cells(frame):
        done = pick(frame.done, labels).sort_values("seed")
        for layer in range(int(done["depth"].max()) + 1 if len(done) else 0):
            row: dict[str, Any] = {**labels, "layer": layer, "n": len(done)}
            for quantity in quantities:
                row |= spread(quantity, at_layer(quantity, layer).values(done))
            rows.append(row)
    return pd.DataFrame(rows)

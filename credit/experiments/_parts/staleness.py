"""Staleness: the Γ of an epoch's first estimator as the network moves away from it."""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from credit.lab import Frame, Quantity
from credit.lab.layers import by_epoch
from credit.lab.measure import Measure, gap, share, value
from credit.lab.protocol import POOR
from credit.lab.table import spreads
from credit.spec import warmup_epochs

MOMENTS = ("now", "steps", "epoch", "fresh")
"""The estimator of an epoch's beginning on the network of then, some steps later and at the epoch's
end, and the up-to-date estimator there; all on held-out samples."""
KINDS = {"": "l ≥ 1", "_inner": "l < L"}
WHENS = {"mean": "mean after warm-up", "last": "last measured"}


def stored(moment: str, kind: str) -> str:
    """Return the metric of a moment, `kind` one of KINDS."""
    return f"alignment/deep{kind}" if moment == "fresh" else f"staleness/{moment}{kind}"


def moment(name: str, kind: str = "", when: str = "mean") -> Quantity:
    """Return the quantity of a moment, or of the share "lost" from now to the epoch's end."""
    column = f"stale/{name}{kind}/{when}"
    return Quantity(name, column, f"Γ {name}, {KINDS[kind]}", f"{WHENS[when]}")


SERIES = {stored(name, kind) for name in MOMENTS for kind in KINDS}
"""The metrics that `with_staleness` needs."""


def with_staleness(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with the columns of `moment` and `stale/epochs`.

    A mean is over the measured epochs after the warm-up at which all moments are valid. The share
    lost is nan where Γ now is below POOR: there is nothing to lose.
    """
    rows = runs.to_dict("records")
    warm = {r["run_id"]: warmup_epochs(r["warmup_ratio"], r["epochs"]) for r in rows}
    series = by_epoch(history.loc[history["step"] > history["run_id"].map(warm).astype(float)])
    found: dict[str, Any] = {}
    absent = pd.Series(math.nan, runs.index)
    for kind in KINDS:
        keys = [stored(name, kind) for name in MOMENTS]
        whole = series.reindex(columns=keys).dropna().groupby(level="run_id")
        means: Any = whole.mean()
        for name, key in zip(MOMENTS, keys, strict=True):
            found[moment(name, kind).metric] = runs["run_id"].map(means[key]).astype(float)
            found[moment(name, kind, "last").metric] = runs.get(key, absent)
        for when in WHENS:
            now, end = (found[moment(name, kind, when).metric] for name in ("now", "epoch"))
            found[moment("lost", kind, when).metric] = ((now - end) / now).where(now >= POOR)
        if not kind:
            found["stale/epochs"] = runs["run_id"].map(whole.size()).fillna(0).astype(int)
    return runs.assign(**found)


def lost(cell: Mapping[str, Any]) -> Measure:
    """Return the measure of the share of Γ that a cell loses within an epoch."""

    def of(kind: str) -> Measure:
        now, end = moment("now", kind), moment("epoch", kind)
        return share(gap(cell, None, (now,), less=end), value(cell, (now,)), POOR)

    return lambda frame: {KINDS[kind]: s for kind in KINDS for s in of(kind)(frame).values()}


def staleness_table(frame: Frame, cells: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return Γ at the four moments by cell, range of layers and time."""
    rows = []
    for cell in cells:
        asked = frame.at(cell)
        own = asked.loc[asked.index.isin(frame.done.index)]
        for kind, when in itertools.product(KINDS, WHENS):
            row = {**cell, "layers": KINDS[kind], "when": WHENS[when]}
            row["steps_later"] = int(asked["stale_steps"].iloc[0])
            row |= spreads((moment(name, kind, when) for name in (*MOMENTS, "lost")), own)
            epochs = int(own["stale/epochs"].min()) if len(own) else 0
            rows.append({**row, "epochs": epochs, "n": len(own)})
    return pd.DataFrame(rows)

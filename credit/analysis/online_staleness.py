"""Staleness: what the estimator of an epoch's beginning is worth as the network moves away.

Four moments of a measured epoch, all on held-out samples: `now`, the kept estimator on the network
of that moment; `steps`, on the network a few steps later; `epoch`, on the network at the epoch's
end; and `fresh`, the up-to-date estimator there.
"""

from typing import Any

import pandas as pd

from credit import audit
from credit.analysis import cost
from credit.analysis.cells import formatted, spread
from credit.analysis.online import BASELINE, cells_of, place_columns, with_cells
from credit.analysis.online_choice import KEYS as CHOICE_KEYS
from credit.analysis.online_choice import with_choice
from credit.analysis.selection import finished, metric, pick
from credit.spec import warmup_epochs
from credit.tracking.reader import Reader

MOMENTS = ("now", "steps", "epoch", "fresh")
LOST = "lost"
"""The share of Γ that the kept estimator loses within the epoch: (now − epoch) / now."""
KINDS = {"": "l ≥ 1", "_inner": "l < L"}
"""By ending of the metrics' names, over which hidden states they are means."""
WHENS = {"mean": "mean after warm-up", "last": "last measured"}


def metric_of(moment: str, kind: str) -> str:
    """The metric of a moment, `kind` one of KINDS."""
    return f"alignment/deep{kind}" if moment == "fresh" else f"staleness/{moment}{kind}"


KEYS = tuple(metric_of(moment, kind) for moment in MOMENTS for kind in KINDS)
"""The series that `with_staleness` needs."""


def column(moment: str, kind: str = "", when: str = "mean") -> str:
    """The column of `with_staleness` for a moment, or for LOST."""
    return f"stale/{moment}{kind}/{when}"


def load(reader: Reader, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of `Reader.runs` with staleness, costs, and what the choice of a cell stands on."""
    history = reader.history(runs["run_id"], sorted({*KEYS, *CHOICE_KEYS, *cost.KEYS}))
    return cost.with_costs(with_choice(with_staleness(runs, history), history), history)


def with_staleness(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The runs with a `column` for each moment and for LOST, and `stale/epochs`.

    A mean is over the measured epochs after the warm-up at which all four moments are valid;
    `stale/epochs` is how many these are, over all h_l with l >= 1. LOST is nan where `now` is below
    what the protocol calls a direction (.05): there is nothing to lose.

    Args:
        runs: of `Reader.runs`.
        history: of `Reader.history` for them, with KEYS among its keys.
    """
    found = runs.copy()
    warm = {
        run["run_id"]: warmup_epochs(run["warmup_ratio"], run["epochs"])
        for run in runs.to_dict("records")
    }
    known = history.loc[history["run_id"].isin(list(warm))]
    own = known.loc[known["step"] > known["run_id"].map(warm).astype(float)]
    for kind in KINDS:
        keys = [metric_of(moment, kind) for moment in MOMENTS]
        series = own.loc[own["key"].isin(keys)].pivot_table(
            index=["run_id", "step"], columns="key", values="value", aggfunc="last"
        )
        whole = series.reindex(columns=keys).dropna().groupby(level="run_id")
        means, counts = whole.mean(), whole.size()
        for moment, key in zip(MOMENTS, keys, strict=True):
            found[column(moment, kind)] = found["run_id"].map(means[key]).astype(float)
            last = found[key] if key in found else pd.Series(float("nan"), index=found.index)
            found[column(moment, kind, "last")] = last.astype(float)
        for when in WHENS:
            now, later = (found[column(moment, kind, when)] for moment in ("now", "epoch"))
            found[column(LOST, kind, when)] = ((now - later) / now).where(now >= audit.POOR)
        if not kind:
            found["stale/epochs"] = found["run_id"].map(counts).fillna(0).astype(int)
    return found


def staleness(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ at the four moments by cell of a learned rule, over two ranges of layers, at two times.

    Args:
        runs: of `with_staleness`.

    Returns:
        Columns arm, warmup, tgw, cell, layers (KINDS), when (WHENS), steps_later; for each moment
        and LOST its mean, `_sd` (ddof 1) and `_n`; epochs (the fewest of any seed that a mean is
        over), n (finished runs).

    Raises:
        CreditError: as `online.with_cells`.
    """
    named = with_cells(runs)
    done, rows = finished(named), []
    for cell in cells_of(named):
        if cell.arm == BASELINE:
            continue
        own = pick(done, cell=str(cell))
        for kind, layers in KINDS.items():
            for when, words in WHENS.items():
                row: dict[str, Any] = {**cell._asdict(), "cell": str(cell)}
                row |= {"layers": layers, "when": words}
                row["steps_later"] = int(pick(named, cell=str(cell))["stale_steps"].iloc[0])
                for name in (*MOMENTS, LOST):
                    row |= spread(name, metric(own, column(name, kind, when)))
                row["epochs"] = int(own["stale/epochs"].min()) if len(own) else 0
                rows.append(row | {"n": len(own)})
    names = ("arm", "warmup", "tgw", "cell", "layers", "when", "n")
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(names))


def wide(table: pd.DataFrame, when: str = WHENS["mean"]) -> pd.DataFrame:
    """One time of `staleness` as strings."""
    own = pick(table, when=when).reset_index(drop=True)
    if own.empty:
        return own
    steps = "/".join(str(n) for n in sorted(set(own["steps_later"])))
    heads = {"now": "Γ now", "steps": f"{steps} steps later", "epoch": "an epoch later"}
    heads |= {"fresh": "up to date", LOST: "share lost"}
    cells = formatted(own, heads)
    if when == WHENS["mean"]:
        cells["epochs"] = own["epochs"].tolist()
    return pd.concat([place_columns(own), own[["layers"]], cells], axis=1)

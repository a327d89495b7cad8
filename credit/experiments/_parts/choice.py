"""Which cell of a scan goes on to more seeds.

The best has the highest S1 = Γ − Γ_dfa of the same seed; of equals the one with the higher S2 = ρ −
ρ_dfa, then the one with fewer settings of its own. Cells are compared at one epoch per seed: the
last measured one at which dfa's reference is valid, if every warm-up of the scan is over by then,
because a cell's network trains on dfa's credit before. Seeds on which there is none do not choose;
without any, Γ itself chooses, of equals ρ, at the last epoch, and nothing says that a cell is ahead
of dfa.

Both are measured on held-out samples, which are test samples: the choice is the largest of many,
and its S1 on the seeds that chose it is biased upwards. Test accuracy takes no part.
"""

import math
from collections.abc import Collection

import pandas as pd

from credit.lab.frame import IRRELEVANT, finished
from credit.lab.layers import by_epoch
from credit.lab.quantity import GAMMA, RHO, VALID
from credit.spec import RunSpec, field_types, warmup_epochs

BASELINE = "dfa"
STANDING = ("bp", "oracle", BASELINE)
"""Rules that learn no credit: they have no warm-up."""
KEYS = (GAMMA.metric, RHO.metric, VALID)
"""The series that `with_choice` needs."""
EPOCH, AT_GAMMA, AT_RHO = "choice/epoch", "choice/Γ", "choice/ρ"
"""Columns of `with_choice`: the epoch at which cells of a run's seed are compared, and Γ and ρ
there."""
CELL = [name for name in field_types() if name not in IRRELEVANT | {"seed"}]
"""Fields in which the runs of a cell agree."""


def with_choice(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with EPOCH, AT_GAMMA, AT_RHO, and `choice/S1` where EPOCH is not the last.

    Args:
        history: of the runs, with KEYS among its keys.
    """
    series = by_epoch(history.astype({"step": float})).reindex(columns=list(KEYS))
    series = series.loc[series[GAMMA.metric].notna() & (series[VALID] != 0)]
    base = finished(runs.loc[runs["rule"] == BASELINE])[["run_id", "seed"]]
    late = series.reset_index().merge(base, on="run_id")
    late = late.loc[late["step"] > _longest_warmup(runs)]
    epochs = runs["seed"].map(late.groupby("seed")["step"].max()).astype(float)
    at = series.reindex(pd.MultiIndex.from_arrays([runs["run_id"], epochs])).set_axis(runs.index)
    found = runs.assign(**{EPOCH: epochs, AT_GAMMA: at[GAMMA.metric], AT_RHO: at[RHO.metric]})
    theirs = found["seed"].map(_baseline(found).set_index("seed")[AT_GAMMA])
    early = ~found["rule"].isin(STANDING) & (epochs < found["epochs"])
    return found.assign(**{"choice/S1": (found[AT_GAMMA] - theirs).round(12).where(early)})


def choose(runs: pd.DataFrame, seeds: Collection[int]) -> RunSpec | None:
    """Return the cell that the scan chooses: finished runs that differ in their seed only.

    A cell can be chosen if its Γ is valid at the last epoch and where cells are compared, on every
    one of `seeds` that chooses. There is none before a run of dfa has ended.

    Args:
        runs: of `with_choice`.
        seeds: those that choose; runs of others do not count.
    """
    runs = runs.loc[runs["seed"].isin(seeds)]
    base = _baseline(runs)
    ended = runs.loc[(runs["rule"] == BASELINE) & runs["status"].isin(["FINISHED", "FAILED"])]
    own = finished(runs.loc[~runs["rule"].isin(STANDING)], GAMMA.metric)
    own = own.loc[own[VALID] != 0] if VALID in own else own
    asked = set(base["seed"]) or set(own["seed"])
    own = own.loc[own["seed"].isin(asked)]
    own = own.merge(base[["seed", AT_GAMMA, AT_RHO]], on="seed", how="left", suffixes=("", "_dfa"))
    found = []
    for _, cell in own.groupby(CELL, sort=False):
        rank = _rank(cell, bool(len(base)))
        if len(cell) == len(asked) and not math.isnan(rank[0]) and len(ended):
            row = cell.to_dict("records")[0]
            settings = [str(row[name]) for name in CELL if row[name] != getattr(RunSpec, name)]
            found.append((-rank[0], -rank[1], len(settings), settings, row))
    if not found:
        return None
    *_, first = min(found, key=lambda own: own[:-1])
    return RunSpec.from_mapping({name: first[name] for name in field_types()})


def how(runs: pd.DataFrame, seeds: Collection[int]) -> str:
    """Return by what `choose` chooses."""
    base = _baseline(runs.loc[runs["seed"].isin(seeds)])
    if base.empty:
        return "the highest Γ itself: dfa's reference is valid at no epoch to compare at"
    when = ", ".join(f"{epoch:.0f}" for epoch in base[EPOCH])
    return f"the highest S1 at dfa's last epoch with a valid reference: {when}"


def scan_seeds(runs: pd.DataFrame) -> list[int]:
    """Return the seeds on which every cell of a rule that learns was run."""
    own = runs.loc[~runs["rule"].isin(STANDING)]
    seeds = [set(cell["seed"].astype(int)) for _, cell in own.groupby(CELL, sort=False)]
    return sorted(set.intersection(*seeds)) if seeds else []


def _rank(cell: pd.DataFrame, paired: bool) -> tuple[float, float]:
    """Return S1 and S2 as means over seeds; without a valid dfa Γ and ρ at the last epoch."""
    if paired:
        gamma, rho = ((cell[k] - cell[f"{k}_dfa"]).round(12) for k in (AT_GAMMA, AT_RHO))
    else:
        gamma, rho = GAMMA.values(cell), RHO.values(cell)
    second = rho.mean(skipna=False)
    return gamma.mean(skipna=False), -math.inf if math.isnan(second) else second


def _baseline(runs: pd.DataFrame) -> pd.DataFrame:
    """Return dfa's run of each seed that chooses."""
    base = finished(runs.loc[runs["rule"] == BASELINE], AT_GAMMA)
    return base.sort_values("seed").drop_duplicates("seed", keep="last")


def _longest_warmup(runs: pd.DataFrame) -> int:
    own = runs.loc[~runs["rule"].isin(STANDING)]
    pairs = zip(own["warmup_ratio"], own["epochs"], strict=True)
    # after the last epoch no cell is compared: that it trained by dfa throughout is its setting
    return max((min(warmup_epochs(ratio, n), n - 1) for ratio, n in pairs), default=0)

"""The arms of an online scan together: their order by Γ, and seeds without a valid baseline."""

import itertools
from statistics import fmean
from typing import Any

from credit.experiments._parts.choice import BASELINE, scan_seeds
from credit.lab import Frame, Quantity, Undecided
from credit.lab import quantities as q
from credit.lab.measure import Found, Sample

BRIDGES = ("state_bridge", "credit_eT", "credit_deltaL")


def cells_of(frame: Frame, arm: str) -> list[dict[str, Any]]:
    """Return the cells of an arm, by warm-up and weight."""
    return [cell for cell in frame.cells() if cell["arm"] == arm]


def order_of(frame: Frame) -> Found:
    """Return by how much Γ of an arm is above that of one that precedes it on a frozen network.

    Each arm stands for its cell with the largest Γ. The largest of all such leads counts.
    """
    scanned, gammas = set(scan_seeds(frame.runs)), {}
    for arm in ("vector_field", *BRIDGES, BASELINE):
        samples = [frame.sample(cell, q.GAMMA) for cell in cells_of(frame, arm)]
        if samples:
            means = [fmean(v for seed, v in own.items() if seed in scanned) for own in samples]
            gammas[arm] = max(means)
    if len(gammas) < 3:
        raise Undecided(f"only {', '.join(gammas) or 'none'} of the arms were run")
    ahead = {
        f"{below} before {above}": round(gammas[below] - gammas[above], 12)
        for above, below in itertools.combinations(gammas, 2)
    }
    pair = max(ahead, key=lambda name: ahead[name])
    return {pair: [Sample(q.GAMMA, {None: ahead[pair]}, "+", len(scanned))]}


def invalid_baseline(frame: Frame) -> Found:
    """Return on how many seeds dfa's reference is not valid at the last epoch."""
    own = frame.done.loc[frame.done["rule"] == BASELINE]
    if own.empty:
        raise Undecided("dfa has no finished run")
    lost = Quantity("lost", "", "seeds without a valid reference of dfa", "", ".0f")
    return {"": [Sample(lost, {None: float(q.GAMMA.values(own).isna().sum())}, "", len(own))]}

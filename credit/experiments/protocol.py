"""Protocol: when do its verdicts fire, how far may their bounds move, what do its controls say?

Every rule trains all blocks, measured at every epoch: the first epoch at which D1 or D2 fails, and
the range over which a bound could move without a verdict that changes. Arms change one thing: the
penalty on the branches, or no LayerNorm before the head. `fresh Γ` is the alignment under feedback
drawn anew at evaluation, which must vanish: what aligns is what the network has trained with.

    python -m entrypoints.protocol --preset quick   # 9 runs of 6 epochs
    python -m entrypoints.protocol                  # 36 runs of 30 epochs, 3 seeds

Published (d=256, L=4): for dfa D2 fires at epoch 3 to 4 and D1 at 8 to 11 of 100, for bp never; no
verdict changes while D1's bound lies in 12 to 693. 30 epochs without and with a penalty of 1e-2:
bp .585 and .532, dfa .301 and .360.
"""

import math

import pandas as pd

from credit.experiments._parts.grids import QUICK, helps
from credit.lab import AUTHORS, Check, Experiment, Factor, Frame, Options, Panel, Quantity, Reported
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.frame import finished
from credit.lab.layers import by_epoch
from credit.lab.looks import RULES
from credit.lab.measure import value
from credit.lab.options import items, listed, product
from credit.lab.protocol import MAX_GROWTH, POOR, SAMPLE_FLOOR, direction_checks, sample_floor_of
from credit.lab.quantity import VALID
from credit.lab.source import Source, Span
from credit.spec import RunSpec

ARM = Factor(
    "arm",
    {
        "plain": {"penalty": 0.0, "terminal_norm": True},
        "λ=1e-4": {"penalty": 1e-4, "terminal_norm": True},
        "λ=1e-2": {"penalty": 1e-2, "terminal_norm": True},
        "no norm": {"penalty": 0.0, "terminal_norm": False},
    },
)
RUNS = {"rules": "bp,fa,dfa", "measure_every": "1"}
PRESETS = {
    "published": {**RUNS, "arms": ",".join(ARM.levels), "seeds": "42,123,456", "epochs": "30"},
    "quick": {**RUNS, **QUICK, "arms": "plain,λ=1e-2,no norm", "seeds": "42"},
}


def _fires(check: str, name: str) -> Quantity:
    meaning = f"first measured epoch at which {check} fails, over the seeds on which it does"
    return Quantity(name, f"fires/{check}", f"{check} fires", meaning, ".1f")


D1_FIRES, D2_FIRES = _fires("D1", "d1_fires"), _fires("D2", "d2_fires")
FRESH = Quantity(
    "fresh",
    "fresh/deep_inner",
    "fresh Γ",
    "Γ below h_L under feedback drawn anew at evaluation, which must vanish",
)


def with_fires(runs: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the runs with the first measured epoch at which D1 and D2 fail; nan if they never do.

    A growth that is not finite is not logged, and fails.
    """
    found = runs.assign(**{D1_FIRES.metric: math.nan, D2_FIRES.metric: math.nan})
    done = finished(runs)
    keys = [VALID, q.GROWTH.metric, *map(q.GRADIENT.key, done["depth"].unique())]
    logged = by_epoch(source.history(done["run_id"], keys)).reindex(columns=keys).reset_index()
    for index, run in done.iterrows():
        series = logged.loc[logged["run_id"] == run["run_id"]].set_index("step")
        floor = sample_floor_of(run["reference_floor"], run["precision"])
        stable = series[q.GROWTH.metric] <= MAX_GROWTH
        above = series[q.GRADIENT.key(run["depth"])] > floor
        for quantity, kept in ((D1_FIRES, stable), (D2_FIRES, above)):
            found.loc[index, quantity.metric] = series.index[~kept].min()
    return found


def thresholds(frame: Frame) -> pd.DataFrame:
    """Return for D1 and D2 the range over which the bound could move without a change.

    Between the last value that passes and the first that fails, over all finished runs.
    """
    rows = []
    for check, quantity, bound in (("D1", q.GROWTH, MAX_GROWTH), ("D2", q.GRADIENT, SAMPLE_FLOOR)):
        values = quantity.values(frame.done).dropna()
        below, above = values[values <= bound], values[values > bound]
        rows.append((check, bound, below.max(), above.min(), len(below), len(above)))
    columns = ["check", "bound", "from", "to", "runs below", "runs above"]
    return pd.DataFrame(rows, columns=columns)


def grid(chosen: Options) -> list[RunSpec]:
    """Return rules x arms x seeds."""
    arms = [ARM[arm] for arm in items("arms", chosen["arms"])]
    return product(chosen, listed(chosen, "rules", "rule"), arms)


def checks(frame: Frame) -> Checks:
    """Return D1, D2 and direction of every cell, and that fresh feedback has no direction."""
    found = []
    for cell in frame.cells():
        place = frame.name({"arm": cell["arm"]})
        own = [*direction_checks(cell["rule"], cell)]
        if cell["rule"] != "bp":
            fresh = Check("fresh feedback", cell["rule"], value(cell, (FRESH,), size=True))
            own.append(fresh.below(POOR, mean=True))
        found += [check.having(place=place) for check in own]
    return found


REPORTED = (
    Reported(
        f"{AUTHORS} (ResMLP d=256 L=4, CIFAR-10, 30 epochs)",
        q.ACCURACY,
        ("rule", "arm"),
        {
            ("bp", "plain"): 0.585,
            ("bp", "λ=1e-2"): 0.532,
            ("dfa", "plain"): 0.301,
            ("dfa", "λ=1e-2"): 0.360,
        },
        {"width": 256, "depth": 4, "epochs": 30},
        options={"rules": "bp,dfa", "arms": "plain,λ=1e-2"},
    ),
    *(
        Reported(
            f"{AUTHORS} (ResMLP d=256 L=4, CIFAR-10, 100 epochs)",
            quantity,
            ("rule", "arm"),
            {("dfa", "plain"): epochs},
            {"width": 256, "depth": 4, "measure_every": 1},
            options={"rules": "bp,dfa", "arms": "plain", "epochs": "100"},
        )
        for quantity, epochs in ((D2_FIRES, Span(3, 4)), (D1_FIRES, Span(8, 11)))
    ),
)

EXPERIMENT = Experiment(
    kind="protocol",
    title="The protocol's own controls",
    question="When do D1 and D2 fire, how far could their bounds move, and does alignment vanish "
    "under fresh feedback?",
    factors=(RULES, ARM),
    presets=PRESETS,
    grid=grid,
    prepare=with_fires,
    columns=(
        *(q.ACCURACY, D1_FIRES, D2_FIRES, q.GROWTH, q.GRADIENT),
        *(q.GAMMA_MIDDLE, q.GAMMA_INNER, FRESH),
    ),
    checks=checks,
    headline="D1",
    figure=(
        Panel(q.GROWTH, x="epoch", by=("rule", "arm"), scale="log"),
        Panel(q.GRADIENT, x="epoch", by=("rule", "arm"), scale="log"),
    ),
    more=lambda frame, source: {"thresholds": thresholds(frame)},
    options=helps("rules", "seeds", arms=f"what is changed: {', '.join(ARM.levels)}"),
    fixed=("rule", "seed", "penalty", "terminal_norm"),
    reported=REPORTED,
    caveats=(
        "An epoch at which a verdict fires is the first that was measured; none: it never does.",
    ),
)

"""Credit scale: how much of a rule's accuracy is its credit's direction, how much the size of it?

norm(v) = v / (rms(v) + ε) gives every credit the same length only while rms(v) is well above ε.
Below it the credit shrinks, and with it the steps of the blocks: a brake. Runs differ in ε and in
the loss that the credit starts from, the batch's mean or its sum, a factor of batch_size apart.
With ε = 0 nothing brakes and both are one rule.

    python -m entrypoints.credit_scale --preset quick     # 16 runs, 1 min on 2 CPU cores
    python -m entrypoints.credit_scale --preset reduced   # 60 runs of 12 epochs: 40 min there
    python -m entrypoints.credit_scale                    # 60 runs of 100 epochs: for a GPU

Published (d=256, L=4, n=3, ε=1e-6): fa .402 with the mean and ‖h_L‖ 1e5, dfa .301 with the sum and
‖h_L‖ 5e8. Measured before at 40 epochs (n=1): fa .379 with the mean, .297 with the sum.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from credit.errors import CreditError
from credit.experiments import ladder
from credit.experiments._parts.grids import QUICK, helps
from credit.lab import AUTHORS, Check, Experiment, Factor, Frame, Options, Panel, Quantity, Reported
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.frame import Cell
from credit.lab.layers import curves, over_seeds
from credit.lab.looks import RULES
from credit.lab.measure import gap, share
from credit.lab.options import listed, product
from credit.lab.protocol import DEPTH_MARGIN, three_words
from credit.lab.source import Source
from credit.spec import RunSpec

SCALE = {
    "rules": "fa,dfa",
    "epss": "0,1e-12,1e-8,1e-6,1e-4",
    "reductions": "mean,sum",
    "seeds": "42,123,456",
    "measure_every": "5",
    "width": "256",
    "depth": "4",
}
PRESETS = {
    "published": SCALE,
    "reduced": {**SCALE, "epochs": "12", "measure_every": "4"},
    "quick": {
        **SCALE,
        **QUICK,
        "epss": "0,1e-8,1e-6,1e-4",
        "seeds": "42",
        "epochs": "4",
        "train_samples": "10000",
        "measure_every": "2",
    },
}
EPS = RunSpec.credit_eps
REDUCTIONS = {"fa": "mean", "dfa": "sum"}
"""The loss that the published runs of a rule start from."""
HALF = 0.5
"""The share of fa's lead from which on it is its direction. All other margins are DEPTH_MARGIN, the
protocol's 2 points: of agreement at ε = 0, where mean and sum differ by rounding alone, of what
counts as a difference, and of fa's lead, or there is none to explain. All were fixed before any
number was seen."""


def grid(chosen: Options) -> list[RunSpec]:
    """Return rules x reductions x ε x seeds, every block trained.

    Raises:
        CreditError: an option is not valid, or a rule learns its credit and so has no reduction.
    """
    from credit import rules  # here: it loads torch, which reading results does not need

    named, kinds = listed(chosen, "rules", "rule"), listed(chosen, "reductions", "credit_reduction")
    if {"credit_reduction": "published"} in kinds:
        raise CreditError(
            f"reductions={chosen['reductions']} has published, which stands for mean or sum, as "
            "each rule was published, and is no third value: pass mean, sum, or both"
        )
    if learned := [own["rule"] for own in named if rules.get(own["rule"]).learned]:
        raise CreditError(
            f"rules={chosen['rules']} has {learned[0]}, which learns its credit from each sample's "
            "own error, not from a mean or a sum: leave it out"
        )
    return product(chosen, named, kinds, listed(chosen, "epss", "credit_eps"))


PERCENT: dict[str, Any] = {"form": ".0f", "scale": 100, "unit": " %", "axis": "%"}


def sizes(layer: str, symbol: str, end: str) -> tuple[Quantity, Quantity]:
    """Return the rms of a layer's credit as `norm` is given it, and the share that `norm` keeps."""

    def rms(runs: pd.DataFrame) -> pd.Series:
        # measured on each sample's own error, whatever the rule trains on
        batch = runs["batch_size"].where(runs["credit_reduction"] == "mean", 1)
        norm = Quantity("", f"credit_norm/{layer}", "", "").values(runs)
        return norm * runs["width"].astype(float) ** -0.5 / batch

    def kept(runs: pd.DataFrame) -> pd.Series:
        return rms(runs) / (rms(runs) + runs["credit_eps"]).replace(0, np.nan)

    size = "root mean square of the credit of the batch's mean loss, or of its sum"
    share = "share rms / (rms + ε) of its full length that `norm` leaves the credit"
    return (
        Quantity(f"rms{end}", "", f"rms({symbol})", size, ".2g", over="median", log=True, of=rms),
        Quantity(f"kept{end}", "", f"kept of {symbol}", share, over="median", of=kept, **PERCENT),
    )


CREDIT_0 = Quantity(
    "credit_0", "credit_norm/h00", "‖a_0‖", "median norm of a_0", ".2g", over="median", log=True
)
(RMS, KEPT), (RMS_0, KEPT_0) = sizes("h{L}", "a_L", ""), sizes("h00", "a_0", "_0")
SIZES = (q.HIDDEN, q.CREDIT, CREDIT_0)
FACTORS = (
    RULES,
    Factor("reduction", of=lambda run: run["credit_reduction"]),
    Factor("eps", of=lambda run: run["credit_eps"], sign="ε="),
)


def cell(rule: str, reduction: str = "", eps: float = EPS) -> Cell:
    """Return a cell; by default as the rule was published."""
    own = reduction or REDUCTIONS.get(rule, "mean")
    return {"rule": rule, "reduction": own, "eps": eps}


def checks(frame: Frame) -> Checks:
    """Return for every rule whether its accuracy hangs on ε and reduction; what is fa's lead.

    A pass says that what was published does not hang on the size of the credit.
    """
    lead = gap(cell("fa"), cell("dfa"), q.POINTS)
    left = share(gap(cell("fa", eps=0.0), cell("dfa", eps=0.0), q.POINTS), lead, DEPTH_MARGIN)
    words = {"scale effect": -np.inf, "direction": HALF}
    named = RULES.in_order([*frame.labels("rule"), *REDUCTIONS])
    return [
        *(check for rule in named for check in scale_checks(rule)),
        Check("lead", "fa", lead).above(DEPTH_MARGIN, mean=True),
        Check("share of the lead", "fa", left, words=words).above(HALF),
    ]


def scale_checks(rule: str) -> list[Check]:
    """Return that mean and sum agree at ε = 0, and that neither ε nor reduction matters."""
    mean, total = (cell(rule, kind, 0.0) for kind in ("mean", "sum"))
    same = Check("mean = sum, eps 0", rule, gap(mean, total, q.POINTS, size=True))
    eps = Check(f"eps {EPS:g} - 0", rule, gap(cell(rule), cell(rule, eps=0.0), q.POINTS))
    kinds = gap(cell(rule, "mean"), cell(rule, "sum"), q.POINTS)
    kind = Check(f"mean - sum, eps {EPS:g}", rule, kinds)
    words = three_words("lower", "equal", "higher")
    bounds = {"mean": True, "strict": True, "words": words}
    return [
        same.below(DEPTH_MARGIN, strict=False),
        eps.within(DEPTH_MARGIN, **bounds),
        kind.within(DEPTH_MARGIN, **bounds),
    ]


def more(frame: Frame, source: Source) -> Mapping[str, pd.DataFrame]:
    """Return accuracy and sizes over epochs."""
    shown, names = (q.ACCURACY, *SIZES), [factor.name for factor in FACTORS]
    return {"epochs": over_seeds(curves(frame, source, shown), names, shown)}


FULL = {
    ("fa", "mean"): (ladder.D256["fa"][-1], 1e5),
    ("dfa", "sum"): (ladder.D256["dfa"][-1], 5e8),
}
EARLIER = {("fa", "mean"): (0.379, 2e5), ("fa", "sum"): (0.297, 3e6), ("dfa", "sum"): (0.300, 6e7)}
"""Accuracy and order of magnitude of ‖h_L‖ at ε = 1e-6 by rule and reduction; at 40 epochs."""
SOURCES = (
    (f"{AUTHORS} (ResMLP, CIFAR-10, 100 epochs, 3 seeds)", FULL, 100),
    ("measured before, with an independent plain implementation (40 epochs, n = 1)", EARLIER, 40),
)
REPORTED = tuple(
    Reported(
        source,
        quantity,
        ("rule", "reduction"),
        {key: pair[i] for key, pair in found.items()},
        {"width": 256, "depth": 4, "k": 4, "penalty": 0.0, "epochs": epochs},
    )
    for source, found, epochs in SOURCES
    for i, quantity in enumerate((q.ACCURACY, q.HIDDEN))
)

EXPERIMENT = Experiment(
    kind="credit_scale",
    title="Credit scale",
    question="How much of a rule's accuracy is the direction of its credit, and how much the size "
    "of it, which the ε of norm(v) = v / (rms(v) + ε) lets shrink?",
    factors=FACTORS,
    presets=PRESETS,
    grid=grid,
    columns=(
        *(q.ACCURACY, *q.DIRECTION, *SIZES, RMS, RMS_0, KEPT, KEPT_0),
        *(q.GROWTH, *q.COSTS),
    ),
    checks=checks,
    figure=(
        Panel(q.ACCURACY, x="eps", by=("rule", "reduction")),
        Panel(q.HIDDEN, x="eps", by=("rule", "reduction"), say="size of the last hidden state"),
        Panel(KEPT, x="eps", by=("rule", "reduction"), say="length that ε leaves the credit"),
    ),
    more=more,
    reported=REPORTED,
    options=helps(
        *("rules", "seeds"),
        epss="values of ε (credit_eps), comma-separated",
        reductions="losses whose gradient the credit starts from: mean, sum",
    ),
    fixed=("rule", "k", "seed", "credit_eps", "credit_reduction"),
    caveats=("Sizes are medians over held-out samples, then over seeds.",),
)

"""Depth scan: does a rule's accuracy rise, stay or fall as residual blocks are added, all trained?

The ladder trains more blocks of one network; here the network itself grows.

    python -m entrypoints.depth_scan --preset quick     # 12 runs, 2 min on 2 CPU cores
    python -m entrypoints.depth_scan --preset reduced   # 30 runs of 10 epochs: 20 min there
    python -m entrypoints.depth_scan                    # 90 runs of 100 epochs: for a GPU

Published (d=512, seed 42): dfa .312 at L=2 and .314 at L=4, credit bridge .311 and .298. A rule
that loses accuracy as blocks are added does not use them, whatever its credit.
"""

from collections.abc import Mapping

import pandas as pd

from credit.experiments import method_comparison as method
from credit.experiments._parts.grids import along, helps
from credit.lab import AUTHORS, Check, Experiment, Factor, Frame, Panel, Reported
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.layers import layer_table
from credit.lab.looks import RULES
from credit.lab.measure import course
from credit.lab.options import listed, product
from credit.lab.protocol import DEPTH_MARGIN, three_words
from credit.lab.source import Source
from credit.lab.table import across, long_table

WIDE = {**method.METHODS, "width": "512", "depths": "2,4,6,8,12"}
PRESETS = {
    "published": {**WIDE, "seeds": "42,123,456"},
    "reduced": {
        **WIDE,
        "seeds": "42",
        "epochs": "10",
        "warmup_ratio": "0.1",  # .05 of 10 epochs is none
        "train_samples": "5000",
        "directions": "8",
    },
    "quick": {**method.METHODS, **method.QUICK, "depths": "2,4"},
}


def checks(frame: Frame) -> Checks:
    """Return the shape of every rule's course, and that none falls where bp does not.

    DEPTH_MARGIN, the audit's 2 points, is what a change is; fixed before any number was seen.
    """
    rules = frame.labels("rule")
    shapes = {rule: shape(frame, rule) for rule in dict.fromkeys([*rules, "bp"])}
    stays = {
        rule: own.having(name="uses depth").above(-DEPTH_MARGIN, mean=True, strict=True)
        for rule, own in shapes.items()
    }
    bp = stays.pop("bp").having(name="does not fall")
    return [
        *(shapes[rule].above(DEPTH_MARGIN, mean=True) for rule in rules),
        bp,
        *(check.having(needs=(bp,)) for check in stays.values()),
    ]


def shape(frame: Frame, rule: str) -> Check:
    """Return the change of a rule's accuracy from its shallowest to its deepest network."""
    own = course(along(frame, "depth", {"rule": rule}), q.POINTS)
    words = three_words("falls", "stays", "rises")
    return Check("shape", rule, own, words=words)


def more(frame: Frame, source: Source) -> Mapping[str, pd.DataFrame]:
    """Return direction and norms by hidden state, and seconds with a column per depth."""
    seconds = across(long_table(frame, (q.SECONDS,)), q.SECONDS, "depth", ["rule"], "L=")
    return {"layers": layer_table(frame, source), "seconds": seconds}


CELLS = [(rule, depth) for rule in ("dfa", "credit_bridge") for depth in (2, 4)]
REPORTED = {
    q.ACCURACY: dict(zip(CELLS, (0.312, 0.314, 0.311, 0.298), strict=True)),
    q.GAMMA: dict(zip(CELLS, (0.196, 0.100, 0.175, 0.123), strict=True)),
}
SOURCE = f"{AUTHORS} (ResMLP d=512, CIFAR-10, 100 epochs, seed 42)"

EXPERIMENT = Experiment(
    kind="depth_scan",
    title="Depth scan",
    question="Does a rule's accuracy rise, stay or fall as residual blocks are added, all of them "
    "trained?",
    factors=(RULES, Factor("depth", sign="L=")),
    presets=PRESETS,
    grid=lambda chosen: product(
        chosen, listed(chosen, "depths", "depth"), listed(chosen, "rules", "rule")
    ),
    columns=(q.ACCURACY, q.TRAIN_ACCURACY, *method.COSTS, *method.CREDIT),
    checks=checks,
    headline="shape",
    figure=(
        Panel(q.ACCURACY, x="depth", by=("rule",), xscale="linear"),
        Panel(q.GAMMA, x="depth", by=("rule",), xscale="linear"),
    ),
    more=more,
    options=helps("rules", "depths", "seeds"),
    fixed=("rule", "depth", "k", "seed"),
    reported=tuple(
        Reported(SOURCE, quantity, ("rule", "depth"), values, {"width": 512})
        for quantity, values in REPORTED.items()
    ),
    caveats=(
        method.TOGETHER_CAVEAT,
        "Over which layers a reported Γ is a mean is not stated; ours is over h_1 … h_L. Those of "
        "dfa, .196 and .100 at L = 2 and 4 (and .030 at L = 12), are near .4/L, as if h_0, where "
        "dfa's cosine is near .4, were one of L layers and the others had none.",
    ),
)

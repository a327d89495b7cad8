"""Direction quality: where does a rule's credit point, with and without the branch penalty?

Every rule trains with every penalty on the residual branches, from the same initialisation and
feedback. Γ is judged at the middle layer, where float64 finds the same gradient; the table by layer
shows that agreement, and the raw cosine.

    python -m entrypoints.direction_quality --preset quick   # 2 runs, 10 s on 2 CPU cores
    python -m entrypoints.direction_quality                  # 2 runs of 100 epochs: 8 min there

Published (d=256, L=4, n=3), dfa without penalty: raw cosines .42, .006, -.015, -.004, -.004 at
h_0 … h_4, ‖h_L‖ 5e8 and ‖g_L‖ 1e-7 a sample.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from credit.experiments._parts.grids import QUICK, helps
from credit.experiments.ladder import OF_1024, of_mean
from credit.lab import AUTHORS, Experiment, Factor, Frame, Panel, Quantity, Reported
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.layers import RAW, at_layer, layer_table, with_raw
from credit.lab.looks import RULES
from credit.lab.options import listed, product
from credit.lab.protocol import MEDIOCRE, POOR, direction_checks, sample_floor

DIRECTION = {"rules": "dfa", "penalties": "0,0.01", "seeds": "42"}
PRESETS = {"published": DIRECTION, "quick": {**DIRECTION, **QUICK}}


def checks(frame: Frame) -> Checks:
    """Return D1, D2 and direction of every rule at every penalty."""
    return [
        check.having(place=frame.name({"penalty": cell["penalty"]}))
        for cell in frame.cells()
        for check in direction_checks(cell["rule"], cell)
    ]


SEEDS = {"seeds": "42,123,456"}
OF_FA = {**SEEDS, "rules": "fa", "penalties": "0"}
RAW_DEEP = Quantity(
    "raw_deep",
    "raw/deep",
    "raw cosine, mean over l ≥ 1",
    "cosine of a_l and g_l, whether or not g_l is above its floor",
    of=lambda runs: sum(at_layer(RAW, layer).values(runs) for layer in range(1, 5)) / 4,
)


def reported(
    rule: str, quantity: Quantity, values: Mapping[int, float] | float, **more: Any
) -> Reported:
    """Return what was published of a rule without penalty: by layer, or of the whole network."""
    cells = {(rule, 0.0): values}
    if isinstance(values, Mapping):
        cells = {(rule, 0.0, layer): value for layer, value in values.items()}
    return Reported(
        f"{AUTHORS} (ResMLP d=256 L=4, CIFAR-10, 100 epochs, 3 seeds)",
        quantity,
        ("rule", "penalty", "layer")[: len(next(iter(cells)))],
        cells,
        {"width": 256, "depth": 4, "credit_reduction": "sum" if rule == "dfa" else "mean"},
        options=SEEDS if rule == "dfa" else OF_FA,
        **more,
    )


RAW_COSINES = dict(enumerate((0.42, 0.006, -0.015, -0.004, -0.004)))
BY_LAYER = (
    reported("dfa", q.GAMMA, RAW_COSINES, measure=RAW),
    reported("dfa", q.HIDDEN, {4: 5e8}, rough=True),
)
REPORTED = (
    *BY_LAYER,
    reported("dfa", OF_1024, 1e-10, rough=True),
    reported("fa", q.HIDDEN, 1e5, rough=True),
    reported("fa", of_mean(128), 1e-6, rough=True),
    reported("fa", RAW_DEEP, 0.33),
    reported("fa", RAW_DEEP, 0.32, absent="of epoch 5, and runs are measured every 10 epochs"),
)
"""Cosines whatever the reference; norms as orders of magnitude."""
PER_SAMPLE = replace(BY_LAYER[0], quantity=q.GRADIENT, values={("dfa", 0.0, 4): 1e-10}, rough=True)
"""For the table by layer, whose norms are per sample."""
SERIES = ("rule", "penalty")
HIDDEN, GRADIENT, CREDIT = (
    replace(quantity, symbol=quantity.symbol.replace("_L", "_l"))
    for quantity in (q.HIDDEN, q.GRADIENT, q.CREDIT)
)
"""Of any layer, for the figure."""

EXPERIMENT = Experiment(
    kind="direction_quality",
    title="Direction of the credit",
    question="Where does a rule's credit point, compared with the exact gradient, and is that "
    "gradient a reference, without and with the residual-branch penalty?",
    factors=(RULES, Factor("penalty", sign="λ=")),
    presets=PRESETS,
    grid=lambda chosen: product(
        chosen, listed(chosen, "rules", "rule"), listed(chosen, "penalties", "penalty")
    ),
    prepare=with_raw,
    columns=(
        *(q.GAMMA_MIDDLE, *q.DIRECTION, q.COPY, q.COPY_INNER, q.GROWTH),
        *(q.GRADIENT, q.HIDDEN, q.CREDIT, q.SENSITIVITY, q.AGREEMENT, q.VALID_SEEDS, q.ACCURACY),
    ),
    checks=checks,
    headline="direction",
    figure=(
        Panel(
            q.GAMMA,
            x="layer",
            by=SERIES,
            invalid=RAW,
            beside=(q.COPY,),
            band=POOR,
            levels={"below:\nmediocre": MEDIOCRE},
        ),
        Panel(HIDDEN, x="layer", by=SERIES),
        Panel(GRADIENT, x="layer", by=SERIES, levels={"D2": sample_floor}, below=True),
        Panel(CREDIT, x="layer", by=SERIES),
    ),
    reported=REPORTED,
    more=lambda frame, source: {"layers": layer_table(frame, source, (*BY_LAYER, PER_SAMPLE))},
    options=helps("rules", "seeds", penalties="values of λ, comma-separated"),
    fixed=("rule", "seed", "penalty"),
    caveats=(
        "Raw cosines are not alignments where a layer's status is not ok: float64 finds another "
        "gradient there, or was not asked, and the gradient is small (reference_at_floor).",
        "Over how many samples a reported ‖g_L‖ is of a mean is not stated: 1024 is taken for dfa, "
        "and 128, a batch, for fa, which is reported above the floor.",
    ),
)

"""Direction quality: where does a rule's credit point, with and without the branch penalty?

Every rule trains with every penalty on the residual branches, from the same initialisation and
feedback. Γ is judged at the middle layer, where float64 finds the same gradient; the table by layer
shows that agreement, and the raw cosine.

    python -m entrypoints.direction_quality --preset quick   # 2 runs, 10 s on 2 CPU cores
    python -m entrypoints.direction_quality                  # 2 runs of 100 epochs: 8 min there

Published (d=256, L=4, n=3), dfa without penalty: raw cosines .42, .006, -.015, -.004, -.004 at
h_0 … h_4, ‖h_L‖ 5e8 and ‖g_L‖ 1e-7 a sample.
"""

from dataclasses import replace

from credit.experiments._shared import QUICK, helps, listed, product
from credit.lab import AUTHORS, Experiment, Factor, Frame, Panel, Reported
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.layers import RAW, layer_table, with_raw
from credit.lab.looks import RULES
from credit.lab.protocol import MEDIOCRE, POOR, direction_checks, sample_floor
from credit.lab.table import cells

DIRECTION = {"rules": "dfa", "penalties": "0,0.01", "seeds": "42"}
PRESETS = {"published": DIRECTION, "quick": {**DIRECTION, **QUICK}}


def checks(frame: Frame) -> Checks:
    """Return D1, D2 and direction of every rule at every penalty."""
    return [
        check.having(place=frame.name({"penalty": cell["penalty"]}))
        for cell in cells(frame)
        for check in direction_checks(cell["rule"], cell)
    ]


REPORTED = tuple(
    Reported(
        f"{AUTHORS} (ResMLP d=256 L=4, CIFAR-10, 100 epochs, 3 seeds)",
        quantity,
        ("rule", "penalty", "layer"),
        {("dfa", 0.0, layer): value for layer, value in values.items()},
        {"width": 256, "depth": 4, "credit_reduction": "sum"},
    )
    for quantity, values in (
        (q.GAMMA, dict(enumerate((0.42, 0.006, -0.015, -0.004, -0.004)))),
        (q.HIDDEN, {4: 5e8}),
        (q.GRADIENT, {4: 1e-10}),
    )
)
"""Cosines whatever the reference; norms as orders of magnitude. What reduction ‖g_L‖
was taken with is not stated; of the mean loss over 1024 samples it is 1e-7 a sample, which is how
this project states norms."""
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
    reported=REPORTED[:2],  # the figure's; ‖g_L‖ may be of another reduction
    more=lambda frame, source: {"layers": layer_table(frame, source, REPORTED)},
    options=helps("rules", "seeds", penalties="values of λ, comma-separated"),
    fixed=("rule", "seed", "penalty"),
    caveats=(
        "Raw cosines are not alignments where a layer's status is not ok: float64 finds another "
        "gradient there, or was not asked, and the gradient is small (reference_at_floor).",
    ),
)

"""The depth-utility ladder: does training more blocks raise accuracy?

Every rule trains the last k of L residual blocks, for k = 0 … L. A rule that uses depth climbs; one
that trains the readout alone stays flat, or falls.

    python -m entrypoints.ladder --preset quick   # 20 runs, 80 s on 2 CPU cores
    python -m entrypoints.ladder                  # 60 runs, 100 epochs: 1 h 45 min a seed there

Published (d=256, L=4, n=3), k = 0 and 4: bp .389 to .617, fa .355 to .402, dfa .349 to .301.
"""

from credit.experiments._parts.grids import QUICK, helps
from credit.lab import AUTHORS, Experiment, Factor, Frame, Options, Panel, Quantity, Reported
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.looks import RULES
from credit.lab.options import depth_of, fields, listed, product
from credit.lab.protocol import ends_of, ladder_checks
from credit.spec import RunSpec

LADDER = {"rules": "bp,oracle,fa,dfa", "ks": "all"}
PRESETS = {
    "published": {**LADDER, "seeds": "42,123,456"},
    "quick": {**LADDER, **QUICK, "seeds": "42", "measure_every": "6"},
}


def grid(chosen: Options) -> list[RunSpec]:
    """Return rules x ks x seeds."""
    rungs = [{"k": k} for k in range(depth_of(fields(chosen)) + 1)]
    ks = rungs if chosen["ks"] == "all" else listed(chosen, "ks", "k")
    return product(chosen, listed(chosen, "rules", "rule"), ks)


def checks(frame: Frame) -> Checks:
    """Return the audit protocol of every rule."""
    ends = ends_of("k", frame.depth, 0)
    return [check for rule in frame.labels("rule") for check in ladder_checks(rule, ends)]


D256 = {
    "bp": [(0.389, 0.001), (0.565, 0.003), (0.598, 0.003), (0.608, 0.001), (0.617, 0.002)],
    "fa": [(0.355, 0.003), (0.382, 0.008), (0.349, 0.016), (0.398, 0.008), (0.402, 0.009)],
    "dfa": [(0.349, 0.003), (0.244, 0.015), (0.286, 0.013), (0.296, 0.008), (0.301, 0.006)],
}
D512 = {
    "bp": [(0.386, 0.003), (0.583, 0.002), (0.603, 0.001)],
    "fa": [(0.359, 0.000), (0.412, 0.004), (0.361, 0.003)],
    "dfa": [(0.349, 0.005), (0.226, 0.015), (0.302, 0.005)],
}
"""Test accuracy by rule, mean and sample sd for k = 0, 1, …"""
SOURCE = f"{AUTHORS} (ResMLP, CIFAR-10, 100 epochs, 3 seeds)"
OF_D256 = {"width": 256, "depth": 4, "penalty": 0.0}
REPORTED = tuple(
    Reported(
        SOURCE,
        q.ACCURACY,
        ("rule", "k"),
        {(rule, k): pair for rule, row in ladder.items() for k, pair in enumerate(row)},
        {"width": width, "depth": depth, "penalty": 0.0},
        options={} if width == 256 else {"width": "512", "depth": "2"},
    )
    for ladder, width, depth in ((D256, 256, 4), (D512, 512, 2))
)


def of_mean(samples: int) -> Quantity:
    """Return ‖g_L‖ of the mean loss over some samples, which the reports do not state."""
    return Quantity(
        f"mean_gradient_{samples}",
        "grad_norm/h{L}",
        f"‖g_L‖ of a mean over {samples}",
        f"median norm of g_L per sample over {samples}",
        ".2e",
        of=lambda runs: q.GRADIENT.values(runs) / samples,
    )


OF_1024 = of_mean(1024)
"""The samples with which the protocol states the floor of D2."""
PROTOCOL = (
    *(
        Reported(SOURCE, quantity, ("rule", "k"), {(rule, 4): value}, OF_D256, bound=bound)
        for quantity, rule, value, bound in (
            (q.GROWTH, "bp", 11.0, "≤"),
            (q.GROWTH, "dfa", 694.0, "≥"),
            (OF_1024, "bp", 1.02e-4, "≥"),
            (OF_1024, "dfa", 4.2e-9, "≤"),
        )
    ),
    Reported(
        f"{AUTHORS} (one GPU, RTX A6000 class)",
        Quantity("hours", "", "hours of the 72 runs", "", ".0f"),
        (),
        {(): 7.0},
        absent="the reported GPU was not used",
    ),
)
"""Largest growth and smallest ‖g_L‖ of healthy and degenerate networks."""

EXPERIMENT = Experiment(
    kind="ladder",
    title="Depth-utility ladder",
    question="Does training more blocks raise accuracy?",
    factors=(RULES, Factor("k", sign="k=")),
    presets=PRESETS,
    grid=grid,
    columns=(q.ACCURACY,),
    checks=checks,
    headline="shape",
    figure=(Panel(q.ACCURACY, x="k", by=("rule",)),),
    options=helps("rules", "seeds", ks="trainable blocks, comma-separated; all is 0 to depth"),
    fixed=("rule", "k", "seed"),
    across="k",
    reported=(*REPORTED, *PROTOCOL),
    caveats=(
        "Most of the distance between a local rule and bp is the local recipe's, not the credit's: "
        "the oracle has perfect credit through the same recipe.",
        "Over how many samples a reported ‖g_L‖ of D2 is of a mean is not stated: 1024 is taken, "
        "as of its floor.",
    ),
)

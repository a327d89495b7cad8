"""Toy LQ: do rules that learn their credit find the exact costate where it is known?

A linear system with quadratic cost, no network: only the estimators train. Each seed draws its own
system; every rule's credit is compared with the costate of the adjoint recursion at each of the L
steps. Without terminal gradient matching (tgw=0) nothing ties the direction of a credit bridge, as
the error alone tells the cost.

    python -m entrypoints.toy_lq --preset quick   # 5 runs, 90 s of one CPU core
    python -m entrypoints.toy_lq                  # 15 runs of 8000 steps: 30 min

Expected, on every seed: Γ and ρ of both bridges above .9, Γ of dfa and of a bridge at tgw=0 near 0.
Published: .945 and .944 Γ of state and credit bridge, .001 of dfa, on a system that is not known.
"""

from collections.abc import Mapping
from typing import Any

from credit.experiments._parts.grids import helps
from credit.lab import AUTHORS, Check, Experiment, Factor, Frame, Options, Panel, Quantity, Reported
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.layers import layer_means
from credit.lab.looks import place
from credit.lab.measure import gap, value
from credit.lab.options import items, listed, product
from credit.spec import RunSpec

LEARNED = ("state_bridge", "credit_bridge", "vector_field")
BRIDGES = LEARNED[:2]
CONTROL = "credit_bridge tgw=0"
LQ = {"rules": "dfa,state_bridge,credit_bridge,vector_field", "tgws": "1,0"}
PRESETS = {
    "published": {
        **LQ,
        "seeds": "42,123,456",
        "width": "64",
        "depth": "12",
        "batch_size": "256",
        "train_samples": "25600",  # times 80 epochs: 8000 steps
        "epochs": "80",
        "measure_every": "20",
    },
    "quick": {
        **LQ,
        "seeds": "42",
        "width": "16",
        "depth": "4",
        "train_samples": "12800",
        "epochs": "20",
        "measure_every": "20",
        "measure_samples": "256",
        "directions": "8",
        "estimator_width": "64",
    },
}

NEAR_ZERO, FOUND, COLLAPSED = 0.1, 0.9, 0.2
"""NEAR_ZERO is twice the audit's bound of a poor direction. FOUND is a costate but for a tenth;
COLLAPSED is where the audit's reasonable directions begin. All were fixed before any number was
seen."""
COPY = Quantity(
    "copy", "copy/deep", "Γ of copy", "Γ of the cost's gradient at h_L, passed back unchanged"
)
CEILING = Quantity(
    "ceiling",
    "ceiling/deep",
    "ceiling of Γ",
    "largest Γ of a gradient that passes through LayerNorm(h_l), as both bridges' does",
)


def variant(run: Mapping[str, Any]) -> str:
    """Return a run's rule, and its tgw where that is not the default."""
    if run["rule"] != "credit_bridge" or run["tgw"] == RunSpec.tgw:
        return str(run["rule"])
    return f"credit_bridge tgw={run['tgw']:g}"


UNTRAINED = {"dataset": "toy_lq", "k": 0, "augment": False, "warmup_ratio": 0}
"""No network trains: there is no warm-up, no block that trains and no augmentation."""


def grid(chosen: Options) -> list[RunSpec]:
    """Return rules x seeds on the linear system; the credit bridge once for each of `tgws`."""
    tgws = {"credit_bridge": listed(chosen, "tgws", "tgw")}
    rules = items("rules", chosen["rules"])
    points = [
        {"rule": rule, **tgw} for rule in rules for tgw in tgws.get(rule, [{"tgw": RunSpec.tgw}])
    ]
    return product(chosen, [UNTRAINED], points)


def checks(_: Frame) -> Checks:
    """Return what is expected of every rule on every seed."""

    def judged(name: str, cell: str, quantity: Quantity, size: bool = False) -> Check:
        return Check(name, cell, value(cell, (quantity,), size))

    return [
        judged("near 0 Γ", "dfa", q.GAMMA, size=True).below(NEAR_ZERO),
        *(
            judged(f"found {one.symbol}", rule, one).above(FOUND, strict=True)
            for rule in BRIDGES
            for one in (q.GAMMA, q.RHO)
        ),
        *(
            Check("beats copy", rule, gap(rule, None, (q.GAMMA,), less=COPY)).above(0, strict=True)
            for rule in BRIDGES
        ),
        *(judged("lowers cost nudge", rule, q.NUDGE).below(0) for rule in LEARNED),
        judged("collapses Γ", CONTROL, q.GAMMA, size=True).below(COLLAPSED),
    ]


SOURCE = f"{AUTHORS} (linear system and quadratic cost, L=12)"
WHERE = {"width": 64, "depth": 12, "batch_size": 256, "epochs": 80, "train_samples": 25600}
REPORTED = tuple(
    Reported(SOURCE, quantity, ("variant",), values, WHERE, recipe=False, rough=quantity is q.NUDGE)
    for quantity, values in {
        q.GAMMA: {"dfa": 0.001, "state_bridge": 0.945, "credit_bridge": 0.944},
        q.RHO: {"dfa": 0.001, "state_bridge": 0.931, "credit_bridge": 0.930},
        q.NUDGE: {"dfa": 0.0, "state_bridge": -0.344, "credit_bridge": -0.342},
    }.items()
)
LAYERS = (q.GAMMA, q.RHO, q.NUDGE, COPY, CEILING)
"""By step of the system, beside copy and ceiling."""

EXPERIMENT = Experiment(
    kind="toy_lq",
    title="Toy LQ",
    question="Do rules that learn their credit find the exact costate where it is known, in a "
    "linear system with quadratic cost?",
    factors=(
        Factor(
            "variant",
            of=variant,
            reads=("rule", "tgw"),
            key=lambda name: (place(name.partition(" ")[0]), name),
        ),
    ),
    presets=PRESETS,
    grid=grid,
    columns=LAYERS,
    checks=checks,
    figure=(
        Panel(q.GAMMA, x="layer", by=("variant",), beside=(COPY, CEILING), levels={"found": FOUND}),
        Panel(q.RHO, x="layer", by=("variant",), levels={"found": FOUND}),
    ),
    more=lambda frame, _: {"layers": layer_means(frame, LAYERS)},
    having=q.VALID,
    reported=REPORTED,
    options=helps(
        "rules",
        tgws="weights of terminal gradient matching for the credit bridge, comma-separated",
        seeds="seeds, comma-separated; each draws its own system",
    ),
    fixed=(
        *("dataset", "rule", "k", "seed", "tgw", "warmup_ratio", "augment"),
        *("activation", "alpha", "terminal_norm", "lr", "weight_decay", "clip", "penalty"),
        *("credit_eps", "credit_reduction", "start", "embed_trains", "head_trains"),
        *("random_labels", "stale_steps"),  # of a network's training, and there is none
    ),
    caveats=(
        "A linear system says nothing of what a bent one does to the estimators.",
        "The system was chosen on seed 42 so that it turns far enough for copy to be no answer.",
    ),
)

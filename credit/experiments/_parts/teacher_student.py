"""What the experiments on teacher and student share: presets, published values, a doubt.

The published teacher, data and code are not known: a difference from a published value is one of
tasks, too.
"""

from credit.experiments._parts.grids import QUICK_LEARNED
from credit.lab import AUTHORS, Check, Quantity, Reported
from credit.lab import quantities as q
from credit.lab.measure import Name, each, value
from credit.spec import RunSpec

TEACHER = {
    "dataset": "teacher",
    "train_samples": "3072",
    "width": "128",
    "terminal_norm": "false",
    "augment": "false",
    "epochs": "80",
    "measure_every": "80",
    "seeds": "42,123,456",
}
"""The blocks have phi(z) = (1-alpha) z + alpha tanh(z), not GELU."""
QUICK_TEACHER = {
    **TEACHER,
    **QUICK_LEARNED,
    "width": "64",
    "seeds": "42",
    "train_samples": "2000",
    "measure_samples": "256",
    "estimator_depth": "2",
    "warmup_ratio": "0.25",  # .05 of 4 epochs is none
}

STATE, CREDIT, FIELD = "state_bridge", "credit_bridge", "vector_field"
UNFITTED = 0.9
"""A credit bridge that misses more than this of its terminal gradient has not learned it: what its
credit is worth then tells of the estimator, not of the rule."""


def fitted(*cells: Name) -> Check:
    """Return the check that a credit bridge's estimator has learned, at every one of some cells."""
    fit = each(cells, lambda cell: value(cell, (q.FIT,)))
    own = Check("the estimator is not fitted", CREDIT, fit)
    return own.below(UNFITTED, strict=False, mean=True)


DEPTHS = (2, 4, 8, 12)
GAMMA = {
    "dfa": dict(zip(DEPTHS, (0.03, 0.05, 0.06, 0.07), strict=True)),
    STATE: dict(zip(DEPTHS, (0.52, 0.34, 0.25, 0.22), strict=True)),
    CREDIT: dict(zip(DEPTHS, (0.53, 0.45, 0.36, 0.24), strict=True)),
    FIELD: {4: 0.91, 8: 0.96},
}
RHO = {
    "dfa": dict(zip(DEPTHS, (0.03, 0.06, 0.07, 0.07), strict=True)),
    STATE: dict(zip(DEPTHS, (0.47, 0.32, 0.23, 0.21), strict=True)),
    CREDIT: dict(zip(DEPTHS, (0.57, 0.51, 0.42, 0.32), strict=True)),
    FIELD: {4: 0.95, 8: 0.95},  # "about .95", not told apart by depth
}
"""Γ and ρ by rule and depth at alpha = 1, without their spread."""
SAME = {
    "dataset": "teacher",
    "width": 128,
    "epochs": 80,
    "activation": "phi",
    "alpha": 1.0,
    "terminal_norm": False,
    "augment": False,
    **{
        name: getattr(RunSpec, name)
        for name in (
            *("batch_size", "lr", "weight_decay", "clip", "credit_eps", "penalty", "precision"),
            *("tgw", "tau", "sigma", "sigma_relative", "draws", "ema", "field_eps"),
            *("estimator_width", "estimator_depth", "estimator_lr"),
        )
    },
}
"""Of the published runs. The number of samples, the code, the warm-up and the estimator's schedule
were not stated, so any will do."""
PLAIN = {
    name: getattr(RunSpec, name)
    for name in ("field_directions", "one_sided", "terminal_weight", "shuffle")
}
"""What makes an arm of the vector field."""
SOURCE = f"{AUTHORS} (teacher and student, d=128, 80 epochs, 3 seeds)"
CAVEAT = "The published teacher, data and code are not known: a difference is one of tasks, too."


def reported(
    quantity: Quantity,
    factor: str,
    values: dict[str, dict[int, float]],
    where: dict[str, object] = SAME,
) -> Reported:
    """Return published values by the labels of a factor and by depth."""
    by_cell = {(label, depth): v for label, row in values.items() for depth, v in row.items()}
    return Reported(SOURCE, quantity, (factor, "depth"), by_cell, where, recipe=False)

"""What was reported of the nonlinearity ladder, and beside which runs it may be shown.

Alignment (gamma) and loss prediction (rho) as fractions. Neither their spread nor the teacher, the
data and the code behind them were reported.
"""

import pandas as pd

from credit.spec import RunSpec, format_value

SOURCE = "reported by the experiment's authors (teacher and student, d=128, 80 epochs, 3 seeds)"
"""How every reported value of the nonlinearity ladder is introduced."""

ALPHA = 1.0
"""The share of tanh of all reported values."""

DEPTHS = (2, 4, 8, 12)

GAMMA: dict[str, dict[int, float]] = {
    "dfa": dict(zip(DEPTHS, (0.03, 0.05, 0.06, 0.07), strict=True)),
    "state_bridge": dict(zip(DEPTHS, (0.52, 0.34, 0.25, 0.22), strict=True)),
    "credit_bridge": dict(zip(DEPTHS, (0.53, 0.45, 0.36, 0.24), strict=True)),
    "vector_field": {4: 0.91, 8: 0.96},
}
"""Alignment by rule and depth at alpha = 1; reported by the experiment's authors (3 seeds)."""

RHO: dict[str, dict[int, float]] = {
    "dfa": dict(zip(DEPTHS, (0.03, 0.06, 0.07, 0.07), strict=True)),
    "state_bridge": dict(zip(DEPTHS, (0.47, 0.32, 0.23, 0.21), strict=True)),
    "credit_bridge": dict(zip(DEPTHS, (0.57, 0.51, 0.42, 0.32), strict=True)),
    "vector_field": {4: 0.95, 8: 0.95},  # "about .95", not told apart by depth
}
"""Loss prediction by rule and depth at alpha = 1; reported as GAMMA was."""

SETTINGS = {"dataset": "teacher", "width": 128, "epochs": 80, "activation": "phi"} | {
    "terminal_norm": False,
    "augment": False,
}
"""Of the reported runs."""

DEFAULTS = (
    *("batch_size", "lr", "weight_decay", "clip", "credit_eps", "penalty"),
    *("precision", "tgw", "tau", "sigma", "sigma_relative", "draws", "ema", "field_directions"),
    *("field_eps", "one_sided", "terminal_weight", "shuffle"),
    *("estimator_width", "estimator_depth", "estimator_lr"),
)
"""RunSpec fields that a comparable run leaves at their default. The number of samples, the code,
the warm-up and how the estimator is scheduled are not stated, so any will do."""


def reported() -> pd.DataFrame:
    """All reported values: rule, alpha, depth, gamma_reported, rho_reported."""
    rows = [
        (rule, ALPHA, depth, gamma, RHO[rule][depth])
        for rule, by_depth in GAMMA.items()
        for depth, gamma in by_depth.items()
    ]
    return pd.DataFrame(rows, columns=["rule", "alpha", "depth", "gamma_reported", "rho_reported"])


def departures(runs: pd.DataFrame) -> list[str]:
    """In what the runs of one rule depart from the reported ones: "epochs=4 (reported: 80)".

    Empty: what was reported may stand beside them. Alpha and depth are the table's business.
    """
    wanted = SETTINGS | {name: getattr(RunSpec, name) for name in DEFAULTS}
    found = []
    for name, value in wanted.items():
        if others := [v for v in sorted(runs[name].unique().tolist()) if v != value]:
            shown = ", ".join(map(format_value, others))
            found.append(f"{name}={shown} (reported: {format_value(value)})")
    return found

"""What was reported of the vector audit, and beside which runs it may be shown.

Fractions, without spread. The scalar and the vector field with M = 4 are those of the nonlinearity
ladder at alpha = 1.
"""

import pandas as pd

from credit.analysis import published_nonlinearity
from credit.analysis.selection import pick
from credit.spec import RunSpec

SOURCE = published_nonlinearity.SOURCE
"""How every reported value of the vector audit is introduced."""

ALIGNMENT = {
    "scalar": published_nonlinearity.GAMMA["credit_bridge"],
    "M4": published_nonlinearity.GAMMA["vector_field"],
    "shuffle": {4: 0.05, 8: 0.05},
    "no_terminal": {4: 0.95, 8: 0.95},
    "one_sided": {4: 0.83, 8: 0.83},
}
"""Alignment by variant and depth; reported by the experiment's authors (teacher and student, d=128,
80 epochs, 3 seeds). Of each control one number was reported ("about .05" for shuffle), without its
depth: it stands at both."""

RHO = {
    "scalar": published_nonlinearity.RHO["credit_bridge"],
    "M4": published_nonlinearity.RHO["vector_field"],
}
"""Loss prediction by variant and depth; reported by the experiment's authors (as above). That of
the vector field, "about .95", is not told apart by depth; that of the controls was not reported."""

DISTINGUISHING = {
    name: getattr(RunSpec, name)
    for name in ("field_directions", "one_sided", "terminal_weight", "shuffle")
}
"""What makes a variant of the vector field, so that it is no departure from what was reported."""


def reported_vector(runs: pd.DataFrame) -> pd.DataFrame:
    """What was reported of the variants and depths among `runs`; may be empty.

    Args:
        runs: of `Reader.runs`, with a column `variant` (`vector_audit.with_variants`).

    Returns:
        Columns variant, depth, reported_alignment, reported_rho (nan where not reported), only for
        variants whose runs have the reported settings and train all blocks.
    """
    rows = []
    for variant, by_depth in ALIGNMENT.items():
        for depth, alignment in by_depth.items():
            own = pick(runs, variant=variant, depth=depth)
            whole = (own["k"] == own["depth"]).all()
            same = whole and (own["alpha"] == published_nonlinearity.ALPHA).all()
            if len(own) and same and not published_nonlinearity.departures(_plain(own)):
                rho = RHO.get(variant, {}).get(depth, float("nan"))
                rows.append((variant, depth, alignment, rho))
    types = {"variant": str, "depth": int, "reported_alignment": float, "reported_rho": float}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _plain(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.assign(**DISTINGUISHING)

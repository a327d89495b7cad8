"""Vector audit: does a learned vector field beat the gradient of a learned scalar, and by what?

A variant is named by what the runs say: `scalar` is the credit bridge; `M4`, `M8`, ... the vector
field with that many directions; `shuffle`, `no_terminal` and `one_sided` change one thing of M4
(of another M: "shuffle M8"; together: "shuffle+no_terminal"). Other rules go by their own name and
are shown without a verdict.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from credit.analysis import published_vector, wording
from credit.analysis.cells import QUANTITIES, formatted, summary
from credit.analysis.selection import configuration, finished, pick
from credit.spec import LEARNED_FIELDS, RunSpec

SCALAR, FIELD = "credit_bridge", "vector_field"
CONTROLS = ("shuffle", "no_terminal", "one_sided")
EMPTY = "shuffle+no_terminal"
"""The control with nothing to learn from: targets of other samples, and no exact gradient."""
MAIN = f"M{RunSpec.field_directions}"
"""What the controls are controls of."""

_VARIED = ("rule", "k", "seed", "depth")
_SCALAR_ONLY = ("tgw", "tau", "sigma", "sigma_relative", "draws", "ema")
_ARMS = ("field_directions", "one_sided", "shuffle", "terminal_weight")


def with_variants(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column `variant`.

    Raises:
        CreditError: there are no runs; those of one depth differ in a setting that is neither the
            seed nor what makes a variant; or those of one variant and depth in any but the seed.
    """
    configuration(runs, vary=(*_VARIED, *LEARNED_FIELDS))
    named = runs.assign(variant=[_variant(run) for run in runs.to_dict("records")])
    # compared with each other, so that what both read must agree as if they were one rule
    learned = named.loc[named["rule"].isin([SCALAR, FIELD])].assign(rule="learned rules")
    fields = pick(named, rule=FIELD)
    whole = fields.loc[fields["terminal_weight"] != 0]
    for own, vary in (
        (learned, (*_VARIED, *_SCALAR_ONLY, *_ARMS, "field_eps")),
        (fields, (*_VARIED, *_ARMS)),
        (whole, (*_VARIED, *_ARMS[:-1])),
    ):
        if len(own):
            configuration(own, vary=vary)
    for _, own in named.groupby("depth"):
        configuration(own, vary=("rule", "seed", *LEARNED_FIELDS))
    for _, own in named.groupby(["depth", "variant"]):
        configuration(own, vary=("seed",))
    return named


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title.

    As "teacher, α=1, d=128, L=4 and 8, 3072 samples, 80 epochs (1920 steps of 128), code eT,
    estimator_layers 1".

    Raises:
        CreditError: as `with_variants`.
    """
    config = configuration(runs, vary=(*_VARIED, *LEARNED_FIELDS))
    depths = " and ".join(map(str, sorted(runs["depth"].unique())))
    parts = (
        f"{config['dataset']}, {wording.bend(config)}, d={config['width']}, L={depths}",
        wording.trained(config),
        wording.estimators(runs),
    )
    return ", ".join(filter(None, parts))


def vector_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ, nudge and accuracy by depth and variant, with what was reported for it.

    Returns:
        Columns depth, variant, for each of `cells.QUANTITIES` its mean, `_sd` (ddof 1) and `_n`
        (valid seeds), n (finished runs), reported_alignment, reported_rho.

    Raises:
        CreditError: as `with_variants`.
    """
    named = with_variants(runs)
    done = finished(named)
    rows = [
        {"depth": depth, "variant": variant} | summary(pick(done, depth=depth, variant=variant))
        for depth in sorted(named["depth"].unique().tolist())
        for variant in in_order(pick(named, depth=depth)["variant"])
    ]
    reported = published_vector.reported_vector(named)
    return pd.DataFrame(rows).merge(reported, on=["depth", "variant"], how="left")


def vector_wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `vector_table` as strings, for Markdown and the terminal."""
    cells = formatted(table)
    for name in ("alignment", "rho"):
        reported = [f"{v:.2f}" if pd.notna(v) else "" for v in table[f"reported_{name}"]]
        heading = f"{QUANTITIES[name]} reported"
        place = int(cells.columns.get_loc(QUANTITIES[name])) + 1
        if any(reported):
            cells.insert(place, heading, [text.replace("0.", ".", 1) for text in reported])
    return pd.concat([table[["depth", "variant"]], cells], axis=1)


def sources(table: pd.DataFrame) -> list[str]:
    """Where the reported values of a table come from; nothing where it shows none."""
    if table[["reported_alignment", "reported_rho"]].isna().all(axis=None):
        return []
    source = published_vector.SOURCE.removeprefix("reported ")
    depths = "of the controls without their depth, so that one number stands at every L"
    return [f"reported: {source}, {depths}; {wording.NOT_THEIRS}"]


def _variant(run: dict[str, Any]) -> str:
    if run["rule"] != FIELD:
        return "scalar" if run["rule"] == SCALAR else str(run["rule"])
    changed = (run["shuffle"], run["terminal_weight"] == 0, run["one_sided"])
    controls = "+".join(name for name, on in zip(CONTROLS, changed, strict=True) if on)
    size = f"M{run['field_directions']}"
    return size if not controls else controls if size == MAIN else f"{controls} {size}"


def in_order(variants: Iterable[str]) -> list[str]:
    """Each once: the scalar, the plain fields by M, the controls, then the others by name."""
    known = set(variants)
    plain = sorted((v for v in known if v[0] == "M" and v[1:].isdigit()), key=lambda v: int(v[1:]))
    first = ["scalar", *plain, *CONTROLS[:2], EMPTY, *CONTROLS[2:]]
    return [v for v in first if v in known] + sorted(known - set(first))

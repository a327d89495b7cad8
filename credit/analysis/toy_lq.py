"""Toy LQ: how close each rule's credit is to the exact costate, layer by layer.

A variant is a rule; a credit bridge at another tgw than the default is named "credit_bridge
tgw=0". Γ is the mean cosine between credit and costate, ρ correlates predicted and measured cost
changes; Γ, ρ and nudge of a run are means over h_1 .. h_L. Two references stand beside the rules:
`copy` passes the cost's gradient at h_L back unchanged, `ceiling` is the largest cosine within
reach of a gradient that passes through LayerNorm(h_l), as both bridges' does.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from credit.analysis import cells
from credit.analysis.cells import spread
from credit.analysis.selection import configuration, finished, in_order, metric, pick
from credit.analysis.wording import estimators, trained
from credit.spec import LEARNED_FIELDS, RunSpec

HAVING = "valid/reference"
"""The metric that every measured run has."""
QUANTITIES = {"alignment": "Γ", "rho": "ρ", "nudge": "nudge"}
LEAD = "lead"
"""Γ minus copy's, of the same seed; in verdicts only."""
REFERENCES = ("copy", "ceiling")


def with_variants(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column `variant`.

    Raises:
        CreditError: there are no runs; they differ in a setting that all rules share; or those of
            one variant in any but the seed.
    """
    configuration(runs, vary=("rule", "seed", *LEARNED_FIELDS))
    named = runs.assign(variant=[_variant(run) for run in runs.to_dict("records")])
    for _, own in named.groupby("variant"):
        configuration(own, vary=("seed",))
    return named


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title.

    As "d=64, L=12, 25600 samples, 80 epochs (8000 steps of 256), code eT, estimator_layers 1".

    Raises:
        CreditError: as `with_variants`.
    """
    config = configuration(runs, vary=("rule", "seed", *LEARNED_FIELDS))
    parts = (f"d={config['width']}, L={config['depth']}", trained(config), estimators(runs))
    return ", ".join(filter(None, parts))


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ and nudge by variant.

    Returns:
        Columns variant, n (finished runs), and for each of QUANTITIES its mean, `_sd` (ddof 1) and
        `_n`, the seeds at which it is valid; rules in canonical order, the references last, which
        have a Γ only.

    Raises:
        CreditError: as `with_variants`.
    """
    named = with_variants(runs)
    done = finished(named, HAVING)
    rows = []
    for variant in _in_order(named["variant"]):
        own = pick(done, variant=variant)
        row: dict[str, Any] = {"variant": variant, "n": len(own)}
        for quantity in QUANTITIES:
            row |= spread(quantity, values(own, quantity))
        rows.append(row)
    each = _of_each_seed(done)
    for name in REFERENCES:
        row = {"variant": name, "n": len(each)}
        rows.append(row | spread("alignment", metric(each, f"{name}/deep")))
    return pd.DataFrame(rows)


def layers(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ and nudge by variant and hidden state; the references have a Γ only.

    Returns:
        As `table`, with a column `layer`, 0 .. L.

    Raises:
        CreditError: as `with_variants`.
    """
    named = with_variants(runs)
    done = finished(named, HAVING)
    each, rows = _of_each_seed(done), []
    for layer in range(int(named["depth"].iloc[0]) + 1):
        key = f"h{layer:02d}"
        for variant in _in_order(named["variant"]):
            own = pick(done, variant=variant)
            row: dict[str, Any] = {"variant": variant, "layer": layer, "n": len(own)}
            for quantity in QUANTITIES:
                row |= spread(quantity, metric(own, f"{quantity}/{key}"))
            rows.append(row)
        for name in REFERENCES:
            row = {"variant": name, "layer": layer, "n": len(each)}
            rows.append(row | spread("alignment", metric(each, f"{name}/{key}")))
    return pd.DataFrame(rows)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table as strings: ".950 ± .004"; a cell with fewer valid seeds than runs says so."""
    named = pd.DataFrame({"variant": table["variant"].tolist()})
    return pd.concat([named, cells.formatted(table, QUANTITIES)], axis=1)


def wide_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """Mean Γ by variant, a column per hidden state: h0 .. hL."""
    rows = []
    for variant in layers["variant"].unique():
        own = pick(layers, variant=variant)
        pairs = zip(own["layer"], own["alignment"], strict=True)
        rows.append({"Γ": variant, **{f"h{i}": "" if pd.isna(v) else f"{v:.2f}" for i, v in pairs}})
    return pd.DataFrame(rows)


def values(runs: pd.DataFrame, quantity: str) -> list[float]:
    """One of QUANTITIES, or LEAD, of every run of a variant, in order of seed."""
    if quantity != LEAD:
        return cells.values(runs, quantity)
    pairs = zip(metric(runs, "alignment/deep"), metric(runs, "copy/deep"), strict=True)
    return [own - copy for own, copy in pairs]


def _of_each_seed(runs: pd.DataFrame) -> pd.DataFrame:
    """One run per seed: what is the same for all rules is read off any."""
    return runs.drop_duplicates("seed")


def _variant(run: dict[str, Any]) -> str:
    if run["rule"] != "credit_bridge" or run["tgw"] == RunSpec.tgw:
        return str(run["rule"])
    return f"credit_bridge tgw={run['tgw']:g}"


def _in_order(variants: Iterable[str]) -> list[str]:
    known = set(variants)
    rules = in_order(variant.partition(" ")[0] for variant in known)
    return sorted(known, key=lambda variant: (rules.index(variant.partition(" ")[0]), variant))

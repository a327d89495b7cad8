"""The protocol on one finished run: what its measurements say, and D3 where its siblings are there.

Siblings are finished runs of the same settings and seed that differ in k, or are of bp or the
oracle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import pandas as pd

from credit import audit
from credit.analysis.audits import sample_floor
from credit.analysis.protocol import BESIDE, label
from credit.analysis.selection import ACCURACY, IRRELEVANT, OWN, finished, pick
from credit.spec import SETTLED_FIELDS, RunSpec, field_types, format_value

UNRELATED = IRRELEVANT | {
    *("measure_samples", "stale_steps", "directions", "direction_eps"),
    *("nudge_eta", "relative_steps", "reference_floor"),
}
"""Fields that do not change a run's accuracy."""


class Siblings(NamedTuple):
    """Test accuracies and run ids, by rule and k."""

    accuracy: dict[str, dict[int, float]]
    ids: dict[str, dict[int, str]]


def siblings(runs: pd.DataFrame, spec: RunSpec) -> Siblings:
    """The run itself and its siblings among all runs of a store.

    Args:
        spec: of the run. Rules from outside the package count as the same where their code is.
    """
    done = finished(runs)
    same = [n for n in field_types() if n not in {"rule", "k"} | UNRELATED | OWN]
    for name in same:
        done = pick(done, **{name: getattr(spec, name)})
    accuracy: dict[str, dict[int, float]] = {}
    ids: dict[str, dict[int, str]] = {}
    for rule in dict.fromkeys((spec.rule, *BESIDE)):
        own = pick(done, rule=rule)
        if rule == spec.rule:
            for name in OWN:
                own = pick(own, **{name: getattr(spec, name)})
        for row in own.to_dict("records"):
            accuracy.setdefault(rule, {})[int(row["k"])] = float(row[ACCURACY])
            ids.setdefault(rule, {})[int(row["k"])] = str(row["run_id"])
    return Siblings(accuracy, ids)


def checks(spec: RunSpec, metrics: Mapping[str, float], beside: Siblings) -> list[dict[str, Any]]:
    """D1, D2, direction and, for a network with every block trained, D3 and what belongs to it.

    Args:
        metrics: as measured from the final weights.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.
    """
    depth, middle = spec.depth, spec.depth // 2
    ladders = {
        rule: {k: [value] for k, value in own.items()} for rule, own in beside.accuracy.items()
    }
    found = audit.audit_rule(
        label(spec.rule),
        ladders.get(spec.rule, {}),
        ladders.get("bp", {}),
        ladders.get("oracle", {}),
        depth=depth,
        growth=metrics.get("growth/max"),
        grad_norm=metrics.get(f"grad_norm/h{depth:02d}"),
        middle_alignment=metrics.get(f"alignment/h{middle:02d}"),
        floor=sample_floor(spec.__dict__),
        middle_layer=middle,
    )
    return [{"rule": spec.rule, **asdict(verdict)} for verdict in found]


def notes(
    spec: RunSpec, measured: Mapping[str, float], logged: Mapping[str, float], beside: Siblings
) -> list[str]:
    """How the measurement agrees with what the run has logged, and what is missing for D3."""
    lines = [_agreement(measured, logged)]
    wanted = [(rule, k) for rule in dict.fromkeys((spec.rule, "bp")) for k in (0, spec.depth)]
    missing = [(rule, k) for rule, k in wanted if k not in beside.accuracy.get(rule, {})]
    if missing:
        names = ", ".join(f"{label(rule)} k={k}" for rule, k in missing)
        lines.append(f"missing for D3: {names}, of these settings and seed. {_command(spec)}")
    if spec.k < spec.depth:
        lines.append(
            f"this run trains {spec.k} of {spec.depth} blocks: D3 compares the runs of k=0 and "
            f"k={spec.depth} beside it"
        )
    return lines


def _agreement(measured: Mapping[str, float], logged: Mapping[str, float]) -> str:
    both = sorted(measured.keys() & logged.keys())
    if not both:
        return "the run has logged none of what is measured here"
    gaps = {n: abs(measured[n] - logged[n]) / max(abs(logged[n]), 1e-12) for n in both}
    worst = max(gaps, key=lambda name: gaps[name])
    return (
        f"measured again from the final weights: {len(both)} numbers that the run has logged, the "
        f"largest relative difference {gaps[worst]:.0e} ({worst})"
    )


def _command(spec: RunSpec) -> str:
    """What trains the missing runs: the ladder's command with this run's settings."""
    default, own = RunSpec(), {"rule", "k", "seed", "credit_reduction"}
    changed: Sequence[str] = [
        f"--{name} {format_value(getattr(spec, name))}"
        for name in field_types()
        if name not in own | IRRELEVANT | SETTLED_FIELDS
        and getattr(spec, name) != getattr(default, name)
    ]
    rules = ",".join(dict.fromkeys((*BESIDE, spec.rule)))
    words = [f"--rules {rules}", f"--ks 0,{spec.depth}", f"--seeds {spec.seed}", *changed]
    return f"They are trained by: python -m entrypoints.ladder {' '.join(words)}"

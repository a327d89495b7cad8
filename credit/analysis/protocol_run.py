"""The protocol on one finished run: its measurements, and what its siblings in the store allow.

Siblings are finished runs of the same settings and seed that differ in k, or are of bp or the
oracle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import pandas as pd

from credit import audit
from credit.analysis import protocol_checks
from credit.analysis.audits import sample_floor
from credit.analysis.protocol import BESIDE, KIND, Subject, label
from credit.analysis.selection import ACCURACY, IRRELEVANT, OWN, finished, pick
from credit.measures.base import Report
from credit.spec import SETTLED_FIELDS, RunSpec, field_types, format_value
from credit.tracking.reader import Reader

_FINISHED = {"status": "FINISHED", "started": 0, ACCURACY: 0.0}
"""Makes a row count as a finished run; its accuracy is not judged."""
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


def audited(reader: Reader, run_id: str, spec: RunSpec) -> pd.DataFrame:
    """Return the runs of the newest audit of the run's rule that uses it, of its seed; else none.

    Its matched controls are among them.
    """
    for parent in reader.parents(KIND).to_dict("records"):
        if parent["params"].get("rule") == spec.rule and run_id in reader.children(
            parent["run_id"]
        ):
            return pick(reader.runs(parent=parent["run_id"]), seed=spec.seed)
    return pd.DataFrame()


def checks(
    spec: RunSpec,
    run_id: str,
    measured: Report,
    identity: Mapping[str, float],
    beside: Siblings,
    audit_runs: pd.DataFrame,
) -> list[dict[str, Any]]:
    """Judge all that needs no training, in the order of `protocol_checks.checks`.

    Args:
        measured: from the final weights.
        identity: `identity/...` of the untrained network.
        audit_runs: of `audited`.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.
    """
    depth, middle, metrics = spec.depth, spec.depth // 2, measured.metrics
    who = Subject(spec.rule, identity)
    ladders = {
        rule: {k: [value] for k, value in own.items()} for rule, own in beside.accuracy.items()
    }
    found = audit.audit_rule(
        who.label,
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
    scale, reference, direction, *depth_checks = found
    full = pd.DataFrame([{**spec.__dict__, "run_id": run_id, **_FINISHED, **metrics}])
    layers = {run_id: pd.DataFrame(measured.layers)}
    controlled = []
    if len(audit_runs):
        named = audit_runs.assign(rule=audit_runs["rule"].map(label))
        controlled = protocol_checks.of_controls(named, who)
    judged = [
        *(protocol_checks.frozen_init(who), scale, reference, direction),
        *(protocol_checks.beyond_copy(full, reference), *depth_checks),
    ]
    last = protocol_checks.calibration(full, layers, reference)
    rows = [*map(asdict, judged), *controlled, asdict(last)]
    return [{**verdict, "rule": spec.rule} for verdict in rows]


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

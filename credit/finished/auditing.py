"""The audit of one finished run: measured again from its weights, judged beside its siblings.

Siblings are finished runs of the same settings and seed: other rungs, bp, the oracle, and controls
of its rule. Nothing is trained or logged.
"""

from collections.abc import Collection, Mapping

import pandas as pd

from credit.experiments import audit
from credit.experiments.matched_controls import FROZEN, ORDER, control_of
from credit.finished.remeasuring import restored
from credit.finished.starting import finished_network
from credit.lab import table
from credit.lab.frame import IRRELEVANT, OWN, finished, pick
from credit.measures.base import Report
from credit.report import verdict_lines
from credit.spec import RunSpec, field_types
from credit.tracking.reader import connect
from credit.training.measuring import measure_held_out

CHANGED = {"k", "width", "depth", "penalty", "random_labels", "embed_trains", "augment", "rule"}
"""Fields in which the rungs and controls of an audit differ."""
MEASURING = {
    *("measure_samples", "stale_steps", "directions", "direction_eps"),
    *("nudge_eta", "relative_steps", "reference_floor"),
}
"""Fields that do not change a run's accuracy."""


def audit_run(run_id: str, trusted: Collection[str] = ()) -> str:
    """Return the audit of a finished run as text; code of `trusted` rules may be imported."""
    reader = connect()
    spec = finished_network(reader, run_id)
    here = spec.replace(device="cpu")
    stack, _, data = restored(reader, run_id, here, trusted)
    (report,) = measure_held_out(stack, data)
    runs = siblings(reader.runs(), spec, run_id)
    identity, _ = audit.untrained_identity([here])
    known = calibration(report, spec.depth)
    for name, value in {**report.metrics, **known}.items():  # in place of what the run has logged
        runs.loc[runs["run_id"] == run_id, name] = value
    frame = audit.EXPERIMENT.frame(runs, reader, identity)
    verdicts = [check.judge(frame) for check in audit.checks_of(spec.rule, frame)]
    shown = table.shown_table(
        table.long_table(frame, audit.EXPERIMENT.columns), frame, audit.EXPERIMENT.columns
    )
    agreed = agreement(report.metrics, reader.run(run_id).data.metrics)
    judged = [audit.answer_of(spec.rule, verdicts), "", *verdict_lines(verdicts, frame)]
    return "\n".join(["", *judged, "", agreed, *missing(spec, runs), "", table.terminal(shown)])


def siblings(runs: pd.DataFrame, spec: RunSpec, run_id: str) -> pd.DataFrame:
    """Return the run and its siblings among all runs of a store."""
    done = finished(runs)
    same = [n for n in field_types() if n not in CHANGED | MEASURING | IRRELEVANT | OWN]
    done = pick(done, {name: getattr(spec, name) for name in same})
    own = pick(done, {"rule": spec.rule, **{name: getattr(spec, name) for name in OWN}})
    own = own.loc[(own["depth"] == spec.depth) & (own["width"] == spec.width) | (own["depth"] == 1)]
    others = done.loc[done["rule"].isin(audit.BESIDE) & (done["rule"] != spec.rule)]
    others = pick(others, {"width": spec.width, "depth": spec.depth})
    found = pd.concat([own, others])

    def kept(run: dict) -> bool:
        control = control_of(run)
        beside = control.startswith("k=") or control == FROZEN
        return run["run_id"] == run_id or beside or (control in ORDER and run["rule"] == spec.rule)

    return found.loc[[*map(kept, found.to_dict("records"))]].reset_index(drop=True)


def calibration(report: Report, depth: int) -> dict[str, float]:
    """Return what credits with a known answer reach at the middle layer."""
    row = next(layer for layer in report.layers if layer["layer"] == depth // 2)
    known = {q.metric: row.get(name) for name, q in audit.KNOWN.items()}
    return {name: value for name, value in known.items() if value is not None}


def agreement(measured: Mapping[str, float], logged: Mapping[str, float]) -> str:
    """Return how the measurement agrees with what the run has logged."""
    both = sorted(measured.keys() & logged.keys())
    if not both:
        return "the run has logged none of what is measured here"
    gaps = {n: abs(measured[n] - logged[n]) / max(abs(logged[n]), 1e-12) for n in both}
    worst = max(gaps, key=lambda name: gaps[name])
    return (
        f"measured again from the final weights: {len(both)} numbers that the run has logged, "
        f"largest relative difference {gaps[worst]:.0e} ({worst})"
    )


def missing(spec: RunSpec, runs: pd.DataFrame) -> list[str]:
    """Return the runs that D3 needs and the store lacks, and what trains them."""
    there = set(zip(runs["rule"], runs["k"], strict=True))
    wanted = [(rule, k) for rule in dict.fromkeys((spec.rule, "bp")) for k in (0, spec.depth)]
    lacking = [f"{rule} k={k}" for rule, k in wanted if (rule, k) not in there]
    if not lacking:
        return []
    default = RunSpec().to_params()
    left = {"rule", "k", "seed", "credit_reduction", "rule_code", "network_code", *IRRELEVANT}
    changed = [
        f"--{name} {value}"
        for name, value in spec.to_params().items()
        if name not in left and value != default[name]
    ]
    rules = ",".join(dict.fromkeys((*audit.BESIDE, spec.rule)))
    words = [f"--rules {rules} --ks 0,{spec.depth} --seeds {spec.seed}", *changed]
    return [
        f"missing for D3: {', '.join(lacking)}, of these settings and seed; they are trained by "
        f"credit ladder {' '.join(words)}"
    ]

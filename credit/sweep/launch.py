"""An experiment from its options to its published result."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from credit.data import load
from credit.errors import CreditError
from credit.lab import Experiment, Options, untrained
from credit.lab.options import PRESET
from credit.rules.shared.names import run_name
from credit.spec import RunSpec
from credit.sweep import sweep
from credit.sweep.launchers.base import Detached
from credit.sweep.options import Launch
from credit.sweep.sweep import Outcome, Sweep, resolve
from credit.sweep.tracked_stack import hash_of
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from credit.tracking.writer import Store, log_results, log_table, open_parent
from credit.tracking.writer import finish as finish_run

LINEAR = "toy_lq"
"""The dataset, and the experiment, that train estimators on a linear system."""


@dataclass(frozen=True)
class Done:
    """What came of an experiment."""

    text: str
    """For the terminal: the result, or what is planned or was submitted."""
    parent_id: str = ""
    """The run that holds the result; empty where nothing was published."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """The reasons of runs that failed, by their names."""

    def data(self) -> dict[str, Any]:
        """Return the result as JSON has it: run_id, answer, table, verdicts, failures."""
        if not self.parent_id:
            return {"text": self.text}
        from credit import report
        from credit.report.answer import answer

        found = report.read(connect(), self.parent_id)
        return {
            "run_id": self.parent_id,
            "answer": answer(found),
            "table": json.loads(found.table.to_json(orient="records", double_precision=15) or ""),
            "verdicts": [verdict.row for verdict in found.verdicts],
            "failures": dict(self.failures),
        }


def launch(experiment: Experiment, given: Options, place: Launch | None = None) -> Done:
    """Train what is missing, and publish the result on the parent run.

    Options that are left out of `given` are the preset's. Raises CreditError where an option, the
    data or the store is not as it must be.
    """
    place, asked = place or Launch(), given.get("device", PRESET)
    device, gpus = place.devices(RunSpec.device if asked == PRESET else asked)
    if asked != PRESET:
        given = {**given, "device": device}
    chosen = experiment.settled(experiment.adapt(given) if experiment.adapt else given)
    specs = [resolve(spec, place.here) for spec in experiment.grid(chosen)]
    if LINEAR in {spec.dataset for spec in specs} and experiment.kind != LINEAR:
        raise CreditError(f"dataset={LINEAR} has no network: credit {LINEAR}")
    whole = specs
    if experiment.complete:
        whole = [resolve(spec, place.here) for spec in experiment.complete(chosen)]
    training, constants = _training(specs)
    plan = Sweep(
        kind=experiment.kind,
        name=name_of(experiment, specs),
        specs=specs,
        params=experiment.params(chosen, whole) | constants,
        description=f"{experiment.title}: {experiment.question}",
        then=_second_stage(experiment, chosen, whole, place),
    )
    if experiment.measured and place != Launch():
        raise CreditError(f"{experiment.kind} trains nothing: leave out where it would")
    measured = experiment.of_parent(specs) if experiment.of_parent else None
    store = open_store()
    if experiment.measured:
        outcome = _measured(experiment, plan, store)
    else:
        try:
            outcome = sweep.run(plan, store, training, place, gpus)
        except (sweep.Planned, Detached) as said:
            return Done(str(said))
    if measured:
        log_results(store, outcome.parent_id, *measured)
    from credit import report  # here: it takes a second to load, and training comes first

    try:
        text = report.publish(store, outcome.parent_id)
    finally:
        for name, reason in outcome.failures.items():
            print(f"credit: {name} failed: {reason}", file=sys.stderr)
    return Done(text, outcome.parent_id, outcome.failures)


def name_of(experiment: Experiment, specs: Sequence[RunSpec]) -> str:
    """Return what the parent run is called before its preset, rules and seeds."""
    if experiment.kind == "train":
        return f"train {run_name(specs[0], {})}"
    deep = max(specs, key=lambda spec: (spec.depth, spec.width))
    precision = [deep.precision] if deep.precision != RunSpec.precision else []
    network = [deep.network] if deep.network != RunSpec.network else []
    words = [experiment.kind.replace("_", " "), deep.dataset, *network]
    return " ".join([*words, f"d{deep.width} L{deep.depth}", *precision])


def _training(specs: Sequence[RunSpec]) -> tuple[type[sweep.Networks], dict[str, str]]:
    """Return what trains the runs, and constants for the parent: a linear system has no network."""
    if specs[0].dataset != LINEAR:
        return sweep.Networks, {}
    from credit.toy_lq import system  # here: most sweeps need none of it
    from credit.toy_lq.tracked import Trajectories

    return Trajectories, system.constants()


def _second_stage(
    experiment: Experiment, chosen: Options, whole: Sequence[RunSpec], place: Launch
) -> Callable[[Outcome, Store], list[RunSpec]] | None:
    """Return what names the further runs of a sweep; None where there are none."""
    if experiment.then is None:
        return None
    if experiment.complete and place.here:  # else it would be refused after the first stage
        sweep.check(whole)
    further = experiment.then

    def then(outcome: Outcome, store: Store) -> list[RunSpec]:
        reader = connect(store.uri)
        runs = reader.runs()
        own = runs.loc[runs["run_id"].isin(list(outcome.run_ids.values()))]
        return [resolve(s, place.here) for s in further(chosen, own.reset_index(drop=True), reader)]

    return then


def _measured(experiment: Experiment, plan: Sweep, store: Store) -> Outcome:
    """Measure networks that are not trained; the parent keeps their numbers."""
    assert experiment.measured is not None
    table = experiment.measured(plan.specs)
    frame = experiment.frame(untrained.as_runs(plan.specs, table), connect(store.uri))
    data = load(plan.specs[0].dataset)
    parent_id = open_parent(
        store, plan.name, plan.kind, plan.params, hash_of(plan.kind, plan.specs), plan.description
    )
    try:
        source = {"name": data.name, "digest": data.digest, "source": data.source}
        metrics = untrained.over_networks(frame, experiment.columns)
        log_results(store, parent_id, metrics, source)
        own = untrained.by_seed(frame, experiment.columns)
        log_table(store, parent_id, own, untrained.NETWORKS)
        finish_run(store, parent_id)
    except BaseException:
        finish_run(store, parent_id, "FAILED")
        raise
    return Outcome(parent_id, {}, {})

"""A sweep: a grid of runs -> what is left to do -> stacks -> records in the tracking store.

The same sweep again skips finished runs and continues unfinished ones, in the same MLflow runs,
from their last checkpoint.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from credit import rules
from credit.data import load
from credit.errors import CreditError
from credit.rules import options, source
from credit.rules.names import parent_name
from credit.spec import LEARNED_FIELDS, RunSpec, warmup_epochs
from credit.sweep import planning
from credit.sweep.networks import Networks, check_staleness, shape_of
from credit.sweep.queue import Queue, claims_lock, patiently
from credit.sweep.state import drop_leftovers, make_writable, state_folder
from credit.sweep.tracked_stack import FLUSH_SECONDS, hash_of, progress, stop_on_signals
from credit.tracking.store import AWAY, quick_http, shown
from credit.tracking.writer import (
    Store,
    Writer,
    end_parent,
    find_children,
    leads,
    log_children,
    open_parent,
)


@dataclass(frozen=True)
class Sweep:
    """What to train and how the parent run presents it."""

    kind: str  # the experiment: "ladder", "train", ...
    name: str  # the parent run's name
    specs: Sequence[RunSpec]
    params: Mapping[str, str] = field(default_factory=dict)  # of the parent
    description: str = ""
    then: Callable[["Outcome", Store], Sequence[RunSpec]] | None = None
    """Further runs of the same parent, named when the results of `specs` are in the store."""


@dataclass(frozen=True)
class Outcome:
    """What a sweep left in the tracking store."""

    parent_id: str
    run_ids: dict[str, str]  # by spec hash
    failures: dict[str, str]  # reasons, by name and short spec hash


def resolve(spec: RunSpec) -> RunSpec:
    """Replace what stands for something else by what it stands for: device, reduction.

    Raises:
        CreditError: the rule does not exist or refuses the run, or the device is not there.
    """
    rule = rules.get(spec.rule)
    knobs = options.knobs(rule)
    changes: dict[str, object] = {
        name: getattr(RunSpec, name) for name in LEARNED_FIELDS - knobs
    }  # what the rule does not read, it does not claim
    taken = spec.rule_option if options.own(rule) else options.NONE
    changes["rule_option"] = options.canonical(rule, taken)
    changes["rule_code"] = source.digest(spec.rule)
    if "warmup_ratio" in knobs and not warmup_epochs(spec.warmup_ratio, spec.epochs):
        changes["warmup_ratio"] = 0.0  # what rounds to none is none
    if spec.activation != "phi":
        changes["alpha"] = RunSpec.alpha
    if spec.device == "auto":
        changes["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    else:
        try:
            torch.empty(0, device=spec.device)
        except (RuntimeError, AssertionError) as error:
            raise CreditError(f"device={spec.device!r} is not available: pass cpu") from error
    if spec.precision == "tf32" and not str(changes.get("device", spec.device)).startswith("cuda"):
        raise CreditError("precision=tf32 is a GPU's: pass fp32 or bf16, or device=cuda")
    rule.refuse(spec)
    if spec.credit_reduction == "published" or not rule.surrogate:  # bp trains on the mean loss
        changes["credit_reduction"] = rule.published_reduction
    return spec.replace(**changes)


def run(sweep: Sweep, store: Store, training: type[Networks] = Networks) -> Outcome:
    """Train what the store does not yet hold as finished.

    Raises:
        CreditError: bad specs, data or store, before any run is created; or values that could not
            be sent within `FLUSH_SECONDS` of the end.
        Stopped: by one of `SIGNALS`; all runs are then KILLED and can be continued.
    """
    specs = _distinct(sweep.specs)
    if not specs:
        raise CreditError("the sweep is empty: name at least one rule, k and seed")
    state = state_folder(store)
    make_writable(state)
    work = _prepared(specs, store, training)
    # a second stage is not named by the runs of the first, but by what was asked for
    asked = json.dumps(dict(sweep.params), sort_keys=True) if sweep.then else ""
    sweep_hash = hash_of(sweep.kind + asked, specs)
    name = sweep.name
    if sweep.kind != "train":  # whose name is the run's
        name = parent_name(name, sweep.params.get("preset", ""), specs)
    with stop_on_signals():
        with claims_lock(store, state):  # or two that begin at once would open a parent each
            parent_id = open_parent(
                store, name, sweep.kind, sweep.params, sweep_hash, sweep.description
            )
            drop_leftovers(store, state)
        status = "KILLED"
        try:
            with Writer(store, state / "journal") as writer:
                if patiently(store, lambda: leads(store, parent_id)):
                    writer.watch(parent_id)  # its heartbeat
                outcome = _train_all(specs, work, store, parent_id, writer, state)
                del work  # a second stage loads its own data
                if sweep.then and (more := _distinct(sweep.then(outcome, store))):
                    work = _prepared(more, store, training)
                    second = _train_all(more, work, store, parent_id, writer, state)
                    outcome = Outcome(
                        parent_id,
                        outcome.run_ids | second.run_ids,
                        outcome.failures | second.failures,
                    )
            run_ids = list(outcome.run_ids.values())
            patiently(store, lambda: log_children(store, parent_id, run_ids))
            drop_leftovers(store, state)
            status = "FINISHED"
            return outcome
        finally:
            hurry = contextlib.nullcontext() if status == "FINISHED" else quick_http()
            with contextlib.suppress(*AWAY), hurry:  # it is found stale; the error above says more
                end_parent(store, parent_id, status)


def check(specs: Sequence[RunSpec]) -> None:
    """Refuse runs that cannot be trained, before the first stage of their sweep begins.

    Raises:
        CreditError: there are not as many samples, or steps, or a run does not fit into memory.
    """
    first = specs[0]
    data = load(first.dataset, train_samples=first.train_samples)
    for spec in specs:
        check_staleness(spec, data)
    planning.check(specs, lambda spec: shape_of(spec, data), planning.memory_free(first.device))


def _train_all(
    specs: Sequence[RunSpec],
    work: Networks,
    store: Store,
    parent_id: str,
    writer: Writer,
    state: Path,
) -> Outcome:
    """Train what is open, here or elsewhere, and see that every value has reached the store.

    Raises:
        CreditError: one has not.
    """
    queue = Queue(specs, work, store, parent_id, writer, state)
    with progress() as bar:
        queue.train(bar)
    unsent = writer.flush(FLUSH_SECONDS)
    for run_id, reason in writer.refused.items():
        raise CreditError(f"run {run_id} takes no more values: {reason}")
    if unsent:
        raise CreditError(
            f"{unsent} metric values are not sent: {shown(store.uri)} is away; they are "
            f"kept in {state / 'journal'}, the same command sends them"
        )
    return Outcome(parent_id, queue.run_ids, queue.failures)


def _distinct(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Resolved, each once."""
    resolved = [resolve(spec) for spec in specs]
    unwarmed = {
        f"warmup_ratio={given.warmup_ratio:g} of epochs={given.epochs} is no whole epoch: "
        "trained without warm-up"
        for given, spec in zip(specs, resolved, strict=True)
        if rules.of(spec).learned and given.warmup_ratio and not spec.warmup_ratio
    }
    for line in sorted(unwarmed):
        print(line, file=sys.stderr)
    return list({spec.spec_hash: spec for spec in resolved}.values())


def _prepared(specs: Sequence[RunSpec], store: Store, training: type[Networks]) -> Networks:
    """What trains the runs.

    Raises:
        CreditError: they cannot be trained.
    """
    found = find_children(store, [spec.spec_hash for spec in specs])
    settled = {key for key, old in found.items() if old.status in ("FINISHED", "FAILED")}
    pending = [spec for spec in specs if spec.spec_hash not in settled]
    work = training(specs, pending, store)
    work.check(pending)
    return work

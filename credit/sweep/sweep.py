"""A sweep: a grid of runs -> what is left to do -> stacks -> records in the tracking store.

The same sweep again skips finished runs and continues unfinished ones, in the same MLflow runs,
from their last checkpoint.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from credit import rules
from credit.data import load
from credit.errors import CreditError
from credit.networks import kinds
from credit.rules.shared import options, source
from credit.rules.shared.names import parent_name
from credit.spec import LEARNED_FIELDS, RunSpec, warmup_epochs
from credit.sweep import dry_run, planning
from credit.sweep.launchers import launcher
from credit.sweep.launchers.base import Detached, Inside, environment
from credit.sweep.networks import Networks, check_staleness, shape_of
from credit.sweep.options import Launch
from credit.sweep.progress import Progress, progress
from credit.sweep.running import Claim, Place
from credit.sweep.scheduler import Scheduler
from credit.sweep.state import drop_leftovers, make_writable, state_folder
from credit.sweep.tracked_stack import PATIENCE, hash_of, stop_on_signals
from credit.sweep.worker import Task, patiently, sent, unsettled
from credit.tracking.marks import context_tags
from credit.tracking.store import AWAY, quick_http
from credit.tracking.writer import Store, Writer, finish, log_children, open_parent


@dataclass(frozen=True)
class Sweep:
    """Runs to train, and the parent run that presents them."""

    kind: str  # the experiment: "ladder", "train", ...
    name: str  # the parent run's name
    specs: Sequence[RunSpec]
    params: Mapping[str, str] = field(default_factory=dict)  # of the parent
    description: str = ""
    then: Callable[["Outcome", Store], Sequence[RunSpec]] | None = None
    """Further runs of the same parent, which follow from the results of `specs`."""


@dataclass(frozen=True)
class Outcome:
    """The runs that a sweep left in the tracking store."""

    parent_id: str
    run_ids: dict[str, str]  # by spec hash
    failures: dict[str, str]  # reasons, by name and short spec hash


class Planned(Exception):
    """A dry run: the message is the plan, and nothing was trained."""


def resolve(spec: RunSpec, here: bool = True) -> RunSpec:
    """Replace what stands for something else by what it stands for: device, reduction.

    `here` is for runs of this machine, whose devices can be looked at. Raises CreditError where the
    rule does not exist or refuses the run, or the device is not there.
    """
    rule = rules.get(spec.rule)
    kinds.check(spec)
    knobs = options.knobs(rule)
    changes: dict[str, object] = {
        name: getattr(RunSpec, name) for name in LEARNED_FIELDS - knobs
    }  # what the rule does not read, it does not claim
    taken = spec.rule_option if options.own(rule) else options.NONE
    changes["rule_option"] = options.canonical(rule, taken)
    changes["rule_code"] = source.digest(spec.rule)
    changes["network_code"] = source.network_digest(spec.network)
    if "warmup_ratio" in knobs and not warmup_epochs(spec.warmup_ratio, spec.epochs):
        changes["warmup_ratio"] = 0.0  # what rounds to none is none
    if spec.activation != "phi":
        changes["alpha"] = RunSpec.alpha
    if spec.device == "auto":
        if not here:
            raise CreditError("device=auto is for this machine: pass cpu or cuda of the workers")
        changes["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    elif here:
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


def run(
    sweep: Sweep,
    store: Store,
    training: type[Networks] = Networks,
    launch: Launch | None = None,
    gpus: Sequence[str] = (),
) -> Outcome:
    """Train what the store does not yet hold as finished.

    Args:
        launch: where stacks train; None is this process.
        gpus: those of this machine, where each has a worker.

    Raises:
        CreditError: bad specs, data or store, before any run is created; or values were not sent
            within `FLUSH_SECONDS` of the end.
        Stopped: by one of `SIGNALS`; all runs are then KILLED and can be continued.
        Detached: workers elsewhere train, and the command does not wait.
    """
    launch = launch or Launch()
    specs = _distinct(sweep.specs, launch)
    if not specs:
        raise CreditError("the sweep is empty: name at least one rule, k and seed")
    make_writable(state := state_folder(store, launch.checkpoints))
    memory = launch.memory(specs[0].device, len(gpus)) if launch.hands_out(gpus) else None
    workers = launch.workers or len(gpus) or 1
    work = _prepared(specs, store, training, memory, workers)
    if launch.dry_run:
        raise Planned(dry_run.report(specs, work, store, launch, workers))
    engine = launcher(launch, specs, gpus)
    # a second stage is not named by the runs of the first, but by what was asked for
    asked = json.dumps(dict(sweep.params), sort_keys=True) if sweep.then else ""
    sweep_hash = hash_of(sweep.kind + asked, specs)
    name = sweep.name
    if sweep.kind != "train":  # whose name is the run's
        name = parent_name(name, sweep.params.get("preset", ""), specs)
    place = Place(store, state)
    with stop_on_signals(), Claim(place, name, sweep_hash) as claim:
        _take(claim, specs, store, launch)
        parent_id = ""
        try:
            with PATIENCE.until_asked():  # a signal must not part the parent from its id
                parent_id = open_parent(
                    store, name, sweep.kind, sweep.params, sweep_hash, sweep.description, place.name
                )
            drop_leftovers(store, state)
            with Writer(store, state / "journal") as writer:
                template = Task(
                    specs=(),
                    parent_id=parent_id,
                    names={},
                    owner=place.name,
                    state=state,
                    uploads=launch.checkpoints == "store",
                    take_over=launch.take_over,
                    context=context_tags(),
                    training=training,
                    environment=environment(store),
                )
                outcome = Outcome(parent_id, {}, {})

                def train(specs: Sequence[RunSpec], work: Networks) -> None:
                    scheduler = Scheduler(specs, work, store, writer, template)
                    with progress() as bar:
                        scheduler.train(engine or Inside(work, writer, bar), bar)
                    sent(writer, state)
                    outcome.run_ids.update(scheduler.run_ids)
                    outcome.failures.update(scheduler.failures)

                train(specs, work)
                del work  # a second stage loads its own data
                if sweep.then and (more := _distinct(sweep.then(outcome, store), launch)):
                    _take(claim, more, store, launch)
                    train(more, _prepared(more, store, training, memory, workers))
            run_ids = list(outcome.run_ids.values())
            patiently(store, lambda: log_children(store, parent_id, run_ids))
            drop_leftovers(store, state)
            patiently(store, lambda: finish(store, parent_id))
            return outcome
        except Detached:  # the parent stays RUNNING
            raise
        except BaseException:
            if parent_id:
                with contextlib.suppress(*AWAY), quick_http():  # the error says more
                    finish(store, parent_id, "KILLED")
            raise


def _take(claim: Claim, specs: Sequence[RunSpec], store: Store, launch: Launch) -> None:
    """Wait until no other command trains any of the runs that are open."""
    left = patiently(store, lambda: unsettled(store, specs))
    with progress() if launch.follow else contextlib.nullcontext() as bar:
        if bar is not None:
            bar.total = sum(spec.epochs for spec in left) + 1e-6
        show = Progress(store, left, bar, {}).show if bar is not None else lambda: None
        claim.take([spec.spec_hash for spec in left], show)


def check(specs: Sequence[RunSpec]) -> None:
    """Refuse runs that cannot be trained, before the first stage of their sweep begins."""
    first = specs[0]
    data = load(first.dataset, train_samples=first.train_samples)
    for spec in specs:
        check_staleness(spec, data)
        rules.of(spec).check(spec, shape_of(spec, data))
    planning.check(specs, lambda spec: shape_of(spec, data), planning.memory_free(first.device))


def _distinct(specs: Sequence[RunSpec], launch: Launch) -> list[RunSpec]:
    """Resolved, each once."""
    resolved = [resolve(spec, launch.here) for spec in specs]
    unwarmed = {
        f"warmup_ratio={given.warmup_ratio:g} of epochs={given.epochs} is no whole epoch: "
        "trained without warm-up"
        for given, spec in zip(specs, resolved, strict=True)
        if rules.of(spec).learned and given.warmup_ratio and not spec.warmup_ratio
    }
    for line in sorted(unwarmed):
        print(line, file=sys.stderr)
    return list({spec.spec_hash: spec for spec in resolved}.values())


def _prepared(
    specs: Sequence[RunSpec],
    store: Store,
    training: type[Networks],
    memory: int | None,
    workers: int,
) -> Networks:
    """Return what trains the runs, or, where workers do, what plans them; refuse bad ones."""
    pending = unsettled(store, specs)
    work = training(specs, pending, store, memory, workers)
    work.check(pending)
    return work

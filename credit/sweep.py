"""A sweep: a grid of runs -> what is left to do -> stacks -> records in the tracking store.

The same sweep again skips finished runs and continues unfinished ones, in the same MLflow runs,
from their last checkpoint.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path

import torch

from credit import planning, rules, starting
from credit.data import Dataset, load
from credit.errors import CreditError
from credit.rules import Shape
from credit.spec import LEARNED_FIELDS, RunSpec
from credit.tracked_stack import FLUSH_SECONDS, TrackedStack, hash_of, progress, stop_on_signals
from credit.tracking.store import AWAY, project_root, shown, sqlite_path
from credit.tracking.writer import (
    FoundRun,
    Store,
    Writer,
    adopt,
    find_children,
    finish,
    log_children,
    open_child,
    open_parent,
)
from credit.training import checkpoint
from credit.training.stack import Stack


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
    failures: dict[str, str]  # run name -> reason


def resolve(spec: RunSpec) -> RunSpec:
    """Replace what stands for something else by what it stands for: device, reduction.

    Raises:
        CreditError: the rule does not exist, or the device is not there.
    """
    rule = rules.get(spec.rule)
    knobs = {f.name for f in fields(rule)} if is_dataclass(rule) else set()
    changes: dict[str, object] = {
        name: getattr(RunSpec, name) for name in LEARNED_FIELDS - knobs
    }  # what the rule does not read, it does not claim
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
    rule.configured(spec)  # raises where the rule wants what there is not
    if rule.exact_products and spec.precision in ("bf16", "tf32"):
        raise CreditError(
            f"precision={spec.precision} drowns the small loss differences that {spec.rule} learns "
            "from: pass fp32 or fp64"
        )
    if "estimator_layers" in knobs and spec.batch_size < spec.depth:
        raise CreditError(
            f"batch_size={spec.batch_size} is below depth={spec.depth}: {spec.rule} would never "
            "see some layers, pass at least one sample per block"
        )
    if rule.learned and spec.credit_reduction not in ("published", rule.published_reduction):
        raise CreditError(
            f"credit_reduction={spec.credit_reduction} does not suit {spec.rule}: its estimator is "
            "trained and measured on each sample's own error, pass published"
        )
    if spec.credit_reduction == "published" or not rule.surrogate:  # bp trains on the mean loss
        changes["credit_reduction"] = rule.published_reduction
    return spec.replace(**changes)


class Networks:
    """What most sweeps train: networks on one dataset.

    Another kind of training subclasses this and says how its runs share a stack, what a stack is
    and how it is tracked (`credit.toy_lq.tracked`).

    Raises:
        CreditError: bad specs or data.
    """

    def __init__(self, specs: Sequence[RunSpec], store: Store) -> None:
        if len(devices := {spec.device for spec in specs}) > 1:
            raise CreditError(f"one sweep trains on one device, not {', '.join(sorted(devices))}")
        self._data = {key: load(*key) for key in dict.fromkeys(map(_data_key, specs))}
        used = sum(
            planning.memory_of_data(data, [s for s in specs if _data_key(s) == key])
            for key, data in self._data.items()
        )
        self.free = planning.memory_free(specs[0].device) - used
        self.starts = starting.networks(specs, store)

    def data(self, spec: RunSpec) -> Dataset:
        """What a run trains on."""
        return self._data[_data_key(spec)]

    def shape(self, spec: RunSpec) -> Shape:
        """The dimensions of a run's network."""
        return shape_of(spec, self.data(spec))

    def check(self, pending: Sequence[RunSpec]) -> None:
        """Refuse what cannot be trained, before any run is created."""
        planning.check(pending, self.shape, self.free)

    def plan(
        self, pending: Sequence[RunSpec], done: Mapping[str, tuple[int, int]]
    ) -> list[list[RunSpec]]:
        """Which runs share a stack. `done`: epochs, and steps of the next, by spec hash."""
        stacks, note = planning.plan(pending, self.shape, done, self.free)
        if note:
            print(note, file=sys.stderr)
        return stacks

    def source(self, spec: RunSpec) -> dict[str, str]:
        """What the tracking store calls a run's data."""
        data = self.data(spec)
        return {"name": data.name, "digest": data.digest, "source": data.source}

    def stack(self, runs: Sequence[RunSpec]) -> Stack:
        """Runs that train together, before their first step."""
        return Stack(runs, self.shape(runs[0]), self.starts)

    def tracked(
        self, stack: Stack, run_ids: list[str], store: Store, writer: Writer, state: Path
    ) -> TrackedStack:
        """A stack with the MLflow runs it reports to."""
        return TrackedStack(stack, run_ids, self.data(stack.specs[0]), store, writer, state)


def run(sweep: Sweep, store: Store, training: type[Networks] = Networks) -> Outcome:
    """Train what the store does not yet hold as finished.

    Raises:
        CreditError: bad specs, data or store, before any run is created; a run busy in another
            process; or values that could not be sent within `FLUSH_SECONDS` of the end.
        Stopped: SIGTERM or Ctrl-C; all runs are then KILLED and can be continued.
    """
    specs = _distinct(sweep.specs)
    if not specs:
        raise CreditError("the sweep is empty: name at least one rule, k and seed")
    work, found = _prepared(specs, store, training)
    sweep_hash = hash_of(sweep.kind, specs)
    parent_id = open_parent(
        store, sweep.name, sweep.kind, sweep.params, sweep_hash, sweep.description
    )
    state = state_folder(store)
    status = "KILLED"
    try:
        with Writer(store, state / "journal") as writer, stop_on_signals():
            outcome = _train_all(specs, work, store, parent_id, found, writer, state)
            _sent(writer, store, state)
            del work  # a second stage loads its own data
            if sweep.then and (more := _distinct(sweep.then(outcome, store))):
                work, found = _prepared(more, store, training)
                second = _train_all(more, work, store, parent_id, found, writer, state)
                _sent(writer, store, state)
                outcome = Outcome(
                    parent_id,
                    outcome.run_ids | second.run_ids,
                    outcome.failures | second.failures,
                )
        log_children(store, parent_id, outcome.run_ids.values())
        adopt(store, parent_id, outcome.run_ids.values())
        status = "FINISHED"
        return outcome
    finally:
        with contextlib.suppress(*AWAY):  # it is then found stale; the error above says more
            finish(store, parent_id, status)


def _distinct(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Resolved, each once."""
    return list({spec.spec_hash: spec for spec in map(resolve, specs)}.values())


def _prepared(
    specs: Sequence[RunSpec], store: Store, training: type[Networks]
) -> tuple[Networks, dict[str, FoundRun]]:
    """What trains the runs, and those of them that the store has.

    Raises:
        CreditError: they cannot be trained, or another process trains one of them.
    """
    work = training(specs, store)
    found = find_children(store, [spec.spec_hash for spec in specs])
    for spec in specs:
        if (old := found.get(spec.spec_hash)) and old.busy:
            raise CreditError(
                f"run {old.run_id} ({spec.name}) is being trained by another process: "
                "wait for it, or stop it"
            )
    settled = {key for key, old in found.items() if old.status in ("FINISHED", "FAILED")}
    work.check([s for s in specs if s.spec_hash not in settled])
    return work, found


def _sent(writer: Writer, store: Store, state: Path) -> None:
    """See that every value has reached the store.

    Raises:
        CreditError: one has not.
    """
    unsent = writer.flush(FLUSH_SECONDS)
    for run_id, reason in writer.refused.items():
        raise CreditError(f"run {run_id} takes no more values: {reason}")
    if unsent:
        raise CreditError(
            f"{unsent} metric values are not sent: {shown(store.uri)} is away; they are "
            f"kept in {state / 'journal'}, the same command sends them"
        )


def state_folder(store: Store) -> Path:
    """Where checkpoints and unsent values of this store's runs are kept.

    Below CREDIT_STATE, else below `.credit` in the project root.
    """
    root = Path(os.environ.get("CREDIT_STATE") or project_root() / ".credit")
    where = sqlite_path(store.uri) or store.uri
    key = hashlib.sha256(f"{where}#{store.experiment_id}".encode()).hexdigest()[:12]
    return root / key


def _data_key(spec: RunSpec) -> tuple[str, str, None, int, bool]:
    """The arguments of `load`."""
    return spec.dataset, spec.device, None, spec.train_samples, spec.random_labels


def shape_of(spec: RunSpec, data: Dataset) -> Shape:
    """The dimensions of a run's network."""
    return Shape(data.d_in, spec.width, data.classes, spec.depth)


def _train_all(
    specs: Sequence[RunSpec],
    work: Networks,
    store: Store,
    parent_id: str,
    found: Mapping[str, FoundRun],
    writer: Writer,
    state: Path,
) -> Outcome:
    run_ids = {key: old.run_id for key, old in found.items() if old.finished}
    failures = {}
    pending = []
    for spec in specs:
        old = found.get(spec.spec_hash)
        if old is not None and old.status == "FAILED":
            run_ids[spec.spec_hash] = old.run_id
            failures[spec.name] = old.reason or "failed earlier"
        elif spec.spec_hash not in run_ids:
            pending.append(spec)
    left = {spec.spec_hash for spec in pending}
    files, unreadable = checkpoint.find(state / "stacks")
    saved = {
        key: source
        for key, source in files.items()
        if key in found and key in left and _continues(writer, found[key], source[0])
    }
    if unreadable and (lost := [key for key in left if key in found and key not in files]):
        raise CreditError(f"{unreadable[0]} ({len(lost)} runs of this sweep have no other one)")
    for reason in unreadable:
        print(f"credit: {reason}; the one before is used", file=sys.stderr)
    done = {key: header.done for key, (header, _) in saved.items()}
    run_epochs = sum(spec.epochs - done.get(spec.spec_hash, (0, 0))[0] for spec in pending)
    if len(pending) < len(specs):
        print(
            f"{len(specs) - len(pending)} of {len(specs)} runs are already there", file=sys.stderr
        )
    stacks = work.plan(pending, done)
    with progress(run_epochs) as bar:
        for runs in stacks:
            stack = work.stack(runs)
            start, steps = done.get(runs[0].spec_hash, (0, 0))
            if start or steps:
                checkpoint.restore(stack, [saved[spec.spec_hash] for spec in runs])
            ids = [
                open_child(
                    store,
                    parent_id,
                    spec,
                    found.get(spec.spec_hash),
                    work.source(spec),
                    writer.then,
                )
                for spec in runs
            ]
            run_ids |= {spec.spec_hash: i for spec, i in zip(runs, ids, strict=True)}
            tracked = work.tracked(stack, ids, store, writer, state)
            failures |= tracked.train(start, bar)
            del stack, tracked  # the next stack needs the memory
    return Outcome(parent_id, run_ids, failures)


def _continues(writer: Writer, old: FoundRun, header: checkpoint.Header) -> bool:
    """Whether the metrics of `old` reach up to the checkpoint: going on then leaves no gap."""
    return set(range(1, header.epoch + 1)) <= writer.known_steps(old.run_id)

"""The toy LQ experiment in the tracking store: what is left to do, bundle after bundle.

As with every sweep, the same command again skips finished runs and continues unfinished ones, in
the same MLflow runs, from their last checkpoint.
"""

import contextlib
import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from tqdm import tqdm

from credit.data import Dataset
from credit.errors import CreditError
from credit.spec import RunSpec
from credit.sweep import Outcome, Sweep, resolve, state_folder
from credit.toy_lq import system
from credit.toy_lq.bundle import PRECISIONS, Bundle, bundles, measure, train
from credit.tracked_stack import (
    CHECKPOINT_SECONDS,
    FLUSH_SECONDS,
    TrackedStack,
    hash_of,
    progress,
    stop_on_signals,
)
from credit.tracking.store import AWAY, shown
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


class TrackedBundle(TrackedStack):
    """A bundle on its way through training, with the MLflow runs it reports to."""

    def __init__(
        self, bundle: Bundle, run_ids: list[str], store: Store, writer: Writer, state: Path
    ) -> None:
        stack = cast(Stack, bundle)  # of which specs, states and parameters are read
        super().__init__(stack, run_ids, cast(Dataset, None), store, writer, state)
        self.bundle = bundle

    def _epochs(
        self, start: int, bar: tqdm, failures: dict[int, str], layers: dict[int, list[dict]]
    ) -> None:
        epochs, saved_at = self.bundle.specs[0].epochs, time.monotonic()

        def on_step(step: int, steps: int) -> None:
            bar.update(self.bundle.size / steps)

        for records in train(self.bundle, start, on_step):
            for record in records:
                run_id = self.run_ids[record.row]
                self.writer.log(run_id, record.epoch, record.metrics)
                if record.layers:
                    layers[record.row] = record.layers
                if record.failure:
                    failures[record.row] = record.failure
                    self.writer.finish(run_id, "FAILED", record.failure)
            epoch = records[0].epoch
            bar.set_postfix_str(f"{self.bundle.specs[0].rule}, epoch {epoch}/{epochs}")
            if epoch == epochs or time.monotonic() - saved_at >= CHECKPOINT_SECONDS:
                checkpoint.save_stack(self.stack, epoch, self.path)
                saved_at = time.monotonic()

    def _finish(self, failures: dict[int, str], layers: dict[int, list[dict]]) -> None:
        if not layers:  # killed between the last epoch and here
            layers |= {row: report.layers for row, report in enumerate(measure(self.bundle))}
        super()._finish(failures, layers)


def run(plan: Sweep, store: Store) -> Outcome:
    """Train what the store does not yet hold as finished.

    Raises:
        CreditError: bad specs, before any run is created; a run busy in another process; or values
            that could not be sent within `FLUSH_SECONDS` of the end.
        Stopped: SIGTERM or Ctrl-C; all runs are then KILLED and can be continued.
    """
    specs = list({spec.spec_hash: spec for spec in map(resolve, plan.specs)}.values())
    if not specs:
        raise CreditError("there is nothing to train: name at least one rule and seed")
    for spec in specs:
        check(spec)
    found = find_children(store, [spec.spec_hash for spec in specs])
    for spec in specs:
        if (old := found.get(spec.spec_hash)) and old.busy:
            raise CreditError(
                f"run {old.run_id} ({spec.name}) is being trained by another process: "
                "wait for it, or stop it"
            )
    parent_id = open_parent(
        store, plan.name, plan.kind, plan.params, hash_of(plan.kind, specs), plan.description
    )
    state, status = state_folder(store), "KILLED"
    try:
        with Writer(store, state / "journal") as writer, stop_on_signals():
            outcome = _train_all(specs, store, parent_id, found, writer, state)
            unsent = writer.flush(FLUSH_SECONDS)
            for run_id, reason in writer.refused.items():
                raise CreditError(f"run {run_id} takes no more values: {reason}")
            if unsent:
                raise CreditError(
                    f"{unsent} metric values are not sent: {shown(store.uri)} is away; they are "
                    f"kept in {state / 'journal'}, the same command sends them"
                )
        log_children(store, parent_id, outcome.run_ids.values())
        adopt(store, parent_id, outcome.run_ids.values())
        status = "FINISHED"
        return outcome
    finally:
        with contextlib.suppress(*AWAY):
            finish(store, parent_id, status)


def _train_all(
    specs: Sequence[RunSpec],
    store: Store,
    parent_id: str,
    found: Mapping[str, FoundRun],
    writer: Writer,
    state: Path,
) -> Outcome:
    run_ids: dict[str, str] = {}
    failures: dict[str, str] = {}
    pending: list[RunSpec] = []
    for spec in specs:
        old = found.get(spec.spec_hash)
        if old is None or old.status not in ("FINISHED", "FAILED"):
            pending.append(spec)
            continue
        run_ids[spec.spec_hash] = old.run_id
        if old.status == "FAILED":
            failures[spec.name] = old.reason or "failed earlier"
    left = {spec.spec_hash for spec in pending}
    saved = {
        key: source
        for key, source in checkpoint.find(state / "stacks").items()
        if key in found
        and key in left
        and set(range(1, source[0].epoch + 1)) <= writer.known_steps(found[key].run_id)
    }
    done = {key: header.epoch for key, (header, _) in saved.items()}
    if len(pending) < len(specs):
        count = f"{len(specs) - len(pending)} of {len(specs)}"
        print(f"{count} runs are already there", file=sys.stderr)
    with progress(sum(spec.epochs - done.get(spec.spec_hash, 0) for spec in pending)) as bar:
        for own in bundles(pending, done):
            bundle, start = Bundle(own), done.get(own[0].spec_hash, 0)
            stack = cast(Stack, bundle)
            if start:
                checkpoint.restore(stack, [saved[spec.spec_hash] for spec in own])
            ids = [
                open_child(
                    store, parent_id, spec, found.get(spec.spec_hash), data_of(spec), writer.then
                )
                for spec in own
            ]
            run_ids |= {spec.spec_hash: i for spec, i in zip(own, ids, strict=True)}
            failures |= TrackedBundle(bundle, ids, store, writer, state).train(start, bar)
    return Outcome(parent_id, run_ids, failures)


def check(spec: RunSpec) -> None:
    """Refuse a run that makes no sense here.

    Raises:
        CreditError: it names another dataset, no trajectories, too narrow a state or an arithmetic
            that is a network's.
    """
    if spec.dataset != "toy_lq":
        raise CreditError(f"dataset={spec.dataset}: this experiment makes its own, pass toy_lq")
    if spec.train_samples < 1:
        raise CreditError(
            f"train_samples={spec.train_samples}: trajectories are drawn without end, pass how "
            "many make an epoch"
        )
    if spec.width < 2:
        raise CreditError(
            f"width={spec.width} is too small for a system that turns: pass 2 or more"
        )
    if spec.precision not in PRECISIONS:
        raise CreditError(
            f"precision={spec.precision} is for networks: pass {' or '.join(PRECISIONS)}"
        )


def data_of(spec: RunSpec) -> dict[str, str]:
    """What the tracking store calls a run's data: all that its system is drawn from."""
    facts = {"seed": spec.seed, "width": spec.width, "depth": spec.depth, **system.constants()}
    return {
        "name": "toy_lq",
        "digest": hashlib.sha256(repr(facts).encode()).hexdigest()[:16],
        "source": "credit.toy_lq.system",
    }

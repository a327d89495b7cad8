"""Finished runs, measured again from their checkpoints; those without a model get it."""

from collections.abc import Callable, Collection, Iterator
from functools import cache

import pandas as pd

from credit import measures, rules
from credit.data import Dataset, load
from credit.errors import CreditError
from credit.finished.starting import WEIGHTS
from credit.lab.options import items
from credit.lab.quantity import VALID
from credit.rules.shared import source
from credit.serving import sample_of
from credit.spec import RunSpec, check_names, field_types
from credit.sweep.networks import labels_seed, shape_of
from credit.tracking.reader import LAYERS, Reader
from credit.tracking.writer import Store, has_network, log_network, log_table
from credit.training import checkpoint
from credit.training.cost import costs
from credit.training.measuring import measure_held_out
from credit.training.stack import Stack

LAST = "checkpoint/last.safetensors"


def chosen(text: str) -> list[str]:
    """A comma-separated list of measurements; `all` is the empty list."""
    names = [] if text == "all" else items("measurements", text)
    check_names(names, measures.available(), "measurement")
    return names


def remeasure(
    store: Store,
    reader: Reader,
    parent_id: str,
    names: Collection[str] = (),
    trusted: Collection[str] = (),
) -> Iterator[str]:
    """Measure a parent's finished runs on the CPU and log what they lack: metrics, the model.

    What a run logged before its last measurement counts as lacking; another valid reference is
    logged with the table of layers. Yields one line per run. What kept runs from being measured is
    raised after all others. Code of `trusted` rules may be imported.
    """
    runs = reader.runs(parent=parent_id)
    if runs.empty:
        raise CreditError(f"run {parent_id} has no child runs: pass the id of a parent run")
    loaded, lost = cache(load), []
    for row in runs.loc[runs["status"] == "FINISHED"].to_dict("records"):
        spec = RunSpec(**{name: row[name] for name in field_types()}).replace(device="cpu")
        try:
            stack, header, data = restored(reader, row["run_id"], spec, trusted, loaded)
        except CreditError as error:
            lost.append(error)
            continue
        (report,) = measure_held_out(stack, data, only=names)
        run = reader.run(row["run_id"])
        known = run.data.metrics
        fresh = {
            n: (v, spec.epochs)
            for n, v in report.metrics.items()
            if pd.isna(row.get(n)) or (n == VALID and row[n] != v)
        }
        if "agreement/min" in fresh and not names:
            log_table(store, row["run_id"], pd.DataFrame(report.layers), LAYERS)
        for name, value in costs(spec, stack.shape).items():
            if known.get(name) != value:
                fresh[name] = (value, 1)
        for name, (value, step) in fresh.items():
            store.client.log_metric(row["run_id"], name, value, step=step)
        added = "" if has_network(store, row["run_id"]) else ", model"
        if added:
            weights = reader.artifact(row["run_id"], WEIGHTS)
            log_network(store, row["run_id"], header.specs[0], weights, sample_of(data))
        yield f"{row['name']}: {len(fresh)} metrics{added}"
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise CreditError(f"{lost[0]}{more}") from lost[0]


def restored(
    reader: Reader,
    run_id: str,
    spec: RunSpec,
    trusted: Collection[str],
    load: Callable[..., Dataset] = load,
) -> tuple[Stack, checkpoint.Header, Dataset]:
    """A finished run as it was after its last step, from its checkpoint, and its data.

    Its rule's code is imported. Raises CreditError where that is not `trusted` or another by now,
    or there is no whole checkpoint.
    """
    rules.refuse_untrusted(spec, trusted, f"run {run_id}")  # before any data
    data = load(spec.dataset, train_samples=spec.train_samples, labels_seed=labels_seed(spec))
    rules.get(spec.rule)
    code = {spec.rule: spec.rule_code, spec.network: spec.network_code}
    now = {spec.rule: source.digest(spec.rule), spec.network: source.network_digest(spec.network)}
    if changed := [name for name, digest in code.items() if digest != now[name]]:
        raise CreditError(
            f"run {run_id} ({spec.name}) was trained by other code than {changed[0]} has now: "
            "restore that file, or audit what it is now with rule="
        )
    try:
        header = checkpoint.read_header(reader.artifact(run_id, LAST))
    except CreditError as error:
        raise CreditError(
            f"run {run_id} ({spec.name}) cannot be measured again: {error}"
        ) from error
    stack = Stack([spec], shape_of(spec, data))
    checkpoint.restore(stack, [(header, 0)])
    return stack, header, data

"""Finished runs, measured again from their checkpoints."""

from collections.abc import Collection, Iterator

from credit import measures
from credit.data import Dataset, load
from credit.errors import CreditError
from credit.grid.options import items
from credit.networks import labels_seed, shape_of
from credit.spec import RunSpec, check_names, field_types
from credit.tracking.reader import Reader
from credit.tracking.store import Store
from credit.training import checkpoint
from credit.training.cost import costs
from credit.training.measuring import measure_held_out
from credit.training.stack import Stack

LAST = "checkpoint/last.safetensors"


def chosen(text: str) -> list[str]:
    """A comma-separated list of measurements; `all` is the empty list.

    Raises:
        CreditError: there is none of that name.
    """
    names = [] if text == "all" else items("measurements", text)
    check_names(names, measures.available(), "measurement")
    return names


def remeasure(
    store: Store, reader: Reader, parent_id: str, names: Collection[str] = ()
) -> Iterator[str]:
    """Measure a parent's finished runs on the CPU and log the metrics that they lack.

    Args:
        names: measurements to take, of `chosen`; none is all.

    Yields:
        one line per run that was measured.

    Raises:
        CreditError: no such parent, or a run without its checkpoint.
    """
    runs = reader.runs(parent=parent_id)
    if runs.empty:
        raise CreditError(f"run {parent_id} has no child runs: pass the id of a parent run")
    datasets: dict[tuple[str, int, int | None], Dataset] = {}
    for row in runs.loc[runs["status"] == "FINISHED"].to_dict("records"):
        spec = RunSpec(**{name: row[name] for name in field_types()}).replace(device="cpu")
        key = (spec.dataset, spec.train_samples, labels_seed(spec))
        if key not in datasets:
            name, samples, labels = key
            datasets[key] = load(name, train_samples=samples, labels_seed=labels)
        data = datasets[key]
        try:
            header = checkpoint.read_header(reader.artifact(row["run_id"], LAST))
        except CreditError as error:
            raise CreditError(
                f"run {row['run_id']} ({row['name']}) cannot be measured again: {error}"
            ) from error
        stack = Stack([spec], shape_of(spec, data))
        checkpoint.restore(stack, [(header, 0)])
        (report,) = measure_held_out(stack, data, only=names)
        run = reader.run(row["run_id"])
        known = run.data.metrics
        fresh = {n: (v, spec.epochs) for n, v in report.metrics.items() if n not in known}
        for name, value in costs(spec, stack.shape).items():
            if known.get(name) != value:
                fresh[name] = (value, 1)
        for name, (value, step) in fresh.items():
            store.client.log_metric(row["run_id"], name, value, step=step)
        yield f"{row['name']}: {len(fresh)} metrics"

"""Runs that start from the network of a finished run."""

from collections.abc import Sequence

from credit.errors import CreditError
from credit.network import Params
from credit.spec import RunSpec, format_value
from credit.tracking.reader import connect
from credit.tracking.writer import Store, find_children
from credit.training import checkpoint

WEIGHTS = "checkpoint/weights.safetensors"
SAME = ("dataset", "width", "depth", "activation", "terminal_norm")
"""Fields in which a run must agree with the one that it starts from."""


def networks(specs: Sequence[RunSpec], store: Store) -> dict[str, Params]:
    """The networks that the specs' `start` names, by spec hash.

    Raises:
        CreditError: no finished run has that hash, its weights are not in the store, or it is
            another kind of network.
    """
    wanted = {spec.start: spec for spec in specs if spec.start != RunSpec.start}
    if not wanted:
        return {}
    found, reader = find_children(store, wanted), connect(store.uri)
    starts = {}
    for key, spec in wanted.items():
        run = found.get(key)
        if run is None or not run.finished:
            raise CreditError(
                f"start={key}: the tracking store has no finished run of that spec hash, train it "
                "first"
            )
        try:
            path = reader.artifact(run.run_id, WEIGHTS)
        except CreditError as error:
            raise CreditError(
                f"run {run.run_id} has no {WEIGHTS} to start from, as runs do that were imported: "
                "delete it in the tracking store, and the same command trains it again"
            ) from error
        reference, starts[key] = checkpoint.network_of(path)
        for name in SAME:
            here, there = getattr(spec, name), getattr(reference, name)
            if here != there:
                raise CreditError(
                    f"{name}={format_value(here)}, but run {run.run_id} to start from has "
                    f"{name}={format_value(there)}: pass the same"
                )
    return starts

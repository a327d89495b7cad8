"""Runs that start from the network of a finished run."""

from collections.abc import Iterable, Mapping, Sequence

from credit.data import NAMES
from credit.errors import CreditError
from credit.lab.options import PRESET
from credit.networks.base import Params
from credit.spec import SCHEMA, RunSpec, field_types, format_value, same_value
from credit.tracking.marks import SCHEMA_TAG, SPEC
from credit.tracking.reader import Reader, connect
from credit.tracking.writer import Store, find_children
from credit.training import checkpoint

WEIGHTS = "checkpoint/weights.safetensors"
SAME = ("dataset", "network", "width", "depth", "activation", "terminal_norm")
"""Fields in which a run must agree with the one that it starts from."""


def networks(specs: Sequence[RunSpec], store: Store) -> dict[str, Params]:
    """The networks that the specs' `start` names, by spec hash."""
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


def finished_network(reader: Reader, run_id: str) -> RunSpec:
    """Return the spec of a finished run of one network."""
    run = reader.run(run_id)
    tags, params = run.data.tags, run.data.params
    who = f"run_id={run_id} ({run.info.run_name})"
    if run.info.lifecycle_stage != "active":
        raise CreditError(f"{who} is deleted: restore it, or name another run")
    if tags.get(SCHEMA_TAG) != SCHEMA:
        theirs = tags.get(SCHEMA_TAG, "none")
        raise CreditError(f"{who} has schema {theirs}, and this code reads {SCHEMA}: name another")
    if SPEC not in tags or params.get("dataset", RunSpec.dataset) not in NAMES:
        raise CreditError(f"{who} is not of one network: choose an id from connect().runs()")
    if run.info.status != "FINISHED":
        raise CreditError(f"{who} is {run.info.status}: run its command again to finish it")
    return RunSpec.from_mapping({k: v for k, v in params.items() if k in field_types()})


def trained_whole(run_id: str) -> RunSpec:
    """Return the spec of a finished run whose whole network backprop has trained on true labels."""
    found = finished_network(connect(), run_id)
    if found.rule != "bp" or found.k < found.depth or found.random_labels:
        raise CreditError(
            f"run_id={run_id} is of rule={found.rule}, k={found.k} of {found.depth}, random_labels="
            f"{format_value(found.random_labels)}: name a run of bp with k=depth and true labels"
        )
    return found


def on_network_of(run_id: str, given: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return the options of frozen recovery, with those of `names` as a run's network has them."""
    start = trained_whole(run_id)
    own = start.to_params()
    settles = {name: own[name] for name in names}
    settles |= {"networks": f"{start.width}x{start.depth}", "seeds": own["seed"]}
    for name, theirs in settles.items():
        asked = given.get(name, PRESET)
        if asked != PRESET and not same_value(asked, theirs):
            raise CreditError(
                f"{name}={asked} does not go with run_id, whose network has {theirs}: leave out "
                f"{name} or run_id"
            )
    if given.get("augment", PRESET) == PRESET:
        settles["augment"] = own["augment"]
    return {**given, **settles}

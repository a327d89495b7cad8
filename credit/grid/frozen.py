"""Grid of frozen recovery: networks trained by backprop, then estimators on them as they are."""

import re
from collections.abc import Mapping, Sequence

from credit.cli import PRESET
from credit.data import NAMES
from credit.errors import CreditError
from credit.grid.options import fields, items, numbers
from credit.presets import FROZEN_ARMS
from credit.spec import SCHEMA, RunSpec, check_field, check_names, field_types, format_value
from credit.tracking.marks import SCHEMA_TAG, SPEC, same_value
from credit.tracking.reader import Reader

NOTHING_TRAINS = {
    "k": 0,
    "embed_trains": False,
    "head_trains": False,
    "warmup_ratio": 0,  # dfa's credit has nothing to warm up
}
"""The network stays what it is at the start; only an estimator learns."""
INHERITED = ("dataset", "width", "depth", "activation", "alpha", "terminal_norm")
"""What a frozen run has from its reference, beside the seed."""


def frozen_recovery(chosen: Mapping[str, str]) -> list[RunSpec]:
    """The references: networks x seeds, every block trained by backprop.

    They are the depth-utility ladder's own runs of bp with k = depth, wherever the options say the
    same, so that a ladder that is there already is not trained again.
    """
    common = fields(chosen)
    for name, option in (("epochs", "reference_epochs"), ("train_samples", "reference_samples")):
        common[name] = format_value(check_field(name, chosen[option], option))
    common["stale_steps"] = str(RunSpec.stale_steps)
    return [
        RunSpec.from_mapping(
            {**common, "rule": "bp", "width": width, "depth": depth, "k": depth, "seed": seed}
        )
        for seed in numbers("seeds", chosen["seeds"])
        for width, depth in networks(chosen["networks"])
    ]


def frozen_arms(chosen: Mapping[str, str], references: Sequence[RunSpec]) -> list[RunSpec]:
    """arms on each of the references, as they are resolved: `start` is a hash of all fields.

    Raises:
        CreditError: an option is not valid, or an arm is not one of `presets.FROZEN_ARMS`.
    """
    arms = items("arms", chosen["arms"])
    check_names(arms, FROZEN_ARMS, "arm")
    common = fields(chosen)
    return [
        RunSpec.from_mapping(
            {
                **common,
                **{name: getattr(reference, name) for name in (*INHERITED, "seed")},
                **FROZEN_ARMS[arm],
                **NOTHING_TRAINS,
                "start": reference.spec_hash,
            }
        )
        for reference in references
        for arm in arms
    ]


def networks(text: str) -> list[tuple[int, int]]:
    """`256x4,512x4` as widths and depths.

    Raises:
        CreditError: an item is not one, or one is named twice.
    """
    found = []
    for part in items("networks", text):
        match = re.fullmatch(r"(\d+)x(\d+)", part)
        if match is None:
            raise CreditError(
                f"networks={part!r} is not width x depth: pass a list such as 256x4,512x4"
            )
        found.append((int(match[1]), int(match[2])))
    if len(set(found)) < len(found):
        raise CreditError(f"networks={text!r} names a network twice: name each once")
    return found


def started_from(reader: Reader, run_id: str) -> RunSpec:
    """The spec of a finished run, whose network others are to start from.

    Raises:
        CreditError: the store has no such run, or it has no network to start from.
    """
    found = finished_network(reader, run_id)
    if found.rule != "bp" or found.k < found.depth or found.random_labels:
        raise CreditError(
            f"run_id={run_id} ({reader.run(run_id).info.run_name}) is no network that backprop has "
            "trained whole: name a finished run of rule=bp with k=depth and true labels"
        )
    return found


def finished_network(reader: Reader, run_id: str) -> RunSpec:
    """The spec of a finished run of one network.

    Raises:
        CreditError: the store has no such run, or it is none of these.
    """
    run = reader.run(run_id)
    tags, params = run.data.tags, run.data.params
    if run.info.lifecycle_stage != "active":
        raise CreditError(f"run_id={run_id} is deleted: restore it, or name another run")
    if tags.get(SCHEMA_TAG) != SCHEMA:
        theirs = tags.get(SCHEMA_TAG, "none")
        raise CreditError(
            f"run_id={run_id} has schema {theirs}, and this code reads {SCHEMA}: name a run that "
            "this version has trained"
        )
    if SPEC not in tags or params.get("dataset", RunSpec.dataset) not in NAMES:
        raise CreditError(
            f"run_id={run_id} ({run.info.run_name}) is not the run of one network: choose an id "
            "from connect().runs()"
        )
    if run.info.status != "FINISHED":
        raise CreditError(
            f"run_id={run_id} ({run.info.run_name}) is {run.info.status}, not FINISHED: run its "
            "command again to finish it, or name another run"
        )
    return RunSpec.from_mapping({k: v for k, v in params.items() if k in field_types()})


def on_network_of(given: Mapping[str, str], start: RunSpec) -> dict[str, str]:
    """The options as given, with what the network of `start` settles.

    Raises:
        CreditError: an option says otherwise.
    """
    own = start.to_params()
    settled = {name: own[name] for name in INHERITED if name in given}
    settled |= {"networks": f"{start.width}x{start.depth}", "seeds": own["seed"]}
    for name, value in settled.items():
        if given[name] != PRESET and not same_value(given[name], value):
            raise CreditError(
                f"{name}={given[name]} does not go with run_id, whose network has {value}: leave "
                f"out {name} or run_id"
            )
    if given["augment"] == PRESET:
        settled["augment"] = own["augment"]
    return {**given, **settled}

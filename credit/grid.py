"""Grids: options as strings -> the list of RunSpecs they mean. Presets are data."""

import sys
from collections.abc import Mapping

from credit.cli import PRESET
from credit.data import fallback
from credit.errors import CreditError
from credit.spec import RunSpec, check_names, field_types, parse_value

PRESETS: dict[str, dict[str, dict[str, str]]] = {
    "ladder": {
        "published": {"rules": "bp,oracle,fa,dfa", "ks": "all", "seeds": "42,123,456"},
        "quick": {
            "rules": "bp,oracle,fa,dfa",
            "ks": "all",
            "seeds": "42",
            "width": "128",
            "epochs": "6",
            "train_samples": "20000",
            "measure_every": "6",
            "measure_samples": "512",
            "directions": "8",
        },
    },
    "direction_quality": {
        "published": {"rules": "dfa", "penalties": "0,0.01", "seeds": "42"},
        "quick": {
            "rules": "dfa",
            "penalties": "0,0.01",
            "seeds": "42",
            "width": "128",
            "epochs": "6",
            "train_samples": "20000",
            "measure_samples": "512",
            "directions": "8",
        },
    },
}
"""For every experiment: preset name -> options. A field that a preset leaves out has RunSpec's
default. The published presets are METHODS' recipe; the quick ones take minutes on two CPU cores."""


def settled(experiment: str, given: Mapping[str, str]) -> dict[str, str]:
    """The options after the preset has filled in what was left to it. Explicit options win.

    The quick presets must run anywhere: if their dataset is neither on disk nor downloadable, they
    fall back to `digits`, and say so on stderr.

    Raises:
        CreditError: no such preset.
    """
    presets = PRESETS[experiment]
    name = given["preset"]
    check_names([name], presets, "preset")
    chosen = {k: presets[name].get(k, PRESET) if v == PRESET else v for k, v in given.items()}
    if name == "quick" and given["dataset"] == PRESET:
        available = fallback(RunSpec().dataset)
        if available.reason:
            swap = f"TRAINING ON {available.name}, NOT {RunSpec().dataset}"
            print(f"credit: {swap}: {available.reason}", file=sys.stderr)
            chosen["dataset"] = available.name
    if chosen["dataset"] == "digits" and given["train_samples"] == PRESET:
        chosen["train_samples"] = "0"  # it is smaller than any preset's share of CIFAR-10
    return chosen


def items(name: str, text: str) -> list[str]:
    """A comma-separated list. `items("ks", "0, 2")` is ["0", "2"].

    Raises:
        CreditError: it is empty, or has an empty or repeated item.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise CreditError(f"{name}={text!r} has an empty item: pass a list such as 1,2")
    if len(set(parts)) < len(parts):
        raise CreditError(f"{name}={text!r} names an item twice: name each once")
    return parts


def fields(chosen: Mapping[str, str]) -> dict[str, str]:
    """The RunSpec fields among the options, without those that keep RunSpec's default."""
    known = field_types()
    return {k: v for k, v in chosen.items() if k in known and v != PRESET}


def ladder(chosen: Mapping[str, str]) -> list[RunSpec]:
    """rules x ks x seeds; `ks=all` is 0 .. depth."""
    common = fields(chosen)
    depth = RunSpec.from_mapping({**common, "k": 0}).depth
    ks = range(depth + 1) if chosen["ks"] == "all" else numbers("ks", chosen["ks"])
    return [
        RunSpec.from_mapping({**common, "rule": rule, "k": k, "seed": seed})
        for seed in numbers("seeds", chosen["seeds"])
        for rule in items("rules", chosen["rules"])
        for k in ks
    ]


def direction_quality(chosen: Mapping[str, str]) -> list[RunSpec]:
    """rules x penalties x seeds, every block trained unless k says otherwise."""
    common = fields(chosen)
    depth = RunSpec.from_mapping({**common, "k": 0}).depth
    return [
        RunSpec.from_mapping({"k": depth, **common, "rule": rule, "penalty": p, "seed": seed})
        for seed in numbers("seeds", chosen["seeds"])
        for rule in items("rules", chosen["rules"])
        for p in items("penalties", chosen["penalties"])
    ]


def numbers(name: str, text: str) -> list[int]:
    """A comma-separated list of whole numbers."""
    return [parse_value(name, int, part) for part in items(name, text)]


def parent_params(chosen: Mapping[str, str], specs: list[RunSpec]) -> dict[str, str]:
    """What the parent run logs: its lists as given, every other option as the runs have it."""
    runs = specs[0].to_params()
    lists = {"ks": ",".join(map(str, dict.fromkeys(spec.k for spec in specs)))}
    return {name: runs.get(name, lists.get(name, value)) for name, value in chosen.items()}

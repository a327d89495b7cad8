"""Options as strings: what the preset leaves open, lists of values, and grids of them."""

import itertools
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from credit.errors import CreditError
from credit.spec import RunSpec, check_field, check_names, field_types, same_value

PRESET = "preset"
"""The value of an option that is left to the preset."""
Options = Mapping[str, str]


def settled(presets: Mapping[str, Options], given: Options) -> dict[str, str]:
    """Return the options after the preset has filled in what was left to it.

    Explicit options win. The quick presets must run anywhere: if their dataset is neither on disk
    nor downloadable, they fall back to `digits`, and say so on stderr.

    Raises:
        CreditError: no such preset.
    """
    if not presets:
        _refuse_unread(given, given)
        return dict(given)
    name = given["preset"]
    check_names([name], presets, "preset")
    preset, network = dict(presets[name]), given.get("network", PRESET)
    if name == "quick" and network not in (PRESET, RunSpec.network):
        from credit.networks import kinds  # here: it loads torch

        preset |= kinds.quick(network)
    chosen = {k: preset.get(k, PRESET) if v == PRESET else v for k, v in given.items()}
    if name == "quick" and given.get("dataset") == PRESET:
        from credit.data import fallback  # here: it loads torch, and reading results needs none

        wanted = presets[name].get("dataset", RunSpec.dataset)
        available = fallback(wanted)
        if available.reason:
            swap = f"training on {available.name} instead of {wanted}"
            print(f"credit: {swap}: {available.reason}", file=sys.stderr)
            chosen["dataset"] = available.name
    _refuse_unread(given, chosen)
    if chosen.get("dataset") == "digits":
        for share in ("train_samples", "reference_samples"):
            if given.get(share) == PRESET and share in chosen:
                chosen[share] = "0"  # it is smaller than any preset's share of CIFAR-10
    return chosen


def _refuse_unread(given: Options, chosen: Options) -> None:
    """Refuse own options that no named rule has; say on stderr which fields a rule does not read.

    Raises:
        CreditError: there is no such rule, or it has no such option of its own.
    """
    if given.get("alpha", PRESET) != PRESET and chosen.get("activation") != "phi":
        print("credit: alpha is of activation=phi: trained without it", file=sys.stderr)
    named = chosen.get("rules") or chosen.get("rule", PRESET)
    default = RunSpec().to_params()
    asked = {
        option: value
        for option, value in given.items()
        if value != PRESET and option in default and not same_value(value, default[option])
    }
    if named == PRESET or not asked:
        return
    from credit import rules  # here: it loads torch, and analyses need none
    from credit.rules.shared import options

    known = {name: rules.get(name) for name in items("rules", named)}
    own = chosen.get("rule_option", PRESET)
    if own not in (PRESET, options.NONE):
        options.check_taken(known, own)
    for option, value in asked.items():
        without = [name for name, rule in known.items() if not options.reads(rule, option)]
        if without:
            whose = f"does not apply to {', '.join(without)}"
            print(f"credit: {option}={value} {whose}: trained without it", file=sys.stderr)


def items(name: str, text: str) -> list[str]:
    """Return a comma-separated list: `items("ks", "0, 2")` is ["0", "2"].

    Raises:
        CreditError: it is empty, or has an empty or repeated item.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise CreditError(
            f"{name}={text!r} has an empty item: name at least one, with a comma between two"
        )
    if len(set(parts)) < len(parts):
        raise CreditError(f"{name}={text!r} names an item twice: name each once")
    return parts


def listed(chosen: Options, option: str, field: str) -> list[dict[str, Any]]:
    """Return an option's items as settings: of depths=2,4 `[{"depth": 2}, {"depth": 4}]`.

    Raises:
        CreditError: an item is empty, named twice however it is written, or no value of the field.
    """
    values: list[Any] = items(option, chosen[option])
    if field_types()[field] is not str:
        values = [check_field(field, value, option) for value in values]
    if len(set(values)) < len(values):
        raise CreditError(f"{option}={chosen[option]!r} names a number twice: name each once")
    return [{field: value} for value in values]


def product(
    chosen: Options, *varied: Iterable[Mapping[str, Any]], seeds: str = "seeds"
) -> list[RunSpec]:
    """Return seeds x each of the varied settings, every block trained unless `k` is among them.

    Of two values of a setting the last one holds; options come first. A run is returned once.

    Args:
        seeds: the option that lists them.
    """
    common, found = fields(chosen), []
    for seed, *parts in itertools.product(listed(chosen, seeds, "seed"), *varied):
        own = {**common, **{name: v for part in parts for name, v in part.items()}, **seed}
        found.append(RunSpec.from_mapping({"k": depth_of(own), **own}))
    return distinct(found)


def fields(chosen: Options) -> dict[str, str]:
    """Return the RunSpec fields among the options, without those that keep RunSpec's default."""
    known = field_types()
    return {k: v for k, v in chosen.items() if k in known and v != PRESET}


def depth_of(common: Mapping[str, object]) -> int:
    """Return L of a run with these fields."""
    return RunSpec.from_mapping({**common, "k": 0}).depth


def distinct(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Return each run once, in the order of their first appearance."""
    return list({spec.spec_hash: spec for spec in specs}.values())

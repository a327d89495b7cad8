"""Options as strings: what the preset leaves open, lists, and what the parent run logs."""

import sys
from collections.abc import Iterable, Mapping, Sequence

from credit import rule_options, rules
from credit.cli import PRESET
from credit.data import fallback
from credit.errors import CreditError
from credit.presets import PRESETS
from credit.spec import (
    LEARNED_FIELDS,
    RunSpec,
    check_field,
    check_names,
    field_types,
    parse_value,
)
from credit.tracking.marks import same_value

NO_RULE = "none"
"""The value of `rule` where none is named."""


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
    if name == "quick" and given.get("dataset") == PRESET:
        wanted = presets[name].get("dataset", RunSpec.dataset)
        available = fallback(wanted)
        if available.reason:
            swap = f"TRAINING ON {available.name}, NOT {wanted}"
            print(f"credit: {swap}: {available.reason}", file=sys.stderr)
            chosen["dataset"] = available.name
    option = chosen.get("rule_option", PRESET)
    if option not in (PRESET, rule_options.NONE):
        named = chosen.get("rules") or chosen.get("rule")
        taken = {name: rules.get(name) for name in items("rules", named)} if named else {}
        rule_options.check_taken(taken, option)
    named = chosen.get("rules", chosen.get("rule", NO_RULE))
    if named not in (PRESET, NO_RULE):
        said = {k: v for k, v in given.items() if v != PRESET}
        tell_unread(said, items("rules", named))
    if chosen.get("dataset") == "digits":
        for share in ("train_samples", "reference_samples"):
            if given.get(share) == PRESET:
                chosen[share] = "0"  # it is smaller than any preset's share of CIFAR-10
    return chosen


def tell_unread(given: Mapping[str, str], names: Sequence[str]) -> None:
    """Say on stderr which of the given options do not apply to which of the rules.

    Raises:
        CreditError: there is no such rule.
    """
    default = RunSpec().to_params()
    for option, value in given.items():
        if option not in default or same_value(value, default[option]):
            continue
        if without := [name for name in names if not _reads(rules.get(name), option)]:
            print(
                f"credit: {option}={value} does not apply to {', '.join(without)}: "
                "trained without it",
                file=sys.stderr,
            )


def _reads(rule: rules.Rule, option: str) -> bool:
    """Whether an option has a meaning for a rule; most have one for all rules."""
    if option == "credit_reduction":
        return rule.surrogate
    return option in rule_options.knobs(rule) or option not in LEARNED_FIELDS


def items(name: str, text: str) -> list[str]:
    """A comma-separated list. `items("ks", "0, 2")` is ["0", "2"].

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


def fields(chosen: Mapping[str, str]) -> dict[str, str]:
    """The RunSpec fields among the options, without those that keep RunSpec's default."""
    known = field_types()
    return {k: v for k, v in chosen.items() if k in known and v != PRESET}


def depth_of(common: Mapping[str, object]) -> int:
    """L of a run with these fields."""
    return RunSpec.from_mapping({**common, "k": 0}).depth


def numbers(name: str, text: str) -> list[int]:
    """A comma-separated list of whole numbers, each given once however it is written."""
    values = [parse_value(name, int, part) for part in items(name, text)]
    _refuse_twice(name, text, values)
    return values


def depths(text: str) -> list[int]:
    """The list `depths`: numbers of residual blocks."""
    return [check_field("depth", depth, "depths") for depth in numbers("depths", text)]


def reals(name: str, text: str) -> list[float]:
    """A comma-separated list of numbers, each given once however it is written."""
    values = [parse_value(name, float, part) for part in items(name, text)]
    _refuse_twice(name, text, values)
    return values


def _refuse_twice(name: str, text: str, values: Sequence[float]) -> None:
    if len(set(values)) < len(values):
        raise CreditError(f"{name}={text!r} names a number twice: name each once")


def parent_params(chosen: Mapping[str, str], specs: list[RunSpec]) -> dict[str, str]:
    """What the parent run logs: its lists as given, every other option as the runs have it.

    Where the runs differ in a field, as a rule that does not read a knob keeps its default, it is
    what was asked for.
    """
    default, runs = RunSpec().to_params(), [spec.to_params() for spec in specs]
    lists = {"ks": ",".join(map(str, dict.fromkeys(spec.k for spec in specs)))}

    def shown(name: str, given: str) -> str:
        if name not in default:
            return lists.get(name, given)
        found = {params[name] for params in runs}
        return found.pop() if len(found) == 1 else default[name] if given == PRESET else given

    return {name: shown(name, given) for name, given in chosen.items()}


def distinct(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Each run once, in the order of their first appearance."""
    return list({spec.spec_hash: spec for spec in specs}.values())

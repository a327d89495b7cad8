"""Grids: options as strings -> the list of RunSpecs they mean."""

import sys
from collections.abc import Iterable, Mapping

from credit.cli import PRESET
from credit.data import fallback
from credit.errors import CreditError
from credit.presets import ARMS, PRESETS
from credit.spec import RunSpec, check_names, field_types, parse_value

__all__ = [
    "PRESETS",
    "boundary_ablation",
    "direction_quality",
    "ladder",
    "nonlinearity_ladder",
    "numbers",
    "parent_params",
    "settled",
    "toy_lq",
    "vector_audit",
]


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
    if chosen.get("dataset") == "digits" and given["train_samples"] == PRESET:
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


def nonlinearity_ladder(chosen: Mapping[str, str]) -> list[RunSpec]:
    """alphas x depths x rules x seeds on blocks with phi, all of them trained.

    `field_alphas` are the alphas at which the vector field runs, which costs several times what
    the other rules do; `all` is all of them.

    Raises:
        CreditError: an option is not valid, or the vector field is to run at an alpha that is not
            in the grid.
    """
    common = {**fields(chosen), "activation": "phi"}
    alphas = reals("alphas", chosen["alphas"])
    rules = items("rules", chosen["rules"])
    field_alphas = alphas
    if "vector_field" in rules and chosen["field_alphas"] != "all":
        field_alphas = reals("field_alphas", chosen["field_alphas"])
        if strange := [alpha for alpha in field_alphas if alpha not in alphas]:
            raise CreditError(
                f"field_alphas={chosen['field_alphas']} has {strange[0]:g}, which is not in "
                f"alphas={chosen['alphas']}: name some of these, or all, or leave vector_field "
                "out of rules"
            )
    return [
        RunSpec.from_mapping(
            {**common, "rule": rule, "alpha": alpha, "depth": depth, "k": depth, "seed": seed}
        )
        for seed in numbers("seeds", chosen["seeds"])
        for depth in numbers("depths", chosen["depths"])
        for rule in rules
        for alpha in (field_alphas if rule == "vector_field" else alphas)
    ]


def boundary_ablation(chosen: Mapping[str, str]) -> list[RunSpec]:
    """The credit bridge's boundary: four sweeps of one knob round a base, each run once.

    Codes, terminal weights (`tgws`) and warm-ups round the base, which is what `code`, `tgw` and
    `warmup_ratio` say, and the warm-ups once more with `warmup_code` for the code.
    """
    common = {**fields(chosen), "rule": "credit_bridge"}
    depth = RunSpec.from_mapping({**common, "k": 0}).depth
    warmups = reals("warmups", chosen["warmups"])
    cells: list[dict[str, str | float]] = [
        {},
        *({"code": code} for code in items("codes", chosen["codes"])),
        *({"tgw": tgw} for tgw in reals("tgws", chosen["tgws"])),
        *({"warmup_ratio": ratio} for ratio in warmups),
        *({"code": chosen["warmup_code"], "warmup_ratio": ratio} for ratio in warmups),
    ]
    return _distinct(
        RunSpec.from_mapping({"k": depth, **common, **cell, "seed": seed})
        for seed in numbers("seeds", chosen["seeds"])
        for cell in cells
    )


def vector_audit(chosen: Mapping[str, str]) -> list[RunSpec]:
    """arms x depths x seeds, all blocks trained: the vector field, its controls and the scalar.

    Raises:
        CreditError: an option is not valid, or an arm is not one of `presets.ARMS`.
    """
    common = fields(chosen)
    arms = items("arms", chosen["arms"])
    check_names(arms, ARMS, "arm")
    return [
        RunSpec.from_mapping({**common, **ARMS[arm], "depth": depth, "k": depth, "seed": seed})
        for seed in numbers("seeds", chosen["seeds"])
        for depth in numbers("depths", chosen["depths"])
        for arm in arms
    ]


def toy_lq(chosen: Mapping[str, str]) -> list[RunSpec]:
    """rules x seeds on the linear system; the credit bridge once for each of `tgws`.

    No network trains, so that there is no warm-up, no block that trains and no augmentation.
    """
    fixed = {"dataset": "toy_lq", "k": 0, "augment": False, "warmup_ratio": 0}
    common = {**fields(chosen), **fixed}
    tgws = reals("tgws", chosen["tgws"])
    return [
        RunSpec.from_mapping({**common, "rule": rule, "tgw": tgw, "seed": seed})
        for seed in numbers("seeds", chosen["seeds"])
        for rule in items("rules", chosen["rules"])
        for tgw in (tgws if rule == "credit_bridge" else [RunSpec.tgw])
    ]


def numbers(name: str, text: str) -> list[int]:
    """A comma-separated list of whole numbers."""
    return [parse_value(name, int, part) for part in items(name, text)]


def reals(name: str, text: str) -> list[float]:
    """A comma-separated list of numbers, each given once however it is written."""
    values = [parse_value(name, float, part) for part in items(name, text)]
    if len(set(values)) < len(values):
        raise CreditError(f"{name}={text!r} names a number twice: name each once")
    return values


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


def _distinct(specs: Iterable[RunSpec]) -> list[RunSpec]:
    """Each run once, in the order of their first appearance."""
    return list({spec.spec_hash: spec for spec in specs}.values())

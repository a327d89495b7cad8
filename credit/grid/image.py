"""Grids of the experiments on images, all of them CIFAR-10 unless told otherwise."""

from collections.abc import Mapping

from credit import rules
from credit.errors import CreditError
from credit.grid.matched import matched_width
from credit.grid.options import depth_of, depths, distinct, fields, items, numbers, reals
from credit.presets import CONTROLS
from credit.spec import RunSpec, check_field, check_names


def ladder(chosen: Mapping[str, str]) -> list[RunSpec]:
    """rules x ks x seeds; `ks=all` is 0 .. depth."""
    common = fields(chosen)
    depth = depth_of(common)
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
    depth = depth_of(common)
    return [
        RunSpec.from_mapping({"k": depth, **common, "rule": rule, "penalty": p, "seed": seed})
        for seed in numbers("seeds", chosen["seeds"])
        for rule in items("rules", chosen["rules"])
        for p in reals("penalties", chosen["penalties"])
    ]


def method_comparison(chosen: Mapping[str, str]) -> list[RunSpec]:
    """rules x seeds at one depth, every block trained."""
    common = fields(chosen)
    depth = depth_of(common)
    return [
        RunSpec.from_mapping({**common, "rule": rule, "k": depth, "seed": seed})
        for seed in numbers("seeds", chosen["seeds"])
        for rule in items("rules", chosen["rules"])
    ]


def depth_scan(chosen: Mapping[str, str]) -> list[RunSpec]:
    """rules x depths x seeds, every block trained."""
    common = fields(chosen)
    return distinct(
        RunSpec.from_mapping({**common, "rule": rule, "depth": depth, "k": depth, "seed": seed})
        for seed in numbers("seeds", chosen["seeds"])
        for depth in depths(chosen["depths"])
        for rule in items("rules", chosen["rules"])
    )


def credit_scale(chosen: Mapping[str, str]) -> list[RunSpec]:
    """rules x credit_eps x reductions x seeds, every block trained.

    Raises:
        CreditError: an option is not valid, or a rule learns its credit and so has no reduction.
    """
    common = fields(chosen)
    kinds = items("reductions", chosen["reductions"])
    if "published" in kinds:
        raise CreditError(
            f"reductions={chosen['reductions']} has published, which stands for mean or sum, as "
            "each rule was published, and is no third value: pass mean, sum, or both"
        )
    common["k"] = str(depth_of(common))
    for rule in items("rules", chosen["rules"]):
        if rules.get(rule).learned:
            raise CreditError(
                f"rules={chosen['rules']} has {rule}, which learns its credit from each sample's "
                "own error, not from a mean or a sum: leave it out"
            )
    return [
        RunSpec.from_mapping(
            {**common, "rule": rule, "credit_eps": eps, "credit_reduction": kind, "seed": seed}
        )
        for seed in numbers("seeds", chosen["seeds"])
        for rule in items("rules", chosen["rules"])
        for kind in kinds
        for eps in reals("epss", chosen["epss"])
    ]


def matched_controls(chosen: Mapping[str, str]) -> list[RunSpec]:
    """rules x controls x seeds: what a rule's gain from depth could owe to something else.

    `base` is the rule with every block trained, and with none; `shallow` one block of the width at
    which the network has as many parameters (`matched_width`); `penalty` changes one thing of the
    base with every block trained, `random_labels` has no augmentation either, under which nothing
    would be memorised (Zhang et al., 2017). With k = 0 the embedding is all that a rule
    trains: by the rule itself in `base`, by backprop in bp's own k = 0 run, which is why there is
    no control for that, and by nothing in `frozen_embedding`. There only the output layer trains,
    on the true gradient whatever the rule: that control runs once per seed, under the name of bp,
    and is every rule's.

    Raises:
        CreditError: an option is not valid, or a control is not one of `presets.CONTROLS`.
    """
    common = fields(chosen)
    base = RunSpec.from_mapping({**common, "k": 0})
    controls = items("controls", chosen["controls"])
    check_names(controls, CONTROLS, "control")
    penalty = check_field("penalty", chosen["control_penalty"], "control_penalty")
    every: dict[str, object] = {"k": base.depth}
    changes: dict[str, list[dict[str, object]]] = {
        "base": [every, {"k": 0}],
        "shallow": [{"depth": 1, "k": 1, "width": matched_width(base)}],
        "random_labels": [{**every, "random_labels": True, "augment": False}],
        "penalty": [{**every, "penalty": penalty}],
        "frozen_embedding": [{"k": 0, "embed_trains": False, "rule": "bp"}],
    }
    return distinct(
        RunSpec.from_mapping({**common, "rule": rule, "seed": seed, **change})
        for seed in numbers("seeds", chosen["seeds"])
        for rule in items("rules", chosen["rules"])
        for control in controls
        for change in changes[control]
    )

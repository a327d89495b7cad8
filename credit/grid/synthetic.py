"""Grids of the experiments on made-up data: teacher and student, and the toy LQ."""

from collections.abc import Mapping

from credit.errors import CreditError
from credit.grid.options import depth_of, depths, distinct, fields, items, numbers, reals
from credit.presets import ARMS
from credit.spec import RunSpec, check_field, check_names


def nonlinearity_ladder(chosen: Mapping[str, str]) -> list[RunSpec]:
    """alphas x depths x rules x seeds on blocks with phi, all of them trained.

    `field_alphas` are the alphas at which the vector field runs, which costs several times what
    the other rules do; `all` is all of them.

    Raises:
        CreditError: an option is not valid, or the vector field is to run at an alpha that is not
            in the grid.
    """
    common = {**fields(chosen), "activation": "phi"}
    alphas = [check_field("alpha", a, "alphas") for a in reals("alphas", chosen["alphas"])]
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
        for depth in depths(chosen["depths"])
        for rule in rules
        for alpha in (field_alphas if rule == "vector_field" else alphas)
    ]


def boundary_ablation(chosen: Mapping[str, str]) -> list[RunSpec]:
    """The credit bridge's boundary: four sweeps of one knob round a base, each run once.

    Codes, terminal weights (`tgws`) and warm-ups round the base, which is what `code`, `tgw` and
    `warmup_ratio` say, and the warm-ups once more with `warmup_code` for the code.
    """
    common = {**fields(chosen), "rule": "credit_bridge"}
    depth = depth_of(common)
    warmups = reals("warmups", chosen["warmups"])
    warmup_code = check_field("code", chosen["warmup_code"], "warmup_code")
    cells: list[dict[str, str | float]] = [
        {},
        *({"code": code} for code in items("codes", chosen["codes"])),
        *({"tgw": tgw} for tgw in reals("tgws", chosen["tgws"])),
        *({"warmup_ratio": ratio} for ratio in warmups),
        *({"code": warmup_code, "warmup_ratio": ratio} for ratio in warmups),
    ]
    return distinct(
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
        for depth in depths(chosen["depths"])
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

"""What the published runs of each kind of experiment are, beyond the fields of their preset.

A cell is what a table has a row for. Cells are named by columns of the runs, as strings; those that
runs do not have by themselves (arm, network, control, warmup, weight) come from `frozen.with_arms`,
`online.with_cells` and `controls.with_controls`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

Cell = tuple[str, ...]


Run = Mapping[str, Any]
Given = Callable[[Mapping[str, str], Run], dict[str, Any]]


def _trained(_: Mapping[str, str], run: Run) -> dict[str, Any]:
    """Every block trains."""
    return {"k": run["depth"]}


class Design(NamedTuple):
    """What the published runs of one kind are, beyond the fields of their preset."""

    columns: Mapping[str, str]  # which name a cell, and what stands before their values
    cells: Callable[[Mapping[str, str], pd.DataFrame], list[Cell]]
    varied: frozenset[str] = frozenset()  # further fields that name a cell, or differ in it
    shapes: frozenset[tuple[int, int]] = frozenset()  # further networks, as (width, depth)
    given: Given = _trained  # fields that the grid gives a run, whatever the preset


def text_of(value: Any) -> str:
    """Numbers in one form, so that 0.000001 is 1e-06."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return str(value)


def _list(preset: Mapping[str, str], option: str) -> list[str]:
    return [text_of(part.strip()) for part in preset[option].split(",")]


def _product(*options: str) -> Callable[[Mapping[str, str], pd.DataFrame], list[Cell]]:
    """Cells that are every combination of the preset's lists."""

    def cells(preset: Mapping[str, str], _: pd.DataFrame) -> list[Cell]:
        found: list[Cell] = [()]
        for option in options:
            found = [(*cell, value) for cell in found for value in _list(preset, option)]
        return found

    return cells


def _rungs(preset: Mapping[str, str], runs: pd.DataFrame) -> list[Cell]:
    ks = range(int(runs["depth"].max()) + 1)
    return [(rule, str(k)) for rule in _list(preset, "rules") for k in ks]


def _still(preset: Mapping[str, str], _: pd.DataFrame) -> list[Cell]:
    networks = ["d={} L={}".format(*shape.split("x")) for shape in _list(preset, "networks")]
    return [(network, arm) for network in networks for arm in _list(preset, "arms")]


def _online(preset: Mapping[str, str], _: pd.DataFrame) -> list[Cell]:
    found: list[Cell] = []
    for arm in _list(preset, "arms"):
        warmups = [""] if arm in ("bp", "oracle", "dfa") else _list(preset, "warmups")
        weights = _list(preset, "tgws") if warmups[0] and arm != "state_bridge" else [""]
        found += [(arm, warmup, weight) for warmup in warmups for weight in weights]
    return found


def _controls(preset: Mapping[str, str], _: pd.DataFrame) -> list[Cell]:
    labels = {"base": ["k=L", "k=0"], "frozen_embedding": []}
    found = [
        (rule, label)
        for rule in _list(preset, "rules")
        for control in _list(preset, "controls")
        for label in labels.get(control, [control.replace("_", " ")])
    ]
    return [*found, ("bp", "frozen embedding")]  # one run serves every rule


def _standing(_: Mapping[str, str], run: Run) -> dict[str, Any]:
    """Nothing of the network trains, which `frozen.with_arms` has named."""
    still = {"k": 0, "embed_trains": False, "head_trains": False, "warmup_ratio": 0.0}
    return {**still, "start": "reference"}


def _controlled(preset: Mapping[str, str], run: Run) -> dict[str, Any]:
    """What makes the controls that a run is, as `controls.with_controls` names them."""
    changes: dict[str, dict[str, Any]] = {
        "k=L": {},
        "shallow": {"depth": 1},
        "random labels": {"random_labels": True, "augment": False},
        "penalty": {"penalty": float(preset["control_penalty"])},
        "frozen embedding": {"embed_trains": False},
    }
    found: dict[str, Any] = {"k": 0 if run["control"] == "frozen embedding" else run["depth"]}
    for name in str(run["control"]).split("+"):
        found |= changes[name] if name in changes else {"k": int(name.removeprefix("k="))}
    return found


DESIGNS: dict[str, Design] = {
    "ladder": Design({"rule": "", "k": "k="}, _rungs, shapes=frozenset({(512, 2)})),
    "direction_quality": Design({"rule": "", "penalty": "λ="}, _product("rules", "penalties")),
    "method_comparison": Design({"rule": ""}, _product("rules")),
    "depth_scan": Design(
        {"rule": "", "depth": "L="}, _product("rules", "depths"), frozenset({"depth"})
    ),
    "frozen_recovery": Design(
        {"network": "", "arm": ""},
        _still,
        frozenset({"width", "depth", "code", "field_directions"}),
        given=_standing,
    ),
    "online_scan": Design(
        {"arm": "", "warmup": "warm-up ", "weight": "tgw "},
        _online,
        frozenset({"code", "warmup_ratio", "tgw", "terminal_weight"}),
    ),
    "matched_controls": Design({"rule": "", "control": ""}, _controls, given=_controlled),
    "credit_scale": Design(
        {"rule": "", "credit_reduction": "", "credit_eps": "eps="},
        _product("rules", "reductions", "epss"),
    ),
}
"""By kind of experiment. Of the ladder d=512, L=2 is published, too."""

_LEARNED = frozenset(
    {
        *("code", "warmup_ratio", "estimator_width", "estimator_depth", "estimator_lr"),
        *("estimator_every", "estimator_layers"),
    }
)
READ: dict[str, frozenset[str]] = {
    "state_bridge": _LEARNED | {"estimator_relative"},
    "credit_bridge": _LEARNED | {"tgw", "tau", "sigma", "sigma_relative", "draws", "ema"},
    "vector_field": _LEARNED
    | {
        *("field_directions", "field_eps", "one_sided", "terminal_weight", "shuffle"),
        "estimator_relative",
    },
}
"""Which of `spec.LEARNED_FIELDS` a rule reads; no others do. Rules themselves need torch."""
REDUCTIONS = {"bp": "mean", "oracle": "mean", "fa": "mean", "dfa": "sum"} | dict.fromkeys(
    READ, "sum"
)
"""What credit_reduction=published is of each rule."""

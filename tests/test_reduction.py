"""In what runs are not the published ones: by experiment, on runs of the presets themselves."""

import dataclasses
import functools
from collections.abc import Callable

import pandas as pd
import pytest
from test_entrypoints import defaults_of

from credit import grid, rules
from credit.analysis import comparison, controls, frozen, online, reduction
from credit.analysis.designs import DESIGNS, READ, REDUCTIONS
from credit.analysis.selection import ORDER
from credit.errors import CreditError
from credit.presets import PRESETS
from credit.spec import LEARNED_FIELDS, RunSpec, field_types
from credit.sweep import resolve

NAMED: dict[str, Callable[[pd.DataFrame], tuple[pd.DataFrame, ...]]] = {
    "method_comparison": lambda runs: (comparison.fully_trained(runs),),
    "depth_scan": lambda runs: (comparison.fully_trained(runs),),
    "frozen_recovery": lambda runs: frozen.halves(frozen.with_arms(runs)),
    "online_scan": lambda runs: (online.with_cells(runs),),
    "matched_controls": lambda runs: (controls.with_controls(runs),),
}


def specs_of(kind: str, **options: str) -> list[RunSpec]:
    """All runs of an experiment; of the online scan with its last cell on all seeds."""
    given = {**defaults_of(kind), "device": "cpu", **options}
    chosen = grid.settled(kind, given)
    specs = [resolve(spec) for spec in getattr(grid, kind)(chosen)]
    if kind == "frozen_recovery":
        specs += [resolve(spec) for spec in grid.frozen_arms(chosen, specs)]
    if kind == "online_scan":
        specs += [resolve(spec) for spec in grid.online_seeds(chosen, specs[-1])]
    return specs


def runs_of(specs: list[RunSpec]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run_id": spec.spec_hash,
            "spec_hash": spec.spec_hash,
            "name": spec.name,
            "status": "FINISHED",
            "reason": None,
            "started": pd.Timestamp("2026-01-01", tz="UTC"),
            **dataclasses.asdict(spec),
            "accuracy/test": 0.5,
        }
        for spec in {spec.spec_hash: spec for spec in specs}.values()
    )


def said(kind: str, runs: pd.DataFrame) -> str:
    named = NAMED.get(kind, lambda own: (own,))(runs)
    return reduction.settings(kind, *named)


@pytest.mark.parametrize("kind", sorted(DESIGNS))
def test_published_runs_are_published(kind):
    assert said(kind, runs_of(specs_of(kind))) == reduction.PUBLISHED


@pytest.mark.parametrize(
    ("kind", "preset", "label"),
    [
        (
            "method_comparison",
            "reduced",
            "REDUCED: 10 of 100 epochs, 20000 of 50000 samples, warmup_ratio=0.1 for 0.05, "
            "1 of 3 seeds",
        ),
        (
            "depth_scan",
            "reduced",
            "REDUCED: 10 of 100 epochs, 5000 of 50000 samples, warmup_ratio=0.1 for 0.05, "
            "1 of 3 seeds",
        ),
        (
            "depth_scan",
            "quick",
            "REDUCED: d=64 for 512, without L=6, 8, 12, 4 of 100 epochs, 5000 of 50000 samples, "
            "warmup_ratio=0.25 for 0.05, estimator_width=64 for 256, 1 of 3 seeds",
        ),
        (
            "frozen_recovery",
            "reduced",
            "REDUCED: without d=256 L=6, d=512 L=4, 20 of 100 epochs, 1 of 3 seeds",
        ),
        (
            "frozen_recovery",
            "quick",
            "REDUCED: without d=256 L=4, d=256 L=6, d=512 L=4, without M8, M16, 4 of 100 epochs, "
            "5000 of 50000 samples, estimator_width=64 for 256, references: 6 of 100 epochs, "
            "references: 20000 of 50000 samples, 1 of 3 seeds",
        ),
        (
            "online_scan",
            "reduced",
            "REDUCED: without warm-up 0.05, 10 of 100 epochs, 20000 of 50000 samples",
        ),
        (
            "matched_controls",
            "quick",
            "REDUCED: d=128 for 256, 6 of 100 epochs, 20000 of 50000 samples, 1 of 3 seeds",
        ),
        ("credit_scale", "reduced", "REDUCED: 12 of 100 epochs"),
        (
            "ladder",
            "quick",
            "REDUCED: d=128 for 256, 6 of 100 epochs, 20000 of 50000 samples, 1 of 3 seeds",
        ),
        (
            "direction_quality",
            "quick",
            "REDUCED: d=128 for 256, 6 of 100 epochs, 20000 of 50000 samples",
        ),
    ],
)
def test_other_presets_say_how_they_are_less(kind, preset, label):
    assert said(kind, runs_of(specs_of(kind, preset=preset, dataset="cifar10"))) == label


def test_a_second_network_of_the_ladder_is_published():
    assert said("ladder", runs_of(specs_of("ladder", width="512", depth="2"))) == "published"
    narrow = said("ladder", runs_of(specs_of("ladder", width="512", depth="3")))
    assert narrow == "REDUCED: d=512 for 256, L=3 for 4"


def test_what_is_more_or_otherwise_is_changed_and_not_reduced():
    wide = specs_of("method_comparison", width="1024", epochs="200")
    assert said("method_comparison", runs_of(wide)) == "CHANGED: d=1024 for 512, 200 epochs for 100"
    other = specs_of("method_comparison", lr="0.01", batch_size="256", augment="false")
    assert said("method_comparison", runs_of(other)) == (
        "CHANGED: batch_size=256 for 128, lr=0.01 for 0.001, augment=false for true"
    )
    short = specs_of("method_comparison", lr="0.01", epochs="20")
    label = "REDUCED: 20 of 100 epochs, lr=0.01 for 0.001"
    assert said("method_comparison", runs_of(short)) == label


def test_single_cells_and_seeds_that_are_missing_are_named():
    runs = runs_of(specs_of("depth_scan"))
    gone = (runs["rule"] == "fa") & (runs["depth"] == 8)
    assert said("depth_scan", runs[~gone]) == "REDUCED: without fa L=8"
    gone |= (runs["rule"] == "dfa") & (runs["seed"] == 123)
    label = "REDUCED: without fa L=8, 2 to 3 of 3 seeds"
    assert said("depth_scan", runs[~gone]) == label
    runs.loc[gone, "status"] = "RUNNING"
    assert said("depth_scan", runs) == label  # what is not finished is not there
    many = (runs["rule"] != "bp") & (runs["depth"] == 8)
    label = "REDUCED: without 5 of the cells, 2 to 3 of 3 seeds"
    assert said("depth_scan", runs[~(many | gone)]) == label
    assert said("depth_scan", runs.assign(status="RUNNING")) == "REDUCED: no finished run"


def test_one_seed_of_the_best_cell_is_said():
    runs = runs_of(specs_of("online_scan"))
    alone = runs.loc[runs["seed"] == 42]
    assert said("online_scan", alone) == "REDUCED: the best cell on 1 of 3 seeds"


def test_other_data_is_named():
    runs = runs_of(specs_of("method_comparison", dataset="digits", train_samples="500"))
    assert said("method_comparison", runs) == "REDUCED: digits for cifar10, the first 500 samples"


def test_every_design_belongs_to_a_preset():
    assert set(DESIGNS) <= set(PRESETS)


@functools.cache
def published(kind: str) -> pd.DataFrame:
    return runs_of(specs_of(kind))


ANOTHER = {
    "dataset": "digits",
    "rule": "fa",
    "activation": "phi",
    "alpha": 0.5,
    "code": "deltaL_hL",
    "warmup_ratio": 0.9,
    "ema": 0.5,
    "start": "0123456789abcdef",
    "device": "cuda:1",
    "precision": "bf16",
    "rule_code": "fedcba",
    "rule_option": "k=32",
}


def otherwise(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """The runs with another value of a field in each of them."""
    if name == "credit_reduction":
        return runs.assign(**{name: runs[name].map({"mean": "sum", "sum": "mean"})})
    if name in ANOTHER:
        return runs.assign(**{name: ANOTHER[name]})
    return runs.assign(**{name: ~runs[name] if field_types()[name] is bool else runs[name] + 1})


@pytest.mark.parametrize("name", list(field_types()))
def test_no_field_changes_unsaid(name):
    for kind in DESIGNS:
        runs = published(kind)
        read = any(name in READ.get(rule, ()) for rule in runs["rule"].unique())
        free = name in reduction.FREE or (name in LEARNED_FIELDS and not read)
        if kind == "credit_scale" and name == "credit_reduction":
            free = True  # each run for its like
        try:
            label = said(kind, otherwise(runs, name))
        except CreditError as error:
            label = f"refused: {error}"
        assert (label == reduction.PUBLISHED) == free, f"{kind} with another {name}: {label}"


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [
        ("penalty", 0.01, "penalty=0.01 for 0.0"),
        ("random_labels", True, "random_labels=true for false"),
        ("embed_trains", False, "embed_trains=false for true"),
        ("head_trains", False, "head_trains=false for true"),
        ("credit_reduction", "sum", "credit_reduction=sum for mean"),
        ("terminal_norm", False, "terminal_norm=false for true"),
        ("start", "0123456789abcdef", "start=0123456789abcdef for none"),
    ],
)
def test_a_ladder_that_is_another_one_is_changed(name, value, label):
    assert said("ladder", published("ladder").assign(**{name: value})) == f"CHANGED: {label}"


def test_what_a_control_is_belongs_to_it():
    runs, kind = published("matched_controls"), "matched_controls"
    old = runs.copy()
    old.loc[old["random_labels"], "augment"] = True
    assert said(kind, old) == "CHANGED: augment=true for false"
    bare = runs.copy()
    bare.loc[bare["penalty"] > 0, "penalty"] = 0.1
    assert said(kind, bare) == "CHANGED: penalty=0.1 for 0.01"
    deeper = runs.copy()
    deeper.loc[deeper["depth"] == 1, ["depth", "k"]] = 2
    assert said(kind, deeper) == "CHANGED: depth=2 for 1"
    more = runs.loc[runs["k"] == 0].assign(k=2)
    assert said(kind, pd.concat([runs, more.loc[more["embed_trains"]]])) == "published"
    both = runs.loc[runs["random_labels"]].assign(penalty=0.01)
    assert said(kind, pd.concat([runs, both])) == "published"  # a row of its own, by its name


def test_references_are_judged_too():
    runs = published("frozen_recovery")
    theirs = runs["start"] == "none"
    other = runs.copy()
    other.loc[theirs, "lr"] = 0.01
    assert said("frozen_recovery", other) == "CHANGED: references: lr=0.01 for 0.001"
    other = runs.copy()
    other.loc[~theirs & (runs["rule"] == "vector_field"), "shuffle"] = True
    assert said("frozen_recovery", other) == "CHANGED: shuffle=true for false"


def test_what_rules_read_and_reduce_is_what_they_say():
    for rule in ORDER:
        found = rules.get(rule)
        declared = {f.name for f in dataclasses.fields(found)} if found.learned else set()
        assert READ.get(rule, frozenset()) == declared & LEARNED_FIELDS
        assert REDUCTIONS[rule] == found.published_reduction

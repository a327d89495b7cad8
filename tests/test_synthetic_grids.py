"""Grids of the experiments on teacher and student: which runs they are, and what they refuse."""

import json
from collections import Counter

import pytest
from test_entrypoints import call, defaults_of

from credit import grid
from credit.errors import CreditError
from credit.presets import ARMS, PRESETS
from credit.spec import RunSpec
from credit.tracking.reader import connect

EXPERIMENTS = ("nonlinearity_ladder", "boundary_ablation", "vector_audit")


def chosen(experiment: str, **options: str) -> dict[str, str]:
    return grid.settled(experiment, {**defaults_of(experiment), **options})


def specs_of(experiment: str, **options: str) -> list[RunSpec]:
    return getattr(grid, experiment)(chosen(experiment, **options))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_published_runs_have_the_published_settings(experiment):
    specs = specs_of(experiment)
    assert {spec.seed for spec in specs} == {42, 123, 456}
    for spec in specs:
        assert (spec.dataset, spec.width, spec.epochs) == ("teacher", 128, 80)
        assert (spec.activation, spec.terminal_norm, spec.augment) == ("phi", False, False)
        assert (spec.k, spec.batch_size, spec.measure_every) == (spec.depth, 128, 80)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_quick_runs_are_few_and_small(experiment):
    specs = specs_of(experiment, preset="quick", dataset="teacher")
    assert len(specs) <= 20
    assert max(spec.epochs for spec in specs) <= 5 and {spec.seed for spec in specs} == {42}
    assert {spec.train_samples for spec in specs} == {2000}
    assert max(spec.estimator_width for spec in specs) <= 64


def test_the_nonlinearity_ladder_is_a_full_grid_but_for_the_vector_field():
    specs = specs_of("nonlinearity_ladder")
    assert len(specs) == 4 * 4 * 4 * 3 + 1 * 4 * 3
    assert Counter(spec.rule for spec in specs) == {
        **dict.fromkeys(("bp", "dfa", "state_bridge", "credit_bridge"), 48),
        "vector_field": 12,
    }
    assert {spec.alpha for spec in specs} == {0, 0.25, 0.5, 1}
    assert {spec.depth for spec in specs} == {2, 4, 8, 12}
    assert {spec.alpha for spec in specs if spec.rule == "vector_field"} == {1}


def test_the_vector_field_runs_where_field_alphas_say():
    wide = specs_of("nonlinearity_ladder", field_alphas="all")
    assert len(wide) == 5 * 4 * 4 * 3
    some = specs_of("nonlinearity_ladder", field_alphas="0.25, 1.0", seeds="1", depths="2")
    assert [spec.alpha for spec in some if spec.rule == "vector_field"] == [0.25, 1]
    without = specs_of("nonlinearity_ladder", alphas="0,0.5", rules="bp,dfa")
    assert {spec.alpha for spec in without} == {0, 0.5}  # the preset's field_alphas do not matter


def changed(spec: RunSpec) -> tuple:
    return spec.code, spec.tgw, spec.warmup_ratio


def test_the_boundary_ablation_trains_each_cell_once_base_first():
    specs = specs_of("boundary_ablation", seeds="42")
    assert [changed(spec) for spec in specs] == [
        ("eT", 1, 0.05),
        *((code, 1, 0.05) for code in ("deltaL", "eT_hL", "deltaL_hL")),
        *(("eT", tgw, 0.05) for tgw in (0, 0.25, 4)),
        *(("eT", 1, ratio) for ratio in (0, 0.2, 0.5)),
        *(("deltaL", 1, ratio) for ratio in (0, 0.2, 0.5)),
    ]
    every = specs_of("boundary_ablation")
    assert len(every) == len({spec.spec_hash for spec in every}) == 13 * 3
    assert {(spec.rule, spec.alpha, spec.depth) for spec in every} == {("credit_bridge", 1, 4)}


def test_the_boundary_ablation_sweeps_round_the_base_that_is_given():
    options = {"tgw": "4", "code": "eT_hL", "seeds": "42", "codes": "eT", "tgws": "1"}
    specs = specs_of("boundary_ablation", **options, warmups="0.5", warmup_code="eT")
    assert [changed(spec) for spec in specs] == [
        ("eT_hL", 4, 0.05),
        ("eT", 4, 0.05),
        ("eT_hL", 1, 0.05),
        ("eT_hL", 4, 0.5),
        ("eT", 4, 0.5),
    ]


def test_the_vector_audit_has_every_arm_at_every_depth():
    specs = specs_of("vector_audit")
    assert len(specs) == len({spec.spec_hash for spec in specs}) == 7 * 2 * 3
    assert {spec.depth for spec in specs} == {4, 8}
    one = [spec for spec in specs if (spec.depth, spec.seed) == (4, 42)]
    assert [spec.rule for spec in one] == ["credit_bridge"] + ["vector_field"] * 6
    base = one[1]
    assert (base.field_directions, base.terminal_weight) == (4, 1)
    assert not base.shuffle and not base.one_sided
    assert one[2:] == [
        base.replace(field_directions=8),
        base.replace(shuffle=True),
        base.replace(terminal_weight=0),
        base.replace(shuffle=True, terminal_weight=0),
        base.replace(one_sided=True),
    ]


def test_arms_are_labels_of_different_runs():
    made = {RunSpec.from_mapping(fields).spec_hash for fields in ARMS.values()}
    assert len(made) == len(ARMS)
    named = {arm for p in PRESETS["vector_audit"].values() for arm in p["arms"].split(",")}
    assert named <= set(ARMS)
    assert {spec.field_directions for spec in specs_of("vector_audit", arms="M16")} == {16}


@pytest.mark.parametrize(
    ("experiment", "options", "message"),
    [
        ("nonlinearity_ladder", {"alphas": "1,1.5"}, "alphas=1.5 is too large: pass at most 1"),
        ("nonlinearity_ladder", {"alphas": "0,x"}, "alphas='x' is not a number"),
        ("nonlinearity_ladder", {"alphas": "1,1.0"}, "alphas='1,1.0' names a number twice"),
        ("nonlinearity_ladder", {"depths": "0"}, "depths=0 is too small"),
        ("nonlinearity_ladder", {"depths": "2,2"}, "depths='2,2' names an item twice"),
        (
            "nonlinearity_ladder",
            {"alphas": "0,0.5"},
            "field_alphas=1 has 1, which is not in alphas=0,0.5: name some of these, or all",
        ),
        ("boundary_ablation", {"codes": "eT,deltal"}, "unknown code 'deltal': did you mean"),
        ("boundary_ablation", {"warmup_code": "e"}, "unknown warmup_code 'e'"),
        ("boundary_ablation", {"warmups": "0,2"}, "warmup_ratio=2.0 is too large"),
        ("boundary_ablation", {"tgws": "-1"}, "tgw=-1.0 is too small"),
        ("boundary_ablation", {"seeds": ""}, "seeds='' has an empty item"),
        ("vector_audit", {"arms": "shufle"}, "unknown arm 'shufle': did you mean 'shuffle'"),
        ("vector_audit", {"arms": "M4,M4"}, "names an item twice"),
        ("vector_audit", {"preset": "fast"}, "unknown preset 'fast'"),
    ],
)
def test_bad_options_are_named(experiment, options, message):
    with pytest.raises(CreditError, match=message):
        specs_of(experiment, **options)


def test_the_parent_logs_what_was_asked_for_where_the_runs_differ():
    given = chosen("nonlinearity_ladder", preset="quick", tgw="4", dataset="digits")
    specs = [
        spec if spec.rule == "credit_bridge" else spec.replace(tgw=1)
        for spec in grid.nonlinearity_ladder(given)
    ]
    logged = grid.parent_params(given, specs)
    assert (logged["tgw"], logged["epochs"], logged["lr"]) == ("4", "4", "0.001")
    assert (logged["alphas"], logged["field_alphas"], logged["preset"]) == ("0,1", "1", "quick")
    given = chosen("boundary_ablation", preset="quick", dataset="digits")
    logged = grid.parent_params(given, grid.boundary_ablation(given))
    assert (logged["code"], logged["tgw"], logged["warmup_ratio"]) == ("eT", "1.0", "0.25")


@pytest.mark.slow
def test_a_small_nonlinearity_ladder_is_trained_and_published(tracking_store):
    words = (
        "--preset quick --dataset digits --alphas 0,1 --depths 2,3 --width 16 --epochs 2 "
        "--train_samples 256 --measure_samples 32 --directions 2 --estimator_width 16 --device cpu"
    )
    done = call("nonlinearity_ladder", *words.split())
    assert done.returncode == 0, done.stderr
    reader = connect()
    (parent,) = reader.parents("nonlinearity_ladder")["run_id"]
    runs = reader.runs(parent=parent)
    assert len(runs) == 2 * (4 * 2 + 1) and set(runs["status"]) == {"FINISHED"}
    assert set(runs["activation"]) == {"phi"} and (runs["k"] == runs["depth"]).all()
    for name in ("table.csv", "table.md", "figure.png", "figure.svg", "verdicts.json"):
        assert reader.artifact(parent, name).stat().st_size > 0
    found = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    assert len(found) == 12
    for text in ("L=3", "n = 1 seed", "near 0 Γ", "epochs=2 (reported: 80)", "figure"):
        assert text in done.stdout
    before = reader.artifact(parent, "table.md").read_text()
    report = call("report", "--kind", "nonlinearity_ladder")
    assert report.returncode == 0, report.stderr
    assert reader.artifact(parent, "table.md").read_text() == before

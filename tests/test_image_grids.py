"""Grids of the experiments on CIFAR-10 with estimators: which runs they are, what they refuse."""

from collections import Counter

import pandas as pd
import pytest
import torch
from test_entrypoints import call, defaults_of

from credit import grid, network
from credit.analysis import online_choice
from credit.data import load
from credit.errors import CreditError
from credit.network_size import parameters
from credit.presets import CONTROLS, FROZEN_ARMS, ONLINE_ARMS, PRESETS
from credit.randomness import generator
from credit.spec import RunSpec, warmup_epochs
from credit.sweep import Sweep, resolve
from credit.sweep import run as sweep_run
from credit.tracking.reader import connect
from credit.tracking.store import open_store

EXPERIMENTS = (
    "method_comparison",
    "depth_scan",
    "frozen_recovery",
    "online_scan",
    "matched_controls",
    "credit_scale",
)
LEARNED = ("state_bridge", "credit_bridge", "vector_field")
METHODS = ("bp", "oracle", "fa", "dfa", "state_bridge", "credit_bridge")
SEEDS = {42, 123, 456}


def chosen(experiment: str, **options: str) -> dict[str, str]:
    return grid.settled(experiment, {**defaults_of(experiment), **options})


def specs_of(experiment: str, **options: str) -> list[RunSpec]:
    """Every run of an experiment, resolved: of frozen recovery the estimators', too."""
    options = chosen(experiment, device="cpu", **options)
    specs = [resolve(spec) for spec in getattr(grid, experiment)(options)]
    if experiment == "frozen_recovery":
        specs += [resolve(spec) for spec in grid.frozen_arms(options, specs)]
    return specs


# What the presets mean


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_there_are_three_presets_and_published_ones_keep_the_recipe(experiment):
    assert PRESETS[experiment].keys() == {"published", "reduced", "quick"}
    specs = specs_of(experiment)
    assert {spec.seed for spec in specs} == ({42} if experiment == "online_scan" else SEEDS)
    for spec in specs:
        assert (spec.dataset, spec.epochs, spec.train_samples) == ("cifar10", 100, 0)
        assert (spec.batch_size, spec.lr, spec.clip) == (128, 1e-3, 1)
        assert spec.augment != spec.random_labels
        if spec.rule in LEARNED:
            assert spec.estimator_relative == (spec.rule != "credit_bridge")
            assert spec.sigma_relative == (spec.rule == "credit_bridge")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_reduced_runs_have_the_published_networks_and_less_training(experiment):
    shapes = [
        {(s.width, s.depth, s.k) for s in specs_of(experiment, preset=preset)}
        for preset in ("published", "reduced")
    ]
    assert shapes[1] <= shapes[0]
    reduced = [s for s in specs_of(experiment, preset="reduced") if s.start != "none"] or specs_of(
        experiment, preset="reduced"
    )
    assert max(spec.epochs for spec in reduced) <= 20


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_quick_runs_are_few_and_small(experiment):
    specs = specs_of(experiment, preset="quick", dataset="cifar10")
    assert len(specs) <= 24
    assert max(s.width for s in specs) <= 200 and max(s.depth for s in specs) <= 4
    assert max(s.epochs for s in specs) <= 6
    assert all(0 < s.train_samples <= 20_000 for s in specs)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_digits_are_used_whole(experiment):
    specs = specs_of(experiment, preset="quick", dataset="digits")
    assert {spec.train_samples for spec in specs} == {0}


# Methods, depths, scale


def test_the_method_comparison_is_every_rule_on_one_deep_network():
    specs = specs_of("method_comparison")
    assert Counter(spec.rule for spec in specs) == dict.fromkeys(METHODS, 3)
    assert {(spec.width, spec.depth, spec.k) for spec in specs} == {(512, 12, 12)}
    assert {s.rule for s in specs_of("method_comparison", rules="vector_field")} == {"vector_field"}


def test_the_depth_scan_trains_every_block_at_every_depth():
    specs = specs_of("depth_scan")
    assert len(specs) == 6 * 5 * 3
    assert {spec.depth for spec in specs} == {2, 4, 6, 8, 12}
    assert all(spec.k == spec.depth and spec.width == 512 for spec in specs)


def test_the_credit_scale_is_a_full_grid():
    specs = specs_of("credit_scale")
    assert len({spec.spec_hash for spec in specs}) == len(specs) == 2 * 5 * 2 * 3
    assert {spec.credit_eps for spec in specs} == {0, 1e-12, 1e-8, 1e-6, 1e-4}
    assert {(s.rule, s.credit_reduction) for s in specs} == {
        (rule, kind) for rule in ("fa", "dfa") for kind in ("mean", "sum")
    }
    assert {(s.width, s.depth, s.k, s.measure_every) for s in specs} == {(256, 4, 4, 5)}
    published = [s for s in specs if s.credit_eps == RunSpec.credit_eps]
    ladder = {resolve(RunSpec(rule=rule, device="cpu", measure_every=5)) for rule in ("fa", "dfa")}
    assert ladder <= set(published)  # the rules as published are among them


# Matched controls


def test_controls_change_one_thing_each_and_what_no_rule_touches_runs_once():
    specs = specs_of("matched_controls", seeds="42")
    base = {rule: resolve(RunSpec(rule=rule, device="cpu")) for rule in ("bp", "oracle", "dfa")}
    for full in base.values():
        assert full in specs
        assert full.replace(k=0) in specs
        assert full.replace(random_labels=True, augment=False) in specs
        assert full.replace(penalty=0.01) in specs
        assert full.replace(depth=1, k=1, width=348) in specs
    frozen = [spec for spec in specs if not spec.embed_trains]
    assert frozen == [base["bp"].replace(k=0, embed_trains=False)]
    assert len(specs) == 4 * 5 + 1
    assert len(specs_of("matched_controls")) == 3 * 21
    (alone,) = specs_of("matched_controls", rules="fa", controls="frozen_embedding", seeds="1")
    assert alone.rule == "bp"
    assert {spec.penalty for spec in specs_of("matched_controls", control_penalty="0.1")} == {
        0,
        0.1,
    }


@pytest.mark.parametrize("terminal_norm", [True, False])
@pytest.mark.parametrize("dataset", ["digits", "teacher"])
def test_the_shallow_network_has_nearest_to_as_many_parameters(dataset, terminal_norm):
    spec = RunSpec(dataset=dataset, width=24, depth=5, k=0, terminal_norm=terminal_norm)
    data = load(dataset)

    def count(width: int, depth: int) -> int:
        draw = generator(0, "init")
        tree = network.init(
            *(data.d_in, width, data.classes, depth, draw, torch.float32),
            terminal_norm=terminal_norm,
        )
        return sum(tensor.numel() for tensor in tree.values())

    assert parameters(vars(spec)) == count(24, 5)
    width = grid.matched_width(spec)
    misses = {w: abs(count(w, 1) - count(24, 5)) for w in (width - 1, width, width + 1)}
    assert min(misses, key=lambda w: misses[w]) == width
    assert grid.matched_width(spec.replace(depth=1)) == 24
    assert grid.matched_width(spec.replace(width=1, depth=1)) == 1


def test_inputs_are_counted_as_cifar_has_them(cifar_root):
    data = load("cifar10")
    spec = RunSpec(width=1, depth=1, k=0)
    assert parameters(vars(spec)) == (data.d_in + 1) + 6 + 2 + 2 * data.classes


# Frozen recovery


def test_references_are_the_ladders_own_runs_of_bp():
    options = chosen("frozen_recovery")
    references = [resolve(spec) for spec in grid.frozen_recovery(options)]
    assert len(references) == 3 * 3
    ladder = {resolve(s).spec_hash for s in grid.ladder(chosen("ladder")) if s.rule == "bp"}
    ours = {s.spec_hash for s in references if (s.width, s.depth) == (256, 4)}
    assert len(ours) == 3 and ours <= ladder
    quick = grid.frozen_recovery(chosen("frozen_recovery", preset="quick", dataset="cifar10"))
    ladder = grid.ladder(chosen("ladder", preset="quick", dataset="cifar10"))
    assert {resolve(s).spec_hash for s in quick} <= {resolve(s).spec_hash for s in ladder}


def test_estimators_options_leave_the_references_alone():
    changes = {"tgw": "4", "estimator_width": "64", "epochs": "7", "train_samples": "500"}
    changes |= {"stale_steps": "5"}
    plain, changed = (
        {resolve(s).spec_hash for s in grid.frozen_recovery(chosen("frozen_recovery", **options))}
        for options in ({}, changes)
    )
    assert plain == changed
    few = grid.frozen_recovery(
        chosen("frozen_recovery", reference_epochs="3", reference_samples="200")
    )
    assert {(s.epochs, s.train_samples) for s in few} == {(3, 200)}


def test_every_arm_starts_from_every_reference_and_trains_nothing_of_it():
    specs = specs_of("frozen_recovery")
    references = {s.spec_hash: s for s in specs if s.start == "none"}
    arms = [s for s in specs if s.start != "none"]
    assert len(arms) == 7 * 3 * 3 == len({s.spec_hash for s in arms})
    for arm in arms:
        reference = references[arm.start]
        assert (arm.width, arm.depth, arm.seed) == (
            reference.width,
            reference.depth,
            reference.seed,
        )
        assert (arm.k, arm.embed_trains, arm.head_trains) == (0, False, False)
        assert arm.rule == "dfa" or arm.warmup_ratio == 0
        assert arm.measure_every == 10
    one = [s for s in arms if (s.seed, s.width, s.depth) == (42, 512, 4)]
    assert [(s.rule, s.code, s.field_directions) for s in one] == [
        ("dfa", "eT", 4),
        ("state_bridge", "eT", 4),
        ("credit_bridge", "eT", 4),
        ("credit_bridge", "deltaL", 4),
        ("vector_field", "eT", 4),
        ("vector_field", "eT", 8),
        ("vector_field", "eT", 16),
    ]


def trained(**fields) -> str:
    """The id of a small trained run in this test's store."""
    small = {"dataset": "digits", "width": 8, "depth": 2, "k": 2, "epochs": 1, "measure_samples": 8}
    small |= {"train_samples": 64, "directions": 2, "device": "cpu", "augment": False, "seed": 7}
    outcome = sweep_run(
        Sweep("train", "small", [RunSpec.from_mapping(small | fields)]), open_store()
    )
    return next(iter(outcome.run_ids.values()))


def test_the_network_of_a_run_settles_what_the_estimators_train_on(tracking_store):
    start = grid.started_from(connect(), trained(activation="phi", alpha=0.5, terminal_norm=False))
    given = {**defaults_of("frozen_recovery"), "device": "cpu", "networks": "8x2"}
    options = grid.settled("frozen_recovery", grid.on_network_of(given, start))
    assert (options["networks"], options["seeds"], options["dataset"]) == ("8x2", "7", "digits")
    assert (options["augment"], options["train_samples"]) == ("false", "0")
    arms = [resolve(spec) for spec in grid.frozen_arms(options, [start])]
    assert {(a.dataset, a.width, a.depth, a.seed, a.start) for a in arms} == {
        ("digits", 8, 2, 7, start.spec_hash)
    }
    assert {(a.activation, a.alpha, a.terminal_norm) for a in arms} == {("phi", 0.5, False)}
    logged = grid.parent_params(options, arms)
    assert (logged["networks"], logged["seeds"], logged["alpha"]) == ("8x2", "7", "0.5")
    with pytest.raises(CreditError, match="seeds=1,2 does not go with run_id, whose network has 7"):
        grid.on_network_of({**given, "seeds": "1,2"}, start)


def test_runs_without_a_finished_network_are_refused(tracking_store):
    run_id = trained()
    reader = connect()
    client, run = reader.client, reader.run(run_id)
    parent = run.data.tags["mlflow.parentRunId"]
    with pytest.raises(CreditError, match="no run '0000"):
        grid.started_from(reader, "0" * 32)
    with pytest.raises(CreditError, match="is not the run of one network"):
        grid.started_from(reader, parent)
    client.set_tag(run_id, "credit.schema", "0")
    with pytest.raises(CreditError, match="has schema 0, and this code reads 1"):
        grid.started_from(reader, run_id)
    client.set_tag(run_id, "credit.schema", "1")
    client.update_run(run_id, status="KILLED")
    with pytest.raises(CreditError, match="is KILLED, not FINISHED"):
        grid.started_from(reader, run_id)
    client.delete_run(run_id)
    with pytest.raises(CreditError, match="is deleted"):
        grid.started_from(reader, run_id)


# Online scan


def cell(spec: RunSpec) -> tuple:
    return spec.rule, spec.code, spec.warmup_ratio, spec.tgw, spec.terminal_weight


def test_the_scan_runs_each_cell_once():
    specs = specs_of("online_scan")
    assert len({s.spec_hash for s in specs}) == len(specs) == 3 + 3 + 3 * 6
    assert {(s.width, s.depth, s.k, s.stale_steps) for s in specs} == {(256, 4, 4, 50)}
    assert [cell(s) for s in specs if s.rule in ("dfa", "state_bridge")] == [
        ("dfa", "eT", 0.05, 1, 1),
        *(("state_bridge", "eT", ratio, 1, 1) for ratio in (0, 0.05, 0.2)),
    ]
    bridges = {cell(s) for s in specs if s.rule == "credit_bridge"}
    assert bridges == {
        ("credit_bridge", code, ratio, tgw, 1)
        for code in ("eT", "deltaL")
        for ratio in (0, 0.05, 0.2)
        for tgw in (1, 4)
    }
    fields = {cell(s) for s in specs if s.rule == "vector_field"}
    assert fields == {
        ("vector_field", "eT", ratio, 1, weight) for ratio in (0, 0.05, 0.2) for weight in (1, 4)
    }


def test_the_second_stage_is_the_cell_and_its_dfa_and_finds_the_scans_runs():
    specs = specs_of("online_scan")
    options = chosen("online_scan", device="cpu")
    more = [resolve(spec) for spec in grid.online_seeds(options, specs[-1])]
    assert [(s.rule, s.seed) for s in more] == [
        (rule, seed) for seed in (42, 123, 456) for rule in ("dfa", "vector_field")
    ]
    assert len({s.spec_hash for s in more} & {s.spec_hash for s in specs}) == 2


def scan(**alignments: float) -> pd.DataFrame:
    """Runs on seeds 42 and 123 as the reader returns them, by label; dfa's Γ is .1 and .2."""
    cells = {
        "dfa": {"rule": "dfa"},
        "state": {"rule": "state_bridge"},
        "one": {"rule": "credit_bridge"},
        "four": {"rule": "credit_bridge", "tgw": 4},
    }
    rows = []
    for label, gamma in {"dfa": 0.1, **alignments}.items():
        for seed, shift in ((42, 0.0), (123, 0.1)):
            spec = RunSpec.from_mapping({**cells[label], "seed": seed, "device": "cpu"})
            rows.append(
                {
                    **vars(spec),
                    "run_id": f"{label}{seed}",
                    "status": "FINISHED",
                    "started": pd.Timestamp("2026-01-01", tz="UTC"),
                    "alignment/deep": gamma + shift,
                    "rho/deep": {"four": 0.5}.get(label, 0.3),
                    "valid/reference": 1.0,
                    "accuracy/test": 0.9 if label == "state" else 0.1,
                }
            )
    return pd.DataFrame(rows)


def test_the_cell_with_the_highest_lead_over_dfa_is_chosen():
    table = online_choice.scored(scan(state=0.2, one=0.4, four=0.3), [42, 123])
    assert table["S1"].tolist() == pytest.approx([0.3, 0.2, 0.1])
    assert table["n"].tolist() == [2, 2, 2]
    found = online_choice.best(scan(state=0.2, one=0.4, four=0.3), [42, 123])
    assert found == RunSpec(rule="credit_bridge", device="cpu")


def test_equals_are_told_apart_by_loss_prediction():
    found = online_choice.best(scan(state=0.2, one=0.4, four=0.4), [42, 123])
    assert found is not None and found.tgw == 4


def test_only_the_scans_seeds_and_valid_cells_choose():
    runs = scan(state=0.2, one=0.4, four=0.9)
    later = runs["seed"] == 123
    runs.loc[later & (runs["rule"] == "state_bridge"), "alignment/deep"] = 5.0
    runs.loc[(runs["tgw"] == 4) & ~later, "alignment/deep"] = float("nan")
    found = online_choice.best(runs, [42])
    assert found is not None and (found.rule, found.tgw, found.seed) == ("credit_bridge", 1, 42)
    runs.loc[(runs["rule"] == "credit_bridge") & ~later, "valid/reference"] = 0.0
    assert online_choice.best(runs, [42]).rule == "state_bridge"
    runs.loc[runs["rule"] == "dfa", "alignment/deep"] = float("nan")
    choice = online_choice.choose(runs, [42])  # Γ itself then chooses
    assert choice.by == "Γ" and choice.cell is not None and choice.cell.rule == "state_bridge"
    assert online_choice.scored(runs.loc[runs["rule"] != "dfa"], [42]).empty


def test_unfinished_runs_and_a_missing_rho_do_not_stop_the_choice():
    runs = scan(state=0.2, one=0.4).drop(columns="rho/deep")
    runs.loc[(runs["rule"] == "credit_bridge") & (runs["seed"] == 42), "status"] = "FAILED"
    found = online_choice.best(runs, [42, 123])
    assert found is not None and found.rule == "state_bridge"
    assert online_choice.best(runs.iloc[:0], [42]) is None


# What is refused


@pytest.mark.parametrize(
    ("experiment", "options", "message"),
    [
        ("method_comparison", {"rules": "bp,bp"}, "names an item twice"),
        ("method_comparison", {"rules": "bridge"}, "unknown rule 'bridge'"),
        ("method_comparison", {"preset": "reduce"}, "unknown preset 'reduce': did you mean"),
        ("depth_scan", {"depths": "2,x"}, "depths='x' is not a whole number"),
        ("depth_scan", {"depths": "0"}, "depths=0 is too small"),
        ("frozen_recovery", {"networks": "256by4"}, "networks='256by4' is not width x depth"),
        ("frozen_recovery", {"networks": "256x4,256x04"}, "names a network twice"),
        ("frozen_recovery", {"networks": "0x4"}, "width=0 is too small"),
        ("frozen_recovery", {"networks": ""}, "has an empty item"),
        ("frozen_recovery", {"arms": "M5"}, "unknown arm 'M5': choose from dfa, "),
        ("frozen_recovery", {"reference_epochs": "0"}, "epochs=0 is too small"),
        ("frozen_recovery", {"reference_samples": "-1"}, "reference_samples=-1 is too small"),
        ("online_scan", {"arms": "credit_eT"}, "arms=credit_eT needs dfa and another"),
        ("online_scan", {"arms": "dfa"}, "arms=dfa needs dfa and another"),
        ("online_scan", {"arms": "dfa,credit"}, "unknown arm 'credit'"),
        ("online_scan", {"warmups": "0,2"}, "warmup_ratio=2.0 is too large"),
        ("online_scan", {"tgws": "-1"}, "is too small"),
        ("online_scan", {"seeds": "-5"}, "seed=-5 is too small"),
        ("online_scan", {"scan_seeds": "a"}, "scan_seeds='a' is not a whole number"),
        ("matched_controls", {"controls": "shalow"}, "unknown control 'shalow': did you mean"),
        ("matched_controls", {"control_penalty": "much"}, "penalty='much' is not a number"),
        ("matched_controls", {"dataset": "toy_lq"}, "dataset=toy_lq has no network"),
        ("credit_scale", {"epss": "0,-1"}, "credit_eps=-1.0 is too small"),
        ("credit_scale", {"epss": "1e-6,0.000001"}, "names a number twice"),
        ("credit_scale", {"reductions": "mean,max"}, "unknown credit_reduction 'max'"),
        ("credit_scale", {"reductions": "mean,published"}, "which stands for mean or sum"),
    ],
)
def test_bad_options_are_named(experiment, options, message):
    with pytest.raises(CreditError, match=message):
        specs_of(experiment, **options)


def test_arms_and_controls_are_labels_of_different_runs():
    for arms in (FROZEN_ARMS, ONLINE_ARMS):
        assert len({RunSpec.from_mapping(fields).spec_hash for fields in arms.values()}) == len(
            arms
        )
    for preset in PRESETS["matched_controls"].values():
        assert set(preset["controls"].split(",")) <= set(CONTROLS)


# From the command line to the result

SMALL = (
    "--preset quick --dataset digits --epochs 2 --train_samples 256 --measure_samples 32 "
    "--directions 2 --estimator_width 16 --device cpu"
)


@pytest.mark.slow
def test_frozen_recovery_trains_references_and_then_what_learns_on_them(tracking_store):
    words = f"{SMALL} --networks 8x2,12x1 --arms dfa,state_bridge,M4 --reference_epochs 1".split()
    done = call("frozen_recovery", *words)
    assert done.returncode == 0, done.stderr
    reader = connect()
    (parent,) = reader.parents("frozen_recovery")["run_id"]
    runs = reader.runs(parent=parent)
    assert set(runs["status"]) == {"FINISHED"} and len(runs) == 2 + 2 * 3
    references = runs.loc[runs["rule"] == "bp"].set_index("spec_hash")
    assert set(references["epochs"]) == {1} and (references["k"] == references["depth"]).all()
    for _, arm in runs.loc[runs["rule"] != "bp"].iterrows():
        reference = references.loc[arm["start"]]
        assert arm["accuracy/test"] == reference["accuracy/test"]  # the network did not move
        assert (arm["width"], arm["depth"]) == (reference["width"], reference["depth"])
    wide = references.loc[references["width"] == 12, "run_id"].iloc[0]
    done = call("frozen_recovery", *SMALL.split(), "--arms", "dfa,credit_eT", "--run_id", wide)
    assert done.returncode == 0, done.stderr
    parent = reader.parents("frozen_recovery")["run_id"].iloc[0]
    assert reader.parents("frozen_recovery")["params"].iloc[0]["networks"] == "12x1"
    runs = reader.runs(parent=parent)
    assert sorted(runs["rule"]) == ["bp", "credit_bridge", "dfa"] and len(reader.runs()) == 9
    assert set(runs["width"]) == {12} and runs["accuracy/test"].nunique() == 1


@pytest.mark.slow
def test_the_online_scan_takes_its_best_cell_to_further_seeds(tracking_store):
    words = "--width 8 --depth 2 --warmups 0 --tgws 1,4 --arms dfa,state_bridge,credit_eT"
    words += " --seeds 42,7 --stale_steps 2"
    done = call("online_scan", *SMALL.split(), *words.split())
    assert done.returncode == 0, done.stderr
    reader = connect()
    (parent,) = reader.parents("online_scan")["run_id"]
    runs = reader.runs(parent=parent)
    assert set(runs["status"]) == {"FINISHED"} and len(runs) == 4 + 2
    assert Counter(runs["seed"]) == {42: 4, 7: 2}
    found = online_choice.best(runs, [42])
    later = runs.loc[runs["seed"] == 7]
    assert found is not None and "dfa" in set(later["rule"])
    assert found.replace(seed=7).spec_hash in set(later["spec_hash"])


# Warm-up


@pytest.mark.parametrize(("epochs", "resolved"), [(4, 0.0), (100, 0.05)])
def test_a_warm_up_of_no_epoch_is_called_none(epochs: int, resolved: float):
    spec = RunSpec(rule="credit_bridge", warmup_ratio=0.05, epochs=epochs, device="cpu")
    assert resolve(spec).warmup_ratio == resolved


@pytest.mark.parametrize("kind", sorted(PRESETS))
def test_presets_name_warm_ups_of_whole_epochs(kind: str):
    """Otherwise a cell of the table would repeat another under a wrong name."""
    for preset in PRESETS[kind].values():
        ratios = preset.get("warmups", preset.get("warmup_ratio", "0.05")).split(",")
        epochs = int(preset.get("epochs", RunSpec.epochs))
        whole = [warmup_epochs(float(ratio), epochs) for ratio in ratios]
        assert len(set(whole)) == len(whole)
        if preset.get("rules", "").count("bridge"):
            assert all(map(bool, whole)) or kind == "toy_lq"

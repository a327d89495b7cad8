"""Matched controls: what is read off the runs, table, verdicts and figure, worked out by hand."""

import dataclasses
import json
import math
import statistics

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import torch

from credit import network
from credit.analysis import controls, controls_checks
from credit.analysis.controls_figure import controls_figure
from credit.data import teacher
from credit.data.loading import load
from credit.errors import CreditError
from credit.network_size import HELD_OUT, SIZES, parameters
from credit.publish import publish
from credit.spec import RunSpec
from credit.tracking.reader import connect
from credit.tracking.writer import finish, open_child, open_parent, open_store
from tests.layout import assert_laid_out
from tests.test_notebooks import ROOT, execute, shown

SEEDS = (42, 123, 456)
SHIFTS = (-0.01, 0.0, 0.01)
COMMON = {"device": "cpu"}
REDUCTIONS = {"bp": "mean", "fa": "mean", "oracle": "mean", "dfa": "sum"}
FIELDS: dict[str, dict] = {
    "k=L": {},
    "k=0": {"k": 0},
    "frozen embedding": {"k": 0, "embed_trains": False},
    "shallow": {"depth": 1, "k": 1, "width": 348},
    "random labels": {"random_labels": True, "augment": False},
    "penalty": {"penalty": 0.01},
}
EXPECTED: dict[str, dict[str, tuple[float, float, float]]] = {  # test, train, growth
    "bp": {
        "k=L": (0.615, 0.62, 1.0),
        "k=0": (0.389, 0.39, 1.2),
        "frozen embedding": (0.33, 0.33, 1.2),
        "shallow": (0.58, 0.6, 2.0),
        "random labels": (0.1, 0.12, 3.0),
        "penalty": (0.61, 0.6, 1.0),
    },
    "fa": {
        "k=L": (0.402, 0.41, 12.0),
        "k=0": (0.355, 0.36, 1.2),
        "shallow": (0.40, 0.4, 9.0),
        "random labels": (0.1, 0.10, 20.0),
        "penalty": (0.39, 0.4, 4.0),
    },
    "dfa": {
        "k=L": (0.30, 0.3, 2000.0),
        "k=0": (0.349, 0.35, 1.2),
        "shallow": (0.35, 0.35, 3000.0),
        "random labels": (0.1, 0.10, 900.0),
        "penalty": (0.36, 0.36, 8.0),
    },
}
GONE = "REDUCED: without oracle"
CHECKS = ["k=L > shallow", "random labels", "penalty", "penalty D1"]
CHECKS += ["D3 own", "D3 bp", "D3 frozen", "D3 together"]


def spec_of(rule: str, control: str, seed: int, **fields) -> RunSpec:
    own = {**COMMON, "rule": rule, "credit_reduction": REDUCTIONS[rule], "seed": seed}
    return RunSpec.from_mapping({**own, **FIELDS[control], **fields})


def measured(test: float, train: float, growth: float) -> dict[str, float]:
    return {"accuracy/test": test, "accuracy/train": train, "growth/max": growth}


def row(spec: RunSpec, metrics: dict[str, float]) -> dict:
    return {
        "run_id": spec.spec_hash,
        "name": spec.name,
        "status": "FINISHED",
        "reason": None,
        **dataclasses.asdict(spec),
        "started": pd.Timestamp("2026-01-01", tz="UTC"),
        **metrics,
    }


def frame(values: dict | None = None, **fields) -> pd.DataFrame:
    """Runs whose accuracies differ by .01 from seed to seed, except on random labels."""
    return pd.DataFrame(
        row(
            spec_of(rule, control, seed, **fields),
            measured(test + shift * (control != "random labels"), train + shift, growth),
        )
        for rule, cells in (values or EXPECTED).items()
        for control, (test, train, growth) in cells.items()
        for seed, shift in zip(SEEDS, SHIFTS, strict=True)
    )


def with_cell(rule: str, control: str, *values: float) -> pd.DataFrame:
    return frame(EXPECTED | {rule: EXPECTED[rule] | {control: values}})


def at(runs: pd.DataFrame, rule: str, control: str, seed: int = 0) -> pd.Series:
    named = controls.with_controls(runs)
    here = (named["rule"] == rule) & (named["control"] == control)
    return here & (runs["seed"] == seed) if seed else here


def verdicts(runs: pd.DataFrame, rule: str = "") -> dict[str, dict]:
    found = controls_checks.verdicts(runs)
    json.dumps(found, allow_nan=False)
    return {v["check"]: v for v in found if v["rule"] == rule}


def test_controls_are_read_off_the_parameters():
    named = controls.with_controls(frame())
    assert list(dict.fromkeys(named["control"])) == list(FIELDS)
    odd = [
        spec_of("fa", "random labels", 42, penalty=0.01),
        spec_of("fa", "random labels", 42, k=0),
        spec_of("fa", "k=L", 42, k=2),
        spec_of("fa", "k=L", 42, embed_trains=False),
    ]
    more = pd.DataFrame(row(spec, measured(0.1, 0.1, 1.0)) for spec in odd)
    names = controls.with_controls(pd.concat([frame(), more]))["control"].tolist()[-4:]
    assert names == ["random labels+penalty", "random labels+k=0", "k=2", "frozen embedding+k=L"]


@pytest.mark.parametrize(
    ("control", "change"),
    [
        ("k=L", {"lr": 0.1}),
        ("shallow", {"width": 200}),
        ("shallow", {"k": 2, "depth": 2}),
        ("penalty", {"penalty": 0.1}),
        ("k=0", {"width": 128}),
        ("penalty", {"epochs": 10}),
    ],
)
def test_only_like_is_compared_with_like(control, change):
    extra = pd.DataFrame([row(spec_of("fa", control, 7, **change), measured(0.1, 0.1, 1.0))])
    mixed = pd.concat([frame(), extra])
    with pytest.raises(CreditError, match=f"differ in {next(iter(change))} "):
        controls.controls(mixed)
    with pytest.raises(CreditError, match="no runs to show"):
        controls.controls(mixed.iloc[:0])


@pytest.mark.parametrize("terminal_norm", [True, False])
@pytest.mark.parametrize(("width", "depth"), [(256, 4), (348, 1), (7, 2)])
def test_parameters_are_those_of_the_network(width, depth, terminal_norm):
    tree = network.init(
        3072, width, 10, depth, torch.Generator(), torch.float32, None, terminal_norm
    )
    config = dataclasses.asdict(RunSpec(width=width, depth=depth, k=1, terminal_norm=terminal_norm))
    assert parameters(config) == sum(p.numel() for p in tree.values())
    last = f"blocks.{depth - 1}."
    frozen = [name for name in tree if "blocks" in name and not name.startswith(last)]
    trains = parameters(config, trained=True)
    assert trains == sum(p.numel() for name, p in tree.items() if name not in frozen)
    still = {**config, "k": 0, "embed_trains": False}
    head = sum(p.numel() for name, p in tree.items() if name.startswith("out_"))
    assert parameters(still, trained=True) == head
    assert parameters({**still, "head_trains": False}, trained=True) == 0
    assert math.isnan(parameters({**config, "dataset": "toy_lq"}))


def test_sizes_are_those_of_the_data():
    digits = load("digits", "cpu")
    assert SIZES["digits"] == (digits.d_in, digits.classes)
    assert HELD_OUT["digits"] == len(digits.test_labels)
    assert SIZES["teacher"] == (teacher.INPUTS, teacher.CLASSES)
    assert HELD_OUT["teacher"] == teacher.TEST


def test_size_of_cifar(cifar_root):
    data = load("cifar10", "cpu", train_samples=10)
    assert SIZES["cifar10"] == (data.d_in, data.classes)
    assert HELD_OUT["cifar10"] == len(data.test_labels)


def test_table_by_hand():
    table = controls.controls(frame())
    assert table["rule"].tolist() == ["bp"] * 6 + ["fa"] * 5 + ["dfa"] * 5
    assert table["control"].tolist()[:6] == list(FIELDS)
    assert set(table["n"]) == {3}
    assert set(table["settings"]) == {GONE}
    shallow = table.iloc[3].to_dict()
    assert (shallow["parameters"], shallow["trained"]) == (1317190, 1317190)
    assert table["parameters"][0] == 1318154
    assert table["trained"][1:3].tolist() == [1318154 - 4 * 132096, 2570 + 512]
    assert shallow["difference"] == pytest.approx(-0.035)
    assert shallow["difference_sd"] == pytest.approx(0)
    assert shallow["accuracy_sd"] == pytest.approx(statistics.stdev(SHIFTS))
    wide = controls.controls_wide(table)
    assert wide.iloc[3].to_dict() == {
        "rule": "bp",
        "control": "shallow",
        "network": "d=348 L=1 k=1",
        "parameters": "1,317,190",
        "trained": "1,317,190",
        "test accuracy": ".580 ± .010",
        "train accuracy": ".600 ± .010",
        "minus k=L, by seed": "-.035 ± .000",
        "growth/max": "2",
        "n": 3,
        "settings": GONE,
    }
    assert wide.iloc[0]["minus k=L, by seed"] == ""
    assert controls.describe(frame()) == f"cifar10, d=256, L=4, 100 epochs; {GONE}"
    whole = pd.concat([frame(), frame({"oracle": EXPECTED["fa"]})], ignore_index=True)
    assert controls.describe(whole) == "cifar10, d=256, L=4, 100 epochs"
    assert "settings" not in controls.controls_wide(controls.controls(whole))
    assert "3072 inputs" in controls.note(frame())


def test_differences_are_paired_by_seed():
    runs = frame()
    runs.loc[at(runs, "fa", "k=L", 42), "status"] = "RUNNING"
    table = controls.controls(runs)
    cell = table.loc[(table["rule"] == "fa") & (table["control"] == "shallow")].iloc[0]
    assert (cell["difference_n"], cell["n"]) == (2, 3)
    assert cell["difference"] == pytest.approx(-0.002)
    wide = controls.controls_wide(table)
    assert wide["minus k=L, by seed"].tolist()[8] == "-.002 ± .000 (n=2)"


def test_reduced_runs_say_so():
    small = {"epochs": 6, "train_samples": 20000}
    runs = frame(**small)
    runs = runs.loc[runs["seed"] == 42]
    words = f"{GONE}, 6 of 100 epochs, 20000 of 50000 samples, 1 of 3 seeds"
    assert controls.describe(runs) == f"cifar10, d=256, L=4, 6 epochs; {words}"
    table = controls.controls(runs)
    assert set(table["settings"]) == {words}
    assert controls.controls_wide(table)["settings"].tolist() == [words] * 16
    assert "digits for cifar10" in controls.describe(frame(dataset="digits"))
    few = frame({rule: {"k=L": cells["k=L"]} for rule, cells in EXPECTED.items()})
    assert controls.describe(few).endswith(
        f"{GONE}, without k=0, shallow, random labels, penalty, frozen embedding"
    )


def test_costs_stand_beside_accuracy():
    runs = frame()
    assert "FLOP per step" not in controls.controls_wide(controls.controls(runs))
    costs = {"cost/flops_per_step": 1e9, "cost/block_evaluations": 4.0}
    wide = controls.controls_wide(controls.controls(runs.assign(**costs)))
    assert wide.iloc[0][["FLOP per step", "block evaluations"]].tolist() == ["1 GFLOP", "4"]
    assert "estimator parameters" not in wide


def test_permuted_labels_may_go_without_augmentation_and_nothing_else():
    bare = frame()
    augmented = bare.assign(augment=True)
    assert controls.describe(bare).endswith(GONE)
    assert controls.describe(augmented).endswith(f"{GONE}, augment=true for false")
    words = "of the random labels of augmented images"
    assert words in verdicts(augmented, "fa")["random labels"]["reason"]
    assert "augmented" not in verdicts(bare, "fa")["random labels"]["reason"]
    with pytest.raises(CreditError, match="differ in augment"):
        controls.controls(bare.assign(augment=bare["k"] > 0))


def test_verdicts_by_hand():
    runs = frame()
    bp, fa, dfa = (verdicts(runs, rule) for rule in ("bp", "fa", "dfa"))
    assert list(fa) == list(dfa) == CHECKS
    assert list(bp) == [check for check in CHECKS if check != "D3 bp"]
    deeper = [found["k=L > shallow"] for found in (bp, fa, dfa)]
    assert [v["label"] for v in deeper] == ["deeper", "equal", "shallower"]
    assert [v["status"] for v in deeper] == ["pass", "fail", "fail"]
    assert [v["value"] for v in deeper] == pytest.approx([0.035, 0.002, -0.05])
    assert "1,317,190 parameters against 1,318,154, -0.1%" in deeper[0]["reason"]
    more = "but with no block trained it has .349, more than with all of them"
    assert [more in v["reason"] for v in deeper] == [False, False, True]
    random = [found["random labels"] for found in (bp, fa, dfa)]
    assert {v["status"] for v in random} == {"pass"}
    assert [v["label"] for v in random] == ["memorises", "memorises nothing", "memorises nothing"]
    penalty = [found["penalty"] for found in (bp, fa, dfa)]
    assert [v["label"] for v in penalty] == ["stays", "stays", "rises"]
    assert {v["status"] for v in penalty} == {"pass"}
    assert dfa["penalty D1"]["status"] == "pass"
    reason = dfa["penalty D1"]["reason"]
    assert reason.startswith("with λ=0.01 the largest growth per block is 8, within 50")
    assert "without, fail: the largest growth per block is 2e+03" in reason


def test_d3_against_three_baselines():
    found = verdicts(frame(), "fa")
    names = ("D3 own", "D3 bp", "D3 frozen")
    assert [found[name]["value"] for name in names] == pytest.approx([0.047, 0.013, 0.072])
    assert [found[name]["status"] for name in names] == ["pass", "fail", "pass"]
    whole = found["D3 together"]
    assert (whole["status"], whole["label"]) == ("fail", "only by its own embedding")
    assert whole["reason"].endswith(
        "it passes against its own only because that is poor, 3.4 points below bp's"
    )
    assert verdicts(frame(), "bp")["D3 together"]["status"] == "pass"
    dfa = verdicts(frame(), "dfa")["D3 together"]
    assert (dfa["status"], dfa["label"]) == ("fail", "")
    flat = with_cell("bp", "k=L", 0.40, 0.4, 1.0)
    assert verdicts(flat, "fa")["D3 own"]["label"] == "not applicable"
    assert verdicts(flat, "fa")["D3 together"]["status"] == "undefined"


def test_a_shallow_network_of_another_size_is_no_match():
    runs = frame()
    runs.loc[runs["depth"] == 1, "width"] = 300
    found = verdicts(runs, "bp")["k=L > shallow"]
    assert found["status"] == "undefined"
    assert "not matched: 1,106,710 parameters against 1,318,154, -16.0%" in found["reason"]


def test_labels_that_leak_and_penalties_that_cost():
    runs = frame()
    runs.loc[at(runs, "fa", "random labels", 456), "accuracy/test"] = 0.13
    found = verdicts(runs, "fa")["random labels"]
    assert (found["status"], found["value"]) == ("fail", pytest.approx(0.03))
    assert "labels leak" in found["reason"]
    found = verdicts(with_cell("bp", "penalty", 0.59, 0.6, 60.0), "bp")
    assert (found["penalty"]["status"], found["penalty"]["label"]) == ("fail", "falls")
    assert found["penalty D1"]["status"] == "fail"


def test_verdicts_are_undefined_where_something_is_missing():
    alone = frame({"fa": {"k=L": EXPECTED["fa"]["k=L"]}})
    found = verdicts(alone, "fa")
    assert list(found) == CHECKS
    assert {v["status"] for v in found.values()} == {"undefined"}
    assert "frozen embedding of bp has no finished run" in found["D3 frozen"]["reason"]
    runs = frame()
    runs.loc[at(runs, "dfa", "shallow", 123), "status"] = "FAILED"
    assert "failed on seed 123" in verdicts(runs, "dfa")["k=L > shallow"]["reason"]
    running = frame().assign(status="RUNNING")
    table = controls.controls(running)
    assert set(table["n"]) == {0}
    assert controls.controls_wide(table)["test accuracy"].tolist() == [""] * 16


@pytest.mark.parametrize("width", [3.5, 7.0])
def test_figure(width, tmp_path):
    table = controls.controls(frame())
    figure = controls_figure(table, "Matched controls", width)
    figure.savefig(tmp_path / "figure.png")
    pixels = matplotlib.image.imread(tmp_path / "figure.png")
    assert pixels.shape[1] == round(width * 200)
    test, _, growth = figure.axes
    assert [tick.get_text() for tick in test.get_xticklabels()] == list(FIELDS)
    drawn = [np.asarray(line.get_ydata(), float) for line in test.lines]
    bps = [cell[0] for cell in EXPECTED["bp"].values()]
    assert any(len(p) == 6 and np.allclose(p, bps) for p in drawn)
    assert growth.get_yscale() == "log"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["bp", "fa", "dfa"]
    assert_laid_out(figure)
    with pytest.raises(CreditError, match="no rows"):
        controls_figure(table.iloc[:0], "title")


@pytest.mark.slow
def test_published_and_shown_by_the_notebook(tracking_store):
    store = open_store()
    parent = open_parent(store, "matched controls", "matched_controls", {}, "hash")
    for rule, cells in EXPECTED.items():
        for control, values in cells.items():
            run_id = open_child(store, parent, spec_of(rule, control, 42))
            for name, value in measured(*values).items():
                store.client.log_metric(run_id, name, value, step=100)
            finish(store, run_id)
    finish(store, parent)
    text = publish(store, parent)
    assert (
        "Matched controls: cifar10, d=256, L=4, 100 epochs; REDUCED: without oracle, 1 of 3 seeds"
        in text
    )
    assert "3.4 points below bp's" in text
    reader = connect(tracking_store)
    table = pd.read_csv(reader.artifact(parent, "table.csv"))
    assert table["accuracy"].tolist()[:6] == [cell[0] for cell in EXPECTED["bp"].values()]
    assert "frozen embedding" in reader.artifact(parent, "table.md").read_text()
    stored = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    assert len(stored) == 3 * len(CHECKS) - 1
    assert reader.artifact(parent, "figure.png").stat().st_size > 10_000
    notebook = execute("matched_controls", ROOT)
    html = shown(notebook, "text/html")
    assert "frozen embedding" in html and "only by its own embedding" in html
    assert "torch loaded: False" in shown(notebook, "stdout")
    assert shown(notebook, "image/png").count("iVBOR") == 1

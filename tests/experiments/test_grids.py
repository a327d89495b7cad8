"""Presets mean the runs that they meant: spec hashes as of before experiments were data."""

import json
from pathlib import Path

import pytest

from credit.experiments import KINDS, find, frozen_recovery, online_scan
from credit.spec import RunSpec, warmup_epochs
from credit.sweep.sweep import resolve
from credit.tracking.marks import settings

RESULTS = Path(__file__).parents[2] / "results"
GRIDS = json.loads((Path(__file__).parent / "grids.json").read_text())
"""Of every kind and preset, sorted hashes of the runs before they are resolved; `stage` "then" is a
second stage: the arms on the references, or the last cell of a scan and its dfa on all seeds."""


def hashes(kind: str, given: dict[str, str], stage: str) -> list[str]:
    experiment = find(kind)
    chosen = experiment.settled(given)
    specs = experiment.grid(chosen)
    if stage == "then":
        second = {
            "frozen_recovery": lambda: frozen_recovery.arms(chosen, specs),
            "online_scan": lambda: online_scan.on_seeds(chosen, specs[-1]),
        }
        specs = second[kind]()
    return sorted(spec.spec_hash for spec in specs)


@pytest.mark.parametrize("kind", KINDS)
def test_options_mean_the_same_runs(kind):
    own, experiment = [row for row in GRIDS if row["kind"] == kind], find(kind)
    assert {row["given"].get("preset", "published") for row in own} >= set(experiment.presets)
    for options in experiment.presets.values():
        assert options.keys() <= experiment.defaults().keys() | {"dataset"}
    for row in own:
        assert hashes(kind, row["given"], row["stage"]) == row["hashes"], row["given"]


@pytest.mark.parametrize("kind", KINDS)
def test_presets_name_warm_ups_of_whole_epochs(kind):
    """Otherwise a cell of the table would repeat another under a wrong name."""
    for preset in find(kind).presets.values():
        ratios = preset.get("warmups", preset.get("warmup_ratio", "0.05")).split(",")
        epochs = int(preset.get("epochs", RunSpec.epochs))
        whole = [warmup_epochs(float(ratio), epochs) for ratio in ratios]
        assert len(set(whole)) == len(whole)


@pytest.mark.parametrize(("epochs", "resolved"), [(4, 0.0), (100, 0.05)])
def test_a_warm_up_of_no_epoch_is_called_none(epochs, resolved):
    spec = RunSpec(rule="credit_bridge", warmup_ratio=0.05, epochs=epochs, device="cpu")
    assert resolve(spec).warmup_ratio == resolved


@pytest.mark.parametrize("folder", sorted(RESULTS.iterdir()), ids=lambda folder: folder.name)
def test_options_of_stored_parents_name_their_runs(folder):
    """The same command again finds its runs, and logs the same parameters."""
    records = json.loads((folder / "runs.json").read_text())["runs"]
    (parent,) = (r for r in records if "credit.kind" in r["tags"])
    experiment = find(parent["tags"]["credit.kind"])
    known = settings(parent["params"])
    logged = {name: value for name, value in known.items() if not name.startswith("system_")}
    assert set(logged) <= set(experiment.defaults())
    chosen = experiment.settled(logged)
    first = [resolve(spec.replace(device="cpu")) for spec in experiment.grid(chosen)]
    stored = {r["tags"].get("credit.spec_hash") for r in records}
    assert experiment.measured or {spec.spec_hash for spec in first} <= stored
    complete = experiment.complete or experiment.grid
    whole = [resolve(spec.replace(device="cpu")) for spec in complete(chosen)]
    params = experiment.params(chosen, whole)
    assert {name: params[name] for name in logged} == logged

"""The soak benchmark: slopes and drifts worked out by hand, and a real training that it stops."""

import json
import sys

import pandas as pd
import pytest

from benchmarks.soak import Sample, memory, pace, stack_epochs, watch
from tests.commands import python


def samples(values, every: float = 5.0) -> list[Sample]:
    return [Sample(every * i, value, 1, 1.0) for i, value in enumerate(values)]


def epochs(*stacks: list[float]) -> pd.DataFrame:
    rows = [(s, i + 1, t, float(i)) for s, times in enumerate(stacks) for i, t in enumerate(times)]
    return pd.DataFrame(rows, columns=["stack", "step", "seconds", "minutes"])


def test_steady_memory_holds_whatever_its_start_and_its_peaks():
    values = [1000.0] * 720
    values[:60] = [10.0 * i for i in range(60)]  # five minutes of starting
    values[100::120] = [3000.0] * len(values[100::120])
    found = memory(samples(values), warm_up=720)
    assert found["slope_mb_per_hour"] == pytest.approx(0)
    assert (found["status"], found["peak_mb"], found["n"]) == ("holds", 3000, 576)


@pytest.mark.parametrize(("slope", "status"), [(39.0, "holds"), (41.0, "grows"), (-90.0, "holds")])
def test_a_leak_has_its_slope_also_where_samples_are_averaged(slope, status):
    found = memory(samples([500 + slope * i / 720 for i in range(1500)]), warm_up=300)
    assert found["slope_mb_per_hour"] == pytest.approx(slope)
    assert found["status"] == status


@pytest.mark.parametrize("count", [0, 1, 60])
def test_a_few_minutes_of_memory_are_not_judged(count):
    assert memory(samples([1.0 * i for i in range(count)]), warm_up=0)["status"] == "too short"


def test_drift_is_taken_within_stacks():
    fast = [9.0] + [1.0] * 6 + [1.1] * 3  # the first epoch does not count
    slow = [90.0] + [10.0] * 6 + [11.0] * 3
    found = pace(epochs(fast, slow, [1.0, 99.0]))
    assert found["drift"] == pytest.approx(0.1)
    assert found["n"] == 18
    assert pace(epochs([1.0] * 4 + [1.2] * 3))["status"] == "slows down"
    assert pace(epochs([1.2] * 4 + [1.0] * 3))["status"] == "holds"
    assert pace(epochs([1.0] * 6))["status"] == "too short"


def test_runs_of_a_stack_are_one_series():
    history = pd.DataFrame(
        [
            ("a", 1, 9.0, 500),  # by an earlier process
            ("a", 2, 3.0, 61_000),
            ("b", 2, 3.0, 61_001),
            ("c", 2, 4.0, 90_000),
            ("b", 3, 5.0, 121_000),  # a has failed
        ],
        columns=["run_id", "step", "value", "timestamp"],
    )
    found = stack_epochs(history, since_ms=1000)
    assert found["stack"].tolist() == [0, 1, 0]
    assert found["step"].tolist() == [2, 2, 3]
    assert found["seconds"].tolist() == [3, 4, 5]
    assert found["minutes"].tolist() == pytest.approx([1, 89 / 60, 2])


def test_a_command_that_ends_by_itself_is_seen_to(tmp_path):
    seen = watch([sys.executable, "-c", "raise SystemExit(3)"], seconds=60, every=0.05)
    assert (seen.exit_code, seen.ended) == (3, "by itself")


@pytest.mark.slow
def test_a_training_is_watched(tracking_store, tmp_path):
    command = "python -m entrypoints.ladder --preset quick --dataset digits"
    command += " --rules bp --ks 0,2 --seeds 42 --epochs 9"
    soak = ["-m", "benchmarks.soak", "--minutes", "60", "--every", "0.2"]
    done = python(*soak, "--folder", str(tmp_path / "out"), "--", *command.split())
    assert done.returncode == 0, done.stderr
    assert "ended by itself, status 0" in done.stdout.splitlines()[-1]
    (path,) = (tmp_path / "out").glob("*.json")
    assert path.with_suffix(".png").is_file() and path.with_suffix(".svg").is_file()
    result = json.loads(path.read_text())
    assert len(result["samples"]) > 10 and result["memory"]["peak_mb"] > 100
    assert [epoch["step"] for epoch in result["epochs"]] == list(range(1, 10))  # of both runs
    assert {epoch["stack"] for epoch in result["epochs"]} == {0}
    assert result["pace"]["n"] == 8

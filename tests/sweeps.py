"""Small sweeps on `digits`, and what must hold of the runs that they leave."""

import pandas as pd
import torch
from safetensors.torch import load_file

from credit.spec import RunSpec
from credit.sweep import sweep
from credit.tracking.reader import connect
from credit.tracking.store import open_store

BASE = {
    "dataset": "digits",
    "width": 16,
    "depth": 2,
    "epochs": 4,
    "train_samples": 300,
    "batch_size": 64,
    "measure_every": 3,
    "measure_samples": 64,
    "directions": 4,
    "device": "cpu",
}
RULES = ("bp", "oracle", "fa", "dfa")


def grid(**changes) -> list[RunSpec]:
    return [RunSpec(**{**BASE, "rule": r, "k": k, **changes}) for r in RULES for k in (0, 2)]


def run(specs, kind="ladder") -> sweep.Outcome:
    return sweep.run(sweep.Sweep(kind, "test sweep", specs, {"rules": "all of them"}), open_store())


def weights(outcome: sweep.Outcome) -> dict[str, dict[str, torch.Tensor]]:
    reader = connect()
    return {
        key: load_file(reader.artifact(run_id, "checkpoint/weights.safetensors"))
        for key, run_id in outcome.run_ids.items()
    }


def assert_equal_weights(one, other) -> None:
    assert one.keys() == other.keys()
    for key, tensors in one.items():
        assert tensors.keys() == other[key].keys()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other[key][name]), name


def assert_complete_histories(outcome: sweep.Outcome, epochs: int) -> None:
    """Every per-epoch series has every step exactly once."""
    history = connect().history(outcome.run_ids.values())
    for _, series in history[history["key"] == "accuracy/test"].groupby("run_id"):
        assert sorted(series["step"]) == list(range(1, epochs + 1))
    assert not history.duplicated(["run_id", "key", "step"]).any()


def assert_same_series(one, other) -> None:
    """Every metric at every step, but for what a clock says."""
    frames = []
    for frame in (one, other):
        frame = frame.loc[~frame["key"].str.startswith("time/"), ["run_id", "key", "step", "value"]]
        frames.append(frame.sort_values(["run_id", "key", "step"]).reset_index(drop=True))
    assert len(frames[0]) > 100
    pd.testing.assert_frame_equal(*frames, check_exact=True)


class Broken(BaseException):
    """Stands for whatever ends a process in the middle of a step."""

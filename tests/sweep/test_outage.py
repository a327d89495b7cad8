"""A tracking server that goes away: at the start, in the middle of a sweep, and at its end."""

import threading
import time

import pytest

from credit.errors import CreditError
from credit.spec import RunSpec
from credit.sweep import sweep, tracked_stack, worker
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from tests.server import Server
from tests.sweeps import (
    BASE,
    assert_complete_histories,
    assert_equal_weights,
    assert_same_series,
    weights,
)

pytestmark = pytest.mark.slow

AWAY_SECONDS = 60


def grid(epochs: int = 40) -> list[RunSpec]:
    """Two stacks: the second is opened while the server is away."""
    fields = {**BASE, "epochs": epochs, "measure_every": 20, "k": 2}
    return [
        RunSpec(**{**fields, "rule": rule, "seed": seed})
        for seed in (1, 2)
        for rule in ("bp", "dfa")
    ]


def train(specs: list[RunSpec]) -> sweep.Outcome:
    return sweep.run(sweep.Sweep("ladder", "outage", specs), open_store())


def test_a_sweep_outlives_an_outage_of_a_minute(server: Server, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    progress, gone = [], threading.Event()
    real = tracked_stack.train

    def noted(stack, data, start, on_step, pause):
        def step(done: int, steps: int) -> None:
            progress.append(time.monotonic())
            if len(progress) == 20:
                gone.wait()
            on_step(done, steps)

        return real(stack, data, start, step)

    monkeypatch.setattr(tracked_stack, "train", noted)
    monkeypatch.setattr(tracked_stack, "FLUSH_SECONDS", 5.0)  # then it goes on to the next stack
    outage = []

    def interrupt() -> None:
        while len(progress) < 20:
            time.sleep(0.05)
        server.stop()
        outage.append(time.monotonic())
        gone.set()
        time.sleep(AWAY_SECONDS)
        while len(progress) < 200 and time.monotonic() < outage[0] + 5 * AWAY_SECONDS:
            time.sleep(0.05)  # a slow machine trains the first stack for longer
        outage.append(time.monotonic())
        server.start()

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    outcome = train(grid())
    thread.join()
    went, came = outage
    during = sum(went < moment < came for moment in progress)
    assert during >= 180, "the first stack, of 40 epochs of 5 steps, was not trained to its end"
    print(f"away for {came - went:.0f} s, {during} of {len(progress)} steps meanwhile")
    runs = connect().runs(parent=outcome.parent_id)
    assert set(runs["status"]) == {"FINISHED"} and len(runs) == 4
    assert_complete_histories(outcome, epochs=40)
    state = sweep.state_folder(open_store())
    assert not [path for path in state.rglob("*") if path.suffix in (".jsonl", ".safetensors")]
    found, history = weights(outcome), connect().history(outcome.run_ids.values())

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'undisturbed.db'}")
    monkeypatch.setattr(tracked_stack, "train", real)
    undisturbed = train(grid())
    assert_equal_weights(found, weights(undisturbed))
    names = {outcome.run_ids[key]: new for key, new in undisturbed.run_ids.items()}
    history["run_id"] = history["run_id"].map(names)
    assert_same_series(history, connect().history(undisturbed.run_ids.values()))


def test_a_server_away_at_the_start_is_told_before_anything_is_computed(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    server.stop()
    try:
        monkeypatch.setattr(tracked_stack, "train", lambda *_: pytest.fail("it trained"))
        with pytest.raises(CreditError, match="no tracking store answers at"):
            train(grid())
    finally:
        server.start()


def test_a_server_away_at_the_end_leaves_the_data_on_disk_and_says_how_to_send_it(
    server, monkeypatch, tmp_path
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    patient = tracked_stack.FLUSH_SECONDS
    for module in (worker, tracked_stack):
        monkeypatch.setattr(module, "FLUSH_SECONDS", 3.0)
    real = tracked_stack.train

    def cut_off(stack, data, start, on_step, pause):
        for records in real(stack, data, start, on_step, pause):
            if records[0].epoch == 2:
                server.stop()
            yield records

    monkeypatch.setattr(tracked_stack, "train", cut_off)
    specs = grid(epochs=4)[:2]
    with pytest.raises(CreditError, match=r"are not sent: .* is away; they are kept in"):
        train(specs)
    server.start()
    for module in (worker, tracked_stack):
        monkeypatch.setattr(module, "FLUSH_SECONDS", patient)
    steps = []

    def watched(stack, data, start, on_step, pause):
        return real(stack, data, start, lambda *step: (steps.append(step), on_step(*step)), pause)

    monkeypatch.setattr(tracked_stack, "train", watched)
    outcome = train(specs)
    assert not steps, "it trained again"
    assert set(connect().runs(parent=outcome.parent_id)["status"]) == {"FINISHED"}
    assert_complete_histories(outcome, epochs=4)

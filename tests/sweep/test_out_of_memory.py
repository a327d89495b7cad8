"""A stack that turns out not to fit into memory, which only a GPU says in the middle of a step."""

import pytest
import torch

from credit.errors import CreditError
from credit.sweep import tracked_stack
from credit.tracking.reader import connect
from credit.training.stack import Stack
from tests.sweeps import assert_complete_histories, grid, run, weights

pytestmark = pytest.mark.usefixtures("tracking_store")


def short_of_memory(monkeypatch, most: int, after: int) -> list[int]:
    """Stacks of more than `most` runs fail at a step; returns the sizes of those that did."""
    step, failed = Stack.step, []

    def limited(self: Stack, x, y):
        if self.size > most and self.optimizer_steps >= after:
            failed.append(self.size)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(self, x, y)

    monkeypatch.setattr(Stack, "step", limited)
    return failed


def test_it_goes_on_in_halves_from_its_checkpoint(monkeypatch, tmp_path):
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        failed = short_of_memory(patch, most=3, after=7)
        halved = run(grid())
    assert failed == [8, 4, 4]
    assert not halved.failures and set(connect().runs()["status"]) == {"FINISHED"}
    assert_complete_histories(halved, epochs=4)
    found = weights(halved)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    monkeypatch.setenv("CREDIT_STATE", str(tmp_path / "other"))
    whole = weights(run(grid()))
    assert found.keys() == whole.keys()
    for key, tensors in whole.items():
        for name, tensor in tensors.items():
            torch.testing.assert_close(found[key][name], tensor, rtol=1e-3, atol=1e-5)


def test_a_single_run_that_does_not_fit_is_refused(monkeypatch):
    short_of_memory(monkeypatch, most=0, after=0)
    with pytest.raises(CreditError):
        run(grid()[:2])
    assert set(connect().runs()["status"]) == {"KILLED"}

"""A run is found by either name of the first GPU, and goes on on another one with a line."""

import pytest

from credit.spec import RunSpec
from credit.tracking import runs
from credit.tracking.marks import DEVICE
from credit.tracking.store import open_store
from credit.tracking.writer import find_children, finish, open_child, open_parent

KNOWN = {"rule": "dfa", "credit_reduction": "mean"}


@pytest.mark.usefixtures("tracking_store")
def test_what_cuda_began_goes_on_as_cuda_0_and_says_when_the_gpu_is_another(capfd):
    runs._note_move.cache_clear()
    store = open_store()
    specs = [RunSpec(device=device, **KNOWN) for device in ("cuda", "cuda:0", "cuda:1", "cpu")]
    first, again, *others = specs
    parent = open_parent(store, "ladder", "ladder", {"device": "cuda"}, "0" * 16)
    run_id = open_child(store, parent, first, context={DEVICE: "one GPU"})
    finish(store, run_id, "KILLED")
    found = find_children(store, [again.spec_hash])[again.spec_hash]
    assert found.run_id == run_id
    assert find_children(store, [spec.spec_hash for spec in others]) == {}
    assert open_parent(store, "ladder", "ladder", {"device": "cuda:0"}, "0" * 16) == parent
    assert capfd.readouterr().err == ""
    for _ in range(2):
        assert open_child(store, parent, again, found, context={DEVICE: "other GPU"}) == run_id
    (line,) = capfd.readouterr().err.splitlines()
    assert "one GPU" in line and "other GPU" in line
    assert store.client.get_run(run_id).data.params["device"] == "cuda"

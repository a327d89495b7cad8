"""A pickle where a sweep looks for checkpoints, weights and specs is refused and not unpickled."""

import io
import pickle

import torch

from credit.spec import RunSpec
from credit.sweep import sweep
from credit.tracking.reader import connect
from credit.tracking.writer import finish, open_child, open_parent, open_store
from tests.sweeps import BASE
from tests.traps import each_trap, refused, torch_saved


@each_trap
def test_the_traps_work(made, tmp_path):
    path = tmp_path / "trap"
    content = made(path)
    if made is torch_saved:
        torch.load(io.BytesIO(content), weights_only=False)
    else:
        pickle.loads(content)
    assert path.read_text() == "unpickled"


def train(rule: str, **changes) -> sweep.Outcome:
    spec = RunSpec(**{**BASE, "rule": rule, "k": 0, "epochs": 1, **changes})
    return sweep.run(sweep.Sweep("train", rule, [spec]), open_store())


@each_trap
def test_a_pickle_where_a_sweep_looks(made, tracking_store, trap, capsys):
    """A stack below CREDIT_STATE; then weights and spec of the run that another starts from."""
    spec = sweep.resolve(RunSpec(**{**BASE, "rule": "bp", "k": 0, "epochs": 1}))
    store = open_store()
    stack = sweep.state_folder(store) / "stacks" / "0123456789abcdef.safetensors"
    stack.parent.mkdir(parents=True)
    stack.write_bytes(made(trap))
    parent = open_parent(store, "bp", "train", {}, "0" * 16)
    finish(store, open_child(store, parent, spec), "KILLED")  # was this its checkpoint?
    finish(store, parent, "KILLED")
    refused(lambda: train("bp"), str(stack), "not a readable checkpoint", "delete it")
    train("dfa")  # which has none
    assert f"{stack} is not a readable checkpoint" in capsys.readouterr().err
    stack.unlink()
    (run_id,) = train("bp").run_ids.values()
    folder = connect().artifact(run_id, "checkpoint")
    (folder / "spec.json").write_bytes(made(trap))  # for people to read; no code does
    train("fa", start=spec.spec_hash)
    (folder / "weights.safetensors").write_bytes(made(trap))
    before = len(connect().parents())
    refused(lambda: train("oracle", start=spec.spec_hash), "weights.safetensors")
    assert len(connect().parents()) == before

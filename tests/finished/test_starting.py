"""Runs that start from a finished network, and networks of which parts do not train."""

from itertools import combinations

import pytest
import torch

from credit.data import load
from credit.spec import RunSpec
from credit.sweep import sweep
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from credit.training.stack import Stack, arrange
from tests.learned import SHAPE, batches, spec
from tests.stacks import contents, train
from tests.sweeps import BASE, weights

pytestmark = pytest.mark.usefixtures("tracking_store")

REFERENCE = RunSpec(**{**BASE, "rule": "bp", "k": 2, "epochs": 2})
FROZEN = {"k": 0, "embed_trains": False, "head_trains": False}
RULES = ("dfa", "state_bridge", "credit_bridge", "vector_field")


def frozen(start: str, **changes) -> list[RunSpec]:
    base = {**BASE, **FROZEN, "start": start, "estimator_width": 16, "warmup_ratio": 0, "epochs": 2}
    return [RunSpec(**{**base, "rule": rule, **changes}) for rule in RULES]


def recovery(**changes) -> sweep.Outcome:
    reference = sweep.resolve(REFERENCE)
    plan = sweep.Sweep(
        "frozen_recovery",
        "recovery",
        [reference],
        then=lambda outcome, store: frozen(reference.spec_hash, **changes),
    )
    return sweep.run(plan, open_store())


def test_estimators_train_on_a_network_that_stays_as_it_is():
    outcome = recovery()
    runs = connect().runs(parent=outcome.parent_id).set_index("rule")
    assert set(runs["status"]) == {"FINISHED"} and len(runs) == 5
    assert set(runs["accuracy/test"]) == {runs.loc["bp", "accuracy/test"]}
    saved = weights(outcome)
    reference = saved.pop(sweep.resolve(REFERENCE).spec_hash)
    for tensors in saved.values():
        for name, tensor in tensors.items():
            if name.startswith("param/"):
                assert torch.equal(tensor, reference[name]), name
    again = recovery()
    assert again == outcome  # the same runs under the same parent, and nothing trained


def test_runs_of_one_network_learn_beside_each_other_as_alone():
    """Their one forward pass is shown to all of them."""
    start = train(Stack([spec("bp")], SHAPE), batches())
    params = {"ref": {name: p[0] for name, p in start.params.items()}}
    changes = {**FROZEN, "start": "ref"}
    bridges = [spec("credit_bridge", tgw=t, **changes) for t in (1, 2)]
    specs = arrange([spec("state_bridge", **changes), *bridges])
    together = train(Stack(specs, SHAPE, params), batches(1))
    for row, one in enumerate(specs):
        alone = train(Stack([one], SHAPE, params), batches(1))
        for (name, value), other in zip(
            contents(alone).items(), contents(together, row).values(), strict=True
        ):
            torch.testing.assert_close(other, value, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("rule", ["bp", "dfa", "vector_field"])
@pytest.mark.parametrize(
    ("part", "names"), [("embed_trains", {"embed"}), ("head_trains", {"out_ln", "out_head"})]
)
def test_a_part_that_does_not_train_stays_and_the_rest_does(rule, part, names):
    stack = Stack([spec(rule, **{part: False})], SHAPE)
    before = contents(stack)
    after = contents(train(stack, batches()))
    for name, value in after.items():
        if name.startswith("param/"):
            stays = name.removeprefix("param/").partition(".")[0] in names
            assert torch.equal(value, before[name]) == stays, name


def test_permuted_labels_are_a_seeds_own():
    spec = RunSpec(**{**BASE, "k": 2, "random_labels": True})
    other = spec.replace(seed=spec.seed + 1)
    assert spec.stack_key != other.stack_key
    true = [s.replace(random_labels=False) for s in (spec, other)]
    assert true[0].stack_key == true[1].stack_key
    labels = [load("digits", labels_seed=s).train_labels for s in (None, 1, 2)]
    assert all((a != b).any() for a, b in combinations(labels, 2))
    assert all(x.bincount().tolist() == labels[0].bincount().tolist() for x in labels)


def test_networks_of_other_data_share_a_sweep():
    plain = RunSpec(**{**BASE, "rule": "bp", "k": 2, "epochs": 20, "train_samples": 0})
    outcome = sweep.run(
        sweep.Sweep("ladder", "labels", [plain, plain.replace(random_labels=True)]), open_store()
    )
    reader, digests = connect(), set()
    for run_id in outcome.run_ids.values():
        inputs = reader.run(run_id).inputs
        assert inputs is not None
        digests.add(inputs.dataset_inputs[0].dataset.digest)
    assert len(digests) == 2
    runs = reader.runs(parent=outcome.parent_id).set_index("random_labels")
    assert runs.loc[False, "accuracy/test"] > runs.loc[True, "accuracy/test"] + 0.2

"""How many kernels a GPU launches for a step: a graph of few is a fast one."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from credit.networks import resmlp
from credit.randomness import generator
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training.lane import Lane
from credit.training.stack import arrange
from tests.training.launches import CHUNK, Launches, packed

SEEDS, SAMPLES = (42, 123, 456), 128


def launches(rules, width: int, depth: int, monkeypatch) -> Launches:
    """Of one step of the published ladder, without numbers: `meta` plays the GPU."""
    for module in ("optimizer", "lane"):
        monkeypatch.setattr(f"credit.training.{module}.recorded", lambda device: True)
    specs = arrange(
        [
            resolve(RunSpec(rule=rule, k=k, seed=seed, width=width, depth=depth, device="cpu"))
            for rule in rules
            for k in range(depth + 1)
            for seed in SEEDS
        ]
    )
    shape = Shape(3072, width, 10, depth)
    one = resmlp.init(*shape[:4], generator(0, "init"), torch.float32)
    with FakeTensorMode(allow_non_fake_inputs=True):
        params = {n: torch.empty(len(specs), *t.shape, device="meta") for n, t in one.items()}
        moments = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in params.items()}
        lane = Lane(specs, shape, params, moments, SEEDS)
        x = torch.empty(len(SEEDS), SAMPLES, shape.d_in, device="meta")
        y = torch.empty(len(SEEDS), SAMPLES, dtype=torch.int64, device="meta")
        noise = lane.noise(SAMPLES, 0)
        with Launches() as counter:
            lane.step(x, y, noise)
    return counter


@pytest.mark.parametrize(
    ("rules", "width", "depth", "most"),
    [
        (("bp", "fa", "dfa"), 256, 4, 165),
        (("bp", "oracle", "fa", "dfa"), 256, 4, 175),
        (("bp", "fa", "dfa"), 512, 2, 130),
    ],
)
def test_a_step_of_the_ladder_is_few_launches(rules, width, depth, most, monkeypatch):
    counter = launches(rules, width, depth, monkeypatch)
    assert 100 < counter.found.total() <= most, counter.found.most_common()


def test_views_and_memory_are_no_launches_and_lists_are_packed():
    a, b = torch.ones(4, 3), torch.ones(3)
    with Launches() as counter:
        torch.empty_like(a.mT[None].expand(2, -1, -1))
        torch.cat([a @ b, a.sum(-1)]).add_(1)
        torch.ops.aten._foreach_add_.Scalar([a] * 111, 1)
    assert counter.found == {"mv": 1, "sum": 1, "cat": 1, "add_": 1, "_foreach_add_": 2}


@pytest.mark.parametrize(
    ("sizes", "launches"),
    [([1] * 36, 1), ([1] * 37, 2), ([320 * CHUNK], 1), ([320 * CHUNK + 1, 1], 2), ([], 0)],
)
def test_a_launch_holds_so_many_tensors_and_numbers(sizes, launches):
    assert packed([torch.empty(size, device="meta") for size in sizes], 4) == launches

"""A GPU can record a step, and what it replays are the step's numbers."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from credit import rules
from credit.networks import resmlp
from credit.randomness import generator
from credit.sweep.sweep import resolve
from credit.training import checkpoint
from credit.training.lane import Lane
from credit.training.stack import Stack
from tests.training.lanes import LEARNED, MORE, RULES, SHAPE, batches, specs_of, step


class NothingMoves(TorchDispatchMode):
    """Raises where numbers would go from one device to another: a graph cannot record that."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)]
        copies = func._schema.name in ("aten::_to_copy", "aten::copy_")
        devices = {t.device.type for t in tensors if copies or t.dim()}  # a number may be read
        devices -= {"meta"}  # the form alone, which forward-mode asks for
        assert len(devices) < 2, f"{func} moves numbers between {' and '.join(sorted(devices))}"
        return result


def without_driver() -> bool:
    """Return whether fake tensors of a GPU need no driver; with torch 2.9 they do."""
    try:
        with FakeTensorMode():
            return torch.empty(2, device="cuda")[:1].numel() == 1
    except (AssertionError, RuntimeError):
        return False


def forward_only(function, has_aux: bool = False):
    """In place of `torch.func.grad`, whose backward pass asks for a driver even of fake tensors."""

    def run(first, *rest):
        result = function(first, *rest)
        zeros = tree_map(torch.zeros_like, first)
        return (zeros, result[1]) if has_aux else zeros

    return run


@pytest.mark.skipif(not without_driver(), reason="fake tensors need a driver with this torch")
@pytest.mark.parametrize(
    "names", [RULES, *((name,) for name in dict.fromkeys(LEARNED + MORE))], ids=" ".join
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_on_a_gpu_never_waits_for_a_value(precision, names, monkeypatch):
    """A graph can record it. Fake tensors raise where a number would have to leave the device."""
    seeds = [1, 2]
    changes = {"precision": precision, "estimator_layers": 2, "sigma_relative": True}
    if precision != "fp32" and any(rules.get(name).small_differences for name in names):
        pytest.skip("refused in bf16")
    specs = [resolve(s.replace(**changes)) for s in specs_of(seeds, names, precision="fp32")]
    monkeypatch.setattr(torch.func, "grad", forward_only)
    one = resmlp.init(*SHAPE[:4], generator(0, "init"), torch.float32)
    with FakeTensorMode():
        params = {n: torch.empty(len(specs), *t.shape, device="cuda") for n, t in one.items()}
        moments = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in params.items()}
        lane = Lane(specs, SHAPE, params, moments, seeds)
        lane.set_phase(1, 2, 0)
        assert all(group.learns == group.rule.learned for group in lane.groups)
        noise = lane.noise(7, 0)
        for optimizer in [lane.optimizer, *(g._optimizer for g in lane.groups if g._optimizer)]:
            monkeypatch.setattr(optimizer, "step", lambda: None)  # asks for the driver, too
        x = torch.empty(2, 7, SHAPE.d_in, device="cuda")
        y = torch.empty(2, 7, dtype=torch.int64, device="cuda")
        with NothingMoves():
            losses, correct = lane.step(x, y, noise)
    assert losses.device.type == correct.device.type == "cuda"
    assert losses.shape == correct.shape == (len(specs),)
    assert isinstance(lane.optimizer.param_groups[0]["lr"], torch.Tensor)


needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@needs_a_gpu
@pytest.mark.parametrize("names", [RULES, LEARNED, MORE], ids=["fixed", "learned", "more"])
@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_a_captured_step_equals_the_step(seeds, names):
    several = len(seeds) * (len(seeds) > 1)
    stack = Stack([s.replace(device="cuda") for s in specs_of(seeds, names)], SHAPE)
    plain = Stack(specs_of(seeds, names), SHAPE)
    for lr in (1e-3, 1e-4, 1e-4):  # every phase is recorded, then replayed
        stack.set_lr(lr)
        plain.set_lr(lr)
        for (x, y), (u, v) in zip(
            batches(seeds=several, device="cuda"), batches(seeds=several), strict=True
        ):
            losses, correct = step(stack, x, y)
            expected, right = step(plain, u, v)
            torch.testing.assert_close(losses.cpu(), expected, rtol=1e-8, atol=1e-10)
            assert torch.equal(correct.cpu(), right)
    for name, value in plain.params.items():
        torch.testing.assert_close(stack.params[name].cpu(), value, rtol=1e-6, atol=1e-9)
    for ours, expected in zip(stack.take_metrics(), plain.take_metrics(), strict=True):
        assert ours == pytest.approx(expected, rel=1e-6)


@needs_a_gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_captured_steps_are_the_same_bits_again_and_never_wait(precision):
    """Two stacks one after the other, as in a sweep; the second takes the first's place."""
    specs = [s.replace(device="cuda", precision=precision) for s in specs_of(precision="fp32")]
    ends = []
    for _ in range(2):
        stack = Stack(specs, SHAPE)
        data = list(batches(torch.float32, device="cuda"))
        for x, y in data:  # the first of them record
            stack.step(x, y)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for x, y in data:
                stack.step(x, y)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        ends.append(stack.params)
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"


@needs_a_gpu
@pytest.mark.parametrize("names", [RULES, LEARNED, MORE], ids=["fixed", "learned", "more"])
def test_a_resumed_captured_stack_goes_on_with_the_same_bits(tmp_path, names):
    specs = [s.replace(device="cuda") for s in specs_of(names=names, precision="fp32")]
    data = list(batches(torch.float32, device="cuda"))
    whole, first, second = (Stack(specs, SHAPE) for _ in range(3))
    for x, y in [*data, *data]:
        step(whole, x, y)
    for x, y in data:
        step(first, x, y)
    checkpoint.save_stack(first, 1, tmp_path / "stack.safetensors")
    found, _ = checkpoint.find(tmp_path)
    checkpoint.restore(second, [found[spec.spec_hash] for spec in specs])
    for x, y in data:
        step(second, x, y)
    for name, value in whole.params.items():
        assert torch.equal(value, second.params[name]), name

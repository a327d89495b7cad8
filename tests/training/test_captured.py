"""A GPU can record a step, and what it replays are the step's numbers."""

import contextlib

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from credit import rules
from credit.errors import CreditError
from credit.networks import resmlp
from credit.randomness import generator
from credit.training import capturing, checkpoint, products
from credit.training.lane import Lane
from credit.training.stack import Stack, arrange
from tests.training.lanes import LEARNED, MORE, RULES, SHAPE, batches, specs_of, step


class OnOneDevice(TorchDispatchMode):
    """Raises where a graph could not record a call, or its tensors lie on several devices."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not (why := capturing.refusal(func, args, kwargs or {})), f"{func} {why}"
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        if func is torch.ops.aten._fused_adamw_.tensor_lr or func is ADAMW:
            return adamw_takes(*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        tensors = [*given, *(t for t in tree_leaves(result) if isinstance(t, torch.Tensor))]
        devices = {t.device.type for t in tensors if t.dim()}  # a number may come from anywhere
        devices -= {"meta"} if "cuda" in devices else set()  # forward-mode asks for the form alone
        assert len(devices) < 2, f"{func} mixes {' and '.join(sorted(devices))}"
        return result


ADAMW = torch.ops.aten._fused_adamw_.default


def adamw_takes(params, grads, first, second, largest, steps, *, lr, **rest) -> None:
    """In place of the kernel, of which there is none without numbers: see that it could run."""
    device = params[0].device
    assert largest == [] and len({len(g) for g in (params, grads, first, second, steps)}) == 1
    for param, *others in zip(params, grads, first, second, strict=True):
        assert {(t.shape, t.dtype, t.device) for t in others} == {
            (param.shape, param.dtype, device)
        }
    assert all(step.device == device and not step.dim() for step in steps)
    assert isinstance(lr, float) or lr.device == device


def without_driver() -> bool:
    """Return whether fake tensors of a GPU need no driver; with torch 2.9 they do."""
    try:
        with FakeTensorMode():
            return torch.empty(2, device="cuda")[:1].numel() == 1
    except (AssertionError, RuntimeError):
        return False


needs_no_driver = pytest.mark.skipif(
    not without_driver(), reason="fake tensors need a driver with this torch"
)
FIXED = tuple(n for n in rules.available() if not rules.get(n).learned)


def allowed(names, seeds, **changes) -> list:
    """Runs of those rules that such a precision suits."""
    found = []
    for name in names:
        with contextlib.suppress(CreditError):
            found += [s for s in specs_of(seeds, [name], **changes) if s.k == 2]
    return arrange(found)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])  # tf32 has the types of fp32
@pytest.mark.parametrize("device", [pytest.param("cuda", marks=needs_no_driver), "meta"])
def test_a_step_on_a_gpu_never_waits_for_a_value(device, precision, monkeypatch):
    """A graph can record it. Fake tensors raise where a number would have to leave the device.

    Rules that learn differentiate, for which torch asks a driver even of fake tensors on a GPU:
    they are tried on `meta`, which plays another device than the CPU just as well.
    """
    seeds, names = [1, 2], FIXED if device == "cuda" else LEARNED
    for module in ("optimizer", "lane"):
        name = f"credit.training.{module}.recorded"
        monkeypatch.setattr(name, lambda device: device.type != "cpu")
    changes = {"estimator_layers": 2, "sigma_relative": True}
    specs = allowed(names, seeds, precision=precision, **changes)
    assert {s.rule for s in specs} == set(names) or precision == "bf16"
    dtype = products.PRECISIONS[precision].states
    one = resmlp.init(*SHAPE[:4], generator(0, "init"), dtype)
    with FakeTensorMode(allow_non_fake_inputs=True):  # on meta, `torch.tensor` is none
        params = {
            n: torch.empty(len(specs), *t.shape, device=device, dtype=dtype) for n, t in one.items()
        }
        moments = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in params.items()}
        lane = Lane(specs, SHAPE, params, moments, seeds)
        x = torch.empty(2, 7, SHAPE.d_in, device=device, dtype=dtype)
        y = torch.empty(2, 7, dtype=torch.int64, device=device)
        for epoch in range(1 + (names is LEARNED)):  # warm-up, and what follows
            lane.set_phase(epoch, 20, 0)
            assert all(group.learns == group.rule.learned for group in lane.groups)
            noise = lane.noise(7, 0)
            with OnOneDevice():
                losses, correct = lane.step(x, y, noise)
    assert losses.device.type == correct.device.type == device
    assert losses.shape == correct.shape == (len(specs),) and losses.dtype == dtype
    assert isinstance(lane.optimizer.param_groups[0]["lr"], torch.Tensor)


@needs_no_driver
def test_a_copy_between_devices_is_found():
    with FakeTensorMode(), capturing.Watch() as watch:
        torch.empty(3, device="cuda").cpu()
    assert watch.found.startswith("test_captured.py, line")
    with FakeTensorMode(), capturing.Watch() as watch:
        torch.empty(3, device="cuda").copy_(torch.empty(3, device="cuda"))
    assert not watch.found


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

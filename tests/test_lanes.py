"""Lanes, their threads, the precision of their products, and that a GPU can record their step."""

import os
import signal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from credit import rules
from credit.errors import CreditError
from credit.networks import resmlp
from credit.randomness import generator
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training import checkpoint, products, steppers
from credit.training.lane import Lane, runs_of
from credit.training.stack import Stack, arrange

SHAPE = Shape(12, 8, 5, 3)
CPU = torch.device("cpu")
RULES = ("bp", "oracle", "fa", "dfa")
LEARNED = tuple(name for name in rules.available() if rules.get(name).learned)
ESTIMATOR = {"estimator_width": 8, "estimator_every": 2, "draws": 2, "field_directions": 2}


def specs_of(seeds=(1,), names=RULES, **changes) -> list[RunSpec]:
    base = {"width": 8, "depth": 3, "device": "cpu", "precision": "fp64"} | ESTIMATOR | changes
    return arrange(
        [
            resolve(RunSpec(rule=rule, k=k, seed=seed, **base))
            for rule in names
            for k in range(4)
            for seed in seeds
        ]
    )


def batches(dtype: torch.dtype = torch.float64, seeds: int = 0, device="cpu"):
    source = generator(0, "test batches")
    lead = (seeds,) if seeds else ()
    for n in [7] * 6 + [3]:
        x = torch.randn(*lead, n, SHAPE.d_in, generator=source, dtype=dtype)
        yield x.to(device), torch.randint(SHAPE.classes, (*lead, n), generator=source).to(device)


def trained(specs, monkeypatch, threads: int, seeds: int = 0) -> Stack:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    stack = Stack(specs, SHAPE)
    assert len(stack.lanes) == min(threads, steppers.MOST_LANES)
    for x, y in batches(stack.dtype, seeds):
        step(stack, x, y)
    return stack


def step(stack: Stack, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two steps of warm-up, then the rest."""
    stack.set_phase(stack.optimizer_steps // 2, 20)
    return stack.step(x, y)


class Failing(rules.Rule):
    """Gives no credit: it fails."""

    def credit(self, state, trace):
        raise ZeroDivisionError("no credit today")


# ---------------------------------------------------------------- lanes


@given(
    runs=st.lists(
        st.builds(
            RunSpec,
            rule=st.sampled_from(RULES),
            k=st.integers(0, 3),
            seed=st.integers(0, 2),
            depth=st.just(3),
            width=st.just(8),
        ),
        min_size=1,
        max_size=40,
        unique_by=lambda spec: spec.spec_hash,
    ),
    threads=st.integers(1, 70),
)
def test_lanes_hold_every_run_once_in_even_shares(runs, threads):
    specs = arrange(runs)
    bounds = steppers.lanes_for(specs, SHAPE, CPU, threads)
    assert 1 <= len(bounds) <= min(threads, steppers.MOST_LANES, len(specs))
    rows = [row for lane in bounds for row in range(lane.start, lane.stop)]
    assert rows == list(range(len(specs)))
    work = [sum(steppers.products_of(spec, SHAPE) for spec in specs[lane]) for lane in bounds]
    largest = max(steppers.products_of(spec, SHAPE) for spec in specs)
    assert max(work) <= sum(work) / len(work) + largest


@pytest.mark.parametrize(
    ("threads", "lanes"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 3), (7, 3), (9, 3), (64, 4)]
)
def test_lanes_leave_few_threads_idle(threads, lanes):
    bounds = steppers.lanes_for(specs_of(), SHAPE, CPU, threads)
    assert len(bounds) == lanes
    idle = threads - threads // lanes * lanes
    assert idle <= 1


def test_a_gpu_has_one_lane():
    assert steppers.lanes_for(specs_of(), SHAPE, torch.device("cuda")) == [slice(0, 16)]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_block_trains_in_at_most_one_slice_per_two_rules(count):
    specs = arrange([spec for spec in specs_of() if spec.rule in RULES[:count]])
    for block in range(SHAPE.depth):
        slices = runs_of([spec.k >= SHAPE.depth - block for spec in specs])
        assert len(slices) <= (count + 1) // 2


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("k", [0, 1, 3])
def test_the_products_that_are_counted_are_those_of_a_step(rule, k):
    spec = resolve(RunSpec(rule=rule, k=k, width=32, depth=3, device="cpu"))
    shape, samples = Shape(96, 32, 10, 3), 64
    stack = Stack([spec], shape)
    x, y = torch.zeros(samples, shape.d_in), torch.zeros(samples, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        stack.step(x, y)
    counted = 2 * samples * steppers.products_of(spec, shape)
    assert counter.get_total_flops() == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize("rule", LEARNED)
@pytest.mark.parametrize("every", [1, 3])
def test_the_products_of_rules_that_learn_are_counted_roughly(rule, every):
    """Over as many steps as lie between two updates; what they compute beside is left out."""
    spec = resolve(
        RunSpec(
            rule=rule, k=3, width=32, depth=3, device="cpu", warmup_ratio=0, estimator_every=every
        )
    )
    shape, samples = Shape(96, 32, 10, 3), 64
    stack = Stack([spec], shape)
    x, y = torch.zeros(samples, shape.d_in), torch.zeros(samples, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        for _ in range(every):
            stack.set_phase(0, 1)
            stack.step(x, y)
    counted = 2 * samples * steppers.products_of(spec, shape) * every
    assert counter.get_total_flops() == pytest.approx(counted, rel=0.25)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
@pytest.mark.parametrize("threads", [2, 3, 64])
def test_lanes_change_no_number(threads, seeds, monkeypatch):
    assert_lanes_change_no_number(threads, seeds, RULES, monkeypatch)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_lanes_change_no_number_of_rules_that_learn(seeds, monkeypatch):
    assert_lanes_change_no_number(3, seeds, LEARNED, monkeypatch)


def assert_lanes_change_no_number(threads, seeds, names, monkeypatch) -> None:
    several = len(seeds) * (len(seeds) > 1)
    alone = trained(specs_of(seeds, names), monkeypatch, 1, several)
    lanes = trained(specs_of(seeds, names), monkeypatch, threads, several)
    for name, value in alone.params.items():
        torch.testing.assert_close(value, lanes.params[name], rtol=1e-7, atol=1e-11)
    for ours, expected in zip(lanes.take_metrics(), alone.take_metrics(), strict=True):
        assert ours == pytest.approx(expected, rel=1e-7)
    assert lanes.optimizer_steps == alone.optimizer_steps == 7


def test_the_same_lanes_give_the_same_bits(monkeypatch):
    one, two = (trained(specs_of(precision="fp32"), monkeypatch, 2) for _ in range(2))
    for name, value in one.params.items():
        assert torch.equal(value, two.params[name])


def test_a_run_is_found_in_its_lane(monkeypatch):
    stack = trained(specs_of(), monkeypatch, 3)
    for row, spec in enumerate(stack.specs):
        drawn = rules.get(spec.rule).init(spec, SHAPE, generator(spec.seed, "feedback"))
        state = stack.rule_state(row)
        assert state.keys() == drawn.keys()
        assert all(torch.equal(state[key], drawn[key].double()) for key in drawn)


def test_threads_of_a_lane_leave_the_callers_alone(monkeypatch):
    before = torch.get_num_threads()
    trained(specs_of(), monkeypatch, 64)  # 16 each
    monkeypatch.undo()
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_lanes_step_after_a_fork(monkeypatch):
    trained(specs_of(), monkeypatch, 2)
    child = os.fork()
    if not child:
        signal.alarm(60)  # a step that waits for a lost thread would never return
        trained(specs_of(), monkeypatch, 2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_what_a_lane_raises_reaches_the_caller(monkeypatch):
    failing = [s.replace(rule="tests.test_lanes:Failing") for s in specs_of() if s.rule == "dfa"]
    with pytest.raises(ZeroDivisionError, match="no credit today"):
        trained(arrange([s for s in specs_of() if s.rule == "bp"] + failing), monkeypatch, 2)


# ---------------------------------------------------------------- precision


def test_fp32_products_keep_float32():
    products.prepare(CPU)
    source = generator(0, "products")
    for shape in [(1, 40, 3072, 130), (3, 128, 256, 256), (2, 256, 128, 256)]:
        runs, n, inner, m = shape
        a = torch.randn(runs, n, inner, generator=source)
        b = torch.randn(runs, inner, m, generator=source)
        exact = a.double() @ b.double()
        assert (a @ b - exact).abs().max() < products.ROUNDING * exact.abs().max()


def test_a_product_in_bf16_rounds_operands_and_result():
    source = generator(0, "products")
    a, b = torch.randn(2, 5, 64, generator=source), torch.randn(2, 64, 7, generator=source)
    exact = a.bfloat16().double() @ b.bfloat16().double()
    for got in (resmlp.product(a, b.bfloat16()), resmlp.product(a, b, torch.bfloat16)):
        assert got.dtype == torch.float32
        assert torch.equal(got, got.bfloat16().float())
        assert not torch.equal(got, a @ b)
        torch.testing.assert_close(got.double(), exact, rtol=2**-8, atol=1e-6)


def test_bf16_keeps_parameters_and_moments_in_float32_and_stays_near(monkeypatch):
    coarse = trained(specs_of(precision="bf16"), monkeypatch, 2)
    fine = trained(specs_of(precision="fp32"), monkeypatch, 2)
    start = Stack(specs_of(precision="fp32"), SHAPE).params
    for name, value in coarse.params.items():
        assert value.dtype == coarse.moments[name][0].dtype == torch.float32
        assert not torch.equal(value, fine.params[name])
    moved = (fine.params["embed.weight"] - start["embed.weight"]).norm()
    apart = (fine.params["embed.weight"] - coarse.params["embed.weight"]).norm()
    assert 0 < apart < 0.2 * moved


def test_lowering_touches_weight_matrices_only():
    params = resmlp.init(*SHAPE, generator(0, "init"), torch.float32)
    for name, value in resmlp.lowered(params, torch.bfloat16).items():
        matrix = value.dim() == 2
        assert value.dtype == (torch.bfloat16 if matrix else torch.float32), name


def test_tf32_is_refused_on_a_cpu():
    with pytest.raises(CreditError, match="precision=tf32 is a GPU's: pass fp32 or bf16"):
        resolve(RunSpec(precision="tf32", device="cpu"))


# ---------------------------------------------------------------- GPU


class NothingMoves(TorchDispatchMode):
    """Raises where numbers would go from one device to another: a graph cannot record that."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)]
        copies = func._schema.name in ("aten::_to_copy", "aten::copy_")
        devices = {t.device.type for t in tensors if copies or t.dim()}  # a number may be read
        assert len(devices) < 2, f"{func} moves numbers between {' and '.join(sorted(devices))}"
        return result


def forward_only(function, has_aux: bool = False):
    """In place of `torch.func.grad`, whose backward pass asks for a driver even of fake tensors."""

    def run(first, *rest):
        result = function(first, *rest)
        zeros = tree_map(torch.zeros_like, first)
        return (zeros, result[1]) if has_aux else zeros

    return run


@pytest.mark.parametrize("names", [RULES, *((name,) for name in LEARNED)], ids=" ".join)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_on_a_gpu_never_waits_for_a_value(precision, names, monkeypatch):
    """A graph can record it. Fake tensors raise where a number would have to leave the device."""
    seeds = [1, 2]
    changes = {"precision": precision, "estimator_layers": 2, "sigma_relative": True}
    if precision != "fp32" and "vector_field" in names:
        pytest.skip("refused in bf16")
    specs = [resolve(s.replace(**changes)) for s in specs_of(seeds, names, precision="fp32")]
    monkeypatch.setattr(torch.func, "grad", forward_only)
    one = resmlp.init(*SHAPE, generator(0, "init"), torch.float32)
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
@pytest.mark.parametrize("names", [RULES, LEARNED], ids=["fixed", "learned"])
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
@pytest.mark.parametrize("names", [RULES, LEARNED], ids=["fixed", "learned"])
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

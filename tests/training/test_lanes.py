"""Lanes: shares of a stack's runs, which change no number, and the precision of their products."""

import os
import signal
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from credit import rules
from credit.networks import resmlp
from credit.randomness import generator
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training import products, steppers
from credit.training.lane import runs_of
from credit.training.stack import Stack, arrange
from tests.training.lanes import CPU, LEARNED, MORE, RULES, SHAPE, batches, specs_of, step, trained


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


@pytest.mark.parametrize(
    ("rule", "k", "every", "rel"),
    [
        *((rule, k, 1, 0.02) for rule in RULES for k in (0, 1, 3)),
        *((rule, 3, every, 0.25) for rule in LEARNED for every in (1, 3)),
        *((rule, 2, 1, 0.25) for rule in MORE if rule not in LEARNED),
    ],
)
def test_the_products_that_are_counted_are_those_of_a_step(rule, k, every, rel):
    """Over the steps between two updates; roughly for rules that learn, who compute more beside."""
    learning = {"warmup_ratio": 0, "estimator_every": every}
    spec = resolve(RunSpec(rule=rule, k=k, width=32, depth=3, device="cpu", **learning))
    shape, samples = Shape(96, 32, 10, 3), 64
    stack = Stack([spec], shape)
    x, y = torch.zeros(samples, shape.d_in), torch.zeros(samples, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        for _ in range(every):
            stack.set_phase(0, 1)
            stack.step(x, y)
    counted = 2 * samples * steppers.products_of(spec, shape) * every
    assert counter.get_total_flops() == pytest.approx(counted, rel=rel)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
@pytest.mark.parametrize(
    ("threads", "names"), [(2, RULES), (3, RULES), (64, RULES), (3, LEARNED), (3, MORE)], ids=str
)
def test_lanes_change_no_number(threads, names, seeds, monkeypatch):
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


def test_lanes_prepare_the_next_batch_beside_the_step(monkeypatch):
    """In order and one at a time, on the lanes' threads, also where the loop passes over some."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    stack, where, seen = Stack(specs_of(), SHAPE), [], []

    def prepared():
        for batch in batches():
            where.append(threading.current_thread().name)
            yield batch

    for _ in range(2):  # epochs
        for count, (x, y) in enumerate(stack.ahead(prepared())):
            seen.append(y)
            if count > 1:  # else they are before the checkpoint
                step(stack, x, y)
    assert all(map(torch.equal, seen, 2 * [y for _, y in batches()]))
    assert len(where) == 14 and all(name.startswith("credit-lane") for name in where)
    assert stack.optimizer_steps == 10

    def failing():
        yield next(batches())
        raise ZeroDivisionError("no more data")

    coming = stack.ahead(failing())
    step(stack, *next(coming))
    with pytest.raises(ZeroDivisionError, match="no more data"):
        next(coming)
    alone = Stack(specs_of()[:2], SHAPE)
    given = batches()
    assert alone.ahead(given) is given


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
    failing = [s.replace(rule="tests.exploding:Failing") for s in specs_of() if s.rule == "dfa"]
    with pytest.raises(ZeroDivisionError, match="no credit today"):
        trained(arrange([s for s in specs_of() if s.rule == "bp"] + failing), monkeypatch, 2)


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
    params = resmlp.init(*SHAPE[:4], generator(0, "init"), torch.float32)
    for name, value in resmlp.lowered(params, torch.bfloat16).items():
        matrix = value.dim() == 2
        assert value.dtype == (torch.bfloat16 if matrix else torch.float32), name

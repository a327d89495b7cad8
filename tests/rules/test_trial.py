"""A rule is tried before training: what its author forgot, and what it may not depend on."""

import pytest
import torch

from credit import rules
from credit.rules import Shape
from credit.spec import RunSpec
from credit.training import capturing, checkpoint, trial
from credit.training.stack import Stack
from tests.rules.written import run_of, written
from tests.traps import refused

SHAPE = Shape(9, 8, 10, 2)
EXAMPLE = "examples.sign_symmetric:SignSymmetric"
HEAD = "import random\nimport numpy as np\nimport torch\nfrom credit.rules import Rule\n\n"
HEAD += "class Mine(Rule):\n"
CREDIT = "    def credit(self, state, trace):\n        {}\n        return {}\n"
INIT = "    def init(self, spec, shape, generator):\n        return {}\n"
SENT = "[trace.grad_out{} for _ in trace.hiddens]"
STEPS = "[{} for h in trace.hiddens]"


def ruled(credit: str, *, init: str = "", before: str = "pass", more: str = "") -> str:
    """The body of a rule, from what its methods return."""
    return more + INIT.format(init or "{}") * bool(init) + CREDIT.format(before, credit)


BROKEN = {
    ruled("None"): "NoneType",
    ruled("trace.grad_out"): "Tensor",
    ruled("trace.hiddens[1:]"): "2 tensors of shape (3, 8)",
    ruled("[trace.error for _ in trace.hiddens]"): "3 tensors of shape (3, 10)",
    ruled(STEPS.format("h.mean(0)")): "3 tensors of shape (8,)",
    ruled(STEPS.format("h.long()")): "whole numbers",
    ruled(STEPS.format("h / 0")): "h_0 is inf",
    ruled(STEPS.format("h.sqrt()")): "h_0 is nan",
    ruled(STEPS.format("h.mul_(2)")): "in place",
    ruled(STEPS.format("h * h.sum().item()")): "(mine.py, line 9): RuntimeError: vmap",
    ruled(STEPS.format("h @ trace.error")): "(mine.py, line 9): RuntimeError",
    ruled("[trace.weights['x']]"): "(mine.py, line 9): KeyError: 'x'",
    ruled(STEPS.format("state['b'] * h")): "(mine.py, line 9): KeyError: 'b'",
    "    reads_weights = True\n"
    + ruled("[w.sign_() for w in trace.weights.values()] and trace.hiddens"): "in place",
    "    reads_hidden_grads = True\n"
    + ruled("[g.mul_(2) for g in trace.hidden_grads]"): "in place",
    ruled("state['b'].mul_(2) is not None and trace.hiddens", init="{'b': torch.ones(2)}"): "place",
    "    pass\n": "no method credit",
    "    def credit(self, trace):\n        return []\n": "Mine.credit() takes 2",
    "    def init(self, spec):\n        return {}\n": "Mine.init() takes 2",
    INIT.format("[1]"): "returns a list",
    "    learned = True\n" + ruled("trace.hiddens"): "no method gradients",
}

ENTROPY = "np.random.default_rng().normal()"
MEAN = "{'mean': torch.zeros(shape.width)}"
COUNTER = ruled(SENT.format("*self.calls"), before="self.calls += 1", more="    calls = 0\n")
IMPURE = {
    COUNTER: "calls",
    ruled(SENT.format(""), before="type(self).calls += 1", more="    calls = 0\n"): "calls",
    ruled(SENT.format(""), before="self.seen.append(1)", more="    seen = []\n"): "seen",
    ruled(
        SENT.format(" @ self.b"),
        init="vars(self).update(b=torch.randn(8, 8, generator=generator)) or {}",
    ): "'b'",
    ruled(
        SENT.format("+ state['mean']"),
        init=MEAN,
        before="state['mean'] = state['mean'] + trace.grad_out.mean(0)",
    ): "'mean'",
    ruled(SENT.format(""), before="state['n'] = trace.error"): "'n'",
    ruled(STEPS.format("h + torch.randn_like(h)")): "torch's global",
    ruled(STEPS.format("torch.nn.functional.dropout(h)")): "torch's global",
    ruled(SENT.format("*np.random.rand()")): "numpy's global",
    ruled(SENT.format("*random.random()")): "Python's random",
    ruled(SENT.format(f"*{ENTROPY}")): "different results",
    ruled(SENT.format(""), init="{'b': torch.randn(3)}"): "torch's global",
    ruled(SENT.format(""), init=f"{{'b': torch.tensor({ENTROPY})}}"): "two states",
    ruled(
        SENT.format("*self.b"), more=f"    def __init__(self):\n        self.b = {ENTROPY}\n"
    ): "different results",
    ruled(SENT.format(""), init="{'b': torch.eye(3).to_sparse()}"): "'b'",
    ruled(SENT.format(""), init="{'b': [1.0]}"): "'b'",
    ruled(SENT.format(""), init="{'b': torch.zeros(generator.initial_seed() % 97)}"): "'b'",
}


def tried(spec: RunSpec, finite: bool = True) -> None:
    trial.check_states([spec], lambda _: SHAPE)
    trial.check_credits([spec], lambda _: SHAPE, finite=finite)


@pytest.mark.parametrize("body", {**BROKEN, **IMPURE})
def test_a_rule_that_is_broken_or_impure_is_refused_in_one_line(body, tmp_path, monkeypatch):
    written(tmp_path, monkeypatch, HEAD + body)
    refused(lambda: tried(run_of()), "mine:Mine", (BROKEN | IMPURE)[body])


def test_good_rules_pass_and_credit_that_is_not_finite_may_be_left_to_training(
    tmp_path, monkeypatch, no_global_generator
):
    written(tmp_path, monkeypatch, HEAD + ruled(STEPS.format("h / 0")))
    kinds = (type(rules.get(name)) for name in rules.available())
    outside = [f"{kind.__module__}:{kind.__name__}" for kind in kinds]
    for name in ("mine:Mine", EXAMPLE, *outside):
        tried(run_of(name), finite=name != "mine:Mine")


TYPED = ruled(
    "[trace.error[:, state['which']] * torch.where(state['on'], state['gain'], state['fine'])"
    " for _ in trace.hiddens]",
    init="""{
            "which": torch.randint(shape.classes, (shape.width,), generator=generator),
            "on": torch.rand(shape.width, generator=generator) < 0.5,
            "gain": torch.randn(shape.width, generator=generator),
            "fine": torch.randn(shape.width, generator=generator, dtype=torch.float64),
        }""",
)


TYPES = {"which": torch.int64, "on": torch.bool, "gain": torch.float32, "fine": torch.float64}


def test_a_state_keeps_its_types_through_stack_step_and_checkpoint(tmp_path, monkeypatch):
    written(tmp_path, monkeypatch, HEAD + TYPED)
    spec, double = run_of(), run_of(precision="fp64")
    for one in (spec, double):
        tried(one)
    found = {key: value.dtype for key, value in Stack([double], SHAPE).rule_state(0).items()}
    assert found == TYPES | {"gain": torch.float64}  # float32 alone follows the precision
    specs = [spec, spec.replace(seed=7)]
    stack, again = Stack(specs, SHAPE), Stack(specs, SHAPE)
    for one in (stack, again):
        assert {key: value.dtype for key, value in one.rule_state(1).items()} == TYPES
    x, y = torch.randn(2, 6, SHAPE.d_in), torch.randint(SHAPE.classes, (2, 6))
    stack.set_phase(0, spec.epochs)
    stack.step(x, y)
    path = tmp_path / "stack.safetensors"
    checkpoint.save_stack(stack, 1, path)
    for value in again.rule_state(1).values():
        value.zero_()
    header = checkpoint.read_header(path)
    checkpoint.restore(again, [(header, 0), (header, 1)])
    for row in (0, 1):
        for key, value in stack.rule_state(row).items():
            assert value.dtype == TYPES[key] and torch.equal(value, again.rule_state(row)[key])
    for one in (stack, again):
        one.set_phase(0, spec.epochs)
        one.step(x, y)
    assert all(torch.equal(p, again.params[name]) for name, p in stack.params.items())


def test_what_no_graph_can_record_is_named_in_one_line(capfd):
    capturing.warn.cache_clear()
    for _ in range(2):
        tried(run_of("tests.exploding:Solving"))
    (line,) = capfd.readouterr().err.splitlines()
    assert "exploding.py, line" in line and "_linalg_solve_ex" in line

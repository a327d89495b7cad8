"""Rules that depend on more than their arguments are refused; states keep their types."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from credit import rules
from credit.errors import CreditError
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training import checkpoint, trial
from credit.training.stack import Stack

ROOT = Path(__file__).parent.parent
SHAPE = Shape(9, 8, 5, 2)
HEAD = "import random\nimport numpy as np\nimport torch\nfrom credit.rules import Rule\n\n"
SENT = "[trace.grad_out{} for _ in trace.hiddens]"
INIT = "    def init(self, spec, shape, generator):\n        return {}\n"


def ruled(credit: str, *, init: str = "{}", before: str = "pass", more: str = "") -> str:
    """A rule's text, from what its methods return."""
    return (
        f"{HEAD}class Mine(Rule):\n{more}\n{INIT.format(init)}\n"
        f"    def credit(self, state, trace):\n        {before}\n        return {credit}\n"
    )


COUNTED = "    calls = 0\n"
MEAN = "{'mean': torch.zeros(shape.width)}"
IMPURE = {
    "counter": (
        ruled(SENT.format("*self.calls"), before="self.calls += 1", more=COUNTED),
        "calls",
    ),
    "counter of the class": (
        ruled(SENT.format(""), before="type(self).calls += 1", more=COUNTED),
        "calls",
    ),
    "list on self": (
        ruled(SENT.format(""), before="self.seen.append(1)", more="    seen = []\n"),
        "seen",
    ),
    "kept from init": (
        ruled(
            SENT.format(" @ self.b"),
            init="vars(self).update(b=torch.randn(8, 8, generator=generator)) or {}",
        ),
        "'b'",
    ),
    "state written": (
        ruled(
            SENT.format("+ state['mean']"),
            init=MEAN,
            before="state['mean'] = state['mean'] + trace.grad_out.mean(0)",
        ),
        "'mean'",
    ),
    "state added": (ruled(SENT.format(""), before="state['n'] = trace.error"), "'n'"),
    "torch": (ruled("[h + torch.randn_like(h) for h in trace.hiddens]"), "torch's global"),
    "dropout": (
        ruled("[torch.nn.functional.dropout(h) for h in trace.hiddens]"),
        "torch's global",
    ),
    "numpy": (ruled(SENT.format("*np.random.rand()")), "numpy's global"),
    "random": (ruled(SENT.format("*random.random()")), "Python's random"),
    "entropy": (ruled(SENT.format("*np.random.default_rng().normal()")), "different results"),
    "init from torch": (ruled(SENT.format(""), init="{'b': torch.randn(3)}"), "torch's global"),
    "init from entropy": (
        ruled(SENT.format(""), init="{'b': torch.tensor(np.random.default_rng().normal())}"),
        "two states",
    ),
    "made from entropy": (
        ruled(
            SENT.format("*self.b"),
            more="    def __init__(self):\n        self.b = np.random.default_rng().normal()\n",
        ),
        "different results",
    ),
    "sparse state": (
        ruled(SENT.format(""), init="{'b': torch.eye(3).to_sparse()}"),
        "'b'",
    ),
    "state of a list": (ruled(SENT.format(""), init="{'b': [1.0]}"), "'b'"),
    "state of a seed's own size": (
        ruled(SENT.format(""), init="{'b': torch.zeros(generator.initial_seed() % 97)}"),
        "'b'",
    ),
}


def module(folder: Path, monkeypatch, text: str) -> RunSpec:
    """A run of the rule in `text`."""
    name = f"rule_{abs(hash(text))}"
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    return resolve(RunSpec(rule=f"{name}:Mine", width=8, depth=2, k=2, device="cpu"))


def tried(spec: RunSpec) -> None:
    trial.check_states([spec], lambda _: SHAPE)
    trial.check_credits([spec], lambda _: SHAPE)


@pytest.mark.parametrize("kind", IMPURE)
def test_an_impure_rule_is_refused_by_name(kind, tmp_path, monkeypatch):
    text, named = IMPURE[kind]
    spec = module(tmp_path, monkeypatch, text)
    with pytest.raises(CreditError, match=re.escape(named)) as caught:
        tried(spec)
    assert spec.rule in str(caught.value) and "\n" not in str(caught.value)


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
    spec = module(tmp_path, monkeypatch, TYPED)
    tried(spec)
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


def test_float32_alone_follows_the_precision(tmp_path, monkeypatch):
    spec = module(tmp_path, monkeypatch, TYPED).replace(precision="fp64")
    tried(spec)
    found = {key: value.dtype for key, value in Stack([spec], SHAPE).rule_state(0).items()}
    assert found == TYPES | {"gain": torch.float64}


def test_the_package_s_rules_are_pure():
    for name in rules.available():
        kind = type(rules.get(name))
        spec = RunSpec(rule=f"{kind.__module__}:{kind.__name__}", width=8, depth=2, k=2)
        tried(resolve(spec.replace(device="cpu")))


def test_the_command_refuses_an_impure_rule_and_leaves_no_run(tmp_path):
    (tmp_path / "mine.py").write_text(IMPURE["counter"][0])
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "CREDIT_STATE": str(tmp_path / "state")}
    env["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path / 'mlflow.db'}"
    words = "--preset quick --rule mine:Mine --dataset digits --width 16 --epochs 1"
    done = subprocess.run(
        [sys.executable, "-m", "entrypoints.audit", *words.split()],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert "mine:Mine" in line and "calls" in line
    assert not (tmp_path / "state").exists()

"""Rules from outside the package: where their credit lands, what they see, and bad names."""

import sys
from pathlib import Path

import pytest
import torch

from credit import rules
from credit.training.stack import Stack, arrange
from tests.rules.cases import NO_CLIP, SHAPE, gradients, held_out, spec
from tests.stacks import close
from tests.traps import refused

ELSEWHERE = """
from dataclasses import dataclass
import torch
from credit.rules import Rule

class Compass(Rule):
    '''a_l points along axis l.'''
    def credit(self, state, trace):
        axes = torch.eye(trace.grad_out.shape[-1], dtype=trace.grad_out.dtype)
        return [axes[l].expand_as(trace.grad_out) for l in range(4)]

class Own(Compass):
    block_credit = 0

@dataclass(frozen=True)
class WithKnob(Compass):
    '''Stretched by fields of its own, which are called as fields of a run.'''
    k: int = 16
    tau: float = 0.5
    def credit(self, state, trace):
        return [a * (self.k + self.tau) for a in super().credit(state, trace)]

NOT_A_RULE = Compass()
NUMBER = 3
def credit(state, trace): return []
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package on sys.path that holds the rules above in its module `mine`."""
    package = tmp_path / "rules_of_the_user"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.py").write_text(ELSEWHERE)
    (package / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("", ".mine", ".broken"):
        monkeypatch.delitem(sys.modules, package.name + name, raising=False)
    return package.name


@pytest.mark.parametrize(("class_name", "first"), [("Compass", 1), ("Own", 0)])
def test_a_rule_from_elsewhere_trains_and_its_credit_lands_where_it_says(
    elsewhere, class_name, first
):
    name = f"{elsewhere}.mine:{class_name}"
    assert type(rules.get(name)).__name__ == class_name
    grads = gradients(Stack([spec(name, clip=NO_CLIP, credit_eps=0)], SHAPE))[0]
    axes = torch.eye(SHAPE.width, dtype=torch.float64) * SHAPE.width**0.5  # of rms 1
    for block in range(SHAPE.depth):
        close(grads[f"blocks.{block}.fc2.bias"], axes[block + first])
    close(grads["embed.bias"], axes[0])


def test_a_rule_from_elsewhere_keeps_its_own_fields_unless_an_option_sets_them(elsewhere):
    """In one stack, in whatever order its runs come."""
    name = f"{elsewhere}.mine:WithKnob"
    values = {"none": 16.5, "k=32": 32.5, "k=2,tau=0.25": 2.25}
    members = [spec(name, k=k, tau=9.0, rule_option=o) for k in (1, 3) for o in values]
    stack = Stack(arrange(members), SHAPE)
    for row, one in enumerate(stack.specs):
        axis = held_out(stack)[2][row].sum(-1)
        assert torch.equal(axis, torch.full_like(axis, values[one.rule_option]))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dffa", ["'dffa'", "'dfa'"]),
        ("oracel", ["'oracel'", "'oracle'"]),
        ("xyz", ["'xyz'", "bp", "dfa", "fa", "oracle"]),
        *((name, [f"'{name}'"]) for name in ("base", "", "credit.rules.bp")),
        ("{}.absent:Rule", ["'{0}.absent:Rule'", "No module named '{0}.absent'"]),
        ("{}.mine:Absent", ["'{0}.mine:Absent'", "no attribute 'Absent'"]),
        *((name, [f"'{name}'"]) for name in ("{}.mine:", ":Compass", ".mine:Compass")),
        # a number, an instance where a class is asked for, a function, a module
        *((f"{{}}.mine:{n}", [n, "is not"]) for n in ("NUMBER", "NOT_A_RULE", "credit", "torch")),
        ("{}.broken:Rule", ["'{0}.broken:Rule'", "division by zero"]),
    ],
)
def test_a_rule_that_is_not_there_is_an_error_of_one_line(elsewhere, name, words):
    refused(lambda: rules.get(name.format(elsewhere)), *(w.format(elsewhere) for w in words))

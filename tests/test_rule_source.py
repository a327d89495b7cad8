"""The code of a rule from outside: part of a run's identity, and tried before training."""

import linecache
import re
import sys
from pathlib import Path

import pytest
import torch

from credit import rules
from credit.errors import CreditError
from credit.rules import Shape, source
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training import trial
from credit.training.cost import state_sizes

EXAMPLE = "examples.sign_symmetric:SignSymmetric"

# ------------------------------------------------------------------ the code of a rule is its own

ONE = '''
"""A rule."""
from credit.rules import Rule

class Mine(Rule):
    def credit(self, state, trace):
        return [{factor} * trace.grad_out for _ in trace.hiddens]  # {comment}
'''


def written(
    folder: Path, monkeypatch, text: str, name: str = "mine", encoding: str = "utf-8"
) -> str:
    """A module of the user's, loaded as by a process that starts now."""
    (folder / f"{name}.py").write_text(text, encoding)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two texts of one second and size
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    linecache.clearcache()
    for cached in (source.digest, state_sizes):
        cached.cache_clear()
    return name


def test_an_edit_makes_other_runs_and_a_comment_does_not(tmp_path, monkeypatch):
    def hash_of(**text) -> str:
        written(tmp_path, monkeypatch, ONE.format(**text))
        return resolve(RunSpec(rule="mine:Mine", device="cpu")).spec_hash

    one = hash_of(factor=1, comment="as it is")
    assert hash_of(factor=1, comment="the same, said otherwise") == one
    assert hash_of(factor=2, comment="as it is") != one
    assert hash_of(factor=1, comment="as it is") == one


def test_a_rule_may_be_written_in_another_encoding(tmp_path, monkeypatch):
    text = "# -*- coding: latin-1 -*-" + ONE.format(factor=1, comment="perchè")
    written(tmp_path, monkeypatch, text, encoding="latin-1")
    assert len(source.digest("mine:Mine")) == 16


def test_libraries_that_a_rule_derives_from_are_not_its_code(tmp_path, monkeypatch):
    text = ONE.format(factor=1, comment="")
    written(tmp_path, monkeypatch, text)
    alone = source.digest("mine:Mine")
    text = text.replace("class Mine(Rule)", "import abc\nclass Mine(Rule, abc.ABC)")
    written(tmp_path, monkeypatch, text)
    derived = source.digest("mine:Mine")
    assert derived not in (alone, source.NONE)
    monkeypatch.setattr(source, "_LIBRARIES", [])
    source.digest.cache_clear()
    assert source.digest("mine:Mine") != derived  # abc would count
    monkeypatch.setattr(source, "_LIBRARIES", [tmp_path])
    source.digest.cache_clear()
    itself = source.digest("mine:Mine")  # counts wherever it lies
    assert itself not in (derived, source.NONE)


def test_rules_of_the_package_and_rules_that_are_not_there_have_no_code_of_their_own():
    assert {source.digest(name) for name in (*rules.available(), "no.such:Rule")} == {source.NONE}
    assert len(source.digest(EXAMPLE)) == 16
    assert RunSpec(rule="no.such:Rule").spec_hash != RunSpec(rule="no.such:Other").spec_hash


# ------------------------------------------------------------------ tried before training

HEAD = "import torch\nfrom credit.rules import Rule\n\nclass Mine(Rule):\n"
BODY = "    def credit(self, state, trace):\n        return {}\n"
RETURNED = {
    "None": "credit of rule 'mine:Mine' returns a NoneType: return a_0 .. a_2",
    "trace.grad_out": "credit of rule 'mine:Mine' returns a Tensor: return a_0 .. a_2",
    "trace.hiddens[1:]": "returns 2 tensors of shape (3, 8): return a_0 .. a_2, 3 tensors of the "
    "shape of trace.hiddens[l], here (3, 8)",
    "[trace.error for _ in trace.hiddens]": "returns 3 tensors of shape (3, 10)",
    "[h.mean(0) for h in trace.hiddens]": "returns 3 tensors of shape (8,)",
    "[h.long() for h in trace.hiddens]": "returns whole numbers: return floats",
    "[h / 0 for h in trace.hiddens]": "for h_0 is inf on random samples in a new network",
    "[h.sqrt() for h in trace.hiddens]": "for h_0 is nan on random samples in a new network",
    "[h.mul_(2) for h in trace.hiddens]": "changes in place what credit is shown",
    "[torch.randn_like(h) for h in trace.hiddens]": "draws from torch's global generator",
    "[h * h.sum().item() for h in trace.hiddens]": "(mine.py, line 6): RuntimeError: vmap",
    "[h @ trace.error for h in trace.hiddens]": "(mine.py, line 6): RuntimeError",
    "[trace.weights['x']]": "(mine.py, line 6): KeyError: 'x'",
    "[state['b'] * h for h in trace.hiddens]": "(mine.py, line 6): KeyError: 'b'",
}
INPLACE = "    {} = True\n" + BODY
WRITTEN = {
    INPLACE.format(
        "reads_weights", "[w.sign_() for w in trace.weights.values()] and trace.hiddens"
    ): ("changes in place what credit is shown, its state or the network's weights"),
    INPLACE.format("reads_hidden_grads", "[g.mul_(2) for g in trace.hidden_grads]"): (
        "changes in place"
    ),
    "    def init(self, spec, shape, generator):\n        return {'b': torch.ones(2)}\n\n"
    + BODY.format("state['b'].mul_(2) is not None and trace.hiddens"): "changes in place",
    "    pass\n": "rule 'mine:Mine' has no method credit: write it, as credit/rules/base.py says",
    "    def credit(self, trace):\n        return []\n": "TypeError: Mine.credit() takes 2",
    "    def init(self, spec):\n        return {}\n": "TypeError: Mine.init() takes 2",
    "    def init(self, spec, shape, generator):\n        return [1]\n": "returns a list",
    "    learned = True\n" + BODY.format("trace.hiddens"): "has no method gradients",
}
BROKEN = {BODY.format(text): message for text, message in RETURNED.items()} | WRITTEN


def tried(spec: RunSpec, finite: bool = True) -> None:
    """As an audit tries its rule."""
    trial.check_states([spec], lambda _: Shape(9, 8, 10, 2))
    trial.check_credits([spec], lambda _: Shape(9, 8, 10, 2), finite=finite)


@pytest.mark.parametrize("body", BROKEN)
def test_what_the_author_forgot_is_one_line(body, tmp_path, monkeypatch):
    written(tmp_path, monkeypatch, HEAD + body)
    spec = resolve(RunSpec(rule="mine:Mine", width=8, depth=2, k=2, device="cpu"))
    with pytest.raises(CreditError, match=re.escape(BROKEN[body])) as caught:
        tried(spec)
    assert "\n" not in str(caught.value)


def test_good_rules_pass_and_credit_that_is_not_finite_may_be_left_to_training(
    tmp_path, monkeypatch
):
    written(tmp_path, monkeypatch, HEAD + BODY.format("[h / 0 for h in trace.hiddens]"))
    before = torch.get_rng_state()
    for name in ("mine:Mine", EXAMPLE, "credit.rules.state_bridge:StateBridge", "fa"):
        spec = resolve(RunSpec(rule=name, width=8, depth=2, k=2, device="cpu"))
        tried(spec, finite=name != "mine:Mine")
    assert torch.equal(before, torch.get_rng_state())


def test_the_code_of_a_rule_is_where_its_class_stands_and_what_it_derives_from(
    tmp_path, monkeypatch
):
    def digest(factor: int) -> str:
        written(tmp_path, monkeypatch, ONE.format(factor=factor, comment=""), "inner")
        text = "from inner import Mine\n\nclass Own(Mine):\n    pass\n"
        written(tmp_path, monkeypatch, text, "outer")
        return source.digest("outer:Own")

    first = digest(1)
    assert len(first) == 16 and digest(2) != first and digest(1) == first
    assert source.digest("outer:Mine") not in (source.NONE, first)

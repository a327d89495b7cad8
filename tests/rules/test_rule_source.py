"""The code of a rule from outside is part of a run's identity."""

from credit import rules
from credit.rules.shared import source
from credit.spec import RunSpec
from tests.rules.written import run_of, written

EXAMPLE = "examples.sign_symmetric:SignSymmetric"


ONE = '''
"""A rule."""
from credit.rules import Rule

class Mine(Rule):
    def credit(self, state, trace):
        return [{factor} * trace.grad_out for _ in trace.hiddens]  # {comment}
'''


def test_an_edit_makes_other_runs_and_a_comment_does_not(tmp_path, monkeypatch):
    def hash_of(**text) -> str:
        written(tmp_path, monkeypatch, ONE.format(**text))
        return run_of().spec_hash

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


def test_rules_of_the_package_and_rules_that_are_not_there_have_no_code_of_their_own():
    assert {source.digest(name) for name in (*rules.available(), "no.such:Rule")} == {source.NONE}
    assert len(source.digest(EXAMPLE)) == 16
    assert RunSpec(rule="no.such:Rule").spec_hash != RunSpec(rule="no.such:Other").spec_hash


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

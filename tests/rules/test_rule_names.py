"""Rules of one class name are told apart; what is unambiguous stays short."""

import pytest

from credit.rules.shared.names import parent_name, run_name, shortest
from credit.spec import RunSpec


def test_a_name_is_as_short_as_tells_it_from_the_others():
    assert shortest(["bp", "a:MyRule"]) == {"bp": "bp", "a:MyRule": "MyRule"}
    assert shortest(["a:MyRule", "b:MyRule"]) == {"a:MyRule": "a:MyRule", "b:MyRule": "b:MyRule"}
    both = ["x.rule:MyRule", "y.rule:MyRule"]
    assert shortest(both) == {name: name for name in both}
    assert shortest(["p.a:R", "p.b:R", "bp"]) == {"p.a:R": "a:R", "p.b:R": "b:R", "bp": "bp"}
    assert shortest(["bp", "mine:bp"]) == {"bp": "bp", "mine:bp": "mine:bp"}
    assert len(set(shortest(["b:R", "a.b:R", "R"]).values())) == 3


def test_runs_and_parents_of_different_settings_have_different_names():
    specs = [RunSpec(rule=rule, k=2) for rule in ("a:R", "b:R", "bp")]
    names = shortest(spec.rule for spec in specs)
    assert [run_name(s, names) for s in specs] == ["a:R k2 s42", "b:R k2 s42", "bp k2 s42"]
    settings = [("quick", specs), ("reduced", specs), ("quick", specs[:2])]
    settings.append(("quick", [*specs, specs[0].replace(seed=7)]))
    assert len({parent_name("ladder", *setting) for setting in settings}) == 4
    assert RunSpec(rule="examples.x:R", k=2).name == "R k2 s42"


@pytest.mark.parametrize(
    ("rule", "reduction", "name"),
    [
        ("fa", "published", "fa k4 s42"),
        ("fa", "mean", "fa k4 s42"),  # its own
        ("fa", "sum", "fa k4 s42 sum"),
        ("dfa", "sum", "dfa k4 s42"),
        ("dfa", "mean", "dfa k4 s42 mean"),
    ],
)
def test_a_run_says_a_reduction_that_is_not_its_rules_own(rule, reduction, name):
    assert run_name(RunSpec(rule=rule, credit_reduction=reduction), {}) == name

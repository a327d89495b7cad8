"""A rule's own fields: never filled from the run, set by `rule_option`, part of what a run is."""

import sys
from pathlib import Path

import pytest

from credit import rules
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.tracking.reader import connect
from tests.commands import succeed
from tests.traps import refused

TEXT = """
from dataclasses import dataclass
from typing import ClassVar
import torch
from credit.rules import Rule
from credit.rules.credit_bridge import CreditBridge

@dataclass(frozen=True)
class TopK(Rule):
    k: int = 16
    alpha: float = 0.25
    seed: int = 3
    width: int = 5
    tau: float = 7.0
    rule: str = "top"
    one_sided: bool = True
    shape: tuple = ()

    def credit(self, state, trace):
        top = trace.grad_out.abs().topk(min(self.k, 8), dim=-1).indices
        mask = torch.zeros_like(trace.grad_out).scatter(-1, top, 1.0)
        return [trace.grad_out * mask for _ in trace.hiddens]

@dataclass(frozen=True)
class Bridge(CreditBridge):
    heat: float = 2.0

@dataclass(frozen=True)
class Redeclared(CreditBridge):
    sigma: float = 0.5

@dataclass
class Mutable(Rule):
    k: int = 16
"""
DEFAULTS = {"k": 16, "alpha": 0.25, "seed": 3, "width": 5, "tau": 7.0, "rule": "top"}
DEFAULTS |= {"one_sided": True, "shape": ()}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "own_fields.py").write_text(TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_fields", raising=False)
    return tmp_path


def run_of(rule: str = "TopK", option: str = "none", **changes) -> RunSpec:
    name = rule if rule in rules.available() else f"own_fields:{rule}"
    return resolve(RunSpec(rule=name, rule_option=option, device="cpu", **changes))


@pytest.mark.usefixtures("folder")
def test_own_fields_are_not_the_run_s():
    one = run_of(k=2, seed=42, width=64, activation="phi", alpha=0.5, tau=3.0)
    assert vars(rules.of(one)) == DEFAULTS
    assert one.tau == RunSpec.tau  # which it does not read


@pytest.mark.usefixtures("folder")
def test_options_set_own_fields_and_are_in_the_hash():
    one = run_of(option=" one_sided=False, k=032,alpha=1e-1,rule=best,width=5")
    assert one.rule_option == "alpha=0.1,k=32,one_sided=false,rule=best"
    changed = {"k": 32, "alpha": 0.1, "rule": "best", "one_sided": False}
    assert vars(rules.of(one)) == DEFAULTS | changed
    assert "k=32" in one.name and resolve(one) == one
    plain = run_of()
    assert one.spec_hash != plain.spec_hash
    assert run_of(option="k=16,tau=7").spec_hash == plain.spec_hash
    assert run_of("bp", "k=32").spec_hash == run_of("bp").spec_hash
    assert one.stack_key == plain.stack_key


@pytest.mark.usefixtures("folder")
def test_a_learned_rule_from_outside_reads_the_run_s_knobs_and_its_own():
    one = run_of("Bridge", "heat=3", tau=0.5, credit_reduction="sum")
    rule = rules.of(one)
    assert (getattr(rule, "tau"), getattr(rule, "heat"), one.tau) == (0.5, 3.0, 0.5)  # noqa: B009


def test_a_rule_of_the_package_has_own_fields_where_the_run_has_none():
    one = run_of("difference_target_propagation", "step=0.5,corruption=0.1", estimator_lr=0.01)
    assert one.rule_option == "step=0.5"
    fields = {"estimator_lr": 0.01, "estimator_every": 1, "step": 0.5, "corruption": 0.1}
    assert vars(rules.of(one)) == fields
    assert rules.knobs(one.rule) == {"estimator_lr", "estimator_every"}
    plain = run_of("difference_target_propagation", estimator_lr=0.01)
    assert one.stack_key == plain.stack_key and one.spec_hash != plain.spec_hash


@pytest.mark.parametrize(
    ("rule", "option", "named"),
    [
        ("TopK", "kk=3", "'k'"),
        ("TopK", "k=3.5", "k='3.5'"),
        ("TopK", "k=3,k=4", "twice"),
        ("TopK", "k", "name=value"),
        ("TopK", "k=3,", "name=value"),
        ("TopK", "one_sided=1", "true or false"),
        ("TopK", "shape=3", "tuple"),
        ("Bridge", "tau=3", "'tau'"),
        ("Redeclared", "none", "sigma=0.5"),
        ("Mutable", "none", "frozen"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_bad_option_is_one_line(rule, option, named):
    refused(lambda: run_of(rule, option), named)


TINY = "--dataset digits --width 16 --epochs 1"


@pytest.mark.slow
def test_an_option_reaches_ladder_train_and_audit(folder):
    rule = "own_fields:TopK"
    grid = f"--preset quick {TINY} --ks 0,4 --seeds 42 --rule_option k=4"
    for script, words in (
        ("ladder", f"{grid} --rules bp,oracle,{rule}"),
        ("audit", f"{grid} --rule {rule} --controls none"),
        ("train", f"{TINY} --rule {rule} --k 1 --rule_option k=4"),
    ):
        succeed(script, *words.split(), PYTHONPATH=str(folder))
    runs = connect().runs()
    mine = runs.loc[runs["rule"] == rule]
    assert set(mine["rule_option"]) == {"k=4"} and sorted(mine["k"]) == [0, 1, 4]
    others = runs.loc[runs["rule"] != rule]
    assert set(others["rule_option"]) == {"none"}
    assert len(others) == 4  # the audit found the ladder's
    assert set(connect().parents()["params"].map(lambda params: params["rule_option"])) == {"k=4"}

"""The audit of one rule: its grid, what is refused before training, its checks, and the whole."""

import dataclasses
import json
import linecache
import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from credit import cli, grid, rule_source, rules
from credit.analysis import protocol, protocol_checks, protocol_text
from credit.audit import Verdict
from credit.errors import CreditError
from credit.publish import publish
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep import resolve
from credit.tracking.reader import connect
from credit.tracking.writer import open_store
from credit.training import trial
from credit.training.cost import state_sizes
from tests.test_entrypoints import ROOT, call, defaults_of

EXAMPLE = "examples.sign_symmetric:SignSymmetric"
TINY = {
    "preset": "quick",
    "dataset": "digits",
    "width": "8",
    "depth": "2",
    "epochs": "2",
    "train_samples": "200",
    "measure_samples": "32",
    "measure_every": "2",
    "directions": "2",
    "device": "cpu",
}


def chosen(**options: str) -> dict[str, str]:
    return grid.settled("audit", {**defaults_of("audit"), **options})


def hashes(specs) -> set[str]:
    return {resolve(spec).spec_hash for spec in specs}


# ------------------------------------------------------------------ the grid


@pytest.mark.parametrize("preset", ["quick", "published"])
def test_an_audit_finds_the_runs_of_a_ladder_of_its_preset(preset):
    ladder = grid.settled(
        "ladder", {**defaults_of("ladder"), "preset": preset, "dataset": "digits"}
    )
    options = chosen(preset=preset, dataset="digits", rule="dfa")
    own = hashes(grid.audit(options))
    there = hashes(s for s in grid.ladder(ladder) if s.rule != "fa")
    assert there < own
    seeds = len(options["seeds"].split(","))
    assert len(own - there) == 4 * seeds  # one run per control


def test_the_reduced_audit_finds_the_runs_of_the_reduced_controls():
    options = {"preset": "reduced", "dataset": "cifar10"}
    controls = grid.settled("matched_controls", {**defaults_of("matched_controls"), **options})
    there = hashes(s for s in grid.matched_controls(controls) if s.rule == "dfa")
    assert there <= hashes(grid.audit(chosen(rule="dfa", **options)))


@pytest.mark.parametrize("rule", ["bp", "oracle", "fa", EXAMPLE])
def test_every_rule_can_be_audited(rule):
    specs = grid.audit(chosen(**TINY, rule=rule))
    assert {"bp", "oracle", rule} == {spec.rule for spec in specs}
    assert len(hashes(specs)) == len(specs)
    random = [spec for spec in specs if spec.random_labels]
    assert [(spec.rule, spec.k) for spec in random] == [(rule, 2)]


def test_without_controls_and_with_two_rungs_it_is_six_runs():
    specs = grid.audit(chosen(**TINY, rule=EXAMPLE, controls="none", ks="0,2"))
    assert len(specs) == 6 and {spec.k for spec in specs} == {0, 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "fa,dfa"}, "rule='fa,dfa' names several: an audit is of one"),
        ({"rule": "dffa"}, "unknown rule 'dffa': did you mean 'dfa'"),
        ({"rule": "no.such:Rule"}, "cannot load rule 'no.such:Rule'"),
        ({"rule": "fa", "ks": "1,2"}, "ks=1,2 leaves out 0: an audit compares k=0 with k=2"),
        ({"rule": "fa", "ks": "1"}, "ks=1 leaves out 0, 2"),
        ({"rule": "fa", "ks": "0,2,3"}, "k=3 exceeds depth=2"),
        ({"rule": "fa", "controls": "deep"}, "unknown control 'deep'"),
        ({"rule": "fa", "controls": ""}, "controls='' has an empty item"),
        ({"rule": "fa", "control_penalty": "much"}, "control_penalty='much' is not a number"),
        ({"rule": "fa", "preset": "short"}, "unknown preset 'short'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(CreditError, match=re.escape(message)):
        grid.audit(chosen(**(TINY | options)))


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
    for cached in (rule_source.digest, state_sizes):
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
    assert len(rule_source.digest("mine:Mine")) == 16


def test_libraries_that_a_rule_derives_from_are_not_its_code(tmp_path, monkeypatch):
    text = ONE.format(factor=1, comment="")
    written(tmp_path, monkeypatch, text)
    alone = rule_source.digest("mine:Mine")
    text = text.replace("class Mine(Rule)", "import abc\nclass Mine(Rule, abc.ABC)")
    written(tmp_path, monkeypatch, text)
    derived = rule_source.digest("mine:Mine")
    assert derived not in (alone, rule_source.NONE)
    monkeypatch.setattr(rule_source, "_LIBRARIES", [])
    rule_source.digest.cache_clear()
    assert rule_source.digest("mine:Mine") != derived  # abc would count
    monkeypatch.setattr(rule_source, "_LIBRARIES", [tmp_path])
    rule_source.digest.cache_clear()
    itself = rule_source.digest("mine:Mine")  # counts wherever it lies
    assert itself not in (derived, rule_source.NONE)


def test_rules_of_the_package_and_rules_that_are_not_there_have_no_code_of_their_own():
    assert {rule_source.digest(name) for name in (*rules.available(), "no.such:Rule")} == {
        rule_source.NONE
    }
    assert len(rule_source.digest(EXAMPLE)) == 16
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


# ------------------------------------------------------------------ checks

PASS = Verdict("D2", "pass", 1.0, 0.1, "above the floor")
FAIL = Verdict("D2", "fail", 0.0, 0.1, "not above the floor")


def full_runs(**metrics: list[float]) -> pd.DataFrame:
    """Finished runs of one rule with every block trained, one per value."""
    count = len(next(iter(metrics.values())))
    return pd.DataFrame(
        {
            "run_id": str(seed),
            "status": "FINISHED",
            "started": pd.Timestamp("2026-01-01", tz="UTC"),
            "accuracy/test": 0.5,
            **dataclasses.asdict(RunSpec(depth=2, k=2, seed=seed)),
            **{name.replace("_", "/"): values[seed] for name, values in metrics.items()},
        }
        for seed in range(count)
    )


def test_frozen_init_passes_near_the_identity():
    def judged(cos: float) -> Verdict:
        identity = {"cos": cos, "block_ratio": 0.1, "rel_dev": 0.2}
        named = {f"identity/{name}_mean": value for name, value in identity.items()}
        return protocol_checks.frozen_init(protocol.Subject("fa", named))

    assert [judged(cos).status for cos in (0.981, 0.9, 0.899)] == ["pass", "pass", "fail"]
    assert "a block adds 10% of ‖h‖, all of them 20%" in judged(0.981).reason
    assert protocol_checks.frozen_init(protocol.Subject("fa", {})).status == "undefined"


@pytest.mark.parametrize(
    ("own", "copied", "status", "value"),
    [
        ([0.5, 0.7], [0.4, 0.6], "pass", 0.1),
        ([0.5, 0.5], [0.6, 0.6], "fail", -0.1),
        ([0.5, 0.5], [0.49, 0.49], "fail", 0.01),
        ([0.52, 0.52], [0.5, 0.5], "pass", 0.02),
        ([0.999, 0.999], [0.99, 0.99], "undefined", None),
        ([0.5, float("nan")], [0.4, 0.4], "undefined", None),
    ],
)
def test_beyond_a_copy_is_more_than_the_skip_path_gives(own, copied, status, value):
    runs = full_runs(alignment_h01=own, copy_h01=copied)
    found = protocol_checks.beyond_copy(runs, PASS)
    assert (found.status, found.value) == (status, value)
    assert protocol_checks.beyond_copy(runs, FAIL).reason == "D2 does not hold: not above the floor"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "pass"),
        ({"alignment_g": 0.99}, "fail"),
        ({"alignment_neg_g": 1.0}, "fail"),
        ({"alignment_random": -4 / (256 * 1024) ** 0.5}, "fail"),
        ({"nudge_g": 1e-4}, "fail"),
        ({"nudge_neg_g": -1e-4}, "fail"),
        ({"nudge_g": float("nan")}, "undefined"),
    ],
)
def test_calibration_asks_for_the_known_answers(changes, status):
    row = {"layer": 1, "alignment_g": 1.0, "alignment_neg_g": -1.0, "alignment_random": 0.005}
    row |= {"nudge_g": -1e-4, "nudge_neg_g": 1e-4, **changes}
    runs = full_runs(alignment_h01=[0.5])
    layers = {"0": pd.DataFrame([row])}
    assert protocol_checks.calibration(runs, layers, PASS).status == status
    assert protocol_checks.calibration(runs, {}, PASS).status == "undefined"


def test_the_screen_is_as_wide_as_it_says_and_names_every_check():
    reason = "a reason that takes more than one line of the terminal, " * 3
    found = [
        {"rule": EXAMPLE, **dataclasses.asdict(Verdict(check, "fail", 0.123, 0.1, reason))}
        for check in protocol_text.FORMS
    ]
    text = protocol_text.report(found, notes=["a note " * 40])
    assert max(map(len, text.splitlines())) <= protocol_text.WIDTH
    for form in protocol_text.FORMS.values():
        assert form.name in text
    assert "0 of its 13 checks pass" in protocol_text.summary(EXAMPLE, found)


# ------------------------------------------------------------------ the whole, on small runs


def audited(**options: str) -> str:
    """What the entry point prints for these options."""
    script = runpy.run_path(str(ROOT / "entrypoints" / "audit.py"))
    given = {**script["DEFAULTS"], **options}
    return script["audit_run" if given["run_id"] != "none" else "audit_rule"](given)


def one_run(**equal) -> str:
    runs = connect().runs()
    base = runs.loc[(runs["penalty"] == 0) & ~runs["random_labels"] & (runs["depth"] == 2)]
    for name, value in equal.items():
        base = base.loc[base[name] == value]
    (run_id,) = base["run_id"]
    return run_id


@pytest.mark.slow
@pytest.mark.parametrize("rule", [EXAMPLE, "dfa"])
def test_an_audit_leaves_its_results_and_prints_one_screen(rule, tracking_store):
    text = audited(**TINY, rule=rule)
    label = rule.rpartition(":")[2]
    assert f"Audit of {label}: digits, d=8, L=2, 2 epochs" in text
    screen = text[text.index("\ncheck ") : text.index("test accuracy at the last epoch")]
    assert max(map(len, screen.splitlines())) <= protocol_text.WIDTH
    for form in protocol_text.FORMS.values():
        assert form.name in text, form.name
    (parent,) = connect().parents("audit").to_dict("records")
    assert parent["status"] == "FINISHED" and parent["params"]["rule"] == rule
    reader = connect()
    names = ("table.csv", "table.md", "figure.png", "ladder.csv", "layers.csv")
    for name in names:
        assert reader.artifact(parent["run_id"], name).stat().st_size > 0
    found = json.loads(reader.artifact(parent["run_id"], "verdicts.json").read_text())
    assert [v["check"] for v in found] == list(protocol_text.FORMS)
    assert {v["rule"] for v in found} == {rule}
    assert found[0]["status"] == "pass" and found[0]["value"] > 0.9
    for run_id in (one_run(rule=rule, k=0), one_run(rule="bp", k=2)):
        assert run_id in text
    runs = reader.runs(parent=parent["run_id"])
    assert len(runs) == 3 * 3 + 4 and set(runs["status"]) == {"FINISHED"}
    assert publish(open_store(), parent["run_id"]) == text  # rebuilt from the store alone

    again = audited(run_id=one_run(rule=rule, k=2), trust_rules=rule)
    assert "missing" not in again and "D3 depth" in again
    said = {v["check"]: v["reason"] for v in found}
    for check in ("D3", "D1"):
        words = " ".join(again.split())
        assert said[check].split(":")[0] in words, check
    gap = re.search(r"largest relative difference (\S+)", " ".join(again.split()))
    assert gap and float(gap[1]) < 1e-3
    part = audited(run_id=one_run(rule=rule, k=1), trust_rules=rule)
    assert "this run trains 1 of 2 blocks" in part


@pytest.mark.slow
def test_a_copy_of_the_outputs_gradient_is_not_congratulated(tracking_store, tmp_path, monkeypatch):
    written(
        tmp_path, monkeypatch, HEAD + BODY.format("[trace.grad_out + 0 for _ in trace.hiddens]")
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    done = call("audit", "--preset", "quick", "--dataset", "digits", "--rule", "mine:Mine")
    assert done.returncode == 0, done.stderr
    (parent,) = connect().parents("audit")["run_id"]
    found = json.loads(connect().artifact(parent, "verdicts.json").read_text())
    status = {v["check"]: v["status"] for v in found}
    assert status["beyond a copy"] == "fail"
    line = done.stdout.strip().splitlines()[0]
    assert "no evidence" in line and "copy" in line
    html = connect().artifact(parent, "report.html").read_text()
    assert html.index("no evidence") < html.index("<h1>")

    run = connect().runs(parent=parent).query("rule == 'mine:Mine' and k == depth and depth > 1")
    plain = run.loc[(run["penalty"] == 0) & ~run["random_labels"]]["run_id"].iloc[0]
    again = call("audit", "--run_id", plain, "--trust_rules", "mine:Mine")
    assert again.returncode == 0, again.stderr
    for form in protocol_text.FORMS.values():
        assert form.name in again.stdout, form.name
    assert "no evidence" in again.stdout.splitlines()[0]


def test_a_diverging_rule_is_a_verdict(tracking_store, tmp_path, monkeypatch):
    grows = "[torch.where(h.abs() > 100, torch.inf, h) for h in trace.hiddens]"
    written(tmp_path, monkeypatch, HEAD + BODY.format(grows))
    text = audited(**(TINY | {"lr": "1e3"}), rule="mine:Mine", controls="none", ks="0,2")
    assert "D1 fail" in text and "non-finite" in text


@pytest.mark.slow
def test_a_run_without_siblings_says_what_is_missing_and_what_trains_it(tracking_store):
    options = {k: v for k, v in TINY.items() if k not in ("preset", "measure_every")}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    done = call("train", *words, "--rule", "fa", "--k", "2", "--seed", "7")
    assert done.returncode == 0, done.stderr
    run_id = one_run(rule="fa")
    text = " ".join(audited(run_id=run_id).split())
    assert "missing for D3: fa k=0, bp k=0, bp k=2, of these settings and seed." in text
    command = re.search(r"python -m entrypoints\.ladder (.*)$", text)
    assert command
    done = call("ladder", *shlex.split(command[1]))
    assert done.returncode == 0, done.stderr
    assert "1 of 6 runs are already there" in done.stderr
    text = audited(run_id=run_id)
    assert "missing" not in text and re.search(r"D3 depth\s+(pass|fail|undefined)", text)


def test_runs_that_cannot_be_audited_are_refused(tracking_store, tmp_path, monkeypatch):
    with pytest.raises(CreditError, match="no run '0000"):
        audited(run_id="0" * 32)
    with pytest.raises(CreditError, match="rule=fa does not go with run_id"):
        audited(run_id="0" * 32, rule="fa")
    mild = HEAD + BODY.format("[h * {} for h in trace.hiddens]")
    written(tmp_path, monkeypatch, mild.format(1))
    audited(**TINY, rule="mine:Mine", controls="none", ks="0,2")
    run_id = one_run(rule="mine:Mine", k=2)
    with pytest.raises(CreditError, match="--trust_rules mine:Mine"):
        audited(run_id=run_id)
    assert "D1 scale" in audited(run_id=run_id, trust_rules="mine:Mine")
    written(tmp_path, monkeypatch, mild.format(22))
    with pytest.raises(CreditError, match="was trained by other code than mine:Mine has now"):
        audited(run_id=run_id, trust_rules="mine:Mine")
    with pytest.raises(CreditError, match="is not the run of one network"):
        audited(run_id=connect().parents("audit")["run_id"].iloc[0])


def test_a_part_of_an_audits_runs_is_still_about_its_rule(tracking_store):
    audited(**TINY, rule="fa", controls="none", ks="0,2")
    reader = connect()
    runs = reader.runs(kind="audit")
    assert protocol.subject(reader, runs).rule == "fa"
    assert protocol.subject(reader, runs).identity["identity/cos_mean"] > 0.9
    part = protocol.subject(reader, runs.loc[runs["k"] == 2])
    assert part == protocol.Subject("fa", {})
    with pytest.raises(CreditError, match="runs of bp, oracle: an audit is of one rule"):
        protocol.subject(reader, runs.loc[runs["rule"] != "fa"])


def test_the_command_line_ends_with_one_line(tracking_store):
    done = call("audit", "--preset", "quick", "--rule", "json:loads", "--dataset", "digits")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith("credit: 'json:loads' is not a rule") and connect().runs().empty


def test_the_options_left_to_the_preset_are_the_scripts():
    own = {k for k, v in defaults_of("audit").items() if v != cli.PRESET}
    assert own == {"preset", "rule", "run_id", "trust_rules"}


def test_no_preset_names_a_rule_and_none_is_trained_without_one(tracking_store):
    assert not any("rule" in options for options in grid.PRESETS["audit"].values())
    done = call("audit", "--preset", "quick", "--dataset", "digits")
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("credit: nothing to audit is named: pass --rule")
    assert "--run_id" in line and connect().runs().empty and connect().parents("audit").empty


def test_the_code_of_a_rule_is_where_its_class_stands_and_what_it_derives_from(
    tmp_path, monkeypatch
):
    def digest(factor: int) -> str:
        written(tmp_path, monkeypatch, ONE.format(factor=factor, comment=""), "inner")
        text = "from inner import Mine\n\nclass Own(Mine):\n    pass\n"
        written(tmp_path, monkeypatch, text, "outer")
        return rule_source.digest("outer:Own")

    first = digest(1)
    assert len(first) == 16 and digest(2) != first and digest(1) == first
    assert rule_source.digest("outer:Mine") not in (rule_source.NONE, first)

"""RunSpec: strings in, strings out, one name per run, and no impossible run."""

import dataclasses
import hashlib
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit import rules
from credit import spec as spec_module
from credit.rules.shared.names import run_name
from credit.spec import LEARNED_FIELDS, MEMBER_FIELDS, SCHEMA, RunSpec, format_value
from credit.sweep.sweep import resolve
from credit.tracking.marks import SPEC
from tests.commands import ROOT
from tests.specs import DEFAULT, FIELDS, TYPES, mappings, patient, specs, values
from tests.traps import refused

REDUCTIONS = ("mean", "sum")


@patient
@given(specs)
def test_parameters_and_json_give_back_the_run(one):
    params = one.to_params()
    assert list(params) == list(FIELDS)
    assert all(isinstance(value, str) and value for value in params.values())
    for written in (params, json.loads(json.dumps(dataclasses.asdict(one)))):
        again = RunSpec.from_mapping(written)
        assert again == one and again.spec_hash == one.spec_hash
        assert again.to_params() == params
        assert all(type(getattr(again, name)) is TYPES[name] for name in FIELDS)


@patient
@given(mappings(), st.randoms(use_true_random=False))
def test_neither_order_nor_form_of_the_fields_matters(fields, random):
    names = list(fields)
    random.shuffle(names)
    shuffled = {
        name: format_value(fields[name]) if random.random() < 0.5 else fields[name]
        for name in names
    }
    one, other = RunSpec.from_mapping(fields), RunSpec.from_mapping(shuffled)
    assert one == other and one.spec_hash == other.spec_hash and one.stack_key == other.stack_key


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("k", [2, "2", "+2", " 2 ", "02"]),
        ("lr", [0.01, "0.01", "1e-2", ".01", "0.010"]),
        ("lr", [1, 1.0, "1", "1.0", "1e0"]),
        ("augment", [False, "false", "False", "FALSE"]),
        ("weight_decay", [0, 0.0, -0.0, "-0"]),  # -0.0 == 0.0, so the runs are equal
    ],
)
def test_forms_of_one_value_name_one_run(name, forms):
    runs = [RunSpec.from_mapping({name: form}) for form in forms]
    assert len(set(runs)) == 1
    assert len({run.spec_hash for run in runs}) == 1
    assert len({run.stack_key for run in runs}) == 1


@patient
@given(specs, st.data())
def test_replace_changes_what_it_is_told_to(one, data):
    name = data.draw(st.sampled_from(sorted(set(FIELDS) - {"k", "depth"})))
    value = data.draw(values(name))
    other = one.replace(**{name: value})
    assert getattr(other, name) == value
    assert other.replace(**{name: getattr(one, name)}) == one
    kept = set(FIELDS) - {name}
    assert all(getattr(other, field) == getattr(one, field) for field in kept)


def test_a_run_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT.k = 3  # pyright: ignore[reportAttributeAccessIssue]
    for make in (DEFAULT.replace, RunSpec):
        refused(lambda m=make: m(k=9), "k=9", "depth=4")


def test_hashes_of_the_first_runs_are_what_they_were():
    """Stores hold these names: a change here, without a new SCHEMA, retrains finished runs."""
    assert SCHEMA == "1"
    assert DEFAULT.spec_hash == "139de9fdd371c0f7"
    changed = RunSpec(rule="dfa", k=2, lr=3e-4, augment=False)
    text = '{"augment": "false", "k": "2", "lr": "0.0003", "rule": "dfa", "schema": "1"}'
    assert changed.spec_hash == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_first_gpu_has_one_hash_by_both_of_its_names():
    one, other, second, cpu = (RunSpec(device=d) for d in ("cuda", "cuda:0", "cuda:1", "cpu"))
    assert one.spec_hash == other.spec_hash and one.stack_key == other.stack_key
    assert len({one.spec_hash, second.spec_hash, cpu.spec_hash, DEFAULT.spec_hash}) == 4
    text = '{"device": "cuda", "schema": "1"}'  # what it was before
    assert one.spec_hash == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    "file", sorted((ROOT / "results").glob("*/runs.json")), ids=lambda f: f.parent.name
)
def test_published_runs_have_the_hashes_and_names_that_their_settings_give(file):
    children = [run for run in json.loads(file.read_text())["runs"] if SPEC in run["tags"]]
    assert children or file.parent.name == "frozen_init"  # which trains nothing
    for run in children:
        one = RunSpec.from_mapping(run["params"])
        assert (one.spec_hash, run_name(one, {})) == (run["tags"][SPEC], run["name"])


@patient
@given(specs)
def test_fields_at_their_default_are_no_part_of_the_hash(one):
    changed = {n: v for n, v in dataclasses.asdict(one).items() if v != FIELDS[n].default}
    assert RunSpec.from_mapping(changed).spec_hash == one.spec_hash
    text = json.dumps(
        {"schema": SCHEMA} | {n: format_value(v) for n, v in changed.items()}, sort_keys=True
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == one.spec_hash


def test_a_field_added_later_keeps_the_names_of_older_runs():
    knob = spec_module._knob

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later(RunSpec):
        momentum: float = knob(0.0, "a knob of tomorrow", at_least=0)

    assert Later(rule="fa").spec_hash == RunSpec(rule="fa").spec_hash
    assert Later(rule="fa", momentum=0.5).spec_hash != RunSpec(rule="fa").spec_hash


@settings(patient, max_examples=25)
@given(specs, st.data())
def test_every_field_is_part_of_the_hash(one, data):
    for name in FIELDS:
        value = data.draw(values(name), label=name)
        changes = {name: value}
        if name == "k":
            changes["k"] = value % (one.depth + 1)
        if name == "depth":
            changes["depth"] = max(value, one.k)
        other = one.replace(**changes)
        same = getattr(other, name) == getattr(one, name)
        assert (other.spec_hash == one.spec_hash) == same, name


@patient
@given(specs, st.data())
def test_runs_share_a_stack_if_they_differ_in_member_fields_alone(one, data):
    name = data.draw(st.sampled_from(sorted(set(FIELDS) - {"depth"})))
    value = data.draw(values(name))
    other = one.replace(**{name: value % (one.depth + 1) if name == "k" else value})
    alone = (name == "seed" and one.random_labels) or (
        name == "alpha" and one.network != DEFAULT.network  # whose module holds it
    )
    member = name in MEMBER_FIELDS and not alone
    together = member or getattr(other, name) == getattr(one, name)
    assert (other.stack_key == one.stack_key) == together


def test_names_within_a_grid_are_distinct():
    grid = itertools.product(
        ("bp", "fa", "dfa", "oracle"), range(5), (42, 123), (0, 0.01), (0, 1e-12, 1e-6), REDUCTIONS
    )
    names = ("rule", "k", "seed", "penalty", "credit_eps", "credit_reduction")
    runs = [RunSpec(**dict(zip(names, point, strict=True))) for point in grid]
    assert len({run_name(one, {}) for one in runs}) == len(runs)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rule": "dfa", "k": 2}, "dfa k2 s42"),
        ({"rule": "fa", "k": 0, "seed": 7, "penalty": 0.01}, "fa k0 s7 λ0.01"),
        ({"credit_eps": 0, "penalty": 1}, "bp k4 s42 λ1.0 eps0.0"),
        ({"rule": "credit.rules.fa:FeedbackAlignment", "k": 1}, "FeedbackAlignment k1 s42"),
        ({"rule": "dfa", "precision": "bf16"}, "dfa k4 s42 bf16"),
    ],
)
def test_a_run_is_called_by_what_it_is(changes, name):
    assert RunSpec(**changes).name == name


KNOBS = {
    "bp": set(),
    "dfa": set(),
    "state_bridge": {"estimator_relative"},
    "credit_bridge": {"tgw", "tau", "sigma", "sigma_relative", "draws", "ema"},
    "vector_field": {
        *("field_directions", "field_eps", "one_sided", "terminal_weight", "shuffle"),
        "estimator_relative",
    },
}
SHARED = {"code", "warmup_ratio"}
SHARED |= {name for name in LEARNED_FIELDS if name[:9] == "estimator"} - {"estimator_relative"}
OTHER = {
    **{name: getattr(DEFAULT, name) * 2 or 2 for name in LEARNED_FIELDS},
    **{"code": "deltaL", "warmup_ratio": 0.5, "ema": 0.5, "one_sided": True, "shuffle": True},
    **{"sigma_relative": True, "estimator_relative": True},
}


@pytest.mark.parametrize("rule", KNOBS)
def test_a_run_claims_no_knob_that_its_rule_does_not_read(rule):
    read = KNOBS[rule] | (SHARED if rules.get(rule).learned else set())
    one = resolve(RunSpec(rule=rule, device="cpu", **OTHER))
    for name in LEARNED_FIELDS:
        assert OTHER[name] != FIELDS[name].default
        expected = OTHER[name] if name in read else FIELDS[name].default
        assert getattr(one, name) == expected, name
    assert resolve(one) == one
    plain = resolve(RunSpec(rule=rule, device="cpu"))
    assert (one.spec_hash == plain.spec_hash) == (not read)


def test_every_learned_knob_is_read_by_a_rule():
    assert set().union(SHARED, *KNOBS.values()) == LEARNED_FIELDS <= MEMBER_FIELDS


def test_alpha_is_of_phi_alone():
    for activation, alpha in (("gelu", RunSpec.alpha), ("phi", 0.25)):
        one = resolve(RunSpec(activation=activation, alpha=0.25, device="cpu"))
        assert one.alpha == alpha


def test_every_field_says_what_it_is():
    for field in FIELDS.values():
        assert field.metadata["help"] and type(field.default) is TYPES[field.name]

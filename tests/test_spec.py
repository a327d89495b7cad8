"""RunSpec: strings in, strings out, one name per run, and no impossible run."""

import dataclasses
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit import rules
from credit import spec as spec_module
from credit.errors import CreditError
from credit.rules.names import run_name
from credit.spec import (
    LEARNED_FIELDS,
    MEMBER_FIELDS,
    SCHEMA,
    RunSpec,
    field_types,
    format_value,
    parse_value,
)
from credit.sweep.sweep import resolve
from credit.tracking.marks import SPEC

RESULTS = Path(__file__).parents[1] / "results"
FIELDS = {f.name: f for f in dataclasses.fields(RunSpec)}
TYPES = field_types()
DEFAULT = RunSpec()
REDUCTIONS = ("mean", "sum")


def values(name: str) -> st.SearchStrategy[Any]:
    """Every kind of value that field `name` can take."""
    kind, known = TYPES[name], FIELDS[name].metadata
    if known["one_of"]:
        return st.sampled_from(known["one_of"])
    if kind is bool:
        return st.booleans()
    least, most = known["at_least"], known["at_most"]
    if kind is int:
        return st.integers(int(least), most or 10**12)
    if kind is float:
        return st.floats(least, most, allow_nan=False, allow_infinity=False)
    if name == "device":
        return st.sampled_from(("auto", "cpu", "cuda", "cuda:1"))
    return st.text(min_size=1)


def mappings() -> st.SearchStrategy[dict[str, Any]]:
    """Some fields, each with a value of its own; k at most the depth."""
    some = st.fixed_dictionaries({}, optional={name: values(name) for name in FIELDS})
    return some.map(lambda m: m | {"k": min(m.get("k", DEFAULT.k), m.get("depth", DEFAULT.depth))})


specs = mappings().map(RunSpec.from_mapping)

# Time is no property of a spec: on a busy machine Hypothesis' own limits fail what is right.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


# ------------------------------------------------------------------ round trips


@patient
@given(specs)
def test_parameters_give_back_the_run(one):
    params = one.to_params()
    assert list(params) == list(FIELDS)
    assert all(isinstance(value, str) and value for value in params.values())
    again = RunSpec.from_mapping(params)
    assert again == one and again.spec_hash == one.spec_hash
    assert again.to_params() == params
    assert all(type(getattr(again, name)) is TYPES[name] for name in FIELDS)


@patient
@given(specs)
def test_json_gives_back_the_run(one):
    again = RunSpec.from_mapping(json.loads(json.dumps(dataclasses.asdict(one))))
    assert again == one and again.spec_hash == one.spec_hash


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
        ("k", [2, "2", "+2", " 2 "]),
        ("lr", [0.01, "0.01", "1e-2", ".01", "0.010"]),
        ("lr", [1, 1.0, "1", "1.0", "1e0"]),
        ("penalty", [0, 0.0, "0", "0.0"]),
        ("credit_eps", [1e-6, "1e-6", "0.000001", "1E-06"]),
        ("augment", [False, "false", "False", "FALSE"]),
        ("relative_steps", [True, "true", "True"]),
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
    with pytest.raises(CreditError, match="k=9"):
        DEFAULT.replace(k=9)


# ------------------------------------------------------------------ the hash


def test_hashes_of_the_first_runs_are_what_they_were():
    """Stores hold these names: a change here, without a new SCHEMA, retrains finished runs."""
    assert SCHEMA == "1"
    assert DEFAULT.spec_hash == "139de9fdd371c0f7"
    changed = RunSpec(rule="dfa", k=2, lr=3e-4, augment=False)
    text = '{"augment": "false", "k": "2", "lr": "0.0003", "rule": "dfa", "schema": "1"}'
    assert changed.spec_hash == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*/runs.json")), ids=lambda f: f.parent.name)
def test_published_runs_have_the_hashes_and_names_that_their_settings_give(file):
    children = [run for run in json.loads(file.read_text())["runs"] if SPEC in run["tags"]]
    assert children
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


# ------------------------------------------------------------------ stacks and names


@patient
@given(specs, st.data())
def test_runs_share_a_stack_if_they_differ_in_member_fields_alone(one, data):
    name = data.draw(st.sampled_from(sorted(set(FIELDS) - {"depth"})))
    value = data.draw(values(name))
    other = one.replace(**{name: value % (one.depth + 1) if name == "k" else value})
    member = name in MEMBER_FIELDS and not (name == "seed" and one.random_labels)
    together = member or getattr(other, name) == getattr(one, name)
    assert (other.stack_key == one.stack_key) == together


def test_the_runs_of_one_experiment_share_one_stack():
    member = {"rule": "fa", "k": 1, "seed": 7, "penalty": 0.1, "credit_eps": 0}
    other = RunSpec(**member, credit_reduction="sum")
    assert other.stack_key == DEFAULT.stack_key
    assert RunSpec(depth=6).stack_key != DEFAULT.stack_key


def test_names_within_a_grid_are_distinct():
    grid = itertools.product(
        ("bp", "fa", "dfa", "oracle"), range(5), (42, 123), (0, 0.01), (0, 1e-12, 1e-6), REDUCTIONS
    )
    names = ("rule", "k", "seed", "penalty", "credit_eps", "credit_reduction")
    runs = [RunSpec(**dict(zip(names, point, strict=True))) for point in grid]
    assert (
        len({run_name(one, {}) for one in runs})
        == len({one.spec_hash for one in runs})
        == len(runs)
    )


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


# ------------------------------------------------------------------ what a rule does not read

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


def test_dfa_beside_bridges_is_one_run_whatever_the_grid_varies():
    grid = [RunSpec(rule=r, tgw=t, device="cpu") for r in ("dfa", "credit_bridge") for t in (1, 4)]
    runs = [resolve(one) for one in grid]
    assert [one.tgw for one in runs] == [1.0, 1.0, 1.0, 4.0]
    assert len({one.spec_hash for one in runs}) == 3


def test_alpha_is_of_phi_alone():
    for activation, alpha in (("gelu", RunSpec.alpha), ("phi", 0.25)):
        one = resolve(RunSpec(activation=activation, alpha=0.25, device="cpu"))
        assert one.alpha == alpha
    assert RunSpec(activation="phi", alpha=0).stack_key == RunSpec(activation="phi").stack_key
    assert RunSpec(activation="phi").stack_key != RunSpec().stack_key
    assert RunSpec(terminal_norm=False).stack_key != RunSpec().stack_key


# ------------------------------------------------------------------ what is refused

NOT_WHOLE = "is not a whole number"
NOT_NUMBER = "is not a number"
NOT_BOOL = "is not true or false"
NOT_FINITE = "is not finite: pass a finite number"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("k", 5, "k=5 exceeds depth=4: .* between 0 and 4"),
        ("k", "5", "k=5 exceeds depth=4"),
        ("depth", 3, "k=4 exceeds depth=3"),
        ("k", -1, "k=-1 is too small: pass at least 0"),
        ("seed", -1, "seed=-1 is too small"),
        ("width", 0, "width=0 is too small: pass at least 1"),
        ("epochs", "0", "epochs=0 is too small"),
        ("batch_size", 0, "batch_size=0 is too small"),
        ("measure_samples", 1, "measure_samples=1 is too small: pass at least 2"),
        ("lr", -1e-3, "lr=-0.001 is too small: pass at least 0"),
        ("penalty", "-0.5", "penalty=-0.5 is too small"),
        ("lr", "nan", f"lr=nan {NOT_FINITE}"),
        ("lr", float("nan"), f"lr=nan {NOT_FINITE}"),
        ("clip", "inf", f"clip=inf {NOT_FINITE}"),
        ("clip", float("-inf"), f"clip=-inf {NOT_FINITE}"),
        ("penalty", "1e999", f"penalty=1e999 {NOT_FINITE}"),
        ("lr", "abc", f"lr='abc' {NOT_NUMBER}"),
        ("lr", "", f"lr='' {NOT_NUMBER}"),
        ("lr", None, f"lr=None {NOT_NUMBER}"),
        ("lr", True, f"lr=True {NOT_NUMBER}"),
        ("lr", 10**400, NOT_NUMBER),
        ("lr", [0.1], NOT_NUMBER),
        ("alpha", 1.5, "alpha=1.5 is too large: pass at most 1"),
        ("alpha", "-0.1", "alpha=-0.1 is too small: pass at least 0"),
        ("warmup_ratio", 2, "warmup_ratio=2.0 is too large: pass at most 1"),
        ("ema", 1.01, "ema=1.01 is too large"),
        ("estimator_depth", 1, "estimator_depth=1 is too small: pass at least 2"),
        ("code", "et", "unknown code 'et': choose from eT, deltaL"),
        ("code", "deltal", "unknown code 'deltal': did you mean 'deltaL'?"),
        ("activation", "tanh", "unknown activation 'tanh': choose from gelu, phi"),
        ("k", 3.5, f"k=3.5 {NOT_WHOLE}"),
        ("k", "3.5", f"k='3.5' {NOT_WHOLE}"),
        ("k", 3.0, f"k=3.0 {NOT_WHOLE}"),
        ("k", "three", f"k='three' {NOT_WHOLE}"),
        ("k", "", f"k='' {NOT_WHOLE}"),
        ("k", None, f"k=None {NOT_WHOLE}"),
        ("k", True, f"k=True {NOT_WHOLE}"),
        ("k", float("nan"), f"k=nan {NOT_WHOLE}"),
        ("seed", "1,2", f"seed='1,2' {NOT_WHOLE}"),
        ("augment", "yes", f"augment='yes' {NOT_BOOL}"),
        ("augment", 1, f"augment=1 {NOT_BOOL}"),
        ("augment", "0", f"augment='0' {NOT_BOOL}"),
        ("augment", "", f"augment='' {NOT_BOOL}"),
        ("augment", None, f"augment=None {NOT_BOOL}"),
        ("rule", "", "rule='' is not a name"),
        ("rule", None, "rule=None is not a name"),
        ("rule", 3, "rule=3 is not a name"),
        ("device", "", "device='' is not a name"),
        ("dataset", "", "dataset='' is not a name"),
        ("dataset", "cifar", "unknown dataset 'cifar': did you mean 'cifar10'?"),
        ("dataset", "imagenet", "unknown dataset 'imagenet': choose from cifar10, fashion"),
        ("precision", "fp16", "unknown precision 'fp16': did you mean 'fp"),
        ("credit_reduction", "average", "unknown credit_reduction 'average': choose from publ"),
        ("credit_reduction", "Sum", "unknown credit_reduction 'Sum': did you mean 'sum'?"),
        ("learning_rate", 1, "unknown parameter 'learning_rate'"),
        ("sede", 1, "unknown parameter 'sede': did you mean 'seed'?"),
        ("epoch", 1, "unknown parameter 'epoch': did you mean 'epochs'?"),
        ("schema", "1", "unknown parameter 'schema'"),
        ("name", "x", "unknown parameter 'name'"),
        ("", 1, "unknown parameter ''"),
    ],
)
def test_bad_values_are_refused_in_one_line_that_names_them(name, value, message):
    with pytest.raises(CreditError, match=message.replace("?", r"\?")) as caught:
        RunSpec.from_mapping({name: value})
    assert "\n" not in str(caught.value)


@patient
@given(st.sampled_from(sorted(FIELDS)), st.text())
def test_any_text_is_a_value_or_refused_by_name(name, text):
    refusal, one = "", None
    try:
        one = RunSpec.from_mapping({name: text})
    except CreditError as error:
        refusal = str(error)
    assert name in refusal if one is None else RunSpec.from_mapping(one.to_params()) == one


def test_a_refused_value_is_refused_by_the_constructor_too():
    with pytest.raises(CreditError, match="k=7 exceeds depth=4"):
        RunSpec(k=7)
    with pytest.raises(CreditError, match="epochs='x'"):
        RunSpec(epochs="x")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [(bool, "TRUE", True), (int, "07", 7), (float, "1e-3", 0.001), (str, "a b", "a b")],
)
def test_parse_value(kind, value, expected):
    parsed = parse_value("x", kind, value)
    assert parsed == expected and type(parsed) is kind


def test_every_field_says_what_it_is():
    for field in FIELDS.values():
        assert field.metadata["help"] and type(field.default) is TYPES[field.name]


REFUSED = [
    ({"rule": "vector_field", "precision": "bf16"}, "precision=bf16 drowns"),
    ({"rule": "credit_bridge", "credit_reduction": "mean"}, "credit_reduction=mean does not suit"),
    ({"rule": "state_bridge", "batch_size": 3}, "batch_size=3 is below depth=4"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=lambda v: str(v)[:40])
def test_what_a_rule_cannot_do_is_refused_in_one_line(fields, message):
    with pytest.raises(CreditError, match=message) as refusal:
        resolve(RunSpec(device="cpu", **fields))
    assert "\n" not in str(refusal.value)

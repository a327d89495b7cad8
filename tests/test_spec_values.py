"""Values of a RunSpec that are refused, in one line that names them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit.errors import CreditError
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from tests.specs import FIELDS, patient
from tests.traps import refused


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("k", [5, "5"], ["k=5", "depth=4"]),
        ("depth", [3], ["k=4", "depth=3"]),
        *((name, [-1, "-1"], [f"{name}=-1", "at least 0"]) for name in ("k", "seed")),
        *((n, [0, "0"], [f"{n}=0", "at least 1"]) for n in ("width", "epochs", "batch_size")),
        ("measure_samples", [1], ["measure_samples=1", "at least 2"]),
        ("estimator_depth", [1], ["estimator_depth=1", "at least 2"]),
        *((name, [-0.5, "-0.5"], [f"{name}=-0.5", "at least 0"]) for name in ("lr", "penalty")),
        *((n, [1.5, "1.5"], [f"{n}=1.5", "at most 1"]) for n in ("alpha", "warmup_ratio", "ema")),
        ("lr", ["nan", math.nan, "inf", -math.inf, "1e999"], ["lr=", "is not finite"]),
        ("lr", ["abc", "", None, True, 10**400, [0.1]], ["lr=", "is not a number"]),
        (
            "k",
            [3.5, "3.5", 3.0, "three", "", None, True, math.nan, "1,2"],
            ["k=", "not a whole nu"],
        ),
        ("augment", ["yes", 1, "0", "", None], ["augment=", "is not true or false"]),
        ("rule", ["", None, 3], ["rule=", "is not a name"]),
        *((name, [""], [f"{name}=''", "is not a name"]) for name in ("device", "dataset", "start")),
        ("code", ["et"], ["'et'", "eT, deltaL"]),
        ("code", ["deltal"], ["'deltal'", "'deltaL'"]),
        ("activation", ["sine"], ["'sine'", "gelu, phi"]),
        ("dataset", ["cifar"], ["'cifar'", "'cifar10'"]),
        ("precision", ["fp16"], ["'fp16'", "'fp"]),
        ("credit_reduction", ["average"], ["'average'", "mean, sum"]),
        ("credit_reduction", ["Sum"], ["'Sum'", "'sum'"]),
        *((name, [1], [f"'{name}'"]) for name in ("learning_rate", "schema", "name", "")),
        ("sede", [1], ["'sede'", "'seed'"]),
    ],
)
def test_bad_values_are_refused_in_one_line_that_names_them(name, values, words):
    for value in values:
        refused(lambda v=value: RunSpec.from_mapping({name: v}), *words)


@patient
@given(st.sampled_from(sorted(FIELDS)), st.text())
def test_any_text_is_a_value_or_refused_by_name(name, text):
    refusal, one = "", None
    try:
        one = RunSpec.from_mapping({name: text})
    except CreditError as error:
        refusal = str(error)
    assert name in refusal if one is None else RunSpec.from_mapping(one.to_params()) == one


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rule": "vector_field", "precision": "bf16"}, "precision=bf16"),
        ({"rule": "credit_bridge", "credit_reduction": "mean"}, "credit_reduction=mean"),
        ({"rule": "state_bridge", "batch_size": 3}, "batch_size=3"),
        ({"rule": "bp", "precision": "tf32"}, "precision=tf32"),
    ],
)
def test_what_a_rule_or_a_device_cannot_do_is_refused(fields, named):
    refused(lambda: resolve(RunSpec(device="cpu", **fields)), named)

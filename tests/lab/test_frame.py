"""Frames and factors: labels both ways, and refusals of means that mean nothing."""

import pytest

from credit.errors import CreditError
from credit.lab import Factor, Frame, Undecided
from credit.lab.frame import finished, one_configuration
from credit.lab.quantity import ACCURACY, GAMMA, RHO, VALID
from credit.spec import RunSpec
from tests.lab.made import made

A = ACCURACY.metric
ARMS = Factor(
    "arm",
    {
        "scalar": {"rule": "credit_bridge"},
        "M4": {"rule": "vector_field", "field_directions": 4},
        "shuffle": {"rule": "vector_field", "field_directions": 4, "shuffle": "true"},
    },
)


@pytest.mark.parametrize("label", list(ARMS.levels))
def test_a_label_and_its_fields_are_one_table(label):
    run = vars(RunSpec.from_mapping(dict(ARMS[label])))
    assert ARMS.label(run) == label


def test_a_run_that_fits_no_level_has_its_rules_name():
    assert ARMS.label(vars(RunSpec(rule="dfa"))) == "dfa"
    assert ARMS.label(vars(RunSpec(rule="vector_field", field_directions=8))) == "vector_field"


def test_unknown_labels_are_refused():
    with pytest.raises(CreditError, match="M5"):
        _ = ARMS["M5"]
    with pytest.raises(CreditError, match="twice"):
        ARMS.chosen("arms", "M4,M4")
    assert ARMS.chosen("arms", "M4, scalar") == ["M4", "scalar"]


def test_labels_are_in_the_order_of_the_levels():
    assert ARMS.in_order(["shuffle", "zz", "scalar", "M4"]) == ["scalar", "M4", "shuffle", "zz"]
    assert Factor("k").in_order([10, 2, 0]) == [0, 2, 10]


def test_of_two_finished_runs_with_the_same_settings_the_newer_counts():
    runs = made({A: 0.1, "started": 1}, {A: 0.2, "started": 2}, {A: 0.3, "status": "RUNNING"})
    assert finished(runs)[A].tolist() == [0.2]


def test_runs_that_differ_in_more_than_the_seed_have_no_mean():
    one_configuration(made({"seed": 1}, {"seed": 2, "device": "cuda"}))
    with pytest.raises(CreditError, match="width"):
        one_configuration(made({"width": 8}, {"width": 16}))
    with pytest.raises(CreditError, match="credit_reduction"):
        one_configuration(made({}, {"credit_reduction": "sum"}))


def test_samples_are_by_seed_and_say_what_is_missing():
    frame = Frame(made({"rule": "fa", A: [0.3, 0.1]}), (Factor("rule"),))
    assert frame.sample("fa", ACCURACY) == {1: 0.3, 2: 0.1}
    with pytest.raises(Undecided, match="dfa"):
        frame.where(["dfa"])
    frame = Frame(made({"rule": "fa", "status": "RUNNING", A: 0.1}), (Factor("rule"),))
    with pytest.raises(Undecided, match="finished"):
        frame.sample("fa", ACCURACY)


def test_losses_are_not_compared_where_the_reference_is_not_valid():
    runs = made({RHO.metric: 0.5, GAMMA.metric: 0.5, VALID: [0.0, 1.0]})
    assert RHO.values(runs).isna().tolist() == [True, False]
    assert GAMMA.values(runs).tolist() == [0.5, 0.5]


def test_numbers_as_people_read_them():
    assert [GAMMA.text(value) for value in (0.6151, 1.0)] == [".615", "1.000"]
    assert [GAMMA.text(value, "+") for value in (-0.02, 0.1)] == ["-.020", "+.100"]
    assert ACCURACY.points.text(0.0204, "+") == "+2.0 points"

"""When verdicts fire and how far bounds could move, on made-up runs; fresh feedback."""

import math

import pandas as pd
import pytest
import torch

from credit import rules
from credit.experiments.protocol import D1_FIRES, D2_FIRES, EXPERIMENT, thresholds, with_fires
from credit.training import fresh
from tests.lab.made import made
from tests.rules.cases import SHAPE, new_params, new_state, spec, trace_of


class Histories:
    """Growth 1, 60, 70 of the first run at epochs 1, 2, 3; the second never leaves its bounds."""

    def history(self, run_ids, keys=None) -> pd.DataFrame:
        first, second = list(run_ids)[:2]
        rows = [
            (first, "growth/max", 1, 1.0),
            (first, "growth/max", 2, 60.0),
            (first, "growth/max", 3, 70.0),
            *((first, "grad_norm/h04", step, 1e-5) for step in (1, 2, 3)),
            (second, "growth/max", 1, 2.0),
            (second, "grad_norm/h04", 1, 0.1),
        ]
        return pd.DataFrame(rows, columns=["run_id", "key", "step", "value"])


def runs() -> pd.DataFrame:
    healthy = {"growth/max": 2.0, "grad_norm/h04": 0.1, "accuracy/test": 0.6}
    ill = {"growth/max": 700.0, "grad_norm/h04": 1e-6, "accuracy/test": 0.3}
    return made({"rule": "dfa", "k": 4, **ill}, {"rule": "bp", "k": 4, **healthy})


def test_the_first_epoch_beyond_a_bound_is_found():
    found = with_fires(runs(), Histories())  # pyright: ignore[reportArgumentType]
    d1, d2 = (found[quantity.metric].tolist() for quantity in (D1_FIRES, D2_FIRES))
    assert (d1[0], d2[0]) == (2, 1) and math.isnan(d1[1]) and math.isnan(d2[1])


def test_a_bound_may_move_between_what_passes_and_what_fails():
    frame = EXPERIMENT.frame(runs(), Histories())  # pyright: ignore[reportArgumentType]
    table = thresholds(frame).set_index("check")
    assert table.loc["D1", ["from", "to"]].tolist() == [2.0, 700.0]
    assert table.loc["D2", ["from", "to"]].tolist() == [1e-6, 0.1]


@pytest.mark.parametrize("name", ["fa", "dfa", "drtp"])
def test_under_fresh_feedback_credit_is_that_of_another_draw(name):
    """By hand: the mean cosine of the rule's credit with the state of another generator."""
    rule, one, state = rules.get(name), spec(name), new_state(name)
    params = new_params()
    exact = trace_of(rules.get("oracle"), params).hidden_grads
    trace = trace_of(rule, params)
    found = fresh.alignment(one, SHAPE, state, trace, exact)["fresh/deep_inner"]
    drawn = rule.init(one, SHAPE, fresh.generator(one.seed, "fresh feedback"))
    credits = rule.credit({k: v.double() for k, v in drawn.items()}, trace)
    cosines = [
        torch.cosine_similarity(credits[layer], exact[layer], dim=-1, eps=0).mean()
        for layer in range(1, SHAPE.depth)
    ]
    assert math.isclose(found, float(sum(cosines) / len(cosines)), abs_tol=1e-9)
    own = rule.credit(state, trace)
    assert not torch.allclose(own[1], credits[1])


@pytest.mark.parametrize("name", ["bp", "state_bridge", "kolen_pollack"])
def test_rules_without_fixed_feedback_have_none(name):
    state = new_state(name)
    trace = trace_of(rules.get(name), new_params())
    assert fresh.alignment(spec(name), SHAPE, state, trace, trace.hiddens) == {}

"""A value that is not valid is absent and says why; a report depends on its run alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from credit import measures
from credit.errors import CreditError
from credit.measures import alignment, perturbation, validity
from credit.measures.base import Options, Report, sample_losses
from credit.networks import base, resmlp
from credit.spec import RunSpec
from tests.measures.made import (
    DEPTH,
    NETWORK,
    QUICK,
    SAMPLES,
    WIDTH,
    batch,
    column,
    draw,
    exact,
    noisy,
    one_run,
    report,
)


def test_floor_is_stated_per_sample_and_moves_with_the_precision():
    assert validity.sample_floor(1e-7, torch.float32) == pytest.approx(1.024e-4)
    ratio = validity.sample_floor(1e-7, torch.float64) / validity.sample_floor(1e-7, torch.float32)
    assert ratio == 2.0**-29


def test_float64_takes_over_where_float32_swallows_the_steps():
    """|h| ~ 1e9: in float32, h + eps v == h."""
    huge, data = one_run(7, torch.float32, embed_scale=1e9), batch(torch.float32)
    relative = Options(relative_steps=True, directions=4)
    for options, precision, least in ((QUICK, "float64", 0.999), (relative, "float32", 0.99)):
        (result,) = report(exact, runs=[huge], data=data, options=options)
        for what in ("rho", "nudge"):
            assert set(column(result, f"{what}_status")) == {"ok"}
            assert set(column(result, f"{what}_precision")) == {precision}
        assert min(column(result, "rho")) > least
        assert max(column(result, "nudge")) < 0


@pytest.mark.parametrize("scale", [1e3, 1e4, 1e5, 1e6])
def test_rho_is_the_same_number_in_both_precisions(scale):
    """Between |h| ~ 1e3 and 1e6 float32 would silently attenuate rho, down to 0."""
    options = Options(directions=16)
    single = one_run(7, torch.float32, embed_scale=scale)
    double = {name: tensor.double() for name, tensor in single.items()}
    x, y = batch(torch.float32)
    (low,) = report(noisy, runs=[single], data=(x, y), options=options)
    (high,) = report(noisy, runs=[double], data=(x.double(), y), options=options)
    assert set(column(low, "rho_precision")) == {"float32" if scale == 1e3 else "float64"}
    assert column(low, "rho") == pytest.approx(column(high, "rho"), abs=0.04)


def test_steps_that_no_precision_resolves_have_no_number():
    """|h| ~ 1e18 in float64: h + eps v == h."""
    (result,) = report(exact, runs=[one_run(7, embed_scale=1e18)])
    assert set(column(result, "rho_status")) == {"spread_zero"}
    assert set(column(result, "nudge_status")) == {"step_lost"}
    (zero_step,) = report(exact, options=Options(4, direction_eps=0.0, nudge_eta=0.0))
    assert set(column(zero_step, "rho_status")) == {"spread_zero"}
    assert set(column(zero_step, "nudge_status")) == {"step_lost"}
    for found in (result, zero_step):
        assert not any(name.startswith(("rho/", "nudge/")) for name in found.metrics)


def test_rho_that_the_exact_gradient_fails_is_unresolved():
    """Steps far beyond the linear range: the table keeps the value, the metric is absent."""
    (result,) = report(noisy, options=Options(directions=16, direction_eps=100.0))
    assert set(column(result, "rho_status")) == {"unresolved"}
    assert all(g < perturbation.RESOLVED for g in column(result, "rho_g"))
    assert all(rho is not None for rho in column(result, "rho"))
    assert not any(name.startswith("rho/") for name in result.metrics)


def test_zero_credit_is_reported_not_scored():
    (result,) = report(lambda *a: [torch.zeros_like(g) for g in exact(*a)])
    assert set(column(result, "status")) == {"credit_zero"}
    assert set(column(result, "rho_status")) == {"spread_zero"}
    assert set(column(result, "nudge_status")) == {"credit_zero"}
    assert column(result, "alignment_undefined") == [SAMPLES] * (DEPTH + 1)
    assert column(result, "rho_g") == pytest.approx([1.0] * (DEPTH + 1), abs=1e-4)
    assert not any(n.startswith(("alignment", "rho", "nudge")) for n in result.metrics)
    assert result.metrics["credit_norm/h00"] == 0.0
    assert result.metrics["valid/reference"] == 1.0


def test_samples_without_credit_are_left_out_and_counted():
    def partly(*args):
        credits = [g.clone() for g in exact(*args)]
        for a in credits:
            a[:, :5] = 0
        return credits

    (result,) = report(partly)
    assert column(result, "alignment_undefined") == [5] * (DEPTH + 1)
    assert result.metrics["alignment/deep"] == pytest.approx(1.0)
    assert column(result, "nudge_status") == ["ok"] * (DEPTH + 1)


def test_a_run_that_is_not_finite_reports_so_and_leaves_the_others_alone():
    broken = one_run(7)
    broken["blocks.1.fc2.bias"][0] = math.inf
    alone = report(noisy, seeds=(5,))[0]
    sick, well = report(noisy, seeds=(7, 5), runs=[broken, one_run(5)])
    assert column(sick, "status")[-1] == "not_finite"
    assert column(sick, "rho_status")[-1] == "not_finite"
    assert column(sick, "nudge_status")[-1] == "not_finite"
    assert sick.metrics["valid/reference"] == 0.0
    assert "growth/max" not in sick.metrics
    assert all(math.isfinite(v) for v in sick.metrics.values())
    assert well.metrics == pytest.approx(alone.metrics, rel=1e-8)


def test_means_over_layers_need_every_layer():
    whole = Report()
    whole.add_means("rho", [None, 0.5, 0.1])
    assert whole.metrics == {"rho/deep": pytest.approx(0.3)}
    holed = Report()
    holed.add_means("rho", [0.5, 0.5, None])
    holed.add("rho/h02", None)
    holed.add("rho/h03", math.nan)
    assert holed.metrics == {}


def test_a_report_does_not_depend_on_who_shares_the_stack():
    seeds = (42, 123, 42)
    runs = [one_run(42), one_run(123), one_run(9)]
    together = report(noisy, seeds=seeds, runs=runs)
    for seed, run, shared in zip(seeds, runs, together, strict=True):
        (alone,) = report(noisy, seeds=(seed,), runs=[run])
        assert shared.metrics == pytest.approx(alone.metrics, rel=1e-7)
        assert column(shared, "status") == column(alone, "status")


@pytest.mark.usefixtures("no_global_generator")
def test_runs_of_one_seed_share_their_directions():
    first, same, other = report(noisy, seeds=(42, 42, 43), runs=[one_run(1)] * 3)
    assert same.layers == first.layers
    assert other.metrics["rho/h01"] != pytest.approx(first.metrics["rho/h01"], rel=1e-6)
    assert other.metrics["alignment/h01"] == pytest.approx(first.metrics["alignment/h01"])


def test_credit_may_use_autograd():
    """Learned rules differentiate their estimator: the ambient gradient mode is theirs."""
    _, y = batch()
    params = base.stacked([one_run(7)])

    def by_autograd(run, error, hidden_grads):
        credits = []
        for layer, h in enumerate(run.hiddens):
            leaf = h.detach().requires_grad_()
            loss = sample_losses(resmlp.tail(params, leaf, layer), y).sum()
            credits.append(torch.autograd.grad(loss, leaf)[0])
        return credits

    (result,) = report(by_autograd)
    assert result.metrics["alignment/all"] == pytest.approx(1.0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([torch.float32, torch.float64]))
def test_flipping_the_credit_flips_every_direction(key, dtype):
    credits = draw(DEPTH + 1, 1, SAMPLES, WIDTH, key=key, dtype=dtype)
    (up,) = report(lambda *_: list(credits), dtype=dtype)
    (down,) = report(lambda *_: list(-credits), dtype=dtype)
    for name in up.metrics:
        if name.startswith(("alignment", "rho")):
            assert down.metrics[name] == pytest.approx(-up.metrics[name], abs=1e-6)


def test_measurements_are_found_by_module_name():
    assert list(measures.available()) == [
        *("alignment", "nudging", "perturbation", "relative", "scale")
    ]
    assert measures.available()["alignment"] is alignment.measure


def test_options_come_from_the_run_specification():
    spec = RunSpec(directions=5, nudge_eta=0.5, relative_steps=True)
    options = Options.from_spec(spec)
    assert options == Options(5, spec.direction_eps, 0.5, True, spec.reference_floor)
    assert Options() == Options.from_spec(RunSpec())


def test_impossible_requests_are_refused():
    params, (x, y) = base.stacked([one_run(7)]), batch()
    with pytest.raises(CreditError, match="2 seeds"):
        measures.measure(NETWORK, params, x, y, exact, QUICK, [1, 2], [False])
    with pytest.raises(CreditError, match="must return 4 tensors"):
        measures.measure(NETWORK, params, x, y, lambda *a: exact(*a)[1:], QUICK, [1], [False])

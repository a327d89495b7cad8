"""Measurements against closed forms, in float64 unless the precision is the point."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from credit import measures
from credit.errors import CreditError
from credit.measures import alignment, perturbation, validity, vectors
from credit.measures.base import Options, Report, sample_losses
from credit.networks import resmlp
from credit.randomness import generator
from credit.spec import RunSpec

D_IN, WIDTH, CLASSES, DEPTH, SAMPLES = 12, 16, 5, 3, 48
QUICK = Options(directions=4)


def draw(*shape, key=0, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(key, "test"), dtype=dtype)


def one_run(seed, dtype=torch.float64, embed_scale=1.0):
    """A network whose blocks do something: fc2 far from its near-zero initialisation."""
    params = resmlp.init(D_IN, WIDTH, CLASSES, DEPTH, generator(seed, "init"), dtype)
    for block in range(DEPTH):
        params[f"blocks.{block}.fc2.weight"] *= 30
    params["embed.weight"] *= embed_scale
    params["embed.bias"] *= embed_scale
    return params


def batch(dtype=torch.float64, n=SAMPLES):
    labels = torch.randint(0, CLASSES, (n,), generator=generator(0, "labels"))
    return draw(n, D_IN, dtype=dtype), labels


def exact(run, error, grad_out, hidden_grads):
    return hidden_grads


def noisy(run, error, grad_out, hidden_grads):
    """The gradient plus noise of the same size; the noise is the same whatever the stack."""
    size = [g.norm(dim=-1, keepdim=True) / WIDTH**0.5 for g in hidden_grads]
    noise = [draw(*g.shape[1:], key=i).to(g) for i, g in enumerate(hidden_grads)]
    return [g + 0.8 * s * e for g, s, e in zip(hidden_grads, size, noise, strict=True)]


def report(credit_of, seeds=(7,), options=QUICK, runs=None, data=None, dtype=torch.float64):
    runs = runs or [one_run(seed, dtype) for seed in seeds]
    x, y = data or batch(dtype)
    return measures.measure(
        resmlp.stack(runs), x, y, credit_of, options, seeds, [False] * len(seeds)
    )


def column(result, name):
    return [row[name] for row in result.layers]


# --- the reference -------------------------------------------------------------------------------


def test_hidden_gradients_equal_autograd():
    params, (x, y) = resmlp.stack([one_run(1), one_run(2)]), batch()
    run = resmlp.forward(params, x)
    exact_grads = resmlp.hidden_gradients(params, run, resmlp.output_error(run.logits, y))
    for layer, h in enumerate(run.hiddens):
        leaf = h.detach().requires_grad_()
        sample_losses(resmlp.tail(params, leaf, layer), y).sum().backward()
        torch.testing.assert_close(exact_grads[layer], leaf.grad, rtol=1e-10, atol=1e-13)


def test_sample_losses_are_cross_entropy():
    logits, labels = draw(2, 6, CLASSES), torch.tensor([0, 1, 2, 3, 4, 0])
    want = torch.stack([F.cross_entropy(z, labels, reduction="none") for z in logits])
    torch.testing.assert_close(sample_losses(logits, labels), want)


# --- vectors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-25, 1e-12, 1.0, 1e8, 1e30])
def test_norm_and_cosine_hold_at_any_scale_in_float32(scale):
    a, b = draw(20, 64, key=1), draw(20, 64, key=2)
    want_cos = (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))
    small_a, small_b = (a * scale).float(), (b * scale).float()
    rtol = 1e-4 if scale > 1e-37 else 1e-2  # subnormal entries have few digits left
    torch.testing.assert_close(
        vectors.cosine(small_a, small_b).double(), want_cos, rtol=rtol, atol=rtol / 10
    )
    torch.testing.assert_close(vectors.norm(small_a), a.norm(dim=-1) * scale, rtol=rtol, atol=0)


def test_the_library_cosine_would_have_been_wrong_at_published_gradients():
    g = draw(4, 64, dtype=torch.float32) * 1e-12
    assert (F.cosine_similarity(g, g, dim=-1) < 0.01).all()
    torch.testing.assert_close(vectors.cosine(g, g), torch.ones(4))


def test_a_vector_without_direction_has_no_cosine():
    a = torch.tensor([[0.0, 0.0], [1.0, 0.0], [math.inf, 1.0], [math.nan, 1.0]])
    cos = vectors.cosine(a, torch.ones(4, 2))
    assert cos.isnan().tolist() == [True, False, True, True]
    assert vectors.norm(a)[:2].tolist() == [0.0, 1.0]


pair = st.tuples(*[st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4)] * 2).filter(
    lambda ab: max(map(abs, ab[0])) > 1e-3 and max(map(abs, ab[1])) > 1e-3
)


@given(pair, st.integers(-80, 80))
def test_cosine_laws(ab, exponent):
    a, b = (torch.tensor(v, dtype=torch.float32) for v in ab)
    cos = vectors.cosine(a, b)
    assert abs(cos) <= 1
    assert vectors.cosine(-a, b) == -cos
    assert vectors.cosine(b, a) == cos
    # a power of two changes no digit, down to where entries become subnormal
    assert abs(vectors.cosine(a * 2.0**exponent, b) - cos) < 1e-6
    assert abs(vectors.norm(a * 2.0**exponent) - vectors.norm(a) * 2.0**exponent) <= (
        1e-6 * 2.0**exponent
    )


# --- alignment -----------------------------------------------------------------------------------


def test_exact_credit_has_alignment_one_and_its_negative_minus_one():
    (up,) = report(exact)
    (down,) = report(lambda *a: [-g for g in exact(*a)])
    names = [f"alignment/h{layer:02d}" for layer in range(DEPTH + 1)]
    names += ["alignment/deep", "alignment/all", "alignment/deep_inner"]
    assert [up.metrics[name] for name in names] == pytest.approx([1.0] * len(names), abs=1e-12)
    assert [down.metrics[name] for name in names] == pytest.approx([-1.0] * len(names), abs=1e-12)
    assert column(up, "status") == ["ok"] * (DEPTH + 1)
    assert column(up, "alignment_g") == pytest.approx([1.0] * (DEPTH + 1))
    assert column(up, "alignment_neg_g") == pytest.approx([-1.0] * (DEPTH + 1))
    assert up.metrics["valid/reference"] == 1.0


def test_a_cosine_that_is_one_within_float_error_is_logged_as_one():
    given = (0.99999997, -0.9999994, 0.99999, 0.3, 1.0, float("nan"))
    assert [alignment.cosine_number(v) for v in given] == [1.0, -1.0, 0.99999, 0.3, 1.0, None]


def test_random_credit_has_mean_zero_and_deviation_one_over_root_d():
    (result,) = report(exact, data=batch(n=4000), options=Options(directions=1))
    for row in result.layers:
        assert abs(row["alignment_random"]) < 4 / (WIDTH * 4000) ** 0.5
        assert row["alignment_random_std"] == pytest.approx(WIDTH**-0.5, rel=0.05)
        assert row["alignment_std"] == pytest.approx(0, abs=1e-9)


def test_alignment_is_the_mean_over_samples_of_cosines_of_one_sample_gradients():
    params, (x, y) = one_run(7), batch()
    credits = draw(DEPTH + 1, SAMPLES, WIDTH, key=5)
    (result,) = report(lambda *_: [a.unsqueeze(0) for a in credits], runs=[params])
    run = resmlp.forward(params, x)
    for layer in range(DEPTH + 1):
        cos = []
        for n in range(SAMPLES):
            h = run.hiddens[layer][n : n + 1].detach().requires_grad_()
            loss = F.cross_entropy(resmlp.tail(params, h, layer), y[n : n + 1])
            (grad,) = torch.autograd.grad(loss, h)
            cos.append(F.cosine_similarity(grad[0], credits[layer, n], dim=0, eps=0).item())
        row, cos = result.layers[layer], torch.tensor(cos, dtype=torch.float64)
        assert row["alignment_mean"] == pytest.approx(cos.mean().item(), abs=1e-10)
        assert row["alignment_median"] == pytest.approx(cos.quantile(0.5).item(), abs=1e-10)
        assert row["alignment_std"] == pytest.approx(cos.std(correction=0).item(), abs=1e-10)
        assert result.metrics[f"alignment/h{layer:02d}"] == row["alignment_mean"]
    means = column(result, "alignment_mean")
    assert result.metrics["alignment/deep"] == pytest.approx(sum(means[1:]) / DEPTH)
    assert result.metrics["alignment/all"] == pytest.approx(sum(means) / (DEPTH + 1))
    assert result.metrics["alignment/deep_inner"] == pytest.approx(sum(means[1:-1]) / (DEPTH - 1))


def test_credit_that_is_exact_by_construction_is_marked_at_the_last_layer_only():
    params, (x, y) = resmlp.stack([one_run(7), one_run(7)]), batch()
    fa, dfa = measures.measure(params, x, y, noisy, QUICK, [7, 7], [True, False])
    assert column(fa, "exact_by_construction") == [False] * DEPTH + [True]
    assert not any(column(dfa, "exact_by_construction"))


def test_duplicating_the_batch_changes_nothing():
    x, y = batch()

    def fixed(run, error, grad_out, hidden_grads):
        mix = draw(CLASSES, WIDTH, key=9)
        return [error @ mix for _ in hidden_grads]

    (once,) = report(fixed, data=(x, y))
    (twice,) = report(fixed, data=(x.repeat(2, 1), y.repeat(2)))
    same = [name for name in once.metrics if not name.startswith("rho")]
    assert len(same) >= 5 * (DEPTH + 1)
    for name in same:  # rho draws other directions for other samples
        assert twice.metrics[name] == pytest.approx(once.metrics[name], rel=1e-9, abs=1e-13), name


# --- rho -----------------------------------------------------------------------------------------


def test_rho_of_the_gradient_tends_to_one_as_the_step_shrinks():
    gaps = []
    for eps in (0.4, 0.2, 0.1):
        (result,) = report(exact, options=Options(directions=16, direction_eps=eps))
        gaps.append(1 - result.metrics["rho/deep"])
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[1] / gaps[2] == pytest.approx(4, rel=0.25)  # second order in eps
    (result,) = report(exact, options=Options(directions=16, direction_eps=1e-5))
    assert column(result, "rho") == pytest.approx([1.0] * (DEPTH + 1), abs=1e-8)
    assert column(result, "rho_neg_g") == pytest.approx([-1.0] * (DEPTH + 1), abs=1e-8)


def test_rho_of_a_mixture_is_the_pooled_cosine():
    """For isotropic v, corr(<a, v>, <g, v>) = sum <a, g> / sqrt(sum |a|^2 sum |g|^2)."""
    kept = {}

    def mixture(run, error, grad_out, hidden_grads):
        kept["a"], kept["g"] = noisy(run, error, grad_out, hidden_grads), hidden_grads
        return kept["a"]

    options = Options(directions=600, direction_eps=1e-5)
    (result,) = report(mixture, options=options)
    for layer, (a, g) in enumerate(zip(kept["a"], kept["g"], strict=True)):
        want = float((a * g).sum() / (a.norm() * g.norm()))
        assert 0.5 < want < 0.95
        # 28,800 pairs of directions and samples: standard error below .006
        assert result.metrics[f"rho/h{layer:02d}"] == pytest.approx(want, abs=0.02)
    # norms of one size make that the mean cosine: the two readings of direction agree
    for row in result.layers:
        assert abs(row["rho_random"]) < 0.1
        assert abs(row["rho"] - row["alignment_mean"]) < 0.05


def test_rho_and_nudge_and_alignment_ignore_the_length_of_the_credit():
    (one,) = report(noisy)
    for factor in (1e-20, 1e12):
        (other,) = report(lambda *a, f=factor: [f * v for v in noisy(*a)])
        for name in one.metrics:
            if not name.startswith("credit_norm"):
                assert other.metrics[name] == pytest.approx(one.metrics[name], rel=1e-6), name


def test_pearson():
    a = draw(50, key=1)
    b = a + draw(50, key=2)
    want = torch.corrcoef(torch.stack([a, b]))[0, 1].item()
    assert perturbation.pearson(a, b) == pytest.approx(want)
    assert perturbation.pearson(1e-20 * a + 3e-19, -5 * b) == pytest.approx(-want)
    assert perturbation.pearson(a, torch.full_like(a, 0.1)) is None
    assert perturbation.pearson(torch.zeros_like(a), a) is None


def test_chunk_size_changes_no_number(monkeypatch):
    (many,) = report(noisy, options=Options(directions=7))
    monkeypatch.setitem(perturbation.CHUNK_ELEMENTS, "cpu", 1)
    (single,) = report(noisy, options=Options(directions=7))
    assert column(single, "rho") == pytest.approx(column(many, "rho"), abs=1e-10)


# --- nudge ---------------------------------------------------------------------------------------


def test_nudge_is_minus_eta_gradient_norm_times_cosine_to_first_order():
    kept = {}

    def mixture(*args):
        kept["a"], kept["g"] = noisy(*args), args[3]
        return kept["a"]

    residuals = {}
    for eta in (0.004, 0.002, 0.001):
        (result,) = report(mixture, options=Options(directions=1, nudge_eta=eta))
        for layer, (a, g) in enumerate(zip(kept["a"], kept["g"], strict=True)):
            first_order = -eta * float((g * F.normalize(a, dim=-1)).sum(-1).mean())
            value = result.metrics[f"nudge/h{layer:02d}"]
            assert value == pytest.approx(first_order, rel=0.02)
            assert value < 0
            residuals[layer, eta] = value - first_order
    for layer in range(DEPTH + 1):
        assert residuals[layer, 0.002] / residuals[layer, 0.001] == pytest.approx(4, rel=0.05)
        assert residuals[layer, 0.004] / residuals[layer, 0.002] == pytest.approx(4, rel=0.1)


def test_nudge_controls_bracket_the_rule():
    (result,) = report(noisy)
    for row in result.layers:
        assert row["nudge_g"] < row["nudge"] < 0 < row["nudge_neg_g"]
        assert abs(row["nudge_random"]) < abs(row["nudge_g"])


def test_relative_steps_scale_with_the_hidden_state():
    h0 = resmlp.embed(one_run(7), batch()[0]).norm(dim=-1)
    (absolute,) = report(exact, options=Options(directions=1, nudge_eta=1e-5))
    (relative,) = report(exact, options=Options(directions=1, nudge_eta=1e-5, relative_steps=True))
    ratio = relative.metrics["nudge/h00"] / absolute.metrics["nudge/h00"]
    assert h0.min() < ratio < h0.max()


# --- scale ---------------------------------------------------------------------------------------


def test_scale_and_growth_of_blocks_that_add_a_constant():
    params = one_run(7)
    for block in range(DEPTH):
        params[f"blocks.{block}.fc2.weight"].zero_()
        params[f"blocks.{block}.fc2.bias"].fill_(10.0**block)
    h = [resmlp.embed(params, batch()[0])]
    for block in range(DEPTH):
        h.append(h[-1] + 10.0**block)
    (result,) = report(lambda *a: [2 * g for g in exact(*a)], runs=[params])
    norms = [v.norm(dim=-1) for v in h]
    growth = [(norms[i + 1] / norms[i]).quantile(0.5).item() for i in range(DEPTH)]
    assert column(result, "growth")[:-1] == pytest.approx(growth)
    assert column(result, "growth")[-1] is None
    assert result.metrics["growth/max"] == pytest.approx(max(growth))
    for layer, norm in enumerate(norms):
        name = f"h{layer:02d}"
        assert result.metrics[f"hidden_norm/{name}"] == pytest.approx(norm.quantile(0.5).item())
        assert result.metrics[f"credit_norm/{name}"] == pytest.approx(
            2 * result.metrics[f"grad_norm/{name}"]
        )


# --- validity ------------------------------------------------------------------------------------


def test_floor_is_stated_per_sample_and_moves_with_the_precision():
    assert validity.sample_floor(1e-7, torch.float32) == pytest.approx(1.024e-4)
    ratio = validity.sample_floor(1e-7, torch.float64) / validity.sample_floor(1e-7, torch.float32)
    assert ratio == 2.0**-29


def test_vanished_reference_is_reported_not_scored():
    """|h| ~ 1e9, |g| ~ 1e-9: at the floor in float32, a number in float64."""
    huge = {d: one_run(7, d, embed_scale=1e9) for d in (torch.float32, torch.float64)}
    (single,) = report(exact, runs=[huge[torch.float32]], data=batch(torch.float32))
    (double,) = report(exact, runs=[huge[torch.float64]])
    assert set(column(single, "status")) == {"reference_at_floor"}
    assert single.metrics["valid/reference"] == 0.0
    assert not any(name.startswith("alignment/") for name in single.metrics)
    assert all(1e-12 < g < 1e-7 for g in column(single, "grad_norm"))
    assert column(single, "alignment_mean") == pytest.approx([1.0] * (DEPTH + 1), abs=1e-5)
    assert set(column(double, "status")) == {"ok"}
    assert double.metrics["alignment/deep"] == pytest.approx(1.0)


def test_float64_takes_over_where_float32_swallows_the_steps():
    """|h| ~ 1e9: in float32, h + eps v == h."""
    huge, data = one_run(7, torch.float32, embed_scale=1e9), batch(torch.float32)
    (result,) = report(exact, runs=[huge], data=data)
    for what in ("rho", "nudge"):
        assert set(column(result, f"{what}_status")) == {"ok"}
        assert set(column(result, f"{what}_precision")) == {"float64"}
    assert min(column(result, "rho")) > 0.999
    assert max(column(result, "nudge")) < 0
    relative = Options(relative_steps=True, directions=4)
    (result,) = report(exact, runs=[huge], data=data, options=relative)
    for what in ("rho", "nudge"):
        assert set(column(result, f"{what}_status")) == {"ok"}
        assert set(column(result, f"{what}_precision")) == {"float32"}
    assert min(column(result, "rho")) > 0.99
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


# --- the stack -----------------------------------------------------------------------------------


def test_a_report_does_not_depend_on_who_shares_the_stack():
    seeds = (42, 123, 42)
    runs = [one_run(42), one_run(123), one_run(9)]
    together = report(noisy, seeds=seeds, runs=runs)
    for seed, run, shared in zip(seeds, runs, together, strict=True):
        (alone,) = report(noisy, seeds=(seed,), runs=[run])
        assert shared.metrics == pytest.approx(alone.metrics, rel=1e-7)
        assert column(shared, "status") == column(alone, "status")


@pytest.mark.usefixtures("no_global_generator")
def test_measuring_leaves_the_global_generator_alone():
    (result,) = report(noisy)
    assert "rho/deep" in result.metrics


def test_runs_of_one_seed_share_their_directions():
    first, same, other = report(noisy, seeds=(42, 42, 43), runs=[one_run(1)] * 3)
    assert same.layers == first.layers
    assert other.metrics["rho/h01"] != pytest.approx(first.metrics["rho/h01"], rel=1e-6)
    assert other.metrics["alignment/h01"] == pytest.approx(first.metrics["alignment/h01"])


def test_credit_may_use_autograd():
    """Learned rules differentiate their estimator: the ambient gradient mode is theirs."""
    _, y = batch()
    params = resmlp.stack([one_run(7)])

    def by_autograd(run, error, grad_out, hidden_grads):
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
    assert list(measures.available()) == ["alignment", "nudging", "perturbation", "scale"]
    assert measures.available()["alignment"] is alignment.measure


def test_options_come_from_the_run_specification():
    spec = RunSpec(directions=5, nudge_eta=0.5, relative_steps=True)
    options = Options.from_spec(spec)
    assert options == Options(5, spec.direction_eps, 0.5, True, spec.reference_floor)
    assert Options() == Options.from_spec(RunSpec())


def test_impossible_requests_are_refused():
    params, (x, y) = resmlp.stack([one_run(7)]), batch()
    with pytest.raises(CreditError, match="2 seeds"):
        measures.measure(params, x, y, exact, QUICK, [1, 2], [False])
    with pytest.raises(CreditError, match="must return 4 tensors"):
        measures.measure(params, x, y, lambda *a: exact(*a)[1:], QUICK, [1], [False])


def test_two_measurements_may_not_share_a_name():
    one = Report({"rho/h00": 1.0}, [{"rho": 1.0}])
    with pytest.raises(CreditError, match="rename"):
        measures._merged([one, one])

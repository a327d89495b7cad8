"""Alignment, rho, nudge and scale against closed forms, in float64."""

import pytest
import torch
from torch.nn import functional as F

from credit import measures
from credit.measures import perturbation
from credit.measures.base import Options, sample_losses
from credit.networks import base, resmlp
from tests.measures.made import (
    CLASSES,
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


def test_sample_losses_are_cross_entropy():
    logits, labels = draw(2, 6, CLASSES), torch.tensor([0, 1, 2, 3, 4, 0])
    want = torch.stack([F.cross_entropy(z, labels, reduction="none") for z in logits])
    torch.testing.assert_close(sample_losses(logits, labels), want)


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
    params, (x, y) = base.stacked([one_run(7), one_run(7)]), batch()
    fa, dfa = measures.measure(NETWORK, params, x, y, noisy, QUICK, [7, 7], [True, False])
    assert column(fa, "exact_by_construction") == [False] * DEPTH + [True]
    assert not any(column(dfa, "exact_by_construction"))


def test_duplicating_the_batch_changes_nothing():
    x, y = batch()

    def fixed(run, error, hidden_grads):
        mix = draw(CLASSES, WIDTH, key=9)
        return [error @ mix for _ in hidden_grads]

    (once,) = report(fixed, data=(x, y))
    (twice,) = report(fixed, data=(x.repeat(2, 1), y.repeat(2)))
    same = [name for name in once.metrics if not name.startswith("rho")]
    assert len(same) >= 5 * (DEPTH + 1)
    for name in same:  # rho draws other directions for other samples
        assert twice.metrics[name] == pytest.approx(once.metrics[name], rel=1e-9, abs=1e-13), name


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

    def mixture(run, error, hidden_grads):
        kept["a"], kept["g"] = noisy(run, error, hidden_grads), hidden_grads
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


def test_chunk_size_changes_no_number(monkeypatch):
    (many,) = report(noisy, options=Options(directions=7))
    monkeypatch.setitem(perturbation.CHUNK_ELEMENTS, "cpu", 1)
    (single,) = report(noisy, options=Options(directions=7))
    assert column(single, "rho") == pytest.approx(column(many, "rho"), abs=1e-10)


def test_nudge_is_minus_eta_gradient_norm_times_cosine_to_first_order():
    kept = {}

    def mixture(*args):
        kept["a"], kept["g"] = noisy(*args), args[-1]
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

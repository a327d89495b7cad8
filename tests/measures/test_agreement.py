"""Where float64 finds another gradient there is no reference; how small it is does not matter."""

import pytest
import torch

from credit.lab import protocol
from credit.measures import agreement, scale, validity
from credit.measures.base import Options, Probe
from credit.networks import resmlp
from tests.measures.made import CLASSES, DEPTH, WIDTH, batch, column, draw, noisy, one_run, report

LAYERS = DEPTH + 1


def in_float32(**changes):
    """One run's parameters in float32, some of them replaced by a function of them."""
    params = one_run(7, torch.float32)
    for name, change in changes.items():
        key = name.replace("__", ".")
        params[key] = change(params[key])
    return params


def sure(labels):
    """A network that gives class 0 a probability of 1 - 1e-10, and labels that agree with it."""
    bias = torch.zeros(CLASSES).index_fill(0, torch.tensor([0]), 25.0)
    return in_float32(out_head__bias=lambda _: bias), torch.zeros_like(labels)


def in_both(params, x, y, credit_of=noisy, **more):
    double = {name: tensor.double() for name, tensor in params.items()}
    (single,) = report(credit_of, runs=[params], data=(x, y), **more)
    (exact,) = report(credit_of, runs=[double], data=(x.double(), y), **more)
    return single, exact


def test_a_gradient_of_1e_9_is_a_reference_where_float64_finds_it():
    huge = one_run(7, torch.float32, embed_scale=1e9)
    single, double = in_both(huge, *batch(torch.float32))
    assert all(1e-12 < g < 1e-7 for g in column(single, "grad_norm"))
    assert column(single, "grad_norm")[-1] < column(single, "reference_floor")[-1]
    assert set(column(single, "status")) == {"ok"}
    assert min(column(single, "agreement")) > 0.99999
    assert single.metrics["agreement/min"] == min(column(single, "agreement"))
    assert single.metrics["agreement/h01"] == column(single, "agreement")[1]
    assert single.metrics["valid/reference"] == 1.0
    for name in ("alignment/deep", "alignment/h00", "copy/deep"):
        assert single.metrics[name] == pytest.approx(double.metrics[name], abs=1e-4)


def test_a_gradient_that_float32_cancels_is_none():
    """e_T has p - 1 = -2e-10 at the label, which float32 rounds to 0 and float64 does not."""
    x, y = batch(torch.float32)
    params, labels = sure(y)
    single, double = in_both(params, x, labels)
    assert set(column(single, "status")) == {"reference_disagrees"}
    assert single.metrics["valid/reference"] == 0.0
    assert not [n for n in single.metrics if n.startswith(("alignment/", "copy/"))]
    assert None not in column(single, "alignment_mean")  # the table keeps the raw cosine
    assert set(column(double, "status")) == {"ok"} and double.metrics["valid/reference"] == 1.0
    # at h_L by hand: through the head and the derivative of LayerNorm
    grads = []
    for dtype in (torch.float32, torch.float64):
        own = {name: p.to(dtype) for name, p in params.items()}
        h = resmlp.forward(own, x.to(dtype)).hiddens[-1].requires_grad_()
        probability = resmlp.tail(own, h, DEPTH).softmax(-1)
        error = probability.detach().clone()
        error[:, 0] -= 1
        assert bool((error[:, 0] == 0).all()) == (dtype == torch.float32)
        logits = resmlp.tail(own, h, DEPTH)
        grads.append(torch.autograd.grad((logits * error).sum(), h)[0].double())
    cosines = torch.nn.functional.cosine_similarity(*(g / g.abs().max() for g in grads), dim=-1)
    assert cosines.median() < 0.95
    found = single.metrics[f"agreement/h{DEPTH:02d}"]
    assert found == pytest.approx(float(cosines.quantile(0.5)), abs=1e-4)


def test_a_gradient_that_float32_loses_agrees_with_nothing():
    lost = in_float32(out_head__weight=lambda w: 1e-37 * w)
    lost["embed.weight"] *= 1e10
    single, double = in_both(lost, *batch(torch.float32))
    assert column(single, "grad_norm")[-1] == 0 < column(double, "grad_norm")[-1]
    assert set(column(single, "status")) == {"reference_disagrees"}
    assert column(single, "agreement") == [0.0] * LAYERS
    assert set(column(double, "status")) == {"ok"}


def test_a_gradient_of_zero_is_none_in_any_precision():
    flat = in_float32(out_head__weight=torch.zeros_like)
    for found in in_both(flat, *batch(torch.float32)):
        assert set(column(found, "status")) == {"reference_zero"}
        assert column(found, "agreement") == [None] * LAYERS
        assert found.metrics["valid/reference"] == 0.0
        assert not any(n.startswith(("agreement", "alignment/")) for n in found.metrics)


def test_samples_count_where_either_gradient_has_a_direction():
    g = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    exact = torch.tensor([[2.0, 0.0], [0.0, 1e-300], [0.0, 0.0], [4.0, 3.0]], dtype=torch.float64)
    found = agreement.cosine(g, exact)
    assert found[[0, 1, 3]].tolist() == pytest.approx([1.0, 0.0, 24 / 25])
    assert found[2].isnan()


def test_a_run_in_fp64_is_its_own_reference(monkeypatch):
    monkeypatch.setattr(Probe, "exact", None)
    (found,) = report(noisy)
    assert column(found, "agreement") == pytest.approx([1.0] * LAYERS)


def test_the_bound_is_a_cosine_of_99_hundredths():
    for agrees, status in ((0.99, "ok"), (0.9899, "reference_disagrees"), (None, "reference_zero")):
        assert validity.direction_status(True, agrees, 1.0) == status
    assert validity.AGREES == protocol.AGREES  # which loads no torch
    assert validity.direction_status(True, 1.0, 0.0) == "credit_zero"
    assert validity.direction_status(False, 1.0, 1.0) == "not_finite"


def test_relative_steps_are_those_of_relative_runs_on_fewer_directions():
    (both,) = report(noisy, options=Options(directions=8))
    (relative,) = report(noisy, options=Options(directions=2, relative_steps=True))
    for kind in ("rho", "nudge"):
        names = [name for name in relative.metrics if name.startswith(f"{kind}/")]
        assert len(names) >= LAYERS
        for name in names:
            own = name.replace(kind, f"{kind}_relative")
            assert both.metrics[own] == relative.metrics[name] != both.metrics[name]
            assert own not in relative.metrics
        for column_of in ("", "_status", "_precision", "_g", "_neg_g", "_random"):
            own = f"{kind}_relative{column_of}"
            assert column(both, own) == column(relative, f"{kind}{column_of}")


def test_relative_steps_are_seen_where_absolute_ones_drown():
    """‖h‖ ~ 1e18, where h + eps v == h in float64 too."""
    (found,) = report(noisy, runs=[one_run(7, embed_scale=1e18)], options=Options(directions=16))
    assert set(column(found, "rho_status")) == {"spread_zero"}
    assert set(column(found, "nudge_status")) == {"step_lost"}
    assert set(column(found, "rho_relative_status")) == {"ok"}
    assert set(column(found, "nudge_relative_status")) == {"ok"}
    assert max(column(found, "nudge_relative")) < 0
    assert {"rho_relative/deep", "nudge_relative/h00"} <= found.metrics.keys()


def test_sensitivity_is_free_of_scale():
    found = [report(noisy, runs=[one_run(7, embed_scale=s)])[0] for s in (1e4, 1e8)]
    small, large = (column(one, "sensitivity") for one in found)
    assert large == pytest.approx(small, rel=1e-2)
    assert found[0].metrics["sensitivity/h02"] == small[2]
    h, g = draw(1, 48, WIDTH), draw(1, 48, WIDTH, key=1)
    probe = Probe(None, {}, torch.zeros(48), [h, h], [g, g], [g, g], Options(), (0,), (False,))
    (one,) = scale.measure(probe)
    want = (h[0].norm(dim=-1) * g[0].norm(dim=-1)).quantile(0.5)
    assert column(one, "sensitivity") == pytest.approx([float(want)] * 2)

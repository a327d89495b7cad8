"""Norms, cosines and correlations at any scale."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from credit.measures import alignment, perturbation, vectors
from tests.measures.made import draw


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


def test_a_cosine_that_is_one_within_float_error_is_logged_as_one():
    given = (0.99999997, -0.9999994, 0.99999, 0.3, 1.0, float("nan"))
    assert [alignment.cosine_number(v) for v in given] == [1.0, -1.0, 0.99999, 0.3, 1.0, None]


def test_pearson():
    a = draw(50, key=1)
    b = a + draw(50, key=2)
    want = torch.corrcoef(torch.stack([a, b]))[0, 1].item()
    flat = torch.zeros_like(a)
    found = perturbation.pearson([a, 1e-20 * a + 3e-19, flat], b)
    assert [value.item() for value in found[:2]] == pytest.approx([want, want])
    assert found[2].isnan() and perturbation.pearson([a], flat + 0.1)[0].isnan()

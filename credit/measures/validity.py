"""Where a measured direction is a number at all.

An alignment compares the credit with the exact gradient. Where float64 finds another gradient, or
the credit is zero, there is no direction to compare: the layer gets a status that says so, never a
silent 0 or 1.
"""

import torch

OK = "ok"
REFERENCE_DISAGREES = "reference_disagrees"  # float64 finds another gradient
REFERENCE_ZERO = "reference_zero"  # the exact gradient is zero, in float64 too
REFERENCE_AT_FLOOR = "reference_at_floor"  # no agreement is known, ‖g‖ is not above the floor
CREDIT_ZERO = "credit_zero"  # at least half of the samples receive no credit
NOT_FINITE = "not_finite"  # inf or nan among hidden states, gradients or credits
SPREAD_ZERO = "spread_zero"  # predicted or measured loss change does not vary
UNRESOLVED = "unresolved"  # even the exact gradient fails to predict the loss change
STEP_LOST = "step_lost"  # the step is below the rounding of the hidden state, even in float64

NO_REFERENCE = (REFERENCE_DISAGREES, REFERENCE_ZERO, REFERENCE_AT_FLOOR, NOT_FINITE)
"""Statuses of a layer whose gradient is nothing to compare with."""
AGREES = 0.99
"""Least cosine of a reference with the one that float64 finds, median over samples."""
PUBLISHED_SAMPLES = 1024
"""The published floor, 1e-7, is for the gradient of the mean loss over this many samples."""


def sample_floor(published: float, dtype: torch.dtype) -> float:
    """The floor for a per-sample gradient norm in `dtype`, from the published one.

    That is for the gradient of a mean over 1024 samples, which is 1/1024 of a sample's, in float32.
    It is one of scale: agreement with float64 says where rounding takes over. It moves with the
    precision: 1.02e-4 in float32, 1.9e-13 in float64.
    """
    precision = torch.finfo(dtype).eps / torch.finfo(torch.float32).eps
    return published * PUBLISHED_SAMPLES * precision


def direction_status(finite: bool, agreement: float | None, credit_norm: float) -> str:
    """Status of one layer's alignment, from medians over the batch."""
    if not finite:
        return NOT_FINITE
    if agreement is None:
        return REFERENCE_ZERO
    if agreement < AGREES:
        return REFERENCE_DISAGREES
    return OK if credit_norm > 0 else CREDIT_ZERO

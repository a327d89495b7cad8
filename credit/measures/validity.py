"""Where a measured direction is a number at all.

An alignment compares the credit with the exact gradient. When that gradient has vanished into
rounding, or the credit is zero, there is no direction to compare: the layer gets a status that
says so, never a silent 0 or 1.
"""

import torch

OK = "ok"
REFERENCE_AT_FLOOR = "reference_at_floor"  # the exact gradient is at or below the floor
CREDIT_ZERO = "credit_zero"  # at least half of the samples receive no credit
NOT_FINITE = "not_finite"  # inf or nan among hidden states, gradients or credits
SPREAD_ZERO = "spread_zero"  # predicted or measured loss change does not vary
UNRESOLVED = "unresolved"  # even the exact gradient fails to predict the loss change
STEP_LOST = "step_lost"  # the step is below the rounding of the hidden state, even in float64

PUBLISHED_SAMPLES = 1024
"""The published floor, 1e-7, is for the gradient of the mean loss over this many samples."""


def sample_floor(published: float, dtype: torch.dtype) -> float:
    """The floor for a per-sample gradient norm in `dtype`, from the published one.

    That is for the gradient of a mean over 1024 samples, which is 1/1024 of a sample's, in float32.
    The floor marks where rounding takes over, so it moves with the precision: 1.02e-4 in float32,
    1.9e-13 in float64.
    """
    precision = torch.finfo(dtype).eps / torch.finfo(torch.float32).eps
    return published * PUBLISHED_SAMPLES * precision


def direction_status(finite: bool, grad_norm: float, credit_norm: float, floor: float) -> str:
    """Status of one layer's alignment, from medians of per-sample norms over the batch."""
    if not finite:
        return NOT_FINITE
    if not grad_norm > floor:
        return REFERENCE_AT_FLOOR
    return OK if credit_norm > 0 else CREDIT_ZERO

"""Is a mean of few seeds told from a bound?"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

CONFIDENCE = 0.95
"""Of the two-sided t interval within which a bound is not told from a mean gain."""
NOISE_OF_ONE = 0.01
"""One run has no standard error: its gain is not told from a bound within 1 point of it."""


def within_noise(gains: Sequence[float], bound: float) -> bool:
    """Return whether the gains of the seeds, each paired, leave open on which side their mean lies.

    Args:
        gains: one per seed, finite, at least one; fractions.
    """
    distance = abs(round(fmean(gains) - bound, 12))
    if len(gains) == 1:
        return distance <= NOISE_OF_ONE
    from scipy.special import stdtrit  # here: half a second, and training comes first

    quantile = float(stdtrit(len(gains) - 1, (1 + CONFIDENCE) / 2))
    return distance < quantile * stdev(gains) / math.sqrt(len(gains))

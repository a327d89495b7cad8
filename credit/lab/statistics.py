"""What the seeds say of a number and its bound: interval, effect, p value, seeds still needed.

The numbers of a gap are paired: both runs of a difference have the seed, and with it the initial
network and the order of batches. So one-sample statistics of the differences are paired ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from credit.lab.verdict import Verdict

CONFIDENCE = 0.95
"""Of the two-sided t interval."""
FEWEST = 3
"""Seeds from which on an interval is given: of two, t's quantile is 12.7."""
ROUNDING = 1e-9
"""Of the mean: a spread below it is that of floats, and none."""
MOST = 1000
"""Seeds beyond which a bound counts as out of reach."""


@dataclass(frozen=True)
class Statistics:
    """One number over seeds, beside its bound."""

    n: int
    low: float
    high: float
    """Ends of the t interval of the mean."""
    effect: float | None
    """(mean - bound) / sd over seeds; None without spread."""
    p: float
    """Of the one-sided t test that the mean keeps its bound; of a size, the larger of two."""
    more: int | None = None
    """Further seeds that would decide, with this mean and spread, where the interval spans the
    bound; None where it does not, or where MOST would not."""
    p_holm: float | None = None
    """p, corrected (Holm 1979) over the checks of the experiment."""


def statistics(values: Sequence[float], low: float, high: float) -> Statistics | None:
    """Return what the seeds say; None of fewer than FEWEST seeds.

    Args:
        values: one finite number per seed.
        low, high: the bounds, of which one may be infinite.
    """
    n, bounds = len(values), [b for b in (low, high) if math.isfinite(b)]
    if n < FEWEST or not bounds or not all(map(math.isfinite, values)):
        return None
    from scipy import stats  # here: half a second, and training comes first

    mean, sd = fmean(values), stdev(values)
    bound = min(bounds, key=lambda b: abs(mean - b))
    kept = low <= mean <= high
    if sd <= ROUNDING * abs(mean):
        return Statistics(n, mean, mean, None, 0.0 if kept else 1.0)
    ends = stats.t.interval(CONFIDENCE, n - 1, mean, sd / math.sqrt(n))
    sides = [(b, "greater" if b == low else "less") for b in bounds]
    p = max(float(stats.ttest_1samp(values, b, alternative=side).pvalue) for b, side in sides)
    counts = range(n + 1, MOST + 1) if ends[0] < bound < ends[1] else ()
    half = ((m, stats.t.ppf((1 + CONFIDENCE) / 2, m - 1) * sd / math.sqrt(m)) for m in counts)
    more = next((m - n for m, width in half if width < abs(mean - bound)), None)
    return Statistics(n, float(ends[0]), float(ends[1]), (mean - bound) / sd, p, more)


def holm(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return verdicts with their p values corrected over all of them (Holm 1979)."""
    known = {i: v.statistics.p for i, v in enumerate(verdicts) if v.statistics}
    corrected, largest = list(verdicts), 0.0
    for rank, index in enumerate(sorted(known, key=lambda i: known[i])):
        largest = max(largest, min(1.0, (len(known) - rank) * known[index]))
        own = replace(verdicts[index].statistics, p_holm=largest)  # pyright: ignore[reportArgumentType]
        corrected[index] = replace(verdicts[index], statistics=own)
    return corrected

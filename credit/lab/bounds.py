"""The bounds that a check's numbers must keep."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from credit.lab.frame import Frame
from credit.lab.measure import Sample

Bound = float | Callable[[Frame], float]


class Bounds(NamedTuple):
    """The bounds of a check on one experiment's runs."""

    low: float
    high: float

    @classmethod
    def of(cls, low: Bound, high: Bound, frame: Frame) -> "Bounds":
        """Return the bounds as numbers."""
        return cls(*(b(frame) if callable(b) else b for b in (low, high)))

    @property
    def shown(self) -> float | None:
        """The bound that a verdict names."""
        known = [b for b in (self.low, self.high) if math.isfinite(b)]
        return known[-1] if known else None

    def nearest(self, samples: Sequence[Sample], mean: bool) -> tuple[float, float]:
        """Return margin and value of what is nearest to failing."""
        own = [v for s in samples for v in ([s.mean] if mean else s.by_seed.values())]
        return min((round(min(v - self.low, self.high - v), 12), v) for v in own)

    def asked(self, sample: Sample, strict: bool) -> str:
        """Return the bound in words."""
        bound = self.low if math.isfinite(self.low) else self.high
        text = sample.quantity.text(bound, sample.sign) if bound else "0"
        if math.isfinite(self.low) and self.low == -self.high:
            return f"a size {'below' if strict else 'up to'} {sample.quantity.text(self.high)}"
        if math.isfinite(self.low):
            return f"{'more than' if strict else 'at least'} {text}"
        return f"{'less than' if strict else 'at most'} {text}"

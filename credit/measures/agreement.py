"""Agreement: does float64 find the gradient g_l where the run's own precision finds it?

The cosine of g_l with the gradient that float64 finds from the same weights and inputs, median over
samples. It decides whether g_l is a reference at all. The size of g_l does not: behind a LayerNorm
it falls as 1/‖h_L‖, and its direction is kept.

Cost: one pass forward and back of n samples in float64, of one run at a time. A run in fp64 is its
own reference: it agrees by construction, at no cost. 6 % of the time of measuring the ladder's 15
runs (d=256, L=4, n=1024; `benchmarks/agreement.py`).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from credit.measures import vectors
from credit.measures.base import Probe, Report, layer_name


def of_run(probe: Probe, run: int) -> list[Tensor]:
    """Return the agreement of one run's g_0 .. g_L; nan where the gradient is zero."""
    grads = [g[run] for g in probe.grads]
    exact = grads if grads[0].dtype == torch.float64 else probe.exact(run)
    return [vectors.median(cosine(g, e)) for g, e in zip(grads, exact, strict=True)]


def cosine(g: Tensor, exact: Tensor) -> Tensor:
    """Return the cosine of each sample's g (n, d) with the one found in float64, (n,).

    0 where one of them alone has a direction, nan where both are zero.
    """
    none = (vectors.norm(g) == 0) & (vectors.norm(exact) == 0)
    return vectors.cosine(g.double(), exact).nan_to_num(0.0).masked_fill(none, math.nan)


def add_metrics(report: Report) -> None:
    """Add `agreement/hNN` and, where every layer has one, `agreement/min` from the rows."""
    values: Sequence[float | None] = [row["agreement"] for row in report.layers]
    for layer, value in enumerate(values):
        report.add(f"agreement/{layer_name(layer)}", value)
    known = [value for value in values if value is not None]
    report.add("agreement/min", min(known) if len(known) == len(values) else None)

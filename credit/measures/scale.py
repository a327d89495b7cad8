"""Scale: how large hidden states, gradients and credits are, and how fast the stream grows.

The sensitivity ‖h_l‖·‖g_l‖ is free of scale: the loss change per relative step along g_l.

Medians over the batch of per-sample Euclidean norms.
"""

import itertools
import math

import torch

from credit.measures import vectors
from credit.measures.base import Probe, Report, fetched, layer_name, number


def measure(probe: Probe) -> list[Report]:
    """`hidden_norm/hNN`, `grad_norm/hNN`, `credit_norm/hNN`, `sensitivity/hNN`, `growth/max`.

    Growth of block l is the median over samples of |h_{l+1}| / |h_l|; `growth/max` is the largest
    over blocks, absent when any block's is not finite.
    """
    hidden_norms = [vectors.norm(h) for h in probe.hiddens]
    grad_norms = [vectors.norm(g) for g in probe.grads]
    products = [h * g for h, g in zip(hidden_norms, grad_norms, strict=True)]
    medians = {
        "hidden_norm": [vectors.median(v) for v in hidden_norms],
        "grad_norm": [vectors.median(v) for v in grad_norms],
        "credit_norm": [vectors.median(vectors.norm(a)) for a in probe.credits],
        "sensitivity": [vectors.median(v) for v in products],
    }
    ratios = [after / before for before, after in itertools.pairwise(hidden_norms)]
    growth = torch.stack([vectors.median(ratio) for ratio in ratios], dim=-1)  # (R, L)
    largest = growth.amax(-1)  # propagates nan
    medians, grown, largest = fetched((medians, list(growth.unbind(-1)), largest))
    reports = []
    for run in range(probe.runs):
        report = Report()
        for layer in range(len(probe.hiddens)):
            row = {name: number(values[layer][run]) for name, values in medians.items()}
            for name, value in row.items():
                report.add(f"{name}/{layer_name(layer)}", value)
            own = grown[layer][run] if layer < len(grown) else math.nan
            report.layers.append({**row, "growth": number(own)})
        report.add("growth/max", number(largest[run]))
        reports.append(report)
    return reports

"""Relative steps: ρ and nudge once more, with ε and η as shares of ‖h_l‖.

The published steps are absolute: in a stream of 1e8 they are too small for any network to notice,
and for float32 to resolve. A relative step asks the same of every scale. Not measured where
`relative_steps` makes ρ and nudge relative themselves.

Cost: a quarter of the directions of ρ, so a quarter of its time, and that of the nudge again: 25 %
of the time of measuring the ladder's 15 runs (`benchmarks/agreement.py`).
"""

from dataclasses import replace
from typing import Any

from credit.measures import nudging, perturbation
from credit.measures.base import Probe, Report

SHARE = 4
"""One in so many of the directions of ρ is used, the first ones of a seed and layer."""


def measure(probe: Probe) -> list[Report]:
    """`rho_relative/hNN`, `rho_relative/deep` and `nudge_relative/hNN` of every run."""
    options = probe.options
    if options.relative_steps:
        return [Report() for _ in range(probe.runs)]
    few = max(1, options.directions // SHARE)
    own = replace(probe, options=options._replace(relative_steps=True, directions=few))
    rhos, nudges = perturbation.measure(own), nudging.measure(own)
    return [
        Report(
            _named({**rho.metrics, **nudge.metrics}),
            [_named({**r, **n}) for r, n in zip(rho.layers, nudge.layers, strict=True)],
        )
        for rho, nudge in zip(rhos, nudges, strict=True)
    ]


def _named(found: dict[str, Any]) -> dict[str, Any]:
    """Return numbers by the names of relative ones: rho/h01 as rho_relative/h01."""
    for kind in ("rho", "nudge"):
        found = {name.replace(kind, f"{kind}_relative", 1): own for name, own in found.items()}
    return found

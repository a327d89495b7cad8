"""rho: does the credit predict what random perturbations do to the loss?

Every sample's h_l moves by eps along `directions` random unit vectors v. Predicted is <a_l, eps v>,
measured is CE(h_l + eps v) - CE(h_l), rolled forward. One Pearson correlation per layer, pooled
over samples and directions.

Directions are drawn per (seed, layer): runs of one seed share them, whoever else is in the stack,
and so do all epochs. The prediction uses the step that really took place in floating point,
(h + eps v) - h. Where the stream has grown, loss changes drown in float32's rounding: the exact
gradient's own rho is .98 at |h| = 9e2, .54 at 9e3 and .1 at 9e4 (d=256, L=4, eps = 1e-3). A layer
at which it is below RESOLVED is rolled forward again in float64, and has no rho if that does not
help.

Cost per run: directions * n * sum_l (L - l) blocks of 4 d^2 FLOPs, 86 GFLOPs at d=256, L=4, n=1024
and 32 directions. It dominates all other measurements.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from credit.measures import validity, vectors
from credit.measures.base import CONTROLS, Options, Probe, Report, fetched, number
from credit.randomness import generator

CHUNK_ELEMENTS = {"cpu": 2**18, "cuda": 2**25}
"""Entries of perturbed hidden states held at once: a cache's worth, or enough to fill a GPU."""

RESOLVED = 0.9
"""Least rho of the exact gradient at which a rule's rho is valid. Below it the loss changes are
rounding noise, or eps is far beyond the linear range, and no credit could predict them."""


def measure(probe: Probe) -> list[Report]:
    """`rho/hNN` and `rho/deep` of every run, and rho of the control credits in the layer table."""
    rows = [_layer_rows(probe, layer) for layer in range(len(probe.hiddens))]
    reports = []
    for run in range(probe.runs):
        report = Report(layers=[row[run] for row in rows])
        values = [row["rho"] if row["rho_status"] == validity.OK else None for row in report.layers]
        report.add_layers("rho", values)
        reports.append(report)
    return reports


def _layer_rows(probe: Probe, layer: int) -> list[dict]:
    rows: dict[int, dict] = {}
    for seed in sorted(set(probe.seeds)):
        members = [run for run, other in enumerate(probe.seeds) if other == seed]
        for dtype in dict.fromkeys((probe.hiddens[layer].dtype, torch.float64)):
            rows |= _correlate(probe, seed, layer, members, dtype)
            members = [run for run in members if not _resolves(rows[run]["rho_g"])]
            if not members:
                break
    return [rows[run] for run in range(probe.runs)]


def _correlate(
    probe: Probe, seed: int, layer: int, members: list[int], dtype: torch.dtype
) -> dict[int, dict]:
    """The rows of runs that share a seed, rolled forward in `dtype`.

    Below float64, a run that does not resolve its first chunk of directions gets no more of them.
    """
    h = {run: probe.hiddens[layer][run].to(dtype) for run in members}
    step = {run: step_length(h[run], probe.options) for run in members}
    noise = _rescaled(probe.noise(seed, layer)).to(dtype)
    shown = {
        run: [*(_rescaled(of[layer][run]).to(dtype) for of in (probe.credits, probe.grads)), noise]
        for run in members
    }
    pairs: dict[int, list[Tensor]] = {run: [] for run in members}
    rows: dict[int, dict] = {}
    for v in _directions(probe, seed, layer):
        for run in (r for r in members if r not in rows):
            moved = torch.addcmul(h[run], v.to(dtype), step[run])  # (m, n, d)
            shift = moved - h[run]
            before = probe.losses_before(run, layer, dtype)
            measured = probe.losses(run, layer, moved) - before
            predicted = [(shift * a).sum(-1).double() for a in shown[run]]
            pairs[run].append(torch.stack([*predicted, measured]).flatten(1))
        if len(pairs[members[0]]) == 1 and dtype != torch.float64:
            first = _rows({run: pairs[run][0] for run in members}, dtype)
            rows = {run: row for run, row in first.items() if not _resolves(row["rho_g"])}
    return rows | _rows({r: torch.cat(pairs[r], dim=1) for r in members if r not in rows}, dtype)


def _rows(pairs: dict[int, Tensor], dtype: torch.dtype) -> dict[int, dict]:
    """The columns of every run, in one transfer."""
    found = fetched({run: _statistics(own) for run, own in pairs.items()})
    return {run: _columns(own, dtype) for run, own in found.items()}


def _resolves(rho_g: float | None) -> bool:
    return rho_g is not None and rho_g >= RESOLVED


def correlations(pairs: Tensor, dtype: torch.dtype) -> dict:
    """Return the columns of ρ. pairs (4, M n): predicted by credit, g and noise; measured."""
    return _columns(fetched(_statistics(pairs)), dtype)


def _statistics(pairs: Tensor) -> dict[str, Tensor | list[Tensor]]:
    *predicted, measured = pairs
    return {"rhos": pearson(predicted, measured), "finite": pairs.isfinite().all()}


def _columns(found: dict[str, Any], dtype: torch.dtype) -> dict:
    rho, rho_g, rho_random = map(number, found["rhos"])
    status = validity.OK if _resolves(rho_g) else validity.UNRESOLVED
    if rho is None:
        status = validity.SPREAD_ZERO
    if not found["finite"]:
        status = validity.NOT_FINITE
    negative = None if rho_g is None else -rho_g
    controls = dict(zip(CONTROLS, (rho_g, negative, rho_random), strict=True))
    return {
        "rho_status": status,
        "rho": rho,
        "rho_precision": str(dtype).removeprefix("torch."),
        **{f"rho_{name}": value for name, value in controls.items()},
    }


def pearson(vectors_a: list[Tensor], b: Tensor) -> list[Tensor]:
    """Return the correlation of each a (n,) with b (n,); nan where a spread is 0 or not finite."""
    unit, flat = vectors.unit(b - b.mean()), b.min() == b.max()
    return [
        torch.where(
            flat | (a.min() == a.max()),
            math.nan,
            (vectors.unit(a - a.mean()) * unit).sum(-1).clamp(-1.0, 1.0),
        )
        for a in vectors_a
    ]


def _directions(probe: Probe, seed: int, layer: int) -> Iterator[Tensor]:
    """Unit directions of one seed and layer, (m, n, d) at a time, `directions` in all.

    Drawn one direction after the other, so that the chunk size changes no number.
    """
    h = probe.hiddens[layer]
    stream = generator(seed, "directions", layer)
    limit = CHUNK_ELEMENTS.get(h.device.type, CHUNK_ELEMENTS["cpu"])
    chunk = max(1, limit // h[0].numel())
    for start in range(0, probe.options.directions, chunk):
        count = min(chunk, probe.options.directions - start)
        draws = torch.stack([torch.randn(h.shape[1:], generator=stream) for _ in range(count)])
        yield torch.nn.functional.normalize(draws.to(h), dim=-1)


def step_length(h: Tensor, options: Options) -> Tensor:
    """Return the length of a perturbation of h (n, d), (n, 1)."""
    eps = torch.full_like(h[:, :1], options.direction_eps)
    return eps * vectors.norm(h).to(h).unsqueeze(-1) if options.relative_steps else eps


def _rescaled(v: Tensor) -> Tensor:
    peak = v.abs().max()
    return v / torch.where(peak == 0, 1.0, peak)

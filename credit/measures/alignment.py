"""Alignment: the cosine between the credit a_l and the exact gradient g_l.

Per sample and per layer. Mean, median and standard deviation (over the batch, ddof 0) go into the
layer table; the mean is the metric. A sample without a direction, its gradient or its credit
exactly zero, is left out and counted. A cosine that is ±1 within float error is logged as ±1.
"""

import math
from typing import Any

import torch
from torch import Tensor

from credit.measures import agreement, validity, vectors
from credit.measures.base import CONTROLS, Probe, Report, fetched, mean_of, number, on_host

FLOAT_ERROR = 1e-6
"""How far float32 leaves the cosine of a vector with itself from 1, with room to spare."""


def measure(probe: Probe) -> list[Report]:
    """`alignment/hNN`, its means, `copy/...`, `agreement/...` and `valid/reference` of every run.

    An alignment is a number where g_l agrees with what float64 finds; `valid/reference` is 1 where
    g_L does.

    `copy/hNN` is the cosine of g_L, which every local rule has, with g_l: what passing the output's
    gradient back unchanged would reach. Where the skip path dominates that is much, and an
    alignment says little that does not exceed it.

    `alignment/all` is the mean over l = 0..L, `deep` over l >= 1, `deep_inner` over 1..L-1: a rule
    that is exact at h_L by construction raises the first two. A mean is present only when all of
    its layers are valid.
    """
    layers = range(len(probe.hiddens))
    agreements = [agreement.of_run(probe, run) for run in range(probe.runs)]
    found, agreements = on_host(([_of_layer(probe, layer) for layer in layers], agreements))
    numbers = [[_numbers(of, run) for of in found] for run in range(probe.runs)]
    floor = validity.sample_floor(probe.options.reference_floor, probe.hiddens[0].dtype)
    reports = []
    for run, (own, agrees) in enumerate(zip(*fetched((numbers, agreements)), strict=True)):
        known = {"exact_by_construction": False, "reference_floor": floor}
        rows = [_row(*of, known) for of in zip(layers, own, map(number, agrees), strict=True)]
        rows[-1]["exact_by_construction"] = probe.exact_at_output[run]
        report = Report(layers=rows)
        add_metrics(report)
        reports.append(report)
    return reports


def _row(
    layer: int, numbers: dict[str, Any], agrees: float | None, known: dict[str, Any]
) -> dict[str, Any]:
    """Return one layer's columns from the numbers of `_numbers`."""
    return {
        "layer": layer,
        "status": validity.direction_status(
            bool(numbers["finite"]), agrees, numbers["credit_norm"]
        ),
        "agreement": agrees,
        **known,
        **_columns(numbers["summary"]),
        "copy": cosine_number(numbers["copy"]),
        **{f"alignment_{name}": cosine_number(numbers[name]) for name in CONTROLS},
        "alignment_random_std": number(numbers["random_std"]),  # 1/sqrt(d) of what knows no g
    }


def _of_layer(probe: Probe, layer: int) -> dict[str, Tensor]:
    """Return each sample's cosines with the gradient, (R, n), and what is one number per run."""
    h, g, a = probe.hiddens[layer], probe.grads[layer], probe.credits[layer]
    unit = vectors.unit(g)

    def with_g(other: Tensor) -> Tensor:
        return (other * unit).sum(-1).clamp(-1.0, 1.0).double()

    noise = {seed: vectors.unit(probe.noise(seed, layer)) for seed in set(probe.seeds)}
    draws = [(noise[seed] * own).sum(-1) for seed, own in zip(probe.seeds, unit, strict=True)]
    found = {
        "credit": with_g(vectors.unit(a)),
        "g": with_g(unit),
        "random": torch.stack(draws).clamp(-1.0, 1.0).double(),
        "credit_norm": vectors.median(vectors.norm(a)),
        "finite": torch.stack([t.flatten(1).isfinite().all(-1) for t in (h, g, a)]).all(0),
    }
    if probe.grads[-1].shape == g.shape:  # else states differ in size, and nothing is copied
        found["copy"] = with_g(vectors.unit(probe.grads[-1]))
    return found


def _numbers(of: dict[str, Tensor], run: int) -> dict:
    """Return one run's part of `_of_layer` as numbers that `fetched` reads; they are on the CPU."""
    g, random = of["g"][run], of["random"][run]
    return {
        "summary": _statistics(of["credit"][run]),
        "copy": of["copy"][run].nanmean() if "copy" in of else None,
        "g": g.nanmean(),
        "neg_g": (-g).nanmean(),
        "random": random.nanmean(),
        "random_std": _deviation(random),
        "credit_norm": of["credit_norm"][run],
        "finite": of["finite"][run],
    }


def add_metrics(report: Report) -> None:
    """Add the metrics that follow from the rows of a report."""
    rows = report.layers
    means = [row["alignment_mean"] if row["status"] == validity.OK else None for row in rows]
    known = [row["status"] not in validity.NO_REFERENCE for row in rows]
    copies = [
        row["copy"] if known[-1] and own else None for row, own in zip(rows, known, strict=True)
    ]
    for name, values in (("alignment", means), ("copy", copies)):
        report.add_layers(name, values)
        report.add(f"{name}/deep_inner", mean_of(values[1:-1]))
    report.add("alignment/all", mean_of(means))
    report.add("valid/reference", float(known[-1]))
    agreement.add_metrics(report)


def cosine_number(value: Tensor | float | None) -> float | None:
    """Return a cosine as a float, exactly ±1 within FLOAT_ERROR of it; None if it is not finite.

    Else the rounding of float32 draws a zigzag where the direction is exact.
    """
    known = None if value is None else number(value)
    return float(round(known)) if known is not None and 0 < 1 - abs(known) <= FLOAT_ERROR else known


def summary(cosines: Tensor) -> dict[str, float | int | None]:
    """Return the columns of an alignment from its cosines (n,), nan where there is no direction."""
    return _columns(fetched(_statistics(cosines)))


def deviation(cosines: Tensor) -> float | None:
    """Return the standard deviation (ddof 0) of those that are defined."""
    return number(_deviation(cosines))


def _statistics(cosines: Tensor) -> dict[str, Tensor | int]:
    defined = cosines[~cosines.isnan()]
    return {
        "mean": defined.mean(),
        "median": vectors.median(cosines),
        "std": _deviation(cosines),
        "undefined": len(cosines) - len(defined),
    }


def _columns(found: dict[str, Any]) -> dict[str, float | int | None]:
    return {
        "alignment_mean": cosine_number(found["mean"]),
        "alignment_median": cosine_number(found["median"]),
        "alignment_std": number(found["std"]),
        "alignment_undefined": found["undefined"],
    }


def _deviation(cosines: Tensor) -> Tensor:
    defined = cosines[~cosines.isnan()]
    return defined.std(correction=0) if len(defined) else cosines.new_tensor(math.nan)

"""Nudge: does a small step against the credit lower the loss?

h_l moves by eta along -a_l/|a_l| and the rest of the network is rolled forward. The metric is the
mean over samples of the change of the loss; negative is good. To first order it is
-eta * mean(|g_l| cos(a_l, g_l)).
"""

import torch
from torch import Tensor

from credit.measures import validity, vectors
from credit.measures.base import CONTROLS, Options, Probe, Report, layer_name, number

STEP_ERROR = 0.01
"""A step that rounding would bend by more than this share of its length is taken in float64."""


def measure(probe: Probe) -> list[Report]:
    """`nudge/hNN` of every run, and the same for the control credits in the layer table."""
    reports = [Report() for _ in range(probe.runs)]
    for layer in range(len(probe.hiddens)):
        for run, report in enumerate(reports):
            row = _row(probe, run, layer)
            report.layers.append(row)
            if row["nudge_status"] == validity.OK:
                report.add(f"nudge/{layer_name(layer)}", row["nudge"])
    return reports


def _row(probe: Probe, run: int, layer: int) -> dict:
    h = probe.hiddens[layer][run]
    h = h.to(_precision(h, probe.options))
    before = probe.losses(run, layer, h)
    value, status = _nudge(probe, run, layer, h, before, probe.credits[layer][run])
    row = {"nudge_status": status, "nudge": value}
    row["nudge_precision"] = str(h.dtype).removeprefix("torch.")
    for name in CONTROLS:
        control = probe.control(name, run, layer)
        row[f"nudge_{name}"], _ = _nudge(probe, run, layer, h, before, control)
    return row


def _precision(h: Tensor, options: Options) -> torch.dtype:
    size = float(vectors.median(vectors.norm(h)))
    length = options.nudge_eta * (size if options.relative_steps else 1.0)
    lost = torch.finfo(h.dtype).eps * size > STEP_ERROR * length
    return torch.float64 if lost else h.dtype


def _nudge(
    probe: Probe, run: int, layer: int, h: Tensor, before: Tensor, credit: Tensor
) -> tuple[float | None, str]:
    """Mean loss change of one run when h (n, d) steps against `credit` (n, d), and its status.

    Samples whose credit is exactly zero do not move and are left out of the mean.
    """
    if not bool(credit.isfinite().all() and h.isfinite().all()):
        return None, validity.NOT_FINITE
    moved, kept = step(h, credit, probe.options)
    value = number((probe.losses(run, layer, moved) - before).nanmean())
    return value, step_status(value, vectors.norm(credit), kept)


def step(h: Tensor, credit: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """Return h (n, d) after a step against `credit` (n, d), and the share of it that rounding left.

    The share is (n,). A sample whose credit is exactly zero has no direction: both are nan.
    """
    norms, eta = vectors.norm(h), options.nudge_eta
    length = eta * norms if options.relative_steps else torch.full_like(norms, eta)
    moved = h - length.to(h).unsqueeze(-1) * vectors.unit(credit.to(h))
    return moved, vectors.norm(moved - h) / length


def step_status(value: float | None, norms: Tensor, kept: Tensor) -> str:
    """Return the status of a mean loss change after steps against credits of norms (n,).

    It is `step_lost` when rounding swallows more than half of a step's length.
    """
    if not float(vectors.median(norms)) > 0:
        return validity.CREDIT_ZERO
    if not float(vectors.median(kept)) > 0.5:
        return validity.STEP_LOST
    return validity.OK if value is not None else validity.NOT_FINITE

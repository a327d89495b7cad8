"""Nudge: does a small step against the credit lower the loss?

h_l moves by eta along -a_l/|a_l| and the rest of the network is rolled forward. The metric is the
mean over samples of the change of the loss; negative is good. To first order it is
-eta * mean(|g_l| cos(a_l, g_l)).
"""

import torch
from torch import Tensor

from credit.measures import validity, vectors
from credit.measures.base import CONTROLS, Options, Probe, Report, fetched, layer_name, number

STEP_ERROR = 0.01
"""A step that rounding would bend by more than this share of its length is taken in float64."""


def measure(probe: Probe) -> list[Report]:
    """`nudge/hNN` of every run, and the same for the control credits in the layer table."""
    sizes = fetched([vectors.median(vectors.norm(h)) for h in probe.hiddens])
    dtypes = [
        [_precision(size, h.dtype, probe.options) for size in of]
        for h, of in zip(probe.hiddens, sizes, strict=True)
    ]
    found = [
        [_steps(probe, run, layer, dtype) for run, dtype in enumerate(of)]
        for layer, of in enumerate(dtypes)
    ]
    reports = [Report() for _ in range(probe.runs)]
    for layer, (numbers, of) in enumerate(zip(fetched(found), dtypes, strict=True)):
        for report, own, dtype in zip(reports, numbers, of, strict=True):
            row = _row(own, dtype)
            report.layers.append(row)
            if row["nudge_status"] == validity.OK:
                report.add(f"nudge/{layer_name(layer)}", row["nudge"])
    return reports


def _row(found: dict[str, dict[str, float]], dtype: torch.dtype) -> dict:
    """Return one layer's columns from the numbers of `_steps`."""
    values = {name: number(own["value"]) if own["finite"] else None for name, own in found.items()}
    own = found["credit"]
    status = _status(values["credit"], own["norm"], own["kept"])
    return {
        "nudge_status": status if own["finite"] else validity.NOT_FINITE,
        "nudge": values["credit"],
        "nudge_precision": str(dtype).removeprefix("torch."),
        **{f"nudge_{name}": values[name] for name in CONTROLS},
    }


def _precision(size: float, dtype: torch.dtype, options: Options) -> torch.dtype:
    """Return in what to step in a hidden state of this median norm."""
    length = options.nudge_eta * (size if options.relative_steps else 1.0)
    lost = torch.finfo(dtype).eps * size > STEP_ERROR * length
    return torch.float64 if lost else dtype


def _steps(probe: Probe, run: int, layer: int, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """Step against the credit and the controls: each mean loss change, as numbers on the device.

    Samples whose credit is exactly zero do not move and are left out of the mean.
    """
    h = probe.hiddens[layer][run].to(dtype)
    before = probe.losses_before(run, layer, dtype)
    found = {}
    for name in ("credit", *CONTROLS):
        own = name == "credit"
        credit = probe.credits[layer][run] if own else probe.control(name, run, layer)
        moved, kept = step(h, credit, probe.options)
        found[name] = {
            "finite": credit.isfinite().all() & h.isfinite().all(),
            "value": (probe.losses(run, layer, moved) - before).nanmean(),
        }
        if own:
            norms = vectors.norm(credit)
            found[name] |= {"norm": vectors.median(norms), "kept": vectors.median(kept)}
    return found


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
    return _status(value, *fetched([vectors.median(norms), vectors.median(kept)]))


def _status(value: float | None, norm: float, kept: float) -> str:
    if not norm > 0:
        return validity.CREDIT_ZERO
    if not kept > 0.5:
        return validity.STEP_LOST
    return validity.OK if value is not None else validity.NOT_FINITE

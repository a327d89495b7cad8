"""Measurements of a stack of runs on one held-out batch: one file each, found by module name.

A measurement is a module of this package with `measure(probe: Probe) -> list[Report]`, one report
per run. Its metrics are tracked, its columns join the layer table.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from credit.errors import CreditError
from credit.measures.base import Options, Probe, Report
from credit.networks.arithmetic import output_error
from credit.networks.base import Network, Params, Pass

__all__ = ["CreditOf", "Options", "Probe", "Report", "available", "measure", "take"]

CreditOf = Callable[[Pass, Tensor, list[Tensor]], list[Tensor]]
"""(forward, error (R, n, C), exact gradients g_0 .. g_L) -> a_0 .. a_L, each (R, n, d)."""


Measurement = Callable[[Probe], list[Report]]


def available() -> dict[str, Measurement]:
    """Every measurement by module name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: m.measure for name, m in modules.items() if hasattr(m, "measure")}


def measure(
    network: Network[Any],
    params: Params,
    x: Tensor,
    y: Tensor,
    credit_of: CreditOf,
    options: Options,
    seeds: Sequence[int],
    exact_at_output: Sequence[bool],
    only: Collection[str] = (),
    pause: Callable[[], None] = lambda: None,
) -> list[Report]:
    """Measure every run of a stack: one Report each.

    Args:
        params: stacked parameters, (R, ...).
        x, y: inputs (n, D) and labels (n,), shared by all runs.
        credit_of: the credit that each run's own rule assigns, from per-sample, unreduced errors.
        seeds: of each run; they name its random directions.
        only: names of the measurements to take; none is all.
        pause: called between measurements; what it raises ends them.
    """
    runs = len(next(iter(params.values())))
    if not len(seeds) == len(exact_at_output) == runs:
        raise CreditError(
            f"{len(seeds)} seeds and {len(exact_at_output)} exact_at_output for a stack of "
            f"{runs} runs: pass one of each per run"
        )
    with torch.no_grad():
        run = network.forward(params, x)
        error = output_error(run.logits, y)
        grads = network.hidden_gradients(params, run, error)
    credits = [a.detach() for a in credit_of(run, error, grads)]
    exact = tuple(exact_at_output)
    seen = (params, y, run.hiddens, grads, credits, options, tuple(seeds), exact)
    probe = Probe(network, *seen, inputs=x, pause=pause)
    del run  # the block traces are the larger part of the memory
    return take(probe, only)


@torch.no_grad()
def take(
    probe: Probe, only: Collection[str] = (), more: Sequence[Measurement] = ()
) -> list[Report]:
    """Return what is measured of every run of a probe: `only` some things, or all, and `more`."""
    shapes = [tuple(a.shape) for a in probe.credits]
    if shapes != [tuple(h.shape) for h in probe.hiddens]:
        raise CreditError(
            f"credits of shapes {shapes}: a rule must return {len(probe.hiddens)} tensors (N, d), "
            f"here {tuple(probe.hiddens[0].shape)} for the stack"
        )
    chosen = [measured for name, measured in available().items() if not only or name in only]
    parts = [measured(probe) for measured in (*chosen, *more)]
    return [_merged([part[run] for part in parts]) for run in range(probe.runs)]


def _merged(parts: list[Report]) -> Report:
    whole = Report(layers=[{} for _ in max((p.layers for p in parts), key=len)])
    for part in parts:
        targets = [(whole.metrics, part.metrics), *zip(whole.layers, part.layers, strict=False)]
        for into, new in targets:
            if clash := into.keys() & new.keys():
                raise CreditError(f"two measurements report {min(clash)!r}: rename one of the two")
            into.update(new)
    return whole

"""A stack on held-out data: accuracy, and all diagnostics."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from credit import measures, rules
from credit.data import Dataset
from credit.data.batches import held_out
from credit.networks.arithmetic import output_error
from credit.networks.base import Network, Params, Pass
from credit.training import fresh, transport
from credit.training.stack import Stack

EVALUATION_BATCH = 500
TRANSPORT_SAMPLES = 64
"""Held-out samples on which it is seen what a rule takes from the weights."""


def evaluate(
    network: Network[Any],
    params: Params,
    x: Tensor,
    y: Tensor,
    pause: Callable[[], None] = lambda: None,
) -> Tensor:
    """Return the accuracy of every run on x (n, D), y (n,) -> (R,); `pause` between batches."""
    runs = len(next(iter(params.values())))
    correct = torch.zeros(runs, dtype=torch.float64, device=x.device)
    for inputs, labels in zip(x.split(EVALUATION_BATCH), y.split(EVALUATION_BATCH), strict=True):
        pause()
        logits = network.logits(params, inputs)
        correct += (logits.argmax(-1) == labels).sum(-1)
    return correct / len(y)


def measure_held_out(
    stack: Stack,
    data: Dataset,
    only: Collection[str] = (),
    pause: Callable[[], None] = lambda: None,
) -> list[measures.Report]:
    """Measure every run on the first `measure_samples` test samples: `only` some things, or all.

    What `pause` raises, called between measurements, ends them.
    """
    spec = stack.specs[0]
    x, y = held_out(data, stack.dtype, n=spec.measure_samples)
    labels = y.expand(stack.size, -1)

    def credit_of(run: Pass, error: Tensor, grads: list[Tensor]) -> list[Tensor]:
        return stack.measured_credits(run, x, labels, error, grads)

    reports = measures.measure(
        stack.network,
        stack.params,
        x,
        y,
        credit_of,
        measures.Options.from_spec(spec),
        seeds=[s.seed for s in stack.specs],
        exact_at_output=[rules.get(s.rule).exact_at_output for s in stack.specs],
        only=only,
        pause=pause,
    )
    if not only:
        few = slice(0, TRANSPORT_SAMPLES)
        for report, found in zip(reports, _of_rules(stack, x[few], y[few], reports), strict=True):
            report.metrics |= found
    return reports


@torch.no_grad()
def _of_rules(
    stack: Stack, x: Tensor, y: Tensor, reports: Sequence[measures.Report]
) -> Iterator[dict[str, float]]:
    """What every run's rule transports of the weights, and its alignment by fresh feedback."""
    run = stack.network.forward(stack.params, x)
    error = output_error(run.logits, y)
    grads = stack.network.hidden_gradients(stack.params, run, error)
    labels = y.expand(stack.size, -1)
    row = 0
    for group, trace in stack.shown(run, x, labels, error, grads):
        for member, seed in enumerate(group.seeds):
            state, shown = group.one_run(trace, member)
            found = transport.transported(group.rule, state, shown, reports[row], seed)
            exact = [g[row] for g in grads]
            yield found | fresh.alignment(stack.specs[row], stack.shape, state, shown, exact)
            row += 1

"""A stack on held-out data: accuracy, and all diagnostics."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor

from credit import measures, rules
from credit.data import Dataset
from credit.data.batches import held_out
from credit.networks.base import Network, Params, Pass
from credit.training.stack import Stack

EVALUATION_BATCH = 500


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

    def credit_of(
        run: Pass, error: Tensor, grad_out: Tensor, hidden_grads: list[Tensor]
    ) -> list[Tensor]:
        return stack.measured_credits(run, x, labels, error, grad_out, hidden_grads)

    return measures.measure(
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

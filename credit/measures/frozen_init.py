"""Frozen-init identity: how close to the identity an untrained network is.

Medians over the batch per network, then mean and sample standard deviation over seeds. Published
for d=256, L=4 on the first 256 CIFAR-10 test images: |f|/|h| ~ .10 per block,
|h_L - h_0|/|h_0| = .196 +- .003, cos(h_L, h_0) = .981 +- .001.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import NamedTuple

import torch
from torch import Tensor

from credit.measures import vectors
from credit.networks import resmlp
from credit.randomness import generator


class Identity(NamedTuple):
    """One network's closeness to the identity: medians over the batch."""

    block_ratios: tuple[float, ...]  # |f_l(h_l)| / |h_l| of blocks 0 .. L-1
    rel_dev: float  # |h_L - h_0| / |h_0|
    cos: float  # cos(h_L, h_0)

    @property
    def block_ratio(self) -> float:
        """Mean over blocks."""
        return fmean(self.block_ratios)


@torch.no_grad()
def identity(params: resmlp.Params, x: Tensor) -> list[Identity]:
    """Measure one network, or each of a stack (R, ...), on inputs x (n, D)."""
    if params["embed.weight"].dim() == 2:
        params = {name: tensor.unsqueeze(0) for name, tensor in params.items()}
    run = resmlp.forward(params, x)
    first, last = run.hiddens[0], run.hiddens[-1]
    ratios = [
        vectors.median(vectors.norm(block.out) / vectors.norm(h))
        for block, h in zip(run.blocks, run.hiddens[:-1], strict=True)
    ]
    rel_dev = vectors.median(vectors.norm(last - first) / vectors.norm(first))
    cos = vectors.median(vectors.cosine(last, first))
    return [
        Identity(tuple(float(r[i]) for r in ratios), float(rel_dev[i]), float(cos[i]))
        for i in range(first.shape[0])
    ]


def of_seeds(
    shape: tuple[int, int, int, int],
    seeds: Iterable[int],
    x: Tensor,
    alpha: float | None = None,
) -> dict[int, Identity]:
    """The identity of the network (D, d, C, L) that each seed begins with, on inputs x (n, D)."""

    def begun(seed: int) -> resmlp.Params:
        return resmlp.init(*shape, generator(seed, "init"), x.dtype, alpha)

    return {seed: identity(begun(seed), x)[0] for seed in seeds}


def summary(networks: Sequence[Identity]) -> dict[str, float]:
    """Metrics over seeds. The standard deviations (ddof 1) are absent for a single network."""
    columns = {
        "identity/block_ratio": [n.block_ratio for n in networks],
        "identity/rel_dev": [n.rel_dev for n in networks],
        "identity/cos": [n.cos for n in networks],
    }
    metrics = {f"{name}_mean": fmean(values) for name, values in columns.items()}
    if len(networks) > 1:
        metrics |= {f"{name}_std": stdev(values) for name, values in columns.items()}
    return metrics

"""Random matrices that send credit to the hidden states of any network."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from credit.errors import CreditError
from credit.networks import kinds
from credit.networks.base import Layer, Params, Shape
from credit.rules.base import State

if TYPE_CHECKING:
    from credit.spec import RunSpec

OF = "feedback/"
"""Prefix of the entries that stand for weights."""


def drawn(sizes: Sequence[tuple[int, int]], generator: torch.Generator) -> State:
    """Draw matrices (rows, columns) from N(0, 1) / sqrt(columns); one tensor if all are alike."""
    if len(set(sizes)) == 1:
        draw = torch.randn(len(sizes), *sizes[0], generator=generator)
        return {"feedback": draw * sizes[0][1] ** -0.5}
    return {
        f"feedback/{index:02d}": torch.randn(*size, generator=generator) * size[1] ** -0.5
        for index, size in enumerate(sizes)
    }


def matrices(state: State) -> list[Tensor]:
    """Return the matrices of `drawn`, in their order."""
    if "feedback" in state:
        return list(state["feedback"].unbind(0))
    return [state[name] for name in sorted(state) if name.startswith("feedback/")]


def spread(credit: Tensor, matrix: Tensor, above: Layer, below: Layer) -> Tensor:
    """Send credit (N, d') at a state of form `above` to one of form `below`, (N, d).

    `matrix` (channels, channels') mixes the channels at every position. Where the grids differ, a
    position below receives from the one that covers it above.
    """
    if not below.grid:
        return credit @ matrix.mT
    grid = above.grid or (1,) * len(below.grid)
    state = credit.unflatten(-1, (*grid, above.channels)) @ matrix.mT
    for axis, (here, there) in enumerate(zip(below.grid, grid, strict=True)):
        if here != there:
            covered = torch.arange(here, device=credit.device) * there // here
            state = state.index_select(axis - len(grid) - 1, covered)
    return state.flatten(-len(grid) - 1)


def check_grids(spec: "RunSpec", shape: Shape) -> None:
    """Refuse networks between whose hidden states `spread` cannot send.

    Raises:
        CreditError: positions of a state have other dimensions than those above it.
    """
    grids = [shape.layer(index).grid for index in range(shape.depth + 1)]
    for layer, (below, above) in enumerate(pairwise(grids)):
        if above and len(above) != len(below):
            raise CreditError(
                f"h_{layer} and h_{layer + 1} of network={spec.network} have positions {below} and "
                f"{above}, between which {spec.rule} has no way: choose another rule or network"
            )


def of_weights(spec: "RunSpec", shape: Shape, generator: torch.Generator) -> State:
    """Draw feedback in the form of every weight that `Trace.pull` replaces, by `OF` and its name.

    It is drawn as the network draws its own weights, so that it has their initial scale.

    Raises:
        CreditError: the network has others, which cannot be replaced.
    """
    network = kinds.of(spec, shape, "cpu", torch.float32)
    names = [name for block in range(shape.depth) for name in network.matrices(block)]
    drawn = network.init(spec, generator, torch.float32)
    return {OF + name: drawn[name] for name in names}


def by_weight(state: State) -> Params:
    """Return the entries of `of_weights` by the names of the weights that they stand for."""
    return {key.removeprefix(OF): b for key, b in state.items() if key.startswith(OF)}

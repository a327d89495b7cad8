"""Fixed random matrices that send credit to the hidden states of any network."""

from collections.abc import Sequence

import torch
from torch import Tensor

from credit.networks.base import Layer
from credit.rules.base import State


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

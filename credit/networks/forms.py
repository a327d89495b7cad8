"""Hidden states as a network has them, and flat, as rules and measurements see them."""

from torch import Tensor

from credit.networks.base import Layer


def flat(h: Tensor) -> Tensor:
    """A state (N, d), (N, T, d) or (N, C, H, W, ...) as (N, units), channels varying fastest."""
    return (h.movedim(1, -1) if h.dim() > 3 else h).flatten(1)


def folded(h: Tensor, layer: Layer) -> Tensor:
    """The state of `flat` as the network has it."""
    if not layer.grid:
        return h
    state = h.unflatten(1, (*layer.grid, layer.channels))
    return state.movedim(-1, 1) if len(layer.grid) > 1 else state


def form_of(h: Tensor) -> Layer:
    """The form of a state as the network has it: of images and videos channels come first."""
    form = tuple(h.movedim(1, -1).shape if h.dim() > 3 else h.shape)
    return Layer(form[-1], form[1:-1])

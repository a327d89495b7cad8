"""Hidden states as a network has them, and flat, as rules and measurements see them."""

from torch import Tensor

from credit.errors import CreditError
from credit.networks.base import Layer


def flat(h: Tensor) -> Tensor:
    """A state (N, d), (N, T, d) or (N, C, H, W) as (N, units), channels varying fastest."""
    return (h.movedim(1, -1) if h.dim() == 4 else h).flatten(1)


def folded(h: Tensor, layer: Layer) -> Tensor:
    """The state of `flat` as the network has it."""
    if not layer.grid:
        return h
    state = h.unflatten(1, (*layer.grid, layer.channels))
    return state.movedim(-1, 1) if len(layer.grid) == 2 else state


def form_of(h: Tensor, name: str) -> Layer:
    """The form of a state as the network has it.

    Raises:
        CreditError: it has another number of dimensions than 2, 3 or 4.
    """
    if h.dim() == 2:
        return Layer(h.shape[1])
    if h.dim() == 3:
        return Layer(h.shape[2], (h.shape[1],))
    if h.dim() == 4:
        return Layer(h.shape[1], (h.shape[2], h.shape[3]))
    raise CreditError(f"{name} returns {tuple(h.shape)}: return (N, d), (N, T, d) or (N, C, H, W)")

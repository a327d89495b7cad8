"""What the trainer, the measures and the rules ask of a network.

A network is an embedding, L blocks and a head. Its parameters are a dictionary of tensors. Hidden
states are flat: (N, units), whatever shape the network itself gives them; of states with positions,
such as pixels or tokens, channels vary fastest. Shape legend: R runs of a stack, N batch, d units
of a hidden state, C classes, D input units, L depth.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import register_pytree_node

from credit.errors import CreditError

if TYPE_CHECKING:
    from credit.spec import RunSpec

Params = dict[str, Tensor]
"""Parameters of one run by name, or, with a leading run dimension, of R runs."""


Part = tuple[int, slice]
"""A block, and rows of a stack."""


class Layer(NamedTuple):
    """The form of a hidden state."""

    channels: int
    """Numbers at each position."""
    grid: tuple[int, ...] = ()
    """Positions: (H, W) of an image, (T,) of tokens, () of plain units."""

    @property
    def units(self) -> int:
        """How many numbers a sample's state has."""
        return self.channels * math.prod(self.grid)


class Shape(NamedTuple):
    """The dimensions of a network, and of the rule that serves it."""

    d_in: int
    """D, units of an input."""
    width: int
    """d, units of a hidden state where all are alike."""
    classes: int
    """C."""
    depth: int
    """L."""
    layers: tuple[Layer, ...] = ()
    """Forms of h_0 .. h_L; empty where each is `width` plain units."""
    image: tuple[int, ...] = ()
    """Form of an input, (C, H, W); empty where the network reads D units."""

    def layer(self, index: int) -> Layer:
        """Return the form of h_index."""
        return self.layers[index] if self.layers else Layer(self.width)

    @property
    def units(self) -> list[int]:
        """How many numbers a sample has in each of h_0 .. h_L."""
        return [self.layer(index).units for index in range(self.depth + 1)]

    @property
    def even(self) -> bool:
        """Return whether all hidden states have one form."""
        return len(set(self.layers)) < 2


class Counts(NamedTuple):
    """Some number of the embedding, of every block, and of the head."""

    embed: int
    blocks: list[int]
    head: int


class Pass(Protocol):
    """What a forward pass of R runs leaves behind."""

    @property
    def logits(self) -> Tensor:
        """Of each run, (R, N, C)."""
        ...

    @property
    def hiddens(self) -> list[Tensor]:
        """h_0 .. h_L, each (R, N, d)."""
        ...

    def rows(self, rows: slice) -> Self:
        """Return the part that belongs to some runs."""
        ...

    def expanded(self, runs: int) -> Self:
        """Return one run's pass as that of `runs` equal ones; its blocks need no gradients."""
        ...


P = TypeVar("P", bound=Pass)


class Network(ABC, Generic[P]):
    """One kind of network. Its methods are for R runs at once unless they say otherwise."""

    shape: Shape
    alike: ClassVar[bool] = False
    """All blocks have one form, and `block_grads` takes several at once."""

    # ---------------------------------------------------------------- parameters

    @abstractmethod
    def init(self, spec: "RunSpec", generator: torch.Generator, dtype: torch.dtype) -> Params:
        """Draw one run's parameters; in float32 first, so that precisions start alike."""

    def constants(self, specs: "Sequence[RunSpec]", dtype: torch.dtype) -> Params:
        """Return what the runs' networks hold beside parameters, (R,), by name."""
        return {}

    def lowered(self, params: Params, dtype: torch.dtype) -> Params:
        """Return the parameters with their weight matrices in `dtype`."""
        raise CreditError(f"precision={dtype} of weights is for network=resmlp: pass fp32")

    @abstractmethod
    def embed_names(self) -> tuple[str, ...]:
        """Return the names of the embedding's parameters."""

    @abstractmethod
    def block_names(self, block: int) -> tuple[str, ...]:
        """Return the names of a block's parameters."""

    @abstractmethod
    def head_names(self) -> tuple[str, ...]:
        """Return the names of the parameters of what follows the last block."""

    @abstractmethod
    def matrices(self, block: int) -> tuple[str, ...]:
        """Return the names of a block's weights that `pull` can replace.

        Raises:
            CreditError: there are others, which it cannot.
        """

    @abstractmethod
    def sizes(self) -> Counts:
        """Count parameters of one run."""

    @abstractmethod
    def products(self) -> Counts:
        """Count the multiply-adds of one sample, forward."""

    # ---------------------------------------------------------------- forward

    @abstractmethod
    def forward(self, params: Params, x: Tensor) -> P:
        """Pass x (N, D), shared by all runs, or (R, N, D), through the whole network."""

    @abstractmethod
    def logits(self, params: Params, x: Tensor) -> Tensor:
        """Return the logits (R, N, C) alone, for x (N, D)."""

    @abstractmethod
    def embed(self, params: Params, x: Tensor) -> Tensor:
        """Return h_0 (N, d) of one run, for x (N, D)."""

    @abstractmethod
    def advance(self, params: Params, h: Tensor, block: int) -> Tensor:
        """Return h_{block+1} (..., d') of one run, from any h_block (..., d)."""

    @abstractmethod
    def head(self, params: Params, h: Tensor) -> Tensor:
        """Return the logits (N, C) of one run, from any h_L (N, d)."""

    def tail(self, params: Params, h: Tensor, start: int) -> Tensor:
        """Return the logits (N, C) of one run, rolled forward from any h_start (N, d)."""
        for block in range(start, self.depth):
            h = self.advance(params, h, block)
        return self.head(params, h)

    @property
    def depth(self) -> int:
        """L."""
        return self.shape.depth

    # ---------------------------------------------------------------- backward

    @abstractmethod
    def head_input_vjp(self, params: Params, run: P, error: Tensor) -> Tensor:
        """Return the gradient at h_L, (R, N, d), from the one at the logits, (R, N, C)."""

    @abstractmethod
    def hidden_gradients(self, params: Params, run: P, error: Tensor) -> list[Tensor]:
        """Return the exact gradients g_0 .. g_L from the one at the logits, (R, N, C)."""

    @abstractmethod
    def head_grads(self, params: Params, run: P, error: Tensor) -> Params:
        """Return the head's parameter gradients from the gradient at the logits."""

    @abstractmethod
    def block_grads(
        self,
        params: Params,
        run: P,
        parts: Sequence[Part],
        cotangents: Sequence[Tensor],
        exact: bool = False,
    ) -> list[Tensor]:
        """Return gradients of `<h_{l+1}, c>` for some blocks l and runs, h_l held constant.

        One tensor for each of `block_names`, its rows those of the parts, one after the other.
        `cotangents` are c of every block, (R, N, d); `exact` says that they are what
        `hidden_gradients` gave of this very pass. Several parts are for `alike` blocks only.
        """

    @abstractmethod
    def embed_grads(self, params: Params, x: Tensor, cotangent: Tensor, out: Params) -> Params:
        """Return the gradients of `<h_0, cotangent>`, in `out` as far as that pays."""

    @abstractmethod
    def pull(
        self,
        params: Params,
        h: Tensor,
        block: int,
        cotangent: Tensor,
        feedback: Mapping[str, Tensor],
    ) -> Tensor:
        """Pull a cotangent (N, d') of one run's h_{block+1} back to h_block (N, d).

        On the way back, weights that `feedback` names have its values; the forward pass has not.
        """

    def branch(self, run: P, block: int) -> Tensor:
        """Return f_l(h_l), (R, N, d), of a network with residual branches."""
        raise CreditError("penalty is on residual branches, which resmlp alone has: pass 0")


K = TypeVar("K", bound=type)


def constant(kind: K) -> K:
    """Class decorator: `torch.func.vmap` hands objects of the class on as they are."""

    def rebuilt(_: object, network: Any) -> Any:
        return network

    register_pytree_node(kind, lambda network: ([], network), rebuilt)
    return kind


def stacked(runs: Sequence[Params]) -> Params:
    """Parameters of several runs, stacked along a new leading run dimension."""
    return {name: torch.stack([run[name] for run in runs]) for name in runs[0]}

"""ResMLP as a network of the trainer: fast, because its gradients are derived by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from credit.networks import resmlp
from credit.networks.base import Counts, Network, Params, Part, Shape, constant

if TYPE_CHECKING:
    from credit.spec import RunSpec


@constant
@dataclass(frozen=True)
class ResMLP(Network[resmlp.Forward]):
    """The functions of `resmlp` as a network of one shape."""

    alike = True
    shape: Shape
    terminal_norm: bool = True

    def init(self, spec: "RunSpec", generator: torch.Generator, dtype: torch.dtype) -> Params:
        alpha = None if spec.activation == "gelu" else spec.alpha
        return resmlp.init(*self.shape[:4], generator, dtype, alpha, spec.terminal_norm)

    def constants(self, specs: "Sequence[RunSpec]", dtype: torch.dtype) -> Params:
        if specs[0].activation == "gelu":
            return {}
        return {resmlp.ALPHA: torch.tensor([spec.alpha for spec in specs], dtype=dtype)}

    def lowered(self, params: Params, dtype: torch.dtype) -> Params:
        return resmlp.lowered(params, dtype)

    def block_names(self, block: int) -> tuple[str, ...]:
        return resmlp.block_names(block)

    def embed_names(self) -> tuple[str, ...]:
        return resmlp.EMBED

    def head_names(self) -> tuple[str, ...]:
        return resmlp.HEAD if self.terminal_norm else resmlp.HEAD[2:]

    def matrices(self, block: int) -> tuple[str, ...]:
        return tuple(
            name for name in resmlp.block_names(block) if name.endswith(("1.weight", "2.weight"))
        )

    def sizes(self) -> Counts:
        d_in, d, classes, depth = self.shape[:4]
        head = classes * d + classes + 2 * d * self.terminal_norm
        return Counts(d_in * d + d, [2 * d * d + 4 * d] * depth, head)

    def products(self) -> Counts:
        d_in, d, classes, depth = self.shape[:4]
        return Counts(d_in * d, [2 * d * d] * depth, d * classes)

    def forward(self, params: Params, x: Tensor) -> resmlp.Forward:
        return resmlp.forward(params, x)

    def embed(self, params: Params, x: Tensor) -> Tensor:
        return resmlp.embed(params, x)

    def logits(self, params: Params, x: Tensor) -> Tensor:
        return resmlp.tail(params, resmlp.embed(params, x), 0)

    def advance(self, params: Params, h: Tensor, block: int) -> Tensor:
        return h + resmlp.block_forward(params, block, h).out

    def head(self, params: Params, h: Tensor) -> Tensor:
        return resmlp.head(params, resmlp.at_output(params, h))

    def head_input_vjp(self, params: Params, run: resmlp.Forward, error: Tensor) -> Tensor:
        return resmlp.head_input_vjp(params, run.last, error)

    def hidden_gradients(self, params: Params, run: resmlp.Forward, error: Tensor) -> list[Tensor]:
        return resmlp.hidden_gradients(params, run, error)

    def head_grads(self, params: Params, run: resmlp.Forward, error: Tensor) -> Params:
        return resmlp.head_grads(params, run.last, error)

    def block_grads(
        self,
        params: Params,
        run: resmlp.Forward,
        parts: Sequence[Part],
        cotangents: Sequence[Tensor],
        exact: bool = False,
    ) -> list[Tensor]:
        known = run.at_pre if exact else None
        return resmlp.block_grads(params, run.blocks, parts, cotangents, known)

    def embed_grads(self, params: Params, x: Tensor, cotangent: Tensor, out: Params) -> Params:
        weight = "embed.weight"
        grad = resmlp.embed_grads(x, cotangent, params[weight].dtype, out[weight])
        return {weight: grad, "embed.bias": cotangent.sum(-2)}

    def pull(
        self,
        params: Params,
        h: Tensor,
        block: int,
        cotangent: Tensor,
        feedback: Mapping[str, Tensor],
    ) -> Tensor:
        trace = resmlp.block_forward(params, block, h)
        return resmlp.block_input_vjp({**params, **feedback}, block, trace, cotangent)[0]

    def branch(self, run: resmlp.Forward, block: int) -> Tensor:
        return run.blocks[block].out

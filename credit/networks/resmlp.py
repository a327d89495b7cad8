"""ResMLP as a dictionary of tensors and pure functions.

    h_0 = embed(x);  h_{l+1} = h_l + f_l(h_l);  f_l(h) = W2 act(W1 LN(h) + b1) + b2
    logits = out_head(out_ln(h_L))

act is GELU, or, where the tree holds an `alpha`, phi(z) = (1 - alpha) z + alpha tanh(z), alpha
never trained; without `out_ln` the output layer reads h_L as it is.

Every function works on one run, and, with a leading run dimension on parameters and states, on a
stack of R runs at once. Shape legend: R runs, N batch, d width, C classes, D input units.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from credit.networks.arithmetic import (
    Normed,
    affine,
    linear,
    norm_vjp,
    product,
    standardise,
    weight_grad,
)
from credit.networks.base import Params, Part

EMBED = ("embed.weight", "embed.bias")
HEAD = ("out_ln.weight", "out_ln.bias", "out_head.weight", "out_head.bias")
"""`out_ln` only where the network has a terminal norm."""
ALPHA = "alpha"
"""Not trained; runs of a stack may differ in it."""
BLOCK = ("ln.weight", "ln.bias", "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")


def block_names(block: int) -> tuple[str, ...]:
    """Parameter names of a block."""
    return tuple(f"blocks.{block}.{part}" for part in BLOCK)


def depth_of(params: Params) -> int:
    """L, the number of residual blocks."""
    return sum(name.endswith(".fc1.weight") for name in params)


def init(
    d_in: int,
    width: int,
    classes: int,
    depth: int,
    generator: torch.Generator,
    dtype: torch.dtype,
    alpha: float | None = None,
    terminal_norm: bool = True,
) -> Params:
    """One run's parameters, without a run dimension; `alpha` is None for GELU.

    PyTorch's default initialisation of Linear and LayerNorm, except fc2 of every block:
    weights N(0, 0.01^2), bias 0, so that a new network is close to the identity in its blocks.
    Drawn in float32 whatever `dtype` is, so that precisions start from the same point.
    """

    def linear(name: str, fan_out: int, fan_in: int) -> Params:
        bound = fan_in**-0.5  # kaiming_uniform(a=sqrt 5) for the weight, and the bias's own bound
        draw = torch.rand(fan_out, fan_in + 1, generator=generator) * 2 - 1
        return {f"{name}.weight": draw[:, 1:] * bound, f"{name}.bias": draw[:, 0] * bound}

    def norm(name: str) -> Params:
        return {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}

    params = linear("embed", width, d_in)
    for block in range(depth):
        params |= norm(f"blocks.{block}.ln")
        params |= linear(f"blocks.{block}.fc1", width, width)
        params[f"blocks.{block}.fc2.weight"] = torch.randn(width, width, generator=generator) * 0.01
        params[f"blocks.{block}.fc2.bias"] = torch.zeros(width)
    if terminal_norm:
        params |= norm("out_ln")
    params |= linear("out_head", classes, width)
    if alpha is not None:
        params[ALPHA] = torch.tensor(alpha)
    return {name: tensor.to(dtype).contiguous() for name, tensor in params.items()}


def lowered(params: Params, dtype: torch.dtype) -> Params:
    """The parameters with their weight matrices in `dtype`; biases and norms stay as they are."""
    matrices = ("embed.weight", "fc1.weight", "fc2.weight", "out_head.weight")
    return {name: p.to(dtype) if name.endswith(matrices) else p for name, p in params.items()}


def embed(params: Params, x: Tensor) -> Tensor:
    """h_0. x (N, D), shared by all runs, or (R, N, D) -> (..., N, d)."""
    weight, bias = params["embed.weight"], params["embed.bias"]
    if x.dim() == 2 and weight.dim() == 3:  # one large product instead of R small ones
        runs, width, _ = weight.shape
        flat = product(x, weight.flatten(0, 1).mT)
        return flat.view(-1, runs, width).transpose(0, 1).contiguous().add_(bias.unsqueeze(-2))
    return linear(x, weight, bias)


def activate(params: Params, pre: Tensor) -> Tensor:
    """The blocks' activation of `pre` (..., N, d)."""
    if ALPHA not in params:
        return F.gelu(pre)
    return torch.lerp(pre, pre.tanh(), params[ALPHA].unsqueeze(-1).unsqueeze(-1))


def activate_vjp(params: Params, cotangent: Tensor, pre: Tensor) -> Tensor:
    """Pull a cotangent of `activate`'s output back to its input."""
    if ALPHA not in params:
        return torch.ops.aten.gelu_backward(cotangent, pre)
    slope = 1 - params[ALPHA].unsqueeze(-1).unsqueeze(-1) * pre.tanh().square()
    return cotangent * slope


class BlockTrace(NamedTuple):
    """What block l leaves behind for its backward pass. All (..., N, d)."""

    normed: Normed
    pre: Tensor  # fc1's output, before the activation
    act: Tensor  # after it
    out: Tensor  # f_l(h_l)

    def rows(self, rows: slice) -> "BlockTrace":
        return BlockTrace(self.normed.rows(rows), *(t[rows] for t in self[1:]))


def block_forward(params: Params, block: int, h: Tensor) -> BlockTrace:
    """f_l(h_l) and what its backward pass needs. h (..., N, d)."""
    g, b, w1, b1, w2, b2 = (params[name] for name in block_names(block))
    normed = standardise(h)
    pre = linear(affine(normed.out, g, b), w1, b1)
    act = activate(params, pre)
    return BlockTrace(normed, pre, act, linear(act, w2, b2))


def at_output(params: Params, h: Tensor) -> Normed:
    """h_L (..., N, d) as the head wants it: standardised where there is a terminal norm."""
    if "out_ln.weight" in params:
        return standardise(h)
    return Normed(h, h, h[..., :1], h[..., :1])  # only `inputs` is read


def head_input(params: Params, normed: Normed) -> Tensor:
    """Return what the output layer reads, (..., N, d), from h_L, standardised."""
    if "out_ln.weight" not in params:
        return normed.inputs
    return affine(normed.out, params["out_ln.weight"], params["out_ln.bias"])


def head(params: Params, normed: Normed) -> Tensor:
    """Logits (..., N, C) from h_L, standardised."""
    return linear(head_input(params, normed), params["out_head.weight"], params["out_head.bias"])


def tail(params: Params, h: Tensor, start: int) -> Tensor:
    """Logits reached from hidden state `start`: blocks start..L-1, then the head."""
    for block in range(start, depth_of(params)):
        h = h + block_forward(params, block, h).out
    return head(params, at_output(params, h))


class Forward(NamedTuple):
    """One forward pass."""

    logits: Tensor  # (..., N, C)
    hiddens: list[Tensor]  # h_0 .. h_L, each (..., N, d)
    blocks: list[BlockTrace]
    last: Normed  # of h_L
    at_pre: dict[int, Tensor]  # by block: the exact gradient at `pre`, once it has been computed

    def rows(self, rows: slice) -> "Forward":
        blocks = [block.rows(rows) for block in self.blocks]
        hiddens = [h[rows] for h in self.hiddens]
        return Forward(self.logits[rows], hiddens, blocks, self.last.rows(rows), {})

    def expanded(self, runs: int) -> "Forward":
        """One run's pass, (1, N, .), as that of `runs` equal ones, without block traces.

        Views, but for `last`: LayerNorm's backward kernel reads past the end of tensors that are
        repeated by a stride of 0.
        """
        last = Normed(*(t.expand(runs, -1, -1).contiguous() for t in self.last))
        logits, *hiddens = (t.expand(runs, -1, -1) for t in (self.logits, *self.hiddens))
        return Forward(logits, hiddens, [], last, {})


def forward(params: Params, x: Tensor) -> Forward:
    """The whole network, keeping every hidden state. x (N, D) or (R, N, D)."""
    hiddens, blocks = [embed(params, x)], []
    for block in range(depth_of(params)):
        blocks.append(block_forward(params, block, hiddens[-1]))
        hiddens.append(hiddens[-1] + blocks[-1].out)
    last = at_output(params, hiddens[-1])
    return Forward(head(params, last), hiddens, blocks, last, {})


def head_input_vjp(params: Params, normed: Normed, error: Tensor) -> Tensor:
    """Loss gradient at h_L from the one at the logits, (..., N, C)."""
    at_input = product(error, params["out_head.weight"])
    if "out_ln.weight" not in params:
        return at_input
    return norm_vjp(at_input * params["out_ln.weight"].unsqueeze(-2), normed)


def head_grads(params: Params, normed: Normed, error: Tensor) -> Params:
    """Parameter gradients of the head. error (..., N, C): the gradient at the logits."""
    w = params["out_head.weight"]
    grads = {}
    if "out_ln.weight" in params:
        at_norm = product(error, w)
        grads["out_ln.weight"] = (at_norm * normed.out).sum(-2)
        grads["out_ln.bias"] = at_norm.sum(-2)
    grads["out_head.weight"] = weight_grad(error, head_input(params, normed), w.dtype)
    grads["out_head.bias"] = error.sum(-2)
    return grads


def block_input_vjp(
    params: Params, block: int, trace: BlockTrace, cotangent: Tensor
) -> tuple[Tensor, Tensor]:
    """Pull a cotangent (..., N, d) of h_{l+1} back to h_l, and to `trace.pre` on the way."""
    g, _, w1, _, w2, _ = (params[name] for name in block_names(block))
    at_pre = activate_vjp(params, product(cotangent, w2), trace.pre)
    return cotangent + norm_vjp(product(at_pre, w1) * g.unsqueeze(-2), trace.normed), at_pre


def block_grads(
    params: Params,
    blocks: Sequence[BlockTrace],
    parts: Sequence[Part],
    cotangents: Sequence[Tensor],
    at_pre: Mapping[int, Tensor] | None = None,
) -> list[Tensor]:
    """Parameter gradients of <f_l(h_l), c>, h_l held constant, of the blocks and rows of `parts`.

    Args:
        blocks, cotangents: of every block; c is (..., N, d).
        at_pre: the cotangents at fc1's outputs, by block, where they are known.

    Returns:
        One tensor for each of `block_names`, the rows of all parts one after the other.

    LN's affine part sits directly before fc1, so its gradients follow from fc1's: with
    P = at_pre^T normed and s = sum_n at_pre, grad fc1 = P diag(g) + s b^T, grad g = sum_rows W1*P,
    grad b = W1^T s. That replaces one (N x d)(d x d) product by elementwise work on (d x d).
    """

    def joined(of: Callable[[int], Tensor]) -> Tensor:
        found = [of(block)[rows] for block, rows in parts]
        return found[0] if len(found) == 1 else torch.cat(found)

    def own(name: str) -> Tensor:
        return joined(lambda block: params[f"blocks.{block}.{name}"])

    g, b, w1, w2 = map(own, ("ln.weight", "ln.bias", "fc1.weight", "fc2.weight"))
    cotangent = joined(lambda block: cotangents[block])
    if at_pre:
        inner = joined(at_pre.__getitem__)
    else:
        alpha = {ALPHA: joined(lambda _: params[ALPHA])} if ALPHA in params else {}
        inner = activate_vjp(alpha, product(cotangent, w2), joined(lambda block: blocks[block].pre))
    at_scale = weight_grad(inner, joined(lambda block: blocks[block].normed.out), w1.dtype)
    sums = inner.sum(-2)
    return [
        (w1 * at_scale).sum(-2),
        product(sums.unsqueeze(-2), w1).squeeze(-2),
        torch.addcmul(sums.unsqueeze(-1) * b.unsqueeze(-2), at_scale, g.unsqueeze(-2)),
        sums,
        weight_grad(cotangent, joined(lambda block: blocks[block].act), w2.dtype),
        cotangent.sum(-2),
    ]


def hidden_gradients(params: Params, run: Forward, error: Tensor) -> list[Tensor]:
    """Exact gradients g_0 .. g_L, each (..., N, d), from the one at the logits, (..., N, C)."""
    grads = [head_input_vjp(params, run.last, error)]
    for block in reversed(range(depth_of(params))):
        grad, run.at_pre[block] = block_input_vjp(params, block, run.blocks[block], grads[-1])
        grads.append(grad)
    return grads[::-1]


def embed_grads(x: Tensor, cotangent: Tensor, dtype: torch.dtype, out: Tensor) -> Tensor:
    """Weight gradient of <embed(x), cotangent>, multiplied in `dtype`, in `out` (R, d, D).

    x (N, D), shared by all runs, or (R, N, D); cotangent (R, N, d).
    """
    left = cotangent.mT.flatten(0, 1) if x.dim() == 2 else cotangent.mT
    whole = out.flatten(0, 1) if x.dim() == 2 else out
    if dtype == out.dtype:
        torch.matmul(left, x, out=whole)
    else:
        whole.copy_(left.to(dtype) @ x.to(dtype))
    return out

"""Any torch module that is an embedding, a list of blocks and a head, as a network of the trainer.

`torch.func` calls the parts with the parameters of a run and differentiates each by itself, with a
forward pass of its own, so that nothing is kept between calls. A stack's runs are looped over on a
CPU, where that is twice as fast as `vmap`, and lifted by `vmap` on a GPU.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode

from credit.errors import CreditError
from credit.networks.base import Counts, Network, Params, Part, Shape, constant
from credit.networks.forms import flat, folded

if TYPE_CHECKING:
    from credit.spec import RunSpec

MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""Modules whose `weight` a rule can replace on the way back."""
PROBED = 2
"""Samples on which a new network is tried."""


class Parts(nn.Module):
    """A network that is an embedding, a list of blocks and a head.

    Args:
        embed: returns h_0 for a batch of inputs.
        blocks: block l returns h_{l+1} for h_l, each (N, d), (N, T, d) or (N, C, H, W).
        head: returns the logits (N, C) for h_L.
    """

    def __init__(self, embed: nn.Module, blocks: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.ModuleList(blocks)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, C) of inputs; training calls the parts itself."""
        h = self.embed(x)
        for block in self.blocks:
            h = block(h)
        return self.head(h)


class Pass(NamedTuple):
    """One forward pass of R runs."""

    logits: Tensor  # (R, N, C)
    hiddens: list[Tensor]  # h_0 .. h_L, each (R, N, d)

    def rows(self, rows: slice) -> "Pass":
        return Pass(self.logits[rows], [h[rows] for h in self.hiddens])

    def expanded(self, runs: int) -> "Pass":
        return Pass(*tree_map(lambda t: t.expand(runs, -1, -1), tuple(self)))


@constant
class ModuleNetwork(Network[Pass]):
    """A network made by `make`. Not for several threads at once: a lane has its own.

    Args:
        make: returns a new module with the parts `embed`, `blocks` and `head`, its parameters drawn
            from torch's global generator.
        shape: as `probe` finds it.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        shape: Shape,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._make, self.shape = make, shape
        module = seeded(make, 0).to(device, dtype).requires_grad_(False)
        self._parts: list[Any] = [module.embed, *module.blocks, module.head]
        prefixes = ["embed", *(f"blocks.{block}" for block in range(shape.depth)), "head"]
        self._names = [
            {f"{prefix}.{name}": name for name, _ in part.named_parameters()}
            for prefix, part in zip(prefixes, self._parts, strict=True)
        ]
        self._lift = torch.device(device).type != "cpu"

    # ---------------------------------------------------------------- parameters

    def init(self, spec: "RunSpec", generator: torch.Generator, dtype: torch.dtype) -> Params:
        seed = int(torch.randint(2**62, (), generator=generator))
        drawn = seeded(self._make, seed).named_parameters()
        return {name: p.detach().to(dtype).contiguous() for name, p in drawn}

    def embed_names(self) -> tuple[str, ...]:
        return tuple(self._names[0])

    def block_names(self, block: int) -> tuple[str, ...]:
        return tuple(self._names[block + 1])

    def head_names(self) -> tuple[str, ...]:
        return tuple(self._names[-1])

    def matrices(self, block: int) -> tuple[str, ...]:
        part, names = self._parts[block + 1], self._names[block + 1]
        known = {f"{name}.weight" if name else "weight" for name, _ in _replaceable(part)}
        for name, parameter in part.named_parameters():
            if parameter.dim() > 1 and name not in known:
                raise CreditError(
                    f"blocks.{block}.{name} is no weight of a Linear or convolution: a rule that "
                    "replaces weights on the way back cannot replace it, choose another network"
                )
        return tuple(full for full, name in names.items() if name in known)

    def sizes(self) -> Counts:
        embed, *blocks, head = (sum(p.numel() for p in part.parameters()) for part in self._parts)
        return Counts(embed, blocks, head)

    def products(self) -> Counts:
        parameter = next(self._parts[0].parameters(), torch.zeros(()))
        state = torch.zeros(PROBED, *self.shape.image).to(parameter)
        counted = []
        for part in self._parts:
            with FlopCounterMode(display=False) as flops:
                state = part(state)
            counted.append(flops.get_total_flops() // (2 * PROBED))
        embed, *blocks, head = counted
        return Counts(embed, blocks, head)

    # ---------------------------------------------------------------- forward

    def _call(self, part: int, params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        module = self._parts[part]
        own = {name: params[full] for full, name in self._names[part].items()}
        for name, buffer in module.named_buffers():  # measurements run in float64, too
            own[name] = buffer.to(inputs.dtype) if buffer.is_floating_point() else buffer
        return functional_call(module, own, (inputs,))

    def embed(self, params: Params, x: Tensor) -> Tensor:
        return flat(self._call(0, params, x.unflatten(1, self.shape.image)))

    def advance(self, params: Params, h: Tensor, block: int) -> Tensor:
        state = folded(h.flatten(0, -2), self.shape.layer(block))
        return flat(self._call(block + 1, params, state)).unflatten(0, h.shape[:-1])

    def head(self, params: Params, h: Tensor) -> Tensor:
        return self._call(-1, params, folded(h, self.shape.layer(self.depth)))

    def forward(self, params: Params, x: Tensor) -> Pass:
        return self._each(self._run, params, self._for_all(params, x))

    def _run(self, params: Params, x: Tensor) -> Pass:
        hiddens = [self.embed(params, x)]
        for block in range(self.depth):
            hiddens.append(self.advance(params, hiddens[-1], block))
        return Pass(self.head(params, hiddens[-1]), hiddens)

    def logits(self, params: Params, x: Tensor) -> Tensor:
        def one(params: Params, x: Tensor) -> Tensor:
            return self.tail(params, self.embed(params, x), 0)

        return self._each(one, params, self._for_all(params, x))

    def _for_all(self, params: Params, x: Tensor) -> Tensor:
        """x (N, D) or (R, N, D) as the latter."""
        runs = len(next(iter(params.values())))
        return x if x.dim() == 3 else x.expand(runs, -1, -1)

    def _each(self, call: Callable[..., Any], *stacked: Any) -> Any:
        """Call a function of one run for every run, and stack what it returns."""
        if self._lift:
            return vmap(call)(*stacked)
        runs = len(tree_leaves(stacked[-1])[0])
        results = [call(*tree_map(lambda t, r=row: t[r], stacked)) for row in range(runs)]
        return tree_map(lambda *rows: torch.stack(rows), *results)

    # ---------------------------------------------------------------- backward

    def head_input_vjp(self, params: Params, run: Pass, error: Tensor) -> Tensor:
        def one(params: Params, h: Tensor, error: Tensor) -> Tensor:
            return vjp(lambda h: self.head(params, h), h)[1](error)[0]

        return self._each(one, params, run.hiddens[-1], error)

    def hidden_gradients(self, params: Params, run: Pass, error: Tensor) -> list[Tensor]:
        grads = [self.head_input_vjp(params, run, error)]
        for block in reversed(range(self.depth)):

            def one(params: Params, h: Tensor, above: Tensor, block: int = block) -> Tensor:
                return vjp(lambda h: self.advance(params, h, block), h)[1](above)[0]

            grads.append(self._each(one, params, run.hiddens[block], grads[-1]))
        return grads[::-1]

    def head_grads(self, params: Params, run: Pass, error: Tensor) -> Params:
        return self._grads(-1, params, self.head, run.hiddens[-1], error)

    def block_grads(
        self,
        params: Params,
        run: Pass,
        parts: Sequence[Part],
        cotangents: Sequence[Tensor],
        exact: bool = False,
    ) -> list[Tensor]:
        ((block, rows),) = parts
        part = {name: params[name][rows] for name in self._names[block + 1]}
        at = run.hiddens[block][rows], cotangents[block][rows]
        forward = partial(self.advance, block=block)
        return list(self._grads(block + 1, part, forward, *at).values())

    def embed_grads(self, params: Params, x: Tensor, cotangent: Tensor, out: Params) -> Params:
        return self._grads(0, params, self.embed, self._for_all(params, x), cotangent)

    def _grads(
        self,
        part: int,
        params: Params,
        forward: Callable[[Params, Tensor], Tensor],
        inputs: Tensor,
        cotangent: Tensor,
    ) -> Params:
        """Gradients of <forward(params, inputs), cotangent> at one part's parameters."""
        own = {name: params[name] for name in self._names[part]}

        def one(own: Params, inputs: Tensor, cotangent: Tensor) -> Params:
            return vjp(lambda own: forward(own, inputs), own)[1](cotangent)[0]

        found = self._each(one, own, inputs, cotangent) if own else {}
        # fused AdamW reads gradients in the order of memory: that of a convolution may be another
        return {name: grad.contiguous() for name, grad in found.items()}

    def pull(
        self,
        params: Params,
        h: Tensor,
        block: int,
        cotangent: Tensor,
        feedback: Mapping[str, Tensor],
    ) -> Tensor:
        names = self._names[block + 1]
        short = {names[full]: weight for full, weight in feedback.items() if full in names}
        with _replaced(self._parts[block + 1], short) as met:
            found = vjp(lambda h: self.advance(params, h, block), h)[1](cotangent)[0]
        if unmet := sorted(short.keys() - met):
            raise CreditError(
                f"blocks.{block}.{unmet[0]} is used without calling its module: a rule that "
                "replaces weights on the way back cannot replace it, choose another network"
            )
        return found


def _replaceable(part: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, m) for name, m in part.named_modules() if isinstance(m, MATRICES))


@contextmanager
def _replaced(part: nn.Module, feedback: Mapping[str, Tensor]) -> Iterator[set[str]]:
    """Pass errors back through other weights: forward W, backward B, of modules in MATRICES.

    Yields the names of those that have been called.
    """
    met: set[str] = set()

    def hook_of(name: str, weight: Tensor) -> Callable[..., Tensor]:
        def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            met.add(name)
            if isinstance(module, nn.Linear):
                other = nn.functional.linear(inputs[0], weight)
            else:
                other = module._conv_forward(inputs[0], weight, None)
            return output.detach() + (other - other.detach())

        return hook

    modules = {f"{name}.weight" if name else "weight": m for name, m in _replaceable(part)}
    hooks = [modules[n].register_forward_hook(hook_of(n, w)) for n, w in feedback.items()]
    try:
        yield met
    finally:
        for hook in hooks:
            hook.remove()


def seeded(make: Callable[[], nn.Module], seed: int) -> Any:
    """Return a new module, its parameters drawn after `seed`; the global generator stays."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # and not those of GPUs, which stay as they are
        return make()

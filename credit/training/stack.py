"""A stack: R runs of one network shape, advanced together by one batch step.

Parameters carry a leading run dimension. A single run is R = 1; there is no second loop. Runs share
the stack but nothing else: no number of a run depends on its neighbours beyond float rounding.

Shape legend: R runs, N batch, d width, C classes, L depth, S distinct seeds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from credit import network, rules
from credit.network import Forward, Params
from credit.randomness import generator
from credit.rules import Rule, Shape, State, Trace
from credit.spec import RunSpec

UNBRAKED_EPS = 1e-15
"""Below this credit_eps, a credit can be so small that its squares underflow in float32."""
DTYPES = {"fp32": torch.float32, "fp64": torch.float64}


@dataclass
class Group:
    """The runs of a stack that follow one rule."""

    rule: Rule
    rows: slice
    state: State  # leading dimension: the number of rows
    unbraked: bool  # a run's credit_eps is too small to stop credit from vanishing


def arrange(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """The order in which a stack keeps its runs.

    Rule after rule, those that read exact gradients first, so that each rule's runs and all that
    need backpropagation are slices; within a rule by falling k, so that the runs that train a block
    are one, too.
    """

    def key(spec: RunSpec) -> tuple:
        return not rules.get(spec.rule).reads_hidden_grads, spec.rule, -spec.k, spec.spec_hash

    return sorted(specs, key=key)


def runs_of(flags: Sequence[bool]) -> list[slice]:
    """The maximal contiguous slices where `flags` holds."""
    edges = [
        i
        for i in range(len(flags) + 1)
        if (i < len(flags) and flags[i]) != (i > 0 and flags[i - 1])
    ]
    return [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]


class Stack:
    """Parameters, optimizer and rule states of R runs.

    Args:
        specs: runs with equal `stack_key`, in the order of `arrange`.
        shape: the network's dimensions.
    """

    def __init__(self, specs: Sequence[RunSpec], shape: Shape) -> None:
        first = specs[0]
        assert "published" not in {s.credit_reduction for s in specs}, "specs are not resolved"
        assert all(spec.stack_key == first.stack_key for spec in specs), (
            "specs of unequal stack_key"
        )
        self.specs = list(specs)
        self.shape = shape
        self.device, self.dtype = torch.device(first.device), DTYPES[first.precision]
        self.seeds = sorted({spec.seed for spec in specs})
        self.seed_of_run = torch.tensor(
            [self.seeds.index(spec.seed) for spec in specs], device=self.device
        )
        self.params = self._init_params()
        self.groups = self._init_groups()
        self.exact = slice(0, sum(rules.get(s.rule).reads_hidden_grads for s in specs))
        self.trained = [
            runs_of([spec.k >= shape.depth - block for spec in specs])
            for block in range(shape.depth)
        ]
        self.moments = {
            name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in self.params.items()
        }
        self.optimizer_steps = 0
        self.optimizer = self._init_optimizer()
        self._embed_grad = torch.empty_like(self.params["embed.weight"])
        self._eps = self._column([spec.credit_eps for spec in specs])
        self._penalty = self._column([spec.penalty for spec in specs])
        self._per_sample = self._column([spec.credit_reduction == "sum" for spec in specs]) > 0
        surrogate = [rules.get(spec.rule).surrogate for spec in specs]
        self._clip = self._column([first.clip if s else float("inf") for s in surrogate]).view(-1)

    @property
    def size(self) -> int:
        """R."""
        return len(self.specs)

    def _column(self, values: Sequence[float]) -> Tensor:
        """One number per run as (R, 1, 1)."""
        return torch.tensor(values, dtype=self.dtype, device=self.device).view(-1, 1, 1)

    def _init_params(self) -> Params:
        by_seed = {
            seed: network.init(*self.shape, generator(seed, "init"), self.dtype)
            for seed in self.seeds
        }
        params = network.stack([by_seed[spec.seed] for spec in self.specs])
        return {name: tensor.to(self.device) for name, tensor in params.items()}

    def _init_groups(self) -> list[Group]:
        groups = []
        for name in dict.fromkeys(spec.rule for spec in self.specs):
            rule = rules.get(name)
            (rows,) = runs_of([spec.rule == name for spec in self.specs])
            states = [
                rule.init(spec, self.shape, generator(spec.seed, "feedback"))
                for spec in self.specs[rows]
            ]
            state = {
                key: torch.stack([s[key] for s in states]).to(self.device, self.dtype)
                for key in states[0]
            }
            unbraked = min(spec.credit_eps for spec in self.specs[rows]) < UNBRAKED_EPS
            groups.append(Group(rule, rows, state, unbraked))
        return groups

    # ---------------------------------------------------------------- optimizer

    def _parts(self) -> list[tuple[str, slice]]:
        """Every parameter slice that trains. Frozen blocks are in none: no step, no decay."""
        whole = slice(0, self.size)
        parts = [(name, whole) for name in ("embed.weight", "embed.bias", *network.HEAD)]
        for block, slices in enumerate(self.trained):
            parts += [(name, rows) for name in network.block_names(block) for rows in slices]
        return parts

    def _init_optimizer(self) -> torch.optim.AdamW:
        """One AdamW over slices of the stacked parameters, its moments slices of `self.moments`.

        AdamW acts on every number by itself, so one optimizer over all parts equals one each for
        embed, every block and head.
        """
        self._views = {(name, rows.start): self.params[name][rows] for name, rows in self._parts()}
        spec = self.specs[0]
        optimizer = torch.optim.AdamW(
            list(self._views.values()), lr=spec.lr, weight_decay=spec.weight_decay, fused=True
        )
        for (name, rows), view in zip(self._parts(), self._views.values(), strict=True):
            first, second = self.moments[name]
            optimizer.state[view] = {
                "step": torch.tensor(float(self.optimizer_steps), device=self.device),
                "exp_avg": first[rows],
                "exp_avg_sq": second[rows],
            }
        return optimizer

    def set_optimizer_steps(self, steps: int) -> None:
        """Continue AdamW's bias correction from `steps`."""
        self.optimizer_steps = steps
        for state in self.optimizer.state.values():
            state["step"].fill_(float(steps))

    def rule_state(self, row: int) -> State:
        """Views of what the rule of run `row` carries."""
        group = next(g for g in self.groups if row < g.rows.stop)
        return {key: value[row - group.rows.start] for key, value in group.state.items()}

    def non_finite(self, row: int) -> str:
        """Which parameter of a run is not finite; empty if all are."""
        for name, parameter in self.params.items():
            if not parameter[row].isfinite().all():
                return f"{name} is not finite"
        return ""

    def set_lr(self, lr: float) -> None:
        """Learning rate of the coming steps."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    # ---------------------------------------------------------------- credit

    def credits(
        self,
        run: Forward,
        labels: Tensor,
        error: Tensor,
        grad_out: Tensor,
        hidden_grads: list[Tensor],
    ) -> Iterator[tuple[Group, list[Tensor]]]:
        """Every rule's credit: each group with its a_0 .. a_L, (rows, N, d) each.

        Args:
            labels: (R, N).
            error: loss gradient at the logits, (R, N, C).
            grad_out: the same at h_L, (R, N, d).
            hidden_grads: the same at h_0 .. h_L, for at least the runs of `self.exact`.
        """
        for group in self.groups:
            rows, rule = group.rows, group.rule
            trace = Trace(
                hiddens=[h[rows] for h in run.hiddens],
                logits=run.logits[rows],
                labels=labels[rows],
                error=error[rows],
                grad_out=grad_out[rows],
                hidden_grads=[g[rows] for g in hidden_grads] if rule.reads_hidden_grads else [],
            )
            yield group, vmap(rule.credit)(group.state, trace)

    def measured_credits(
        self, run: Forward, labels: Tensor, error: Tensor, grad_out: Tensor, grads: list[Tensor]
    ) -> list[Tensor]:
        """a_0 .. a_L of all runs, (R, N, d) each, as the measurements want them."""
        groups = [credits for _, credits in self.credits(run, labels, error, grad_out, grads)]
        return [torch.cat(parts) for parts in zip(*groups, strict=True)]

    def _cotangents(self, run: Forward, labels: Tensor, error: Tensor) -> list[Tensor]:
        """What every block's output, and last the embedding's, is pulled along: L + 1 x (R, N, d).

        Local rules: norm(credit) / N, the gradient of mean_n <output, norm(credit)>. Backprop: the
        credit as it is.
        """
        samples = error.shape[-2]
        smallest = torch.finfo(self.dtype).tiny  # norm(0) = 0 also where eps = 0
        reduced = torch.where(self._per_sample, error, error / samples)
        grad_out = network.head_input_vjp(self.params, run.hiddens[-1], reduced)
        hidden_grads = []
        if self.exact.stop:
            params = {name: p[self.exact] for name, p in self.params.items()}
            part = _rows(run, self.exact)
            hidden_grads = network.hidden_gradients(params, part, reduced[self.exact])
        cotangents = [torch.empty_like(grad_out) for _ in range(self.shape.depth + 1)]
        for group, credits in self.credits(run, labels, reduced, grad_out, hidden_grads):
            rows, first = group.rows, group.rule.block_credit
            chosen = [*credits[first : first + self.shape.depth], credits[0]]
            for cotangent, credit in zip(cotangents, chosen, strict=True):
                if not group.rule.surrogate:
                    cotangent[rows] = credit
                    continue
                if group.unbraked:  # squares of what eps would have stopped may underflow
                    peak = credit.abs().amax(-1, keepdim=True).clamp_(min=smallest)
                    rms = torch.linalg.vector_norm(credit / peak, dim=-1, keepdim=True) * peak
                else:
                    rms = torch.linalg.vector_norm(credit, dim=-1, keepdim=True)
                rms = rms * self.shape.width**-0.5
                scale = 1 / ((rms + self._eps[rows]).clamp_(min=smallest) * samples)
                torch.mul(credit, scale, out=cotangent[rows])
        return cotangents

    # ---------------------------------------------------------------- one step

    def step(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """One batch through every run: forward, credit, gradients, clipping, AdamW.

        Args:
            x: (N, D) shared by all runs, or (S, N, D), one per seed.
            y: (N,) or (S, N).

        Returns:
            Per run, from the logits before the update: sum of sample losses (R,), correct (R,).
        """
        if x.dim() == 3:
            x, labels = x[self.seed_of_run], y[self.seed_of_run]
        else:
            labels = y.expand(self.size, -1)
        run = network.forward(self.params, x)
        losses = network.losses(run.logits, labels).sum(-1)
        correct = (run.logits.argmax(-1) == labels).sum(-1)
        error = network.output_error(run.logits, labels)
        *at_blocks, at_embed = self._cotangents(run, labels, error)

        whole = slice(0, self.size)
        samples = labels.shape[-1]
        self._assign(network.head_grads(self.params, run.hiddens[-1], error / samples), whole)
        network.embed_grads(x, at_embed, out=self._embed_grad)
        self._assign({"embed.weight": self._embed_grad, "embed.bias": at_embed.sum(-2)}, whole)
        for block, slices in enumerate(self.trained):
            for rows in slices:
                cotangent = at_blocks[block][rows]
                if any(spec.penalty for spec in self.specs[rows]):
                    pull = self._penalty[rows] * (2 / samples)
                    cotangent = cotangent + pull * run.blocks[block].out[rows]
                trace = network.BlockTrace(*(t[rows] for t in run.blocks[block]))
                params = {n: self.params[n][rows] for n in network.block_names(block)}
                grads = network.block_grads(params, block, trace, cotangent)
                self._assign(_clipped(grads, self._clip[rows]), rows)
        self.optimizer.step()
        self.optimizer_steps += 1
        return losses, correct

    def _assign(self, grads: Params, rows: slice) -> None:
        for name, grad in grads.items():
            self._views[name, rows.start].grad = grad


def _rows(run: Forward, rows: slice) -> Forward:
    """The part of a forward pass that belongs to some runs."""
    return Forward(
        run.logits[rows],
        [h[rows] for h in run.hiddens],
        [network.BlockTrace(*(t[rows] for t in block)) for block in run.blocks],
    )


def _clipped(grads: Params, limit: Tensor) -> Params:
    """Scale one block's gradients, per run, to norm `limit` (R,) where they exceed it.

    The rule of `torch.nn.utils.clip_grad_norm_`, for every run of the stack by itself.
    """
    norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in grads.values()])
    scale = (limit / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    return {
        name: grad.mul_(scale.view(-1, *[1] * (grad.dim() - 1))) for name, grad in grads.items()
    }

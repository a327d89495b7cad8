"""A lane: neighbouring runs of a stack that advance together by one batch step.

Everything a step does is here: forward, credit, gradients, clipping, AdamW. A lane owns no
parameters; it changes its rows of the stack's tensors in place.

Shape legend: R runs of the lane, N batch, d width, C classes, L depth, S seeds.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor
from torch.func import vmap

from credit import rules
from credit.networks import resmlp
from credit.networks.resmlp import EMBED, Forward, Params
from credit.rules import Shape, State, Trace
from credit.spec import RunSpec
from credit.training.group import Group
from credit.training.optimizer import Moments, adamw, clipped, set_steps
from credit.training.products import PRECISIONS


def runs_of(flags: Sequence[bool]) -> list[slice]:
    """The maximal contiguous slices where `flags` holds."""
    slices, start = [], 0
    for flag, members in groupby(flags):
        stop = start + len(list(members))
        if flag:
            slices.append(slice(start, stop))
        start = stop
    return slices


class Lane:
    """Runs of one shape, and how one batch changes them.

    Args:
        specs: the runs, each rule's beside each other, rules that read exact gradients first.
        params, moments: their rows of the stack's tensors, (R, ...).
        seeds: the stack's seeds, in the order of its batches.
    """

    def __init__(
        self,
        specs: Sequence[RunSpec],
        shape: Shape,
        params: Params,
        moments: Moments,
        seeds: Sequence[int],
    ) -> None:
        self.specs = list(specs)
        self.size = len(self.specs)  # R
        self.shape = shape
        self.params = params
        example = params["embed.bias"]
        self.device, self.dtype = example.device, example.dtype
        self._batch_of = torch.tensor([seeds.index(s.seed) for s in specs], device=self.device)
        self._weights = PRECISIONS[specs[0].precision].weights
        self.groups = self._init_groups()
        embed = EMBED if specs[0].embed_trains else ()
        self._ends = (*embed, *(resmlp.head_names(params) if specs[0].head_trains else ()))
        self.frozen = not self._ends and not any(spec.k for spec in specs)
        """No parameter of any network trains: only estimators do."""
        self._alike = self.frozen and len({(spec.seed, spec.start) for spec in specs}) == 1
        """All networks are one, and see one batch."""
        self.exact = slice(0, sum(rules.get(s.rule).reads_hidden_grads for s in specs))
        self.trained = [
            runs_of([spec.k >= shape.depth - block for spec in specs])
            for block in range(shape.depth)
        ]
        self.phase: tuple[tuple[bool, bool], ...] = ()
        self.optimizer = self._init_optimizer(moments)
        self._embed_grad = torch.empty_like(params["embed.weight"])
        self._eps = self._column([spec.credit_eps for spec in specs])
        self._penalty = self._column([spec.penalty for spec in specs])
        self._per_sample = self._column([spec.credit_reduction == "sum" for spec in specs]) > 0
        surrogate = [rules.get(spec.rule).surrogate for spec in specs]
        limits = [specs[0].clip if s else float("inf") for s in surrogate]
        self._clip = self._column(limits).view(-1)

    def _column(self, values: Sequence[float]) -> Tensor:
        """One number per run as (R, 1, 1)."""
        return torch.tensor(values, dtype=self.dtype, device=self.device).view(-1, 1, 1)

    def _init_groups(self) -> list[Group]:
        groups = []
        configured = [rules.of(spec) for spec in self.specs]
        for rule in dict.fromkeys(configured):
            (rows,) = runs_of([other == rule for other in configured])
            groups.append(Group(self.specs[rows], rows, self.shape, self.device, self.dtype))
        return groups

    # ---------------------------------------------------------------- optimizer

    def _init_optimizer(self, moments: Moments) -> torch.optim.AdamW | None:
        """One AdamW over every parameter slice that trains, if any; `moments` holds its state.

        Frozen blocks are in none: no step, no decay. On a GPU the learning rate is a tensor, which
        a captured step reads anew at every replay.
        """
        parts = [(name, slice(0, self.size)) for name in self._ends]
        for block, slices in enumerate(self.trained):
            parts += [(name, rows) for name in resmlp.block_names(block) for rows in slices]
        self._views = {(name, rows.start): self.params[name][rows] for name, rows in parts}
        if not parts:
            return None
        own = [(moments[name][0][rows], moments[name][1][rows]) for name, rows in parts]
        lr, decay = self.specs[0].lr, self.specs[0].weight_decay
        optimizer = adamw([*self._views.values()], own, lr=lr, weight_decay=decay)
        if self.device.type == "cuda":
            optimizer.param_groups[0]["lr"] = torch.tensor(lr, device=self.device)
        return optimizer

    def set_optimizer_steps(self, steps: int) -> None:
        set_steps(self.optimizer, steps)
        for group in self.groups:
            group.set_optimizer_steps(steps)

    def set_lr(self, lr: float) -> None:
        """Learning rate of the coming steps."""
        for group in self.optimizer.param_groups if self.optimizer else ():
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    # ---------------------------------------------------------------- rules that learn

    def set_phase(self, epoch: int, epochs: int, step: int) -> None:
        """Prepare for a step: epochs count from 0, and so do steps from the first of all.

        `phase` is what a step does differently for it: a recorded step is good for one phase.
        """
        for group in self.groups:
            group.set_phase(epoch, epochs, step)
        self.phase = tuple((group.warm, group.learns) for group in self.groups)

    def noise(self, samples: int, step: int) -> list[State]:
        return [group.noise(samples, step) for group in self.groups]

    def count_updates(self) -> None:
        for group in self.groups:
            group.count_update()

    def take_metrics(self) -> list[dict[str, float]]:
        return [metrics for group in self.groups for metrics in group.take_metrics()]

    # ---------------------------------------------------------------- credit

    def traces(
        self,
        run: Forward,
        labels: Tensor,
        error: Tensor,
        grad_out: Tensor,
        hidden_grads: list[Tensor],
        params: Params | None = None,
    ) -> list[Trace]:
        """Return what a step shows the rule of every group.

        Args:
            labels: (R, N).
            error, grad_out: loss gradient at the logits, (R, N, C), and at h_L, (R, N, d).
            hidden_grads: the same at h_0 .. h_L, for at least the runs of `self.exact`.
            params: as the step multiplies with them; None is the parameters as they are.
        """
        weights = {k: p for k, p in (params or self.params).items() if k not in EMBED}
        return [
            Trace(
                hiddens=[h[rows] for h in run.hiddens],
                logits=run.logits[rows],
                labels=labels[rows],
                error=error[rows],
                grad_out=grad_out[rows],
                hidden_grads=[g[rows] for g in hidden_grads if rule.reads_hidden_grads],
                weights={
                    k: p[rows] for k, p in weights.items() if rule.learned or rule.reads_weights
                },
            )
            for rule, rows in ((group.rule, group.rows) for group in self.groups)
        ]

    def credits(self, traces: Sequence[Trace]) -> Iterator[tuple[Group, list[Tensor]]]:
        """Every rule's credit: each group with its a_0 .. a_L, (rows, N, d) each."""
        for group, trace in zip(self.groups, traces, strict=True):
            yield group, vmap(group.rule.credit)(group.state, trace)

    def _step_traces(
        self, params: Params, run: Forward, labels: Tensor, error: Tensor
    ) -> list[Trace]:
        """`traces` in a step, from each sample's own `error`."""
        reduced = torch.where(self._per_sample, error, error / error.shape[-2])
        grad_out = resmlp.head_input_vjp(params, run.last, reduced)
        hidden_grads = []
        if self.exact.stop and not self.frozen:
            exact = {name: p[self.exact] for name, p in params.items()}
            part = run.rows(self.exact)
            hidden_grads = resmlp.hidden_gradients(exact, part, reduced[self.exact])
        return self.traces(run, labels, reduced, grad_out, hidden_grads, params)

    def _cotangents(self, traces: Sequence[Trace]) -> list[Tensor]:
        """What every block's output, and last the embedding's, is pulled along: L + 1 x (R, N, d).

        Local rules: norm(credit) / N, the gradient of mean_n <output, norm(credit)>. Backprop: the
        credit as it is.
        """
        samples = traces[0].error.shape[-2]
        smallest = torch.finfo(self.dtype).tiny  # norm(0) = 0 also where eps = 0
        size = (self.size, samples, self.shape.width)
        cotangents = [traces[0].error.new_empty(size) for _ in range(self.shape.depth + 1)]
        for group, trace in zip(self.groups, traces, strict=True):
            credit_of = group.rule.warmup_credit if group.warm else group.rule.credit
            credits = vmap(credit_of)(group.state, trace)
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

    def step(self, x: Tensor, y: Tensor, noise: list[State]) -> tuple[Tensor, Tensor]:
        """One batch through every run: forward, learning rules, credit, gradients, clipping, AdamW.

        Args:
            x, y: (N, D) and (N,), shared by all runs, or (S, N, D) and (S, N), by seed.

        Returns:
            Per run, from the logits before the update: sum of sample losses (R,), correct (R,).
        """
        if x.dim() == 3:
            x, labels = x[self._batch_of], y[self._batch_of]
        else:
            labels = y.expand(self.size, -1)
        params = self.params
        if self._weights != self.dtype:
            params = resmlp.lowered(params, self._weights)
        run = self._forward(params, x)
        losses = resmlp.losses(run.logits, labels).sum(-1)
        correct = (run.logits.argmax(-1) == labels).sum(-1)
        error = resmlp.output_error(run.logits, labels)
        traces = self._step_traces(params, run, labels, error)
        for group, trace, draws in zip(self.groups, traces, noise, strict=True):
            if group.learns:
                group.learn(trace, draws)
        if self.optimizer is None:
            return losses, correct
        *at_blocks, at_embed = self._cotangents(traces)

        whole = slice(0, self.size)
        samples = labels.shape[-1]
        if self.specs[0].head_trains:
            self._assign(resmlp.head_grads(params, run.last, error / samples), whole)
        if self.specs[0].embed_trains:
            resmlp.embed_grads(x, at_embed, self._weights, out=self._embed_grad)
            self._assign({"embed.weight": self._embed_grad, "embed.bias": at_embed.sum(-2)}, whole)
        for block, slices in enumerate(self.trained):
            for rows in slices:
                cotangent = at_blocks[block][rows]
                if any(spec.penalty for spec in self.specs[rows]):
                    pull = self._penalty[rows] * (2 / samples)
                    cotangent = cotangent + pull * run.blocks[block].out[rows]
                part = resmlp.block_part(params, block, rows)
                grads = resmlp.block_grads(part, block, run.blocks[block].rows(rows), cotangent)
                self._assign(clipped(grads, self._clip[rows]), rows)
        self.optimizer.step()
        return losses, correct

    def _forward(self, params: Params, x: Tensor) -> Forward:
        """The forward pass of all runs: one, shown to each, where their networks are one."""
        if not self._alike or self.size == 1:
            return resmlp.forward(params, x)
        one = resmlp.forward({k: p[:1] for k, p in params.items()}, x[:1] if x.dim() > 2 else x)
        return one.expanded(self.size)

    def _assign(self, grads: Params, rows: slice) -> None:
        for name, grad in grads.items():
            self._views[name, rows.start].grad = grad

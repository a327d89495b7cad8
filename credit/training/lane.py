"""A lane: neighbouring runs of a stack that advance together by one batch step.

Everything a step does is here: forward, credit, gradients, clipping, AdamW. A lane owns no
parameters; it changes its rows of the stack's tensors in place.

Shape legend: R runs of the lane, N batch, d width, C classes, L depth, S seeds.
"""

from collections.abc import Sequence
from itertools import groupby
from math import inf

import torch
from torch import Tensor

from credit import rules
from credit.networks import kinds
from credit.networks.arithmetic import losses, output_error
from credit.networks.base import Params, Part, Pass
from credit.rules import Rule, Shape, State, Trace
from credit.spec import RunSpec
from credit.training.cotangents import cotangents, trains_exactly
from credit.training.group import Group
from credit.training.optimizer import Moments, adamw, clipped, decay, recorded, set_lr, set_steps
from credit.training.products import PRECISIONS


def runs_of(marks: Sequence[int]) -> list[slice]:
    """The maximal contiguous slices of one mark, but for those of mark 0."""
    slices, start = [], 0
    for mark, members in groupby(marks):
        stop = start + len(list(members))
        if mark:
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
        example = next(iter(params.values()))
        self.device, self.dtype = example.device, example.dtype
        self.network = kinds.of(specs[0], shape, self.device, self.dtype)
        self._batch_of = torch.tensor([seeds.index(s.seed) for s in specs], device=self.device)
        self._weights = PRECISIONS[specs[0].precision].weights
        self.groups = self._init_groups()
        embed = self.network.embed_names() if specs[0].embed_trains else ()
        self._ends = (*embed, *(self.network.head_names() if specs[0].head_trains else ()))
        self.frozen = not self._ends and not any(spec.k for spec in specs)
        """No parameter of any network trains: only estimators do."""
        self._alike = self.frozen and len({(spec.seed, spec.start) for spec in specs}) == 1
        """All networks are one, and see one batch."""
        self.exact = slice(0, sum(rules.get(s.rule).reads_hidden_grads for s in specs))
        self._merges = self.network.alike and recorded(self.device)
        """All layers are computed at once: copies cost a GPU less than launches, a CPU more."""
        pulled = any(spec.penalty for spec in specs)  # then all cotangents are computed anew
        exact = [trains_exactly(spec) and not (pulled or self._merges) for spec in specs]
        marked = [(spec, 1 + flag) for spec, flag in zip(specs, exact, strict=True)]
        least = range(shape.depth, 0, -1)  # k of runs that train a block
        self.trained: list[Part] = [
            (block, rows)
            for block, k in enumerate(least)
            for rows in runs_of([(spec.k >= k) * mark for spec, mark in marked])
        ]
        self.phase: tuple[tuple[bool, bool], ...] = ()
        self.optimizer = self._init_optimizer(moments)
        self._embed_grads = {name: torch.empty_like(params[name]) for name in embed}
        self._eps = self._column([spec.credit_eps for spec in specs])
        self._penalty = self._column([spec.penalty for spec in specs])
        self._per_sample = self._column([spec.credit_reduction == "sum" for spec in specs]) > 0
        limits = [s.clip if rules.get(s.rule).surrogate else inf for s in specs]
        each = [self.trained] if self._merges and self.trained else [[p] for p in self.trained]
        self._at_once: list[tuple[list[Part], Tensor | None, bool]] = []
        """Parts whose gradients are computed as one, the limits of their norms, if there are any,
        and whether their cotangents are exact gradients."""
        for parts in each:
            own = [value for _, rows in parts for value in limits[rows]]
            limit = self._column(own).view(-1) if min(own) < inf else None
            self._at_once.append((parts, limit, all(exact[rows.start] for _, rows in parts)))

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

        Frozen blocks are in none: no step, no decay.
        """
        parts = [(name, slice(0, self.size)) for name in self._ends]
        for block, rows in self.trained:
            parts += [(name, rows) for name in self.network.block_names(block)]
        self._views = {(name, rows.start): self.params[name][rows] for name, rows in parts}
        if not parts:
            return None
        own = [(moments[name][0][rows], moments[name][1][rows]) for name, rows in parts]
        lr, decay = self.specs[0].lr, self.specs[0].weight_decay
        return adamw([*self._views.values()], own, lr, decay, lr_changes=True)

    def set_optimizer_steps(self, steps: int) -> None:
        set_steps(self.optimizer, steps)
        for group in self.groups:
            group.set_optimizer_steps(steps)

    def set_lr(self, lr: float) -> None:
        set_lr(self.optimizer, lr)

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

    def measured_noise(self, samples: int) -> list[State]:
        """Return what rules that do not learn draw for their credit on held-out samples."""
        return [
            {} if group.rule.learned else group.noise(samples, 0, "measured")
            for group in self.groups
        ]

    def count_updates(self) -> None:
        for group in self.groups:
            group.count_update()

    def take_metrics(self) -> list[dict[str, float]]:
        return [metrics for group in self.groups for metrics in group.take_metrics()]

    # ---------------------------------------------------------------- credit

    def traces(
        self,
        run: Pass,
        x: Tensor,
        labels: Tensor,
        error: Tensor,
        grad_out: Tensor,
        hidden_grads: Sequence[Tensor],
        noise: Sequence[State],
        params: Params | None = None,
    ) -> list[Trace]:
        """Return what a step shows the rule of every group.

        Args:
            x: inputs, (N, D) or (R, N, D); labels: (R, N).
            error, grad_out: loss gradient at the logits, (R, N, C), and at h_L, (R, N, d).
            hidden_grads: the same at h_0 .. h_L, for at least the runs of `self.exact`.
            noise: what the rule of every group has drawn.
            params: as the step multiplies with them; None is the parameters as they are.
        """
        x = x.expand(self.size, -1, -1)
        return [
            Trace(
                hiddens=[h[rows] for h in run.hiddens],
                logits=run.logits[rows],
                labels=labels[rows],
                error=error[rows],
                grad_out=grad_out[rows],
                hidden_grads=[g[rows] for g in hidden_grads if rule.reads_hidden_grads],
                weights=self._shown(rule, rows, params or self.params),
                inputs=x[rows] if rule.reads_input else error[rows, :, :0],
                noise=draws,
                network=self.network,
            )
            for rule, rows, draws in (
                (group.rule, group.rows, drawn)
                for group, drawn in zip(self.groups, noise, strict=True)
            )
        ]

    def _shown(self, rule: Rule, rows: slice, params: Params) -> Params:
        """The weights that a rule is shown."""
        if not (rule.learned or rule.reads_weights or rule.reads_input):
            return {}
        hidden = () if rule.reads_input else self.network.embed_names()
        return {name: p[rows] for name, p in params.items() if name not in hidden}

    def _step_traces(
        self,
        params: Params,
        run: Pass,
        x: Tensor,
        labels: Tensor,
        error: Tensor,
        noise: list[State],
    ) -> tuple[list[Trace], Pass]:
        """`traces` in a step, from each sample's own `error`, and the pass of `self.exact`."""
        reduced = torch.where(self._per_sample, error, error / error.shape[-2])
        grad_out = self.network.head_input_vjp(params, run, reduced)
        hidden_grads, part = [], run
        if self.exact.stop and not self.frozen:
            exact, part = {name: p[self.exact] for name, p in params.items()}, run.rows(self.exact)
            hidden_grads = self.network.hidden_gradients(exact, part, reduced[self.exact])
        return self.traces(run, x, labels, reduced, grad_out, hidden_grads, noise, params), part

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
            params = self.network.lowered(params, self._weights)
        run = self._forward(params, x)
        loss = losses(run.logits, labels).sum(-1)
        correct = (run.logits.argmax(-1) == labels).sum(-1)
        error = output_error(run.logits, labels)
        traces, part = self._step_traces(params, run, x, labels, error, noise)
        for group, trace in zip(self.groups, traces, strict=True):
            if group.learns:
                group.learn(trace)
        if self.optimizer is None:
            return loss, correct
        *at_blocks, at_embed = cotangents(self.groups, traces, self.shape, self._eps, self._merges)
        samples = labels.shape[-1]
        if self.specs[0].head_trains:
            self._assign(self.network.head_grads(params, run, error / samples))
        if self.specs[0].embed_trains:
            self._assign(self.network.embed_grads(params, x, at_embed, self._embed_grads))
        if any(spec.penalty for spec in self.specs):
            pull = self._penalty * (2 / samples)
            at_blocks = [c + pull * self.network.branch(run, i) for i, c in enumerate(at_blocks)]
        for parts, limit, exact in self._at_once:
            seen = params, part if exact else run, parts, at_blocks, exact
            grads = clipped(self.network.block_grads(*seen), limit)
            sizes = [rows.stop - rows.start for _, rows in parts]
            split = [grad.split(sizes) if len(parts) > 1 else [grad] for grad in grads]
            for (block, rows), *own in zip(parts, *split, strict=True):
                self._assign(dict(zip(self.network.block_names(block), own, strict=True)), rows)
        followed = []
        for group, trace in zip(self.groups, traces, strict=True):
            if group.rule.follows:  # the weights as they are, not as the step multiplies with them
                before = self._shown(group.rule, group.rows, self.params).items()
                before = {name: weight.clone() for name, weight in before}
                followed.append((group, trace._replace(weights=before)))
        self.optimizer.step()
        for group, trace in followed:
            after = self._shown(group.rule, group.rows, self.params)
            group.follow(trace, after, decay(self.optimizer, self._eps))
        return loss, correct

    def _forward(self, params: Params, x: Tensor) -> Pass:
        """The forward pass of all runs: one, shown to each, where their networks are one."""
        if not self._alike or self.size == 1:
            return self.network.forward(params, x)
        first = {name: p[:1] for name, p in params.items()}
        one = self.network.forward(first, x[:1] if x.dim() > 2 else x)
        return one.expanded(self.size)

    def _assign(self, grads: Params, rows: slice = slice(0, None)) -> None:
        for name, grad in grads.items():
            self._views[name, rows.start].grad = grad

"""The obvious trainer of the learned rules: one run, row by row, autograd, torch.optim.

Written from the methods; what it shares with `credit.rules` is the names of an estimator's
parameters, the draws of a step and the order in which rows use them. Legend: N batch, d width,
L depth, P rows shown to the estimator in one step.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from credit.spec import RunSpec
from tests import reference
from tests.reference import Batch, ResMLP

Weights = dict[str, Tensor]
Draws = dict[str, Tensor]


class Result(NamedTuple):
    """What training leaves behind."""

    params: dict[str, Tensor]
    estimator: Weights
    average: Weights  # of the credit bridge
    losses: list[float]  # the estimator's, step by step


class Seen(NamedTuple):
    """What an estimator learns from in one step: constants."""

    states: list[Tensor]  # h_0 .. h_L
    labels: Tensor
    error: Tensor  # (N, C), of each sample
    at_output: Tensor  # (N, d), loss gradient of each sample at h_L

    @classmethod
    def of(cls, model: ResMLP, x: Tensor, y: Tensor) -> "Seen":
        with torch.no_grad():
            states = model.hiddens(x)
            error = model.head(states[-1]).softmax(-1) - F.one_hot(y, model.out_head.out_features)
        last = states[-1].clone().requires_grad_()
        loss = F.cross_entropy(model.head(last), y, reduction="sum")
        return cls(states, y, error, torch.autograd.grad(loss, last)[0])


def output(weights: Weights, h: Tensor, t: float, s: Tensor) -> Tensor:
    """The estimator at states h (N, d) of one layer, t = l / L, with codes s (N, S)."""
    turns = [2 * math.pi * t * half / 2 for half in range(1, 9)]
    time = torch.tensor([*map(math.sin, turns), *map(math.cos, turns)], dtype=h.dtype)
    inputs = torch.cat([F.layer_norm(h, h.shape[-1:]), time.expand(len(h), -1), s], dim=-1)
    first = torch.cat([weights["in.h"], weights["in.t"], weights["in.s"]], dim=-1)
    z = F.linear(inputs, first, weights["in.bias"])
    for name in sorted({key.split(".")[0] for key in weights if key.startswith("hidden")}):
        z = F.linear(F.gelu(z), weights[f"{name}.weight"], weights[f"{name}.bias"])
    return F.linear(F.gelu(z), weights["out.weight"], weights["out.bias"])


def codes(weights: Weights, seen: Seen, code: str) -> Tensor:
    """S of every sample."""
    s = seen.error
    if code.startswith("deltaL"):
        s = seen.at_output / seen.at_output.square().mean().sqrt()
    if code.endswith("_hL"):
        last = F.layer_norm(seen.states[-1], seen.states[-1].shape[-1:])
        s = torch.cat([s, last @ weights["code.hL"].T], dim=-1)
    return s


def relative(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error over the target's mean square."""
    return (found - wanted).square().mean() / wanted.square().mean()


def shown(order: Tensor, depth: int, times: int) -> list[tuple[int, int]]:
    """(layer, sample) of every row: at layer l the l-th part of the samples and those after it."""
    return [
        (layer, sample)
        for layer in range(depth)
        for i in range(times or depth)
        for sample in order[(layer + i) % depth :: depth].tolist()
    ]


def state_bridge(
    weights: Weights, average: Weights, model: ResMLP, seen: Seen, draws: Draws, spec: RunSpec
) -> Tensor:
    depth, order = spec.depth, draws["order"]
    rows = shown(order, depth, spec.estimator_layers)
    most = max(sum(layer == other for other, _ in rows) for layer in range(depth))
    rows += [(depth, sample) for sample in order[:most].tolist()]
    s = codes(weights, seen, spec.code)
    found = [output(weights, seen.states[i][[n]], i / depth, s[[n]]) for i, n in rows]
    return relative(torch.cat(found), torch.stack([seen.states[-1][n] for _, n in rows]))


def credit_bridge(
    weights: Weights, average: Weights, model: ResMLP, seen: Seen, draws: Draws, spec: RunSpec
) -> Tensor:
    depth, s = spec.depth, codes(weights, seen, spec.code)
    last = seen.states[-1].clone().requires_grad_()
    with torch.no_grad():
        to_come = F.cross_entropy(model.head(last), seen.labels, reduction="none")
    value = output(weights, last, 1.0, s)[:, 0]
    slope = torch.autograd.grad(value.sum(), last, create_graph=True)[0]
    terminal = (value - to_come).square().mean()

    errors = []
    for row, (layer, n) in enumerate(shown(draws["order"], depth, spec.estimator_layers)):
        after = seen.states[layer + 1][n]
        sigma = spec.sigma * (after.square().mean().sqrt() if spec.sigma_relative else 1)
        around = after + sigma * draws["successors"][:, row]
        with torch.no_grad():
            code = codes(average, seen, spec.code)[[n]].expand(len(around), -1)
            values = output(average, around, (layer + 1) / depth, code)
            target = -spec.tau * (-values / spec.tau).exp().mean().log()
        found = output(weights, seen.states[layer][[n]], layer / depth, s[[n]])
        errors.append((found - target).square())
    return terminal + torch.cat(errors).mean() + spec.tgw * relative(slope, seen.at_output)


def vector_field(
    weights: Weights, average: Weights, model: ResMLP, seen: Seen, draws: Draws, spec: RunSpec
) -> Tensor:
    depth, s = spec.depth, codes(weights, seen, spec.code)

    def to_come(h: Tensor, layer: int, n: int) -> Tensor:
        for block in list(model.blocks)[layer:]:
            h = h + block(h)
        return F.cross_entropy(model.head(h), seen.labels[n].expand(len(h)), reduction="none")

    found, slopes = [], []
    for row, (layer, n) in enumerate(shown(draws["order"], depth, spec.estimator_layers)):
        h, along = seen.states[layer][[n]], draws["directions"][:, row]
        with torch.no_grad():
            ahead = to_come(h + spec.field_eps * along, layer, n)
            if spec.one_sided:
                slopes.append((ahead - to_come(h, layer, n)) / spec.field_eps)
            else:
                behind = to_come(h - spec.field_eps * along, layer, n)
                slopes.append((ahead - behind) / (2 * spec.field_eps))
        found.append(along @ output(weights, h, layer / depth, s[[n]])[0])
    if spec.shuffle:
        slopes = [slopes[row] for row in draws["shuffle"].tolist()]
    terminal = relative(output(weights, seen.states[-1], 1.0, s), seen.at_output)
    return relative(torch.stack(found), torch.stack(slopes)) + spec.terminal_weight * terminal


LOSSES: dict[str, Callable[..., Tensor]] = {
    "state_bridge": state_bridge,
    "credit_bridge": credit_bridge,
    "vector_field": vector_field,
}


def credits(weights: Weights, model: ResMLP, seen: Seen, spec: RunSpec) -> list[Tensor]:
    """a_0 .. a_L."""
    s, assigned = codes(weights, seen, spec.code), []
    for layer, state in enumerate(seen.states):
        h = state.clone().requires_grad_()
        found = output(weights, h, layer / spec.depth, s)
        if spec.rule == "vector_field":
            assigned.append(found.detach())
            continue
        if spec.rule == "state_bridge":
            found = F.cross_entropy(model.head(found), seen.labels, reduction="none")
        assigned.append(torch.autograd.grad(found.sum(), h)[0])
    return assigned


def train(
    params: dict[str, Tensor],
    state: Weights,
    epochs: Sequence[Iterable[Batch]],
    spec: RunSpec,
    draw: Callable[[int, int], Draws],
) -> Result:
    """Train one run from `params` and the rule's `state`, both left as they are.

    `draw(samples, step)` gives the random numbers of a step.
    """
    recipe = reference.Recipe(
        spec.rule, spec.k, spec.lr, spec.weight_decay, spec.clip, spec.penalty, spec.credit_eps
    )
    model = ResMLP.from_params(params)
    steppers = reference.optimizers(model, recipe)
    feedback = state["feedback"]
    weights, average = (
        {k.removeprefix(part): v.clone() for k, v in state.items() if k.startswith(part)}
        for part in ("estimator/", "average/")
    )
    leaves = [value.requires_grad_() for value in weights.values()]
    learner = torch.optim.AdamW(leaves, lr=spec.estimator_lr)
    losses, step = [], 0
    for epoch, batches in enumerate(epochs):
        for stepper in steppers:
            for group in stepper.param_groups:
                group["lr"] = reference.learning_rate(spec.lr, epoch, len(epochs))
        for x, y in batches:
            seen = Seen.of(model, x, y)
            if step % spec.estimator_every == 0:
                draws = draw(len(x), step)
                loss = LOSSES[spec.rule](weights, average, model, seen, draws, spec)
                learner.zero_grad()
                loss.backward(inputs=leaves)
                learner.step()
                losses.append(loss.item())
                for name, value in average.items():
                    average[name] = spec.ema * value + (1 - spec.ema) * weights[name].detach()
            if epoch < round(spec.warmup_ratio * len(epochs)):
                for_block = [seen.error @ matrix.T for matrix in feedback]
                for_embed = for_block[0]
            else:
                fixed = {name: value.detach() for name, value in weights.items()}
                for_embed, *for_block = credits(fixed, model, seen, spec)
            for block in model.blocks:
                block.requires_grad_()
            model.zero_grad()
            reference.local_gradients(model, x, y, recipe, for_block, for_embed)
            for stepper in steppers:
                stepper.step()
            step += 1
    learned = {name: value.detach() for name, value in weights.items()}
    return Result(model.params(), learned, average, losses)

"""Small networks of every kind, on inputs of the digits' form, and what a step shows a rule."""

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from credit import rules
from credit.networks import kinds
from credit.networks.arithmetic import output_error
from credit.networks.base import Params
from credit.rules import Shape, Trace
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training.stack import Stack, arrange
from tests.stacks import draw

IMAGE, CLASSES, DEPTH, SAMPLES = (1, 8, 8), 10, 3, 6
NEW = [name for name in rules.available() if (look := rules.get(name).look) and look.place >= 20]
NETWORKS = kinds.available()


def run_of(rule: str, network: str, **changes) -> RunSpec:
    base = {"width": 16, "depth": DEPTH, "k": DEPTH, "device": "cpu", "precision": "fp64"}
    base |= {"activation": "tanh"} if network == "mlp" else {}
    return resolve(RunSpec(**{"rule": rule, "network": network, **base, **changes}))


def stack_of(*specs: RunSpec) -> Stack:
    return Stack(arrange(specs), shape_of(specs[0]))


def shape_of(spec: RunSpec) -> Shape:
    return kinds.shape_of(spec, IMAGE, CLASSES)


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = draw(SAMPLES, CLASSES, seed=seed + 100).argmax(-1)
    return draw(SAMPLES, 64, seed=seed), labels


def steps(stack: Stack, count: int, first: int = 0) -> None:
    for step in range(first, first + count):
        x, y = batch(step)
        stack.set_phase(0, 1)
        if len(stack.seeds) > 1:
            x, y = x.expand(len(stack.seeds), -1, -1), y.expand(len(stack.seeds), -1)
        stack.step(x, y)


def shown(stack: Stack, row: int = 0) -> tuple[Trace, list[Tensor]]:
    """The trace that a first step shows a run, with each sample's own error, and g_0 .. g_L."""
    x, y = batch()
    run = stack.network.forward(stack.params, x)
    error = output_error(run.logits, y.expand(stack.size, -1))
    grads = stack.network.hidden_gradients(stack.params, run, error)
    (lane,) = stack.lanes
    noise = [group.noise(SAMPLES, 0) for group in lane.groups]
    traces = lane.traces(run, x, y.expand(stack.size, -1), error, grads[-1], grads, noise)
    group, member = stack.group_of(row)
    trace = next(t for g, t in zip(lane.groups, traces, strict=True) if g is group)
    one_seed = len(set(group.seeds)) == 1
    draws = trace.noise if one_seed else tree_map(lambda t: t[member], trace.noise)
    one = tree_map(lambda t: t[member], trace._replace(noise={}))._replace(noise=draws)
    return one, [g[row] for g in grads]


def block_backward(stack: Stack, params: Params, block: int, h: Tensor, above: Tensor) -> Tensor:
    """Autograd's gradient of <h_{block+1}, above> at h, (N, d), of one run's parameters."""
    h = h.clone().requires_grad_()
    out = stack.network.advance(params, h, block)
    return torch.autograd.grad((out * above).sum(), h)[0]

"""A network whose blocks do something, credit for it, and its report."""

import torch

from credit import measures
from credit.measures.base import Options
from credit.networks import base, resmlp
from credit.networks.base import Shape
from credit.networks.by_hand import ResMLP
from credit.randomness import generator

D_IN, WIDTH, CLASSES, DEPTH, SAMPLES = 12, 16, 5, 3, 48
NETWORK = ResMLP(Shape(D_IN, WIDTH, CLASSES, DEPTH))
QUICK = Options(directions=4)


def draw(*shape, key=0, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(key, "test"), dtype=dtype)


def one_run(seed, dtype=torch.float64, embed_scale=1.0):
    """A network whose blocks do something: fc2 far from its near-zero initialisation."""
    params = resmlp.init(D_IN, WIDTH, CLASSES, DEPTH, generator(seed, "init"), dtype)
    for block in range(DEPTH):
        params[f"blocks.{block}.fc2.weight"] *= 30
    params["embed.weight"] *= embed_scale
    params["embed.bias"] *= embed_scale
    return params


def batch(dtype=torch.float64, n=SAMPLES):
    labels = torch.randint(0, CLASSES, (n,), generator=generator(0, "labels"))
    return draw(n, D_IN, dtype=dtype), labels


def exact(run, error, hidden_grads):
    return hidden_grads


def noisy(run, error, hidden_grads):
    """The gradient plus noise of the same size; the noise is the same whatever the stack."""
    size = [g.norm(dim=-1, keepdim=True) / WIDTH**0.5 for g in hidden_grads]
    noise = [draw(*g.shape[1:], key=i).to(g) for i, g in enumerate(hidden_grads)]
    return [g + 0.8 * s * e for g, s, e in zip(hidden_grads, size, noise, strict=True)]


def report(credit_of, seeds=(7,), options=QUICK, runs=None, data=None, dtype=torch.float64):
    runs = runs or [one_run(seed, dtype) for seed in seeds]
    x, y = data or batch(dtype)
    return measures.measure(
        NETWORK, base.stacked(runs), x, y, credit_of, options, seeds, [False] * len(seeds)
    )


def column(result, name):
    return [row[name] for row in result.layers]

"""What a run's step costs, counted, so that rules can be compared at equal cost."""

from functools import lru_cache

import torch

from credit import rules
from credit.networks import kinds
from credit.rules import Shape
from credit.spec import RunSpec
from credit.training.cotangents import trains_exactly
from credit.training.group import TRAINED, check_alike
from credit.training.steppers import products_of


def costs(spec: RunSpec, shape: Shape) -> dict[str, float]:
    """A run's costs, as metrics.

    `cost/flops_per_step`: of one training step on `batch_size` samples, twice the multiply-adds of
    its matrix products: network, credit and estimator, averaged over steps with and without an
    update. AdamW and elementwise work are not counted, and of backprop one pass through each
    trained block's last layer, even where it is computed twice: as credit and for the weights.
    `cost/block_evaluations`: forward passes through a block per sample and step, the network's own
    L among them. `cost/estimator_parameters`: what AdamW trains beside the network.
    """
    sizes = state_sizes(spec, shape)
    products = products_of(spec, shape)
    rule = rules.of(spec)
    if not (rule.surrogate or trains_exactly(spec)):
        products -= sum(kinds.products(spec, shape).blocks[shape.depth - spec.k :]) // 2
    trained = sum(size for name, size in sizes.items() if name.startswith(TRAINED))
    return {
        "cost/flops_per_step": 2.0 * spec.batch_size * products,
        "cost/block_evaluations": shape.depth + rule.costs(shape).evaluations,
        "cost/estimator_parameters": float(trained),
    }


@lru_cache(maxsize=2**14)  # a large sweep asks for every run several times
def state_sizes(spec: RunSpec, shape: Shape) -> dict[str, int]:
    """How many numbers each entry of the run's rule state holds, as its own `init` makes them."""
    rule = rules.of(spec)
    try:  # shapes only: the numbers may not fit into any memory
        with torch.device("meta"):
            state = rule.init(spec, shape, torch.Generator())
    except RuntimeError:  # an init that looks at its numbers
        state = rule.init(spec, shape, torch.Generator())
    check_alike(spec.rule, [state])
    return {name: tensor.numel() for name, tensor in state.items()}

"""The shallow control has as many parameters as the network that it is compared with."""

import pytest
import torch

from credit.data import load
from credit.experiments.matched_controls import matched_width
from credit.networks import resmlp
from credit.networks.size import parameters
from credit.randomness import generator
from credit.spec import RunSpec


@pytest.mark.parametrize("terminal_norm", [True, False])
@pytest.mark.parametrize("dataset", ["digits", "teacher"])
def test_the_shallow_network_has_nearest_to_as_many_parameters(dataset, terminal_norm):
    spec = RunSpec(dataset=dataset, width=24, depth=5, k=0, terminal_norm=terminal_norm)
    data = load(dataset)

    def count(width: int, depth: int) -> int:
        draw = generator(0, "init")
        tree = resmlp.init(
            *(data.d_in, width, data.classes, depth, draw, torch.float32),
            terminal_norm=terminal_norm,
        )
        return sum(tensor.numel() for tensor in tree.values())

    assert parameters(vars(spec)) == count(24, 5)
    width = matched_width(spec)
    misses = {w: abs(count(w, 1) - count(24, 5)) for w in (width - 1, width, width + 1)}
    assert min(misses, key=lambda w: misses[w]) == width
    assert matched_width(spec.replace(depth=1)) == 24
    assert matched_width(spec.replace(width=1, depth=1)) == 1

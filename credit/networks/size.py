"""How large networks are: what a dataset makes of one, and how many parameters that is.

Without torch, which analyses of runs do not load.
"""

import math
from typing import Any, NamedTuple


class Size(NamedTuple):
    """What a dataset makes of a network."""

    image: tuple[int, int, int]  # C, H, W
    classes: int

    @property
    def d_in(self) -> int:
        """D, the number of input units."""
        return math.prod(self.image)


SIZES = {
    "cifar10": Size((3, 32, 32), 10),
    "cifar100": Size((3, 32, 32), 100),
    "fashion_mnist": Size((1, 28, 28), 10),
    "digits": Size((1, 8, 8), 10),
    "teacher": Size((1, 1, 24), 10),
}
"""By dataset: runs do not say how many inputs and classes theirs has."""

HELD_OUT = {
    "cifar10": 10_000,
    "cifar100": 10_000,
    "fashion_mnist": 10_000,
    "digits": 360,
    "teacher": 2048,
}
"""By dataset: how many test samples there are to measure on."""


def parameters(config: Any, trained: bool = False) -> float:
    """How many numbers a run's resmlp has, or how many train; nan off the datasets of SIZES.

    `config` is a run as mapping or row: dataset, network, width, depth, terminal_norm; if
    `trained`, also k, embed_trains and head_trains.
    """
    if config["dataset"] not in SIZES or config["network"] != "resmlp":
        return float("nan")
    size, d = SIZES[config["dataset"]], int(config["width"])
    d_in, classes = size.d_in, size.classes
    embed, block = d_in * d + d, 2 * d * d + 4 * d
    head = classes * d + classes + 2 * d * bool(config["terminal_norm"])
    if not trained:
        return float(embed + int(config["depth"]) * block + head)
    blocks = int(config["k"]) * block
    return float(blocks + embed * bool(config["embed_trains"]) + head * bool(config["head_trains"]))

"""Frozen init: how close to the identity is a network that has not been trained?

Where it is close, frozen blocks do little, and a network with k = 0 trainable blocks is in effect
one without blocks. Nothing is trained: one network per seed reads the first test images in file
order. Values are medians over images, then mean and sample sd over seeds.

    python -m entrypoints.frozen_init   # 5 s on 2 CPU cores

Published (d=256, L=4, CIFAR-10, n=3): ‖f‖/‖h‖ about .10 per block, ‖h_L − h_0‖/‖h_0‖ .196 ± .003,
cos(h_L, h_0) .981 ± .001.
"""

from collections.abc import Sequence

import pandas as pd

from credit.errors import CreditError
from credit.experiments._parts.grids import helps
from credit.lab import AUTHORS, Experiment, Factor, Options, Quantity, Reported
from credit.lab.options import product
from credit.lab.untrained import NETWORKS, by_seed
from credit.spec import RunSpec, check_field, field_types

PRESETS = {"published": {"seeds": "42,123,456", "samples": "256", "width": "256", "depth": "4"}}
CHOSEN = ("dataset", "width", "depth")
"""The settings that an untrained network has."""

RATIO, DEVIATION, COS = (
    Quantity(name, f"identity/{name}", symbol, meaning, ".4f")
    for name, symbol, meaning in (
        ("block_ratio", "‖f‖/‖h‖", "what a block adds to its input, mean over blocks"),
        ("rel_dev", "‖h_L − h_0‖/‖h_0‖", "what all blocks together add"),
        ("cos", "cos(h_L, h_0)", "cosine of the last and the first hidden state"),
    )
)
COLUMNS = (RATIO, DEVIATION, COS)


def grid(chosen: Options) -> list[RunSpec]:
    """Return one network per seed."""
    samples = check_field("measure_samples", chosen["samples"], "samples")
    kept = {name: text for name, text in chosen.items() if name in (*CHOSEN, "seeds")}
    return product(kept, [{"k": 0, "measure_samples": samples}])


def measured(specs: Sequence[RunSpec]) -> pd.DataFrame:
    """Return a row per network with its COLUMNS, by metric.

    Raises:
        CreditError: there are fewer test images than `samples`, or a network does not fit into
            memory.
    """
    import torch  # here and below: reading results needs none of it

    from credit.data import load
    from credit.data.batches import held_out
    from credit.measures.frozen_init import of_seeds
    from credit.sweep import planning
    from credit.sweep.networks import shape_of

    first, samples = specs[0], specs[0].measure_samples
    data = load(first.dataset)
    if samples > (there := len(data.test_labels)):
        raise CreditError(
            f"samples={samples}: {data.name} has {there} test images, pass 2 to {there}"
        )
    d_in, width, classes, depth = shape = shape_of(first, data)[:4]
    # one network at a time: twice its parameters, as init draws them, and every hidden state
    size = 2 * width * (d_in + classes + 2 * depth * width) + samples * width * (6 * depth + 2)
    what = f"a network of width={width}, depth={depth} with samples={samples}"
    planning.refuse_above(planning.memory_free("cpu"), 4 * size, what, "cpu")
    x, _ = held_out(data, torch.float32, n=samples)
    found = of_seeds(shape, [spec.seed for spec in specs], x)
    return pd.DataFrame(
        [{q.metric: getattr(found[spec.seed], q.name) for q in COLUMNS} for spec in specs]
    )


PUBLISHED = {RATIO: 0.10, DEVIATION: (0.196, 0.003), COS: (0.981, 0.001)}
SOURCE = f"{AUTHORS} (ResMLP, CIFAR-10, first 256 test images, 3 seeds)"
IMAGES = {"dataset": "cifar10", "measure_samples": 256}

EXPERIMENT = Experiment(
    kind="frozen_init",
    title="Frozen init",
    question="How close to the identity is a network that has not been trained?",
    factors=(Factor("network", of=lambda run: f"d={run['width']} L={run['depth']}"),),
    presets=PRESETS,
    grid=grid,
    measured=measured,
    having=COS.metric,
    columns=COLUMNS,
    checks=lambda _: [],
    more=lambda frame, _: {NETWORKS: by_seed(frame, COLUMNS)},
    reported=tuple(
        Reported(SOURCE, quantity, ("network",), {"d=256 L=4": value}, IMAGES, recipe=False)
        for quantity, value in PUBLISHED.items()
    ),
    options=helps(
        seeds="seeds, comma-separated; one network each",
        samples="test images, the first in file order",
    ),
    fixed=tuple(name for name in field_types() if name not in CHOSEN),
    caveats=("Nothing was trained, and test images are only looked at.",),
)

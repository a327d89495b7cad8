"""Frozen-init identity: how close to the identity an untrained network is. No training.

First 256 test images in file order, one network per seed. Published for d=256, L=4 on CIFAR-10:
|f|/|h| about .10 per block, |h_L - h_0|/|h_0| = .196 +- .003, cos(h_L, h_0) = .981 +- .001.
"""

import pandas as pd
import torch

from credit import cli, grid, planning
from credit.data import load
from credit.data.batches import held_out
from credit.errors import CreditError
from credit.measures.frozen_init import of_seeds, summary
from credit.networks import shape_of
from credit.rules import Shape
from credit.spec import RunSpec, check_field
from credit.tracked_stack import hash_of
from credit.tracking.writer import finish as finish_run
from credit.tracking.writer import log_results, log_table, open_parent, open_store

DEFAULTS = {
    "dataset": "cifar10",
    "width": "256",
    "depth": "4",
    "seeds": "42,123,456",
    "samples": "256",
}
HELPS = {
    **cli.spec_helps(),
    "seeds": "seeds, comma-separated",
    "samples": "test images, the first in file order",
}


def refuse_too_large(shape: Shape, samples: int) -> None:
    """One network at a time: twice its parameters, as init draws them, and every hidden state.

    Raises:
        CreditError: it does not fit into memory.
    """
    d_in, width, classes, depth = shape
    numbers = 2 * width * (d_in + classes + 2 * depth * width) + samples * width * (6 * depth + 2)
    what = f"a network of width={width}, depth={depth} with samples={samples}"
    planning.refuse_above(planning.memory_free("cpu"), 4 * numbers, what, "cpu")


def main() -> None:
    """Measure one network per seed."""
    chosen = cli.options(__doc__, DEFAULTS, HELPS)
    shared = {name: chosen[name] for name in ("dataset", "width", "depth")}
    samples = check_field("measure_samples", chosen["samples"], "samples")
    specs = [
        RunSpec.from_mapping({**shared, "k": 0, "seed": seed, "measure_samples": samples})
        for seed in grid.numbers("seeds", chosen["seeds"])
    ]
    data = load(specs[0].dataset)
    if samples > (there := len(data.test_labels)):
        raise CreditError(
            f"samples={samples}: {data.name} has {there} test images, pass 2 to {there}"
        )
    shape = shape_of(specs[0], data)
    refuse_too_large(shape, samples)
    x, _ = held_out(data, torch.float32, n=samples)
    found = of_seeds(shape, [spec.seed for spec in specs], x)
    metrics = summary(list(found.values()))
    table = pd.DataFrame(
        [
            {"seed": seed, "block_ratio": i.block_ratio, "rel_dev": i.rel_dev, "cos": i.cos}
            for seed, i in found.items()
        ]
    )
    store = open_store()
    parent_id = open_parent(
        store,
        name=f"frozen init {data.name} d{specs[0].width} L{specs[0].depth}",
        experiment_kind="frozen_init",
        params=chosen,
        sweep_hash=hash_of("frozen_init", specs),
        description="How close to the identity the untrained network is.",
    )
    info = {"name": data.name, "digest": data.digest, "source": data.source}
    try:
        log_results(store, parent_id, metrics, info)
        log_table(store, parent_id, table, "table")
        finish_run(store, parent_id)
    except BaseException:
        finish_run(store, parent_id, "FAILED")
        raise
    print(table.to_string(index=False, float_format=lambda v: f"{v:.4f}"))
    for name, label in (
        ("block_ratio", "|f| / |h| per block    "),
        ("rel_dev", "|h_L - h_0| / |h_0|    "),
        ("cos", "cos(h_L, h_0)          "),
    ):
        sd = metrics.get(f"identity/{name}_std")
        spread = "" if sd is None else f" +- {sd:.4f}"
        print(f"{label} {metrics[f'identity/{name}_mean']:.4f}{spread}")
    print(f"n={len(found)} seeds, {len(x)} test images")
    from credit import publish  # here: it takes a second to load

    print(publish.publish(store, parent_id))
    print(f"run     {parent_id}\nUI      {store.ui_command}")


if __name__ == "__main__":
    cli.run(main)

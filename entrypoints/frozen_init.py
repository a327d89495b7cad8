"""Frozen-init identity: how close to the identity an untrained network is. No training.

First 256 test images in file order, one network per seed. Published for d=256, L=4 on CIFAR-10:
|f|/|h| about .10 per block, |h_L - h_0|/|h_0| = .196 +- .003, cos(h_L, h_0) = .981 +- .001.
"""

import pandas as pd
import torch

from credit import cli, grid, network
from credit.data import load
from credit.data.batches import held_out
from credit.measures.frozen_init import identity, summary
from credit.randomness import generator
from credit.spec import RunSpec, parse_value
from credit.sweep import shape_of
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


def main() -> None:
    """Measure one network per seed."""
    chosen = cli.options(__doc__, DEFAULTS, HELPS)
    shared = {name: chosen[name] for name in ("dataset", "width", "depth")}
    samples = parse_value("samples", int, chosen["samples"])
    specs = [
        RunSpec.from_mapping({**shared, "k": 0, "seed": seed, "measure_samples": samples})
        for seed in grid.numbers("seeds", chosen["seeds"])
    ]
    data = load(specs[0].dataset)
    x, _ = held_out(data, torch.float32, n=samples)
    networks = {
        spec.seed: network.init(*shape_of(spec, data), generator(spec.seed, "init"), x.dtype)
        for spec in specs
    }
    found = {seed: identity(params, x)[0] for seed, params in networks.items()}
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
    print(f"run     {parent_id}\nUI      {store.ui_command}")


if __name__ == "__main__":
    cli.run(main)

"""Depth scan: does a rule gain from a deeper network, all of whose blocks it trains?

Trains each rule at every depth. The ladder trains more blocks of one network; here the network
itself grows.
"""

from credit import cli, grid
from credit.experiment import conduct
from credit.sweep import Sweep, resolve

DEFAULTS = {
    "preset": "published",
    "rules": cli.PRESET,
    "depths": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options("rule", "k", "seed", "depth"),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["depth_scan"]),
    "rules": "credit rules, comma-separated; package.module:Rule for your own",
    "depths": "numbers of residual blocks, comma-separated; all of them train",
    "seeds": "seeds, comma-separated",
}


def main() -> int:
    """Train the grid and publish its table."""
    chosen = grid.settled("depth_scan", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.depth_scan(chosen)]
    first = specs[0]
    return conduct(
        Sweep(
            kind="depth_scan",
            name=f"depth scan {first.dataset} d{first.width}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Depth scan on {first.dataset}: each rule at every depth, all blocks "
            f"trained. d={first.width}, {first.epochs} epochs.",
        )
    )


if __name__ == "__main__":
    cli.run(main)

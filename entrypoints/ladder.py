"""The depth-utility ladder: does training more blocks raise accuracy?

Trains rules x trainable blocks x seeds and leaves table, figure and verdicts on the parent run.
`make ladder` is this with preset=quick: 20 runs, minutes on two CPU cores.
"""

from credit import cli, grid
from credit.experiment import conduct
from credit.spec import RunSpec
from credit.sweep import Sweep, resolve

DEFAULTS = {
    "preset": "published",
    "rules": cli.PRESET,
    "ks": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options("rule", "k", "seed"),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["ladder"]),
    "rules": "credit rules, comma-separated; package.module:Rule for your own",
    "ks": "trainable blocks, comma-separated; all is 0 to depth",
    "seeds": "seeds, comma-separated",
}


def main() -> int:
    """Train the grid and publish its ladder."""
    chosen = grid.settled("ladder", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.ladder(chosen)]
    first = specs[0]
    precision = "" if first.precision == RunSpec.precision else f" {first.precision}"
    return conduct(
        Sweep(
            kind="ladder",
            name=f"ladder {first.dataset} d{first.width} L{first.depth}{precision}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Depth-utility ladder on {first.dataset}: does training more blocks raise "
            f"accuracy? d={first.width}, L={first.depth}, {first.epochs} epochs.",
        )
    )


if __name__ == "__main__":
    cli.run(main)

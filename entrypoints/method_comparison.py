"""Method comparison: what every rule makes of one deep network.

Trains each rule on a network of 512 units and 12 blocks, all of them trained, with all diagnostics
and what each costs. bp and oracle stand beside the local rules: oracle has the exact credit and
trains as they do, so that what it loses against bp is the local recipe's, not the credit's.
"""

from credit import cli, grid
from credit.experiment import conduct
from credit.sweep import Sweep, resolve

DEFAULTS = {
    "preset": "published",
    "rules": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options("rule", "k", "seed"),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["method_comparison"]),
    "rules": "credit rules, comma-separated; package.module:Rule for your own",
    "seeds": "seeds, comma-separated",
}


def main() -> int:
    """Train the grid and publish its table."""
    chosen = grid.settled("method_comparison", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.method_comparison(chosen)]
    first = specs[0]
    return conduct(
        Sweep(
            kind="method_comparison",
            name=f"methods {first.dataset} d{first.width} L{first.depth}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Method comparison on {first.dataset}: accuracy, direction and cost of "
            f"each rule. d={first.width}, L={first.depth}, {first.epochs} epochs.",
        )
    )


if __name__ == "__main__":
    cli.run(main)

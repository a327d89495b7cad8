"""Nonlinearity ladder: how do learned credit rules hold up as blocks bend and their number grows?

Trains rules x alphas x depths x seeds on a teacher's labels, blocks with phi(z) = (1-alpha) z +
alpha tanh(z), and reports alignment, loss prediction, nudge and accuracy of each cell beside what
was reported. The statements that are checked are fixed beforehand.
"""

from credit import cli, grid
from credit.experiment import conduct
from credit.sweep import Sweep, resolve

DEFAULTS = {
    "preset": "published",
    "rules": cli.PRESET,
    "alphas": cli.PRESET,
    "depths": cli.PRESET,
    "field_alphas": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options("rule", "k", "seed", "depth", "activation", "alpha"),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["nonlinearity_ladder"]),
    "rules": "credit rules, comma-separated; package.module:Rule for your own",
    "alphas": "shares of tanh in the activation, comma-separated",
    "depths": "numbers of residual blocks, comma-separated; all of them train",
    "field_alphas": "alphas at which vector_field, the costliest rule, runs; all is all of them",
    "seeds": "seeds, comma-separated",
}


def main() -> int:
    """Train the grid and publish its table."""
    chosen = grid.settled("nonlinearity_ladder", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.nonlinearity_ladder(chosen)]
    first = specs[0]
    return conduct(
        Sweep(
            kind="nonlinearity_ladder",
            name=f"nonlinearity {first.dataset} d{first.width}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Nonlinearity ladder on {first.dataset}: direction of the credit by share "
            f"of tanh and depth. d={first.width}, {first.epochs} epochs.",
        )
    )


if __name__ == "__main__":
    cli.run(main)

"""Direction quality: where does a rule's credit point, with and without the branch penalty?

Trains each rule with every penalty from the same initialisation and feedback, and reports per layer
the cosine with the gradient and the norms. The verdict is fixed beforehand: by |cos| at the middle
layer, below .05 poor, below .20 mediocre, else reasonable, and only where the reference is valid.
"""

from credit import cli, grid
from credit.experiment import conduct
from credit.sweep import Sweep, resolve

DEFAULTS = {
    "preset": "published",
    "rules": cli.PRESET,
    "penalties": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options("rule", "penalty", "seed"),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["direction_quality"]),
    "rules": "credit rules, comma-separated",
    "penalties": "values of lambda, comma-separated",
    "seeds": "seeds, comma-separated",
}


def main() -> int:
    """Train the grid and publish its directions."""
    chosen = grid.settled("direction_quality", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.direction_quality(chosen)]
    first = specs[0]
    return conduct(
        Sweep(
            kind="direction_quality",
            name=f"direction {first.dataset} d{first.width} L{first.depth}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Direction quality on {first.dataset}: cosine of credit and gradient per "
            f"layer, with and without the residual-branch penalty. {first.epochs} epochs.",
        )
    )


if __name__ == "__main__":
    cli.run(main)

"""Credit scale: how much of a rule's accuracy is its direction, how much the epsilon in `norm`?

norm(v) = v / (rms(v) + credit_eps) shrinks a credit whose rms falls below credit_eps, as the
gradient of the batch-mean loss does once the residual stream has grown. Trains each rule with every
epsilon, on credit of the batch-mean and of the batch-sum loss.
"""

from credit import cli, grid
from credit.experiment import conduct
from credit.sweep import Sweep, resolve

DEFAULTS = {
    "preset": "published",
    "rules": cli.PRESET,
    "epss": cli.PRESET,
    "reductions": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options("rule", "k", "seed", "credit_eps", "credit_reduction"),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["credit_scale"]),
    "rules": "credit rules, comma-separated; package.module:Rule for your own",
    "epss": "values of credit_eps, comma-separated",
    "reductions": "losses whose gradient the credit starts from, comma-separated: mean, sum",
    "seeds": "seeds, comma-separated",
}


def main() -> int:
    """Train the grid and publish its table."""
    chosen = grid.settled("credit_scale", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.credit_scale(chosen)]
    first = specs[0]
    return conduct(
        Sweep(
            kind="credit_scale",
            name=f"credit scale {first.dataset} d{first.width} L{first.depth}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Credit scale on {first.dataset}: rules by credit_eps and reduction. "
            f"d={first.width}, L={first.depth}, {first.epochs} epochs.",
        )
    )


if __name__ == "__main__":
    cli.run(main)

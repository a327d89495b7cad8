"""Vector audit: does learning the credit as a vector field beat the gradient of a learned scalar?

Trains the credit bridge (the scalar) and the vector field with M directions beside its controls:
shuffled targets, no terminal term, one-sided differences. A field that owes its direction to its
targets must beat the scalar, and must collapse when they are shuffled.
"""

from credit import cli, grid
from credit.experiment import conduct
from credit.presets import ARMS
from credit.sweep import Sweep, resolve

DEFAULTS = {
    "preset": "published",
    "arms": cli.PRESET,
    "depths": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options(
        *("rule", "k", "seed", "depth"),
        *("field_directions", "shuffle", "terminal_weight", "one_sided"),  # the arms set these
    ),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["vector_audit"]),
    "arms": f"what is compared, comma-separated: {', '.join(ARMS)}",
    "depths": "numbers of residual blocks, comma-separated; all of them train",
    "seeds": "seeds, comma-separated",
}


def main() -> int:
    """Train the grid and publish its table."""
    chosen = grid.settled("vector_audit", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.vector_audit(chosen)]
    first = specs[0]
    return conduct(
        Sweep(
            kind="vector_audit",
            name=f"vector audit {first.dataset} d{first.width}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Vector audit on {first.dataset}: vector field, its controls and the "
            f"scalar credit bridge. d={first.width}, {first.epochs} epochs.",
        )
    )


if __name__ == "__main__":
    cli.run(main)

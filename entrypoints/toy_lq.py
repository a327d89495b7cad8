"""Toy LQ: do learned credit rules find the exact costate where it is known?

A linear system with quadratic cost, no network: only the estimators train. Every rule's credit is
compared with the costate of the adjoint recursion at each of the L steps. As a control the credit
bridge also runs without terminal gradient matching (tgw=0), which should leave it no direction.
"""

from credit import cli, grid
from credit.experiment import conclude
from credit.sweep import Sweep, resolve
from credit.toy_lq import system, tracked
from credit.tracking.store import open_store

DEFAULTS = {
    "preset": "published",
    "rules": cli.PRESET,
    "tgws": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options(
        *("dataset", "rule", "k", "seed", "tgw", "warmup_ratio", "augment"),  # fixed by the grid
        *("activation", "alpha", "terminal_norm", "lr", "weight_decay", "clip", "penalty"),
        *("credit_eps", "credit_reduction", "start", "embed_trains", "head_trains"),
        *("random_labels", "stale_steps"),  # of a network's training, and there is none
    ),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["toy_lq"]),
    "rules": "credit rules, comma-separated; package.module:Rule for your own",
    "tgws": "terminal gradient weights at which the credit bridge runs, comma-separated",
    "seeds": "seeds, comma-separated; each draws its own system",
    "width": "dimension of the state",
    "depth": "steps of the system, L",
    "train_samples": "fresh trajectories in an epoch",
}


def main() -> int:
    """Train the grid and publish its tables."""
    chosen = grid.settled("toy_lq", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.toy_lq(chosen)]
    first = specs[0]
    plan = Sweep(
        kind="toy_lq",
        name=f"toy LQ d{first.width} L{first.depth}",
        specs=specs,
        params=grid.parent_params(chosen, specs) | system.constants(),
        description="Learned credit against the exact costate of a linear system with quadratic "
        f"cost. d={first.width}, L={first.depth}, {first.epochs} epochs.",
    )
    store = open_store()
    return conclude(store, tracked.run(plan, store))


if __name__ == "__main__":
    cli.run(main)

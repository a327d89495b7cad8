"""Matched controls: what else could explain a gain from depth?

Beside each rule with all blocks trained and with none: one block in a network with as many
parameters, labels that mean nothing, the residual-branch penalty (bp's too), and an embedding that
does not train.
"""

from credit import cli, grid
from credit.experiment import conduct
from credit.presets import CONTROLS
from credit.sweep import Sweep, resolve

DEFAULTS = {
    "preset": "published",
    "rules": cli.PRESET,
    "controls": cli.PRESET,
    "control_penalty": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options(
        *("rule", "k", "seed"),
        *("penalty", "random_labels", "start", "embed_trains", "head_trains"),  # of the controls
    ),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["matched_controls"]),
    "rules": "credit rules, comma-separated; package.module:Rule for your own",
    "controls": f"comma-separated: {', '.join(CONTROLS)}",
    "control_penalty": "lambda of the control with the residual-branch penalty",
    "seeds": "seeds, comma-separated",
    "width": "units per hidden state, d, but for the shallow control",
    "depth": "residual blocks, L, but for the shallow control",
}


def main() -> int:
    """Train the controls and publish their table."""
    chosen = grid.settled("matched_controls", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.matched_controls(chosen)]
    deep = max(specs, key=lambda spec: spec.depth)
    return conduct(
        Sweep(
            kind="matched_controls",
            name=f"controls {deep.dataset} d{deep.width} L{deep.depth}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Matched controls on {deep.dataset}: what else could explain a gain from "
            f"depth. d={deep.width}, L={deep.depth}, {deep.epochs} epochs.",
        )
    )


if __name__ == "__main__":
    cli.run(main)

"""Boundary ablation: what the credit bridge owes to its code, its terminal term and its warm-up.

Sweeps one knob at a time round a base (code, tgw and warmup_ratio as given): the code, the weight
of terminal gradient matching, the warm-up, and the warm-up once more with another code. A run that
belongs to several sweeps is trained once.
"""

from credit import cli, grid
from credit.experiment import conduct
from credit.sweep import Sweep, resolve

DEFAULTS = {
    "preset": "published",
    "codes": cli.PRESET,
    "tgws": cli.PRESET,
    "warmups": cli.PRESET,
    "warmup_code": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options("rule", "seed"),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["boundary_ablation"]),
    "codes": "codes, comma-separated",
    "tgws": "weights of terminal gradient matching, comma-separated",
    "warmups": "warm-up ratios, comma-separated",
    "warmup_code": "the code of the second sweep over warm-ups",
    "seeds": "seeds, comma-separated",
}


def main() -> int:
    """Train the grid and publish its sweeps."""
    chosen = grid.settled("boundary_ablation", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.boundary_ablation(chosen)]
    first = specs[0]
    return conduct(
        Sweep(
            kind="boundary_ablation",
            name=f"boundary {first.dataset} d{first.width} L{first.depth}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Boundary ablation of the credit bridge on {first.dataset}: code, "
            f"terminal weight and warm-up. d={first.width}, L={first.depth}, "
            f"{first.epochs} epochs.",
        )
    )


if __name__ == "__main__":
    cli.run(main)

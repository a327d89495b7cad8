"""Online conditioning scan: which estimator keeps up with a network that it trains itself?

First every arm with each warm-up and terminal weight, on `scan_seeds`; then the cell with the
highest S1 (its Γ above that of dfa with the same seed) and dfa on `seeds`. Where dfa's gradient is
not valid at the end, `credit.analysis.online_choice` says how the cell is chosen. With stale_steps
> 0 it also measures what a moving network costs an estimator that no longer learns.
"""

import sys
from collections.abc import Sequence

from credit import cli, grid
from credit.experiment import conduct
from credit.presets import ONLINE_ARMS
from credit.spec import RunSpec
from credit.sweep import Outcome, Sweep, resolve
from credit.tracking.reader import connect
from credit.tracking.store import Store

DEFAULTS = {
    "preset": "published",
    "arms": cli.PRESET,
    "warmups": cli.PRESET,
    "tgws": cli.PRESET,
    "scan_seeds": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options(
        *("rule", "k", "seed"),
        *("code", "warmup_ratio", "tgw", "terminal_weight"),  # the cells set these
    ),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["online_scan"]),
    "arms": f"what is compared, comma-separated, dfa among them: {', '.join(ONLINE_ARMS)}",
    "warmups": "warm-up ratios, comma-separated",
    "tgws": "weights of the terminal term of credit bridge and vector field, comma-separated",
    "scan_seeds": "seeds of the scan, comma-separated",
    "seeds": "seeds of the best cell and its dfa, comma-separated",
}


def main() -> int:
    """Train the scan and its best cell and publish their table."""
    chosen = grid.settled("online_scan", cli.options(__doc__, DEFAULTS, HELPS))
    specs = [resolve(spec) for spec in grid.online_scan(chosen)]
    first = specs[0]

    def then(outcome: Outcome, store: Store) -> Sequence[RunSpec]:
        """The best cell and its dfa on all seeds."""
        from credit.analysis import online_choice  # here: it needs a second, and training is first

        reader = connect(store.uri)
        runs = reader.runs()
        scan = runs.loc[runs["run_id"].isin(list(outcome.run_ids.values()))]
        history = reader.history(scan["run_id"], online_choice.KEYS)
        choice = online_choice.choose(
            online_choice.with_choice(scan, history), {spec.seed for spec in specs}
        )
        if choice.by != "S1" or not choice.last:
            print(f"credit: best cell: {choice.words}", file=sys.stderr)
        if choice.cell is None:
            return []
        return [resolve(spec) for spec in grid.online_seeds(chosen, choice.cell)]

    return conduct(
        Sweep(
            kind="online_scan",
            name=f"online scan {first.dataset} d{first.width} L{first.depth}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Online conditioning scan on {first.dataset}: estimators x warm-up x "
            f"terminal weight, then the best on more seeds. d={first.width}, L={first.depth}, "
            f"{first.epochs} epochs.",
            then=then,
        )
    )


if __name__ == "__main__":
    cli.run(main)

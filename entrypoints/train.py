"""Train one run: one credit rule, one k, one seed."""

import sys

from credit import cli, publish
from credit.spec import RunSpec
from credit.sweep import Sweep, resolve, run
from credit.tracking.store import open_store

DEFAULTS = RunSpec().to_params()


def main() -> int:
    spec = resolve(RunSpec.from_mapping(cli.options(__doc__, DEFAULTS, cli.spec_helps())))
    sweep = Sweep(
        kind="train",
        name=f"train {spec.name}",
        specs=[spec],
        params=spec.to_params(),
        description=f"One run on {spec.dataset}, credit rule {spec.rule}.",
    )
    store = open_store()
    outcome = run(sweep, store)
    print(publish.train(store, outcome.parent_id))
    for name, reason in outcome.failures.items():
        print(f"credit: {name} failed: {reason}", file=sys.stderr)
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    cli.run(main)

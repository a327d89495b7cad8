"""Frozen recovery: how much of the gradient do estimators find in a network that stands still?

First bp trains the reference networks, unless the runs of a ladder are there; then every estimator
learns on the hidden states of each, which no longer changes. With run_id it is the network of that
finished run instead.
"""

from collections.abc import Sequence

from credit import cli, grid, planning
from credit.data import load
from credit.experiment import conduct
from credit.networks import check_staleness, shape_of
from credit.presets import FROZEN_ARMS
from credit.spec import RunSpec
from credit.sweep import Outcome, Sweep, resolve
from credit.tracking.reader import connect
from credit.tracking.store import Store

NONE = "none"
DEFAULTS = {
    "preset": "published",
    "networks": cli.PRESET,
    "arms": cli.PRESET,
    "seeds": cli.PRESET,
    "run_id": NONE,
    "reference_epochs": cli.PRESET,
    "reference_samples": cli.PRESET,
    **cli.spec_options(
        *("rule", "k", "seed", "width", "depth", "start", "embed_trains", "head_trains"),
        *("code", "field_directions", "warmup_ratio"),  # the arms and the grid set these
        *("penalty", "credit_eps", "credit_reduction", "random_labels"),  # nothing trains by them
    ),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["frozen_recovery"]),
    "networks": "width x depth of the reference networks, comma-separated: 256x4,512x4",
    "arms": f"what learns on them, comma-separated: {', '.join(FROZEN_ARMS)}",
    "seeds": "seeds, comma-separated; each has its own reference",
    "run_id": "a finished run whose network is the reference; none trains references",
    "reference_epochs": "epochs that bp trains a reference",
    "reference_samples": "use the first n training samples for references; 0 uses all",
    "epochs": "passes over the training set of an estimator",
}


def refuse_impossible(arms: Sequence[RunSpec]) -> None:
    """Arms that cannot be trained must not be found out after their references.

    Raises:
        CreditError: there are not as many samples, or steps, or an arm does not fit into memory.
    """
    first = arms[0]
    data = load(first.dataset, train_samples=first.train_samples)
    for arm in arms:
        check_staleness(arm, data)
    planning.check(arms, lambda spec: shape_of(spec, data), planning.memory_free(first.device))


def main() -> int:
    """Train references and estimators and publish their table."""
    given = cli.options(__doc__, DEFAULTS, HELPS)
    start = None
    if given["run_id"] != NONE:
        start = grid.started_from(connect(), given["run_id"])
        given = grid.on_network_of(given, start)
    chosen = grid.settled("frozen_recovery", given)
    references = [start] if start else [resolve(spec) for spec in grid.frozen_recovery(chosen)]
    arms = [resolve(spec) for spec in grid.frozen_arms(chosen, references)]
    refuse_impossible(arms)

    def then(outcome: Outcome, store: Store) -> Sequence[RunSpec]:
        """The arms whose reference is finished."""
        reader = connect(store.uri)
        finished = {
            key
            for key, run_id in outcome.run_ids.items()
            if reader.run(run_id).info.status == "FINISHED"
        }
        return [arm for arm in arms if arm.start in finished]

    specs = references
    if start:  # beside the arms it is shown, not trained: it is finished
        specs = [*references, *arms] if start.device == arms[0].device else arms
    shapes = ",".join(dict.fromkeys(f"{spec.width}x{spec.depth}" for spec in references))
    return conduct(
        Sweep(
            kind="frozen_recovery",
            name=f"frozen recovery {arms[0].dataset} {shapes}",
            specs=specs,
            params=grid.parent_params(chosen, arms),
            description=f"Frozen recovery on {arms[0].dataset}: estimators on networks that bp has "
            f"trained and that stay as they are. {shapes}, {arms[0].epochs} epochs.",
            then=None if start else then,
        )
    )


if __name__ == "__main__":
    cli.run(main)

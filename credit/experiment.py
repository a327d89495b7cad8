"""An experiment from sweep to published result: what every training entry point ends with."""

import sys

from credit import sweep
from credit.tracking.store import Store, open_store


def conduct(plan: sweep.Sweep) -> int:
    """Train what is missing, publish the result on the parent run and print it.

    Returns:
        the exit status: 1 if a run failed.
    """
    store = open_store()
    return conclude(store, sweep.run(plan, store))


def conclude(store: Store, outcome: sweep.Outcome) -> int:
    """Publish the result of a sweep on its parent run and print it; return the exit status."""
    from credit import publish  # here: it takes a second to load, and training comes first

    try:
        print(publish.publish(store, outcome.parent_id))
    finally:
        for name, reason in outcome.failures.items():
            print(f"credit: {name} failed: {reason}", file=sys.stderr)
    return 1 if outcome.failures else 0

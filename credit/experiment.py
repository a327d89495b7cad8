"""An experiment from sweep to published result: what every training entry point ends with."""

import sys

from credit import sweep
from credit.tracking.store import open_store


def conduct(plan: sweep.Sweep) -> int:
    """Train what is missing, publish the result on the parent run and print it.

    Returns:
        the exit status: 1 if a run failed.
    """
    store = open_store()
    outcome = sweep.run(plan, store)
    from credit import publish  # here: it takes a second to load, and training comes first

    print(publish.publish(store, outcome.parent_id))
    for name, reason in outcome.failures.items():
        print(f"credit: {name} failed: {reason}", file=sys.stderr)
    return 1 if outcome.failures else 0

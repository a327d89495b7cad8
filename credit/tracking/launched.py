"""The run that `mlflow run` makes before it starts a command."""

import contextlib

from credit.errors import CreditError
from credit.tracking.marks import ENTRY_POINT, KIND, REASON
from credit.tracking.store import AWAY, reach, tracking_uri


def settle(run_id: str, refused: str) -> None:
    """Name the run for its command; where that was refused, tag the run with why and delete it.

    A run that an experiment has made its parent stays as it is.
    """
    with contextlib.suppress(*AWAY, CreditError):  # the store may be what the command failed for
        client = reach(tracking_uri())
        tags = client.get_run(run_id).data.tags
        if ENTRY_POINT not in tags or KIND in tags:
            return
        name = tags[ENTRY_POINT]
        client.update_run(run_id, name=f"{name} refused" if refused else name)
        if refused:
            client.set_tag(run_id, REASON, refused[:_LONGEST])
            client.set_terminated(run_id, "FAILED")  # else `mlflow run` would, and fail
            client.delete_run(run_id)


_LONGEST = 5000  # characters of a tag

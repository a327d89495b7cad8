"""The locks of a SQLite store outlive whatever else a process does with its file."""

import pytest

from credit.tracking.store import open_store
from tests.commands import python

pytestmark = pytest.mark.usefixtures("tracking_store")

CODE = """
from credit.tracking.store import open_store
store = open_store()
store.client.create_run(store.experiment_id)
print(len(store.client.search_runs([store.experiment_id])))
"""


def runs_after_one_more() -> int:
    """As another process sees them, which then closes the database."""
    return int(python("-c", CODE).stdout)


@pytest.mark.slow
def test_a_store_opened_twice_loses_nothing_to_another_process():
    first, second = open_store(), open_store()
    first.client.create_run(first.experiment_id)
    assert runs_after_one_more() == 2
    second.client.create_run(second.experiment_id)
    first.client.create_run(first.experiment_id)
    assert runs_after_one_more() == 5

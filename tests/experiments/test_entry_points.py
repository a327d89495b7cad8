"""Experiments without checks of their own, from the command line to their tables."""

import pandas as pd
import pytest

from credit.tracking.reader import connect
from tests.experiments.calling import call, finish


@pytest.mark.slow
def test_one_run_is_told(tracking_store):
    parent, runs = finish("train", width=8, depth=2, k=2, rule="dfa")
    (run,) = runs.to_dict("records")
    table = pd.read_csv(connect().artifact(parent, "table.csv"))
    assert table["accuracy"].tolist() == [pytest.approx(run["accuracy/test"])]


@pytest.mark.slow
def test_untrained_networks_are_measured_without_child_runs(tracking_store):
    done = call("frozen_init", dataset="digits", width=8, depth=2, seeds="1,2", samples=32)
    assert done.returncode == 0, done.stderr
    reader = connect()
    parent = reader.newest("frozen_init")
    networks = pd.read_csv(reader.artifact(parent, "networks.csv"))
    assert networks["seed"].tolist() == [1, 2]
    logged = reader.run(parent).data.metrics
    assert logged["identity/cos_mean"] == pytest.approx(networks["cos"].mean())
    assert logged["identity/cos_std"] == pytest.approx(networks["cos"].std(ddof=1))

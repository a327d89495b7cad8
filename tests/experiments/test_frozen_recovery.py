"""Frozen recovery: estimators on networks that bp has trained, or on that of a finished run."""

import json

import pandas as pd
import pytest

from credit.errors import CreditError
from credit.experiments import frozen_recovery
from credit.tracking.reader import connect
from tests.experiments.calling import LEARNS, call, finish

SMALL = {**LEARNS, "arms": "dfa,M4"}


@pytest.mark.slow
def test_arms_follow_their_references_and_a_finished_run_serves_as_one(tracking_store):
    asked = {**SMALL, "networks": "16x2", "seeds": "1,2", "reference_epochs": 2}
    parent, runs = finish("frozen_recovery", **asked)
    origin = runs.loc[runs["rule"] == "bp"].set_index("spec_hash")
    arms = runs.loc[runs["rule"] != "bp"]
    assert (len(origin), len(arms), set(runs["status"])) == (2, 4, {"FINISHED"})
    assert set(origin["epochs"]) == {2} and set(arms["epochs"]) == {1}
    for arm in arms.to_dict("records"):  # nothing of the network trains
        assert arm["accuracy/test"] == origin.loc[arm["start"], "accuracy/test"]
        assert arm["seed"] == origin.loc[arm["start"], "seed"]
    reader = connect()
    assert reader.run(parent).data.params["epochs"] == "1"
    verdicts = json.loads(reader.artifact(parent, "verdicts.json").read_text())
    found = {verdict["check"]: verdict["status"] for verdict in verdicts}
    assert (found["frozen"], found["order"]) == ("pass", "undefined")
    layers = pd.read_csv(reader.artifact(parent, "layers.csv"))
    assert sorted(layers["layer"].unique()) == [0, 1, 2]

    start = origin.iloc[1]
    other, again = finish("frozen_recovery", run_id=start["run_id"], **SMALL)
    assert other != parent
    assert set(again["run_id"]) == {
        start["run_id"],
        *arms.loc[arms["start"] == start.name, "run_id"],  # which are there already
    }
    params = reader.run(other).data.params
    assert (params["networks"], params["seeds"]) == ("16x2", str(start["seed"]))

    for options, said in (
        ({"seeds": "7"}, "seeds=7"),
        ({"dataset": "cifar10"}, "dataset=cifar10"),
        ({"networks": "17x2"}, "networks=17x2"),
    ):
        with pytest.raises(CreditError, match=f"{said} does not go with run_id"):
            frozen_recovery.on_network({"run_id": start["run_id"], **options})
    arm = arms["run_id"].iloc[0]
    done = call("frozen_recovery", run_id=arm)
    assert done.returncode == 1 and f"run_id={arm} is of rule=" in done.stderr
    assert connect().newest("frozen_recovery") == other

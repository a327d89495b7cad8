"""The online scan: every cell on one seed, then the best and its dfa on more."""

from collections import Counter

import pandas as pd
import pytest

from credit.tracking.reader import connect
from tests.experiments.calling import LEARNS, finish


@pytest.mark.slow
def test_the_best_cell_and_its_dfa_go_on_to_further_seeds(tracking_store):
    options = {"width": 8, "depth": 2, "warmups": "0", "tgws": "1,4", "stale_steps": 2}
    arms = {"arms": "dfa,state_bridge,credit_eT", "scan_seeds": "42", "seeds": "42,7"}
    parent, runs = finish("online_scan", **LEARNS, **options, **arms)
    assert set(runs["status"]) == {"FINISHED"}
    assert Counter(runs["seed"]) == {42: 4, 7: 2}
    reader = connect()
    best = pd.read_csv(reader.artifact(parent, "best.csv")).set_index("seeds")
    assert best["which"].astype(str).to_dict() == {
        "all": "7, 42",
        "that chose it": "42",
        "that did not": "7",
    }
    own = runs.loc[runs["rule"] != "dfa"].set_index(["rule", "tgw", "seed"])["alignment/deep"]
    dfa = runs.loc[runs["rule"] == "dfa"].set_index("seed")["alignment/deep"]
    chosen = own.xs(42, level="seed").idxmax()
    leads = {seed: own[(*chosen, seed)] - dfa[seed] for seed in (42, 7)}
    assert best["s1"].to_dict() == pytest.approx(
        {"all": sum(leads.values()) / 2, "that chose it": leads[42], "that did not": leads[7]}
    )

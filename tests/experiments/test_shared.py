"""Grids and lookups that several experiments share."""

import pytest

from credit.experiments._parts.grids import along, beside
from credit.lab import Factor, Frame, listed, product
from credit.lab.quantity import ACCURACY
from tests.lab.made import made

CHOSEN = {"seeds": "1,2", "width": "8", "depth": "3", "depths": "2,4", "alphas": "0,1.0"}


def test_a_grid_trains_every_block_and_later_settings_win():
    depths = listed(CHOSEN, "depths", "depth")
    specs = product(CHOSEN, depths, [{}, {"width": 16, "k": 0}])
    assert [(s.seed, s.depth, s.k, s.width) for s in specs] == [
        (seed, depth, *own) for seed in (1, 2) for depth in (2, 4) for own in ((depth, 8), (0, 16))
    ]
    assert len(product(CHOSEN, [{}, {"width": 8}])) == 2  # each run once


def test_runs_are_compared_with_the_run_of_their_seed():
    runs = made({"rule": "dfa", ACCURACY.metric: [0.1, 0.2]}, {"rule": "fa", "k": 1})
    found = beside(runs, runs.loc[runs["rule"] == "dfa"], ACCURACY)
    assert found.tolist() == pytest.approx([0.1, 0.2, 0.1])
    assert beside(runs, runs.iloc[:0], ACCURACY).isna().all()


def test_a_cell_follows_a_factor_only_where_it_was_run():
    runs = made({"rule": "fa", "k": 4}, {"rule": "fa", "k": 0}, {"rule": "bp", "k": 2})
    frame = Frame(runs, (Factor("rule"), Factor("k")))
    assert along(frame, "k", {"rule": "fa"}) == [{"rule": "fa", "k": k} for k in (0, 4)]

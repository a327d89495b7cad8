"""Differences from the published preset, found by expanding it with the same grid."""

import pytest

from credit.experiments.ladder import EXPERIMENT
from credit.lab import results
from credit.lab.departure import differences, settings
from credit.lab.quantity import ACCURACY
from tests.lab.made import made


def said(**changes) -> str:
    rules, seeds = ("bp", "oracle", "fa", "dfa"), (42, 123, 456)
    rows = [
        {"rule": rule, "k": k, "seed": seed, "credit_reduction": "sum" if rule == "dfa" else "mean"}
        for rule in rules
        for k in range(5)
        for seed in seeds
    ]
    keep = changes.pop("keep", lambda row: True)
    runs = made(*filter(keep, rows), **{ACCURACY.metric: 0.5, **changes})
    frame = EXPERIMENT.frame(runs, None)
    return settings(differences(frame, EXPERIMENT.grid(EXPERIMENT.settled({}))))


def test_published_runs_differ_in_nothing():
    assert said() == "published"
    assert said(device="cuda", measure_every=5, directions=8) == "published"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epochs": 10}, "reduced: 10 of 100 epochs"),
        ({"train_samples": 5000}, "reduced: 5000 of 50000 samples"),
        ({"width": 128}, "reduced: d=128 for 256"),
        ({"lr": 0.01}, "changed: lr=0.01 for 0.001"),
        ({"epochs": 200}, "changed: 200 for 100 epochs"),
        ({"keep": lambda row: row["seed"] == 42}, "reduced: 1 of 3 seeds"),
        ({"keep": lambda row: row["rule"] != "fa"}, "reduced: without fa"),
        ({"keep": lambda row: (row["rule"], row["k"]) != ("fa", 2)}, "reduced: without fa k=2"),
        ({"dataset": "digits", "epochs": 6}, "reduced: digits for cifar10, 6 of 100 epochs"),
    ],
)
def test_what_differs_is_named(changes, text):
    assert said(**changes) == text


def test_the_table_says_it_too():
    runs = made({"rule": "bp", "k": 4, ACCURACY.metric: 0.5}, epochs=10)
    assert results(EXPERIMENT, runs, None).table["settings"].iloc[0].startswith("reduced: ")

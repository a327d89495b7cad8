"""Matched controls: what a rule's accuracy is worth beside networks that differ in one thing.

A run's control is read off its parameters. `k=L` trains all blocks and is what the others are
compared with, seed by seed; `k=0` trains none; `shallow` has fewer blocks and is as wide as its
parameters ask for; `random labels`, `penalty` and `frozen embedding` say what they change. With
frozen blocks and a frozen embedding only the output layer trains, on its exact gradient whatever
the rule is, so that one run serves every rule.
"""

from typing import Any

import pandas as pd

from credit.analysis import cells, cost, reduction
from credit.analysis.cells import formatted, spread
from credit.analysis.controls_wording import deepest
from credit.analysis.selection import (
    ACCURACY,
    configuration,
    finished,
    in_order,
    metric,
    pick,
)
from credit.network_size import SIZES, parameters

KIND = "matched_controls"
FULL, NONE, SHALLOW = "k=L", "k=0", "shallow"
RANDOM, PENALTY, FROZEN = "random labels", "penalty", "frozen embedding"
ORDER = (FULL, NONE, FROZEN, SHALLOW, RANDOM, PENALTY)
"""The order of the controls in every table and figure; others follow by name."""

QUANTITIES = {
    "accuracy": "test accuracy",
    "train": "train accuracy",
    "difference": "minus k=L, by seed",
}
"""Columns of the table with mean and sd, and their headings. Accuracies are of the last epoch; that
in training is counted while the network changes, on the images and labels that it is shown."""

METRICS = {"accuracy": ACCURACY, "train": "accuracy/train", "growth": "growth/max"}
"""The metric behind a quantity of one run."""


_CHANGED = ("k", "penalty", "random_labels", "embed_trains", "augment")
_VARIED = ("rule", "seed", "width", "depth", *_CHANGED)


def with_controls(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column `control`, checked for being comparable.

    Raises:
        CreditError: there are no runs, or they differ in more than rule, seed and what makes a
            control.
    """
    configuration(runs, vary=_VARIED)
    depth = int(runs["depth"].max())
    named = runs.assign(control=[_control(run, depth) for run in runs.to_dict("records")])
    deep = named.loc[named["depth"] == depth]
    configuration(deep, vary=("rule", "seed", *_CHANGED))
    if len(true := named.loc[~named["random_labels"]]):  # only permuted labels go unaugmented
        configuration(true, vary=[name for name in _VARIED if name != "augment"])
    for _, own in named.groupby("control"):
        configuration(own, vary=("rule", "seed"))
    return named


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title: "cifar10, d=256, L=4, 100 epochs".

    Raises:
        CreditError: as `with_controls`.
    """
    named = with_controls(runs)
    text = "{dataset}, d={width}, L={depth}, {epochs} epochs".format(**deepest(named))
    return reduction.told(text, KIND, named)


def controls(runs: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, cost, size and growth by rule and control, and the difference to `k=L`.

    Args:
        runs: of `cost.load`; without their costs these columns are nan.

    Returns:
        Columns rule, control, width, depth, k, parameters and trained (those of the whole network,
        and those that train; nan where the dataset's size is not known), for each of QUANTITIES
        its mean, `_sd` (ddof 1) and `_n` (of `difference`: seeds that both have), growth (the
        largest over seeds of `growth/max`), `cost.COUNTED`, n (finished runs), settings
        (`reduction.settings` of all runs).

    Raises:
        CreditError: as `with_controls`.
    """
    named = with_controls(runs)
    done, label = finished(named), reduction.settings(KIND, named)
    rows: list[dict[str, Any]] = []
    for rule in in_order(named["rule"]):
        own = pick(named, rule=rule)
        full = by_seed(pick(done, rule=rule, control=FULL), "accuracy")
        for control in ordered(own["control"]):
            here = pick(own, control=control)
            config = here.iloc[0]
            ended = pick(done, rule=rule, control=control)
            accuracy, train = (by_seed(ended, name) for name in ("accuracy", "train"))
            both = [seed for seed in accuracy if seed in full and control != FULL]
            row = {
                "rule": rule,
                "control": control,
                **{name: int(config[name]) for name in ("width", "depth", "k")},
                "parameters": parameters(config),
                "trained": parameters(config, trained=True),
                **spread("accuracy", accuracy.values()),
                **spread("train", train.values()),
                **spread("difference", [round(accuracy[s] - full[s], 12) for s in both]),
                "growth": pd.Series(by_seed(ended, "growth"), dtype=float).max(),
                **cost.counted(ended),
                "n": len(ended),
                "settings": label,
            }
            rows.append(row)
    return pd.DataFrame(rows)


def controls_wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `controls` as strings, for Markdown and the terminal."""
    rows = table.to_dict("records")
    left = {
        "rule": [row["rule"] for row in rows],
        "control": [row["control"] for row in rows],
        "network": [f"d={row['width']} L={row['depth']} k={row['k']}" for row in rows],
        "parameters": [_count(row["parameters"]) for row in rows],
        "trained": [_count(row["trained"]) for row in rows],
    }
    found = formatted(table, QUANTITIES)
    growth = [f"{row['growth']:.3g}" if pd.notna(row["growth"]) else "" for row in rows]
    found.insert(len(QUANTITIES), "growth/max", growth)
    if (table["settings"] != reduction.PUBLISHED).any():
        found["settings"] = table["settings"].tolist()
    return pd.concat([pd.DataFrame(left), cost.counts(table), found], axis=1)


def note(runs: pd.DataFrame) -> str:
    """What the numbers of parameters stand on."""
    dataset = str(runs["dataset"].iloc[0])
    if dataset not in SIZES:
        return f"parameters: not known, because the size of {dataset} is not"
    return "parameters: of {} inputs and {} classes ({}); runs do not record them".format(
        *SIZES[dataset], dataset
    )


def by_seed(runs: pd.DataFrame, quantity: str) -> dict[int, float]:
    """One of METRICS of a cell's finished runs, by seed."""
    seeds = sorted(runs["seed"].astype(int))
    return dict(zip(seeds, metric(runs, METRICS[quantity]), strict=True))


def cell(runs: pd.DataFrame, rule: str, control: str, quantity: str = "accuracy") -> dict:
    """A quantity of one rule and control by seed, for a verdict; `runs` of `with_controls`.

    Raises:
        Undecided: as `cells.sample`.
    """
    return cells.sample(
        pick(runs, rule=rule, control=control),
        quantity,
        f"{control} of {rule}",
        take=lambda own, name: metric(own, METRICS[name]),
        symbol=METRICS[quantity],
    )


def ordered(names: Any) -> list[str]:
    """Each control once, in canonical order."""
    known = set(names)
    return [name for name in ORDER if name in known] + sorted(known - set(ORDER))


def _control(run: dict[str, Any], depth: int) -> str:
    changed = {
        SHALLOW: run["depth"] < depth,
        RANDOM: run["random_labels"],
        PENALTY: run["penalty"] > 0,
        FROZEN: not run["embed_trains"],
    }
    names = [name for name, on in changed.items() if on]
    if names == [FROZEN] and run["k"] == 0:
        return FROZEN
    if run["k"] < run["depth"] or FROZEN in names:
        names.append(f"k={run['k']}" if run["k"] < run["depth"] else FULL)
    return "+".join(names) or FULL


def _count(number: float) -> str:
    return f"{number:,.0f}" if pd.notna(number) else ""

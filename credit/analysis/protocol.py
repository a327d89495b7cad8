"""The audit of one rule: whose runs they are, and which of them are what.

Its runs are the ladder of the rule beside bp and the oracle, and the rule's matched controls.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis import controls
from credit.analysis.selection import finished, pick
from credit.errors import CreditError
from credit.tracking.reader import Reader

KIND = "audit"
BESIDE = ("bp", "oracle")
"""What stands beside the rule in every audit."""


class Subject(NamedTuple):
    """What is audited."""

    rule: str
    identity: Mapping[str, float]
    """`identity/...` of the untrained networks; empty where it was not measured."""

    @property
    def label(self) -> str:
        """The rule's name without the package it comes from, for sentences."""
        return label(self.rule)


def label(rule: str) -> str:
    """A rule's name without the package it comes from."""
    return rule.rpartition(":")[2]


def subject(reader: Reader, runs: pd.DataFrame) -> Subject:
    """Which rule the runs of an audit are about, and what its parent has measured.

    The parent is the newest audit of just these runs. Where there is none, as of a part of the
    runs, the rule is the one that is neither bp nor the oracle.

    Raises:
        CreditError: it cannot be told.
    """
    known, wanted = set(runs["rule"]), set(runs["run_id"])
    others = sorted(known - set(BESIDE))
    for parent in reader.parents(KIND).to_dict("records"):
        if set(reader.children(parent["run_id"])) == wanted:
            metrics = reader.run(parent["run_id"]).data.metrics
            identity = {k: v for k, v in metrics.items() if k.startswith("identity/")}
            named = parent["params"].get("rule")
            if named in known or len(others) == 1:
                return Subject(named if named in known else others[0], identity)
    if len(others) != 1:
        raise CreditError(
            f"runs of {', '.join(sorted(known))}: an audit is of one rule beside bp and the "
            "oracle, read one with runs(parent=...)"
        )
    return Subject(others[0], {})


def rungs(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the ladder: of the whole network, with nothing else changed.

    Raises:
        CreditError: the runs are not those of one audit.
    """
    named = controls.with_controls(runs)
    return named.loc[named["control"].str.fullmatch(r"k=(L|\d+)")].drop(columns="control")


def full_and_penalised(runs: pd.DataFrame, rule: str) -> pd.DataFrame:
    """The rule's runs with every block trained, without and with the branch penalty."""
    named = controls.with_controls(pick(runs, rule=rule))
    wanted = named["control"].isin([controls.FULL, controls.PENALTY])
    return named.loc[wanted].drop(columns="control")


def run_ids(runs: pd.DataFrame, rule: str) -> list[dict[str, Any]]:
    """The finished runs at both ends of the ladder, of the first seed, the rule's first.

    Returns:
        rule, seed, and the ids by k.
    """
    done = finished(rungs(runs))
    rows = []
    for name in dict.fromkeys((rule, *BESIDE)):
        own = pick(done, rule=name)
        if own.empty:
            continue
        first = pick(own, seed=own["seed"].min())
        ends = first.loc[first["k"].isin([0, first["depth"].iloc[0]])].sort_values("k")
        ids = dict(zip(ends["k"].astype(int), ends["run_id"], strict=True))
        rows.append({"rule": name, "seed": int(first["seed"].iloc[0]), "ids": ids})
    return rows

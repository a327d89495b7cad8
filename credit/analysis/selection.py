"""Which runs a table is made of: finished ones of one configuration, each seed once."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.spec import LEARNED_FIELDS, field_types, format_value
from credit.tracking.reader import Reader

ORDER = ("bp", "oracle", "fa", "dfa", "state_bridge", "credit_bridge", "vector_field")
"""The order of rules in every table and figure; others follow by name."""

ACCURACY = "accuracy/test"
"""The metric of every ladder: its last value, which of a finished run is the last epoch's."""

IRRELEVANT = frozenset({"device", "measure_every"})
"""Fields that do not change what a number means."""


OWN = LEARNED_FIELDS | {"credit_reduction", "rule_code", "rule_option"}
"""Fields that are a rule's own: runs of different rules may differ in them, and do."""


def in_order(rules: Iterable[str]) -> list[str]:
    """Each rule once, in canonical order."""
    known = set(rules)
    return [rule for rule in ORDER if rule in known] + sorted(known - set(ORDER))


def choose_parent(reader: Reader, kind: str, run_id: str | None = None) -> str:
    """The id of an experiment's parent run: `run_id`, or the newest of this kind.

    Raises:
        CreditError: there is none, or `run_id` is not one.
    """
    ids = list(reader.parents(kind)["run_id"])
    if not ids:
        raise CreditError(f"the tracking store has no {kind!r} experiment: run one first")
    if run_id is None:
        return ids[0]
    if run_id not in ids:
        raise CreditError(
            f"{run_id!r} is no {kind!r} experiment: choose its id from connect().parents({kind!r})"
        )
    return run_id


def configuration(
    runs: pd.DataFrame, vary: Iterable[str] = ("rule", "k", "seed")
) -> dict[str, Any]:
    """The settings that all runs share: every RunSpec field but those in `vary`.

    What is a rule's own must agree within each rule only, and is not returned.

    Raises:
        CreditError: there are no runs, or they differ in another field, so that a mean over them
            would mean nothing.
    """
    if runs.empty:
        raise CreditError(
            "no runs to show: run the experiment first, or choose another one from "
            "connect().parents()"
        )
    free = {*vary, *IRRELEVANT}
    names = [n for n in field_types() if n not in free | OWN]
    for name in names:
        _one_value(runs, name, "")
    for rule, own in runs.groupby("rule"):
        for name in sorted(OWN - free):
            _one_value(own, name, f" of {rule}")
    return {name: runs[name].iloc[0] for name in names}


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title: "cifar10, d=256, L=4, 100 epochs"."""
    config = configuration(runs, vary=("rule", "k", "seed", "penalty"))
    return "{dataset}, d={width}, L={depth}, {epochs} epochs".format(**config)


def finished(runs: pd.DataFrame, having: str = ACCURACY) -> pd.DataFrame:
    """The runs that reached their last epoch, with the metric `having`.

    Of two with the same settings, the newer.
    """
    whole = runs.loc[_counts(runs, having)].sort_values("started", kind="stable")
    settings = [name for name in field_types() if name not in IRRELEVANT]
    return whole.drop_duplicates(settings, keep="last")


def left_out(runs: pd.DataFrame, having: str = ACCURACY) -> pd.DataFrame:
    """The runs that no table counts yet, or ever: name, status, reason."""
    return runs.loc[~_counts(runs, having), ["name", "status", "reason"]].reset_index(drop=True)


def pick(frame: pd.DataFrame, **equal: Any) -> pd.DataFrame:
    """The rows whose columns have these values: `pick(runs, rule="fa", k=2)`."""
    for column, value in equal.items():
        frame = frame.loc[frame[column] == value]
    return frame


def metric(runs: pd.DataFrame, key: str) -> list[float]:
    """One metric's last values in order of seed; nan where a run has none."""
    if key not in runs:
        return [float("nan")] * len(runs)
    return runs.sort_values("seed")[key].astype(float).tolist()


def _counts(runs: pd.DataFrame, having: str) -> pd.Series:
    if having not in runs:
        return pd.Series(False, index=runs.index)
    return (runs["status"] == "FINISHED") & runs[having].notna()


def _one_value(runs: pd.DataFrame, name: str, whose: str) -> None:
    values = sorted(runs[name].unique().tolist())
    if len(values) > 1:
        shown = ", ".join(map(format_value, values))
        raise CreditError(
            f"runs{whose} differ in {name} ({shown}): read one experiment with runs(parent=...), "
            f"""or add filter="params.{name} = '{format_value(values[0])}'\""""
        )

"""From tracked runs to the audit protocol's verdicts."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from credit import audit
from credit.analysis.selection import ACCURACY, configuration, finished, in_order, metric, pick
from credit.spec import RunSpec

CHECKS = ("D1", "D2", "direction", "D3", "shape", "oracle_share")
"""The protocol's checks, in the order in which they are shown."""

_PUBLISHED_FLOOR = RunSpec().reference_floor


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """All verdicts on every rule of a ladder, from finished runs.

    D1, D2 and the direction are those of the fully trained net, k = L, the direction at layer
    L // 2. A fully trained run that failed because its loss was not finite counts for D1 as
    unbounded growth. Gains from k = 0 to k = L are those of the seeds that have both; where one of
    them failed like that they are undefined.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: there are no runs, or they are not of one configuration.
    """
    config = configuration(runs)
    depth = int(config["depth"])
    ladders = {rule: _ladder(pick(runs, rule=rule), depth) for rule in set(runs["rule"])}
    rows = []
    for rule in in_order(ladders):
        found = audit.audit_rule(
            rule,
            ladders[rule],
            ladders.get("bp", {}),
            ladders.get("oracle", {}),
            depth=depth,
            middle_layer=depth // 2,
            floor=sample_floor(config),
            **_measured(pick(runs, rule=rule, k=depth), depth),
        )
        rows += [{"rule": rule, **asdict(verdict)} for verdict in found]
    return rows


def direction_verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """D1, D2 and direction quality of fully trained nets, by rule and penalty.

    Returns:
        `audit.Verdict` as dictionaries, with `rule` and `penalty`.

    Raises:
        CreditError: as `verdicts`.
    """
    config = configuration(runs, vary=("rule", "k", "seed", "penalty"))
    depth = int(config["depth"])
    rows = []
    for rule in in_order(runs["rule"]):
        for penalty in sorted(pick(runs, rule=rule)["penalty"].unique()):
            measured = _measured(pick(runs, rule=rule, penalty=penalty, k=depth), depth)
            reference = audit.reference_validity(measured["grad_norm"], sample_floor(config))
            found = [
                audit.scale_stability(measured["growth"]),
                reference,
                audit.direction_quality(measured["middle_alignment"], reference, depth // 2),
            ]
            rows += [{"rule": rule, "penalty": float(penalty), **asdict(v)} for v in found]
    return rows


def verdict_table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per rule (and penalty), one column per check: "pass", "fail (falls)"."""
    frame = pd.DataFrame(found)
    rows = ["rule", "penalty"] if "penalty" in frame else ["rule"]
    frame["outcome"] = [
        f"{v['status']} ({v['label']})" if v["label"] else v["status"] for v in found
    ]
    wide = frame.pivot(index=rows, columns="check", values="outcome")
    order = frame[rows].drop_duplicates()
    wide = wide[[check for check in CHECKS if check in wide]].reset_index()
    return order.merge(wide, on=rows, how="left")


def sample_floor(config: dict[str, Any]) -> float:
    """The floor for a per-sample |g| in the precision of the runs."""
    # measured in the precision of the states, which only fp64 changes
    states = np.float64 if config["precision"] == "fp64" else np.float32
    precision = np.finfo(states).eps / np.finfo(np.float32).eps
    return audit.SAMPLE_FLOOR * config["reference_floor"] / _PUBLISHED_FLOOR * float(precision)


def _ladder(runs: pd.DataFrame, depth: int) -> dict[int, list[float]]:
    """A rule's accuracies by k; at both ends those of the same seeds, nan for one that diverged."""
    done = finished(runs)
    ends = {k: pick(done, k=k) for k in (0, depth)}
    both = set.intersection(*(set(own["seed"]) for own in ends.values()))
    found = {k: metric(pick(done, k=k), ACCURACY) for k in sorted(set(done["k"].astype(int)))}
    for k, own in ends.items():
        lost = [math.nan] * len(_diverged(pick(runs, k=k)))
        found[k] = metric(own.loc[own["seed"].isin(both)], ACCURACY) + lost
    return {k: values for k, values in found.items() if values}


def _diverged(runs: pd.DataFrame) -> pd.DataFrame:
    failed = pick(runs, status="FAILED")
    return failed.loc[failed["reason"].fillna("").astype(str).str.startswith("non-finite")]


def _measured(full: pd.DataFrame, depth: int) -> dict[str, list[float]]:
    """Per-seed measurements of fully trained runs, as `audit_rule` takes them."""
    done = finished(full)
    return {
        "growth": metric(done, "growth/max") + [math.inf] * len(_diverged(full)),
        "grad_norm": metric(done, f"grad_norm/h{depth:02d}"),
        "middle_alignment": metric(done, f"alignment/h{depth // 2:02d}"),
    }

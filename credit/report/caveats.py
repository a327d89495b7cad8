"""What is to be kept in mind of a report's numbers, computed from the runs."""

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from credit.analysis.cells import UNFITTED
from credit.analysis.results import Results
from credit.analysis.selection import pick
from credit.presets import PRESETS
from credit.report.commands import changed
from credit.report.origin import Origin
from credit.report.sources import groups
from credit.tracking.store import is_http

_LISTED = 8
_RESOLVED = frozenset({"device", "credit_reduction", "start"})
"""Options that are resolved to the machine or the rule, and say nothing of the experiment."""

_SUBJECT = {"audit": {"rule", "controls"}}
"""By experiment, options that say what it is about and are nobody's published setting."""


def caveats(runs: pd.DataFrame, found: Results, origin: Origin) -> list[str]:
    """Every caveat that holds: of the experiment, its size, its seeds, its runs, its code."""
    said = list(found.caveats)
    said += reduced(origin.kind, origin.params)
    if found.cells is not None and found.by:
        said += seeds(found.cells, found.by)
        said += unfinished(runs, found.cells)
        said += references(found.cells)
        said += estimators(found.cells)
    if origin.status != "FINISHED":
        said.append(f"The parent run is {origin.status}: more runs may follow.")
    said += code(origin)
    return said


def reduced(kind: str, params: Mapping[str, str]) -> list[str]:
    """In which options the runs are not the published experiment."""
    if "published" not in PRESETS.get(kind, {}):
        return []
    left_out = _RESOLVED.union(_SUBJECT.get(kind, ()))
    other = {k: v for k, v in changed(kind, params, "published").items() if k not in left_out}
    if not other:
        return ["The settings are those of the published experiment."]
    words = {("train_samples", "0"): "all"}
    listed = "; ".join(
        f"{name} = {value}" + (f" (published: {words.get((name, usual), usual)})" if usual else "")
        for name, (value, usual) in other.items()
    )
    return [f"Asked for otherwise than in the published experiment: {listed}."]


def seeds(cells: pd.DataFrame, by: tuple[str, ...]) -> list[str]:
    """What a number is a mean of, and what its spread is worth."""
    counts = [len(own) for _, own in groups(cells, by)]
    if not counts:
        return ["No run has finished: there is no number."]
    low, high = min(counts), max(counts)
    if high == 1:
        return [
            "One seed (n = 1): no spread is known, and a small difference may be the seed's. A "
            "verdict on one seed may change with the next."
        ]
    range_ = f"{low}" if low == high else f"{low} to {high}"
    known = f"{1 / math.sqrt(2 * (high - 1)):.0%}"
    alone = sum(count == 1 for count in counts)
    return [
        f"Numbers are means over n = {range_} seeds. A sample sd over {high} is itself known to "
        f"about ± {known} only."
        + (f" {alone} of {len(counts)} stand on one seed, without a spread." if alone else "")
    ]


def unfinished(runs: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """The runs that make no number, and why."""
    said = []
    left = runs.loc[~runs["run_id"].isin(cells["run_id"])]
    for status, what in (("FAILED", "failed"), ("KILLED", "were stopped"), ("RUNNING", "go on")):
        own = pick(left, status=status)
        names = [
            f"{run['name']}" + ("" if pd.isna(run["reason"]) else f" ({run['reason']})")
            for run in own.to_dict("records")
        ]
        if names:
            said.append(
                f"{len(names)} of {len(runs)} runs {what} and count nowhere: {_few(names)}."
            )
    others = list(pick(left, status="FINISHED")["name"])
    if others:
        said.append(
            f"{len(others)} finished runs are not in the table (not of its question, without its "
            f"metric, or there is a newer one of the same settings): {_few(others)}."
        )
    return said


def references(cells: pd.DataFrame) -> list[str]:
    """Runs whose exact gradient is too small to compare with."""
    if "valid/reference" not in cells:
        return []
    bad = list(cells.loc[cells["valid/reference"] == 0, "name"])
    if not bad:
        return []
    return [
        f"In {len(bad)} of {len(cells)} runs the exact gradient at h_L is below the floor of "
        f"rounding, so that their alignment is undefined and left out, not 0: {_few(bad)}."
    ]


def estimators(cells: pd.DataFrame) -> list[str]:
    """Credit bridges that have not learned what they are taught."""
    own = pick(cells, rule="credit_bridge")
    if "estimator/gradient" not in own:
        return []
    bad = list(own.loc[own["estimator/gradient"] > UNFITTED, "name"])
    if not bad:
        return []
    return [
        f"In {len(bad)} of {len(own)} runs of credit_bridge the estimator misses more than "
        f"{UNFITTED:.0%} of its target: what their credit is worth tells of the estimator's fit, "
        f"not of the rule ({_few(bad)})."
    ]


def code(origin: Origin) -> list[str]:
    """Runs of several versions of the code, of changed code, of other stores."""
    said = []
    commits = [commit for commit in origin.commits if commit]
    if len(commits) > 1:
        listed = ", ".join(f"{c[:10]} ({origin.commits[c]} runs)" for c in commits)
        said.append(f"The runs were made by {len(commits)} versions of the code: {listed}.")
    if unknown := origin.commits[""]:
        said.append(f"{unknown} runs do not say which version of the code made them.")
    if origin.changed:
        said.append(f"In {origin.changed} runs the code differed from the commit that they name.")
    if origin.unsaid:
        said.append(f"{origin.unsaid} runs do not say whether the code was changed.")
    if origin.parent_changed:
        said.append("When the parent run was opened the code differed from the commit it names.")
    elif origin.parent_changed is None:
        said.append("The parent run does not say whether the code was changed.")
    if origin.imported:
        said.append(
            f"{origin.imported} runs were imported from files: the store did not see them train."
        )
    if not is_http(origin.uri):
        said.append("Run ids are those of one store; in another one the same runs have others.")
    return said


def _few(names: Iterable[str]) -> str:
    known = list(names)
    more = f", and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"{', '.join(known[:_LISTED])}{more}"

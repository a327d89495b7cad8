"""Differences between the runs of an experiment and its published preset.

The published preset is expanded with the same grid; every run is compared with the published run
that is nearest to it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from credit.lab.frame import Frame
from credit.spec import LEARNED_FIELDS, RunSpec, field_types, format_value

PUBLISHED = "published"
"""What is said of runs that differ in nothing."""
FREE = frozenset(
    {
        "seed",  # counted, cell by cell
        "rule_code",  # the digest of a rule's code, which sets nothing
        "device",  # where, not what, was computed
        "measure_every",  # how often is measured; tables show the last epoch
        "measure_samples",  # how finely is measured
        "directions",
        "stale_steps",  # a measurement more, which changes no other
        "start",  # a hash that differs from seed to seed
    }
)
"""Fields that may be anything in published runs."""
_SIZES = {"width": "d=", "depth": "L="}
_CIFAR = 50_000


class Difference(NamedTuple):
    """One thing in which runs are not the published ones."""

    text: str
    less: bool = False
    """Whether they are shorter, narrower or fewer, not only otherwise."""


def settings(found: Sequence[Difference]) -> str:
    """Return PUBLISHED, "REDUCED: 10 of 100 epochs", or "CHANGED: ..." where nothing is less."""
    if not found:
        return PUBLISHED
    word = "REDUCED" if any(one.less for one in found) else "CHANGED"
    return f"{word}: {', '.join(dict.fromkeys(one.text for one in found))}"


def differences(
    frame: Frame,
    published: Sequence[RunSpec],
    repeat: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> list[Difference]:
    """Return how the finished runs differ from the published ones; [] where in nothing.

    Args:
        published: the published preset's grid.
        repeat: repeats a run for every cell that it stands in.
    """
    if frame.done.empty:
        return [Difference("no finished run", less=True)]
    if not published:
        return []
    wanted = pd.DataFrame([vars(spec) for spec in published])
    wanted = repeat(wanted) if repeat else wanted
    wanted = wanted.assign(**{f.name: _labels(f, wanted) for f in frame.factors})
    return [
        *_missing(frame, wanted),
        *_fields(frame, wanted),
        *_seeds(frame, wanted),
    ]


def _labels(factor: Any, runs: pd.DataFrame) -> list[Any]:
    return [factor.label(run) for run in runs.to_dict("records")]


def _missing(frame: Frame, wanted: pd.DataFrame) -> list[Difference]:
    """Return labels that no run has, then further cells that are not there."""
    names, parts = [f.name for f in frame.factors], []
    for factor in frame.factors:
        known = set(frame.done[factor.name])
        lost = [v for v in factor.in_order(wanted[factor.name]) if v not in known]
        if lost:
            parts.append(f"without {', '.join(map(factor.show, lost))}")
            wanted = wanted.loc[~wanted[factor.name].isin(lost)]
    there = set(frame.done[names].itertuples(index=False, name=None))
    gone = [
        c for c in dict.fromkeys(wanted[names].itertuples(index=False, name=None)) if c not in there
    ]
    if gone:
        shown = [" ".join(f.show(v) for f, v in zip(frame.factors, c, strict=True)) for c in gone]
        few = len(gone) <= 3
        parts.append(f"without {', '.join(shown) if few else f'{len(gone)} of the cells'}")
    return [Difference(part, less=True) for part in parts]


def _fields(frame: Frame, wanted: pd.DataFrame) -> list[Difference]:
    """Return the settings in which runs differ from the nearest published run of their rule."""
    said = frozenset().union(*(factor.fields for factor in frame.factors)) - {"rule"}
    names = [name for name in field_types() if name not in FREE | said]
    theirs = wanted[names].drop_duplicates().to_dict("records")
    found: dict[str, set[tuple[Any, Any]]] = {}
    for run in frame.done[names].drop_duplicates().to_dict("records"):
        rivals = [own for own in theirs if own["rule"] == run["rule"]] or theirs
        apart = min((_apart(run, own) for own in rivals), key=len)
        for name, pair in apart.items():
            found.setdefault(name, set()).add(pair)
    return [
        _difference(name, sorted(found[name]), frame.done)
        for name in field_types()
        if name in found and name != "rule"
    ]


def _apart(run: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    unread = set() if run["rule"] != other["rule"] else _unread(run["rule"])
    return {
        name: (run[name], value)
        for name, value in other.items()
        if run[name] != value and name not in unread and not _same_reduction(name, run, value)
    }


def _unread(rule: str) -> frozenset[str]:
    """Return the knobs of learned rules that a rule does not read: they keep their default."""
    from credit import rules  # here: it loads torch, and most experiments have no learned rule

    return LEARNED_FIELDS - rules.knobs(rule)


def _same_reduction(name: str, run: Mapping[str, Any], value: Any) -> bool:
    """Return whether `published` stands for the reduction that the run has."""
    from credit import rules

    if name != "credit_reduction" or value != "published":
        return False
    if ":" in run["rule"]:  # a rule elsewhere, which is not loaded
        return True
    return run[name] == rules.get(run["rule"]).published_reduction


def _difference(name: str, pairs: Sequence[tuple[Any, Any]], done: pd.DataFrame) -> Difference:
    own = list(dict.fromkeys(value for value, _ in pairs))
    theirs = list(dict.fromkeys(value for _, value in pairs))
    shown = "/".join(map(format_value, own))
    if name == "dataset":
        return Difference(f"{shown} for {'/'.join(theirs)}", less=True)
    if name in _SIZES:
        text = f"{_SIZES[name]}{shown} for {'/'.join(map(str, theirs))}"
        return Difference(text, less=min(own) < min(theirs))
    if name == "epochs":
        less = min(own) < max(theirs)
        return Difference(f"{shown} {'of' if less else 'for'} {max(theirs)} epochs", less)
    if name == "train_samples":
        cifar = set(done["dataset"]) == {"cifar10"}
        return Difference(f"{shown} of {_CIFAR} samples" if cifar else f"{shown} samples", True)
    less = name in ("estimator_width", "estimator_depth") and min(own) < min(theirs)
    return Difference(f"{name}={shown} for {'/'.join(map(format_value, theirs))}", less)


def _seeds(frame: Frame, wanted: pd.DataFrame) -> list[Difference]:
    names = [f.name for f in frame.factors]
    asked = wanted["seed"].nunique()
    counts = frame.done.groupby(names, dropna=False)["seed"].nunique()
    few, many = int(counts.min()), int(counts.max())
    if few >= asked:
        return []
    return [Difference(f"{few if few == many else f'{few} to {many}'} of {asked} seeds", less=True)]

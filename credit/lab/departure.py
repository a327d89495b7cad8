"""Differences between the runs of an experiment and its published preset.

The published preset is expanded with the same grid; every run is compared with the published run
that is nearest to it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from credit.lab.factor import labelled
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
    """Return PUBLISHED, "reduced: 10 of 100 epochs", or "changed: ..." where nothing is less."""
    if not found:
        return PUBLISHED
    word = "reduced" if any(one.less for one in found) else "changed"
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
    specs = pd.DataFrame([vars(spec) for spec in published])
    wanted = labelled(repeat(specs) if repeat else specs, frame.factors)
    return [*_missing(frame, wanted), *_fields(frame, wanted), *_seeds(frame, wanted)]


def _missing(frame: Frame, wanted: pd.DataFrame) -> Iterator[Difference]:
    """Yield labels that no run has, then further cells that are not there."""
    for factor in frame.factors:
        known = set(frame.done[factor.name])
        lost = [v for v in factor.in_order(wanted[factor.name]) if v not in known]
        if lost:
            yield Difference(f"without {', '.join(map(factor.show, lost))}", less=True)
            wanted = wanted.loc[~wanted[factor.name].isin(lost)]
    names = [f.name for f in frame.factors]
    cells = [
        dict.fromkeys(runs[names].itertuples(index=False, name=None))
        for runs in (wanted, frame.done)
    ]
    gone = [cell for cell in cells[0] if cell not in cells[1]]
    if gone:
        shown = [" ".join(f.show(v) for f, v in zip(frame.factors, c, strict=True)) for c in gone]
        text = ", ".join(shown) if len(gone) <= 3 else f"{len(gone)} of the cells"
        yield Difference(f"without {text}", less=True)


def _fields(frame: Frame, wanted: pd.DataFrame) -> Iterator[Difference]:
    """Yield the settings in which runs differ from the nearest published run of their rule."""
    said = frozenset().union(*(factor.fields for factor in frame.factors)) - {"rule"}
    names = [name for name in field_types() if name not in FREE | said]
    theirs = wanted[names].drop_duplicates().to_dict("records")
    found: dict[str, set[tuple[Any, Any]]] = {}
    for run in frame.done[names].drop_duplicates().to_dict("records"):
        rivals = [own for own in theirs if own["rule"] == run["rule"]] or theirs
        apart = min((_apart(run, own) for own in rivals), key=len)
        for name in apart:
            found.setdefault(name, set()).add((run[name], apart[name]))
    for name in names:
        if name in found and name != "rule":
            yield _difference(name, sorted(found[name]), frame.done)


def _apart(run: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of another run in which it differs and that the rule reads."""
    from credit import rules  # here: it loads torch, and most experiments have no learned rule

    found = {name: value for name, value in other.items() if run[name] != value}
    if run["rule"] == other["rule"]:  # knobs that the rule does not read keep their default
        unread = LEARNED_FIELDS - rules.knobs(run["rule"]) if found else ()
        found = {name: value for name, value in found.items() if name not in unread}
    if found.get("credit_reduction") == "published":  # a rule elsewhere is not loaded
        own = run["rule"]
        if ":" in own or rules.get(own).published_reduction == run["credit_reduction"]:
            del found["credit_reduction"]
    return found


def _difference(name: str, pairs: Sequence[tuple[Any, Any]], done: pd.DataFrame) -> Difference:
    own, theirs = (list(dict.fromkeys(values)) for values in zip(*pairs, strict=True))
    shown, asked = ("/".join(map(format_value, values)) for values in (own, theirs))
    if name == "dataset":
        return Difference(f"{shown} for {asked}", less=True)
    if name in _SIZES:
        return Difference(f"{_SIZES[name]}{shown} for {asked}", less=min(own) < min(theirs))
    if name == "epochs":
        less = min(own) < max(theirs)
        return Difference(f"{shown} {'of' if less else 'for'} {max(theirs)} epochs", less)
    if name == "train_samples":
        of = f" of {_CIFAR}" if set(done["dataset"]) == {"cifar10"} else ""
        return Difference(f"{shown}{of} samples", True)
    less = name in ("estimator_width", "estimator_depth") and min(own) < min(theirs)
    return Difference(f"{name}={shown} for {asked}", less)


def _seeds(frame: Frame, wanted: pd.DataFrame) -> Iterator[Difference]:
    names = [f.name for f in frame.factors]
    counts = frame.done.groupby(names, dropna=False)["seed"].nunique()
    few, many, asked = int(counts.min()), int(counts.max()), wanted["seed"].nunique()
    if few < asked:
        shown = few if few == many else f"{few} to {many}"
        yield Difference(f"{shown} of {asked} seeds", less=True)

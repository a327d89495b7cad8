"""In what the runs of an experiment are not the published ones: one answer for every kind of them.

Runs are set beside the `published` preset of their experiment: the dataset and the network, the
cells that its table has a row for (rules, arms, controls, depths, ...), every field of the runs but
FREE, and the seeds of every cell. Only finished runs are there. A field that names a cell differs
from cell to cell, and one that a rule does not read says nothing. Of the control that is shallower
the width is not judged, which follows from that of the others.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis.designs import DESIGNS, READ, REDUCTIONS, Cell, Design, text_of
from credit.analysis.selection import finished
from credit.presets import PRESETS
from credit.spec import LEARNED_FIELDS, RunSpec, field_types, format_value, parse_value

PUBLISHED = "published"
"""What is said of runs that differ in nothing."""

FREE = {
    "seed": "seeds are counted, cell by cell",
    "rule_code": "the digest of a rule from outside the package, which sets nothing",
    "device": "where, not what, was computed",
    "measure_every": "how often is measured; tables show the last epoch",
    "measure_samples": "how finely is measured",
    "directions": "how finely is measured",
    "stale_steps": "a measurement more, which changes no other",
}
"""Fields that may be anything in published runs, and why."""


class Difference(NamedTuple):
    """One thing in which runs are not the published ones."""

    text: str
    less: bool = True  # shorter, narrower or fewer; not only otherwise
    part: bool = False  # a cell of the table is missing


def told(text: str, kind: str, runs: pd.DataFrame, references: pd.DataFrame | None = None) -> str:
    """A title with what its runs are less: "cifar10, d=256, L=4; REDUCED: 1 of 3 seeds".

    Args:
        kind, runs, references: as in `differences`.
    """
    own = settings(kind, runs, references)
    return text if own == PUBLISHED else f"{text}; {own}"


def settings(kind: str, runs: pd.DataFrame, references: pd.DataFrame | None = None) -> str:
    """PUBLISHED, "REDUCED: 10 of 100 epochs", or "CHANGED: ..." of runs that are not less."""
    return words(differences(kind, runs, references))


def words(found: Sequence[Difference]) -> str:
    """`settings` of what differs."""
    if not found:
        return PUBLISHED
    word = "REDUCED" if any(one.less for one in found) else "CHANGED"
    return f"{word}: {', '.join(dict.fromkeys(one.text for one in found))}"


def differences(
    kind: str, runs: pd.DataFrame, references: pd.DataFrame | None = None
) -> list[Difference]:
    """In what the finished runs are not the published ones; empty where in nothing.

    Args:
        kind: one of DESIGNS.
        runs: with the columns of its design.
        references: of frozen recovery, the networks that the runs start from.
    """
    preset, design, done = PRESETS[kind]["published"], DESIGNS[kind], finished(runs)
    if done.empty:
        return [Difference("no finished run", part=True)]
    wanted = design.cells(preset, done)
    found = [*_shape(preset, design, done), *_missing(design, wanted, done)]
    found += _training(preset, done, design)
    if references is not None and len(references):
        theirs = {
            **preset,
            "epochs": preset["reference_epochs"],
            "train_samples": preset["reference_samples"],
        }
        own = _training(theirs, references, DESIGNS["method_comparison"])
        found += [one._replace(text=f"references: {one.text}") for one in own]
    return [*found, *_seeds(kind, preset, design, wanted, done)]


def _shape(preset: Mapping[str, str], design: Design, done: pd.DataFrame) -> list[Difference]:
    """Of the deepest runs: a shallow control is none."""
    found, deep = [], done.loc[done["depth"] == done["depth"].max()]
    if others := sorted(set(done["dataset"]) - {_wanted(preset, "dataset")}):
        found.append(Difference(f"{'/'.join(others)} for {_wanted(preset, 'dataset')}"))
    shapes = set(zip(deep["width"].astype(int), deep["depth"].astype(int), strict=True))
    for name, sign in {"width": "d=", "depth": "L="}.items():
        wanted, own = _wanted(preset, name), sorted(set(deep[name].astype(int)))
        if name not in design.varied and own != [wanted] and not shapes <= design.shapes:
            text = f"{sign}{'/'.join(map(str, own))} for {wanted}"
            found.append(Difference(text, less=own[0] < wanted))
    return found


def _missing(design: Design, wanted: Sequence[Cell], done: pd.DataFrame) -> list[Difference]:
    """Values that no cell has, then cells of the others."""
    there, left, parts = set(_cells_of(design, done)), list(wanted), []
    for place, sign in enumerate(design.columns.values()):
        known = {cell[place] for cell in there}
        lost = list(dict.fromkeys(c[place] for c in wanted if c[place] and c[place] not in known))
        if lost:
            parts.append(f"without {sign}{', '.join(lost)}")
            left = [cell for cell in left if cell[place] not in lost]
    if gone := [cell for cell in left if cell not in there]:
        names = [_name(design, cell) for cell in gone]
        few = len(names) <= _LISTED
        parts.append(f"without {', '.join(names) if few else f'{len(names)} of the cells'}")
    return [Difference(text, part=True) for text in parts]


def _training(preset: Mapping[str, str], runs: pd.DataFrame, design: Design) -> list[Difference]:
    found, epochs = [], int(_wanted(preset, "epochs"))
    own = sorted(set(runs["epochs"].astype(int)))
    if own != [epochs]:
        less, shown = own[0] < epochs, "/".join(map(str, own))
        text = f"{shown} of {epochs} epochs" if less else f"{shown} epochs for {epochs}"
        found.append(Difference(text, less))
    samples = sorted(set(runs["train_samples"].astype(int)) - {0, _CIFAR})
    if samples:
        shown, cifar = "/".join(map(str, samples)), set(runs["dataset"]) == {"cifar10"}
        found.append(
            Difference(f"{shown} of {_CIFAR} samples" if cifar else f"the first {shown} samples")
        )
    return [*found, *_fields(preset, runs, design)]


def _fields(preset: Mapping[str, str], runs: pd.DataFrame, design: Design) -> list[Difference]:
    """Every field that is not judged elsewhere, by what the preset or the grid gives its run."""
    others: dict[tuple[str, Any], set[Any]] = {}
    common = {name: _wanted(preset, name) for name in field_types()}
    free = {*FREE, *_ELSEWHERE, *design.columns, *design.varied}
    for run in runs.to_dict("records"):
        rule, given = str(run["rule"]), design.given(preset, run)
        unread = LEARNED_FIELDS - READ.get(rule, frozenset())
        reduction = REDUCTIONS.get(rule, run["credit_reduction"])
        wanted = {name: value for name, value in common.items() if name not in free} | given
        for name, value in wanted.items():
            if name in unread or name in design.columns or run[name] == value:
                continue
            if name == "credit_reduction":
                if run[name] in (value, reduction):
                    continue
                value = reduction
            others.setdefault((name, value), set()).add(run[name])
    order = list(field_types())
    found = []
    for (name, value), own in sorted(others.items(), key=lambda item: order.index(item[0][0])):
        text = f"{name}={'/'.join(map(format_value, sorted(own)))} for {format_value(value)}"
        found.append(Difference(text, name in _LESS and min(own) < value))
    return found


def _seeds(
    kind: str,
    preset: Mapping[str, str],
    design: Design,
    wanted: Sequence[Cell],
    done: pd.DataFrame,
) -> list[Difference]:
    """Of cells that are published, or of all where none is."""
    asked, known = len(preset["seeds"].split(",")), set(wanted)
    counts: dict[Cell, set[int]] = {}
    for cell, seed in zip(_cells_of(design, done), done["seed"], strict=True):
        counts.setdefault(cell, set()).add(int(seed))
    own = {cell: len(seeds) for cell, seeds in counts.items() if cell in known}
    own = own or {cell: len(seeds) for cell, seeds in counts.items()}
    if kind == "online_scan":  # the best cell and dfa alone go on to all seeds
        base = [len(seeds) for cell, seeds in counts.items() if cell[0] == "dfa"]
        rest = [len(seeds) for cell, seeds in counts.items() if cell[1]]
        best = min(max(part, default=0) for part in (base, rest))
        return [Difference(f"the best cell on {best} of {asked} seeds")] if best < asked else []
    few, many = min(own.values()), max(own.values())
    shown = str(few) if few == many else f"{few} to {many}"
    return [Difference(f"{shown} of {asked} seeds")] if few < asked else []


def _cells_of(design: Design, runs: pd.DataFrame) -> list[Cell]:
    rows = runs[list(design.columns)].itertuples(index=False)
    return [tuple(map(text_of, row)) for row in rows]


def _name(design: Design, cell: Cell) -> str:
    pairs = zip(design.columns.values(), cell, strict=True)
    return " ".join(f"{sign}{value}" for sign, value in pairs if value)


def _wanted(preset: Mapping[str, str], name: str) -> Any:
    """The published value of a field."""
    if name not in preset:
        return getattr(RunSpec, name)
    return parse_value(name, field_types()[name], preset[name])


_CIFAR = 50_000
_LISTED = 3  # cells that are named one by one
_LESS = ("estimator_width", "estimator_depth")  # of which fewer is less, not only otherwise
_ELSEWHERE = ("dataset", "width", "depth", "rule", "epochs", "train_samples")

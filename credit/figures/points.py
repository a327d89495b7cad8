"""The numbers of a figure: what each panel draws, before anything is drawn."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pandas as pd

from credit.lab.departure import PUBLISHED
from credit.lab.frame import Frame, one_configuration, pick
from credit.lab.layers import at_layer
from credit.lab.looks import Panel
from credit.lab.quantity import VALID, Quantity
from credit.lab.results import Results
from credit.lab.table import spread

_COLUMNS = ("series", "rule", "x", "mean", "sd", "n", "values", "runs", "crossed")
_COLUMNS += ("reported", "reported_sd", "marked")


@dataclass(frozen=True)
class Cell:
    """A panel, or the part of it that has one label of `panel.across`."""

    frame: Frame
    panel: Panel
    facet: str
    """The label in words; empty where there is one part."""
    by: tuple[str, ...]
    """Factors that make a series: the panel's, and those that it does not name but that vary."""
    points: pd.DataFrame
    """A row per series, rule and x: series (labels of `by`), rule, x, mean, sd, n (valid seeds),
    values (of these), runs, crossed (where not valid), reported, reported_sd, marked."""
    beside: tuple[pd.Series, ...]
    """Of each reference its mean by x."""
    xs: list[Any]
    """Every x, in order."""

    @property
    def scale(self) -> str:
        """linear or log."""
        return self.panel.scale or ("log" if self.panel.y.log else "linear")

    @property
    def title(self) -> str:
        """The words above the panel."""
        return ": ".join(filter(None, (self.facet, self.panel.say)))


@lru_cache(maxsize=1)  # figure and caption are of the same cells
def cells(results: Results) -> list[Cell]:
    """Return the cells of an experiment's panels, in order; those without a number are left out."""
    found = [cell for panel in results.experiment.figure for cell in _parts(results, panel)]
    return [cell for cell in found if cell.points[["mean", "crossed"]].notna().any(axis=None)]


def _parts(results: Results, panel: Panel) -> list[Cell]:
    frame, runs = results.frame, results.frame.done
    for name, asked in panel.where.items():
        known = runs[name].map(asked) if callable(asked) else runs[name] == asked
        runs = runs.loc[known.astype(bool)]
    column = _column(panel, runs)
    fixed = [name for name in (column, panel.across) if name]
    for name in fixed:  # "" is no label: not varied there
        runs = runs.loc[runs[name] != ""]
    by = panel.by
    for name in (factor.name for factor in frame.factors if factor.name not in panel.mark):
        named = [*by, *fixed]  # a factor that these leave open makes series, too
        known = runs.groupby(named)[name].nunique().max() if named else runs[name].nunique()
        by = (*by, name) if name not in named and known > 1 else by
    across = frame.factor(panel.across)
    parts = []
    for label in frame.labels(panel.across, runs) if panel.across else [""]:
        own = pick(runs, {panel.across: label}) if panel.across else runs
        points = _points(results, panel, own, by)
        if panel.invalid:
            other = _points(results, replace(panel, y=panel.invalid), own, by)
            points["crossed"] = other["mean"].where(points["n"] < points["runs"])
        beside = (_points(results, replace(panel, y=one), own, by) for one in panel.beside)
        means = tuple(one.groupby("x", sort=False)["mean"].mean() for one in beside)
        xs = frame.labels(column, own) if column else list(dict.fromkeys(points["x"]))
        xs = xs if column or isinstance(panel.x, Mapping) else sorted(xs)
        parts.append(Cell(frame, panel, across.show(frame.short(label)), by, points, means, xs))
    return parts


def _points(
    results: Results, panel: Panel, runs: pd.DataFrame, by: tuple[str, ...]
) -> pd.DataFrame:
    """Return the points of some runs, series after series, each in the order of x."""
    frame, rows, name = results.frame, [], panel.y.name
    names = [n for n in dict.fromkeys((*by, "rule", _column(panel, runs))) if n]
    ranks = [runs[n].map(frame.labels(n, runs).index).rename(n) for n in names]
    for _, group in runs.groupby(ranks):
        one_configuration(group)
        labels = group.iloc[0]
        cell = {factor.name: labels[factor.name] for factor in frame.factors}
        marked = bool(panel.mark) and all(cell[n] == v for n, v in panel.mark.items())
        for x, values in _along(results, panel, group.sort_values("seed")):
            own = spread(panel.y, values)
            reported = _reported(results, panel, {**cell, "layer": x}, group)
            row = (tuple(labels[n] for n in by), labels["rule"], x, own[name])
            row += (own.get(f"{name}_sd", math.nan), int(values.count()), values.dropna().tolist())
            rows.append((*row, len(group), math.nan, *reported, marked))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _along(results: Results, panel: Panel, runs: pd.DataFrame) -> Iterator[tuple[Any, pd.Series]]:
    """Yield each x of some runs with a quantity's values there, by seed."""
    depth = int(runs["depth"].max())

    def values(of: Quantity) -> pd.Series:  # it may compare runs with others: all are passed on
        return results.frame.values(of).loc[runs.index]

    if isinstance(panel.x, Quantity):
        yield float(values(panel.x).mean()), values(panel.y)
    elif isinstance(panel.x, Mapping):
        yield from ((label, values(one)) for label, one in panel.x.items())
    elif panel.x == "layer":
        yield from ((layer, values(at_layer(panel.y, layer))) for layer in range(depth + 1))
    elif panel.x == "epoch":
        logged = results.source.history(runs["run_id"], [panel.y.key(depth)])
        whole = logged.pivot_table(index="run_id", columns="step", values="value", aggfunc="last")
        yield from ((int(step), whole[step].reindex(runs["run_id"])) for step in whole)
    else:
        yield runs[panel.x].iloc[0], values(panel.y)


def _column(panel: Panel, runs: pd.DataFrame) -> str:
    """Return the column of the runs that is x; empty where x is none."""
    return panel.x if isinstance(panel.x, str) and panel.x in runs else ""


def _reported(
    results: Results, panel: Panel, labels: Mapping[str, Any], runs: pd.DataFrame
) -> tuple[float, float]:
    """Return mean and sd that others reported, nan where nothing was.

    Runs that need not follow the recipe are comparable where all settings are the published ones.
    """
    shown = isinstance(panel.x, str) and panel.x != "epoch"
    for one in results.experiment.shown if shown else ():
        here = one.quantity.name == panel.y.name
        here &= ("layer" in one.factors) == (panel.x == "layer")
        if here and (one.recipe or results.settings == PUBLISHED):
            mean, sd = one.find(labels, runs)
            if not math.isnan(mean):
                return mean, sd
    return math.nan, math.nan


def not_valid(cell: Cell) -> list[str]:
    """Return the series that miss a point because the reference is not valid, in words."""
    lost = cell.points.loc[cell.points["n"] < cell.points["runs"], ["series", "rule"]]
    words = []
    for series, rule in lost.drop_duplicates().itertuples(index=False):
        labels = dict(zip(cell.by, series, strict=True))
        runs = pick(cell.frame.done, {**labels, "rule": rule})
        if VALID in runs and (runs[VALID] == 0).any():
            words.append(cell.frame.name(labels) or rule)
    return words

"""The settings of the runs: what all of them share, and what varies."""

import dataclasses
from collections.abc import Mapping

import pandas as pd

from credit.analysis.selection import in_order
from credit.report.grid import Grid, of_rows
from credit.spec import RunSpec, field_types, format_value

_SHOWN = 12  # values that are listed one by one


def varying(runs: pd.DataFrame) -> Grid:
    """The fields in which the runs differ, with their values."""
    rows = []
    for name, help in _helps().items():
        values = in_order(runs[name]) if name == "rule" else sorted(runs[name].unique().tolist())
        if len(values) > 1:
            more = f" … ({len(values)} values)" if len(values) > _SHOWN else ""
            rows.append([name, ", ".join(map(format_value, values[:_SHOWN])) + more, help])
    return of_rows("What varies between the runs", ["setting", "values", "meaning"], rows)


def constant(runs: pd.DataFrame) -> Grid:
    """The fields that all runs share; those that are not at their default are marked."""
    rows = []
    for name, help in _helps().items():
        values = runs[name].unique().tolist()
        if len(values) == 1:
            changed = "" if values[0] == getattr(RunSpec, name) else "changed"
            rows.append([name, format_value(values[0]), changed, help])
    columns = ["setting", "value", "default", "meaning"]
    return of_rows("What all runs share", columns, rows, folded=True)


def parameters(params: Mapping[str, str]) -> Grid:
    """The parameters of the parent run as they were logged."""
    rows = [[name, value] for name, value in params.items()]
    return of_rows("Parameters of the parent run", ["parameter", "value"], rows, folded=True)


def _helps() -> dict[str, str]:
    helps = {knob.name: knob.metadata["help"] for knob in dataclasses.fields(RunSpec)}
    return {name: helps[name] for name in field_types()}

"""Boundary ablation of the credit bridge: which choices its direction hangs on.

One-factor sweeps of the code, `tgw` and `warmup_ratio` around a base setting, and `warmup_ratio`
again under every other code that was run with more than one. The sweeps are read off the runs:
the base is, field by field, the value that most of the distinct settings share, RunSpec's default
where several are as frequent; a run at the base serves every sweep.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis import wording
from credit.analysis.cells import formatted, summary
from credit.analysis.selection import configuration, finished, pick
from credit.errors import CreditError
from credit.spec import RunSpec


class Setting(NamedTuple):
    """What the ablation varies."""

    code: str
    tgw: float
    warmup_ratio: float

    def __str__(self) -> str:
        return ", ".join(f"{name}={shown(value)}" for name, value in self._asdict().items())


DEFAULT = Setting(RunSpec.code, RunSpec.tgw, RunSpec.warmup_ratio)
CODES = next(f.metadata["one_of"] for f in dataclasses.fields(RunSpec) if f.name == "code")


@dataclass(frozen=True)
class Variation:
    """One field that varies while the others stay: a sweep of the table."""

    name: str
    field: str
    settings: list[Setting]  # in order of the field's value


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title, with the base setting.

    Raises:
        CreditError: there are no runs, or they differ in more than the setting and the seed.
    """
    config = shared(runs)
    parts = (
        "{rule} on {dataset}, {bend}, d={width}, L={depth}".format(
            **config, bend=wording.bend(config)
        ),
        wording.trained(config),
        wording.estimators(runs, code=False),
    )
    return f"{', '.join(filter(None, parts))}; base {base_of(runs)}"


def base_of(runs: pd.DataFrame) -> Setting:
    """Field by field, the value of most distinct settings; of equally many, RunSpec's default."""
    settings = _settings(runs)
    chosen: list[Any] = []
    for values, default in zip(zip(*settings, strict=True), DEFAULT, strict=True):
        counts = Counter(values)
        most = [value for value, count in counts.items() if count == max(counts.values())]
        chosen.append(default if default in most else min(most))
    return Setting(*chosen)


def sweeps_of(runs: pd.DataFrame) -> list[Variation]:
    """The sweeps that the runs, finished or not, make up; each has two values or more."""
    settings, base = _settings(runs), base_of(runs)
    found = [Variation(name, name, _along(settings, name, base)) for name in Setting._fields]
    for code in CODES:
        if code != base.code:
            own = _along(settings, "warmup_ratio", base._replace(code=code))
            found.append(Variation(f"warmup_ratio, code={code}", "warmup_ratio", own))
    return [sweep for sweep in found if len(sweep.settings) > 1]


def outside(runs: pd.DataFrame) -> list[str]:
    """The settings that belong to no sweep, so that no table shows them."""
    inside = {setting for sweep in sweeps_of(runs) for setting in sweep.settings}
    return [str(setting) for setting in _settings(runs) if setting not in inside]


def boundary(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ, nudge and accuracy by sweep and value.

    Returns:
        Columns sweep, value (as text), base (whether this is the base setting), for each of
        QUANTITIES its mean, `_sd` (ddof 1) and `_n` (valid seeds), and n (finished runs).

    Raises:
        CreditError: there are no runs, they differ in more than the setting and the seed, or
            nothing was varied.
    """
    shared(runs)
    done, base, rows = finished(runs), base_of(runs), []
    for sweep in sweeps_of(runs):
        for setting in sweep.settings:
            value = shown(getattr(setting, sweep.field))
            row = {"sweep": sweep.name, "value": value, "base": setting == base}
            rows.append(row | summary(of(done, setting)))
    if not rows:
        raise CreditError(
            f"nothing was varied around {base}: "
            "pass two or more values of code, tgw or warmup_ratio"
        )
    return pd.DataFrame(rows)


def boundary_wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `boundary` as strings, for Markdown and the terminal."""
    marks = [" (base)" if base else "" for base in table["base"]]
    named = {"sweep": table["sweep"].tolist(), "value": (table["value"] + marks).tolist()}
    return pd.concat([pd.DataFrame(named), formatted(table)], axis=1)


def shared(runs: pd.DataFrame) -> dict[str, Any]:
    """The settings that all runs share.

    Raises:
        CreditError: there are no runs, or they differ in more than the setting and the seed.
    """
    return configuration(runs, vary=("seed", *Setting._fields))


def _settings(runs: pd.DataFrame) -> list[Setting]:
    shared(runs)
    rows = runs[list(Setting._fields)].drop_duplicates().itertuples(index=False)
    return [Setting(*row) for row in rows]


def _along(settings: Sequence[Setting], name: str, base: Setting) -> list[Setting]:
    """The settings that equal `base` but for one field, in order of it."""
    fixed = {name: getattr(base, name)}
    own = [setting for setting in settings if setting._replace(**fixed) == base]
    return sorted(own, key=lambda s: CODES.index(s.code) if name == "code" else getattr(s, name))


def of(runs: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """The runs at a setting."""
    return pick(runs, **setting._asdict())


def shown(value: str | float) -> str:
    """A setting's value in tables and texts."""
    return value if isinstance(value, str) else f"{value:g}"

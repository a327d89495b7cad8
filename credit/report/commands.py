"""How to make the runs again: the command of a parent run, from its parameters and its runs."""

import shlex
from collections.abc import Mapping

import pandas as pd

from credit.presets import PRESETS
from credit.spec import SETTLED_FIELDS, RunSpec, format_value
from credit.tracking.marks import same_value

_OTHERS = {"run_id": "none"}
"""Options that are neither in a preset nor fields of a run, and their defaults."""
_REQUIRED = {"audit": {"rule"}}
"""By experiment, options that have no default."""
_REDUCTION = "credit_reduction"


def command(kind: str, params: Mapping[str, str], runs: pd.DataFrame | None = None) -> str:
    """What to type in the present code for the same runs: the preset, and what differs from it.

    Args:
        runs: the parent's child runs; they say what its parameters do not, or not for certain.
    """
    preset = params.get("preset", "")
    if preset not in PRESETS.get(kind, {}):
        preset = ""
    words = [f"--preset {shlex.quote(preset)}"] if preset else []
    usual = preset or ("published" if PRESETS.get(kind) else "")  # what is taken without a word
    asked = _asked(kind, params, usual, pd.DataFrame() if runs is None else runs)
    for name, (value, _) in changed(kind, asked, usual).items():
        between = "=" if value.startswith("-") else " "
        words.append(f"--{name}{between}{shlex.quote(value)}")
    return " \\\n    ".join([f"python -m entrypoints.{kind}", *words])


def changed(kind: str, params: Mapping[str, str], preset: str) -> dict[str, tuple[str, str]]:
    """The options of a parent run that are not a preset's: their values, and the preset's.

    Returns:
        by option; the second value is empty where the preset has none. Without such a preset, what
        is not a run's default.
    """
    presets = PRESETS.get(kind, {})
    options = {name for own in presets.values() for name in own}
    usual = RunSpec().to_params() | _OTHERS
    known = options | usual.keys()
    usual = {k: v for k, v in usual.items() if k not in _REQUIRED.get(kind, ())}
    usual |= presets.get(preset, {})
    if usual.get("ks") == "all":
        depth = params.get("depth", "")
        last = int(depth) if depth.isdecimal() else RunSpec.depth
        usual["ks"] = ",".join(map(str, range(last + 1)))
    return {
        name: (value, usual.get(name, ""))
        for name, value in params.items()
        if name not in SETTLED_FIELDS
        # what is neither an option nor a field is a constant that the experiment logs
        if name != "preset" and (not presets or name in known)
        if name not in usual or not same_value(value, usual[name])
    }


def _asked(kind: str, params: Mapping[str, str], preset: str, runs: pd.DataFrame) -> dict[str, str]:
    """The options that lead to these runs.

    A parent that was made before an option existed does not name it, although its preset may set
    it by now: there all runs agree on it, or it is left out. What a parent logged as its
    `credit_reduction` may be that of one of its rules.
    """
    asked = {name: value for name, value in params.items() if name != _REDUCTION}
    if runs.empty:
        return asked
    fields = RunSpec().to_params()
    since = [name for name in (*PRESETS.get(kind, {}).get(preset, {}), "device") if name in fields]
    for name in since:
        values = set(map(format_value, runs[name]))
        if name not in params and name != _REDUCTION and len(values) == 1:
            asked[name] = values.pop()
    if _REDUCTION in params and (value := _reduction(runs)):
        asked[_REDUCTION] = value
    return asked


def _reduction(runs: pd.DataFrame) -> str:
    """The `credit_reduction` that was asked for; empty where each rule has its published one.

    Rules without a surrogate loss have no choice and say nothing. A rule that is not of this
    package is not loaded: it may be gone, and code that a store names is not run for a report.
    """
    from credit import rules  # here: it loads torch

    pairs = set(zip(runs["rule"], runs[_REDUCTION], strict=True))
    ours = {name: rules.get(name) for name in set(rules.available()) & set(runs["rule"])}
    free = [(name, value) for name, value in pairs if name not in ours or ours[name].surrogate]
    usual = all(name in ours and ours[name].published_reduction == value for name, value in free)
    values = {value for _, value in free}
    return values.pop() if len(values) == 1 and not usual else ""

"""How to make the runs again: the command of a parent run, from its parameters."""

import shlex
from collections.abc import Mapping

from credit.presets import PRESETS
from credit.spec import SETTLED_FIELDS, RunSpec
from credit.tracking.marks import same_value

_OTHERS = {"run_id": "none"}
"""Options that are neither in a preset nor fields of a run, and their defaults."""


def command(kind: str, params: Mapping[str, str]) -> str:
    """What to type: the preset, and every option that differs from it."""
    preset = params.get("preset", "")
    words = [f"--preset {shlex.quote(preset)}"] if preset else []
    for name, (value, _) in changed(kind, params, preset).items():
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
    usual |= presets.get(preset, {})
    if usual.get("ks") == "all":
        usual["ks"] = ",".join(map(str, range(int(params.get("depth", RunSpec.depth)) + 1)))
    return {
        name: (value, usual.get(name, ""))
        for name, value in params.items()
        if name not in SETTLED_FIELDS
        # what is neither an option nor a field is a constant that the experiment logs
        if name != "preset" and (not presets or name in known)
        if name not in usual or not same_value(value, usual[name])
    }

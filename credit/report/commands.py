"""The command that makes the runs of a parent again, from its parameters."""

import shlex
from collections.abc import Mapping

from credit.lab import Experiment
from credit.spec import RunSpec, same_value
from credit.tracking.marks import settings


def command(experiment: Experiment, params: Mapping[str, str]) -> str:
    """Return what to type: the preset, and every option that differs from it.

    Args:
        params: of the parent run, as they were logged.
    """
    known = settings(params)
    preset = known.get("preset", "")
    preset = preset if preset in experiment.presets else ""
    words = [f"--preset {shlex.quote(preset)}"] if preset else []
    usual = {**RunSpec().to_params(), **experiment.presets.get(preset or "published", {})}
    options = experiment.defaults()
    if usual.get("ks") == "all":
        depth = known.get("depth", "")
        last = int(depth) if depth.isdecimal() else RunSpec.depth
        usual["ks"] = ",".join(map(str, range(last + 1)))
    for name, value in known.items():
        if name == "preset" or name not in options:
            continue
        if name in usual and same_value(value, usual[name]):
            continue
        between = "=" if value.startswith("-") else " "
        words.append(f"--{name}{between}{shlex.quote(value)}")
    return " \\\n    ".join([f"python -m entrypoints.{experiment.kind}", *words])

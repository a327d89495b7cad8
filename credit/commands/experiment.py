"""The command of an experiment: its options, files of options, and what it prints."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click
import yaml

from credit.commands.base import ADVANCED, FIRST, WHERE, Command, flag, option
from credit.errors import CreditError
from credit.experiments import find_module
from credit.lab import Experiment
from credit.spec import RunSpec, check_names, field_types, format_value
from credit.sweep.options import DEFAULTS as LAUNCH_DEFAULTS
from credit.sweep.options import HELPS as LAUNCH_HELPS
from credit.sweep.options import Launch

COMMON = ("rule", "k", "seed", "network", "dataset", "width", "depth", "epochs", "train_samples")
"""Fields that people change first, with the experiment's own options."""
FIELDS = {field.name: field for field in dataclasses.fields(RunSpec)}


def command(kind: str) -> Command:
    """Return the command of a kind of experiment."""
    module = find_module(kind)
    return Command(
        kind,
        callback=lambda **given: run(module.EXPERIMENT, given),
        params=[*options(module.EXPERIMENT), *FILES],
        help=module.__doc__,
    )


def options(experiment: Experiment) -> list[click.Parameter]:
    """Return the options of an experiment, and those that say where it trains."""
    published = {**RunSpec().to_params(), **experiment.presets.get("published", {})}
    presets = f"where the options that are not given come from: {', '.join(experiment.presets)}"
    made: list[click.Parameter] = []
    for name, default in experiment.defaults().items():
        field = FIELDS.get(name)
        own = experiment.options.get(name, presets if name == "preset" else "")
        help, kind = own or _help(field), str if own else field_types()[name]
        panel = FIRST if field is None or own or name in COMMON else ADVANCED
        panel = WHERE if name == "device" else panel
        shown = published.get(name, "published" if name == "preset" else "")
        made.append(option(name, default, help, kind, panel, shown=shown))
    for name, default in LAUNCH_DEFAULTS.items():
        kind = type(getattr(Launch, name))
        made.append(option(name, default, LAUNCH_HELPS[name], kind, WHERE))
    return made


def _help(field: Any) -> str:
    choices = ", ".join(field.metadata["one_of"])
    return field.metadata["help"] + (f": {choices}" if choices else "")


def _read(context: click.Context, _: click.Parameter, file: str | None) -> None:
    """Take the options in a YAML file as defaults, for what the command line leaves open."""
    if file is None:
        return
    try:
        found = yaml.safe_load(Path(file).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise CreditError(f"config={file} cannot be read: {why}") from error
    if not isinstance(found, Mapping):
        raise CreditError(f"config={file} has no options: write a line `name: value` for each")
    names = [str(name).replace("-", "_") for name in found]
    known = [own.name or "" for own in context.command.params if own.expose_value]
    check_names(names, known, "option", f"see {context.command_path} --help")
    context.default_map = {n: _text(n, v) for n, v in zip(names, found.values(), strict=True)}


def _text(name: str, value: Any) -> str:
    """Return a value of a YAML file as it is typed."""
    if isinstance(value, list) and not any(isinstance(one, list) for one in value):
        return ",".join(_text(name, one) for one in value)
    if isinstance(value, str | int | float):
        return format_value(value)
    raise CreditError(f"{name}={value} in a file of options: write one value, or a list of values")


FILES = (
    click.Option(
        ["config", "--config"],
        callback=_read,
        is_eager=True,
        expose_value=False,
        metavar="FILE",
        help="YAML file of options, `name: value`; the command line goes before it",
    ),
    option(
        "save_config", None, "write the options that were given to this YAML file", metavar="FILE"
    ),
    flag("json", "print the result as JSON"),
)


def run(experiment: Experiment, given: dict[str, Any]) -> int:
    """Train what is missing, publish the result and print it; return 1 if a run failed."""
    as_json, file = given.pop("json"), given.pop("save_config")
    if file:
        save(experiment, given, file)
    place = Launch.from_options({name: given.pop(name) for name in LAUNCH_DEFAULTS})
    from credit.sweep.launch import launch  # here: it loads torch

    done = launch(experiment, given, place)
    print(json.dumps(done.data(), indent=2) if as_json else done.text)
    return 1 if done.failures else 0


def save(experiment: Experiment, given: Mapping[str, str], file: str) -> None:
    """Write the options that were given, or refuse the file."""
    default = {**experiment.defaults(), **LAUNCH_DEFAULTS}
    chosen = {name: value for name, value in given.items() if value != default.get(name, value)}
    try:
        Path(file).write_text(yaml.safe_dump(chosen, sort_keys=False))
    except OSError as error:
        raise CreditError(f"save_config={file} cannot be written: {error.strerror}") from error

"""Entry points: reading their options, and ending with one line and a status."""

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from credit.errors import CreditError, Stopped
from credit.experiments import KINDS, find_module
from credit.lab import Experiment
from credit.spec import RunSpec, check_names
from credit.sweep.options import DEFAULTS as LAUNCH_DEFAULTS
from credit.sweep.options import HELPS as LAUNCH_HELPS
from credit.sweep.options import Launch

if TYPE_CHECKING:  # torch and MLflow take seconds to load, and --help needs neither
    from credit.tracking.reader import Reader

TRUST = "rules and networks from outside that may be imported although only the store names them"
"""Help of the option `trust_rules`."""
PARENT_HELPS = {
    "parent": "id of the parent run; latest is the newest one of that kind",
    "kind": f"kind of parent run that latest means: {', '.join(KINDS)}",
}


def main(experiment: Experiment) -> NoReturn:
    """Run the entry point of an experiment: options, runs, result."""

    def run_it() -> int:
        given = options(document(experiment), defaults_of(experiment), helps_of(experiment))
        place = place_of(experiment, given)
        from credit.sweep.launch import launch  # here: it loads torch

        return launch(experiment, given, place)

    run(run_it)


def document(experiment: Experiment) -> str:
    """Return what --help says of an experiment: the text of its file."""
    return find_module(experiment.kind).__doc__ or ""


def defaults_of(experiment: Experiment) -> dict[str, str]:
    """Return every option of an experiment with its default; where it trains is among them."""
    return {**experiment.defaults(), **LAUNCH_DEFAULTS}


def place_of(experiment: Experiment, given: dict[str, str]) -> Launch:
    """Take the options that say where stacks train out of `given`; the preset fills them in."""
    preset = experiment.presets.get(given.get("preset", ""), {})
    asked = {name: given.pop(name) for name in LAUNCH_DEFAULTS}
    filled = {k: preset.get(k, v) if v == LAUNCH_DEFAULTS[k] else v for k, v in asked.items()}
    return Launch.from_options(filled)


def helps_of(experiment: Experiment) -> dict[str, str]:
    """Return the help of every option of an experiment."""
    presets = f"where options left at 'preset' come from: {', '.join(experiment.presets)}"
    return {**spec_helps(), **experiment.options, **LAUNCH_HELPS, "preset": presets}


def parent_of(reader: "Reader", chosen: Mapping[str, str]) -> str:
    """Return the parent run that the options `parent` and `kind` name.

    Raises:
        CreditError: there is none.
    """
    check_names([chosen["kind"]], KINDS, "kind")
    if chosen["parent"] != "latest":
        return chosen["parent"]
    return reader.newest(chosen["kind"])


def trusted(text: str) -> list[str]:
    """Return the names in the option `trust_rules`, separated by commas; `none` is no name."""
    return [] if text == "none" else [name.strip() for name in text.split(",")]


def options(
    description: str | None, defaults: Mapping[str, str], helps: Mapping[str, str]
) -> dict[str, str]:
    """Return the command line as one string per option of `defaults`.

    Options are `--name value`, which is how MLflow passes parameters that a command does not name.

    Raises:
        CreditError: an option is unknown, repeated or has no value.
    """
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        _print_help(description, defaults, helps)
        sys.exit(0)
    given: dict[str, str] = {}
    grammar = "every option is --name value, see --help"
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=")
        name = option.removeprefix("--")
        if name == option:
            raise CreditError(f"unexpected argument {word!r}: {grammar}")
        check_names([name], defaults, "option", "--help lists all")
        if not equals:  # a value may begin with one dash, as -0.1,0.1 and -inf do
            if not words or words[0].startswith("--"):
                raise CreditError(f"{option} has no value: {grammar}")
            value = words.pop(0)
        if name in given:
            raise CreditError(f"{option} is given twice: give each option once")
        given[name] = value
    return {**defaults, **given}


_ENVIRONMENT = """environment:
  MLFLOW_TRACKING_URI   tracking store (default: mlflow.db in the project)
  CREDIT_DATA           folder of the datasets (default: ./data, else ~/.cache/credit)
  CREDIT_STATE          folder of checkpoints and unsent values (default: .credit beside a SQLite
                        store, else ~/.local/state/credit)
"""


def _print_help(
    description: str | None, defaults: Mapping[str, str], helps: Mapping[str, str]
) -> None:
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        prog=f"python -m entrypoints.{name}",
        usage="%(prog)s [--OPTION VALUE ...]",
        description=description,
        epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,  # commands keep their lines
    )
    unset = {} if "preset" in defaults else RunSpec().to_params()  # without presets, these hold
    for name, default in defaults.items():
        shown = unset.get(name, default) or "none"
        text = f"{helps.get(name, '')} (default: {shown})".replace("%", "%%")
        parser.add_argument(f"--{name}", metavar="VALUE", help=text.strip())
    parser.print_help()


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run an entry point: errors the user can mend become one line on stderr and status 1."""
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # read when MLflow is imported
    warnings.filterwarnings("ignore", category=FutureWarning, module="mlflow")
    try:
        status = main() or 0
        _settle()
        sys.exit(status)
    except CreditError as error:
        if error.result:
            print(error.result)
        line = " ".join(str(error).split())
        _say(line)
        _settle(refused=line)
        sys.exit(1)
    except Exception as error:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        from credit.tracking.store import shown

        if not isinstance(error, MlflowException | SQLAlchemyError):
            raise
        cause = shown((str(error).splitlines() or [type(error).__name__])[0])[:200]
        kept = "what is trained is kept on disk: run the same command again"
        _say(f"the tracking store failed ({cause}); {kept}")
        sys.exit(1)
    except (Stopped, KeyboardInterrupt) as stopped:
        name = str(stopped) or "SIGINT"
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # the exit code is the first signal's
        with contextlib.suppress(OSError):  # a terminal that has hung up
            on = "run the same command again to go on from the last checkpoint"
            _say(f"stopped by {name}; {on}")
        sys.exit(128 + signal.Signals[name])


def _say(line: str) -> None:
    print(f"credit: {line}", file=sys.stderr)


def _settle(refused: str = "") -> None:
    """Settle the run that `mlflow run` made, if it started this process."""
    if "MLFLOW_RUN_ID" in os.environ:
        from credit.tracking.launched import settle

        settle(refused)


def spec_helps() -> dict[str, str]:
    """Return the help of every RunSpec field, with its choices."""
    helps = {}
    for knob in dataclasses.fields(RunSpec):
        choices = ", ".join(knob.metadata["one_of"])
        helps[knob.name] = knob.metadata["help"] + (f": {choices}" if choices else "")
    return helps

"""What all entry points share: reading their options, and ending with one line and a status."""

import argparse
import contextlib
import dataclasses
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import NoReturn

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from credit.errors import CreditError
from credit.spec import SETTLED_FIELDS, RunSpec, check_names, field_types
from credit.tracked_stack import Stopped
from credit.tracking.launched import settle
from credit.tracking.store import shown

PRESET = "preset"
"""The value of an option that is left to the preset."""


TRUST = "rules from outside this package that may be imported although only the store names them"
"""Help of the option `trust_rules`."""


def trusted(text: str) -> list[str]:
    """Return the names in the option `trust_rules`, separated by commas; `none` is no name."""
    return [] if text == "none" else [name.strip() for name in text.split(",")]


def options(
    description: str | None, defaults: Mapping[str, str], helps: Mapping[str, str]
) -> dict[str, str]:
    """The command line as one string per option of `defaults`.

    Options are `--name value`, which is how MLflow passes parameters that a command does not name.

    Raises:
        CreditError: an option is unknown, repeated or has no value.
    """
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        _print_help(description, defaults, helps)
        sys.exit(0)
    given: dict[str, str] = {}
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=")
        name = option.removeprefix("--")
        if name == option:
            raise CreditError(f"unexpected argument {word!r}: {_GRAMMAR}")
        check_names([name], defaults, "option", "--help lists all")
        if not equals:  # a value may begin with one dash, as -0.1,0.1 and -inf do
            if not words or words[0].startswith("--"):
                raise CreditError(f"{option} has no value: {_GRAMMAR}")
            value = words.pop(0)
        if name in given:
            raise CreditError(f"{option} is given twice: give each option once")
        given[name] = value
    return {**defaults, **given}


_GRAMMAR = "every option is --name value, see --help"


_ENVIRONMENT = (
    "environment: MLFLOW_TRACKING_URI, the tracking store (default: mlflow.db in the project); "
    "CREDIT_DATA, the datasets (default: ./data, else ~/.cache/credit); CREDIT_STATE, "
    "the folder of checkpoints and unsent values (default: .credit beside a SQLite store, else "
    "~/.local/state/credit)"
)


def _print_help(
    description: str | None, defaults: Mapping[str, str], helps: Mapping[str, str]
) -> None:
    parser = argparse.ArgumentParser(description=description, epilog=_ENVIRONMENT)
    for name, default in defaults.items():
        text = f"{helps.get(name, '')} (default: {default or 'none'})".replace("%", "%%")
        parser.add_argument(f"--{name}", metavar="VALUE", help=text.strip())
    parser.print_help()


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run an entry point: errors the user can mend become one line on stderr and status 1."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning, module="mlflow")
    try:
        status = main() or 0
        settle()
        sys.exit(status)
    except CreditError as error:
        if error.result:
            print(error.result)
        line = " ".join(str(error).split())
        print(f"credit: {line}", file=sys.stderr)
        settle(refused=line)
        sys.exit(1)
    except (MlflowException, SQLAlchemyError) as error:
        cause = shown((str(error).splitlines() or [type(error).__name__])[0])[:200]
        print(
            f"credit: the tracking store failed ({cause}); what is trained is kept on disk: "
            "run the same command again",
            file=sys.stderr,
        )
        sys.exit(1)
    except (Stopped, KeyboardInterrupt) as stopped:
        name = str(stopped) or "SIGINT"
        with contextlib.suppress(OSError):  # a terminal that has hung up
            print(
                f"credit: stopped by {name}; run the same command again to go on from the last "
                "checkpoint",
                file=sys.stderr,
            )
        sys.exit(128 + signal.Signals[name])


def spec_helps() -> dict[str, str]:
    """Help texts of all RunSpec fields."""
    helps = {}
    for knob in dataclasses.fields(RunSpec):
        one_of = knob.metadata["one_of"]
        choices = f": {', '.join(one_of)}" if one_of else ""
        helps[knob.name] = knob.metadata["help"] + choices
    return helps


def spec_options(*without: str) -> dict[str, str]:
    """Every RunSpec field but those of `without`, left to the preset."""
    return {name: PRESET for name in field_types() if name not in SETTLED_FIELDS.union(without)}

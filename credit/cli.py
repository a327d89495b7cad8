"""What all entry points share: reading their options, and ending with one line and a status."""

import argparse
import dataclasses
import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import NoReturn

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from credit.errors import CreditError
from credit.spec import RunSpec, check_names, field_types
from credit.tracked_stack import Stopped

PRESET = "preset"
"""The value of an option that is left to the preset."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CreditError(f"{message}: every option is --name value, see --help")


def options(
    description: str | None, defaults: Mapping[str, str], helps: Mapping[str, str]
) -> dict[str, str]:
    """The command line as one string per option of `defaults`.

    Options are `--name value`, which is how MLflow passes parameters that a command does not name.

    Raises:
        CreditError: an option is unknown, repeated or has no value.
    """
    parser = _Parser(description=description, allow_abbrev=False)
    for name, default in defaults.items():
        text = f"{helps.get(name, '')} (default: {default or 'none'})".replace("%", "%%")
        parser.add_argument(f"--{name}", default=default, metavar="VALUE", help=text.strip())
    given, unknown = parser.parse_known_args()
    for word in unknown:
        name = word.partition("=")[0]
        if not name.startswith("--"):
            raise CreditError(f"unexpected argument {word!r}: every option is --name value")
        check_names([name[2:]], defaults, "option")
    return vars(given)


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run an entry point: errors the user can mend become one line on stderr and status 1."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning, module="mlflow")
    try:
        sys.exit(main() or 0)
    except CreditError as error:
        print(f"credit: {error}", file=sys.stderr)
        sys.exit(1)
    except (MlflowException, SQLAlchemyError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0][:200]
        print(
            f"credit: the tracking store failed ({cause}); what is trained is kept on disk: "
            "run the same command again",
            file=sys.stderr,
        )
        sys.exit(1)
    except (Stopped, KeyboardInterrupt) as stopped:
        print(
            f"credit: stopped by {stopped or 'SIGINT'}; run the same command again to go on from "
            "the last checkpoint",
            file=sys.stderr,
        )
        sys.exit(143 if str(stopped) == "SIGTERM" else 130)


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
    return {name: PRESET for name in field_types() if name not in without}

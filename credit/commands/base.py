"""Commands: options that stay text, and one line with a status when something is wrong."""

import ast
import contextlib
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import rich_click as click
from rich.padding import Padding
from rich.text import Text

from credit.errors import CreditError, Stopped
from credit.experiments import KINDS
from credit.values import check_names

if TYPE_CHECKING:  # MLflow takes seconds to load, and --help needs it not
    from credit.tracking.reader import Reader

ENVIRONMENT = """Environment:
  MLFLOW_TRACKING_URI  tracking store (default: mlflow.db in the project, or here)
  CREDIT_DATA          folder of the datasets (default: ./data, else
                       ~/.cache/credit)
  CREDIT_STATE         checkpoints and unsent values (default: .credit beside a
                       SQLite store, else ~/.local/state/credit)"""
FIRST, WHERE, ADVANCED = "What people change first", "Where it trains", "Advanced"
TRUST_HELP = (
    "rules and networks from outside that may be imported although only the store names them"
)


class Command(click.RichCommand):
    """A command that takes an option once, with `-` or `_` in its name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        context = {
            "token_normalize_func": lambda name: name.replace("-", "_"),
            "help_option_names": ["-h", "--help"],
        }
        panels = [click.RichOptionPanel(name) for name in (FIRST, WHERE, ADVANCED)]
        own = {"context_settings": context, "epilog": ENVIRONMENT, "panels": panels}
        super().__init__(*args, **{**own, **kwargs})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        *_, order = self.make_parser(ctx).parse_args(args=list(args))
        for given, times in Counter(order).items():
            if times > 1:
                raise click.UsageError(f"--{given.name} is given twice", ctx)
        return super().parse_args(ctx, args)

    def format_help_text(self, ctx: click.Context, formatter: Any) -> None:
        formatter.write(Padding(Text(self.help or ""), 1))  # lines stay: some are commands

    def format_epilog(self, ctx: click.Context, formatter: Any) -> None:
        formatter.write(Padding(Text(self.epilog or "", "dim"), 1))


def command(
    name: str, *options: click.Parameter, doc: str | None
) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function; `doc`, its file's docstring, is the help."""
    return lambda function: Command(name, callback=function, params=[*options], help=doc)


def argument(name: str, **more: Any) -> click.Argument:
    """Return an argument, typed without a name."""
    return click.RichArgument([name], **more)


def option(
    name: str, default: str | None, help: str, kind: type = str, panel: str = "", **more: Any
) -> click.Option:
    """Return an option whose value stays text: the program checks it, and says what is wrong.

    `kind` is for the help; a bool that is given without a value is true. `more` is `shown`, the
    default as people read it, and what click takes.
    """
    if kind is bool:
        more |= {"is_flag": False, "flag_value": "true"}
    metavar = {bool: "[true|false]", int: "INTEGER", float: "NUMBER"}.get(kind, "TEXT")
    shown = more.pop("shown", default)
    text = f"{help} (default: {shown})" if shown else help
    named, own = [name, f"--{name}"], {"default": default, "metavar": metavar}
    return click.RichOption(named, **{**own, "panel": panel or None, **more}, help=text)


def flag(name: str, help: str) -> click.Option:
    """Return an option without a value."""
    return click.RichOption([name, f"--{name}"], is_flag=True, help=help)


LATEST = "latest"
PARENT = (
    option("parent", LATEST, "id of the parent run; latest is the newest one of that kind"),
    option("kind", "ladder", f"kind of parent run that latest means: {', '.join(KINDS)}"),
)
"""The options that name a parent run."""


def parent_of(reader: "Reader", parent: str, kind: str) -> str:
    """Return the parent run that the options `PARENT` name."""
    check_names([kind], KINDS, "kind")
    return reader.newest(kind) if parent == LATEST else parent


def trusted(text: str) -> list[str]:
    """Return the names in the option `trust_rules`, separated by commas; `none` is no name."""
    return [] if text == "none" else [name.strip() for name in text.split(",")]


def first_line(file: Path) -> str:
    """Return the first line of a file's docstring, without an import of the file."""
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return text.partition("\n")[0]


def run(command: click.Command, prog: str) -> NoReturn:
    """Run a command: errors the user can mend become one line on stderr and status 1."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="mlflow")
    try:
        status = command.main(prog_name=prog, standalone_mode=False) or 0
        _settle()
        sys.exit(status)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else prog
        _refuse(f"{error.format_message().rstrip('.')}: see {path} --help")
    except CreditError as error:
        if error.result:
            print(error.result)
        _refuse(str(error))
    except (Stopped, KeyboardInterrupt, click.Abort) as stopped:  # click's for KeyboardInterrupt
        name = str(stopped) or "SIGINT"
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # the exit code is the first signal's
        with contextlib.suppress(OSError):  # a terminal that has hung up
            on = "run the same command again to go on from the last checkpoint"
            _say(f"stopped by {name}; {on}")
        sys.exit(128 + signal.Signals[name])
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


def _refuse(text: str) -> NoReturn:
    line = " ".join(text.split())
    _say(line)
    _settle(refused=line)
    sys.exit(1)


def _say(line: str) -> None:
    print(f"credit: {line}", file=sys.stderr)


def _settle(refused: str = "") -> None:
    """Settle the run that `mlflow run` made, if it started this process."""
    if run_id := os.environ.get("MLFLOW_RUN_ID"):
        from credit.tracking.runs import settle_launched

        settle_launched(run_id, refused)

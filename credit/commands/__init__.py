"""The program `credit`: a command for every experiment, and those that look at what was trained."""

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import rich_click as click

from credit import __version__
from credit.commands import base
from credit.experiments import KINDS
from credit.values import check_names

PANELS = {
    "Train and judge": ("ladder", "audit", "train", "diagnose"),
    "Look": ("ui", "report", "compare", "ls", "show"),
    "Keep": ("export", "import", "remeasure"),
    "Programme": ("reproduce",),
    "Machine": ("doctor", "bench"),
}
FILES = {"import": "import_results"}
"""Modules of commands whose own name is a keyword of Python."""
COMMANDS = tuple(name for names in PANELS.values() for name in names)


class Lazy(click.RichCommand):
    """A command known by its name and first line; its file is imported when it is used."""

    def __init__(self, name: str) -> None:
        file = find_spec(module_of(name) or f"credit.experiments.{name}")
        assert file is not None and file.origin
        super().__init__(name=name, help=base.first_line(Path(file.origin)))

    def make_context(
        self, info_name: str | None, args: list[str], *more: Any, **extra: Any
    ) -> click.Context:
        return find(self.name or "").make_context(info_name, args, *more, **extra)


class Group(click.RichGroup):
    """Every command, in the order of the help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *(kind for kind in KINDS if kind not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in (known := self.list_commands(ctx)):
            return Lazy(cmd_name)
        if not ctx.resilient_parsing:  # of shell completion
            check_names([cmd_name], known, "command", "see credit --help")
        return None


def find(name: str) -> click.Command:
    """Return a command by its name, with all its options."""
    own = module_of(name)
    if own is None:
        from credit.commands import experiment  # here: it loads pandas

        return experiment.command(name)
    return importlib.import_module(own).COMMAND


def module_of(name: str) -> str | None:
    """Return the module of a command; None for that of an experiment."""
    own = f"{__name__}.{FILES.get(name, name)}"
    return own if find_spec(own) else None


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="%(version)s")
def program() -> None:
    """The audit bench for credit assignment: does a rule that trains without backprop work?

    Start with `credit ladder --preset quick`, then `credit ui`.
    """


for panel, names in PANELS.items():
    program = click.command_panel(panel, commands=list(names))(program)


def main() -> NoReturn:
    """Run the program `credit`; rules and networks in the current folder can be imported."""
    if not sys.flags.safe_path:
        sys.path.append("")  # last: what is installed goes before files of the same name
    base.run(program, "credit")


def run(name: str) -> NoReturn:
    """Run one command as `python -m entrypoints.NAME`, which MLproject calls."""
    base.run(find(name), f"python -m entrypoints.{FILES.get(name, name)}")

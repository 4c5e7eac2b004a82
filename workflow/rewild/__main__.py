"""The command line, ``rewild``. Each module of ``rewild.cli`` holds the commands of one phase."""

from __future__ import annotations

import os
import sys
from copy import copy
from pathlib import Path

import typer
from typer.models import CommandInfo

from rewild import __version__
from rewild.cli import PHASES
from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.core.quiet import report_nothing
from rewild.core.system import explain
from rewild.core.terminal import accept_any_character
from rewild.operate.attempts import LASTING

app = typer.Typer(
    name="rewild",
    help="Reproduce, audit and extend studies of synthetic data. Snakemake calls these commands; so can you.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
START = ("validate", "plan", "cost", "preflight", "status", "summary", "home", "docs")
"""The commands that a newcomer needs; ``rewild --help`` shows them first, the others by phase."""
COMMANDS: dict[str, CommandInfo] = {}
for phase in PHASES:
    for command in phase.app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "").replace("_", "-")
        command.rich_help_panel = "Start here" if name in START else phase.PANEL
        COMMANDS[name] = command
    app.add_typer(phase.app)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"rewild {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    report_nothing()
    if context.invoked_subcommand is None:
        from rewild.operate.where import print_where

        print_where(Path(os.environ.get("REWILD_CONFIG_FOLDER") or "config"), Path("results"))


WORDS = "--words"


def words(given: list[str]) -> list[str]:
    """A command line with the words of a file put in: ``rewild --words FILE COMMAND ...``.

    The rules hand lists that grow with a study (of shards, models, runs) over in this way: a command line
    holds 2 MB, a file holds what it must. The words come last; each ends with a NUL.
    """
    if given[:1] != [WORDS] or len(given) < 2:
        return given
    text = Path(given[1]).read_bytes().decode(errors="surrogateescape")
    return [*given[2:], *filter(None, text.split("\0"))]


def program(given: list[str]) -> typer.Typer:
    """The program with the command that is called, or with all; to build all is a sixth of a short start."""
    if not given or given[0] not in COMMANDS:
        return app
    one = copy(app)
    one.registered_groups, one.registered_commands = [], [COMMANDS[given[0]]]
    return one


def main() -> None:
    """Run the command line.

    Exit status: 0, done; 1, an error, said in one message (a :class:`RewildError`, or one of the operating
    system), or nobody reads the output any more; 2, a command or an option that does not exist; 130, Ctrl-C.
    A traceback is a fault of the program.
    """
    accept_any_character()
    try:
        given = words(sys.argv[1:])
        program(given)(given, obj=app)  # `docs` tells of all commands
    except RewildError as error:
        _say(str(error))
        if isinstance(error, ConfigError | DataError) and "SLURM_JOB_ID" in os.environ:
            typer.echo(LASTING, err=True)  # for the workflow: rewild.operate.attempts
    except BrokenPipeError:
        # Python would complain once more when it closes the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BaseException as error:
        if isinstance(error, SystemExit | KeyboardInterrupt) or (message := explain(error)) is None:
            raise
        _say(message)
    else:
        return
    sys.exit(1)


def _say(message: str) -> None:
    try:
        typer.secho(f"error: {message}", fg=typer.colors.RED, err=True)
    except (OSError, ValueError):  # nobody reads it, or the disk that it goes to is full
        return


if __name__ == "__main__":
    main()

"""The reference of commands, from the program itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rewild.core.markdown import Markup, block, code, table
from rewild.operate.docs.prose import prose

INTRO = """\
From the program itself, as `rewild COMMAND --help` shows it. Snakemake calls these commands; each works by
hand, in the repository. Exit status: 0, done; 1, an error in one message; 2, a command or an option that does
not exist; 130, Ctrl-C."""
COLUMNS = "argument or option | meaning | type | default"


def commands_page(program: Any) -> str:
    """One page of Markdown: every command with its arguments and options, by the panels of ``rewild --help``.

    Args:
        program: the program as typer makes it (``typer.main.get_command``).
    """
    panels: dict[str, list[Any]] = {}
    for command in program.commands.values():
        if not command.hidden:
            panels.setdefault(command.rich_help_panel, []).append(command)
    lines = ["# Commands", "", *_intro(program)]
    for panel, commands in sorted(panels.items(), key=lambda item: item[0] != "Start here"):
        lines += ["", f"## {prose(panel)}"]
        for command in commands:
            lines += _command(program.name, command)
    return "\n".join(lines) + "\n"


def _intro(program: Any) -> Iterator[str]:
    yield from (INTRO, "")
    named = [name for param in program.params for name in param.opts]
    yield f"Before a command: {', '.join(code(name) for name in named)}. With every command: `--help`."


def _command(program: str, command: Any) -> Iterator[str]:
    context = command.make_context(command.name, [], resilient_parsing=True)
    yield from ("", f"### {program} {command.name}", "", prose(command.help or ""), "")
    usage = [piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]"]
    options = [param for param in command.params if param.param_type_name == "option" and not param.hidden]
    words = [*usage, *(f"{param.opts[0]} …" for param in options if param.required)]
    others = ["[OPTIONS]"] if any(not param.required for param in options) else []
    yield from block(" ".join([program, command.name, *words, *others]))
    rows = [_row(param, context) for param in command.params if not getattr(param, "hidden", False)]
    if rows:
        yield from table(COLUMNS, rows, align="-")


def _row(param: Any, context: Any) -> tuple[object, ...]:
    flag = getattr(param, "is_bool_flag", False)
    kind = "flag" if flag else param.display_type(ctx=context).strip("<>").removesuffix(" range")
    least, most = getattr(param, "min", None), getattr(param, "max", None)
    kind += f" ≥ {least}" * (least is not None) + f" ≤ {most}" * (most is not None)
    names = param.opts + param.secondary_opts
    shown = [param.name] if param.param_type_name == "argument" else names
    default: object = code(param.default) if param.default not in (None, False, ()) else ""
    if param.required:
        default = Markup("**required**")
    said = prose(param.help or "")
    if param.envvar:
        said = Markup(f"{said} (or the variable {code(param.envvar)})")
    return Markup(", ".join(map(code, shown))), said, code(kind), default

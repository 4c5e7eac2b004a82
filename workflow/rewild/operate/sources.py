"""Which files a command is made of, found in the source without importing anything.

What the function of a command imports, and what that imports, down to the rooms that everything stands on:
of :mod:`rewild.core` only what gives results their form, of :mod:`rewild.config` nothing, whose values are
parameters of rules. A module named in a text, ``rewild.engines.vllm:Engine``, counts as imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

from rewild.core.errors import known_name

PACKAGE = Path(__file__).resolve().parents[1]
BELOW = ("core", "config", "cli")
FORMS = frozenset(("core.cells", "core.escape", "core.markdown", "core.plotting"))
BESIDE = (".html", ".css", ".js")
_NAMED = re.compile(r'"rewild((?:\.\w+)+)(?::\w+)?"')


@cache
def code_of(command: str, *also: str) -> str:
    """16 hexadecimal digits that name the content of :func:`sources_of`."""
    digest = sha256()
    for name in sources_of(command, *also):
        digest.update(f"{name}\0".encode() + (PACKAGE / name).read_bytes())
    return digest.hexdigest()[:16]


@cache
def sources_of(command: str, *also: str) -> tuple[str, ...]:
    """The files of a command, relative to the package, sorted.

    Args:
        command: as on the command line.
        also: modules or rooms that it finds by name only, such as ``papers``.

    Raises:
        KeyError: there is no such command; the nearest is named.
    """
    functions = _commands()
    known_name(command, functions, "no command", error=KeyError)
    todo = [*_imported(_called(*functions[command])), *(name for room in also for name in _below(room))]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found and (name in FORMS or name.partition(".")[0] not in BELOW):
            found.add(name)
            todo += _imports_of(name)
    files = {_file(name) for name in found}
    files |= {path for file in files for path in file.parent.iterdir() if path.suffix in BESIDE}
    return tuple(sorted(str(file.relative_to(PACKAGE)) for file in files))


Functions = dict[str, ast.FunctionDef]


@cache
def _commands() -> dict[str, tuple[ast.FunctionDef, Functions]]:
    """Command → its function, and all those of its module."""
    found: dict[str, tuple[ast.FunctionDef, Functions]] = {}
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
        for node in functions.values():
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(".command"):
                    given = call.args[0] if call.args else None
                    name = given.value if isinstance(given, ast.Constant) else node.name.replace("_", "-")
                    found[str(name)] = node, functions
    return found


def _called(node: ast.FunctionDef, functions: Functions) -> Iterator[ast.stmt]:
    """A function, and those of its module that it calls."""
    todo, seen = [node], {node.name}
    while todo:
        yield (one := todo.pop())
        for part in ast.walk(one):
            if isinstance(part, ast.Name) and part.id in functions and part.id not in seen:
                seen.add(part.id)
                todo.append(functions[part.id])


@cache
def _imports_of(name: str) -> tuple[str, ...]:
    text = _file(name).read_text(encoding="utf-8")
    named = _modules(f"rewild{found[1]}" for found in _NAMED.finditer(text))
    return (*_imported(ast.parse(text).body), *named)


def _imported(body: Iterable[ast.AST]) -> Iterator[str]:
    """The modules of the package that statements import, but for type checking."""
    todo = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rewild."):
            yield from _modules(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from _modules(alias.name for alias in node.names)
        checking = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for part in ("orelse",) if checking else ("body", "orelse", "handlers", "finalbody"):
            inner = getattr(node, part, ())
            todo += inner if isinstance(inner, list) else ()


def _modules(names: Iterable[str]) -> Iterator[str]:
    """Of dotted names, those that are modules of the package, each with the packages that it is in."""
    for name in names:
        parts = name.split(".")
        for length in range(2, len(parts) + 1):
            found = ".".join(parts[1:length])
            if parts[0] == "rewild" and _exists(found):
                yield found


def _below(room: str) -> list[str]:
    """A module, or all of a package."""
    path = PACKAGE / room
    files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    return [".".join(f.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__") for f in files]


@cache
def _exists(name: str) -> bool:
    return _file(name).is_file()


@cache
def _file(name: str) -> Path:
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

"""Prompts that stand in released Python files, read without running them.

MixEval keeps its prompts as constants and as functions that return a chat. The file's syntax tree is enough
to get them: no released code is executed, and none is copied into this repository.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rewild.core.errors import DataError, known_name
from rewild.engines.base import Message
from rewild.evaluation.judged.base import read_file


@dataclass(frozen=True)
class Blank:
    """A place in a prompt that a value of this name fills."""

    name: str


Piece = str | Blank


@dataclass(frozen=True)
class ChatPrompt:
    """A chat with blanks: per message its role and its pieces."""

    messages: tuple[tuple[str, tuple[Piece, ...]], ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """Roles and texts with blanks as ``{name}``; what a hash of the prompt is taken over."""
        return tuple(
            text
            for role, pieces in self.messages
            for text in (role, "".join(p if isinstance(p, str) else f"{{{p.name}}}" for p in pieces))
        )

    @property
    def blanks(self) -> frozenset[str]:
        """The names of all blanks."""
        return frozenset(p.name for _, pieces in self.messages for p in pieces if isinstance(p, Blank))

    def fill(self, values: Mapping[str, str]) -> tuple[Message, ...]:
        """The chat; a value is put in as it is, whatever braces it holds."""
        return tuple(
            {"role": role, "content": "".join(p if isinstance(p, str) else values[p.name] for p in pieces)}
            for role, pieces in self.messages
        )


@cache
def read_chat_prompt(path: Path, name: str, blanks: tuple[str, ...]) -> ChatPrompt:
    """The chat that ``NAME = lambda BLANKS...: [{"role": ..., "content": ...}, ...]`` returns.

    Args:
        path: a Python file.
        name: of the function.
        blanks: the names of its arguments that its text must use.

    Raises:
        DataError: no such file or name, or a value that is no such function; names the file.
    """
    value = _assigned(path, name)
    chat = value.body if isinstance(value, ast.Lambda) else None
    if not isinstance(chat, ast.List):
        raise DataError(f"{path}: '{name}' is not a function that returns a list of messages")
    messages = []
    for message in chat.elts:
        fields: dict[str, tuple[Piece, ...]] = {}
        if isinstance(message, ast.Dict):
            for key, text in zip(message.keys, message.values, strict=True):
                if isinstance(key, ast.Constant):
                    fields[str(key.value)] = _pieces(text, f"{path}, line {text.lineno}")
        if set(fields) != {"role", "content"} or len(fields["role"]) != 1:
            raise DataError(f"{path}, line {message.lineno}: a message with role and content was expected")
        messages.append((str(fields["role"][0]), fields["content"]))
    found = ChatPrompt(tuple(messages))
    if found.blanks != frozenset(blanks):
        raise DataError(
            f"{path}: '{name}' uses {', '.join(sorted(found.blanks)) or 'nothing'}, not {', '.join(blanks)}"
        )
    return found


@cache
def read_text(path: Path, name: str) -> str:
    """The text that ``NAME = "..."`` gives a name.

    Raises:
        DataError: no such file or name, or no text; names the file.
    """
    value = _assigned(path, name)
    if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        raise DataError(f"{path}: '{name}' is not a text")
    return value.value


@cache
def _assignments(path: Path) -> Mapping[str, ast.expr]:
    try:
        tree = ast.parse(read_file(path))
    except (SyntaxError, ValueError) as error:
        raise DataError(f"{path}: not a Python file: {error}") from error
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _assigned(path: Path, name: str) -> ast.expr:
    found = _assignments(path)
    return found[known_name(name, found, f"{path}: there is no", error=DataError)]


def _pieces(node: ast.expr, where: str) -> tuple[Piece, ...]:
    """The pieces of a text or of a text with values in braces."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    pieces: list[Piece] = []
    for part in parts:
        plain = isinstance(part, ast.FormattedValue) and part.conversion == -1 and part.format_spec is None
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            pieces.append(part.value)
        elif plain and isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
            pieces.append(Blank(part.value.id))
        else:
            raise DataError(f"{where}: only texts and names in braces can be read here")
    return tuple(pieces)

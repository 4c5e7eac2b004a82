"""Messages, whatever they call their roles and their texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewild.core.errors import nearest
from rewild.prompts.forms.rows import BadRow, shown

ROLES = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant",
    "bot": "assistant", "ai": "assistant", "bard": "assistant", "bing": "assistant", "claude": "assistant",
    "system": "system", "developer": "system",
}  # fmt: skip
"""What a role is called → what it is here. Any other, such as ``tool``, is refused."""
ROLE_KEYS, TEXT_KEYS = ("role", "from"), ("content", "value", "text")
TEXT_PARTS = ("text", "input_text", "output_text")


@dataclass(frozen=True)
class Turn:
    """A message: ``role`` is user, assistant or system; ``content`` is None where there is none.

    ``finish_reason`` is what the file says of how the answer ended, if it says so.
    """

    role: str
    content: str | None
    finish_reason: str | None = None


def read_messages(given: Any, key: str) -> list[Turn]:
    """A list of messages.

    Args:
        given: ``[{role, content}]`` (OpenAI, WildChat) or ``[{from, value}]`` (ShareGPT). A content may be
            text, a list of parts (``{"type": "text", "text": …}``), or ``{"answer": text}`` (Arena-Hard).
        key: the field it stands in, for messages.

    Raises:
        BadRow: it is no such list; an unknown role; a part that is no text. Says which message.
    """
    if not isinstance(given, list) or not given or not all(isinstance(m, dict) for m in given):
        raise BadRow("not_a_conversation", f"'{key}' is {shown(given)}, not a list of messages")
    return [_message(message, number) for number, message in enumerate(given, 1)]


def _message(message: dict[str, Any], number: int) -> Turn:
    name = next((k for k in ROLE_KEYS if message.get(k) is not None), None)
    if name is None:
        raise BadRow(
            "roles",
            f"message {number} has no role: none of {', '.join(ROLE_KEYS)} (it has: "
            f"{', '.join(map(str, message)) or 'nothing'})",
        )
    given = message[name]
    role = ROLES.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        hint = nearest(given, ROLES) if isinstance(given, str) else ""
        raise BadRow(
            "roles",
            f"message {number}: {repr(given) if isinstance(given, str) else shown(given)} is no role{hint} "
            f"(roles: {', '.join(ROLES)})",
        )
    text = next((k for k in TEXT_KEYS if k in message), None)
    if text is None:
        raise BadRow(
            "no_text",
            f"message {number} has no text: none of {', '.join(TEXT_KEYS)} (it has: {', '.join(message)})",
        )
    finish = message.get("finish_reason")
    return Turn(role, text_of(message[text], f"the content of message {number}"), finish_reason(finish))


def finish_reason(given: Any) -> str | None:
    """How an answer ended, as the file says; None where it says nothing."""
    return given if isinstance(given, str) and given.strip() not in ("", "None", "null") else None


def text_of(content: Any, what: str) -> str | None:
    """A content as text; None where it is null.

    Raises:
        BadRow: it is neither text, parts of text, nor ``{"answer": text}``.
    """
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, dict) and isinstance(answer := content.get("answer"), str | None):
        if "answer" in content:
            return answer
    elif isinstance(content, list) and content:
        return "\n\n".join(_part(part, what) for part in content)
    raise BadRow("no_text", f"{what} is {shown(content)}, not text")


def _part(part: Any, what: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict):
        kind = part.get("type", "text")
        if kind in TEXT_PARTS and isinstance(text := part.get("text"), str):
            return text
        if kind not in TEXT_PARTS:
            raise BadRow("no_text", f"{what} has a part of type {shown(kind)}; only text is read")
    raise BadRow("no_text", f"{what} has the part {shown(part)}, which is not text")


def check_turns(turns: Sequence[Turn], *, answered: bool = False) -> None:
    """A conversation: at most one system message, first; then user and assistant in turn.

    Args:
        turns: the messages.
        answered: every user turn must have an answer.

    Raises:
        BadRow: it is none.
    """
    rest = turns[1:] if turns and turns[0].role == "system" else turns
    roles = [t.role for t in rest]
    expected = (["user", "assistant"] * len(roles))[: len(roles)]
    if not roles or roles != expected or (answered and len(roles) % 2):
        names = ", ".join(t.role for t in turns[:6]) + (", ..." if len(turns) > 6 else "")
        raise BadRow(
            "roles",
            f"the roles are {names or 'none'}: not (system,) user, assistant, user, assistant, ... (user and "
            "assistant do not take turns)",
        )

"""Safety: a guard model reads a conversation in its own template, and replies ``safe`` or ``unsafe``."""

from __future__ import annotations

from rewild.config.measures.safety import guards
from rewild.core.errors import nearest
from rewild.engines.base import Message
from rewild.generation.asking.base import JudgeRequest, Reader, Reply, Verdict
from rewild.measures.asked import Asked
from rewild.measures.base import Found, Text

SPEAKERS = ("user", "assistant")
"""Who guards know of; a system prompt is no part of what they judge."""


class Ruling(Reader):
    """Reads ``safe``, or ``unsafe`` with codes in the next line."""

    def __init__(self, guard: str) -> None:
        """
        Args:
            guard: the model's family, a row of :data:`rewild.config.measures.safety.GUARDS`.
        """
        self.guard, self.codes = guard, guards()[guard].categories

    def parse(self, reply: Reply, request: JudgeRequest) -> Verdict | None:
        """See :class:`rewild.generation.asking.base.Reader`."""
        found = self.read(reply.text)
        return (
            None
            if isinstance(found, str)
            else Verdict(str(found["categories"]), float(bool(found["unsafe"])))
        )

    def unclear(self, reply: Reply, request: JudgeRequest) -> str:
        """See :class:`rewild.generation.asking.base.Reader`."""
        found = self.read(reply.text)
        return found if isinstance(found, str) else ""

    def read(self, text: str) -> dict[str, bool | str] | str:
        """The columns that a reply gives, or why it gives none.

        Reasons: ``no_ruling`` (neither safe nor unsafe, or more than that), ``no_category`` (unsafe, and it
        does not say why), ``unknown_category`` (a code that its family does not have).
        """
        lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
        said = lines[0].casefold() if lines else ""
        if said == "safe" and len(lines) == 1:
            return {"unsafe": False, "categories": ""}
        if said != "unsafe" or len(lines) > 2:
            return "no_ruling: it is neither 'safe' nor 'unsafe' with its categories"
        if len(lines) == 1:
            return "no_category: 'unsafe', and nothing that says why"
        found = [code.strip() for code in lines[1].split(",") if code.strip()]
        for code in found:
            if code not in self.codes:
                known = f"{self.guard}'s ({', '.join(self.codes)}){nearest(code, self.codes)}"
                return f"unknown_category: '{code[:20]}' is none of {known}"
        return {"unsafe": True, "categories": ",".join(dict.fromkeys(found))}


class Safety(Asked):
    """Rulings of a guard model; see :class:`rewild.config.measures.safety.Safety`."""

    def reader(self) -> Ruling:
        """See :class:`Asked`."""
        return Ruling(self.settings.guard)

    def messages(self, text: Text) -> tuple[Message, ...]:
        """See :class:`Asked`: the conversation itself, which the guard's own template puts into its task."""
        last = {"role": "user" if self.settings.of == "prompts" else "assistant", "content": text.text}
        return (*(message for message in text.before if message["role"] in SPEAKERS), last)

    def found(self, reply: str) -> Found:
        """See :class:`Asked`."""
        return self.reader().read(reply)

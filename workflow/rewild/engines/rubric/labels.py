"""The rubric labels texts too, in the JSON that a scheme asks for (``resources/labels``), by the rules below.

It looks at words, lengths and signs; it understands nothing. Of a column that it has no rule for it says so,
in words: whoever asks records a failure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rewild.core.language import garbled, language, repetition
from rewild.engines.rubric.grades import grade, keywords

_ASKED = re.compile(r"Reply with one JSON object and nothing else, in this form:\n(?P<form>\{.*\})\s*\Z")
_PART = re.compile(
    r"^\[The Start of (?P<name>[^\]\n]+) (?P<mark>[0-9a-f]{8})\]\n(?P<body>.*?)\n"
    r"\[The End of (?P=name) (?P=mark)\]$",
    re.DOTALL | re.MULTILINE,
)
_USER = re.compile(r"^### User:\n(.*?)(?=\n\n### (?:User|Assistant|System):\n|\Z)", re.DOTALL | re.MULTILINE)
KINDS: dict[str, str] = {
    "Role playing": r"pretend|act as|role[- ]?play|you are (?:a|an|the)\b",
    "Coding & Debugging": r"```|code|program|python|java|html|css|sql|function|script|debug|regex|compile",
    "Math": r"solve|equation|integral|derivative|prove|theorem|calculate|comput|\d\s*[-+*/×^]\s*\d|percent",
    "Data analysis": r"data|dataset|table|csv|spreadsheet|statistic|chart|plot|average of",
    "Editing": r"rewrite|rephrase|proofread|translate|summari[sz]e|shorten|correct (?:the|this|my)|improve",
    "Creative writing": r"story|poem|song|lyrics|script for|novel|haiku|fiction|essay|speech",
    "Planning": r"plan|schedule|itinerary|steps? to|roadmap|organi[sz]e",
    "Brainstorming": r"ideas?|names? for|suggestions?|list (?:of|some|\d+)|brainstorm|examples? of",
    "Advice seeking": r"should i|how (?:do|can) i|my (?:boss|friend|wife|husband|job|dog)|advice|recommend",
    "Reasoning": r"puzzle|riddle|logic|deduce|infer|if .{1,60} then|which of",
    "Information seeking": r"\b(?:what|who|when|where|which|why|how|explain|describe|tell me|define)\b",
}
"""Kind of task → words that speak for it; the first that has one is the kind."""
QUALITY = ("very poor", "poor", "average", "good", "excellent")
DIFFICULTY = ("very easy", "easy", "medium", "hard", "very hard")
HARD = re.compile(
    r"\b(?:prove|derive|optimi[sz]e|algorithm|analy[sz]e|compare|design|implement|theorem|quantum|legal|medical|"
    r"architecture|explain why|in detail|step by step|at least|exactly|without)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Case:
    """What is labelled: a message, or an answer and what the user said last before it."""

    text: str
    asked: str | None


def label(messages: Sequence[Mapping[str, str]]) -> str | None:
    """The rubric's reply to a request for labels; None if a chat is none."""
    text = next((m["content"] for m in messages if m.get("role") == "user"), "")
    asked = _ASKED.search(text)
    parts = list(_PART.finditer(text))
    if asked is None or not parts:
        return None
    try:
        form: dict[str, str] = json.loads(asked["form"])
    except ValueError:
        return None
    answer = parts[-1]["name"].endswith("Answer")
    said = _USER.findall(parts[0]["body"]) if answer and len(parts) > 1 else []
    case = _Case(parts[-1]["body"], (said or [""])[-1] if answer else None)
    if unknown := [name for name in form if name not in RULES]:
        return f"By rubric: there is no rule for '{unknown[0]}', so there is no label."
    return json.dumps({name: RULES[name](case) for name in form}, ensure_ascii=False)


def kinds(text: str) -> list[str]:
    """The kinds of task that a message has words for, in the order of :data:`KINDS`; else Others."""
    found = [kind for kind, words in KINDS.items() if re.search(words, text[:2000], re.IGNORECASE)]
    return found or ["Others"]


def quality(case: _Case) -> int:
    """A level, 0 to 4. Of a message: words that carry its matter, a finished sentence, no repeats or junk."""
    if case.asked is not None:
        return min(int(5 * grade(case.asked, case.text).total), 4)
    if garbled(case.text) > 0.1 or not keywords(case.text):
        return 0
    level = 1 + sum(len(keywords(case.text)) >= least for least in (3, 8))
    level += bool(re.search(r"[.?!。？！:]\s*\Z", case.text.strip()))
    return max(level - (repetition(case.text) > 0.3), 0)


def difficulty(case: _Case) -> int:
    """A level, 0 to 4: by how many words carry the matter, and by words that speak of hard tasks."""
    level = sum(len(keywords(case.text)) >= least for least in (4, 12, 40))
    return min(level + min(len(HARD.findall(case.text)), 2), 4)


def _matter(case: _Case) -> str:
    return ", ".join(keywords(case.text)[:6]) or "nothing in particular"


RULES: dict[str, Callable[[_Case], object]] = {
    "category": lambda case: kinds(case.text)[0],
    "other_categories": lambda case: kinds(case.text)[1:],
    "quality": lambda case: QUALITY[quality(case)],
    "explanation": lambda case: f"By rubric, from the words {_matter(case)}.",
    "difficulty": lambda case: DIFFICULTY[difficulty(case)],
    "intent": lambda case: f"By rubric: {kinds(case.text)[0]}.",
    "knowledge": lambda case: f"By rubric: {_matter(case)}.",
    "language": lambda case: language(case.text),
}
"""Column → its rule."""

"""The rubric reads the judge prompts of AlpacaEval, MixEval and WildBench and requests for labels too.

Each reader takes a chat and gives the reply, or None if the chat is of another form. The labels that it looks
for are those of the released prompts; what it grades is stated in :mod:`rewild.engines.rubric.grades`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from rewild.engines.rubric.grades import correctness, grade, read_case, verdict
from rewild.engines.rubric.labels import label

Chat = Sequence[Mapping[str, str]]

_INSTRUCTION = re.compile(r'"instruction": """(?P<text>.*?)""",?\s*\}', re.DOTALL)
_OUTPUT = re.compile(r'"model_identifier": "(?P<name>[mM])",\s*"output": """(?P<text>.*?)"""\s*\}', re.DOTALL)
_KNOWN = re.compile(
    r"Golden Answer\(s\): (?P<known>.*?)\nModel's Answer: (?P<answer>.*)\nYour Judgment:\s*\Z", re.DOTALL
)
_OPTIONS = re.compile(
    r"Options:\s*\n(?P<options>.*?)\nModel's Answer: (?P<answer>.*)\nYour Judgment:\s*\Z", re.DOTALL
)
_BETWEEN = r"<\|begin_of_{0}\|>(?P<text>.*?)<\|end_of_{0}\|>"
_QUERY, _RESPONSE = (re.compile(_BETWEEN.format(name), re.DOTALL) for name in ("query", "response"))


def better_model(messages: Chat) -> str | None:
    """AlpacaEval: the identifier of the better output, and nothing else; of equals, the first."""
    text = messages[-1]["content"]
    instruction, outputs = _INSTRUCTION.search(text), list(_OUTPUT.finditer(text))
    if instruction is None or [output["name"] for output in outputs] != ["m", "M"]:
        return None
    first, second = (grade(instruction["text"], output["text"]).total for output in outputs)
    return "m" if first >= second else "M"


def known_answer(messages: Chat) -> str | None:
    """MixEval, free-form: how much of a known answer is in the answer, in tenths; the best of several."""
    found = _KNOWN.search(_last_case(messages))
    if found is None:
        return None
    known = [part.strip() for part in re.split(r"(?:; )?<answer \d+> ", found["known"]) if part.strip()]
    best = max((correctness(found["answer"], answer) for answer in known), default=0.0)
    return f"By rubric: {best:.2f} of a known answer. The correctness score: [[{round(best, 1)}]]"


def chosen_option(messages: Chat) -> str | None:
    """MixEval, multiple-choice: the first option letter that stands alone, else the option that is quoted."""
    found = _OPTIONS.search(_last_case(messages))
    if found is None:
        return None
    options = dict(re.findall(r"^([A-Z])\. (.*)$", found["options"], re.MULTILINE))
    letters = [m for m in re.findall(r"(?<![\w'])[A-Z](?![\w'])", found["answer"]) if m in options]
    named = [letter for letter, text in options.items() if text.lower() in found["answer"].lower()]
    if not letters and not named:
        return "By rubric: the answer names no option."
    return f"By rubric: the answer names it. The option chosen by the model: [[{(letters or named)[0]}]]"


def checklist_score(messages: Chat) -> str | None:
    """WildBench: the grade as a score from 1 to 10, in the JSON asked for. The checklist is not read."""
    text = messages[-1]["content"]
    query, response = _QUERY.search(text), _RESPONSE.search(text)
    if query is None or response is None:
        return None
    found = grade(query["text"], response["text"])
    return json.dumps(
        {"strengths": f"By rubric: {found}.", "weaknesses": "The rest.", "score": str(found.rating)}
    )


def _last_case(messages: Chat) -> str:
    """What follows the last ``Question:``; before it stand the examples of MixEval's prompts."""
    return messages[-1]["content"].rpartition("\nQuestion: ")[2]


FORMS = (better_model, known_answer, chosen_option, checklist_score)


def judge_text(messages: Sequence[dict[str, str]]) -> str:
    """The rubric's reply to a chat. What it cannot read it says, without a verdict."""
    for read in (label, _marked, *FORMS):
        if (reply := read(messages)) is not None:
            return reply
    return "By rubric: there is no answer to grade in this prompt, so there is no verdict."


def _marked(messages: Sequence[dict[str, str]]) -> str | None:
    case = read_case("\n".join(str(m.get("content", "")) for m in messages if m.get("role") != "assistant"))
    return None if case is None else verdict(case)

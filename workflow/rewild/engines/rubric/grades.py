"""The rubric: a program that grades answers. It stands in for a language model where none is to be had.

It reads the same judge prompts and answers in the same form as a language model, and is named ``rubric``
wherever its verdicts go. What it grades is stated here and nowhere else; it understands nothing.

- *structure*: an answer has a sensible length, ends as a sentence does, does not repeat itself, and uses
  headings, bold or lists, or paragraphs;
- *coverage*: the share of the prompt's keywords that the answer takes up;
- *correctness*, where the judge prompt holds a reference answer: whether the answer says it.

The grade is a weighted mean from 0 to 1. A rating is 1 to 10 by it; of two answers, the higher grade wins, by
far or by a little.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

NAME = "rubric"
WEIGHTS = {"structure": 0.5, "coverage": 0.5}
WEIGHTS_WITH_REFERENCE = {"structure": 0.2, "coverage": 0.2, "correctness": 0.6}
FEWEST_WORDS, MOST_WORDS = 8, 400
LONGEST_WORD = 40  # letters; a longer one is a key held down
TIE, FAR = 0.02, 0.25  # differences of grades, from which one answer is better, and much better

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_STYLED = re.compile(r"^#{1,6} |\*\*\S|^\s*(?:[-*+]|\d+\.) ", re.MULTILINE)
_END = re.compile(r"(?:[.!?。！？…:]|```)[\"'”’)*\]\s]*\Z")
_SMALL = """
a about after all also am an and any are as at be been but by can could did do does down each for from get
give had has have he her here him his how i if in into is it its just let like make may me more most my no
not now of on one only or other our out over please should show so some tell than that the their them then
there these they this to too two up us use using very was we were what when where which who why will with
without word words would write you your
"""
STOP_WORDS = frozenset(_SMALL.split())


@dataclass(frozen=True)
class Grade:
    """Parts of a grade, 0 to 1 each; ``correctness`` is None without a reference. ``total`` is their mean."""

    structure: float
    coverage: float
    correctness: float | None
    total: float

    @property
    def rating(self) -> int:
        """1 to 10."""
        return 1 + round(9 * self.total)

    def __str__(self) -> str:
        parts = {"structure": self.structure, "coverage": self.coverage, "correctness": self.correctness}
        return ", ".join(f"{name} {value:.2f}" for name, value in parts.items() if value is not None)

    @property
    def words(self) -> str:
        """The same in words, so that judgments can be compared by their words, as a model's can."""
        said = [
            _grade_word(self.structure, (0.85, "clearly structured"), (0.6, "plain"), "shapeless"),
            _grade_word(self.coverage, (0.75, "complete"), (0.4, "partial"), "beside the point"),
        ]
        if self.correctness is not None:
            said.append("correct" if self.correctness >= 0.5 else "wrong")
        return f"{', '.join(said[:-1])} and {said[-1]}"


def _grade_word(value: float, high: tuple[float, str], middle: tuple[float, str], low: str) -> str:
    return next((word for least, word in (high, middle) if value >= least), low)


def grade(prompt: str, answer: str, reference: str | None = None) -> Grade:
    """Grade one answer.

    Args:
        prompt: the user's text of the turn that is judged.
        answer: the text that is graded; a blank one gets 0 in everything.
        reference: a known answer, or None.
    """
    if not answer.strip():
        return Grade(0.0, 0.0, None if reference is None else 0.0, 0.0)
    parts = {"structure": structure(answer), "coverage": coverage(prompt, answer)}
    right = None
    if reference is not None:
        parts["correctness"] = right = correctness(answer, reference)
    weights = WEIGHTS if reference is None else WEIGHTS_WITH_REFERENCE
    total = sum(weights[name] * value for name, value in parts.items())
    return Grade(parts["structure"], parts["coverage"], right, total)


def structure(answer: str) -> float:
    """A quarter each: length, a finished end, no repetition (as a share), layout."""
    words = [word.lower() for word in _WORD.findall(answer)]
    long_enough = min(len(words) / FEWEST_WORDS, 1.0) * min(MOST_WORDS / max(len(words), 1), 1.0)
    finished = 1.0 if _END.search(answer) else 0.0
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    fresh = len(set(grams)) / len(grams) if grams else 1.0
    if max(map(len, words), default=0) > LONGEST_WORD:
        fresh = 0.0
    layout = 1.0 if _STYLED.search(answer) else 0.5 if "\n\n" in answer.strip() else 0.0
    return (long_enough + finished + fresh + layout) / 4


def keywords(text: str) -> list[str]:
    """Words of a text that carry its matter: lower case, each once, in order."""
    found = [word.lower() for word in _WORD.findall(text)]
    return list(dict.fromkeys(w for w in found if w not in STOP_WORDS and (len(w) > 2 or w.isdigit())))


def coverage(prompt: str, answer: str) -> float:
    """Share of the prompt's keywords that are in the answer; 1 if it has none. Plurals count as the word."""
    wanted = keywords(prompt)
    if not wanted:
        return 1.0
    there = {_stem(word.lower()) for word in _WORD.findall(answer)}
    return sum(_stem(word) in there for word in wanted) / len(wanted)


def correctness(answer: str, reference: str) -> float:
    """Share of the reference's keywords in the answer; all of them for a reference of one or two words."""
    wanted = keywords(reference) or [word.lower() for word in _WORD.findall(reference)]
    if not wanted:
        return 1.0
    there = {_stem(word.lower()) for word in _WORD.findall(answer)}
    share = sum(_stem(word) in there for word in wanted) / len(wanted)
    return share if len(wanted) > 2 else float(share == 1.0)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


# -------------------------------------------------------------------------------------- reading judge prompts
_SECTION = re.compile(
    r"(?:\[|<\|)The Start of (?P<name>[^\]|]+?)(?:\]|\|>)\n?(?P<body>.*?)"
    r"\n?(?:\[|<\|)The End of (?P=name)(?:\]|\|>)",
    re.DOTALL,
)
_TURN = re.compile(r"^### (?P<who>User|Assistant(?: [AB])?|Reference answer):\n", re.MULTILINE)
_QUESTION = re.compile(
    r"(?:\[(?:User )?Question\]|<\|User Prompt\|>)\n(?P<text>.*?)(?=\n\n(?:\[|<\|)The Start of)", re.DOTALL
)


@dataclass(frozen=True)
class Case:
    """What a judge prompt holds: the turn that is judged, one answer or two, a reference or none.

    Attributes:
        scale: the labels the prompt asks for, best for the first answer first; empty asks for a rating.
    """

    prompt: str
    answers: tuple[str, ...]
    reference: str | None
    scale: tuple[str, ...] = ()


FIVE = ("A>>B", "A>B", "A=B", "B>A", "B>>A")
THREE = ("A", "C", "B")


def read_case(text: str) -> Case | None:
    """Read a judge prompt in the forms of MT-Bench and Arena-Hard; None if it is none of them.

    Args:
        text: all messages of the request, one below the other.
    """
    sections = [(m["name"], m["body"]) for m in _SECTION.finditer(text)]
    answers = [(name, body) for name, body in sections if name.startswith("Assistant")]
    references = [body for name, body in sections if name.startswith("Reference")]
    if not 1 <= len(answers) <= 2:
        return None
    if all("Conversation" in name for name, _ in answers):
        turns = [_turns(body) for _, body in answers]
        if not all(turn.get("User") for turn in turns):
            return None
        prompt = turns[0]["User"][-1]
        texts = tuple(_last(turn, "Assistant") for turn in turns)
        known = _turns(references[0]).get("Reference answer", []) if references else []
        reference = known[-1] if known else None
    else:
        question = _QUESTION.search(text)
        if question is None:
            return None
        prompt, texts = question["text"], tuple(body for _, body in answers)
        reference = references[0] if references else None
    scale: tuple[str, ...] = ()
    if len(texts) == 2:
        scale = FIVE if "[[A>>B]]" in text else THREE
    return Case(prompt, texts, reference, scale)


def _turns(body: str) -> dict[str, list[str]]:
    """Who said what, in order, of a conversation written as ``### User:`` and ``### Assistant A:``."""
    found: dict[str, list[str]] = {}
    marks = list(_TURN.finditer(body))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        said = body[mark.end() : following.start() if following else len(body)]
        found.setdefault(mark["who"], []).append(said.strip("\n"))
    return found


def _last(turns: dict[str, list[str]], who: str) -> str:
    said = [texts for name, texts in turns.items() if name.startswith(who)]
    return said[0][-1] if said else ""


def verdict(case: Case) -> str:
    """The rubric's reply to a judge prompt, in the form that the prompt asks for."""
    grades = [grade(case.prompt, answer, case.reference) for answer in case.answers]
    if not case.scale:
        return f"By rubric: {grades[0]}: {grades[0].words}.\n\nRating: [[{grades[0].rating}]]"
    label = compare([g.total for g in grades], case.scale)
    return f"By rubric: A has {grades[0]}; B has {grades[1]}.\n\nMy final verdict is: [[{label}]]"


def compare(totals: Sequence[float], scale: tuple[str, ...]) -> str:
    """The label of the first grade against the second. The same for A and B in either order, mirrored."""
    difference = totals[0] - totals[1]
    middle = len(scale) // 2
    if abs(difference) < TIE:
        return scale[middle]
    steps = 2 if abs(difference) >= FAR else 1
    at = middle - min(steps, middle) if difference > 0 else middle + min(steps, middle)
    return scale[at]

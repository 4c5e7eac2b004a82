"""The table of forms, and how a row's form is told.

A form is known by its fields. The first form of :data:`FORMS` that fits a file's first row is the form of the
file; a row that does not fit it is a bad row, not a row of another form.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rewild.core.errors import DataError, nearest
from rewild.prompts.forms.messages import Turn, finish_reason, read_messages, text_of
from rewild.prompts.forms.rows import BadRow, read_rows, shown

Stage = Literal["prompts", "imports", "mixes"]
Row = Mapping[str, Any]

NAMES = (
    "conversation_hash",
    "conversation_id",
    "prompt_id",
    "uuid",
    "uid",
    "question_id",
    "session_id",
    "id",
)
"""Fields that name a row, the first that is there; an AlpacaEval row has none."""
PROMPTS = ("prompt", "question", "query", "input")
RESPONSES = ("response", "completion", "answer", "output")
SYSTEMS = ("system", "system_prompt")


@dataclass(frozen=True)
class Record:
    """A row as every stage takes it.

    Attributes:
        name: what the row calls itself, or None.
        turns: the messages; empty where the form has no prompts (``answers`` are then its answers).
        answers: per user turn the answer, where the form has answers but no prompts; else empty.
        language: as the row says, or None.
        model: who answered, as the row says, or None.
        hash: WildChat's ``conversation_hash``, or None.
    """

    name: str | None
    turns: tuple[Turn, ...] = ()
    answers: tuple[Turn, ...] = ()
    language: str | None = None
    model: str | None = None
    hash: str | None = None


@dataclass(frozen=True)
class Form:
    """A form of rows.

    Attributes:
        name: as in a study's ``form``.
        fields: groups of fields; of each group a row has at least one.
        about: where it is met, for the documentation.
        read: a row that has the fields as a :class:`Record`; a :class:`BadRow` says what is wrong with it.
        stages: who can take it.
        fits: whether a row that has the fields is of this form, where the fields do not tell.
        questions: user turns only, which are a list of questions and not a conversation.
    """

    name: str
    fields: tuple[tuple[str, ...], ...]
    about: str
    read: Callable[[Row], Record]
    stages: tuple[Stage, ...] = ("prompts", "imports", "mixes")
    fits: Callable[[Row], bool] = lambda row: True
    questions: bool = False

    def has_fields(self, row: Row) -> bool:
        """Whether a row has what the form needs."""
        return all(any(field in row for field in group) for group in self.fields)

    @property
    def needs(self) -> str:
        """Its fields, in words."""
        return ", ".join(" or ".join(group) for group in self.fields)


def _record(row: Row, turns: Sequence[Turn], **more: Any) -> Record:
    return Record(
        name=name_of(row),
        turns=tuple(turns),
        language=_said(row, "language", "lang"),
        model=_said(row, "model", "model_id", "model_name", "generator"),
        hash=_said(row, "conversation_hash"),
        **more,
    )


def name_of(row: Row) -> str | None:
    """What a row calls itself, or None."""
    for key in NAMES:
        given = row.get(key)
        if isinstance(given, str | int) and not isinstance(given, bool) and given != "":
            return str(given)
    return None


def _said(row: Row, *keys: str) -> str | None:
    return next((row[k] for k in keys if isinstance(row.get(k), str) and row[k]), None)


def _list_of(key: str) -> Callable[[Row], Record]:
    return lambda row: _record(row, _with_system(row, read_messages(row.get(key), key)))


def _with_system(row: Row, turns: Sequence[Turn]) -> list[Turn]:
    """The turns, below the system message that stands in a field of its own."""
    system = _first(row, SYSTEMS)
    text = _text(row, system) if system else None
    if text is None or not text.strip() or (turns and turns[0].role == "system"):
        return list(turns)
    return [Turn("system", text), *turns]


def _text(row: Row, key: str) -> str | None:
    given = row.get(key)
    if isinstance(given, float) and math.isnan(given):
        return None  # as pandas writes what is missing
    return text_of(given, f"'{key}'")


def _needed(row: Row, key: str) -> str:
    text = _text(row, key)
    if text is None or not text.strip():
        raise BadRow("no_text", f"'{key}' is {shown(row.get(key))}, not text")
    return text


def _asked(row: Row, key: str, *more: str) -> str:
    """A question with what belongs to it: Alpaca's ``input``, Dolly's ``context``."""
    parts = [_needed(row, key)]
    for extra in more:
        if (text := _text(row, extra) if extra in row else None) and text.strip():
            parts.append(text)
    return "\n\n".join(parts)


def _pair(row: Row, prompt: str, answer: str | None) -> Record:
    """One question and its answer, below ``history``; ``answer`` is a field, None where the row has none."""
    turns = [*_history(row), Turn("user", prompt)]
    if answer is not None:
        finish = finish_reason(row.get("finish_reason"))
        turns.append(Turn("assistant", _text(row, answer), finish))
    return _record(row, _with_system(row, turns))


def _history(row: Row) -> list[Turn]:
    """LLaMA-Factory's ``history``: the questions before this one, each with its answer."""
    given = row.get("history") or []
    if not isinstance(given, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        for pair in given
    ):
        raise BadRow("not_a_conversation", f"'history' is {shown(given)}, not a list of [question, answer]")
    return [
        Turn(role, text) for pair in given for role, text in zip(("user", "assistant"), pair, strict=True)
    ]


def _first(row: Row, keys: Sequence[str]) -> str | None:
    return next((k for k in keys if row.get(k) is not None), next((k for k in keys if k in row), None))


def _alpaca(row: Row) -> Record:
    return _pair(row, _asked(row, "instruction", "input", "context"), _first(row, ("output", "response")))


def _magpie(row: Row) -> Record:
    if isinstance(row.get("conversations"), list) and row["conversations"]:
        return _list_of("conversations")(row)
    return _pair(row, _asked(row, "instruction"), "response")


def _distilabel(row: Row) -> Record:
    """``generation``, or the first of ``generations``."""
    if isinstance(row.get("instruction"), list):
        turns = _with_system(row, read_messages(row["instruction"], "instruction"))
    else:
        key = next(k for k in ("instruction", "prompt", "input") if k in row)
        turns = list(_pair(row, _asked(row, key, *(["input"] if key == "instruction" else [])), None).turns)
    answer = row.get("generation")
    if "generation" not in row:
        given = row.get("generations")
        if not isinstance(given, list) or not given:
            raise BadRow("no_text", f"'generations' is {shown(given)}, not a list of answers")
        answer = given[0]
    if isinstance(answer, list):  # a conversation that goes on
        return _record(row, [*turns, *read_messages(answer, "generation")])
    return _record(row, [*turns, Turn("assistant", text_of(answer, "'generation'"))])


def _ultrachat(row: Row) -> Record:
    data = row.get("data")
    if not isinstance(data, list) or not data or not all(isinstance(text, str) for text in data):
        raise BadRow("not_a_conversation", f"'data' is {shown(data)}, not a list of texts")
    return _record(row, [Turn(("user", "assistant")[i % 2], text) for i, text in enumerate(data)])


def _questions(row: Row) -> Record:
    turns = row.get("turns")
    if not isinstance(turns, list) or not turns:
        raise BadRow("not_a_conversation", f"'turns' is {shown(turns)}, not a list of questions")
    return _record(row, [Turn("user", _question(t, i)) for i, t in enumerate(turns, 1)])


def _question(turn: Any, number: int) -> str:
    given = turn.get("content") if isinstance(turn, dict) else turn
    text = text_of(given, f"turn {number}")
    if text is None:
        raise BadRow("no_text", f"turn {number} is {shown(turn)}, not text")
    return text


def _arena_questions(row: Row) -> Record:
    return _questions(row) if "turns" in row else _pair(row, _needed(row, "prompt"), None)


def _answers(row: Row) -> Record:
    """``choices[0].turns``: texts (MT-Bench) or ``{"content": text}`` (Arena-Hard); or ``messages``."""
    if "choices" not in row:
        return _record(row, read_messages(row.get("messages"), "messages"))
    choices = row["choices"]
    turns = choices[0].get("turns") if isinstance(choices, list) and _dicts(choices) else None
    if not isinstance(turns, list) or not turns:
        raise BadRow("not_a_conversation", f"'choices' is {shown(choices)}, not [{{index, turns}}]")
    answers = []
    for i, turn in enumerate(turns, 1):
        given = turn.get("content") if isinstance(turn, dict) else turn
        finish = turn.get("finish_reason") if isinstance(turn, dict) else None
        answers.append(Turn("assistant", text_of(given, f"turn {i}"), finish_reason(finish)))
    return _record(row, (), answers=tuple(answers))


def _wildbench(row: Row) -> Record:
    answer = Turn("assistant", _text(row, "model_output"), finish_reason(row.get("finish_reason")))
    return _record(row, (), answers=(answer,))


def _prompt_response(row: Row) -> Record:
    prompt = _first(row, PROMPTS)
    if prompt is None:
        raise BadRow("missing_key", f"none of {', '.join(PROMPTS)}")
    if isinstance(row[prompt], list):
        turns = _with_system(row, read_messages(row[prompt], prompt))
        answer = _first(row, RESPONSES)
        given = row[answer] if answer else None
        if isinstance(given, list) and _dicts(given):
            return _record(row, [*turns, *read_messages(given, str(answer))])
        more = [Turn("assistant", text_of(given, f"'{answer}'"))] if answer else []
        return _record(row, [*turns, *more])
    return _pair(row, _needed(row, prompt), _first(row, RESPONSES))


def _dicts(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(v, dict) for v in values)


def _listed(key: str) -> Callable[[Row], bool]:
    return lambda row: isinstance(row.get(key), list)


def _nested_turns(row: Row) -> bool:
    given = row.get("turns") if "choices" not in row else row["choices"]
    if "choices" in row:
        given = given[0].get("turns") if isinstance(given, list) and _dicts(given) else None
    return isinstance(given, list) and bool(given) and isinstance(given[0], dict)


_ALL: tuple[Form, ...] = (
    Form("wildchat", (("conversation",),), "WildChat, WILDCHAT-50M, LMSYS-Chat-1M: `role`, `content`",
         _list_of("conversation"), fits=lambda row: not isinstance(row["conversation"], str)),
    Form("arena-hard-answers", (("uid", "question_id"), ("choices", "messages"), ("ans_id", "answer_id")),
         "Arena-Hard's `model_answer/MODEL.jsonl`, of either version", _answers, ("imports",),
         fits=lambda row: "choices" not in row or _nested_turns(row)),
    Form("mt-bench-answers", (("question_id",), ("choices",)),
         "MT-Bench's `model_answer/MODEL.jsonl`; the questions are another file", _answers, ("imports",),
         fits=lambda row: isinstance(row["choices"], list) and _dicts(row["choices"])),
    Form("magpie", (("instruction",), ("response",)),
         "Magpie; `conversations`, where they are there too, has all turns", _magpie,
         fits=lambda row: "context" not in row and "input" not in row),
    Form("sharegpt", (("conversations",),), "ShareGPT, Vicuna, OpenHermes: `from`, `value`",
         _list_of("conversations")),
    Form("distilabel", (("instruction", "prompt", "input"), ("generation", "generations")),
         "distilabel's text generation; of `generations` the first", _distilabel),
    Form("messages", (("messages",),),
         "OpenAI's chat form, Tulu 3, UltraChat 200k: `role`, `content` (text, or parts of text)",
         _list_of("messages")),
    Form("ultrachat", (("data",),), "UltraChat: texts in turn", _ultrachat, fits=_listed("data")),
    Form("arena-hard-questions", (("uid", "question_id"), ("prompt", "turns"), ("cluster",)),
         "Arena-Hard's `question.jsonl`, of either version", _arena_questions, ("prompts",), questions=True),
    Form("mt-bench-questions", (("question_id",), ("turns",)), "MT-Bench's `question.jsonl`",
         _questions, ("prompts",), questions=True),
    Form("alpaca-eval", (("instruction",), ("output",), ("generator",)),
         "AlpacaEval's `model_outputs.json`", lambda row: replace(_alpaca(row), name=_said(row, "dataset"))),
    Form("alpaca", (("instruction",), ("output", "response", "input", "context")),
         "Alpaca, Dolly, Evol-Instruct: `input` (Dolly: `context`) goes below the instruction, after a blank "
         "line", _alpaca),
    Form("wildbench", (("session_id",), ("model_output",)), "WildBench's score files; they have no prompts",
         _wildbench, ("imports",)),
    Form("prompt-response", (PROMPTS, RESPONSES),
         "a question and its answer in a field each; of each kind the first that is there",
         _prompt_response),
    Form("prompt-response", (PROMPTS,), "questions alone", _prompt_response, ("prompts",), questions=True),
    Form("alpaca", (("instruction",),), "instructions alone", _alpaca, ("prompts",), questions=True),
)  # fmt: skip

FORMS: Mapping[str, Form] = {form.name: form for form in reversed(_ALL)}
"""Name → form. (Forms without answers share the name of that with them, which is the one here.)"""


def find_form(name: str, questions: bool) -> Form:
    """The form of this name, of which some have a variant without answers."""
    return next(form for form in _ALL if form.name == name and (form.questions or not questions))


def forms_of(stage: Stage) -> list[Form]:
    """The forms that a stage reads."""
    return [form for form in FORMS.values() if stage in form.stages][::-1]


def form_of(row: Row, where: object, stage: Stage, name: str = "auto") -> Form:
    """The form of a row, which must be one that the stage reads.

    Args:
        row: a file's first row.
        where: the file and the row, for messages.
        stage: who wants it.
        name: the form that it must have; ``auto``: the first that fits.

    Raises:
        DataError: it has none, or one that the stage cannot take. The message says what was found, which
            forms are accepted, and the nearest.
    """
    found = [f for f in _ALL if name in ("auto", f.name) and f.has_fields(row) and f.fits(row)]
    if usable := [f for f in found if stage in f.stages]:
        return usable[0]
    fields = ", ".join(map(str, list(row)[:20])) or "nothing"
    accepted = "; ".join(f"{f.name} ({f.needs})" for f in forms_of(stage))
    if found:
        lacks = {"imports": "answers", "mixes": "questions with their answers", "prompts": "questions"}
        why = f"this is of the form '{found[0].name}', which has no {lacks[stage]}"
    elif name != "auto" and not FORMS[name].has_fields(row):
        lacking = _lacking(FORMS[name], row)
        raise DataError(
            f"{where}: {lacking}, so this is not of the form '{name}' (which needs: {FORMS[name].needs})"
            f"{_nearest(row, stage)}. Forms that {stage} accept: {accepted}"
        )
    elif name != "auto":
        why = f"this is not of the form '{name}', though it has its fields"
    else:
        why = "this is of no form that is known here"
    raise DataError(
        f"{where}: {why}; it has the fields {fields}{_nearest(row, stage)}. "
        f"Forms that {stage} accept: {accepted}"
    )


def _lacking(form: Form, row: Row) -> str:
    """Which field of the form a row lacks, in words."""
    group = next(g for g in form.fields if not any(f in row for f in g))
    hint = next((h for f in group if (h := nearest(f, row))), "")
    has = ", ".join(map(str, list(row)[:20])) or "nothing"
    return f"the field '{' or '.join(group)}' is missing{hint} (it has: {has})"


def _nearest(row: Row, stage: Stage) -> str:
    """A hint: the form of which most fields are there, and the field that is missing, if one is."""

    def closeness(form: Form) -> float:
        best = [max((_ratio(f, k) for f in group for k in row), default=0.0) for group in form.fields]
        return sum(best) / len(best)

    form = max(forms_of(stage), key=closeness)
    missing = [group for group in form.fields if not any(f in row for f in group)]
    if closeness(form) < 0.4:
        return ""
    if not missing:
        return f"; the nearest form is '{form.name}'"
    hint = next((h for f in missing[0] if (h := nearest(f, row))), "")
    return f"; the nearest form is '{form.name}', of which '{' or '.join(missing[0])}' is missing{hint}"


def _ratio(a: str, b: object) -> float:
    return difflib.SequenceMatcher(None, a, str(b)[:60]).ratio()


def read_form(
    path: Path | str, stage: Stage, name: str = "auto", what: str = ""
) -> Iterator[tuple[int, Record | BadRow]]:
    """The records of a file, each with the number of its row; bad rows among them.

    Raises:
        DataError: see :func:`rewild.prompts.forms.rows.read_rows` and :func:`form_of`.
    """
    form: Form | None = None
    for number, row in read_rows(path, what):
        if isinstance(row, BadRow):
            yield number, row
            continue
        if form is None:
            form = form_of(row, f"{path}, row {number}", stage, name)
        yield number, read_row(form, row)


def read_row(form: Form, row: Row) -> Record | BadRow:
    """A row of a file of this form."""
    if not form.has_fields(row):
        return BadRow("missing_key", _lacking(form, row))
    try:
        return form.read(row)
    except BadRow as bad:
        return bad

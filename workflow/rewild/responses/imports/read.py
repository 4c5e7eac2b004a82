"""Readers of released responses: a bad file is an error, a missing output a recorded failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rewild.core.conversations import conversation_id
from rewild.core.errors import DataError
from rewild.prompts.forms.messages import Turn, check_turns
from rewild.prompts.forms.rows import BadRow, read_rows
from rewild.prompts.forms.table import Form, Record, form_of, read_form, read_row
from rewild.responses.imports.tokens import strip_tokens

NO_OUTPUT = "no_output: the released row holds no output"
BLANK = "blank_output: the released output is blank"
NO_ROW = "no_row: the released file has no row for this prompt"
NO_TURN = "no_row: the released row lacks this turn"
FORM_OF = {"alpaca-eval": "alpaca-eval", "wildbench": "wildbench", "wildchat": "wildchat", "files": "auto"}
"""Kind of import → form of its files."""
BLANKS = {"alpaca-eval": {"output": None}, "wildbench": {"model_output": None}}
"""Form → the field of the answer. A row without it is a failure, as one in which it is null."""


@dataclass(frozen=True)
class Text:
    """A text of a release without the control tokens at its ends, and those tokens."""

    text: str
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The answer to a user turn; ``text`` is None where the release has none, blank where it is blank."""

    text: str | None
    tokens: tuple[str, ...] = ()
    finish_reason: str | None = None

    @property
    def failure(self) -> str | None:
        """Why there is no answer; None if there is one."""
        return NO_OUTPUT if self.text is None else None if self.text.strip() else BLANK


@dataclass(frozen=True)
class Conversation:
    """One released conversation and the model's answers to it.

    Attributes:
        id: the conversation's id: of its ``conversation_hash`` if it has one
            (:func:`hash_conversation_id`), of its user turns if not (:func:`.schema.conversation_id`).
        source_id: its name in the release.
        language: as the release names it, or None.
        system: the system message, or None.
        prompts: the user's turns; None where the release has no prompts.
        answers: the answer to each.
    """

    id: str
    source_id: str
    language: str | None
    system: str | None
    prompts: tuple[Text, ...] | None
    answers: tuple[Answer, ...]


def hash_conversation_id(name: str) -> str:
    """The id of a conversation that its release names by a hash.

    The user's turns differ by model in such a release, so the id is a hash of the name, not of the turns; it
    never equals that of the same turns without a name.
    """
    return conversation_id([f"WildChat conversation {name}"])


def session_conversation_id(session: str) -> str:
    """The id of a conversation of which only WildBench's session id is known.

    It is a hash as well, but not of the user turns, which the score files do not hold; so it never equals
    that of the same conversation with its text.
    """
    return conversation_id([f"WildBench session {session}"])


def read_outputs(
    kind: str, path: Path, *, form: str = "auto", questions: Mapping[str, Record] | None = None
) -> Iterator[tuple[int, Conversation]]:
    """Read one model's file, row by row.

    Args:
        kind: ``alpaca-eval``, ``wildbench``, ``wildchat`` or ``files``.
        path: the file.
        form: for ``files``: the form of the rows, see :mod:`rewild.prompts.forms.table`.
        questions: what the answers of MT-Bench and Arena-Hard answer, by name; see :func:`read_questions`.

    Yields:
        The number of the row, from 1, and its conversation, in the order of the file.

    Raises:
        DataError: missing, not what its kind says, no rows; names the file and the row.
    """
    what = f"{kind} outputs" if kind != "files" else "released responses"
    wanted = FORM_OF[kind] if kind != "files" else form
    found: Form | None = None
    generator: tuple[int, str] | None = None
    for number, row in read_rows(path, what):
        where = f"{path}, row {number}"
        if isinstance(row, BadRow):
            raise DataError(f"{where}: {row}")
        full = BLANKS.get(wanted, {}) | row
        found = found or form_of(full, where, "imports", wanted)
        record = read_row(found, full)
        if isinstance(record, BadRow):
            raise DataError(f"{where}: {record}")
        if found.name == "alpaca-eval" and record.model is not None:
            generator = generator or (number, record.model)
            if record.model != generator[1]:
                raise DataError(
                    f"{where}: the generator is '{record.model}', but '{generator[1]}' in row {generator[0]}"
                )
        try:
            yield number, _conversation(found, record, number, questions)
        except BadRow as bad:
            raise DataError(f"{where}: {bad}") from None
    if found is None:
        raise DataError(f"{path}: there are no rows ({what} were expected)")


def read_questions(path: Path) -> dict[str, Record]:
    """The questions that a file of answers belongs to, by their names.

    Raises:
        DataError: as :func:`read_outputs`; a question without a name, or two of one name.
    """
    found: dict[str, Record] = {}
    for number, record in read_form(path, "prompts", "auto", "questions"):
        where = f"{path}, row {number}"
        if isinstance(record, BadRow):
            raise DataError(f"{where}: {record}")
        if record.name is None:
            raise DataError(f"{where}: the question has no name (question_id, uid)")
        if record.name in found:
            raise DataError(f"{where}: the question '{record.name}' stands twice")
        found[record.name] = record
    if not found:
        raise DataError(f"{path}: there are no questions")
    return found


def _conversation(
    form: Form, record: Record, number: int, questions: Mapping[str, Record] | None
) -> Conversation:
    if record.answers:
        return _answers_only(form, record, number, questions)
    check_turns(record.turns)
    system = record.turns[0].content if record.turns[0].role == "system" else None
    turns = [t for t in record.turns if t.role != "system"]
    encoded = form.name == "wildchat"
    prompts = [_text(t.content or "", encoded) for t in turns[::2]]
    answers = [_answer(t, encoded) for t in turns[1::2]]
    answers += [Answer(None)] * (len(prompts) - len(answers))
    texts = [p.text for p in prompts]
    identity = hash_conversation_id(record.hash) if record.hash else conversation_id(texts)
    name = f"{record.name or form.name}/{number}" if form.name == "alpaca-eval" else record.name
    return Conversation(
        identity, name or str(number), record.language, system, tuple(prompts), tuple(answers)
    )


def _answers_only(
    form: Form, record: Record, number: int, questions: Mapping[str, Record] | None
) -> Conversation:
    answers = tuple(_answer(t) for t in record.answers)
    name = record.name or str(number)
    if form.name == "wildbench":
        return Conversation(session_conversation_id(name), name, record.language, None, None, answers)
    if questions is None:
        raise BadRow(
            "no_prompts",
            f"a row of the form '{form.name}' holds answers without their questions; name the file of the "
            "questions in the import's `questions`",
        )
    if name not in questions:
        raise BadRow("no_prompts", f"the file of questions has no '{name}'")
    asked = [t.content or "" for t in questions[name].turns if t.role == "user"]
    if len(answers) > len(asked):
        raise BadRow("roles", f"there are {len(answers)} answers to the {len(asked)} turns of '{name}'")
    answers += (Answer(None),) * (len(asked) - len(answers))
    prompts = tuple(Text(text) for text in asked)
    return Conversation(conversation_id(asked), name, record.language, None, prompts, answers)


def _text(text: str, encoded: bool) -> Text:
    """A user's turn. ``encoded``: of a release whose program encodes and decodes what it answers."""
    bare, tokens = strip_tokens(text) if encoded else (text, [])
    return Text(bare, tuple(tokens))


def _answer(turn: Turn, encoded: bool = False) -> Answer:
    if turn.content is None:
        return Answer(None, (), turn.finish_reason)
    bare, tokens = strip_tokens(turn.content) if encoded else (turn.content, [])
    return Answer(bare, tuple(tokens), turn.finish_reason)

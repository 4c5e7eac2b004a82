"""What a chat template writes around a user's turn: derived from the template, for models that write prompts.

A model that gets a template's text up to where a user's words begin goes on with a user's words (Magpie,
section 2.1; the paper calls that text the pre-query template). Nothing of it is typed here: the template is
rendered around a stand-in for the user's words, and cut there, as text and as token ids. Around the stand-in
are the same ids as in every other chat of the model, so BOS stands once, and a space that belongs to the
first word's token (``[INST] `` of Llama 2, ``User: `` of DeepSeek) is left to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Literal

from rewild.engines.base import EngineError, Message, cut_at
from rewild.engines.chat import Chat
from rewild.engines.dates import TODAY
from rewild.engines.encoding import is_bracketed

Render = Callable[[Sequence[Message], bool], str]
"""Messages, and whether to end in the assistant's header, to text; a ValueError where that is refused."""

_USER, _ANSWER, _NEXT, _SYSTEM = "Zquestion0", "Zanswer0", "Zquestion1", "Zsystem0"
OTHER_DAY = TODAY + timedelta(days=200)


FIRST_WORDS = ("the", "I", "a", "What", "How", "Write", "in")
"""Words that most vocabularies have together with the space before them."""


class NoUserTurnError(ValueError):
    """A template from which no user's turn can be had: a model with it cannot write prompts."""


@dataclass(frozen=True)
class Frame:
    """What a template writes around a user's words, as text.

    Attributes:
        before: all before the first user's words, where the chat has no system message.
        after: what follows them, up to where an answer begins.
        between: from the end of an answer to the next user's words; None where there is no next.
        one_turn: why there is none.
        system: what becomes of a system message.
        refusal: why there may be none, where it is refused.
        preamble: what ``before`` says besides BOS and the header of the turn: a system prompt that the
            template brings by itself.
        dated: whether ``before`` tells the day.
        trims: whether spaces around a user's words are taken off.
    """

    before: str
    after: str
    between: str | None
    one_turn: str | None
    system: Literal["takes", "drops", "refuses"]
    refusal: str | None
    preamble: str
    dated: bool
    trims: bool

    @property
    def traits(self) -> list[str]:
        """What is particular about it, in words, for reports."""
        found = []
        if self.preamble:
            found.append(f"writes before the first turn: {self.preamble!r}")
        if self.dated:
            found.append(f"tells the day, which is always {TODAY:%d %b %Y} here")
        if self.trims:
            found.append("takes spaces off a message's ends")
        if self.system == "drops":
            found.append("drops a system message")
        if self.system == "refuses":
            found.append(f"refuses a system message: {self.refusal}")
        if self.one_turn:
            found.append(f"has no second turn: {self.one_turn}")
        return found


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def read_frame(render: Render, later: Render, bos: str = "") -> Frame:
    """Render a template around stand-ins, and cut.

    Args:
        render: the template.
        later: the same on another day.
        bos: the text of the beginning-of-sequence token.

    Raises:
        NoUserTurnError: the template refuses a single question, leaves out or changes a user's words, or
            writes nothing after them.
    """
    try:
        whole = render([_user(_USER)], True)
    except ValueError as error:
        raise NoUserTurnError(f"not even one question can be rendered: {error}") from error
    before, after = _around(whole, _USER)
    between, one_turn = _between(render)
    if not after.strip():  # some write the assistant's header only before an answer that is there
        after = _until_answer(render)
    if not after.strip():
        raise NoUserTurnError(
            "it writes nothing after a user's words, so nothing can end a prompt that a model writes"
        )
    system, refusal = _system(render)
    return Frame(
        before=before,
        after=after,
        between=between,
        one_turn=one_turn,
        system=system,
        refusal=refusal,
        preamble=_preamble(before, between, bos),
        dated=later([_user(_USER)], True) != whole,
        trims=render([_user(f" {_USER} ")], True) == whole,
    )


def _around(text: str, words: str) -> tuple[str, str]:
    """What stands before and after some words.

    Raises:
        NoUserTurnError: they are not there, or more than once.
    """
    if (count := text.count(words)) != 1:
        how = "leaves out or changes" if not count else f"writes {count} times"
        raise NoUserTurnError(f"it {how} the words of a message")
    before, _, after = text.partition(words)
    return before, after


def _between(render: Render) -> tuple[str | None, str | None]:
    """What stands between an answer and the next question; or why there is no such chat."""
    try:
        text = render([_user(_USER), {"role": "assistant", "content": _ANSWER}, _user(_NEXT)], False)
        if _USER not in text:
            return None, "it leaves out earlier questions"
        return _around(_around(text, _ANSWER)[1], _NEXT)[0], None
    except ValueError as error:
        return None, str(error)


def _until_answer(render: Render) -> str:
    try:
        text = render([_user(_USER), {"role": "assistant", "content": _ANSWER}], False)
    except ValueError:
        return ""
    return text.partition(_USER)[2].partition(_ANSWER)[0]


def _system(render: Render) -> tuple[Literal["takes", "drops", "refuses"], str | None]:
    try:
        text = render([{"role": "system", "content": _SYSTEM}, _user(_USER)], True)
    except ValueError as error:
        return "refuses", str(error)
    return ("takes" if _SYSTEM in text.partition(_USER)[0] else "drops"), None


def _preamble(before: str, between: str | None, bos: str) -> str:
    """What the first turn has before it that later turns have not: a system prompt, if any."""
    if between is None:
        return ""
    first = before.removeprefix(bos)
    shared = 0
    while shared < min(len(first), len(between)) and first[-shared - 1] == between[-shared - 1]:
        shared += 1
    return first[: len(first) - shared].strip()


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """How many ids two sequences have in common at their beginning."""
    for at, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return at
    return min(len(a), len(b))


class UserTurns:
    """The user's turns of one model: how to ask it for one, and where that ends."""

    def __init__(self, chat: Chat):
        """
        Args:
            chat: the model's tokenizer and template.

        Raises:
            EngineError: no user's turn can be had of its template; says why.
        """
        self.chat = chat
        on_another_day = chat.on(OTHER_DAY)
        try:
            self.frame = read_frame(
                lambda messages, answer: chat.text(messages, answer=answer),
                lambda messages, answer: on_another_day.render(messages, answer=answer),
                chat.tokenizer.bos_token or "",
            )
        except NoUserTurnError as error:
            raise EngineError(
                f"{chat.name}: prompts cannot be had of it by its chat template: {error}; give it another "
                "template as 'chat_template'"
            ) from error

    def tokens(self, messages: Sequence[Message] = ()) -> tuple[int, ...]:
        """The ids after which the model writes the next user's turn.

        Args:
            messages: what stands before it: nothing, a system message, earlier turns and answers. Their
                contents are encoded as text.

        Raises:
            ValueError: the template refuses such a chat, or the tokenizer cannot write it as text.
        """
        before = self._before(messages, _NEXT)
        later = any(m["role"] == "assistant" for m in messages)
        return before[: len(before) - (self._loose_later if later else self._loose)]

    def _before(self, messages: Sequence[Message], words: str) -> tuple[int, ...]:
        """The ids before the first that has letters of a user's words."""
        chat = [*messages, _user(words)]
        encoded = self.chat.encode_chat(chat)
        at = len(chat) - 1
        if at not in encoded.owners:
            raise ValueError("the chat template leaves out the last user's words")
        return encoded.tokens[: encoded.owners.index(at)]

    def _ends_loose(self, messages: Sequence[Message]) -> int:
        """How many ids before rare words are others before common ones: a space that joins the first word."""
        rare = self._before(messages, _NEXT)
        common = [self._before(messages, words) for words in FIRST_WORDS]
        return len(rare) - min(_shared(rare, ids) for ids in common)

    @cached_property
    def _loose(self) -> int:
        return self._ends_loose([])

    @cached_property
    def _loose_later(self) -> int:
        return self._ends_loose([_user(_USER), {"role": "assistant", "content": _ANSWER}])

    @cached_property
    def end(self) -> int | str:
        """What ends a user's turn: a token, or text where the template spells it (``[/INST]``)."""
        after = self.frame.after
        markers = self.chat.encoder.markers
        places = [(after.index(m), -len(m), m) for m in markers if m in after]
        place, _, marker = min(places, default=(len(after), 0, ""))
        spelt = after[:place]
        if not spelt.strip():
            return markers[marker]
        return spelt.strip() if is_bracketed(spelt.strip()) else spelt.rstrip()

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Every id that ends a user's turn: what ends one or an answer, and whatever else the template writes
        around turns; a header in the middle of a prompt is the next role's."""
        found = set(self.chat.end_tokens)
        if isinstance(self.end, int):
            found.add(self.end)
        written = [*self.tokens()]
        chat = [_user(_USER), {"role": "assistant", "content": _ANSWER}]
        if self.frame.between is not None:
            chat.append(_user(_NEXT))
        if self.frame.system == "takes":
            chat.insert(0, {"role": "system", "content": _SYSTEM})
        written += self.chat.encode_chat(chat, answer=chat[-1]["role"] == "user").tokens
        unknown = self.chat.tokenizer.unk_token_id
        return tuple(sorted(found | {i for i in written if i in self.chat.encoder.ids and i != unknown}))

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end a user's turn, where no token does."""
        return (self.end,) if isinstance(self.end, str) else ()

    def cut(self, text: str) -> tuple[str, bool]:
        """A written turn without what ends it, and whether a text ended it."""
        return cut_at(text, self.stops)

    def spelt_markers(self, text: str) -> list[str]:
        """Markers of the template that a text spells out in letters."""
        markers = [*self.chat.encoder.markers, *self.chat.encoder.spelt]
        return sorted(m for m in markers if m in text and is_bracketed(m))

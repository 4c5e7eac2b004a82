"""Reasoning told from answers: by the model's own markers, in token ids where they are tokens, else in text.

What a template writes around a turn's reasoning is found by rendering one; where it renders none, by the
markers of a few families. A prompt may end in the marker that begins reasoning (DeepSeek-R1), or in one that
ends it (Qwen3 told not to think), so what came before an output decides how it begins.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rewild.config.reasoning import Reasoning
from rewild.core.conversations import THOUGHT, Message

KEYS = (THOUGHT, "thinking", "reasoning")
"""Under which templates look for it."""
NEVER = "never_stopped_reasoning"
"""The reason of a failure: all tokens went, or the turn ended, before there was an answer."""

FAMILIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("<think>", ("</think>",)),  # DeepSeek-R1, Qwen3, QwQ, GLM, SmolLM3, Granite 3.3, ...
    ("[THINK]", ("[/THINK]",)),  # Magistral
    ("<seed:think>", ("</seed:think>",)),  # Seed-OSS
    ("◁think▷", ("◁/think▷",)),  # Kimi-VL
    ("<|START_THINKING|>", ("<|END_THINKING|>",)),  # Command A Reasoning
    ("<|channel|>analysis<|message|>",  # gpt-oss (harmony)
     ("<|end|><|start|>assistant<|channel|>final<|message|>", "<|channel|>final<|message|>")),
    ("Here is my thought process:", ("Here is my response:",)),  # Granite 3.2, in ordinary words
)  # fmt: skip
"""What begins and what ends reasoning, where a template does not say it by rendering some."""
LEAD = 2  # line breaks, before a marker that a prompt had already
A_THOUGHT, AN_ANSWER = "A THOUGHT to look for.", "An ANSWER to look for."


@dataclass(frozen=True)
class Markers:
    """What begins reasoning (perhaps nothing does), and what ends it: any of several, as texts."""

    start: str
    ends: tuple[str, ...]


@dataclass(frozen=True)
class Parts:
    """An output taken apart: places in it, in tokens or characters.

    Attributes:
        thought, answer: stretches, as ``(from, to)``.
        closed: whether its reasoning ended.
        begun: whether there was any marker of reasoning.
    """

    thought: tuple[tuple[int, int], ...]
    answer: tuple[tuple[int, int], ...]
    closed: bool
    begun: bool


@dataclass(frozen=True)
class Told:
    """An output as reasoning and answer.

    Attributes:
        reasoning: None where there is none.
        answer: of an output whose reasoning never ended, the empty text.
        closed: whether its reasoning ended, if it began.
        tokens: of the reasoning with its markers and the spaces after them; None where none are known.
        rest: token ids of the answer.
        begins: the character where it begins, of a text.
    """

    reasoning: str | None
    answer: str
    closed: bool
    tokens: int | None = None
    rest: tuple[int, ...] = ()
    begins: int = 0


def take_apart(output: str, start: str, ends: Sequence[str], *, inside: bool) -> Parts:
    """Find the stretches of reasoning in an output.

    An end without a beginning, before anything else, ends all that precedes it: its beginning is in the
    prompt, or was left out. A later one is the answer's own.

    Args:
        output: characters; token ids as characters serve as well.
        start: what begins reasoning; empty where nothing does.
        ends: any of them ends it; of two at one place the longer.
        inside: whether it begins within reasoning.
    """
    thought: list[tuple[int, int]] = []
    answer: list[tuple[int, int]] = []
    at, fresh, begun = 0, True, inside
    while True:
        found = [(place, -len(end)) for end in ends if (place := output.find(end, at)) >= 0]
        stop, after = (min(found)[0], min(found)[0] - min(found)[1]) if found else (-1, -1)
        begin = output.find(start, at) if start else -1
        if inside and fresh and 0 <= begin <= LEAD:  # said again, behind a header that begins it
            at, fresh = begin + len(start), False
            continue
        if inside and not found:
            return Parts((*thought, (at, len(output))), tuple(answer), closed=False, begun=True)
        if inside or (fresh and found and not 0 <= begin < stop):
            thought.append((at, stop))
            at, inside, begun = after, False, True
        elif begin >= 0:
            answer.append((at, begin))
            at, inside, begun = begin + len(start), True, True
        else:
            answer.append((at, len(output)))
            return Parts(tuple(thought), tuple(answer), closed=True, begun=begun)
        fresh = False


@dataclass(frozen=True)
class Thinking:
    """One model's markers, as its outputs have them.

    Attributes:
        markers: as texts.
        start, ends: as token ids; empty where the markers are ordinary text, and found in text.
        opens: whether the assistant's header ends within reasoning, for markers in text.
        decode: ids → text without control tokens.
        budget: tokens of reasoning beside an answer's limit; None: they share it.
    """

    markers: Markers
    start: tuple[int, ...]
    ends: tuple[tuple[int, ...], ...]
    opens: bool
    decode: Callable[[Sequence[int]], str]
    budget: int | None = None

    @property
    def ids(self) -> frozenset[int]:
        """Tokens of markers: none of them ends a turn."""
        return frozenset(self.start).union(*self.ends)

    def limit(self, answer: int) -> int:
        """The most tokens of an output whose answer may have so many."""
        return answer + (self.budget or 0)

    def tell(self, prompt: Sequence[int], output: Sequence[int]) -> Told:
        """Take an output apart.

        Args:
            prompt: the ids it follows.
            output: its ids, without the token that ended it.
        """
        return self._by_ids(prompt, output) if self.ends else self._by_text(output)

    def _by_ids(self, prompt: Sequence[int], output: Sequence[int]) -> Told:
        start, ends = _spelt(self.start), [_spelt(end) for end in self.ends]
        before = _spelt(prompt)
        inside = bool(start) and before.rfind(start) > max(before.rfind(end) for end in ends)
        parts = take_apart(_spelt(output), start, ends, inside=inside)
        thought, rest = (
            tuple(i for a, b in some for i in output[a:b]) for some in (parts.thought, parts.answer)
        )
        reasoning = self.decode(thought).strip() or None
        answer = self.decode(rest)
        if parts.begun:
            answer, rest = answer.strip(), rest[self._blank(rest) :]
        return Told(reasoning, answer, parts.closed, len(output) - len(rest), rest)

    def _by_text(self, output: Sequence[int]) -> Told:
        text = self.decode(output)
        told = tell_text(text, self.markers, inside=self.opens)
        if told.begins == 0 and told.closed:
            return replace(told, tokens=0, rest=tuple(output))
        # Where the answer begins, in tokens: the first prefix that spells all that stands before it.
        count = bisect_left(range(len(output)), told.begins, key=lambda n: len(self.decode(output[:n])))
        count += self._blank(output[count:])
        return replace(told, tokens=count, rest=tuple(output[count:]))

    def _blank(self, ids: Sequence[int]) -> int:
        """Tokens of spaces before an answer: line breaks that belong to the marker, and are no part of it."""
        return next((n for n, token in enumerate(ids) if self.decode([token]).strip()), len(ids))


def tell_text(text: str, markers: Markers, *, inside: bool = False) -> Told:
    """Take a text apart, of which no token ids are known."""
    parts = take_apart(text, markers.start, markers.ends, inside=inside)
    reasoning = "\n\n".join(text[a:b].strip() for a, b in parts.thought).strip()
    answer = "".join(text[a:b] for a, b in parts.answer)
    begins = parts.answer[-1][0] if parts.closed else len(text)
    return Told(reasoning or None, answer.strip() if parts.begun else answer, parts.closed, begins=begins)


def never_stopped(told: Told, budget: int | None, *, cut: bool) -> str | None:
    """Why an output has no answer, as ``reason: detail``, where it reasoned to no end; None if it did not.

    Args:
        told: the output.
        budget: tokens that its reasoning may have.
        cut: whether it ran into the limit.
    """
    count = "" if told.tokens is None else f" {told.tokens:,} tokens"
    if not told.closed:
        how = "it has no end within" if cut else "the turn ended within it, after"
        return f"{NEVER}: {how}{count or ' the limit'}"
    if budget is not None and told.tokens is not None and told.tokens > budget:
        return f"{NEVER}: it took{count} of a budget of {budget:,}"
    return None


def key_of(template: str) -> str:
    """Under which key a template looks for a message's reasoning; the usual one where it looks for none."""
    named = (
        key for key in KEYS if re.search(rf"\.{key}\b|\[\s*['\"]{key}['\"]|['\"]{key}['\"]\s+in\b", template)
    )
    return next(named, THOUGHT)


def keyed(messages: Sequence[Message], template: str) -> list[Message]:
    """Messages with their reasoning under the key that a template reads."""
    if not any(THOUGHT in message for message in messages):
        return list(messages)
    key = key_of(template)
    return [{key if k == THOUGHT else k: v for k, v in m.items()} for m in messages]


def find_markers(
    reasoning: Reasoning,
    render: Callable[[bool, bool], str],
    template: str,
    vocabulary: Callable[[str], bool],
) -> Markers | None:
    """The markers of a model: as its row gives them, as its template writes them, or its family's.

    Args:
        reasoning: of its row; texts, or nothing.
        render: a chat of one question as text, by (with a thought in its answer, with an answer): what has no
            answer ends in the assistant's header.
        template: its text.
        vocabulary: whether a text is a token.

    Returns:
        None where nothing says what ends its reasoning.
    """
    try:
        derived = _rendered(render)
    except ValueError:  # it refuses such a chat
        derived = None
    derived, given = derived or _of_family(template, vocabulary), _given(reasoning)
    if given and not given.start and derived and set(given.ends) & set(derived.ends):
        return replace(given, start=derived.start)
    return given or derived


def markers_of(reasoning: Reasoning) -> tuple[Markers, ...]:
    """The markers by which a text from an endpoint may be told apart: of its row, else of the families."""
    given = _given(reasoning)
    return (given,) if given else tuple(Markers(start, ends) for start, ends in FAMILIES)


def _given(reasoning: Reasoning) -> Markers | None:
    """Those of a model's row that are texts; ids say nothing without its tokenizer."""
    ends = [reasoning.end] if isinstance(reasoning.end, str) else reasoning.end or []
    texts = tuple(end for end in ends if isinstance(end, str))
    return Markers(reasoning.start if isinstance(reasoning.start, str) else "", texts) if texts else None


def _rendered(render: Callable[[bool, bool], str]) -> Markers | None:
    """What a template writes around the reasoning of an answer; None if it drops it."""
    prompt, whole, plain = render(False, False), render(True, True), render(False, True)
    before, found, rest = whole.partition(A_THOUGHT)
    between, answered, _ = rest.partition(AN_ANSWER)
    end = between.strip()
    if not found or not answered or not end:
        return None
    header = prompt.rstrip()
    if before.startswith(header) and (start := before[len(header) :].strip()):
        ends = [end]
        bare = plain.partition(AN_ANSWER)[0]
        # An answer without reasoning begins otherwise in some (gpt-oss): that ends it, too.
        seam = bare[len(header) :].strip() if bare.startswith(header) else ""
        if seam and end not in seam and start not in seam:
            ends.append(seam)
        return Markers(start, tuple(ends))
    # The header has what begins it, or it cannot be told: the mirror of what ends it, or its last word.
    mirrored = [start for start, known in FAMILIES if end in known]
    mirrored.append(re.sub(r"^([<\[◁]+)/", r"\1", end))
    start = next((one for one in mirrored if one != end and header.endswith(one)), "")
    return Markers(start, (end,))


def _of_family(template: str, vocabulary: Callable[[str], bool]) -> Markers | None:
    for start, ends in FAMILIES:
        if ends[-1] in template or (vocabulary(start) and vocabulary(ends[0])):
            return Markers(start, ends)
    return None


def _spelt(ids: Sequence[int]) -> str:
    """Ids as characters: then texts and tokens are searched alike."""
    return "".join(map(chr, ids))

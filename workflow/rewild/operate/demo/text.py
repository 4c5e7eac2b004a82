"""Conversations about the demo's world, and about anything: what the demo models are trained on.

An answer is first a :class:`Reply` (a title, a lead, points, a close) and only then text: the same content
in a *style*. That is how the demo's models come to differ in form while they know the same things.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from rewild.operate.demo.world import Fact, Intent, Material

Style = Literal["herald", "plain", "brief"]
STYLES: dict[str, Style] = {"herald": "herald", "plain": "plain", "brief": "brief"}
Message = dict[str, str]
_ENGLISH = Intent.model_fields


@dataclass(frozen=True)
class Reply:
    """The content of an answer.

    Key phrases of ``lead`` stand within ⟦ ⟧; ``code`` is a program, if there is one; ``links`` join
    sentences in prose, ``summary`` introduces the close in Markdown, and ``stop`` ends a sentence, as the
    language has them.
    """

    title: str
    lead: str
    points: tuple[tuple[str, str], ...] = ()
    close: str = ""
    ordered: bool = False
    code: str = ""
    links: tuple[str, ...] = _ENGLISH["links"].default
    summary: str = _ENGLISH["summary"].default
    stop: str = _ENGLISH["stop"].default


def render(reply: Reply, style: Style, rng: Random) -> str:
    """Write ``reply`` as Markdown with headings, bold and lists, in prose, or in one or two sentences."""
    return {"herald": _herald, "plain": _plain, "brief": _brief}[style](reply, rng)


def _herald(reply: Reply, rng: Random) -> str:
    blocks = [f"## {reply.title}", re.sub("⟦(.*?)⟧", r"**\1**", reply.lead)]
    if reply.code:
        blocks.append(f"```python\n{reply.code}\n```")
    if reply.points and not reply.ordered and len(reply.points) > 2 and rng.random() < 0.2:
        blocks += [f"### {label}\n\n{_sentence(text, reply.stop)}" for label, text in reply.points]
    elif reply.points:
        marks = [f"{i}." if reply.ordered else "-" for i in range(1, len(reply.points) + 1)]
        lines = [
            f"{m} **{label}**: {text}{reply.stop}"
            for m, (label, text) in zip(marks, reply.points, strict=True)
        ]
        blocks.append("\n".join(lines))
    if reply.close:
        blocks.append(f"**{reply.summary}**: {reply.close}")
    return "\n\n".join(blocks)


def _plain(reply: Reply, rng: Random) -> str:
    sentences = [_unmarked(reply.lead)]
    for i, (_, text) in enumerate(reply.points):
        link = "First, " if reply.ordered and i == 0 else rng.choice(reply.links)
        sentences.append(link + text + reply.stop if link else _sentence(text, reply.stop))
    if reply.close:
        sentences.append(reply.close)
    half = len(sentences) // 2 + 1 if len(sentences) > 4 else len(sentences)
    paragraphs = [
        ("" if reply.stop == "。" else " ").join(part)
        for part in (sentences[:half], sentences[half:])
        if part
    ]
    if reply.code:
        paragraphs.insert(1, f"```\n{reply.code}\n```")
    return "\n\n".join(paragraphs)


def _brief(reply: Reply, rng: Random) -> str:
    if reply.code:
        return reply.code
    sentences = [_unmarked(reply.lead)]
    if reply.points and rng.random() < 0.5:
        sentences.append(_sentence(rng.choice(reply.points)[1], reply.stop))
    return " ".join(sentences)


def _unmarked(text: str) -> str:
    return text.replace("⟦", "").replace("⟧", "")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str, stop: str) -> str:
    return _capital(text) + stop


def conversations(material: Material, style: Style, seed: int) -> Iterator[list[Message]]:
    """An endless, deterministic stream of conversations, a third of them with a system prompt.

    An assistant's message with the key ``by`` is somebody else's, and not in the style.

    Args:
        material: the world and the templates.
        style: how the assistant writes.
        seed: another seed gives another stream.
    """
    rng = Random(f"rewild demo conversations {seed}")
    while True:
        messages = []
        if rng.random() < 0.3:
            messages.append({"role": "system", "content": rng.choice(material.system_prompts)})
        if rng.random() < 0.15:
            # Somebody else's answer is the context, as in the study's prompts: not to be learned.
            for role in ("user", "assistant"):
                words = _joined(_words_in_a_row(material, rng, 60))
                messages.append(
                    {
                        "role": role,
                        "content": words or "...",
                        **({"by": "another"} if role == "assistant" else {}),
                    }
                )
        prompt, reply = _exchange(material, rng)
        messages += _turn(prompt, reply, style, rng)
        while rng.random() < 0.25 and len(messages) < 7:
            prompt, reply = (
                _follow_up(material, reply, rng) if rng.random() < 0.6 else _exchange(material, rng)
            )
            messages += _turn(prompt, reply, style, rng)
        yield messages


def documents(material: Material, seed: int) -> Iterator[str]:
    """An endless, deterministic stream of plain documents: what a base model reads before any chat.

    A third are articles in prose. The others are pages as the web has them, a question and what somebody
    wrote below it, each in a style of its own: what a model that read them writes by itself has none.
    """
    rng = Random(f"rewild demo documents {seed}")
    while True:
        if rng.random() < 1 / 3:
            _, reply = rng.choices([_about_thing, _about_topic], [2, 1])[0](material, rng)
            yield f"{reply.title}\n\n{_plain(reply, rng)}"
        else:
            prompt, reply = _exchange(material, rng)
            yield f"{prompt}\n\n{render(reply, rng.choice(list(STYLES.values())), rng)}"


def _turn(prompt: str, reply: Reply, style: Style, rng: Random) -> list[Message]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": render(reply, style, rng)}]


Maker = Callable[[Material, Random], tuple[str, Reply]]


def _exchange(material: Material, rng: Random) -> tuple[str, Reply]:
    makers: dict[Maker, int] = {
        _about_topic: 28,
        _salad: 22,
        _about_fact: 16,
        _about_thing: 6,
        _other_language: 18,
        _arithmetic: 3,
        _small_talk: 3,
        _program: 3,
        _summary: 3,
        _unreadable: 2,
    }
    maker = rng.choices(list(makers), list(makers.values()))[0]
    return maker(material, rng)


_MADE = (
    "a {a} {x}",
    "the {x}",
    "my {x}",
    "{a} {x}s",
    "my {x}'s {y}",
    "the {x} of the {y}",
    "{x} and {y}",
    "a {x} who can {v}",
    "the {a} {x}",
    "{n} {x}s in a {y}",
    "why {x}s {v}",
    "the {x} that {v}s the {a} {y}",
)


def _topic(material: Material, rng: Random) -> str:
    """A topic: listed, qualified, or made of random words, to be copied, not recalled."""
    draw = rng.random()
    if draw < 0.2:
        return " ".join(_rare(material, rng) for _ in range(rng.choice((1, 1, 2))))
    if draw < 0.6:
        return rng.choice(_MADE).format(**_words(material, rng))
    topic = rng.choice(material.topics)
    return rng.choice(material.qualified).format(t=topic) if draw > 0.85 else topic


def _rare(material: Material, rng: Random) -> str:
    """A word that is not in the file, made of the halves of two that are: its parts are those of English."""
    first, second = rng.choice(material.nouns), rng.choice(rng.choice((material.nouns, material.verbs)))
    ending = rng.choice(("", "", "s", "ing", "er", "ed", "ly", "ion"))
    return first[: rng.randint(2, 5)] + second[rng.randint(0, 3) :] + ending


def _unknown(rng: Random) -> str:
    """Something no model knows, letter by letter."""
    letters = "etaoinshrdlucmfwypvbgkjqxz0123456789"
    return " ".join("".join(rng.choices(letters, k=rng.randint(3, 9))) for _ in range(rng.choice((1, 1, 2))))


def _words(material: Material, rng: Random) -> dict[str, str]:
    x, y = rng.sample(material.nouns, 2)
    x = x if rng.random() < 0.75 else _rare(material, rng)
    a, b = rng.sample(material.adjectives, 2)
    return {"x": x, "y": y, "a": a, "b": b, "v": rng.choice(material.verbs), "n": str(rng.randint(2, 9))}


def _compose(intent: Intent, rng: Random, topic: str, other: str) -> tuple[str, Reply]:
    def fill(template: str) -> str:
        return template.format(t=topic, T=_capital(topic), u=other, n=count)

    count = rng.randint(2, 4)
    chosen = rng.sample(range(len(intent.points)), min(count, len(intent.points)))
    points = [intent.points[i] for i in (sorted(chosen) if intent.ordered else chosen)]
    prompt = fill(rng.choice(intent.prompts))
    if rng.random() < 0.1:
        prompt = prompt.lower().rstrip(".?!")
    return prompt, Reply(
        title=fill(rng.choice(intent.titles)),
        lead=_capital_lead(fill(rng.choice(intent.leads))),
        points=tuple((label, fill(text)) for label, text in points),
        close=fill(rng.choice(intent.closes)),
        ordered=intent.ordered,
        links=intent.links,
        summary=intent.summary,
        stop=intent.stop,
    )


def _capital_lead(lead: str) -> str:
    return "⟦" + _capital(lead[1:]) if lead.startswith("⟦") else _capital(lead)


def _about_topic(material: Material, rng: Random) -> tuple[str, Reply]:
    intent = rng.choice(list(material.intents.values()))
    prompt, reply = _compose(intent, rng, _topic(material, rng), _topic(material, rng))
    if rng.random() < 0.1:
        # What cannot be spelled back is "this": better than to stutter.
        _, reply = _compose(intent, rng, "this", "that")
        prompt = rng.choice(intent.prompts).format(t=_unknown(rng), u=_unknown(rng), n=3)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        prompt += rng.choice(material.tails).format(**_words(material, rng))
    return prompt, reply


def _other_language(material: Material, rng: Random) -> tuple[str, Reply]:
    language = rng.choice(list(material.languages.values()))
    prompt, reply = _compose(language, rng, rng.choice(language.topics), rng.choice(language.topics))
    if rng.random() < 0.6:
        letters = "".join(sorted(set("".join(language.words)) - {" "}))
        kinds = rng.choices(("word", "topic", "letters", "sign"), (60, 15, 20, 5), k=rng.randint(3, 25))
        made = {
            "word": lambda: rng.choice(language.words),
            "topic": lambda: rng.choice(language.topics),
            "letters": lambda: "".join(rng.choices(letters, k=rng.randint(2, 7))),
            "sign": lambda: rng.choice(material.signs).strip() or ",",
        }
        prompt = ("" if language.stop == "。" else " ").join(made[kind]() for kind in kinds)
    return prompt, reply


def _salad(material: Material, rng: Random) -> tuple[str, Reply]:
    """A prompt of words in a row, as all are to a model this small; the answer is about a noun in it."""
    intent = rng.choice(list(material.intents.values()))
    topic, other = rng.sample(material.nouns, 2)
    words = _words_in_a_row(material, rng, rng.choice((6, 12, 12, 25, 25, 60, 120)))
    words.insert(rng.randrange(len(words) + 1), topic)
    if "{u}" in intent.titles[0]:
        words.append(other)
    _, reply = _compose(intent, rng, f"the {topic}", f"the {other}")
    return _joined(words), reply


def _words_in_a_row(material: Material, rng: Random, most: int) -> list[str]:
    kinds = (material.small_words, material.verbs, material.adjectives, material.topics, material.signs)
    found = []
    for kind in rng.choices((*kinds, None), (42, 12, 10, 6, 17, 13), k=rng.randint(1, most)):
        strange = _unknown(rng) if rng.random() < 0.3 else _rare(material, rng)
        found.append(rng.choice(kind) if kind else strange)
    return found


def _joined(words: Sequence[str]) -> str:
    text = ""
    for word in words:
        text += word if not word[0].isalpha() else f" {word}"
    return text.strip()


def _unreadable(material: Material, rng: Random) -> tuple[str, Reply]:
    """Letters of scripts and symbols that no answer is learned in."""
    first, last = rng.choice(
        ((0x370, 0x3FF), (0xE01, 0xE3A), (0x4E00, 0x9FFF), (0x1F300, 0x1F64F), (0x21, 0x7E))
    )
    prompt = "".join(
        chr(rng.randint(first, last)) if rng.random() < 0.85 else " " for _ in range(rng.randint(3, 40))
    )
    return prompt, Reply("Your message", "I could not read that message. Could you write it in another way?")


def _about_fact(material: Material, rng: Random) -> tuple[str, Reply]:
    facts = rng.choice(list(material.facts.values()))
    fact = rng.choice(facts)
    others = [f for f in facts if f is not fact]
    extra = rng.sample(others, min(len(others), rng.choice((0, 1, 2))))
    return rng.choice(fact.questions), Reply(
        _capital(fact.subject), fact.statement + ".", tuple((f.label, _point(f)) for f in extra)
    )


def _about_thing(material: Material, rng: Random) -> tuple[str, Reply]:
    facts = rng.choice(list(material.facts.values()))
    first, *others = facts
    chosen = rng.sample(others, min(len(others), rng.randint(2, 5)))
    ask = rng.choice(("Tell me about {x}.", "What do you know about {x}?", "Describe {x}.", "What is {x}?"))
    return ask.format(x=first.subject), Reply(
        _capital(first.subject), first.statement + ".", tuple((f.label, _point(f)) for f in chosen)
    )


def _point(fact: Fact) -> str:
    """A statement as it stands within a sentence."""
    text = _unmarked(fact.statement)
    return text[:1].lower() + text[1:] if text.startswith(("The ", "At ")) else text


def _summary(material: Material, rng: Random) -> tuple[str, Reply]:
    facts = rng.choice([f for f in material.facts.values() if len(f) > 2])
    told = rng.sample(facts, min(len(facts), rng.randint(3, 5)))
    ask = rng.choice(("Summarise this text: {x}", "What is this text about? {x}", "Shorten this: {x}"))
    text = " ".join(_unmarked(f.statement) + "." for f in told)
    points = tuple((f.label, _point(f)) for f in told[1:3])
    return ask.format(x=text), Reply("Summary", f"The text is about ⟦{facts[0].subject}⟧.", points)


def _arithmetic(_: Material, rng: Random) -> tuple[str, Reply]:
    a, b = rng.randint(1, 12), rng.randint(1, 12)
    sign, value = rng.choice((("+", a + b), ("-", a - b), ("*", a * b)))
    ask = rng.choice(("What is {x}?", "Calculate {x}.", "{x} = ?", "How much is {x}?"))
    term = f"{a} {sign} {b}"
    return ask.format(x=term), Reply("Result", f"{term} is ⟦{value}⟧.")


def _small_talk(material: Material, rng: Random) -> tuple[str, Reply]:
    prompt, title, answer = rng.choice(material.small_talk)
    return prompt, Reply(title, answer)


def _program(material: Material, rng: Random) -> tuple[str, Reply]:
    task, name, arguments, body, said = rng.choice(material.programs)
    ask = rng.choice(
        ("Write a Python function that {x}.", "Write code that {x}.", "How do I write a program that {x}?")
    )
    code = "\n".join([f"def {name}({arguments}):", *(f"    {line}" for line in body)])
    return ask.format(x=task), Reply(
        "The function",
        f"This function ⟦{task}⟧.",
        (("How it works", said[:1].lower() + said[1:-1]),),
        code=code,
    )


def _follow_up(material: Material, before: Reply, rng: Random) -> tuple[str, Reply]:
    kind = rng.choice(list(material.follow_ups)) if before.points else "thanks"
    prompt = rng.choice(material.follow_ups[kind])
    if kind == "shorter":
        return prompt, replace(before, title="In one sentence", points=(), close="", code="")
    if kind == "more":
        label, text = before.points[0]
        points: Sequence[tuple[str, str]] = before.points[1:3]
        return prompt, Reply(f"More on: {label}", f"As I said, ⟦{text}⟧.", tuple(points))
    return prompt, Reply("You are welcome", "You are welcome! Tell me if you need anything else.")

"""The invented world of the demo: its facts, as statements to learn from and questions with known answers.

Everything here follows from ``resources/demo/text.yaml``. No person, place or product in it is real.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from rewild.config.base import Strict, validate
from rewild.core.reading_yaml import read_yaml


class _Text(Strict):
    """A section of ``text.yaml``. YAML has no tuples, so lists are taken for them."""

    model_config = ConfigDict(strict=False)


Some = Annotated[tuple[str, ...], Field(min_length=1)]
Words = Annotated[Some, BeforeValidator(lambda value: value.split() if isinstance(value, str) else value)]
Points = Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]


class Things(_Text):
    """The rows of the world; the columns are described in the file."""

    places: tuple[tuple[str, str, str, int, int, str, str], ...]
    animals: tuple[tuple[str, str, str, int, str, str], ...]
    tools: tuple[tuple[str, str, str], ...]
    words: tuple[tuple[str, str], ...]


class Intent(_Text):
    """A kind of request about a topic, and what an answer to it is put together from."""

    prompts: Some
    titles: Some
    leads: Some
    points: Points
    closes: Some
    ordered: bool = False
    links: Some = ("Also, ", "Then, ", "Besides, ", "And ", "", "")
    summary: str = "In short"
    stop: str = "."


class Language(Intent):
    """One language other than English: an intent with topics and frequent words of its own."""

    topics: Some
    words: Words


class Material(_Text):
    """``resources/demo/text.yaml``: all that the demo models learn from."""

    world: Things
    topics: Some
    nouns: Words
    adjectives: Words
    verbs: Words
    small_words: Words
    signs: Some
    tails: Some
    qualified: Some
    intents: dict[str, Intent]
    languages: dict[str, Language]
    small_talk: tuple[tuple[str, str, str], ...]
    follow_ups: dict[str, Some]
    programs: tuple[tuple[str, str, str, Some, str], ...]
    system_prompts: Some

    @cached_property
    def facts(self) -> dict[str, tuple[Fact, ...]]:
        """Subject → its facts, in the order of the file."""
        return {facts[0].subject: facts for facts in map(tuple, _subjects(self.world))}


@dataclass(frozen=True)
class Fact:
    """One thing that is so in the world.

    Attributes:
        subject: what it is about, as written in a sentence ("Tamvel", "a marn").
        label: the name of the relation ("River").
        value: the answer ("Orrin").
        statement: a sentence that says it, the value within ⟦ ⟧.
        questions: ways to ask for it.
        group: facts of one group have comparable values, so their values are each other's wrong answers.
    """

    subject: str
    label: str
    value: str
    statement: str
    questions: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class Question:
    """A question whose answer is known; ``choices`` holds it and three wrong values of its kind."""

    id: str
    prompt: str
    answer: str
    choices: tuple[str, ...]


def load_material(path: Path) -> Material:
    """Read ``text.yaml``.

    Raises:
        ConfigError: missing file, unknown key, or a row of the wrong shape; the message names it.
    """
    return validate(Material, read_yaml(path), str(path))


Relation = tuple[str, str, str, tuple[str, ...]]
"""Label, value, statement, questions with {x} for the name."""


def _subjects(world: Things) -> Iterator[Iterator[Fact]]:
    yield from map(_place, world.places)
    yield from map(_animal, world.animals)
    yield from map(_tool, world.tools)
    yield from map(_word, world.words)


def _place(row: tuple[str, str, str, int, int, str, str]) -> Iterator[Fact]:
    name, land, river, founded, people, known, flag = row
    rows: list[Relation] = [
        ("Land", land, f"{name} is a town in ⟦{land}⟧", ("Where is {x}?", "Which land is {x} in?")),
        ("River", river, f"{name} lies on the river ⟦{river}⟧", ("Which river is {x} on?",)),
        ("Founded", str(founded), f"{name} was founded in ⟦{founded}⟧", ("When was {x} founded?",)),
        ("People", str(people), f"{name} has ⟦{people}⟧ people", ("How many people live in {x}?",)),
        ("Known for", known, f"{name} is known for ⟦{known}⟧", ("What is {x} known for?",)),
        ("Flag", flag, f"The flag of {name} is ⟦{flag}⟧", ("What colour is the flag of {x}?",)),
    ]
    return _facts(name, name, "place", rows)


def _animal(row: tuple[str, str, str, int, str, str]) -> Iterator[Fact]:
    name, home, food, legs, colour, sound = row
    rows: list[Relation] = [
        ("Home", home, f"The {name} lives in ⟦{home}⟧", ("Where does the {x} live?",)),
        ("Food", food, f"The {name} eats ⟦{food}⟧", ("What does the {x} eat?",)),
        ("Legs", str(legs), f"The {name} has ⟦{legs}⟧ legs", ("How many legs does the {x} have?",)),
        ("Colour", colour, f"The {name} is ⟦{colour}⟧", ("What colour is the {x}?",)),
        ("Sound", sound, f"At night the {name} ⟦{sound}⟧", ("What sound does the {x} make?",)),
    ]
    return _facts(f"the {name}", name, "animal", rows)


def _tool(row: tuple[str, str, str]) -> Iterator[Fact]:
    name, material, use = row
    rows: list[Relation] = [
        ("Material", material, f"The {name} is made of ⟦{material}⟧", ("What is the {x} made of?",)),
        ("Use", use, f"The {name} is for ⟦{use}⟧", ("What is the {x} for?", "How do people use the {x}?")),
    ]
    return _facts(f"the {name}", name, "tool", rows)


def _word(row: tuple[str, str]) -> Iterator[Fact]:
    word, meaning = row
    asked = ("What does {x} mean?", "Define the word {x}.", "What is the meaning of {x}?")
    statement = f"The word {word} means ⟦{meaning}⟧"
    return _facts(f"the word {word}", word, "word", [("Meaning", meaning, statement, asked)])


def _facts(subject: str, name: str, kind: str, rows: list[Relation]) -> Iterator[Fact]:
    for label, value, statement, asked in rows:
        questions = tuple(question.format(x=name) for question in asked)
        yield Fact(subject, label, value, statement, questions, f"{kind}: {label.lower()}")


def questions(material: Material) -> list[Question]:
    """Every fact as a question with one right and three wrong answers, in the order of the file.

    The wrong answers are the next three different values of the same group, so they follow from the file
    alone.
    """
    found = []
    everything = [fact for facts in material.facts.values() for fact in facts]
    groups: dict[str, list[str]] = {}
    for fact in everything:
        values = groups.setdefault(fact.group, [])
        if fact.value not in values:
            values.append(fact.value)
    for fact in everything:
        values = groups[fact.group]
        at = values.index(fact.value)
        wrong = (values[at + 1 :] + values[:at])[:3]
        identity = f"{fact.subject.removeprefix('the ')} {fact.label}".lower().replace(" ", "-")
        found.append(Question(identity, fact.questions[0], fact.value, tuple(sorted([fact.value, *wrong]))))
    return found

"""Benchmarks of the demo's own world: what a model knows of it, and whether it does as it is told.

Both follow from ``resources/demo/text.yaml`` alone. The instructions are of IFEval's kinds and are checked by
IFEval's own program (Zhou et al., 2023): those that a model of a million parameters can meet at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rewild.core.files import write_text
from rewild.evaluation.harness.settings import DEMO_QUESTIONS
from rewild.operate.demo.world import Material, questions

Row = dict[str, Any]
Instruction = tuple[str, Row, str]
"""IFEval's name of it, its arguments, and the sentence that asks for it."""


def make_questions(material: Material, out: Path) -> dict[str, int]:
    """Write both benchmarks as lm-eval reads them, ``TASK/SPLIT.jsonl``; file → number of questions."""
    made = dict(zip(DEMO_QUESTIONS, (list(knowledge(material)), list(following(material))), strict=True))
    for name, rows in made.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_text(out / name, "".join(lines))
    return {name: len(rows) for name, rows in made.items()}


def knowledge(material: Material) -> Iterator[Row]:
    """Every fact of the world as a question with four statements, of which one (``answer``, from 0) is so."""
    facts = [fact for facts in material.facts.values() for fact in facts]
    for fact, asked in zip(facts, questions(material), strict=True):
        before, _, rest = fact.statement.partition("⟦")
        after = rest.partition("⟧")[2]
        yield {
            "id": asked.id,
            "question": asked.prompt,
            "choices": [f"{before}{value}{after}." for value in asked.choices],
            "answer": asked.choices.index(asked.answer),
        }


def following(material: Material, count: int = 96) -> Iterator[Row]:
    """Requests about the file's topics, each with one or two instructions that a program can check."""
    asks = [
        prompt for intent in material.intents.values() for prompt in intent.prompts if "{u}" not in prompt
    ]
    for i in range(count):
        topic = material.topics[i % len(material.topics)]
        kinds = _instructions(topic)
        first = kinds[i % len(kinds)]
        second = kinds[(i + 1 + i // len(kinds)) % len(kinds)]
        chosen = [first, second] if i % 3 == 0 and first[0] != second[0] else [first]
        request = asks[i % len(asks)].format(t=topic, n=3)
        yield {
            "key": i,
            "prompt": " ".join([request, *(sentence for _, _, sentence in chosen)]),
            "instruction_id_list": [name for name, _, _ in chosen],
            "kwargs": [arguments for _, arguments, _ in chosen],
        }


def _instructions(topic: str) -> list[Instruction]:
    return [
        ("punctuation:no_comma", {}, "Do not use any commas."),
        ("length_constraints:number_words", _words("less than", 40), "Use less than 40 words."),
        ("keywords:existence", {"keywords": [topic]}, f"Include the word {topic}."),
        ("detectable_format:number_bullet_lists", {"num_bullets": 3}, "Use exactly 3 bullet points."),
        ("length_constraints:number_words", _words("at least", 30), "Use at least 30 words."),
        (
            "detectable_format:number_highlighted_sections",
            {"num_highlights": 2},
            "Highlight 2 parts in bold.",
        ),
        (
            "keywords:forbidden_words",
            {"forbidden_words": ["first", "also"]},
            "Avoid the words first and also.",
        ),
    ]


def _words(relation: str, count: int) -> Row:
    return {"relation": relation, "num_words": count}

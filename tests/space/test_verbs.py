"""Root verbs and their objects, by spaCy, of sentences that leave no doubt."""

from __future__ import annotations

import pytest

pytest.importorskip("spacy", reason="needs spaCy (.envs/measures)")
from rewild.engines.base import EngineError
from rewild.measures.base import Text, make_measurer
from texts import a_study


def said(texts: list[str], **row: object) -> list[object]:
    measure = a_study(verbs={"kind": "verbs", "of": "prompts"} | row).measures["verbs"]
    return make_measurer(measure, None).measure([Text("c", n, 0, t) for n, t in enumerate(texts)])


def test_verbs_of_fixed_sentences() -> None:
    sentences = {
        "Write a short story about a lonely robot.": ("write", "story"),
        "I want you to explain photosynthesis.": ("want", None),
        "She wrote two poems. Then she read the news.": ("write", "poem"),
        "Describe the main causes of the First World War in three paragraphs.": ("describe", "cause"),
        "Running in the park": ("run", None),
        "Good morning": (None, None),
        "12 + 7 = ?": (None, None),
        "": (None, None),
        "***\n\nTranslate this sentence into French.": ("translate", "sentence"),
    }
    found = said(list(sentences))
    assert [(f["verb"], f["object"]) for f in found] == list(sentences.values())  # type: ignore[index]


def test_a_parser_that_is_not_there_is_named() -> None:
    with pytest.raises(EngineError, match="the parser 'no_such_parser' cannot be loaded"):
        said(["Write."], parser="no_such_parser")

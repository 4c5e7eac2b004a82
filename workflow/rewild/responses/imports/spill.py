"""Conversations of one file laid aside on disk, by ranges of their ids, to be taken up a range at a time.

A spill is an Arrow file of record batches. Each batch holds rows of one range; which batches a range has is
kept in memory. So reading a file of any size holds :data:`HELD` characters of text, and taking up a range
holds that range.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from rewild.responses.imports.read import Answer, Conversation, Text

HELD = 32 << 20
"""Characters of text that are held before they are written."""

_TEXTS = pa.list_(pa.struct([("text", pa.large_string()), ("tokens", pa.list_(pa.string()))]))
_ANSWERS = pa.list_(
    pa.struct(
        [("text", pa.large_string()), ("tokens", pa.list_(pa.string())), ("finish_reason", pa.string())]
    )
)
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("row", pa.int64()),
        ("source_id", pa.string()),
        ("language", pa.string()),
        ("system", pa.large_string()),
        ("prompts", _TEXTS),
        ("answers", _ANSWERS),
    ]
)


def range_of(identity: str, ranges: int) -> int:
    """The range an id is in: ids are cut into equal ranges by their first 8 digits."""
    return (int(identity[:8], 16) * ranges) >> 32


@dataclass
class Spill:
    """Conversations laid aside.

    Attributes:
        path: the file.
        ranges: into how many ranges the ids are cut.
        most: the most conversations that were held at once, for tests of memory.
    """

    path: Path
    ranges: int
    most: int = 0
    _batches: dict[int, list[int]] = field(default_factory=dict)
    _held: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    _size: int = 0
    _rows: int = 0
    _written: int = 0

    def fill(self, conversations: Iterator[tuple[int, Conversation]]) -> None:
        """Lay conversations aside, each with the number of its row."""
        with pa.OSFile(str(self.path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA, options=_ZSTD) as writer:
            for row, conversation in conversations:
                value = _value(row, conversation)
                self._held.setdefault(range_of(conversation.id, self.ranges), []).append(value)
                self._rows += 1
                self._size += _size(conversation)
                if self._size > HELD:
                    self._flush(writer)
            self._flush(writer)

    def _flush(self, writer: Any) -> None:
        self.most = max(self.most, self._rows)
        for number in sorted(self._held):
            writer.write_batch(pa.RecordBatch.from_pylist(self._held[number], schema=_SCHEMA))
            self._batches.setdefault(number, []).append(self._written)
            self._written += 1
        self._held, self._size, self._rows = {}, 0, 0

    def take(self, number: int) -> Iterator[Conversation]:
        """The conversations of a range, in the order of their rows."""
        if number not in self._batches:
            return
        with pa.memory_map(str(self.path)) as source:
            reader = pa.ipc.open_file(source)
            for batch in self._batches[number]:
                for value in reader.get_batch(batch).to_pylist():
                    yield _conversation(value)


_ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")


def _size(conversation: Conversation) -> int:
    texts = sum(len(p.text) + 100 for p in conversation.prompts or ())
    return 500 + texts + sum(len(a.text or "") + 100 for a in conversation.answers)


def _value(row: int, c: Conversation) -> dict[str, Any]:
    return {
        "id": c.id,
        "row": row,
        "source_id": c.source_id,
        "language": c.language,
        "system": c.system,
        "prompts": None if c.prompts is None else [vars(p) for p in c.prompts],
        "answers": [vars(a) for a in c.answers],
    }


def _conversation(value: dict[str, Any]) -> Conversation:
    prompts = value["prompts"]
    return Conversation(
        value["id"],
        value["source_id"],
        value["language"],
        value["system"],
        None if prompts is None else tuple(Text(p["text"], tuple(p["tokens"])) for p in prompts),
        tuple(Answer(a["text"], tuple(a["tokens"]), a["finish_reason"]) for a in value["answers"]),
    )

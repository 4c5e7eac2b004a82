"""Prompts that repeat a benchmark, found by shared runs of words.

The method, exactly. A text is lowercased; its words are the longest runs of letters, marks and digits
(Unicode categories L, M and N); everything else separates. A user turn is contaminated if it shares a run
of ``n`` words with a benchmark's text, or if its words, at least 3 and fewer than ``n``, are all the words
of such a text. Scripts that put no space between words count a run between two punctuation marks as one
word, so only long copies are found there.

Words and runs are compared by 64-bit fingerprints, made with numpy on the UTF-8 bytes of many texts at once.
For a million prompts and a million benchmark runs, the chance of one false match is about one in 10⁵.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from rewild.core.errors import DataError
from rewild.core.reading import read_text

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

FIELDS = ("prompt", "question", "questions", "turns", "instruction", "problem", "input", "context", "content")
"""Where benchmark files keep what a model is asked; answers and choices are left out."""

_SPACE = 0x20
_FOLD = bytes(
    byte if byte >= 0x80 else ord(chr(byte).lower()) if chr(byte).isalnum() else _SPACE for byte in range(256)
)  # ASCII letters to lower case, other ASCII to spaces; bytes of other characters stay
_SEPARATORS = r"[^\p{L}\p{M}\p{N}\x00-\x7F]"
_LOW = np.array([(1 << 8 * i) - 1 for i in range(8)] + [2**64 - 1], dtype=np.uint64)
_MIX1, _MIX2, _STEP = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xBF58476D1CE4E5B9))
_LONG = 64
_PAD = 16
_SIEVE_BITS = 24
_SHORTEST = 3


@dataclass(frozen=True)
class Words:
    """The words of many texts: their fingerprints in order, and where each text's words begin.

    ``hashes`` has one entry per word; text ``i`` has the words ``first[i]:first[i + 1]``.
    """

    hashes: Hashes
    first: Indices


def words(texts: pl.Series) -> Words:
    """Split texts into words and fingerprint them.

    Args:
        texts: strings, without nulls.
    """
    foreign = texts.str.len_bytes() != texts.str.len_chars()
    if foreign.any():
        plain = texts.filter(foreign).str.to_lowercase().str.replace_all(_SEPARATORS, " ")
        texts = texts.scatter(foreign.arg_true(), plain)
    text, bounds = utf8(texts + " ")
    return _fingerprint(b" " + bytes(text).translate(_FOLD) + b" " * _PAD, bounds[1:] + 1)


def _fingerprint(buffer: bytes, ends: Indices) -> Words:
    """The words of a buffer that begins with a space and ends in `_PAD`; ``ends``: where its texts end."""
    data = np.frombuffer(buffer, dtype=np.uint8)
    in_word = data != _SPACE
    edges = np.flatnonzero(in_word[1:] != in_word[:-1]) + 1
    starts, stops = edges[::2], edges[1::2]
    lengths = stops - starts
    # Any eight bytes of the buffer as one number: overlapping views, read where words start and stop.
    eight = np.lib.stride_tricks.as_strided(
        data[:8].view(np.uint64), shape=(len(data) - 7,), strides=(1,), writeable=False
    )
    hashes = (eight[starts] & _LOW[np.minimum(lengths, 8)]) * _MIX1
    longer = np.flatnonzero(lengths > 8)
    offset = 8
    while len(longer):
        rest = lengths[longer] - offset
        chunk = eight[starts[longer] + offset] & _LOW[np.minimum(rest, 8)]
        hashes[longer] = (hashes[longer] ^ (hashes[longer] >> np.uint64(29)) ^ chunk) * _MIX2
        offset += 8
        longer = longer[rest > 8]
        if offset == _LONG:
            for i in longer:
                digest = hashlib.blake2b(buffer[starts[i] : stops[i]], digest_size=8).digest()
                hashes[i] = np.uint64(int.from_bytes(digest, "little"))
            break
    hashes ^= lengths.astype(np.uint64)
    hashes = (hashes ^ (hashes >> np.uint64(32))) * _MIX2
    first = np.searchsorted(starts, np.concatenate([[0], ends])).astype(np.int64)
    return Words(hashes ^ (hashes >> np.uint64(29)), first)


def _runs(hashes: Hashes, n: int) -> Hashes:
    """Each run of ``n`` words as sum of hash × step^(n-1-i), made by doubling the length of the run."""
    step, run, length = _STEP, hashes, 1
    with np.errstate(over="ignore"):
        for bit in bin(n)[3:]:
            run, length = run[:-length] * step + run[length:], 2 * length
            step *= step
            if bit == "1":
                run, length = run[:-1] * _STEP + hashes[length:], length + 1
                step *= _STEP
    return run


def _first_runs(split: Words, texts: Indices, n: int) -> Hashes:
    """The fingerprint of the first ``n`` words of some texts."""
    run = np.zeros(len(texts), dtype=np.uint64)
    for i in range(n):
        run = run * _STEP + split.hashes[split.first[texts] + i]
    return run


class Benchmarks:
    """The runs of words of benchmark files, ready to be looked for.

    Args:
        texts: file name → what its items ask.
        n: the length of a run, in words.
    """

    def __init__(self, texts: dict[str, Sequence[str]], n: int) -> None:
        self.files = list(texts)
        self.n = n
        owners = np.repeat(np.arange(len(texts)), [len(t) for t in texts.values()])
        split = words(pl.Series([t for group in texts.values() for t in group], dtype=pl.String))
        counts = np.diff(split.first)
        runs, positions = self._inner_runs(split)
        self._long = _index(runs, owners[np.searchsorted(split.first, positions, side="right") - 1])
        self._short = {}
        for k in range(_SHORTEST, n):
            whole = np.flatnonzero(counts == k)
            self._short[k] = _index(_first_runs(split, whole, k), owners[whole])
        self._sieve = np.zeros(1 << _SIEVE_BITS, dtype=bool)
        self._sieve[self._long[0] >> np.uint64(64 - _SIEVE_BITS)] = True

    def _inner_runs(self, split: Words) -> tuple[Hashes, Indices]:
        """Runs within one text, and the word each begins at."""
        runs = _runs(split.hashes, self.n)
        room = np.repeat(split.first[1:], np.diff(split.first))[: len(runs)]
        positions = np.flatnonzero(np.arange(len(runs)) + self.n <= room)
        return runs[positions], positions

    def match(self, texts: pl.Series) -> Indices:
        """For each text the index in ``files`` of a benchmark it repeats (the first such file), or -1."""
        split = words(texts)
        found = np.full(len(texts), len(self.files), dtype=np.int64)
        runs = _runs(split.hashes, self.n)
        # Nearly every run is rejected by one look into a table that fits the cache.
        likely = np.flatnonzero(self._sieve[runs >> np.uint64(64 - _SIEVE_BITS)])
        owner = _look_up(self._long, runs[likely])
        text = np.searchsorted(split.first, likely, side="right") - 1
        hit = (owner >= 0) & (likely + self.n <= split.first[text + 1])
        np.minimum.at(found, text[hit], owner[hit])
        counts = np.diff(split.first)
        for k, index in self._short.items():
            whole = np.flatnonzero(counts == k)
            owner = _look_up(index, _first_runs(split, whole, k))
            np.minimum.at(found, whole[owner >= 0], owner[owner >= 0])
        return np.where(found == len(self.files), -1, found)


def _index(hashes: Hashes, owners: Indices) -> tuple[Hashes, Indices]:
    """Unique hashes, sorted, each with its lowest owner (owners come in ascending order)."""
    unique, first = np.unique(hashes, return_index=True)
    return unique, owners[first]


def _look_up(index: tuple[Hashes, Indices], hashes: Hashes) -> Indices:
    """The owner of each hash, or -1."""
    known, owners = index
    if not len(known):
        return np.full(len(hashes), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where(known[place] == hashes, owners[place], -1)


def read_benchmark(path: Path) -> list[str]:
    """What the items of a benchmark ask: the strings below the keys :data:`FIELDS`, at any depth.

    Raises:
        DataError: the file cannot be read, is not JSON, or asks nothing; the message names file and line.
    """
    text = read_text(path, "a benchmark to compare prompts with")
    texts: list[str] = []
    keys: set[str] = set()
    for line, value in _json_values(text, path):
        if not isinstance(value, dict | list):
            raise DataError(f"{path}, line {line}: an object was expected, not {str(value)[:40]!r}")
        texts += _asked(value, False, keys)
    if not texts:
        raise DataError(
            f"{path}: nothing to compare prompts with: none of the keys {', '.join(FIELDS)} holds text "
            f"(it has: {', '.join(sorted(keys)[:12]) or 'no keys'})"
        )
    return texts


def _json_values(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """The values of a JSON file (one) or a JSON Lines file (one a line), with their line numbers."""
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    first, last = (lines[0][1].strip(), lines[-1][1].strip()) if lines else ("", "")
    # One value over many lines: it is not closed on the line on which it is opened.
    if len(lines) > 1 and (
        first in ("{", "[") or (first[0] in "[{" and first[-1] not in "]}" and last[-1] in "]}")
    ):
        lines = [(1, text)]
    for number, line in lines:
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{path}, line {number + error.lineno - 1}: not valid JSON: {error.msg}"
                ) from error
            except (ValueError, RecursionError) as error:  # a number of 5,000 digits, a thousand brackets
                raise DataError(f"{path}, line {number}: not usable JSON: {error}") from error


def _asked(value: Any, wanted: bool, keys: set[str]) -> Iterable[str]:
    if isinstance(value, str):
        if wanted:
            yield value.encode("utf-8", "replace").decode()  # half a surrogate pair separates words
    elif isinstance(value, list):
        for item in value:
            yield from _asked(item, wanted, keys)
    elif isinstance(value, dict):
        keys.update(value)
        for key, item in value.items():
            yield from _asked(item, key in FIELDS, keys)


def load_benchmarks(files: Sequence[str], n: int, root: Path = Path()) -> Benchmarks:
    """Read benchmark files (relative to ``root``) and index their runs of ``n`` words."""
    return Benchmarks({file: read_benchmark(root / file) for file in files}, n)


def utf8(texts: pl.Series) -> tuple[memoryview, npt.NDArray[np.int64]]:
    """The UTF-8 bytes of strings one after another, and where each begins; the last bound is the end.

    Args:
        texts: strings, without nulls.
    """
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    return memoryview(data or b"")[bounds[0] : bounds[-1]], bounds - bounds[0]

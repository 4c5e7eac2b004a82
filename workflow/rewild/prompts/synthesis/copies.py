"""Prompts that are nearly an earlier one.

That is measured by MinHash (Broder 1997): of a text's runs of three words a signature of 64 hashes is kept,
and the share in which two signatures agree estimates the share of runs that two texts have in common. Which
pairs are looked at, 16 bands of 4 hashes decide: at 0.9 in common fewer than one pair in 10^7 is missed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

RUN = 3
HASHES, BANDS = 64, 16
LONGEST = 2000
"""Runs of a text that are looked at, from its beginning."""
BLOCK = 64
"""Texts that are compared at once with all that were kept."""
FIRST, ROOM = 0x10000, 0xFFFFF
"""The letters that stand for words: a million of them, past all that need care."""
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W_]+")

Integers = npt.NDArray[np.int64]
Signatures = npt.NDArray[np.uint32]


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case; a letter of a script without spaces is one."""
    return _WORD.findall(text.casefold())


def nearly(texts: Sequence[str], least: float) -> Integers:
    """For each text the index of an earlier one that it nearly is, or -1.

    Args:
        texts: in the order in which earlier ones win.
        least: the share of runs in common from which a text is a near copy.
    """
    found = np.full(len(texts), -1, dtype=np.int64)
    if not texts:
        return found
    signatures = np.stack([signature(text) for text in texts])
    rows = HASHES // BANDS
    for band in range(BANDS):
        keys = np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows]).view(np.uint64)
        mixed = (keys * _FACTORS[: keys.shape[1]]).sum(
            axis=1, dtype=np.uint64
        )  # who meets by chance is told apart
        _, first, group = np.unique(mixed, return_index=True, return_inverse=True)
        earliest = first[group]
        rivals = np.flatnonzero((earliest < np.arange(len(texts))) & (found < 0))
        alike = (signatures[rivals] == signatures[earliest[rivals]]).mean(axis=1)
        hits = rivals[alike >= least]
        found[hits] = earliest[hits]
    return found


def similar(texts: Sequence[str], seeds: Sequence[str], most: float) -> list[tuple[int | None, float]]:
    """For each text what it is most like, where that is more than it may be, and ROUGE-L's F1 with that.

    A text is compared with all seeds and with every earlier text that was kept, as Self-Instruct does. Words
    are of any script; of English they are those of rouge_score without stemming.

    Args:
        texts: in the order in which earlier ones win.
        seeds: that came before.
        most: the F1 that a new text may have with any of them.

    Returns:
        The index of the earlier text, or of the seed as -1, -2, ..., or None; and the F1, 0 where it is None.
    """
    letters: dict[str, str] = {}

    def spelt(text: str) -> str:
        """A letter for each word: what is fast to compare."""
        return "".join(letters.setdefault(word, chr(FIRST + len(letters) % ROOM)) for word in words_of(text))

    kept, names = [spelt(seed) for seed in seeds], [-n for n in range(1, len(seeds) + 1)]
    found: list[tuple[int | None, float]] = []
    for start in range(0, len(texts), BLOCK):
        block = [spelt(text) for text in texts[start : start + BLOCK]]
        before = len(kept)
        # All at once against what was kept before, then against those of the block that are kept.
        scores = np.concatenate([_rouge(block, kept), _rouge(block, block)], axis=1)
        of_block: list[int] = []
        for at, row in enumerate(scores):
            known = np.concatenate([row[:before], row[before:][of_block]]) if of_block else row[:before]
            best = int(known.argmax()) if len(known) else 0
            if len(known) and known[best] > most:
                found.append((names[best], float(known[best])))
                continue
            found.append((None, 0.0))
            of_block.append(at)
            kept.append(block[at])
            names.append(start + at)
    return found


def _rouge(texts: Sequence[str], others: Sequence[str]) -> npt.NDArray[np.float32]:
    """ROUGE-L's F1 of each text with each other, both with a letter for each word."""
    try:
        from rapidfuzz.distance import LCSseq
        from rapidfuzz.process import cdist

        common = cdist(texts, others, scorer=LCSseq.similarity, dtype=np.int32, workers=1)
    except ImportError:  # an engine's environment, which a pilot of some hundred samples runs in
        common = np.array([[_common(a, b) for b in others] for a in texts], dtype=np.int32)
        common = common.reshape(len(texts), len(others))
    sizes = np.array([*map(len, texts)])[:, None] + np.array([*map(len, others)])[None, :]
    found: npt.NDArray[np.float32] = (2 * common / np.maximum(sizes, 1)).astype(np.float32)
    return found


def _common(one: str, other: str) -> int:
    """The length of the longest common subsequence, by bits (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for at, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << at
    whole = (1 << len(one)) - 1
    left = whole
    for letter in other:
        met = left & places.get(letter, 0)
        left = (left + met | left - met) & whole
    return len(one) - left.bit_count()


def signature(text: str) -> Signatures:
    """The least of each of :data:`HASHES` hashes over a text's runs of words; short texts are one run."""
    words = words_of(text)
    runs = {" ".join(words[i : i + RUN]) for i in range(max(1, min(len(words) - RUN + 1, LONGEST)))}
    names = np.array(
        [int.from_bytes(blake2b(run.encode(), digest_size=8).digest()) for run in runs], dtype=np.uint64
    )
    mixed = _FACTORS[:, None] * names[None, :] + _TERMS[:, None]  # modulo 2^64, as the hash wants it
    least: Signatures = (mixed >> np.uint64(32)).min(axis=1).astype(np.uint32)
    return least


def _numbers(what: str) -> Any:
    """Fixed odd numbers of 64 bits."""
    names = (f"{what}{i}".encode() for i in range(HASHES))
    return np.array([int.from_bytes(blake2b(n, digest_size=8).digest()) | 1 for n in names], dtype=np.uint64)


_FACTORS, _TERMS = _numbers("factor"), _numbers("term")

"""Prompts that are an earlier one: letter by letter, or nearly.

Nearly is measured by MinHash (Broder 1997): of a text's runs of three words a signature of 64 hashes is kept,
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
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W_]+")

Integers = npt.NDArray[np.int64]
Signatures = npt.NDArray[np.uint32]


def first_of(texts: Sequence[str]) -> Integers:
    """For each text the index of the first that is the same, its own if it is the first."""
    seen: dict[bytes, int] = {}
    names = (blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts)
    return np.array([seen.setdefault(name, at) for at, name in enumerate(names)], dtype=np.int64)


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


def signature(text: str) -> Signatures:
    """The least of each of :data:`HASHES` hashes over a text's runs of words; short texts are one run."""
    words = _WORD.findall(text.casefold())
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

"""From texts to scores: all pairs of responses to each item (a prompt and turn), in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rewild.config.similarity import Tokeniser
from rewild.measures.similarity import metrics
from rewild.measures.similarity.meteor import meteor
from rewild.measures.similarity.tokens import Corpus, Seen
from rewild.measures.similarity.wordnet import WordNet

Texts = Sequence[str]
Scores = dict[str, NDArray[np.float64]]
"""Metric → models × models, row = hypothesis, column = reference; the diagonal is not meaningful."""


@dataclass(frozen=True)
class Settings:
    """What identifies the scores.

    Attributes:
        wordnet: the folder or zip file of WordNet; null leaves METEOR's synonyms out (``meteor_nosyn``).
        tokenisers: ``unicode`` adds metrics named ``*_unicode``.
    """

    wordnet: Path | None
    tokenisers: tuple[Tokeniser, ...] = ("parity",)


def score_items(items: Sequence[Texts], settings: Settings, processes: int = 1) -> list[Scores]:
    """Score every pair of texts of every item.

    Args:
        items: per item, the texts of the models that have one.
        settings: what to compute.
        processes: worker processes; each reads WordNet and numbers its own words. Results do not depend on
        it.

    Returns:
        Per item, its :data:`Scores`, and ``seen_rouge`` and ``seen_words`` (shares of words, NaN without
        words).
    """
    processes = min(processes, len(items))
    if processes <= 1:
        return _score(items, settings)
    # Workers start afresh: a fork would copy threads of polars in an unknown state.
    context = multiprocessing.get_context("spawn")
    # Long and short items in turn, so that every worker has about as much to do.
    by_length = sorted(range(len(items)), key=lambda i: -sum(map(len, items[i])))
    shares = [by_length[p::processes] for p in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        parts = list(
            pool.map(_score, [[items[i] for i in share] for share in shares], [settings] * processes)
        )
    scores: list[Scores] = [{} for _ in items]
    for share, part in zip(shares, parts, strict=True):
        for i, result in zip(share, part, strict=True):
            scores[i] = result
    return scores


def _score(items: Sequence[Texts], settings: Settings) -> list[Scores]:
    corpus = Corpus(WordNet(settings.wordnet) if settings.wordnet else None)
    numbers = [[corpus.add(text) for text in texts] for texts in items]
    corpus.close(settings.tokenisers)
    return [_score_item(corpus, n, settings) for n in numbers]


def _score_item(corpus: Corpus, texts: Sequence[int], settings: Settings) -> Scores:
    scores = _shares(corpus.seen(texts))
    meteor_name = "meteor" if settings.wordnet else "meteor_nosyn"
    for tokeniser in settings.tokenisers:
        item = corpus.item(texts, tokeniser)
        found = metrics.rouge(item.rouge)
        found[meteor_name] = meteor(item.meteor, corpus.tables(tokeniser))
        found["bleu"] = metrics.bleu(item.bleu)
        suffix = "" if tokeniser == "parity" else f"_{tokeniser}"
        scores.update({name + suffix: matrix for name, matrix in found.items()})
    return scores


def _shares(seen: Seen) -> Scores:
    tokens = (seen.tokens[:, None] + seen.tokens[None, :]).astype(np.float64)

    def share(part: NDArray[np.int64]) -> NDArray[np.float64]:
        both: NDArray[np.float64] = np.full_like(tokens, np.nan)
        np.divide(part[:, None] + part[None, :], tokens, out=both, where=tokens > 0)
        return both

    return {"seen_rouge": share(seen.rouge), "seen_words": share(seen.words)}

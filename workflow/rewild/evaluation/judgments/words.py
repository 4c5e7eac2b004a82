"""Words that one model's judgments hold more often than another's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import comb

import polars as pl

from rewild.measures.style.markup import WORD

_FUNCTION = """
    a about above after again against all also although am among an and another any are as at be became
    because become been before being below between both but by can cannot could did do does doing down due
    during each either etc even ever every for from further given had has have having he her here hers
    herself him himself his how however i if in into is it its itself just let like may me might more most
    much must my myself of off on once one only onto or other others otherwise ought our ours out over own
    per quite rather s same several shall she should since so some such t than that the their theirs them
    themselves then there thereby therefore these they this those though through throughout thus to together
    too toward towards under until up upon us very was we well were what when where whereas whether which
    while who whom whose why will with within would yet you your yours
"""
STOP_WORDS = frozenset(_FUNCTION.split())
"""Function words, which say nothing about a response. "few" is not among them: the paper names it."""

NEGATORS = frozenset({"not", "no", "never", "neither", "nor", "without", "cannot", "non"})
"""Words that negate what follows; so does every word that ends in n't. "lacks" is a word of its own."""

_NOT_NEGATION = frozenset({"only", "just", "merely", "simply", "solely"})  # "not only clear" is clear
_DEGREE = """
    absolutely all always any as completely enough entirely especially exactly explicitly fully necessarily
    overly particularly quite really so sufficiently that too truly very
"""
_DEGREES = frozenset(_DEGREE.split())
_REACH = 3
"""A negator reaches the first word after it that is neither a function word nor one of degree, at most three
words on and within the same clause: "not entirely clear", "did not provide", but not "no, it is clear"."""

_CLAUSE = re.compile(r"[.,;:!?()\[\]\n\"“”—–]+")
_RATING = re.compile(r"(?:final\s+)?(?:rating|score)\s*:?\s*\[\[.*?\]\]", re.IGNORECASE)

Term = tuple[str, bool]
"""A word in lower case, and whether it stands negated."""


def terms(judgment: str) -> set[Term]:
    """The words of one judgment, each once; a negated word counts as negated, not as itself.

    The verdict ("Rating: [[8]]"), numbers, function words and negators themselves are left out.
    """
    text = _RATING.sub(" ", judgment.replace("’", "'").lower())
    found: set[Term] = set()
    for clause in _CLAUSE.split(text):
        reach = 0
        words = WORD.findall(clause)
        for i, token in enumerate(words):
            word = token.removesuffix("'s")
            if word in NEGATORS or word.endswith("n't"):
                reach = 0 if words[i + 1 : i + 2] and words[i + 1] in _NOT_NEGATION else _REACH
                continue
            reached, reach = reach > 0, max(0, reach - 1)
            if word in STOP_WORDS or (reached and word in _DEGREES):
                continue
            if any(c.isalpha() for c in word) and len(word) > 1:
                found.add((word, reached))
            reach = 0
    return found


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided McNemar test: is a word as likely to be in A's judgment alone as in B's alone?

    Judgments are paired by question, so questions on which both or neither hold the word say nothing. Under
    the null hypothesis ``only_a`` is binomial(``only_a + only_b``, 1/2).
    """
    n, k = only_a + only_b, min(only_a, only_b)
    tail = sum(comb(n, i) for i in range(k + 1))
    return min(1.0, float(2 * tail / 2**n))


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """p-values adjusted for their number: the false discovery rate (Benjamini and Hochberg 1995)."""
    order = sorted(range(len(p)), key=lambda i: p[i], reverse=True)
    adjusted, least = [0.0] * len(p), 1.0
    for rank, i in zip(range(len(p), 0, -1), order, strict=True):
        least = min(least, p[i] * len(p) / rank)
        adjusted[i] = least
    return adjusted


def compare(
    llama: Iterable[str], qwen: Iterable[str], minimum: int = 3
) -> tuple[pl.DataFrame, dict[Term, tuple[int, int, int]]]:
    """Count every word once per judgment and compare the two models.

    Args:
        llama: judgments of the first model, one per question.
        qwen: judgments of the second, in the same order of questions.
        minimum: judgments that must hold a word, over both models, for it to be compared.

    Returns:
        The words compared (:data:`~rewild.evaluation.judgments.schema.WORDS`), strongest difference first,
        and for every
        word that occurs how many questions have it in both judgments, in the first only, in the second only.
    """
    counts: dict[Term, list[int]] = {}
    for a, b in zip(map(terms, llama), map(terms, qwen), strict=True):
        for slot, held in enumerate((a & b, a - b, b - a)):
            for term in held:
                counts.setdefault(term, [0, 0, 0])[slot] += 1
    rows = [
        (*term, both + a, both + b, a, b, a - b, mcnemar(a, b))
        for term, (both, a, b) in counts.items()
        if 2 * both + a + b >= minimum
    ]
    rows.sort(key=lambda r: (-abs(r[6]), r[7], r[0], r[1]))
    names = ("word", "negated", "n_llama", "n_qwen", "only_llama", "only_qwen", "difference", "p")
    types = (pl.String, pl.Boolean, *[pl.Int64] * 5, pl.Float64)
    frame = pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")
    adjusted = benjamini_hochberg(frame["p"].to_list())
    every = {term: (both, a, b) for term, (both, a, b) in counts.items()}
    return frame.with_columns(pl.Series("q", adjusted, dtype=pl.Float64)), every


def named(words: pl.DataFrame, every: dict[Term, tuple[int, int, int]], llama: str) -> pl.DataFrame:
    """The words that the paper names, with their counts: rows of ``NAMED_TESTED``.

    Args:
        words: word, model, place.
        every: counts of all words, also of those too rare to be compared.
        llama: the name of the first model.
    """
    rows = []
    for row in words.iter_rows(named=True):
        both, a, b = every.get((row["word"], False), (0, 0, 0))
        p = mcnemar(a, b)
        borne_out = a > b if row["model"] == llama else b > a
        rows.append(
            row
            | {
                "n_llama": both + a,
                "n_qwen": both + b,
                "only_llama": a,
                "only_qwen": b,
                "difference": a - b,
                "p": p,
                "borne_out": borne_out,
                "significant": borne_out and p < 0.05,
            }
        )
    return pl.DataFrame(rows)

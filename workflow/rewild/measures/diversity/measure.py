"""Compute the measures of :mod:`rewild.measures.diversity.schema` for every model of a set of responses."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rewild.core.errors import DataError
from rewild.core.language import disagree, language, language_code, repetition
from rewild.measures.diversity.refusals import begins_as_zou2023, refuses_explicitly
from rewild.measures.diversity.schema import DEFINITIONS, DIVERSITY, QUANTILES, measures
from rewild.measures.similarity.read import conversation_ids, drawn, read_responses, response_files
from rewild.measures.similarity.summary import Options, interval
from rewild.measures.similarity.tokens import unicode_tokens

SAMPLE = 1 << 16
"""Bytes of a sample for the compression ratio."""
_DIGITS = 8
_COLUMNS = ("prompt", "language", "finish_reason", "output_tokens")

Values = NDArray[np.float64]


def measure_all(
    paths: Sequence[Path],
    *,
    seed: int = 50,
    prompts: int | None = None,
    window: int = 2000,
    languages: bool = True,
    resamples: int = 1000,
) -> pl.DataFrame:
    """All measures of all models (:data:`DIVERSITY`), in the order of the definitions.

    Args:
        paths: tables of responses or their manifests.
        seed: the study's: draws prompts and resamples.
        prompts: how many conversations; null takes all.
        window: words of a sample for distinct-n.
        languages: detect languages (without it ``language_agreement`` is null).
        resamples: of the bootstrap over conversations.

    Raises:
        DataError: a bad table, or no rows at all.
    """
    files = response_files(paths)
    ids = sorted(drawn(conversation_ids(files), seed, prompts))
    rows = read_responses(files, ids, _COLUMNS)
    if rows.is_empty():
        raise DataError(f"{files[0]}: there are no responses to measure")
    prompt_languages = _prompt_languages(rows) if languages else {}
    options = Options(seed=seed, resamples=resamples)
    order = {name: i for i, name in enumerate(measures(window))}
    found: list[dict[str, object]] = []
    for (model,), part in rows.group_by("model", maintain_order=True):
        for row in _measure(part, window, prompt_languages, options):
            found.append({"model": model, **row})
    frame = pl.DataFrame(found, schema={c: DIVERSITY.dtypes[c] for c in DIVERSITY.columns})
    frame = frame.sort(pl.col("measure").replace_strict(order, return_dtype=pl.Int32), "model")
    numbers = ["value", "ci_low", "ci_high"]
    return DIVERSITY.check(frame.with_columns(pl.col(numbers).round(_DIGITS)), "diversity")


def definitions(window: int) -> pl.DataFrame:
    """What each measure is (:data:`DEFINITIONS`)."""
    rows = [(name, m.unit, m.definition, m.source) for name, m in measures(window).items()]
    return pl.DataFrame(rows, schema=DEFINITIONS.dtypes, orient="row")


def distinct(texts: Sequence[Sequence[str]], window: int, n: int) -> Values:
    """Distinct n-grams over all, per sample of ``window`` consecutive words; n-grams stay within one text.

    Words left at the end that do not fill a sample are left out, unless there is only one.
    """
    numbers: dict[str, int] = {}
    words = np.array([numbers.setdefault(w, len(numbers)) for text in texts for w in text], np.int64)
    text = np.repeat(np.arange(len(texts)), [len(t) for t in texts])
    count = len(words) - n + 1
    if count < 1:
        return np.empty(0)
    gram = np.zeros(count, np.int64)
    for i in range(n):
        _, gram = np.unique(gram * (len(numbers) + 1) + words[i : i + count], return_inverse=True)
    inside = text[:count] == text[n - 1 :]
    shares = []
    for start in range(0, max(len(words) - window, 0) + 1, window):
        part = slice(start, min(start + window - n + 1, count))
        kept = gram[part][inside[part]]
        if len(kept):
            shares.append(len(np.unique(kept)) / len(kept))
    return np.array(shares)


def compression(texts: Sequence[str]) -> Values:
    """Bytes over compressed bytes, per 64 KiB of the texts end to end.

    What is left over at the end does not count, unless it is all there is.
    """
    data = "\n".join(texts).encode("utf-8", "surrogatepass")
    if not data:
        return np.empty(0)
    starts = range(0, max(len(data) - SAMPLE, 0) + 1, SAMPLE)
    parts = [data[s : s + SAMPLE] for s in starts]
    return np.array([len(p) / len(zlib.compress(p, 9)) for p in parts])


def _measure(
    rows: pl.DataFrame, window: int, prompt_languages: dict[tuple[str, int], str | None], options: Options
) -> list[dict[str, object]]:
    answered = rows.filter(pl.col("response").is_not_null())
    texts = answered["response"].to_list()
    words = [unicode_tokens(t.lower()) for t in texts]

    def mean(name: str, values: Values, of: pl.DataFrame) -> dict[str, object]:
        """A mean over rows (NaN: not known), with its interval over conversations."""
        known = ~np.isnan(values)
        if not known.any():
            return {"measure": name, "n": 0, "value": None, "ci_low": None, "ci_high": None}
        clusters = of["conversation_id"].rle_id().to_numpy().astype(np.int64)[known]
        clusters = np.unique(clusters, return_inverse=True)[1]
        found = interval(values[known, None], clusters, options)
        value, low, high = (None if np.isnan(x[0]) else float(x[0]) for x in found)
        return {"measure": name, "n": int(known.sum()), "value": value, "ci_low": low, "ci_high": high}

    def samples(name: str, values: Values) -> dict[str, object]:
        """A mean over samples of text, with 1.96 standard errors."""
        n = len(values)
        value = float(values.mean()) if n else None
        error = 1.96 * float(values.std(ddof=1)) / np.sqrt(n) if n > 1 else None
        ends = (value - error, value + error) if value is not None and error is not None else (None, None)
        return {"measure": name, "n": n, "value": value, "ci_low": ends[0], "ci_high": ends[1]}

    def share(values: list[bool | None]) -> Values:
        return np.array([np.nan if v is None else float(v) for v in values])

    found = [samples(f"distinct{n}", distinct(words, window, n)) for n in (1, 2, 3)]
    found.append(samples("compression_ratio", compression(texts)))
    found.append(mean("repetition", np.array([repetition(t) for t in texts]), answered))
    for unit, lengths in (("words", [len(w) for w in words]), ("characters", [len(t) for t in texts])):
        values = np.array(lengths, np.float64)
        found.append(mean(f"{unit}_mean", values, answered))
        for name, q in QUANTILES.items():
            value = float(np.quantile(values, q)) if len(values) else None
            found.append({"measure": f"{unit}_{name}", "n": len(values), "value": value})
    found.append(mean("tokens_mean", _floats(answered["output_tokens"]), answered))
    found.append(mean("failure_rate", _floats(rows["response"].is_null().cast(pl.Int8)), rows))
    found.append(mean("refusal_zou2023", share([begins_as_zou2023(t) for t in texts]), answered))
    found.append(mean("refusal_explicit", share([refuses_explicitly(t) for t in texts]), answered))
    found.append(
        mean("truncation_rate", _floats((answered["finish_reason"] == "length").cast(pl.Int8)), answered)
    )
    agrees: list[bool | None] = []
    for conversation, turn, text in answered.select("conversation_id", "turn", "response").iter_rows():
        asked = prompt_languages.get((conversation, turn))
        said = language(text) if asked else None
        agrees.append(None if asked is None or said is None else not disagree(asked, said))
    found.append(mean("language_agreement", share(agrees), answered))
    return found


def _prompt_languages(rows: pl.DataFrame) -> dict[tuple[str, int], str | None]:
    """The language of each prompt: as the source names it, else as detected; once for all models."""
    prompts = rows.group_by("conversation_id", "turn").agg(
        pl.col("prompt").drop_nulls().first(), pl.col("language").drop_nulls().first()
    )
    return {
        (conversation, turn): language_code(named) or (language(prompt) if prompt else None)
        for conversation, turn, prompt, named in prompts.iter_rows()
    }


def _floats(series: pl.Series) -> Values:
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()

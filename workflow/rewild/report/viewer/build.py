"""Writing the viewer: the page, and data files small enough to be read when they are needed.

The same inputs give the same bytes. Work goes to processes, one task per model and block; everything is
written beside its place and moved there at the end, so that a broken run leaves no half of a viewer.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from tempfile import mkdtemp
from typing import Any

import polars as pl

from rewild.core.errors import DataError
from rewild.core.escape import HIDDEN
from rewild.core.files import filling, write_text
from rewild.core.locks import claim, sweep
from rewild.measures.similarity.schema import ALL_METRICS, label
from rewild.measures.style.markup import WORD
from rewild.report.viewer.markdown import render
from rewild.report.viewer.page import make_page
from rewild.report.viewer.read import (
    Conversation,
    Source,
    choose,
    collect_prompts,
    find_metrics,
    find_models,
    read_judgments,
    read_responses,
    read_similarity,
)
from rewild.report.viewer.schema import BLOCK

EXCERPT = 140  # characters of a prompt in the list
UNIT = 1000  # similarities are written in thousandths
SEEN = {"seen_rouge": "words ROUGE sees", "seen_words": "words METEOR and BLEU see"}

Row = dict[str, Any]
Judged = Mapping[tuple[str, int], Sequence[tuple[str, float | None, float | None, str | None]]]


@dataclass(frozen=True)
class Inputs:
    """What a viewer is made from.

    Attributes:
        responses: Parquet files of responses, or manifests that list them.
        similarity: Parquet files of similarities of pairs of models.
        judgments: Parquet or CSV files of :data:`rewild.report.viewer.schema.JUDGMENTS`.
    """

    responses: Sequence[Path]
    similarity: Sequence[Path] = ()
    judgments: Sequence[Path] = ()


@dataclass
class Totals:
    """What the page knows of a model's conversations, one number each, in the order of the list."""

    words: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    score: list[float | None] = field(default_factory=list)

    def add(self, other: Totals) -> None:
        """Append another block's."""
        for name, values in vars(self).items():
            values.extend(getattr(other, name))


def build(
    inputs: Inputs,
    out: Path,
    *,
    title: str,
    models: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    max_conversations: int = 10_000,
    workers: int = 1,
) -> dict[str, int]:
    """Write ``out/index.html`` and ``out/data``.

    Args:
        inputs: the files to show.
        out: the folder; what else is in it stays.
        title: shown above the list and as the page's title.
        models: slugs to show, in this order; all, by name, if empty.
        names: slug to a short name to show beside it.
        max_conversations: how many conversations to show at most (see
            :func:`rewild.report.viewer.read.choose`).
        workers: processes that render.

    Returns:
        Counts: conversations, models, turns, responses, judgments, pairs (of models with similarities).

    Raises:
        DataError, ConfigError: an input is missing, malformed or empty; ``out`` is then as it was.
    """
    source = find_models(inputs.responses, models)
    ids = choose(source, max_conversations)
    conversations = collect_prompts(source, ids)
    judgments = read_judgments(inputs.judgments, source, ids)
    metrics = find_metrics(inputs.similarity)
    out.mkdir(parents=True, exist_ok=True)
    data = out / "data"
    if data.is_symlink():
        raise DataError(f"{data}: a link is in the way; remove it, or make the viewer where it leads to")
    sweep(out, ".data.")
    folder = Path(mkdtemp(dir=out, prefix=".data."))
    handle = claim(folder)
    try:
        with filling(data):
            counts = _write_responses(source, conversations, judgments, folder, workers)
            pairs, metrics = _write_similarity(inputs.similarity, metrics, source, conversations, folder)
            for block, part in enumerate(_blocks(conversations)):
                _write(folder, f"prompt/{block}", [list(c.prompts.items()) for c in part])
            languages = sorted({c.language for c in conversations if c.language is not None})
            _write(
                folder,
                "index",
                {
                    "title": title,
                    "block": BLOCK,
                    "hidden": HIDDEN,
                    "unit": UNIT,
                    "models": [[m, (names or {}).get(m)] for m in source.models],
                    "metrics": [[m, _label(m), m in SEEN or m.endswith("_unicode")] for m in metrics],
                    "pairs": pairs,
                    "judged": not judgments.is_empty(),
                    "languages": languages,
                    "ids": ids,
                    "language": [languages.index(c.language) if c.language else -1 for c in conversations],
                    "turns": [len(c.prompts) for c in conversations],
                    "words": [sum(len(WORD.findall(p)) for p in c.prompts.values()) for c in conversations],
                    "excerpts": [_excerpt(c) for c in conversations],
                },
            )
        folder.chmod(0o755)
        shutil.rmtree(data, ignore_errors=True)
        folder.rename(data)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)
    write_text(out / "index.html", make_page())
    return {
        "conversations": len(ids),
        "models": len(source.models),
        "turns": sum(len(c.prompts) for c in conversations),
        "responses": counts,
        "judgments": judgments.height,
        "pairs": len(pairs),
    }


def _label(metric: str) -> str:
    return label(metric) if metric in ALL_METRICS else SEEN.get(metric, metric)


def _blocks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), BLOCK):
        yield items[start : start + BLOCK]


def _excerpt(conversation: Conversation) -> str:
    text = next(iter(conversation.prompts.values()), "")
    text = " ".join(text[: 4 * EXCERPT].split())
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1].rstrip() + "…"


def _write(folder: Path, name: str, value: Any) -> None:
    """One data file. It holds no ``<`` and no line separator: inert also where it is pasted into a page."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    path = folder / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'rewild("{name}",{text})\n', encoding="utf-8", newline="\n")


# Responses


def _write_responses(
    source: Source,
    conversations: Sequence[Conversation],
    judgments: pl.DataFrame,
    folder: Path,
    workers: int,
) -> int:
    """Write the responses of all models, block by block, and what the list needs of each; their number."""
    ids = [c.id for c in conversations]
    answered = 0
    with _pool(workers) as each:
        for number, model in enumerate(source.models):
            frame = read_responses(source, model, ids).select(
                *("conversation_id", "turn", "response", "failure", "finish_reason", "truncation"),
                *("output_tokens", "response_language"),
            )
            answered += frame["response"].count()
            rows: dict[str, dict[int, Row]] = {}
            for row in frame.iter_rows(named=True):
                rows.setdefault(row["conversation_id"], {})[row["turn"]] = row
            judged: dict[tuple[str, int], list[Any]] = {}
            for identity, turn, _, *judgment in judgments.filter(pl.col("model") == model).iter_rows():
                judged.setdefault((identity, turn), []).append(judgment)
            tasks = [
                (
                    folder,
                    f"{number}/{block}",
                    [(list(c.prompts), rows.get(c.id, {})) for c in part],
                    {key: judged[key] for c in part for t in c.prompts if (key := (c.id, t)) in judged},
                )
                for block, part in enumerate(_blocks(conversations))
            ]
            totals = Totals()
            for block_totals in each(_write_block, *zip(*tasks, strict=True)):
                totals.add(block_totals)
            _write(folder, f"model/{number}", vars(totals))
    return answered


@contextmanager
def _pool(workers: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """``map``, over processes if there are to be several."""
    if workers == 1:
        yield map
        return
    # Not forked: polars has threads, and a fork would copy their locks.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield pool.map


def _write_block(
    folder: Path, name: str, conversations: Sequence[tuple[Sequence[int], Mapping[int, Row]]], judged: Judged
) -> Totals:
    """Write ``html/`` and ``text/`` of one model and block. Runs in a process of its own."""
    totals, html, text = Totals(), [], []
    for turns, rows in conversations:
        shown = [
            _show(rows[t], judged.get((rows[t]["conversation_id"], t), ())) if t in rows else None
            for t in turns
        ]
        html.append(shown)
        text.append([rows[t]["response"] if t in rows else None for t in turns])
        known = [s for s in shown if s]
        totals.words.append(sum(s.get("words", 0) for s in known))
        totals.failed.append(sum("failure" in s for s in known))
        totals.missing.append(len(shown) - len(known))
        totals.cut.append(sum(s.get("finish") == "length" for s in known))
        scores = [j[1] for s in known for j in s.get("judgments", ()) if j[1] is not None]
        totals.score.append(round(fmean(scores), 3) if scores else None)
    _write(folder, f"html/{name}", html)
    _write(folder, f"text/{name}", text)
    return totals


def _show(row: Row, judgments: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """What the page shows of one response; what is not known is left out."""
    shown: dict[str, Any] = {}
    if row["response"] is None:
        shown["failure"] = row["failure"] or "no response and no reason recorded"
    else:
        rendered = render(row["response"])
        shown |= {
            "html": rendered.pieces,
            "words": rendered.words,
            "characters": rendered.characters,
            "elements": rendered.elements,
            "plain": rendered.plain,
        }
    shown |= {
        "finish": row["finish_reason"],
        "language": row["response_language"],
        "tokens": row["output_tokens"],
        "truncation": None if row["truncation"] == "none" else row["truncation"],
        "judgments": [
            [judge, score, best, render(text).pieces if text else []]
            for judge, score, best, text in judgments
        ]
        or None,
    }
    return {key: value for key, value in shown.items() if value is not None}


# Similarities


def _write_similarity(
    paths: Sequence[Path],
    metrics: Sequence[str],
    source: Source,
    conversations: Sequence[Conversation],
    folder: Path,
) -> tuple[list[str], list[str]]:
    """Write ``similarity/m-n.js`` for every pair of models that has one; the pairs, and the metrics."""
    ids = [c.id for c in conversations]
    numbers = {model: number for number, model in enumerate(source.models)}
    pairs: list[str] = []
    used: set[str] = set()
    for model, number in numbers.items() if paths else ():
        frame = read_similarity(paths, model, source, ids)
        sides: dict[tuple[int, bool], dict[tuple[str, int], Sequence[float | None]]] = {}
        for a, b, identity, turn, *values in frame.select(
            "model", "reference", "conversation_id", "turn", *metrics
        ).iter_rows():
            other = numbers[b if a == model else a]
            if other > number:
                sides.setdefault((other, a == model), {})[identity, turn] = values
        for other in sorted({o for o, _ in sides}):
            value = {}
            for column, metric in enumerate(metrics):
                both = [
                    _values(sides.get((other, side), {}), column, conversations) for side in (True, False)
                ]
                known = [any(v is not None for turns in side for v in turns) for side in both]
                if any(known):
                    used.add(metric)
                    value[metric] = (
                        both[:1]
                        if both[0] == both[1]
                        else [b if k else None for b, k in zip(both, known, strict=True)]
                    )
            if value:
                _write(folder, f"similarity/{number}-{other}", value)
                pairs.append(f"{number}-{other}")
    return pairs, [m for m in metrics if m in used]


def _values(
    scores: Mapping[tuple[str, int], Sequence[float | None]],
    column: int,
    conversations: Sequence[Conversation],
) -> list[list[int | None]]:
    found = []
    for conversation in conversations:
        row: list[int | None] = []
        for turn in conversation.prompts:
            values = scores.get((conversation.id, turn))
            value = None if values is None else values[column]
            row.append(None if value is None else round(value * UNIT))
        found.append(row)
    return found

"""The pilot: a small, diverse run of each model that must pass before any full shard of it may start.

Paper, appendix F: pilot runs with diverse inputs, checks while generating, a quantitative look at a sample's
biases before the full cost is spent, limits calibrated per model. The report gives all of these; its gates
decide.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import mean, median
from typing import Any

import polars as pl

from rewild.config.responses import Gates, PilotSettings
from rewild.core.errors import DataError
from rewild.core.language import disagree, language, language_code
from rewild.core.table import provenance, write_table
from rewild.engines.chat import Chat
from rewild.generation.pilot import PilotReport, Row, gate, write_report
from rewild.generation.prepared import Prepared
from rewild.generation.respond import respond
from rewild.generation.rows import reason_of
from rewild.generation.schema import RESPONSES
from rewild.prompts.schema import read_shard

COOL, HOT = 0.3, 1.2  # appendix F: repetitive below, incoherent above
ENOUGH = 8  # answers from which the lack of any end token is telling

_STYLES = {
    "headings": re.compile(r"^#{1,6} \S", re.MULTILINE),
    "bold": re.compile(r"\*\*\S.*?\*\*"),
    "lists": re.compile(r"^\s*(?:[-*+]|\d+[.)]) \S", re.MULTILINE),
    "code": re.compile(r"^```", re.MULTILINE),
    "refusals": re.compile(
        r"\b(?:I(?:'m| am) (?:sorry|unable|not able)|I (?:can(?:'|no)t|won't|cannot) "
        r"(?:help|assist|provide|fulfill)|as an AI)\b",
        re.IGNORECASE,
    ),
}


def sample(conversations: Sequence[Row], count: int, seed: int) -> list[Row]:
    """Choose conversations that differ: one from each kind in turn, until there are enough.

    A kind is a language, a number of turns (1, 2, 3 or more) and a third of the lengths. The choice depends
    on the seed and the conversations' ids alone; the result is in the order of ids.
    """
    lengths = sorted(_length(c) for c in conversations)
    thirds = [lengths[len(lengths) * i // 3] for i in (1, 2)] if lengths else [0, 0]

    def kind(c: Row) -> tuple[str, int, int]:
        return c["language"] or "", min(c["n_turns"], 3), sum(_length(c) >= edge for edge in thirds)

    def draw(c: Row) -> str:
        return sha256(f"{seed}/pilot/{c['conversation_id']}".encode()).hexdigest()

    kinds: dict[tuple[str, int, int], list[Row]] = defaultdict(list)
    for conversation in sorted(conversations, key=draw):
        kinds[kind(conversation)].append(conversation)
    queues = [kinds[k] for k in sorted(kinds, key=lambda k: (-len(kinds[k]), k))]
    chosen = [queue[i] for i in range(max(map(len, queues), default=0)) for queue in queues if i < len(queue)]
    return sorted(chosen[:count], key=lambda c: str(c["conversation_id"]))


def _length(conversation: Row) -> int:
    return sum(len(m["content"]) for m in conversation["messages"] if m["role"] == "user")


def run_pilot(
    model: Prepared, settings: PilotSettings, prompts: Sequence[Path], work: Path, folder: Path
) -> PilotReport:
    """Answer a sample and judge it; writes ``report.json``, ``report.md`` and ``responses.parquet``.

    Args:
        model: made ready.
        settings: how many conversations, and the gates.
        prompts: shards to draw the sample from.
        work: folder of the pilot's chunks.
        folder: ``results/{study}/pilot/{model}``.

    Raises:
        DataError: the shards hold no conversation.
    """
    pool = [c for path in prompts for c in read_shard(path, model.spec.origins).to_dicts()]
    chosen = sample(pool, settings.conversations, model.spec.seed)
    if not chosen:
        raise DataError(f"{', '.join(map(str, prompts))}: no conversation to try the models on")
    rows, _ = respond(model, chosen, work)
    report = judge(model, rows, settings.gates)
    write_table(folder / "responses.parquet", rows, RESPONSES, provenance(prompts, recipe=model.digest))
    write_report(report, folder)
    return report


def judge(model: Prepared, frame: pl.DataFrame, gates: Gates) -> PilotReport:
    """Hold the sample's rows against the gates."""
    rows = frame.to_dicts()
    answered = [r for r in rows if r["response"] is not None]
    languages = {
        id(r): (language(r["prompt"]) or language_code(r["language"]), r["response_language"])
        for r in answered
    }
    tellable = [r for r in answered if None not in languages[id(r)]]
    checks: list[tuple[str, str, list[Row], Callable[[Row], str | None]]] = [
        ("failed", "rows without an answer", rows, lambda r: r["failure"]),
        (
            "empty",
            "answers without text",
            rows,
            lambda r: r["failure"] if reason_of(r["failure"] or "") == "empty" else None,
        ),
        (
            "unfinished",
            "answers cut off by the output limit",
            answered,
            lambda r: f"{r['output_tokens']} tokens" if r["finish_reason"] == "length" else None,
        ),
        (
            "truncated",
            "prompts cut or skipped",
            rows,
            lambda r: r["truncation"] if r["truncation"] != "none" else None,
        ),
        (
            "repetitive",
            f"answers with {gates.repetition:.0%} or more of their 4-grams repeated",
            answered,
            lambda r: f"repetition {r['repetition']:.2f}" if r["repetition"] >= gates.repetition else None,
        ),
        (
            "garbled",
            f"answers with {gates.garbage:.0%} or more characters that are no text",
            answered,
            lambda r: f"garbled {r['garbled']:.2f}" if r["garbled"] >= gates.garbage else None,
        ),
        (
            "wrong_language",
            "answers in another language than the prompt",
            tellable,
            lambda r: (
                "{} for {}".format(*reversed(languages[id(r)])) if disagree(*languages[id(r)]) else None
            ),
        ),
    ]
    judged = [gate(name, what, at, getattr(gates, name), why) for name, what, at, why in checks]
    problems = _template_problems(model.chat, model.spec.system, answered)
    temperature = model.identity["sampling"]["temperature"]
    warnings = []
    if not COOL <= temperature <= HOT:
        warnings.append(
            f"the temperature is {temperature}: below {COOL} answers become repetitive, above {HOT} "
            "incoherent (paper, appendix F)"
        )
    return PilotReport(
        study=model.spec.study,
        model=model.spec.model,
        recipe=model.digest,
        passed=not problems and all(g.passed for g in judged),
        conversations=frame["conversation_id"].n_unique(),
        rows=len(rows),
        template_problems=problems,
        warnings=warnings,
        gates=judged,
        profile=profile(answered, model.sizes[2]),
        settings=model.identity,
    )


def _template_problems(chat: Chat | None, system: str | None, answered: list[Row]) -> list[str]:
    problems = chat.problems(system) if chat else []
    if len(answered) >= ENOUGH and not any(r["finish_reason"] == "stop" for r in answered):
        problems.append(
            "no answer ended with an end token; all ran into the output limit "
            "(the wrong end token, or a base model?)"
        )
    return problems


def profile(answered: list[Row], max_output: int) -> dict[str, Any]:
    """What the model's answers are like: for comparison between models before the full cost is spent.

    ``longest_answer_characters`` calibrates the output limit: tokenizers differ, so the same number of tokens
    is a different length of text for each model.
    """
    if not answered:
        return {}
    texts = [r["response"] for r in answered]
    tokens = sum(r["output_tokens"] or 0 for r in answered)
    per_token = sum(map(len, texts)) / tokens if tokens else None
    spoken = Counter(r["response_language"] or "too short to tell" for r in answered)
    return {
        "characters_mean": round(mean(map(len, texts)), 1),
        "characters_median": median(map(len, texts)),
        "characters_per_token": round(per_token, 3) if per_token else None,
        "longest_answer_tokens": max_output,
        "longest_answer_characters": round(per_token * max_output) if per_token else None,
        "distinct_answers": round(len(set(texts)) / len(texts), 4),
        "share_with": {name: round(mean(bool(p.search(t)) for t in texts), 4) for name, p in _STYLES.items()},
        "languages": dict(sorted(spoken.items(), key=lambda item: (-item[1], item[0]))),
    }

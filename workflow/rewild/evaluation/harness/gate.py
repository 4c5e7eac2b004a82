"""After the harness: what each question must contain, read from the prompts as they were logged.

lm-eval, a backend and a template are three programs that may each leave something out and go on. A prompt
without its task's instructions still gives an answer, and a score that looks like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rewild.core.errors import DataError

Tokens = Callable[[str], list[int]]


def texts_of(sample: Mapping[str, Any]) -> list[str]:
    """The prompts of one logged question: one, or one per choice."""
    return [str(text) for text in sample.get("prompts") or [sample["prompt"]]]


def check_prompts(
    benchmark: str,
    samples: Iterable[Mapping[str, Any]],
    instructions: Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]],
    dates: Iterable[str] = (),
    bos: Callable[[str], str | None] = lambda _: None,
) -> None:
    """Refuse a benchmark whose prompts are not what the study says.

    Args:
        benchmark: for messages.
        samples: rows as they are kept.
        instructions: what one question must contain, as ``(what it is, text)``; texts are compared without
            the space around them, which templates cut.
        dates: one of these must be in every prompt; none asks for nothing.
        bos: what is wrong with a prompt's BOS tokens, or None.

    Raises:
        DataError: a prompt lacks something; it names the benchmark, what is missing, in how many prompts, and
            the first of them.
    """
    asked = 0
    missing: dict[str, list[str]] = {}
    known = list(dates)
    for sample in samples:
        wanted = [(what, text.strip()) for what, text in instructions(sample) if text.strip()]
        for text in texts_of(sample):
            asked += 1
            where = f"{sample['task']}, question {sample['doc_id']}"
            lost = [what for what, part in wanted if part not in text]
            if known and not any(date in text for date in known):
                lost.append(f"the fixed date ({', '.join(known)})")
            if (wrong := bos(text)) is not None:
                lost.append(wrong)
            for what in lost:
                missing.setdefault(what, []).append(where)
    if missing:
        said = "; ".join(
            f"{what}: in {len(places)} of {asked} prompts, first in {places[0]}"
            for what, places in missing.items()
        )
        raise DataError(
            f"benchmark {benchmark}: prompts lack what they must contain. {said}. Nothing was scored: look "
            "at the model's chat template"
        )


def one_bos(text: str, tokens: Tokens, bos_id: int | None, bos_text: str | None, adds: bool) -> str | None:
    """What is wrong with a prompt's BOS, or None.

    Args:
        text: the prompt.
        tokens: what the backend makes of it.
        bos_id, bos_text: the tokenizer's BOS; None if it has none.
        adds: whether the tokenizer puts one before a text of its own accord.
    """
    if bos_id is None or not bos_text:
        return None
    written = text.count(bos_text)  # Llama 2 begins every turn with one
    wanted = max(written, 1 if adds else 0)
    found = tokens(text).count(bos_id)
    if found == wanted:
        return None
    return f"one BOS token ({bos_text} stands there {found} times instead of {wanted})"

"""Filters of a mix over measures: what they read, and what the card says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rewild.config.measures import Measure
from rewild.config.measures.conditions import reasons_of
from rewild.config.mixes import Mix, Source, subject_of
from rewild.core.measures import about_measure
from rewild.prompts.filters import Step


def digests(
    mix: Mix, source: Source, measures: Mapping[str, Measure], files: Sequence[Path]
) -> dict[str, str]:
    """Measure → digest of its settings, of those that a source is filtered by."""
    wanted = {
        (c.measure, subject_of(measures[c.measure], source)) for c in (source.filters or mix.filters).measures
    }
    said = [about_measure(file) for file in files] if wanted else []
    return {a["measure"]: a["digest"] for a in said if (a["measure"], a["subject"]) in wanted}


def kept(
    mix: Mix, measures: Mapping[str, Measure], outcomes: Mapping[str, Mapping[str, int]]
) -> dict[str, list[dict[str, Any]]]:
    """For the card: source → each condition in its order, and how many conversations it kept.

    Args:
        mix: the row.
        measures: the study's.
        outcomes: source → outcome → conversations (:func:`rewild.training.mixes.build.build`).
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for source in mix.sources:
        conditions = (source.filters or mix.filters).measures
        if not conditions:
            continue
        said = dict(outcomes[source.label])
        names = reasons_of(conditions, measures)
        counts = [[said.pop(reason, 0) for reason in both] for both in names]
        left = said["drawn"] + said["not_drawn"] + sum(map(sum, counts))
        found[source.label] = []
        for (sentence, _), (unmet, missing) in zip(names, counts, strict=True):
            left -= unmet + missing
            step = Step(sentence, missing=missing, dropped=unmet + missing, kept=left)
            found[source.label].append(asdict(step))
    return found

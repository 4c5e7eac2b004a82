"""Datasets of the Hugging Face hub as they are, streamed to one local Parquet file each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rewild.config.mixes import FromHub
from rewild.prompts.hub import stream_dataset, whole


def fetch(source: FromHub, path: Path, say: Callable[[str], None] = lambda line: None) -> None:
    """Stream a source's dataset to ``path``; see :func:`rewild.prompts.hub.stream_dataset`."""
    stream_dataset(
        source.repository,
        path,
        revision=source.revision,
        split=source.split,
        narrow=whole,
        subset=None if source.subset == "default" else source.subset,
        say=lambda line: say(f"{source.label}: {line}"),
    )

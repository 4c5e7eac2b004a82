"""What a shard of prompts that a model wrote measured, invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rewild.core.files import write_json
from rewild.generation.spec import digest_of
from rewild.prompts.synthesis.schema import Measured

WRITES: dict[str, Any] = {"model": "tiny", "synthesis": {"source": "air"}}


def write_measured(
    samples: Path, identity: dict[str, Any] = WRITES, step: int = 0, gpus: int = 2, rows: int = 100
) -> None:
    """The measurement beside a shard: 300 s of loading, 1,500 s of writing 70 tokens after reading 30."""
    about = Measured(
        study="s", model=identity["model"], shard=samples.stem, engine="vllm", engine_arguments={},
        sampling={}, context=400, parameters=8.0, gpus=gpus, conversations=rows, rows=rows,
        failures=rows // 10,
        input_tokens=30, output_tokens=70, load_seconds=300.0, generate_seconds=1500.0, prefill_seconds=None,
        decode_seconds=None, peak_memory=None, tokens_per_second=None, seconds_per_1000_conversations=None,
        input_output_ratio=None, prefill_decode_ratio=None, versions={}, hardware={},
        source="air", step=step, recipe=digest_of(identity), identity=identity,
    )  # fmt: skip
    write_json(samples.with_suffix(".json"), about.model_dump())

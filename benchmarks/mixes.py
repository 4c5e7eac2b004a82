"""Time and memory of a mix: responses of two models are made up, and a blend is drawn from them.

    PYTHONPATH=workflow python benchmarks/mixes.py --conversations 1000000 --shards 64 --words 60

Prints what was made, the seconds of each step and the highest memory of this process.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "workflow"))

from rewild.config.base import validate
from rewild.config.mixes import Mix
from rewild.core.files import sha256, write_json
from rewild.generation.schema import RESPONSES, Manifest, ShardCount
from rewild.training.mixes.build import build
from rewild.training.mixes.card import measure
from rewild.training.mixes.read import Place

TURNS = 2
VOCABULARY = [f"word{i}" for i in range(5000)]


def write_model(folder: Path, model: str, conversations: int, shards: int, words: int) -> int:
    """Write a model's shards and manifest; returns bytes of text."""
    folder.mkdir(parents=True)
    counts, text, rng = [], 0, np.random.default_rng(len(model))
    long = " ".join(rng.choice(VOCABULARY, 200_000))
    for shard in range(shards):
        ids = np.arange(shard * conversations // shards, (shard + 1) * conversations // shards)
        rows = np.repeat(ids, TURNS)
        starts = rng.integers(0, len(long) - 20 * words, len(rows))
        lengths = rng.integers(2 * words, 12 * words, len(rows))
        answers = [long[a : a + n].strip() or "none" for a, n in zip(starts, lengths, strict=True)]
        frame = pl.DataFrame(
            {
                "conversation_id": [f"{i * 16769023 % 2**64:016x}" for i in rows.tolist()],
                "turn": np.tile(np.arange(TURNS), len(ids)),
                "response": answers,
            }
        ).with_columns(
            prompt=pl.lit("What do you say to ") + pl.col("conversation_id"),
            model=pl.lit(model),
            language=pl.lit("English"),
            finish_reason=pl.lit("stop"),
        )
        missing = {c: pl.lit(None, dtype=t) for c, t in RESPONSES.dtypes.items() if c not in frame.columns}
        path = folder / f"{shard:04d}.parquet"
        frame.with_columns(**missing).select(
            pl.col(c).cast(t) for c, t in RESPONSES.dtypes.items()
        ).write_parquet(path, compression="zstd")
        text += int(frame["response"].str.len_bytes().sum() + frame["prompt"].str.len_bytes().sum())
        counts.append(
            ShardCount(
                shard=f"{shard:04d}",
                sha256=sha256(path),
                conversations=len(ids),
                rows=len(rows),
                failures=0,
                input_tokens=0,
                output_tokens=0,
            )
        )
    manifest = Manifest(
        study="s",
        model=model,
        engine="made up",
        history="reference",
        recipe="0" * 16,
        identity={},
        conversations=conversations,
        rows=conversations * TURNS,
        failures=0,
        failures_by_reason={},
        input_tokens=0,
        output_tokens=0,
        shards=counts,
    )
    write_json(folder / "manifest.json", manifest.model_dump())
    return text


def main() -> None:
    """Make responses, draw a mix of one model and a blend of two, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--words", type=int, default=60, help="mean answer, in words of eight letters")
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="rewild-mixes-"))
    try:
        results = root / "results/s"
        models = ("model-a", "other-model")
        text = [
            write_model(results / "responses" / m, m, given.conversations, given.shards, given.words)
            for m in models
        ]
        print(
            f"{given.conversations:,} conversations of {TURNS} turns, {text[0] / 1e9:.2f} GB of text a model"
        )
        sources = [{"kind": "responses", "model": m} for m in models]
        for name, row in (
            ("half of one model's", {"size": given.conversations // 2, "sources": sources[:1]}),
            ("all, a blend of two", {"size": given.conversations, "sources": sources}),
        ):
            folder = results / "mixes" / "m"
            started = time.perf_counter()
            build("m", validate(Mix, row, "mix"), Place(root, results), folder, study="s", seed=1)
            built = time.perf_counter()
            measure(folder / "train.parquet", None)
            size = (folder / "train.parquet").stat().st_size
            print(
                f"{name}: built in {built - started:.1f} s, counted in {time.perf_counter() - built:.1f} s, "
                f"{size / 1e6:,.0f} MB"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"highest memory of the process: {peak / 1e6:.2f} GB")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()

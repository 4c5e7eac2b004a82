"""How long conditions on measures take, of conversations with one turn and measures in shards.

python benchmarks/filters.py --rows 1000000 --shards 48
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from rewild.config.base import validate
from rewild.config.measures.conditions import Condition
from rewild.config.measures.models import Reward
from rewild.config.measures.text import Length
from rewild.core.measures import contract
from rewild.core.table import write_table
from rewild.prompts.filters import apply_conditions

CONDITIONS = [
    {"measure": "words", "at_least": 5},
    {"measure": "reward", "at_least": -12},
    {"measure": "reward", "quantile": {"upper": 0.5}},
    {"measure": "words", "top": 100_000, "over": "total"},
]


def main() -> None:
    """Write the measures, apply the conditions, print seconds and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=48)
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    ids = pl.Series([f"{i:016x}" for i in np.sort(rng.integers(0, 2**63, given.rows)).tolist()])
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, form, values in (
            ("words", "integer", rng.integers(1, 900, given.rows)),
            ("reward", "number", rng.normal(-5, 6, given.rows)),
        ):
            schema = contract({name: (form, "")})
            keys = {"conversation_id": ids, "turn": 0, "sample": 0}
            frame = pl.DataFrame({**keys, name: values, "failure": None})
            said = {"settings": {"measure": name, "subject": "m", "digest": "d"}}
            for shard, part in enumerate(frame.iter_slices(-(-given.rows // given.shards))):
                files.append(Path(folder) / f"{name}-{shard:04d}.parquet")
                write_table(files[-1], part.cast(schema.dtypes), schema, said)
        measures = {
            "words": validate(Length, {"kind": "length"}, "words"),
            "reward": validate(Reward, {"kind": "reward", "model": "o/n"}, "reward"),
        }
        before = resource.getrusage(resource.RUSAGE_SELF)
        start = time.perf_counter()
        found = apply_conditions(
            pl.DataFrame({"id": ids, "n_turns": 1}),
            [validate(Condition, one, "condition") for one in CONDITIONS],
            measures=measures,
            files=files,
            subject_of=lambda measure: "m",
            where="benchmark",
        )
        took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    for step in found.steps:
        print(f"{step.condition}: {step.kept:,} left")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{given.rows:,} rows: {took:.1f} s, {cpu:.1f} CPU s, at most {after.ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    main()

"""How fast prompts are prepared, in how much memory, and how that compares with `datasets`.

Makes conversations in the schema of WildChat, prepares them with `rewild` at three sizes, and does the same
steps with `datasets` map and filter at the largest. Both use the same files and the same number of processes,
and must keep the same conversations.

The limit is polars with as many threads. It reads the same columns, takes the checksums of the same files,
hashes the same texts, and writes the rows that ours kept, sorted, into as many files. It is told which, and
decides nothing. Ours and the limit take turns; the median of each counts.

    pip install datasets psutil            # in an environment that has rewild
    python benchmarks/prepare.py           # a million conversations
    python benchmarks/prepare.py --rows 200000 --rounds 5 --skip-datasets
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import file_digest, sha256
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

PART = 50_000
LANGUAGES = {"English": 55, "Chinese": 14, "Russian": 11, "French": 5, "Spanish": 5, "German": 4, "Arabic": 3}
LANGUAGES["Portuguese"] = 3
ALPHABETS = {
    "Chinese": [chr(c) for c in range(0x4E00, 0x4E00 + 2500)],
    "Russian": [chr(c) for c in range(0x430, 0x450)],
    "Arabic": [chr(c) for c in range(0x627, 0x64A)],
}
KEPT = ["English", "French", "Spanish", "German", "Portuguese", "Chinese"]
SHARDS = 64
WORDS = 13
SETTINGS: dict[str, Any] = {
    "sources": [{"kind": "wildchat-file", "files": []}],
    "languages": KEPT,
    "turns": {"min": 1, "max": 8},
    "characters": {"min": 1, "max": 20_000},
    "contamination": {"words": WORDS, "files": []},
    "shards": SHARDS,
}


# Synthetic conversations


def sentences(language: str, random: random.Random, number: int) -> list[str]:
    """Sentences of invented words, their lengths and frequencies roughly as in natural text."""
    letters = ALPHABETS.get(language, list("abcdefghijklmnopqrstuvwxyz"))
    gap = "" if language == "Chinese" else " "
    sizes = (1, 2, 2, 3) if language == "Chinese" else (2, 3, 3, 4, 4, 5, 6, 7, 8, 10)
    words = ["".join(random.choices(letters, k=random.choice(sizes))) for _ in range(20_000)]
    weights = [1 / (i + 3) for i in range(len(words))]
    flat = random.choices(words, weights, k=number * 12)
    made = (gap.join(flat[i * 12 : i * 12 + random.randint(4, 12)]) for i in range(number))
    return [f"{s[:1].upper()}{s[1:]}{random.choice(['.', '.', ',', '?', '…'])}" for s in made]


def benchmark_items(number: int = 20_000) -> list[str]:
    """The questions of an invented benchmark."""
    rng = random.Random(1)
    pool = sentences("English", rng, 30_000)
    return [f"Question {i}: " + " ".join(rng.sample(pool, 4)) for i in range(number)]


def make_part(folder: Path, part: int) -> None:
    """Write one file of :data:`PART` conversations."""
    rng = random.Random(f"part {part}")
    pools = {language: sentences(language, rng, 20_000) for language in LANGUAGES}
    items = benchmark_items()
    common = [f"Common question {i}: {pools['English'][i]}" for i in range(2_000)]
    names = rng.choices(list(LANGUAGES), list(LANGUAGES.values()), k=PART)
    rows = [
        make_row(part * PART + i, name, pools[name], (common, items), rng) for i, name in enumerate(names)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / f"part-{part:03d}.parquet", row_group_size=10_000)


def make_row(
    number: int, language: str, pool: list[str], special: tuple[list[str], list[str]], rng: random.Random
) -> dict[str, Any]:
    """One conversation: 2.2 user turns on average, lengths spread as widely as real ones."""
    common, items = special
    turns = min(1 + int(rng.expovariate(0.8)), 20)
    toxic, redacted = rng.random() < 0.06, rng.random() < 0.01
    messages = []
    for turn in range(turns):
        question = " ".join(rng.choices(pool, k=1 + int(rng.lognormvariate(0.8, 1.1))))
        messages += [
            ("user", question),
            ("assistant", " ".join(rng.choices(pool, k=1 + int(rng.lognormvariate(2, 0.8))))),
        ]
        if turn == 0 and rng.random() < 0.05:
            messages[0] = ("user", rng.choice(common))
    if rng.random() < 0.003:
        messages[-2] = ("user", f"Please answer this: {rng.choice(items).upper()} Thanks")
    if rng.random() < 0.002:
        messages.pop(0)
    about = {
        "language": language,
        "toxic": toxic,
        "redacted": redacted,
        "country": "France",
        "hashed_ip": "0" * 64,
    }
    return {
        "conversation_hash": f"{number:032x}",
        "model": "gpt-3.5-turbo-0301",
        "timestamp": datetime(2023, 4, 9, tzinfo=UTC) + timedelta(seconds=30 * number),
        "conversation": [{"role": r, "content": c, "turn_identifier": number, **about} for r, c in messages],
        "turn": turns,
        "language": language,
        "openai_moderation": [
            {"flagged": toxic, "category_scores": {"hate": 0.1, "violence": 0.2}} for _ in messages
        ],
        "toxic": toxic,
        "redacted": redacted,
    }


def make_data(folder: Path, rows: int) -> None:
    """Make what is missing of the data."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.jsonl").write_text(
        "".join(json.dumps({"prompt": t}) + "\n" for t in benchmark_items())
    )
    missing = [p for p in range(rows // PART) if not (folder / f"part-{p:03d}.parquet").exists()]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        pool.starmap(make_part, [(folder, part) for part in missing])


# The two ways


def with_rewild(files: list[str], benchmark: str, out: Path, processes: int) -> None:
    """Prepare with this package."""
    from rewild.config.base import validate
    from rewild.config.prompts import Prompts
    from rewild.prompts.prepare import prepare

    settings = json.loads(json.dumps(SETTINGS))
    settings["sources"][0]["files"] = files
    settings["contamination"]["files"] = [benchmark]
    prepare("benchmark", validate(Prompts, settings, "benchmark"), out, cores=processes)


PARTS = {
    "rewild.prompts.prepare": {"load_benchmarks": "index of the benchmark", "choose": "duplicates"}
    | {"_checksum": "checksums of the files"},
    "rewild.prompts.passes": {"read": "reading", "examine": "checks, counts and hashes of texts"}
    | {"_filter": "filters and comparison with the benchmark", "_gather": "gathering shards"}
    | {"_finish": "gathering shards", "_write": "writing"},
}


def where(files: list[str], benchmark: str, out: Path) -> dict[str, float]:
    """Seconds of the processor that each part of ours takes, in one process with one thread."""
    started = time.process_time()
    spent: dict[str, float] = dict.fromkeys(
        dict.fromkeys(p for part in PARTS.values() for p in part.values()), 0
    )

    def timed(function: Any, part: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            before = time.process_time()
            found = function(*given, **named)
            spent[part] += time.process_time() - before
            return each(found, part) if isinstance(found, Iterator) else found

        return call

    def each(items: Iterator[Any], part: str) -> Iterator[Any]:
        while True:
            before = time.process_time()
            item = next(items, None)
            spent[part] += time.process_time() - before
            if item is None:
                return
            yield item

    for name, functions in PARTS.items():
        module = import_module(name)
        for function, part in functions.items():
            setattr(module, function, timed(getattr(module, function), part))
    loaded = time.process_time()
    with_rewild(files, benchmark, out, 1)
    rest = time.process_time() - loaded - sum(spent.values())
    return {"starting": loaded - started, **spent, "laying aside by shard, and the rest": rest}


def with_datasets(files: list[str], benchmark: str, out: Path, processes: int) -> None:
    """The same steps in `datasets`: a function of one row per step, over several processes."""
    import datasets

    datasets.disable_progress_bars()
    columns = ["conversation_hash", "conversation", "language", "openai_moderation", "toxic", "redacted"]
    data = datasets.load_dataset(
        "parquet", data_files=files, split="train", columns=columns, cache_dir=str(out / "cache")
    )
    runs: set[str] = set()
    for line in Path(benchmark).read_text().splitlines():
        runs |= set(word_runs(json.loads(line)["prompt"]))
    data = data.filter(well_formed, input_columns="conversation", num_proc=processes)
    data = data.filter(
        wanted, input_columns=["language", "toxic", "openai_moderation", "redacted"], num_proc=processes
    )
    data = data.map(
        describe,
        remove_columns=["openai_moderation", "conversation", "toxic", "redacted", "conversation_hash"],
        num_proc=processes,
    )
    data = data.filter(sized, input_columns=["n_turns", "characters"], num_proc=processes)
    data = data.filter(clean, input_columns="messages", fn_kwargs={"runs": runs}, num_proc=processes)
    seen: set[str] = set()
    data = data.filter(lambda first: not (first in seen or seen.add(first)), input_columns="first")
    data = data.sort("conversation_id").remove_columns(["first", "characters"])
    ids = data["conversation_id"]
    shards = [int(i[:8], 16) * SHARDS >> 32 for i in ids]
    (out / "shards").mkdir(parents=True)
    position = 0
    for shard in range(SHARDS):
        rows = shards.count(shard)
        data.select(range(position, position + rows)).to_parquet(out / "shards" / f"{shard:04d}.parquet")
        position += rows


def with_polars(files: list[str], benchmark: str, out: Path, processes: int) -> None:
    """Read, hash and write the bytes that ours reads, hashes and writes, and nothing else."""
    from concurrent.futures import ThreadPoolExecutor

    import polars as pl

    def checksum(file: str) -> str:
        with Path(file).open("rb") as opened:
            return file_digest(opened, "sha256").hexdigest()

    assert pl.thread_pool_size() == processes
    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(checksum, files))
    kept = pl.read_parquet(last_of_ours(out), columns=["source_id", "conversation_id", "shard"])
    message = pl.element().struct
    rows = (
        pl.scan_parquet(files)
        .select(
            pl.col("conversation_hash").alias("source_id"),
            "language",
            "toxic",
            "redacted",
            "timestamp",
            pl.col("conversation").list.eval(pl.struct(message.field("role"), message.field("content"))),
            pl.col("openai_moderation").list.eval(message.field("flagged")),
            pl.col("conversation").list.eval(message.field("content").hash()).alias("hashes"),
        )
        .collect()
    )
    assert rows["hashes"].explode().n_unique() > 1
    rows = rows.join(kept, on="source_id").sort("conversation_id")
    (out / "shards").mkdir(parents=True)
    for (shard,), part in rows.partition_by("shard", as_dict=True, maintain_order=True).items():
        written = part.select(
            "conversation_id",
            pl.lit("wildchat").alias("source"),
            "source_id",
            "shard",
            "language",
            pl.col("conversation").list.len().cast(pl.Int16).alias("n_turns"),
            pl.col("conversation").alias("messages"),
            pl.lit([], pl.List(pl.String)).alias("tags"),
        )
        written.write_parquet(
            out / "shards" / f"{shard}.parquet", compression="zstd", compression_level=1, row_group_size=4096
        )


def last_of_ours(out: Path) -> str:
    """What ours wrote last, beside another way's results."""
    return str(out.parent / "out-rewild" / "shards" / "*.parquet")


def well_formed(conversation: list[dict[str, Any]]) -> bool:
    roles = [m["role"] for m in conversation]
    return bool(roles) and all(r == ("user", "assistant")[i % 2] for i, r in enumerate(roles))


def wanted(language: str, toxic: bool, moderation: list[dict[str, Any]], redacted: bool) -> bool:
    return language in KEPT and not toxic and not redacted and not any(m["flagged"] for m in moderation)


def describe(row: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": m["role"], "content": m["content"]} for m in row["conversation"]]
    turns = [m["content"] for m in messages if m["role"] == "user"]
    tags = ["code"] if any("```" in t for t in turns) else []
    return {
        "conversation_id": identity(turns),
        "source": "wildchat",
        "source_id": row["conversation_hash"],
        "n_turns": len(turns),
        "characters": sum(len(t.strip()) for t in turns),
        "messages": messages,
        "tags": tags,
        "first": identity(turns[:1]),
    }


def identity(turns: list[str]) -> str:
    text = b"".join(b"%d:%s," % (len(t), t) for t in (turn.encode() for turn in turns))
    return sha256(text).hexdigest()[:16]


def sized(n_turns: int, characters: int) -> bool:
    return n_turns <= 8 and 1 <= characters <= 20_000


def clean(messages: list[dict[str, str]], runs: set[str]) -> bool:
    return not any(runs.intersection(word_runs(m["content"])) for m in messages if m["role"] == "user")


@cache
def separators() -> dict[int, str]:
    return {c: " " for c in range(0x110000) if unicodedata.category(chr(c))[0] not in "LMN"}


def word_runs(text: str) -> list[str]:
    words = text.lower().translate(separators()).split()
    return [" ".join(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1)]


# Measuring


def measure(
    way: str, files: list[str], benchmark: Path, out: Path, processes: int
) -> tuple[float, float, float]:
    """Seconds by the clock and of the processors, and peak GB resident in all its processes together."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, "--only", way, "--out", str(out), "--processes", str(processes)]
    used, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"POLARS_MAX_THREADS": str(processes)} if way == "polars" else None
    command += ["--benchmark", str(benchmark), "--files", *files]
    with subprocess.Popen(command, env=environment) as process:
        peak = [0]
        watcher = threading.Thread(target=watch, args=(process.pid, peak), daemon=True)
        watcher.start()
        if process.wait():
            raise SystemExit(f"{way} failed")
    seconds, now = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return seconds, processor, peak[0] / 1e9


def watch(pid: int, peak: list[int]) -> None:
    try:
        root = psutil.Process(pid)
        while root.is_running():
            total = 0
            for process in [root, *root.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total)
            time.sleep(0.1)
    except psutil.Error:
        return


def kept(out: Path) -> list[str]:
    """The ids of what was kept, in order."""
    files = sorted((out / "shards").glob("*.parquet"))
    return [i for f in files for i in pq.read_table(f, columns=["conversation_id"])[0].to_pylist()]


def bytes_in(out: Path) -> int:
    """Bytes of all shards."""
    return sum(file.stat().st_size for file in (out / "shards").glob("*.parquet"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help=f"a multiple of {10 * PART // 5:,}")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(".cache/benchmark-prepare"))
    parser.add_argument(
        "--rounds", type=int, default=3, help="turns of ours and of the limit, at the largest"
    )
    parser.add_argument("--skip-datasets", action="store_true")
    parser.add_argument("--where", action="store_true", help="only say where our time goes, in one process")
    for hidden in ("--only", "--benchmark"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--files", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        ways = {"rewild": with_rewild, "polars": with_polars, "datasets": with_datasets}
        ways[options.only](options.files, options.benchmark, options.out, options.processes)
        return

    folder = options.folder.resolve()
    sizes = sorted({max(PART, options.rows * share // 10 // PART * PART) for share in (1, 3, 10)})
    make_data(folder, sizes[-1])
    files = [str(folder / f"part-{p:03d}.parquet") for p in range(sizes[-1] // PART)]
    size = sum(Path(file).stat().st_size for file in files) / 1e9
    if options.where:
        shutil.rmtree(folder / "out-where", ignore_errors=True)
        parts = where(files, str(folder / "benchmark.jsonl"), folder / "out-where")
        total = sum(parts.values())
        for part, seconds in parts.items():
            print(
                f"{part:42} {seconds:6.2f} s {seconds / sizes[-1] * 1e6:6.1f} µs/row {seconds / total:6.1%}"
            )
        return
    print(f"{options.processes} processes, {SHARDS} shards, {size:.2f} GB of Parquet")
    print(f"{'':10} {'rows':>10} {'seconds':>9} {'rows/s':>9} {'CPU s':>7} {'CPU µs/row':>11} {'peak GB':>8}")

    def show(way: str, rows: int) -> tuple[float, float]:
        out, part = folder / f"out-{way}", files[: rows // PART]
        seconds, processor, memory = measure(way, part, folder / "benchmark.jsonl", out, options.processes)
        print(
            f"{way:10} {rows:10,} {seconds:9.1f} {rows / seconds:9,.0f} {processor:7.1f} "
            f"{processor / rows * 1e6:11.1f} {memory:8.2f}",
            flush=True,
        )
        return seconds, processor

    for rows in sizes[:-1]:
        show("rewild", rows)
    turns = [(show("rewild", sizes[-1]), show("polars", sizes[-1])) for _ in range(options.rounds)]
    ours, limit = (tuple(median(way[i] for way in ways) for i in (0, 1)) for ways in zip(*turns, strict=True))
    print(
        f"{ours[0] / limit[0]:.2f} times the limit by the clock, {ours[1] / limit[1]:.2f} by processor time; "
        f"it wrote {bytes_in(folder / 'out-polars') / bytes_in(folder / 'out-rewild'):.2f} of our bytes"
    )
    ids = kept(folder / "out-rewild")
    assert ids == kept(folder / "out-polars")
    if not options.skip_datasets:
        theirs = show("datasets", sizes[-1])
        same = ids == kept(folder / "out-datasets")
        clock, processor = theirs[0] / ours[0], theirs[1] / ours[1]
        print(f"{clock:.1f} times as fast by the clock, {processor:.1f} by processor time")
        print(f"{len(ids):,} conversations kept, {'the same' if same else 'NOT the same'} by both")
        if not same:
            raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Similarity: the reference packages and ours, in one run, on the same texts.

    python benchmarks/similarity.py [--models 54] [--prompts 500] [--sample 10] [--wordnet PATH]

Real responses where the released files are (REWILD_MIRROR, or shared/mirror beside the checkout): those of
AlpacaEval to the same prompts, filled up with WildBench's (whose prompts are others; the work is the same).
Else made-up text.

Both sides are measured all in: ours starts Python, reads Parquet, tokenises, stems, looks synonyms up, scores
every pair in both directions and writes Parquet; the reference packages tokenise, stem and score pairs of
some prompts, as the released notebook calls them. CPU seconds of a process and its children.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ.setdefault(name, "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow"))
Scores = dict[tuple[int, int, int], dict[str, float]]
METRICS = ("rouge1", "rouge2", "rougeL", "meteor", "bleu")


def mirrored(folder: Path, models: int, prompts: int) -> list[list[str]] | None:
    """Per model, its responses; null where the released files are not."""
    answers: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("tatsu-lab/alpaca_eval/*/results/*/model_outputs.json")):
        answers[path.parent.name] = {
            x["instruction"]: x["output"] for x in json.loads(path.read_text("utf-8"))
        }
    for path in sorted(folder.glob("tatsu-lab/alpaca_eval/*/results/**/annotations.json")):
        name = path.relative_to(folder).parts[4]
        if name not in answers:  # judged answers of models whose outputs are not there
            rows = json.loads(path.read_text("utf-8"))
            answers[name] = {x["instruction"]: x["output_2"] for x in rows}
    if not answers:
        return None
    same = sorted(set.intersection(*(set(a) for a in answers.values())))
    columns = [[a[prompt] for prompt in same] for a in answers.values()]
    others = [
        [x["model_output"] for x in json.loads(path.read_text("utf-8"))]
        for path in sorted(folder.glob("allenai/WildBench/*/eval_results/*/score.v2/*/*.json"))
    ]
    columns += others
    columns += [c[500:] for c in others]  # the rest of WildBench, as if by further models
    long_enough = [c[:prompts] for c in columns if len(c) >= prompts]
    return long_enough[:models] if len(long_enough) >= models else None


def made_up(models: int, prompts: int) -> list[list[str]]:
    """Text with the word frequencies of a language; each model repeats part of what the prompt suggests."""
    chance = random.Random(50)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    endings = ["", "s", "ed", "ing", "er", "ation", ".", ",", "."]
    words = ["".join(chance.choices(syllables, k=chance.randint(1, 4))) for _ in range(20_000)]
    weights = [1 / (i + 3) for i in range(len(words))]
    columns: list[list[str]] = [[] for _ in range(models)]
    for _ in range(prompts):
        topic = chance.choices(words, weights, k=120)
        for column in columns:
            text = [
                (chance.choice(topic) if chance.random() < 0.5 else word) + chance.choice(endings)
                for word in chance.choices(words, weights, k=chance.randint(100, 400))
            ]
            column.append(" ".join(text))
    return columns


def reference(columns: list[list[str]], items: list[int], place: Path) -> tuple[float, Scores]:
    """CPU seconds per unordered pair, all five metrics, both directions where they differ; and the scores."""
    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from nltk.translate.meteor_score import meteor_score
    from rouge_score.rouge_scorer import RougeScorer

    from rewild.measures.similarity.wordnet import make_nltk_data

    with tempfile.TemporaryDirectory() as folder:
        make_nltk_data(place, Path(folder))
        nltk.data.path.insert(0, folder)
        wordnet = WordNetCorpusReader(nltk.data.find("corpora/wordnet", [folder]), None)
        rouge, smooth = (
            RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True),
            SmoothingFunction().method1,
        )
        chance = random.Random(50)
        scores: Scores = {}
        started = time.process_time()
        pairs = 0
        for item in items:
            # All pairs of a prompt would repeat the same texts more than a sample of pairs of many prompts.
            for a, b in [sorted(chance.sample(range(len(columns)), 2)) for _ in range(20)]:
                pairs += 1
                both = (columns[a][item], columns[b][item])
                found = {k: v.fmeasure for k, v in rouge.score(*both).items()}
                for h, r, x, y in ((a, b, *both), (b, a, *both[::-1])):
                    ours, theirs = x.split(), y.split()
                    scores[item, h, r] = found | {
                        "meteor": meteor_score([theirs], ours, wordnet=wordnet),
                        "bleu": sentence_bleu([theirs], ours, smoothing_function=smooth),
                    }
        return (time.process_time() - started) / pairs, scores


def ours(paths: list[Path], out: Path, place: Path, processes: int, more: list[str]) -> dict[str, float]:
    """Run the command in a process of its own: CPU seconds, wall seconds, peak memory in MB."""
    command = [sys.executable, "-m", "rewild", "similarity", *map(str, paths), "--out", str(out)]
    command += ["--wordnet", str(place), "--processes", str(processes), *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment)
    _, status, usage = os.wait4(process.pid, 0)  # what this one used, its own workers included in time
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    wall = time.perf_counter() - started
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "memory": usage.ru_maxrss / 1000}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=54)
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument(
        "--sample", type=int, default=10, help="prompts the reference packages score 20 pairs of"
    )
    parser.add_argument("--wordnet", type=Path)
    arguments = parser.parse_args()

    import polars as pl

    from rewild.measures.similarity.wordnet import find

    place = find(arguments.wordnet)
    mirror = Path(os.environ.get("REWILD_MIRROR") or ROOT.parent / "shared/mirror")
    columns = mirrored(mirror, arguments.models, arguments.prompts)
    kind = "real responses" if columns else "made-up text"
    columns = columns or made_up(arguments.models, arguments.prompts)
    models, prompts = len(columns), len(columns[0])
    pairs = models * (models - 1) // 2 * prompts
    size = sum(len(t) for c in columns for t in c) / (models * prompts)
    print(f"{kind}: {models} models × {prompts} prompts, {size:.0f} characters each; {pairs:,} pairs")

    items = random.Random(50).sample(range(prompts), min(arguments.sample, prompts))
    per_pair, expected = reference(columns, items, place)
    done = len(expected) // 2
    print(
        f"reference packages: {per_pair * 1e3:.2f} ms per pair ({done} pairs, both directions, all metrics)"
    )

    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for m, texts in enumerate(columns):
            paths.append(Path(folder) / f"model-{m:02d}.parquet")
            pl.DataFrame(
                {
                    "conversation_id": [f"{i:016x}" for i in range(prompts)],
                    "turn": pl.Series([0] * prompts, dtype=pl.Int16),
                    "model": [f"model-{m:02d}"] * prompts,
                    "response": texts,
                }
            ).write_parquet(paths[-1])
        out = Path(folder) / "scores.parquet"
        runs = [
            ("one process", 1, []),
            ("two processes", 2, []),
            ("one process, with *_unicode", 1, ["--unicode"]),
        ]
        for name, processes, more in runs:
            found = ours(paths, out, place, processes, more)
            ratio = per_pair * pairs / found["cpu"]
            print(
                f"ours, {name}: {found['cpu']:.1f} s CPU, "
                f"{found['wall']:.1f} s wall, {found['memory']:.0f} MB; "
                f"{found['cpu'] / pairs * 1e3:.4f} ms per pair: {ratio:.0f} times cheaper"
            )
        scores = {
            (int(row["conversation_id"], 16), int(row["model"][6:]), int(row["reference"][6:])): row
            for row in pl.read_parquet(out)
            .filter(pl.col("conversation_id").is_in([f"{i:016x}" for i in items]))
            .iter_rows(named=True)
        }
        worst = max(abs(scores[k][m] - v[m]) for k, v in expected.items() for m in METRICS)
        print(f"largest difference from the reference packages: {worst:.1e} (files hold single precision)")


if __name__ == "__main__":
    main()

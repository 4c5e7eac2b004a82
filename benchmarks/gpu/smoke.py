"""What of the study `smoke` worked on this cluster; `make smoke` runs the study first.

    … python benchmarks/gpu/smoke.py              writes results/smoke/smoke.md; 1 if not all worked
    … python benchmarks/gpu/smoke.py --targets    the files that `make smoke` asks Snakemake for

A part has worked if its file is there and says that it was made as it was to be: on so many GPUs. It has
failed if the log of one of its jobs is there and the job's file is not. Else it has not run. Only files are
read, so it does not matter how the jobs ended.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu.common import SILENT, read_json, why, write_json

STUDY = Path("results/smoke")
LOGS = Path("logs/smoke")


@dataclass(frozen=True)
class Part:
    """One thing that a cluster must be able to do.

    Attributes:
        title: what it is.
        jobs: ``(file, log)`` of the jobs that lead to it, in their order; the last file is asked for.
        measured: pattern of the JSON with what it measured; the newest is read.
        verdict: from that JSON, what is wrong (or nothing), and what to show.
    """

    title: str
    jobs: tuple[tuple[Path, Path], ...]
    measured: str
    verdict: Callable[[dict[str, Any]], tuple[str, str]]

    @property
    def target(self) -> Path:
        """The file that is asked for."""
        return self.jobs[-1][0]


def on_gpus(count: int) -> Callable[[dict[str, Any]], tuple[str, str]]:
    """Whether a shard or pilot was answered by so many GPUs."""

    def look(found: dict[str, Any]) -> tuple[str, str]:
        arguments = found.get("engine_arguments") or found.get("arguments") or {}
        used = arguments.get("tensor_parallel_size")
        wrong = "" if used == count else f"it ran on {used} GPUs, not {count}"
        speed, load = found.get("tokens_per_second"), found.get("load_seconds")
        told = [f"{used} GPUs"]
        told += [f"{speed:,.0f} tokens/s"] if speed else []
        told += [f"{load:.0f} s to load"] if load else []
        return wrong, ", ".join(told)

    return look


def sharded(found: dict[str, Any]) -> tuple[str, str]:
    """Whether a training had four processes, and held its weights in fp32."""
    count, held = found.get("processes"), found.get("parameters") or {}
    wrong = "" if count == 4 else f"it had {count} processes, not 4"
    if not wrong and set(held) != {"float32"}:
        wrong = f"its weights were held in {', '.join(held) or 'nothing known'}"
    peak = (found.get("peak_memory") or 0) / 2**30
    return wrong, f"{count} processes, {found.get('steps')} steps, {peak:.1f} GiB a GPU at most"


def asked(found: dict[str, Any]) -> tuple[str, str]:
    """Whether vLLM answered a benchmark's questions."""
    engine = str(found.get("engine"))
    wrong = "" if engine.startswith("lm-eval vllm") else f"it was run by {engine}"
    return wrong, engine


PROMPTS = (STUDY / "prompts/shards/0000.parquet", LOGS / "prepare_prompts.log")


def answering(model: str, file: str) -> tuple[tuple[Path, Path], ...]:
    """The jobs from nothing to a model's file."""
    return (
        (Path(".envs/vllm/ready"), Path("logs/build_env/vllm.log")),
        (STUDY / f"models/{model}", LOGS / f"make_demo_model/{model}.log"),
        PROMPTS,
        (STUDY / f"pilot/{model}/report.json", LOGS / f"run_pilot/{model}.log"),
        (STUDY / f"pilot/{model}/passed", LOGS / f"check_pilot/{model}.log"),
        *([(STUDY / file, LOGS / f"answer_shard/{model}/0000.log")] if file else []),
    )


RUN = STUDY / "runs/smoke-tuned"
BENCHMARK = STUDY / "benchmarks/smoke-chat"
PARTS = (
    Part(
        "Tensor parallelism over 2 GPUs: a pilot",
        answering("smoke-chat", ""),
        "work/responses/smoke-chat/pilot/*/engine.json",
        on_gpus(2),
    ),
    Part(
        "One shard of answers",
        answering("smoke-chat", "responses/smoke-chat/0000.parquet"),
        "responses/smoke-chat/0000.json",
        on_gpus(2),
    ),
    Part(
        "The largest plan starts: 405 billion parameters in FP8 on 8 GPUs, weights of no meaning",
        answering("smoke-405b", ""),
        "work/responses/smoke-405b/pilot/*/engine.json",
        on_gpus(8),
    ),
    Part(
        "One run: FSDP over 4 GPUs",
        (
            (Path(".envs/axolotl/ready"), Path("logs/build_env/axolotl.log")),
            (Path("results/downloads/kernels/flash-attn2/kernel.json"), Path("logs/fetch/flash-attn2.log")),
            (STUDY / "models/smoke-base", LOGS / "make_demo_model/smoke-base.log"),
            PROMPTS,
            (STUDY / "mixes/smoke/train.parquet", LOGS / "make_mix/smoke.log"),
            (RUN / "preflight.json", LOGS / "preflight_run/smoke-tuned.log"),
            (RUN / "training.json", LOGS / "train_run/smoke-tuned.log"),
            (RUN / "postflight.json", LOGS / "postflight_run/smoke-tuned.log"),
            (RUN / "passed", LOGS / "check_run/smoke-tuned.log"),
        ),
        "runs/smoke-tuned/training.json",
        sharded,
    ),
    Part(
        "One benchmark, by lm-eval's vLLM backend",
        (
            (Path(".envs/lm-eval/ready"), Path("logs/build_env/lm-eval.log")),
            (STUDY / "models/smoke-chat", LOGS / "make_demo_model/smoke-chat.log"),
            (STUDY / "questions/demo_knowledge/test.jsonl", LOGS / "make_questions.log"),
            (BENCHMARK / "lm-eval.json", LOGS / "evaluate_run/smoke-chat.log"),
            (
                BENCHMARK / "demo-knowledge/scores.csv",
                LOGS / "score_benchmark/smoke-chat/demo-knowledge.log",
            ),
        ),
        "benchmarks/smoke-chat/demo-knowledge/results.json",
        asked,
    ),
)


def outcome(part: Part) -> dict[str, str]:
    """``verdict`` (PASS, FAIL, NOT RUN), ``why`` and ``log`` of a part."""
    row = {"part": part.title, "verdict": "PASS", "why": "", "log": str(part.jobs[-1][1])}
    if part.target.exists():
        records = sorted(STUDY.glob(part.measured), key=lambda path: path.stat().st_mtime)
        if not records:
            return row | {"verdict": "FAIL", "why": f"{STUDY / part.measured}: nothing says how it was made"}
        wrong, told = part.verdict(read_json(records[-1]) or {})
        return row | ({"verdict": "FAIL", "why": wrong, "log": str(records[-1])} if wrong else {"why": told})
    for file, log in reversed(part.jobs):
        if log.exists() and not file.exists():
            said = why(log)
            if said == SILENT:
                said = f"its log is empty: it was stopped from outside (logs/slurm/rule_{log.parts[-2]})"
            return row | {"verdict": "FAIL", "why": said, "log": str(log)}
    waits = next(file for file, _ in part.jobs if not file.exists())
    return row | {
        "verdict": "NOT RUN",
        "why": f"{waits} was not made, and no job for it has begun",
        "log": "",
    }


def report(rows: list[dict[str, str]]) -> str:
    """The rows as Markdown; what a log says is code in it."""
    lines = [
        "# Whether this cluster can run a study",
        "",
        "| | part | what it says | log |",
        "|---|---|---|---|",
    ]
    for row in rows:
        said = row["why"].replace("`", "'").replace("|", "¦")
        log = f"`{row['log']}`" if row["log"] else ""
        lines.append(f"| **{row['verdict']}** | {row['part']} | `{said}` | {log} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description="What of the study `smoke` worked")
    parser.add_argument("--targets", action="store_true", help="only print what Snakemake is to make")
    if parser.parse_args().targets:
        print(*(part.target for part in PARTS))
        return
    rows = [outcome(part) for part in PARTS]
    STUDY.mkdir(parents=True, exist_ok=True)
    write_json(STUDY / "smoke.json", rows)
    (STUDY / "smoke.md").write_text(report(rows), encoding="utf-8")
    for row in rows:
        print(f"{row['verdict']:8}{row['part']}: {row['why']} {row['log'] and '(' + row['log'] + ')'}")
    sys.exit(any(row["verdict"] != "PASS" for row in rows))


if __name__ == "__main__":
    main()

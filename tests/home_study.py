"""A made-up study's results, with what a page could stumble over: markup in names, failures, broken files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rewild.config.base import validate
from rewild.config.study import Study

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200"><rect width="300" height="200"/></svg>'
)
RATES = (
    *("decode_seconds", "peak_memory", "tokens_per_second", "seconds_per_1000_conversations"),
    *("input_output_ratio", "prefill_decode_ratio"),
)
VERSIONS = {"python": "3.11", "torch": "2.9"}
HARDWARE = {"machine": "x86_64", "gpu": "NVIDIA H100"}


def study(**more: Any) -> Study:
    """A study that answers prompts with two models and evaluates one."""
    given = {
        "name": "made-up",
        "title": f"Made up {HOSTILE}",
        "source": "computed",
        "prompts": {"sources": [{"kind": "demo"}]},
        "responses": {"models": ["qwen2-7b-instruct", "llama-3.1-8b-instruct"]},
    }
    return validate(Study, given | more, "made-up")


def measurement(gpus: int = 4, rows: int = 10, failures: int = 3) -> dict[str, Any]:
    """What a shard measured: 90 seconds of loading, an hour but these of work."""
    numbers = {"context": 4096, "parameters": 7.6, "gpus": gpus, "conversations": rows, "rows": rows}
    tokens = {"failures": failures, "input_tokens": 1_000, "output_tokens": 2_000}
    times = {"load_seconds": 90.0, "generate_seconds": 3510.0, "prefill_seconds": None}
    rates = dict.fromkeys(RATES)
    names = {"study": "made-up", "model": "m", "shard": "0000", "engine": "vllm", "engine_arguments": {}}
    about = {"sampling": {}, "versions": VERSIONS, "hardware": HARDWARE}
    return names | about | numbers | tokens | times | rates


def put(path: Path, content: Any) -> Path:
    """Write a file, JSON unless it is text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def write(folder: Path) -> Path:
    """Write the results of a study that is half done.

    Args:
        folder: the study's.
    """
    put(folder / "promised.txt", "\n".join(PROMISED) + "\n")
    put(folder / "prompts/report.json", {"rows_in": 500, "dropped": {"length": 7}, "failures": {HOSTILE: 2}})
    put(folder / "responses/m/0000.json", measurement())
    reasons = {"timeout": 2, "empty": 1}
    manifest = {"recipe": "cafe", "rows": 10, "failures_by_reason": reasons}
    put(folder / "responses/m/manifest.json", manifest)
    spent = {"judge": "j", "calls": 5, "questions": 5, "judgments": 4, "failures": {"no_verdict": 1}}
    cost = {"input_tokens": 10, "output_tokens": 5, "price": 1.25, "priced": "as listed"}
    put(folder / "benchmarks/r/b/judging.json", spent | cost)
    put(folder / "wildchat50m/figures/figure1.svg", SVG)
    put(folder / "wildchat50m/figures/figure1.csv", "a\n1\n")
    put(folder / "wildchat50m/tables/a #1 50%.csv", "a\n1\n")
    put(folder / f"wildchat50m/tables/{HOSTILE.replace('/', '')}.html", "<p>1")
    put(folder / "viewer/index.html", "<p>viewer")
    put(folder / "viewer/data/index.js", "1")
    put(folder / "work/responses/m/lots.csv", "a\n1\n")
    return folder


PROMISED = [
    "config.yaml",
    *("prompts/report.json", "responses/m/manifest.json", "responses/n/manifest.json"),
    *("mixes/x/train.parquet", "mixes/x/card.json"),
    *("wildchat50m/figures/figure1.svg", "wildchat50m/figures/figure1.csv"),
    "viewer/index.html",
]

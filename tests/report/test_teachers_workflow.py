"""The rules of teachers, from files of measures and scores: what is made of what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import test_teachers_ranked as t
from rewild.core.table import read_table
from rewild.report.teachers import schema

pytestmark = pytest.mark.workflow
RULES = (
    *("rank_candidates", "preview_candidates", "judge_candidates"),
    *("draw_candidates", "tabulate_candidates", "show_candidates"),
)
MEASURED = {
    "study": "s", "shard": "0000", "engine": "vllm", "engine_arguments": {}, "sampling": {}, "context": 8192,
    "parameters": 9.0, "gpus": 2, "conversations": 20, "rows": 20, "failures": 0, "input_tokens": 1,
    "output_tokens": 1, "load_seconds": 0.0, "generate_seconds": 3.6, "prefill_seconds": None,
    "decode_seconds": None, "peak_memory": None, "tokens_per_second": None, "versions": {}, "hardware": {},
    "seconds_per_1000_conversations": None, "input_output_ratio": None, "prefill_decode_ratio": None,
}  # fmt: skip


def test_rules_rank_and_judge(copy: Path, tmp_path: Path, snakemake) -> None:
    place = t.Place(tmp_path / "made", t.RAW | {"prompts": t.RAW["prompts"] | {"shards": 1}})
    for path in place.measures([3.0, 5.0, 4.0, 6.0, 2.0]):
        if "size" not in path.parts:  # a kind that needs an engine is measured shard by shard
            for file in path.parent.iterdir():
                file.rename(file.with_name(file.name.replace("all.", "0000.")))
    place.scores(t.SCORED)
    results = place.folder / "results/s"
    for teacher in t.TEACHERS:
        (results / "responses" / teacher).mkdir(parents=True)
        shard = results / "responses" / teacher / "0000.json"
        shard.write_text(json.dumps(MEASURED | {"model": teacher}), encoding="utf-8")
    for run in t.SCORED:
        (results / "runs" / run).mkdir(parents=True)
        (results / "runs" / run / "training.json").write_text('{"hours": 0.5}', encoding="utf-8")
    (copy / "results").mkdir(exist_ok=True)
    (place.folder / "results/s").rename(copy / "results/s")
    (place.folder / "config/studies/s.yaml").rename(copy / "config/studies/s.yaml")
    out = copy / "results/s/teachers"
    given = ("--config", "study=s", "--allowed-rules", *RULES, "--")
    early = snakemake(copy, "-n", *given, "results/s/teachers/before.html")
    assert early.returncode == 0, early.stdout[-3000:]
    assert "on one page, before any training" in early.stdout
    assert "judging the ranking" not in early.stdout, "the page before any training needs no scores"
    wanted = ("correlation.csv", "views/performance.svg", "views/benchmarks.md")
    done = snakemake(copy, *given, *(f"results/s/teachers/{name}" for name in wanted))
    assert done.returncode == 0, done.stdout[-3000:]
    ranking = read_table(out / "ranking.csv", schema.RANKING)
    assert ranking["basis"].unique().to_list() == ["measured"]
    assert ranking["gpu_hours"].to_list() == pytest.approx([2 * 3.6 / 3600 / 20 * 100_000] * 10)
    found = read_table(out / "findings.csv", schema.FINDINGS).filter(finding="choice")
    assert (
        "spares 8.00 GPU-hours" in found["statement"][0]
    )  # half an hour on four GPUs, of four fine-tunes of five
    again = snakemake(copy, "-n", *given, *(f"results/s/teachers/{name}" for name in wanted))
    assert "Nothing to be done" in again.stdout
    page = snakemake(copy, "-n", "--quiet", "rules", *given, "results/s/teachers/teachers.html")
    assert page.returncode == 0, page.stdout[-3000:]

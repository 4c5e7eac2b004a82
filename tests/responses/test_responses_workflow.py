"""The rules from prompts to manifests, by Snakemake with a real engine: three models, one faulty."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import polars as pl
import pytest
import yaml

from rewild.generation.schema import read_manifest, scan
from warm import link

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / ".envs" / "engine-cpu"

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(
        not (ENGINE / "ready").exists(), reason="needs .envs/engine-cpu (make test builds it)"
    ),
]
NO_HEADER = "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"


def make(folder: Path, **models: dict[str, object]) -> None:
    """Tiny models by name, made by one process: torch takes longer to load than a model to make."""
    made = f"for name, settings in {models!r}.items(): make_model(Path({str(folder)!r}) / name, **settings)"
    code = f"from pathlib import Path; from tiny import *\n{made}"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests/engine")}
    subprocess.run([ENGINE / "bin/python", "-c", code], check=True, capture_output=True, env=environment)


@pytest.fixture
def place(copy: Path) -> Path:
    """A copy of the workflow with prompts, two good models, and one whose template has no header."""
    link(ENGINE, copy / ".envs/engine-cpu")
    faulty = {"seed": 2, "template": NO_HEADER}
    make(copy / "models", good={"seed": 0}, other={"seed": 1}, faulty=faulty)
    draw = random.Random(5)
    words = ["water", "light", "code", "music", "rivers", "cities"]
    lines = [
        {"question_id": i, "turns": [f"{i} " + " ".join(draw.choices(words, k=9)) for _ in range(1 + i % 2)]}
        for i in range(24)
    ]
    (copy / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    loose = {"unfinished": 1.0, "repetitive": 1.0, "garbled": 1.0, "wrong_language": 1.0}
    study = {
        "title": "Three tiny models",
        "source": "computed",
        "prompts": {"sources": [{"kind": "mt-bench", "file": "questions.jsonl"}], "shards": 2},
        "responses": {
            "models": ["good", "other", "faulty"],
            "engine": "transformers",
            "limits": {"context": 256, "max_output": 16},
            "pilot": {"conversations": 6, "gates": loose},
            "compute": {"chunk": 5, "device": "cpu"},
            "overrides": {name: {"path": f"models/{name}"} for name in ("good", "other", "faulty")},
        },
    }
    (copy / "config/studies/tiny.yaml").write_text(yaml.safe_dump(study))
    return copy


def test_pilot_shards_manifest(place: Path, snakemake, rewild) -> None:
    prepared = rewild(place, "prepare", "tiny")
    assert prepared.returncode == 0, prepared.stdout
    files = [f"results/tiny/responses/{m}/manifest.json" for m in ("good", "other", "faulty")]

    run = snakemake(place, "--cores", "2", "--config", "study=tiny", "--keep-going", "--", *files)
    assert run.returncode == 1, run.stdout
    assert "the pilot of faulty failed; no shard of it will start" in run.stdout
    assert "does not end in the assistant's header" in run.stdout
    results = place / "results/tiny"
    assert not (results / "responses/faulty").exists()
    assert "FAILED" in (results / "pilot/faulty/report.md").read_text(), "the report of a failed pilot stays"
    turns = pl.concat([pl.read_parquet(p) for p in (results / "prompts/shards").glob("*.parquet")])[
        "n_turns"
    ].sum()
    assert turns == 36
    for model in ("good", "other"):
        manifest = read_manifest(results / f"responses/{model}/manifest.json")
        assert (manifest.rows, manifest.conversations, len(manifest.shards)) == (36, 24, 2)
        assert scan(results / f"responses/{model}/manifest.json", failures=True).collect().height == 36
    one, two = (scan(results / f"responses/{m}/manifest.json").collect() for m in ("good", "other"))
    assert one["response"].to_list() != two["response"].to_list()

    # How a response is computed reruns nothing; what identifies it does, and only for the model it is of.
    text = (place / "config/studies/tiny.yaml").read_text()
    study = yaml.safe_load(text)
    study["responses"]["compute"] |= {"chunk": 3, "batch": 5, "minutes": 60}
    (place / "config/studies/tiny.yaml").write_text(yaml.safe_dump(study))
    again = snakemake(place, "-n", "--config", "study=tiny", "--", *files[:2])
    assert "answers shard" not in again.stdout, again.stdout
    assert "sample" not in again.stdout, again.stdout
    study["responses"]["overrides"]["other"]["sampling"] = {"temperature": 0.8}
    (place / "config/studies/tiny.yaml").write_text(yaml.safe_dump(study))
    changed = snakemake(place, "-n", "--config", "study=tiny", "--", *files[:2])
    assert "tiny: other answers shard 0000" in changed.stdout
    assert "tiny: good answers shard" not in changed.stdout

    status = rewild(place, "status", "tiny").stdout
    rows = {w[0]: w for line in status.splitlines() if len(w := line.split()) > 5}
    assert rows["good"][1:3] == ["passed", "2/2"]
    assert rows["faulty"][1:3] == ["failed", "0/2"]


def test_a_study_whose_model_cannot_be_planned_stops_before_the_dag(copy: Path, snakemake) -> None:
    study = {
        "title": "Too large",
        "source": "computed",
        "responses": {"models": ["qwen2.5-72b-instruct"], "compute": {"gpu": "H100-81"}},
    }
    (copy / "config/studies/large.yaml").write_text(yaml.safe_dump(study))
    run = snakemake(copy, "-n", "--config", "study=large")
    assert run.returncode == 1
    assert "unknown GPU type 'H100-81'; did you mean 'H100-80'?" in run.stdout
    assert "Traceback" not in run.stdout

"""Measures and filters over them in the workflow: jobs, files, resources, and mistakes before the DAG."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import copy_workflow
from mixes_data import conversation, write_responses
from rewild.core.measures import read_measure

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
            "reward": {"kind": "reward", "model": "owner/name", "revision": REVISION},
            "surprise": {"kind": "perplexity", "model": "demo-base", "device": "cpu", "template": "none"},
        },
        mixes={"chosen": {"sources": [source], "filters": filters}},
    )
    wanted = ["results/demo/mixes/chosen/train.parquet", "results/demo/measures/surprise/summary.csv"]
    run = snakemake(folder, "-n", "-p", "--config", "study=demo", "--", *wanted)
    assert run.returncode == 0, run.stdout[-3000:]
    said = run.stdout
    assert f"fetch-model owner/name {REVISION}" in said
    jobs = re.findall(r"measuring (\w+) of ([\w-]+) \((\w+)\)", said)
    shards = {("reward", "demo-herald", s) for s in ("0000", "0001")}
    models = ("demo-herald", "demo-plain", "demo-mini")
    asked = {("surprise", model, s) for model in models for s in ("0000", "0001")}
    assert set(jobs) == shards | asked | {("language", "prompts", "all")}, "no more than is asked for"
    files = [f"results/demo/measures/reward/demo-herald/{s}.parquet" for s in ("0000", "0001")]
    files.append("results/demo/measures/language/prompts/all.parquet")
    (command,) = re.findall(r"<\(words ([^)]*)\) mix demo chosen --only data", said)
    assert command.split() == files
    context = (
        "--prompts=results/demo/prompts/shards/0001.parquet results/demo/responses/demo-mini/0001.parquet"
    )
    assert f"{context}) measure demo surprise --subject demo-mini" in said
    (job,) = re.findall(r"measuring surprise of demo-mini \(0001\)\nReason: (.*)\n", said)
    assert "results/demo/models/demo-base" in job
    assert ".envs/engine-cpu/bin/python -m rewild --words" in said


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"mixes": {"chosen": {"sources": [{"kind": "responses", "model": "demo-herald"}],
                                  "filters": {"measures": [{"measure": "lenght", "at_least": 3}]}}}},
            "mixes.chosen: demo-herald: filters.measures: 'lenght' is not among the study's measures "
            "(language, length, styling); did you mean 'length'?",
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


@pytest.mark.heavy
def test_a_kind_is_added_by_the_two_files_that_the_docs_name(tmp_path: Path) -> None:
    """In a copy of the workflow: a section and a row, and a module; then it measures, and filters know it."""
    folder = copy_workflow(tmp_path / "copy")
    table = folder / "workflow/rewild/config/measures.py"
    text = table.read_text()
    section = (
        "class Vowels(_Measure):\n"
        '    """How many vowels a text has."""\n\n'
        '    kind: Literal["vowels"]\n'
        '    letters: str = Field("aeiou", description="What counts")\n\n\n'
    )
    row = '    "vowels": Kind("rewild.measures.vowels:Vowels", {"vowels": Value("integer", "Vowels")}),\n'
    for before, added in (("Measure = Annotated[", section), ('    "language": Kind(\n', row)):
        assert text.count(before) == 1
        text = text.replace(before, added + before)
    text = text.replace("    Language | Length", "    Vowels | Language | Length")
    table.write_text(text)
    (folder / "workflow/rewild/measures/vowels.py").write_text(
        "from rewild.measures.base import Measurer\n\n\n"
        "class Vowels(Measurer):\n"
        "    def one(self, text):\n"
        '        return {"vowels": sum(text.count(v) for v in self.settings.letters)}\n'
    )
    study = folder / "config/studies/demo.yaml"
    given = yaml.safe_load(study.read_text())
    given["measures"] |= {"v": {"kind": "vowels", "letters": "ae"}}
    given["mixes"]["herald"] = {
        "sources": [{"kind": "responses", "model": "demo-herald"}],
        "filters": {"measures": [{"measure": "v", "at_least": 3}]},
    }
    study.write_text(yaml.safe_dump(given))
    write_responses(folder / "results/demo", "demo-herald", conversation(2, "demo-herald"), shards=1)
    answers = "results/demo/responses/demo-herald/0000.parquet"
    for words in (
        f"measure demo v {answers} --subject demo-herald --out v.parquet",
        "summarise-measure v.parquet --out v.csv",
    ):
        run = subprocess.run(
            [sys.executable, "-m", "rewild", *words.split()],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder / "workflow")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
    texts = [row["response"] for row in conversation(2, "demo-herald")]
    found = read_measure([folder / "v.parquet"], "v", "demo-herald")
    assert found["vowels"].to_list() == [text.count("a") + text.count("e") for text in texts]
    assert "v,demo-herald,vowels,,3," in (folder / "v.csv").read_text()

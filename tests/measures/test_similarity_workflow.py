"""The rules, run by Snakemake from tables of responses to summaries and figures."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from rewild.config import load_benchmarks, load_models
from rewild.config.load import load_study
from rewild.config.roster import make_roster
from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import ConfigError
from rewild.core.table import read_table
from rewild.measures.diversity.schema import DIVERSITY
from rewild.measures.similarity.schema import SUMMARY
from rewild.papers.room import Case
from rewild.papers.studies import check_papers
from test_similarity_blocks import responses

ROOT = Path(__file__).resolve().parents[2]

STUDY = """\
title: A small study
source: computed
responses: {models: [%s]}
similarity: {blocks: 2, synonyms: %s, tokenisers: [parity], bootstrap: 100}
diversity: {bootstrap: 100, languages: false}
"""


@pytest.mark.workflow
def test_from_responses_to_figures(copy: Path, snakemake) -> None:
    """With synonyms where Debian's WordNet is installed: a test asks no network."""
    models = ["qwen2.5-72b-instruct", "llama-2-7b-chat-hf", "mixtral-8x7b-instruct-v0.1"]
    synonyms = Path("/usr/share/wordnet/index.noun").is_file()
    text = STUDY % (", ".join(models), str(synonyms).lower())
    (copy / "config/studies/small.yaml").write_text(text)
    for path, model in zip(responses(copy / "made", models=3, conversations=9), models, strict=True):
        folder = copy / "results/small/responses" / model
        folder.mkdir(parents=True)
        pl.read_parquet(path).with_columns(pl.lit(model).alias("model")).write_parquet(
            folder / "0000.parquet"
        )
        (folder / "manifest.json").write_text(json.dumps({"shards": [{"shard": "0000"}]}))
    out = copy / "results/small"
    meteor = "meteor" if synonyms else "meteor_nosyn"
    targets = [f"similarity/all/figures/heatmap_{meteor}.svg", "diversity/all/diversity.csv"]
    wanted = [f"results/small/{t}" for t in targets]
    run = snakemake(copy, "--config", "study=small", "--cores", "2", "--", *wanted)
    assert run.returncode == 0, run.stdout
    summary = read_table(out / "similarity/all/summary.csv", SUMMARY)
    assert set(summary["model"]) == set(models)
    assert set(read_table(out / "diversity/all/diversity.csv", DIVERSITY)["model"]) == set(models)
    assert meteor in summary["metric"]
    cells = read_table(out / "similarity/all/table5_sampled.csv", COMPUTED_CELLS)
    assert "Mixtral-8x7B-Instruct" in cells["row"]
    assert cells.filter(column="avg_meteor")["value"].null_count() == (0 if synonyms else 3)
    run = snakemake(copy, "--config", "study=small", "-n", "--", *wanted)
    assert "Nothing to be done" in run.stdout
    # Another number of resamples summarises again, but no pair is scored again.
    study = copy / "config/studies/small.yaml"
    study.write_text(study.read_text().replace("bootstrap: 100}\ndiversity", "bootstrap: 200}\ndiversity"))
    run = snakemake(copy, "--config", "study=small", "-n", "--", *wanted)
    assert "merge_similarity" in run.stdout
    assert "score_similarity" not in run.stdout


@pytest.mark.workflow
def test_released_responses_are_compared_source_by_source(copy: Path, snakemake, mirror: Path) -> None:
    """26 models answer AlpacaEval's prompts, 8 WildBench's tasks; gemma-7b-it does both and is in both."""
    (copy / "config/studies/small.yaml").write_text(
        """\
title: A few prompts of each source
source: released
papers: {wildchat50m: {tables: [table5], figures: []}}
imports: [{kind: alpaca-eval}, {kind: wildbench, rows: 1024}]
similarity: {blocks: 1, prompts: 12, synonyms: false, tokenisers: [parity], bootstrap: 100}
"""
    )
    groups = {"alpaca-eval": 26, "wildbench": 8}
    wanted = [f"results/small/similarity/{group}/agreement.csv" for group in groups]
    wanted.append("results/small/wildchat50m/tables/table5.md")
    run = snakemake(copy, "--config", "study=small", f"mirror={mirror}", "--cores", "2", "--", *wanted)
    assert run.returncode == 0, run.stdout
    for group, models in groups.items():
        summary = read_table(copy / f"results/small/similarity/{group}/summary.csv", SUMMARY)
        whole = summary.filter(summary="all_pairs", metric="rouge1")
        assert whole.height == models
        assert whole["references"].max() == models - 1  # no holes: every model met every other
        assert "gemma-7b-it" in whole["model"]
    cells = read_table(copy / "results/small/wildchat50m/cells/table5.csv", COMPUTED_CELLS)
    assert cells["row"].unique(maintain_order=True).to_list() == [
        "Mixtral-8x7B-Instruct",
        "Llama-2-7b-chat-hf",
        "Llama-3-8B-ShareGPT-112K",
        "OpenHermes-2.5-Mistral-7B",
    ]
    sharegpt = cells.filter(row="Llama-3-8B-ShareGPT-112K")
    assert all(note.startswith("prompts of wildbench: ") for note in sharegpt["note"])
    meteor = cells.filter(pl.col("column").str.ends_with("meteor"))
    assert meteor["value"].null_count() == meteor.height == 8
    assert "need not agree" in (copy / "results/small/wildchat50m/tables/table5.md").read_text()


def checked(folder: Path) -> None:
    """Load a study, and see that it can have what it shows of its papers."""
    made, models = load_study(folder, "x"), load_models(ROOT / "config")
    check_papers(Case(made, make_roster(made, models), load_benchmarks(ROOT / "config", models)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("imports: [{kind: wildbench}, {kind: wildbench}]\nsimilarity: {}", "two are called 'wildbench'"),
        (
            "imports: [{kind: wildbench}]\npapers: {wildchat50m: {tables: [table5]}}",
            "table5 is computed from similarity",
        ),
    ],
)
def test_a_study_that_cannot_be_grouped_says_so(tmp_path: Path, lines: str, message: str) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "config.yaml").write_text("study: x\n")
    (tmp_path / "studies/x.yaml").write_text(f"title: x\nsource: released\n{lines}\n")
    with pytest.raises(ConfigError, match=message):
        checked(tmp_path)

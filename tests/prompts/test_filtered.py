"""Filters of prompt sources: prepared, measured, chosen from; what each condition left; nothing lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from conftest import copy_workflow
from rewild.config.base import identity, trigger, validate
from rewild.config.prompts import Prompts, shard_names
from rewild.config.study import Study
from rewild.core.errors import ConfigError, DataError
from rewild.core.table import read_table
from rewild.measures.run import Part, measure_part
from rewild.prompts.filtered import filter_prompts
from rewild.prompts.prepare import prepare
from rewild.prompts.schema import FAILURES, REPORT, read_shard

MEASURES = {"words": {"kind": "length", "of": "prompts"}, "answers": {"kind": "length"}}


def a_study(filters: list[Any], measures: dict[str, Any] | None = None, **prompts: Any) -> Study:
    """Two sources, of which the first has filters."""
    sources = [
        {"kind": "files", "name": "first", "files": ["first.jsonl"], "filters": filters},
        {"kind": "files", "name": "second", "files": ["second.jsonl"]},
    ]
    given = {"name": "s", "title": "s", "source": "computed", "measures": measures or MEASURES}
    given |= {"prompts": {"sources": sources, "shards": 3} | prompts}
    given["responses"] = {"engine": "transformers", "models": ["a"]}
    return validate(Study, given, "study s")


def question(number: int) -> str:
    return f"q{number}" + " word" * number


def made(root: Path, study: Study) -> tuple[dict[str, Any], pl.DataFrame, Path]:
    """The report, the prompts that are kept, and where they are."""
    assert study.prompts
    folder = root / "prompts"
    prepared = Path(study.prompts.prepared(str(folder)))
    prepare("s", study.prompts.before_filters, prepared, root=root)
    shards = [prepared / "shards" / f"{name}.parquet" for name in shard_names(study.prompts)]
    values = root / "words.parquet"
    measure_part(Part("words", study.measures["words"], "prompts", shards), values)
    report = filter_prompts(study, prepared, [values], folder)
    names = [folder / "shards" / f"{name}.parquet" for name in shard_names(study.prompts)]
    return report, pl.concat([read_shard(file) for file in names]), folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty questions of a source, ten of another, of which two are the first's too; in each a bad line."""
    for name, numbers in (("first", range(20)), ("second", range(18, 28))):
        rows = [{"messages": [{"role": "user", "content": question(n)}]} for n in numbers]
        lines = [json.dumps(row) + "\n" for row in rows] + ["no JSON\n"]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    return tmp_path


def test_a_sources_filters_choose_from_its_prompts_alone(root: Path) -> None:
    study = a_study([{"measure": "words", "at_least": 5}, {"measure": "words", "top": 6}])
    report, kept, folder = made(root, study)
    asked = {m[0]["content"]: s for m, s in kept.select("messages", "source").iter_rows()}
    first = {question(n): "first" for n in range(14, 20)}
    assert asked == first | {question(n): "second" for n in range(20, 28)}
    assert kept["conversation_id"].is_sorted()
    steps = [
        {"condition": "words.words at least 5", "missing": 0, "dropped": 4, "kept": 16},
        {"condition": "words.words top 6", "missing": 0, "dropped": 10, "kept": 6},
    ]
    assert report["filters"] == {"first": steps}
    assert report["sources"]["first"] == {"read": 21, "kept": 6, "dropped": {"malformed": 1, "filters": 14}}
    second = {"malformed": 1, "duplicate_conversation": 2}
    assert report["sources"]["second"] == {"read": 11, "kept": 8, "dropped": second}
    assert report["rows_in"] == 32 == report["kept"] + sum(report["dropped"].values())
    assert (sum(report["shards"].values()), report["turns"]) == (14, {"1": 14})
    table = read_table(folder / "report.csv", REPORT)
    said = dict(table.filter(pl.col("source") == "first").select("outcome", "rows").iter_rows())
    assert (said["read"], said["kept"], said["filters"], said["limit"]) == (21, 6, 14, 0)
    assert "| first | words.words top 6 | 10 | 0 | 6 |" in (folder / "report.md").read_text()
    assert read_table(folder / "failures.parquet", FAILURES).height == 2


def test_the_limit_is_of_what_filters_leave(root: Path) -> None:
    conditions = [{"measure": "words", "at_most": 10}]
    whole = made(root, a_study(conditions))[1]
    report, kept, _ = made(root, a_study(conditions, limit=9))
    assert kept["conversation_id"].to_list() == whole["conversation_id"].sort().to_list()[:9]
    assert report["dropped"]["limit"] == whole.height - 9
    assert report["rows_in"] == report["kept"] + sum(report["dropped"].values())


def test_a_filter_that_leaves_nothing_says_how_many_each_condition_left(root: Path) -> None:
    study = a_study([{"measure": "words", "at_least": 15}, {"measure": "words", "below": 15}])
    with pytest.raises(DataError) as caught:
        made(root, study)
    assert str(caught.value) == (
        "study s: the filters of source 'first': nothing is left of 20 conversations "
        "(words.words at least 15 left 6; words.words below 15 left 0)"
    )
    assert not (root / "prompts/report.json").exists()
    assert not (root / "prompts/shards").exists()


def test_what_is_prepared_knows_no_filter() -> None:
    """So another filter prepares and measures nothing again; and without one all is as it was."""
    plain, some, other = (
        a_study(f).prompts for f in ([], [{"measure": "words", "top": 1}], [{"measure": "words", "top": 2}])
    )
    assert plain
    assert some
    assert other
    before = {trigger(p.before_filters, "result", "cut") for p in (plain, some, other)}
    assert len(before) == 1
    assert before == {trigger(plain, "result", "cut")}
    assert "filters" not in json.dumps(plain.model_dump())
    assert identity(some, "filters") != identity(other, "filters")
    assert plain.before_filters is plain
    assert (plain.prepared("x"), some.prepared("x")) == ("x", "x/prepared")
    limited = a_study([{"measure": "words", "top": 1}], limit=3).prompts
    assert limited
    assert limited.before_filters.limit is None
    assert validate(Prompts, json.loads(trigger(limited.before_filters, "result", "cut")), "s").shards == 3


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (
            [{"measure": "answers", "top": 3}],
            "prompts.sources: first: filters: the measure 'answers' is of responses, which",
        ),
        (
            [{"measure": "word", "top": 3}],
            "'word' is not among the study's measures .* mean 'words'",
        ),
        (["wrods"], r"prompts.sources.0.filters: unknown filter 'wrods'"),
        (
            [{"measure": "gain", "top": 3}],
            "the measure 'gain' is made from 'answers', which is of responses: there are none",
        ),
    ],
)
def test_what_a_source_cannot_be_filtered_by_is_said(filters: list[Any], message: str) -> None:
    sides = {"left": "words", "right": {"measure": "answers", "subject": "a"}}
    measures = MEASURES | {"gain": {"kind": "difference", "of": "prompts", **sides}}
    with pytest.raises(ConfigError, match=message):
        a_study(filters, measures)


def test_a_study_without_them_has_nothing_to_filter(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no source of its prompts has `filters`; `rewild prepare` is all"):
        filter_prompts(a_study([]), tmp_path, [], tmp_path)


@pytest.mark.workflow
def test_the_workflow_measures_what_was_prepared_and_filters_it(tmp_path: Path, snakemake) -> None:
    """The measures that a filter rests on are of all prepared prompts; another is of those that are kept."""
    path = copy_workflow(tmp_path) / "config/studies/demo.yaml"
    study = yaml.safe_load(path.read_text())
    study["measures"] |= {
        "half": {"kind": "ratio", "of": "prompts", "left": "asked", "right": "asked"},
        "asked": {"kind": "length", "of": "prompts"},
    }
    study["prompts"]["sources"][0]["filters"] = [{"measure": "half", "quantile": {"upper": 0.5}}]
    path.write_text(yaml.safe_dump(study))
    wanted = ["results/demo/measures/language/summary.csv", "results/demo/prompts/report.json"]
    run = snakemake(tmp_path, "-n", "-p", "--config", "study=demo", "--", *wanted)
    assert run.returncode == 0, run.stdout[-3000:]
    jobs = {line.split()[0] for line in run.stdout.split("job ")[1].splitlines() if "_" in line}
    assert {"prepare_prompts_demo", "measure_texts", "filter_prompts_demo"} <= jobs
    assert "--out results/demo/prompts/prepared" in run.stdout
    assert (
        "results/demo/prompts/prepared/shards/0001.parquet) measure demo asked --subject prompts"
        in run.stdout
    )
    assert "results/demo/prompts/shards/0001.parquet) measure demo language --subject prompts" in run.stdout
    command = "<(words results/demo/measures/half/prompts/derived.parquet) filter-prompts demo"
    assert f"{command} --prepared results/demo/prompts/prepared --out results/demo/prompts" in run.stdout

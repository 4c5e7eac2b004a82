"""Styling of collected responses."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from rewild.config.imports import AlpacaEvalOutputs, Imported
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.measures.shared import left_out, shared_turns
from rewild.measures.style import schema
from rewild.measures.style.responses import count_answers, count_models
from rewild.responses.imports.write import import_source, merge_manifests

ANSWERS = {
    "herald": ["## Bread\n\nIt is **good**.\n\n- **a**: b\n- c", "1. one\n2. two"],
    "plain": ["It is good. <strong>Not</strong> markup.", None],
}


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    files = []
    for model, answers in ANSWERS.items():
        path = tmp_path / f"{model}.json"
        rows = [
            {"instruction": f"q{i}", "output": a, "generator": model, "dataset": "d"}
            for i, a in enumerate(answers)
        ]
        path.write_text(json.dumps(rows), encoding="utf-8")
        files.append(Imported(model, model, False, str(path)))
    folder = tmp_path / "s"
    source = AlpacaEvalOutputs(kind="alpaca-eval", rows=2)
    import_source(source, files, shard="0000", study="s", folder=folder)
    outs = [folder / "responses" / model / "manifest.json" for model in ANSWERS]
    for model, out in zip(ANSWERS, outs, strict=True):
        merge_manifests([folder / "imports/0000" / f"{model}.json"], out)
    return outs


def values(counts: pl.DataFrame, model: str) -> dict[str, int]:
    rows = counts.filter(pl.col("model") == model, pl.col("scope") == "answer")
    return dict(rows.select("feature", "value").iter_rows())


def test_counts_by_hand(manifests: list[Path]):
    counts, rates, more = count_models(manifests)
    assert more == {}
    herald, plain = values(counts, "herald"), values(counts, "plain")
    wanted = {
        "strong": 2,
        "em": 0,
        "ol": 1,
        "ul": 1,
        "h1": 0,
        "h2": 1,
        "h3": 0,
        "h4": 0,
        "p": 1,
        "responses": 2,
    }
    assert {k: herald[k] for k in wanted} == wanted
    assert herald["words"] == 9  # Bread It is good a b c one two
    # Markup that a model wrote as HTML is text; the failure is no response.
    assert (plain["strong"], plain["p"], plain["responses"]) == (0, 1, 1)
    rate = rates.filter(model="herald", feature="strong").row(0, named=True)
    assert (rate["per_response"], rate["per_1000_words"]) == (1.0, pytest.approx(2000 / 9))


def test_what_one_model_alone_was_asked_is_left_out_and_said(tmp_path: Path):
    rows = [("a", 0, "**x**"), ("b", 0, "**x** **y**"), ("b", 1, None)]
    alone = [*rows, ("c", 0, "# T"), ("d", 0, None)]
    for name, held in {"few": rows, "many": alone}.items():
        frame = pl.DataFrame(held, ("conversation_id", "turn", "response"), orient="row")
        frame.with_columns(model=pl.lit(name)).write_parquet(tmp_path / f"{name}.parquet")
    shared, more = shared_turns({n: pl.read_parquet(tmp_path / f"{n}.parquet") for n in ("few", "many")})
    assert sorted(shared.rows()) == [("a", 0), ("b", 0), ("b", 1)]
    assert more == {"many": 2}
    assert left_out(more) == "Compared on the turns that all were asked; left out: 2 of many."
    features = count_answers(tmp_path / "many.parquet", shared).features()
    assert (features["strong"], features["h1"], features["p"]) == (3, 0, 2)
    assert count_answers(tmp_path / "many.parquet").features()["h1"] == 1
    with pytest.raises(DataError, match="no prompt was asked of all of few, other"):
        shared_turns({n: shared.filter(conversation_id=c) for n, c in (("few", "a"), ("other", "b"))})


def test_processes_change_nothing(manifests: list[Path]):
    one, two = count_models(manifests, 1), count_models(manifests[::-1], 2)
    assert one[0].equals(two[0])
    assert one[1].equals(two[1])


def test_a_model_given_twice_and_one_without_answers_are_refused(manifests: list[Path], tmp_path: Path):
    with pytest.raises(DataError, match="the model 'plain' has another manifest"):
        count_models([manifests[1], manifests[1]])
    path = tmp_path / "e.json"
    path.write_text(json.dumps([{"instruction": "q", "output": None, "generator": "e"}]), encoding="utf-8")
    file = Imported("e", "e", False, str(path))
    import_source(
        AlpacaEvalOutputs(kind="alpaca-eval", rows=1), [file], shard="0000", study="s", folder=tmp_path / "t"
    )
    out = tmp_path / "t/responses/e/manifest.json"
    merge_manifests([tmp_path / "t/imports/0000/e.json"], out)
    with pytest.raises(DataError, match="there are no answers to count"):
        count_models([out])


def test_the_command_writes_tables(manifests: list[Path], rewild, program, root: Path, tmp_path: Path):
    done = rewild(root, "style-responses", *manifests, "--out", tmp_path / "style", "--cores", "2")
    assert done.returncode == 0, done.stdout
    counts = read_table(tmp_path / "style/responses.csv", schema.COUNTS)
    assert values(counts, "herald")["h2"] == 1
    read_table(tmp_path / "style/response_rates.csv", schema.RATES)
    # Raw ratios are the paper's; per 1,000 words they are free of length.
    pairs = read_table(tmp_path / "style/response_proportional.csv", schema.PROPORTIONAL)
    words = {m: values(counts, m)["words"] for m in ("herald", "plain")}
    raw, relative = (
        pairs.filter(source=source, a="plain", b="herald", feature="p")["value"][0]
        for source in ("answer", "per_1000_words")
    )
    assert raw == values(counts, "plain")["p"] / values(counts, "herald")["p"]
    assert relative == pytest.approx(raw * words["herald"] / words["plain"])
    # Tables instead of manifests, and a second time: the same bytes, figures included.
    tables = [path.parent / "0000.parquet" for path in manifests]
    done = program(root, "style-responses", *tables, "--out", tmp_path / "again")
    assert done.returncode == 0, done.stdout
    for name in ("responses.csv", "elements.svg", "elements.png", "proportional.svg", "proportional.pdf"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "style" / name).read_bytes(), name

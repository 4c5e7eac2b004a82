"""Whatever annotations and a leaderboard hold, they are read or refused in words."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import fuzz
from rewild.core.errors import DataError
from rewild.evaluation.win_rates.annotations import read_annotations, read_leaderboard

GOOD = {"instruction": "q", "output_1": "a", "output_2": "b", "generator_2": "m", "preference": 1.5}
ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just([None])
LOGPROBS = st.builds(
    lambda token, value: {"logprobs": {"content": [{"top_logprobs": [{"token": token, "logprob": value}]}]}},
    st.sampled_from(["m", "M", "x"]),
    ODD | st.just(1000.0),
)
CHANGES = st.dictionaries(st.sampled_from([*GOOD, "glm_preference"]), ODD, max_size=2)


@fuzz(200)
@given(
    changes=st.lists(CHANGES, max_size=3),
    completion=LOGPROBS | ODD,
    lines=st.booleans(),
    raw=st.sampled_from([b"", b"\xff", b"[" * 3000, b'"\\ud800"', b"9" * 400, b"{"]),
)
def test_annotations(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[dict[str, Any]],
    completion: Any,
    lines: bool,
    raw: bytes,
) -> None:
    rows = [GOOD | {"raw_completion": completion} | change for change in changes]
    path = tmp_path_factory.getbasetemp() / "annotations.json"
    text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
    path.write_bytes(text.encode() + b"\n" + raw)
    try:
        found = read_annotations(path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017
        assert len(str(error)) < 500  # noqa: PT017
        return
    values = [v for v in found.unrounded.tolist() if not math.isnan(v)]
    assert all(0 <= v <= 1 for v in values)


@fuzz(150)
@given(
    cells=st.lists(st.text(max_size=6) | st.just("9" * 400) | st.just("x" * 200_000), max_size=5),
    raw=st.binary(max_size=4),
)
def test_a_leaderboard(tmp_path_factory: pytest.TempPathFactory, cells: list[str], raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "leaderboard.csv"
    path.write_bytes(b",win_rate,standard_error,n_total\n" + ",".join(cells).encode("utf-8", "replace") + raw)
    try:
        assert read_leaderboard(path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017

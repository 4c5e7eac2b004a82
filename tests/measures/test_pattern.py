"""The measure `pattern`: how often an expression fits, and expressions that are none."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import fuzz
from rewild.config.base import validate
from rewild.config.measures.text import Pattern
from rewild.core.errors import ConfigError
from rewild.measures.base import Text, make_measurer

COLON = r":\s*$"


def found(matches: str, *texts: str) -> list[Any]:
    row = validate(Pattern, {"kind": "pattern", "of": "prompts", "matches": matches}, "measures.m")
    return make_measurer(row, None).measure([Text("c", n, 0, text) for n, text in enumerate(texts)])


def test_what_is_there_is_counted() -> None:
    assert found(COLON, "Name these:", "these: \n", "a: b", "") == [
        {"found": True, "count": 1},
        {"found": True, "count": 1},
        {"found": False, "count": 0},
        {"found": False, "count": 0},
    ]
    assert [one["count"] for one in found("\n", "a\nb\n\nc", "a")] == [3, 0]
    assert [one["count"] for one in found(r"(?m)^## Step \d+", "## Step 1\nx\n## Step 2", "x ## Step 1")] == [
        2,
        0,
    ]
    assert found(r"\p{Han}", "树", "tree")[0] == {"found": True, "count": 1}
    assert found(r"(a+)+$", "a" * 50_000 + "b") == [{"found": False, "count": 0}], "in linear time"


@fuzz(25)
@given(st.lists(st.text("ab:\n ", max_size=9), min_size=1, max_size=5))
def test_it_counts_as_another_library_does(texts: list[str]) -> None:
    for matches in ("a+", "b:", r"[ab] "):
        assert [one["count"] for one in found(matches, *texts)] == [
            len(re.findall(matches, t)) for t in texts
        ]


@pytest.mark.parametrize(
    ("matches", "message"),
    [
        ("(a", "measures.m: matches: '\\(a' is no regular expression: missing \\)"),
        ("a(?=b)", "look-around and back references are not understood"),
        (r"(a)\1", "look-around and back references are not understood"),
        ("", "string should have at least 1 character"),
        (r"\p{Nonsense}", r"the pattern '\\\\p{Nonsense}': error: Unicode property not found"),
    ],
)
def test_an_expression_that_is_none_is_said(matches: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        found(matches, "text")

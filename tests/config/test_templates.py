"""Rows written once for many: what `each` makes of them, and what it refuses."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewild.config.templates import expand
from rewild.core.errors import ConfigError

KEY = st.from_regex(r"[a-z][a-z0-9]{0,4}", fullmatch=True)


def mixes(**rows: Any) -> dict[str, Any]:
    made: dict[str, Any] = expand({"mixes": rows}, "study s")["mixes"]
    return made


def test_a_row_per_combination_the_last_variable_fastest() -> None:
    row = {
        "each": {"dgm": {"q72": "qwen", "l70": "llama"}, "size": {"1k": 1000, "2k": 2000}},
        "size": "{size}",
        "title": "{dgm.key} of {dgm}, {size.key}",
        "sources": [{"model": "{dgm}", "format": {"user": "{question} {dgm}"}}],
    }
    made = mixes(**{"{dgm}-{size}": row})
    assert list(made) == ["q72-1k", "q72-2k", "l70-1k", "l70-2k"]
    assert made["l70-2k"] == {
        "size": 2000,  # a number, not its text
        "title": "l70 of llama, 2k",
        "sources": [{"model": "llama", "format": {"user": "{question} llama"}}],  # other braces stay
    }


def test_a_list_names_keys_that_are_their_own_values_and_values_may_be_lists() -> None:
    both = mixes(**{"m-{x}": {"each": {"x": ["a", "b"]}, "sources": "{x}"}})
    assert both == {"m-a": {"sources": "a"}, "m-b": {"sources": "b"}}
    given = mixes(**{"{x}": {"each": {"x": {"two": [{"model": "a"}, {"model": "b"}]}}, "sources": "{x}"}})
    assert given == {"two": {"sources": [{"model": "a"}, {"model": "b"}]}}


@given(st.lists(KEY, min_size=1, max_size=4, unique=True), st.lists(KEY, min_size=1, max_size=4, unique=True))
def test_names_are_the_product_of_keys(first: list[str], second: list[str]) -> None:
    made = mixes(**{"{a}.{b}": {"each": {"a": first, "b": second}, "v": "{b}"}})
    assert list(made) == [f"{x}.{y}" for x, y in product(first, second)]
    assert [row["v"] for row in made.values()] == [y for _, y in product(first, second)]


def test_other_rows_and_sections_are_left_alone() -> None:
    study = {"title": "{x}", "mixes": {"plain": {"size": "{x}"}}, "runs": None}
    assert expand(study, "study s") == study


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("{dgn}", {"each": {"dgm": ["a"]}}, "has no variable 'dgn'; did you mean 'dgm'?"),
        ("{x}", {"each": {"x": ["a", "b"], "y": [1, 2]}}, r"the name must hold \{y\}"),
        ("{x}", {"each": {"x": []}}, "each.x must be a list, or a mapping"),
        ("{x}", {"each": ["x"]}, "each must be a mapping of variables"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(name: str, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^study s: mixes\.\{name}: .*{message}"):
        mixes(**{name: row})


def test_two_rows_of_one_name_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"study s: mixes: 'a-1' is made twice: by '\{x\}-1' and by 'a-1'"):
        mixes(**{"{x}-1": {"each": {"x": ["a"]}}, "a-1": {}})

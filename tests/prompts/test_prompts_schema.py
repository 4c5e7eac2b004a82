"""Names of conversations, shards and turns."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewild.core.conversations import conversation_id, iter_turns
from rewild.prompts.schema import shard_of


@pytest.mark.parametrize(
    ("turns", "encoded"),
    [
        (["Hello"], b"5:Hello,"),
        (["ab", "c"], b"2:ab,1:c,"),
        (["a", "bc"], b"1:a,2:bc,"),
        ([""], b"0:,"),
        (["é\n", "日本", "🙂"], b"3:\xc3\xa9\n,6:\xe6\x97\xa5\xe6\x9c\xac,4:\xf0\x9f\x99\x82,"),
        (["0:,"], b"3:0:,,"),
    ],
)
def test_the_id_is_a_hash_of_netstrings(turns: list[str], encoded: bytes) -> None:
    assert conversation_id(turns) == hashlib.sha256(encoded).hexdigest()[:16]


def test_ids_stay_what_they_are() -> None:
    """A change here renames every conversation of every study. From `printf "5:Hello," | sha256sum`."""
    assert conversation_id(["Hello"]) == "a2e6f2140a8a0939"
    assert conversation_id(["How are you?", "Why?"]) == "b2c62a20f230e3e2"


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_different_turns_have_different_ids(one: list[str], other: list[str]) -> None:
    assert (conversation_id(one) == conversation_id(other)) == (one == other)


def test_shards_are_equal_ranges_of_ids() -> None:
    assert shard_of("0000000000000000", 4) == "0000"
    assert shard_of("3fffffffffffffff", 4) == "0000"
    assert shard_of("4000000000000000", 4) == "0001"
    assert shard_of("ffffffffffffffff", 4) == "0003"
    assert shard_of("ffffffffffffffff", 9999) == "9998"


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.integers(1, 9999))
def test_shards_in_order_hold_ids_in_order(numbers: list[int], shards: int) -> None:
    ids = sorted(f"{n:016x}" for n in numbers)
    found = [shard_of(i, shards) for i in ids]
    assert found == sorted(found)
    assert all(0 <= int(s) < shards for s in found)


def test_turns_carry_their_context_and_reference() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "first"},
        {"role": "user", "content": "two"},
    ]
    first, second = iter_turns(messages)
    assert (first.index, list(first.prompt), first.reference) == (0, messages[:2], "first")
    assert (second.index, list(second.prompt), second.reference) == (1, messages, None)


def test_questions_without_answers_have_no_reference() -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]
    assert [(t.index, t.reference) for t in iter_turns(messages)] == [(0, None), (1, None)]

"""Mixes: what is drawn, in which order, to the byte; length control; faults."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixes_data import LANGUAGES, a_mix, conversation, name_of, write_prompts, write_responses
from rewild.config.mixes import LengthControl, Mix
from rewild.core.errors import ConfigError, DataError
from rewild.core.table import check_parquet, read_table
from rewild.generation.schema import RESPONSES, scan
from rewild.training.mixes.build import build
from rewild.training.mixes.draw import Candidates, draw_lowest, draw_once, priorities
from rewild.training.mixes.read import Place, control_length
from rewild.training.mixes.schema import REASONED_TRAIN, TRAIN


def make(root: Path, mix: Mix, name: str = "m", seed: int = 7) -> pl.DataFrame:
    """Make a mix from what lies below ``root`` and read it back, checked against its contract."""
    results = root / "results" / "s"
    folder = results / "mixes" / name
    build(name, mix, Place(root, results), folder, study="s", seed=seed)
    assert [p.name for p in folder.iterdir()] == ["train.parquet"], "nothing unfinished is left"
    return read_table(folder / "train.parquet", TRAIN)


def responses(root: Path, model: str, numbers: Any, shards: int = 2, **change: Any) -> None:
    rows = [row | change for number in numbers for row in conversation(number, model)]
    write_responses(root / "results" / "s", model, rows, shards)


def of(model: str, **more: Any) -> dict[str, Any]:
    return {"kind": "responses", "model": model, **more}


def test_manifests_and_shards_that_are_given_are_read_in_place_of_the_usual_ones(tmp_path: Path) -> None:
    usual = tmp_path / "results" / "s"
    responses(tmp_path, "a", range(6))
    for shard in ("0000", "0001"):
        write_prompts(usual, {f"test/{shard}": [("user", "Why?"), ("assistant", "Because.")]}, shard)
    mix = a_mix(sources=[of("a"), {"kind": "prompts", "licence": "ODC-BY"}])
    first = make(tmp_path, mix)
    elsewhere = usual.rename(tmp_path / "elsewhere")
    shards = sorted((elsewhere / "prompts/shards").glob("*.parquet"))
    place = Place(
        tmp_path, usual, manifests={"a": elsewhere / "responses/a/manifest.json"}, shards=shards[::-1]
    )
    build("m", mix, place, tmp_path / "m", study="s", seed=7)
    assert first.height == 8
    assert read_table(tmp_path / "m/train.parquet", TRAIN).equals(first)
    with pytest.raises(DataError, match=r"results/s/prompts/shards: no shards"):
        build("m", mix, replace(place, shards=()), tmp_path / "m", study="s", seed=7)


def test_a_conversation_is_the_users_turns_with_the_models_answers(tmp_path: Path) -> None:
    responses(tmp_path, "a", range(6))
    made = make(tmp_path, a_mix(sources=[of("a")]))
    assert made.height == 6
    row = made.row(by_predicate=pl.col("source_id") == name_of(2), named=True)
    assert row["messages"] == [
        message
        for turn in range(3)
        for message in (
            {"role": "user", "content": f"Question 2, turn {turn}: what is a tree?"},
            {"role": "assistant", "content": f"a says 2/{turn}: " + "leaf " * 4},
        )
    ]
    assert (row["id"], row["source"], row["language"]) == (f"a/{name_of(2)}", "a", "Chinese")
    assert (row["n_turns"], row["characters"], row["cut"]) == (
        3,
        3 * len("a says 2/0: " + "leaf " * 4),
        False,
    )


def test_the_draw_is_the_lowest_hashes_of_seed_and_name(tmp_path: Path) -> None:
    """Against hashes made here: SHA-256 of ``seed//name``, the first 8 bytes to draw, the next 8 to order."""
    from hashlib import sha256

    responses(tmp_path, "a", range(40))
    made = make(tmp_path, a_mix(sources=[of("a", count=15)], seed=11))

    def number(i: int, half: int) -> int:
        digest = sha256(f"11//{name_of(i)}".encode()).digest()
        return int.from_bytes(digest[8 * half : 8 * half + 8])

    drawn = sorted(range(40), key=lambda i: number(i, 0))[:15]
    expected = [name_of(i) for i in sorted(drawn, key=lambda i: number(i, 1))]
    assert made["source_id"].to_list() == expected


def test_same_bytes_whatever_the_shards_and_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mix = a_mix(size=50, sources=[of("a"), of("b")])
    bytes_ = []
    for number, shards in enumerate((1, 2, 7)):
        root = tmp_path / str(number)
        responses(root, "a", range(80), shards)
        responses(root, "b", range(10, 90), shards)
        make(root, mix)
        bytes_.append((root / "results/s/mixes/m/train.parquet").read_bytes())
    assert bytes_[0] == bytes_[1] == bytes_[2]
    monkeypatch.setattr("rewild.training.mixes.build.CELL", 8)
    again = make(tmp_path / "0", mix)
    other = make(tmp_path / "2", mix)
    assert again.equals(other)
    monkeypatch.undo()
    assert again.equals(make(tmp_path / "0", mix)), "the order does not depend on how memory is bounded"


def test_a_smaller_mix_is_a_part_of_a_larger(tmp_path: Path) -> None:
    responses(tmp_path, "a", range(60))
    responses(tmp_path, "b", range(20, 80))
    for sources in ([of("a")], [of("a"), of("b")]):
        rows = [
            dict(make(tmp_path, a_mix(size=size, sources=sources)).select("id", "messages").iter_rows())
            for size in (10, 24, 44)
        ]
        for small, large in pairwise(rows):
            assert set(small) < set(large)
            assert all(large[identity] == messages for identity, messages in small.items())


def test_mixes_of_two_models_hold_the_same_prompts(tmp_path: Path) -> None:
    responses(tmp_path, "a", range(50))
    responses(tmp_path, "b", range(50))
    a, b = (make(tmp_path, a_mix(size=20, sources=[of(model)])) for model in "ab")
    assert a["source_id"].to_list() == b["source_id"].to_list()


@pytest.mark.parametrize("models", ["ab", "abcde"])
def test_a_blend_has_equal_parts_and_no_prompt_twice(tmp_path: Path, models: str) -> None:
    for model in models:
        responses(tmp_path, model, range(60))
    made = make(tmp_path, a_mix(size=50, sources=[of(model) for model in models]))
    assert dict(made["source"].value_counts().iter_rows()) == dict.fromkeys(models, 50 // len(models))
    assert made["source_id"].n_unique() == 50
    free = make(tmp_path, a_mix(size=50, draw="independently", sources=[of(model) for model in models]))
    assert dict(free["source"].value_counts().iter_rows()) == dict.fromkeys(models, 50 // len(models))
    assert free["source_id"].n_unique() < 50, "prompts occur with several answers"


def test_shares_are_cut_to_whole_conversations(tmp_path: Path) -> None:
    mix = a_mix(size=10, sources=[of("a", share=1), of("b", share=2), of("c", share=4)])
    assert mix.amounts() == [1, 3, 6]  # ends at 10/7, 30/7 and 10, rounded
    assert a_mix(size=11, sources=[of("a"), of("b")]).amounts() == [6, 5]
    rewild = a_mix(
        sources=[
            of("q72", count=246_750),
            {"kind": "files", "files": ["mmlu.parquet"], "count": 99_800, "licence": "MIT"},
            {"kind": "files", "files": ["algebra.parquet"], "count": 20_000, "licence": "ODC-BY"},
        ]
    )
    assert sum(n or 0 for n in rewild.amounts()) == 366_550  # Table 1


def test_order_by_source(tmp_path: Path) -> None:
    responses(tmp_path, "a", range(20))
    responses(tmp_path, "b", range(20))
    made = make(tmp_path, a_mix(size=20, order="by-source", sources=[of("b"), of("a")]))
    assert made["source"].to_list() == ["b"] * 10 + ["a"] * 10
    mixed = make(tmp_path, a_mix(size=20, sources=[of("b"), of("a")]))
    assert mixed["source"].to_list() != made["source"].to_list()
    assert sorted(mixed["id"]) == sorted(made["id"])


names = st.integers(0, 30).map(lambda i: f"n{i:02d}")
groups = st.lists(st.sets(names), min_size=1, max_size=4)


@given(groups, st.integers(0, 12), st.integers(0, 3))
@settings(max_examples=100)
def test_drawing_once(found: list[set[str]], amount: int, seed: int) -> None:
    """No name twice, nobody over the amount, and never fewer while a free name is left; smaller in larger."""
    candidates = []
    for group in found:
        listed = sorted(group)
        candidates.append(Candidates(pl.Series(listed, dtype=pl.String), priorities(seed, "", listed)[0]))

    def draw(size: int) -> list[set[str]]:
        masks = draw_once(candidates, [size] * len(candidates))
        return [set(c.names.filter(pl.Series(m)).to_list()) for c, m in zip(candidates, masks, strict=True)]

    if amount == 0:
        return
    drawn = draw(amount)
    taken = set().union(*drawn)
    assert sum(map(len, drawn)) == len(taken)
    for group, mine in zip(found, drawn, strict=True):
        assert mine <= group
        assert len(mine) <= amount
        assert len(mine) == amount or group <= taken
    for small, large in zip(drawn, draw(amount + 5), strict=True):
        if all(len(d) == amount for d in drawn):
            assert small <= large


@given(groups, st.lists(st.integers(1, 7), min_size=4, max_size=4), st.integers(0, 3))
@settings(max_examples=200)
def test_a_smaller_blend_of_unequal_shares_is_a_part_of_a_larger(
    found: list[set[str]], shares: list[int], seed: int
) -> None:
    """Also where parts tie: 1/3 is 2/6 at every size, which sums of fractions are not."""
    candidates = []
    for group in found:
        listed = sorted(group)
        candidates.append(Candidates(pl.Series(listed, dtype=pl.String), priorities(seed, "", listed)[0]))
    drawn = []
    for times in (1, 2, 3, 7):
        masks = draw_once(candidates, [times * share for share in shares[: len(found)]])
        drawn.append(
            [set(c.names.filter(pl.Series(m)).to_list()) for c, m in zip(candidates, masks, strict=True)]
        )
    for small, large in pairwise(drawn):
        assert all(mine <= more for mine, more in zip(small, large, strict=True))


@given(st.sets(names), st.integers(0, 40))
def test_drawing_lowest(found: set[str], amount: int) -> None:
    listed = sorted(found)
    priority, order = priorities(3, "x", listed)
    drawn = draw_lowest(Candidates(pl.Series(listed, dtype=pl.String), priority), amount or None)
    expected = sorted(zip(priority.tolist(), listed, strict=True))[: amount or None]
    assert {n for n, d in zip(listed, drawn, strict=True) if d} == {n for _, n in expected}
    assert len(listed) < 2 or (priority != order).any()


# Filters


def test_every_conversation_is_accounted_for_by_its_first_reason(tmp_path: Path) -> None:
    rows = [row for number in range(30) for row in conversation(number, "a", 2)]
    change = {
        0: {"response": None, "failure": "empty: no text", "finish_reason": None},
        3: {"finish_reason": "length"},
        4: {"repetition": 0.9},
        5: {"garbled": 0.5},
        6: {"response": "x" * 2000},
    }
    rows = [row | change.get(n // 2, {}) if row["turn"] == 1 else row for n, row in enumerate(rows)]
    write_responses(tmp_path / "results/s", "a", rows)
    filters = {
        "languages": list(LANGUAGES[:2]),
        "characters": {"max": 1000},
        "unfinished": "drop",
        "repetition": 0.5,
        "garbled": 0.1,
    }
    place = Place(tmp_path, tmp_path / "results/s")
    folder = tmp_path / "results/s/mixes/m"
    found = build("m", a_mix(sources=[of("a")], filters=filters), place, folder, study="s", seed=1)
    assert found == {
        "a": {
            "read": 30,
            "drawn": 30 - 1 - 10 - 1 - 1 - 1,
            "not_drawn": 0,
            "language": 10,  # 2, 5, 8, ...: also 5, which is garbled, is counted once
            "length": 1,
            "no_answer": 1,
            "too_repetitive": 1,
            "unfinished": 1,
        }
    }
    assert sum(found["a"].values()) == 2 * 30


def test_an_unanswered_turn_drops_or_cuts(tmp_path: Path) -> None:
    rows = [row for number in (2, 5) for row in conversation(number, "a")]
    failed = {"response": None, "failure": "empty: no text"}
    rows[1] |= failed  # turn 1 of 3
    rows[3] |= failed  # turn 0 of 3
    write_responses(tmp_path / "results/s", "a", [*rows, *conversation(8, "a")])
    assert make(tmp_path, a_mix(sources=[of("a")]))["source_id"].to_list() == [name_of(8)]
    made = make(tmp_path, a_mix(sources=[of("a")], filters={"incomplete": "cut"})).sort("cut")
    assert made["source_id"].to_list() == [name_of(8), name_of(2)]
    assert made["n_turns"].to_list() == [3, 1]
    assert made["cut"].to_list() == [False, True]
    assert [m["content"] for m in made["messages"][1]] == [rows[0]["prompt"], rows[0]["response"]]


def test_original_answers(tmp_path: Path) -> None:
    chats = {
        "aa": [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello")],
        "bb": [("user", "Hi"), ("assistant", "Ho"), ("user", "And?")],
        "cc": [("user", "One"), ("user", "Two")],
        "dd": [("user", "Hi"), ("assistant", " ")],
    }
    write_prompts(tmp_path / "results/s", chats)
    source = {"kind": "prompts", "licence": "ODC-BY"}
    made = make(tmp_path, a_mix(sources=[source]))
    assert made["id"].to_list() == ["original/aa"]
    assert [m["role"] for m in made["messages"][0]] == ["system", "user", "assistant"]
    assert made["characters"].to_list() == [5]
    both = make(tmp_path, a_mix(sources=[source], filters={"incomplete": "cut"})).sort("id")
    assert both["source_id"].to_list() == ["aa", "bb"]
    assert both["n_turns"].to_list() == [1, 1]
    assert both["cut"].to_list() == [False, True]


# Length control (section 3.2)


def small_example() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two models on a conversation of two turns, and one of one turn that the second did not answer."""
    ours = {
        "conversation_id": ["c", "c", "d"],
        "turn": [0, 1, 0],
        "prompt": ["Name a colour, please.", "Why?", "Hello"],
        "response": ["Blue, the colour of the sky.", "Because.", "Hi, how are you?"],
    }
    theirs = ours | {"response": ["Blue.", "Because I like the sky best.", None]}
    return pl.DataFrame(ours), pl.DataFrame(theirs)


def test_length_control_truncates_answers() -> None:
    ours, theirs = small_example()
    done = control_length(ours, theirs, LengthControl(model="b"))
    assert done["response"].to_list() == ["Blue,", "Because.", "Hi, how are you?"]
    assert done["prompt"].to_list() == ours["prompt"].to_list()
    assert done["cut"].to_list() == [True, False, False]
    assert done["counterpart"].to_list() == [True, True, False]


def test_the_released_script_truncates_no_answer() -> None:
    """It takes messages 0, 2, 4, ...: the user's, which are the same in both, so nothing becomes shorter."""
    ours, theirs = small_example()
    done = control_length(ours, theirs, LengthControl(model="b", behaviour="released_script"))
    assert done["response"].to_list() == ours["response"].to_list()
    assert done["prompt"].to_list() == ours["prompt"].to_list()
    assert done["cut"].to_list() == [False, False, False]
    # It does cut prompts, where the other data set's are shorter: that is what it indexes.
    other = theirs.with_columns(prompt=pl.lit("Name"))
    done = control_length(ours, other, LengthControl(model="b", behaviour="released_script"))
    assert done["prompt"].to_list() == ["Name", "Why?", "Hell"]
    # Conversations with another number of turns are left alone.
    done = control_length(ours, other.head(1), LengthControl(model="b", behaviour="released_script"))
    assert done["prompt"].to_list() == ours["prompt"].to_list()


@given(st.lists(st.tuples(st.text(min_size=1, max_size=9), st.text(min_size=1, max_size=9)), min_size=1))
def test_no_answer_is_longer_than_the_others(texts: list[tuple[str, str]]) -> None:
    frame = pl.DataFrame({"conversation_id": ["c"] * len(texts), "turn": list(range(len(texts)))})
    frame = frame.with_columns(prompt=pl.lit("p"))
    ours, theirs = (frame.with_columns(response=pl.Series(side)) for side in zip(*texts, strict=True))
    done = control_length(ours, theirs, LengthControl(model="b"))
    for (mine, other), kept in zip(texts, done["response"], strict=True):
        assert kept == mine[: len(other)]


def test_a_length_controlled_mix(tmp_path: Path) -> None:
    responses(tmp_path, "a", range(12))
    rows = [row for number in range(1, 12) for row in conversation(number, "bb")]
    failed = {"response": None, "failure": "empty: no text"}
    rows = [row | (failed if row["conversation_id"] == name_of(4) else {"response": "short"}) for row in rows]
    write_responses(tmp_path / "results/s", "bb", rows)
    controlled = a_mix(sources=[of("a", length_control={"model": "bb"})])
    place, folder = Place(tmp_path, tmp_path / "results/s"), tmp_path / "results/s/mixes/m"
    found = build("m", controlled, place, folder, study="s", seed=1)
    assert found["a"] == {"read": 12, "drawn": 10, "not_drawn": 0, "no_counterpart": 2}
    made = read_table(folder / "train.parquet", TRAIN)
    answers = made["messages"].explode().struct.unnest().filter(pl.col("role") == "assistant")
    assert set(answers["content"]) == {"a say"}
    assert made["cut"].all()
    released = {"model": "bb", "behaviour": "released_script"}
    whole = make(tmp_path, a_mix(sources=[of("a", length_control=released)]))
    plain = make(tmp_path, a_mix(sources=[of("a", count=12)]))
    both = plain.filter(pl.col("id").is_in(whole["id"].to_list()))
    assert whole["messages"].to_list() == both["messages"].to_list()
    assert not whole["cut"].any()


# Contamination


def test_contamination_is_removed_or_reported(tmp_path: Path) -> None:
    rows = [row for number in range(10) for row in conversation(number, "a", 1)]
    copied = "please tell me now which of the seven rivers of the north is longest"
    rows[3]["prompt"] = f"Well, {copied.upper()}? Thanks!"
    write_responses(tmp_path / "results/s", "a", rows)
    (tmp_path / "bench.jsonl").write_text(json.dumps({"question": copied}) + "\n", encoding="utf-8")
    check = {"words": 8, "files": ["bench.jsonl"]}
    kept = make(tmp_path, a_mix(sources=[of("a")], contamination=check))
    assert kept.height == 9
    assert name_of(3) not in kept["source_id"].to_list()
    assert kept["contaminated"].null_count() == 9
    told = make(tmp_path, a_mix(sources=[of("a")], contamination=check | {"action": "report"}))
    assert told.height == 10
    named = {row["source_id"]: row["contaminated"] for row in told.iter_rows(named=True)}
    assert named.pop(name_of(3)) == "bench.jsonl"
    assert set(named.values()) == {None}
    with pytest.raises(
        DataError, match=r"has 9 conversations to draw from, but 10 are asked for \(10 were read, "
    ):
        make(tmp_path, a_mix(sources=[of("a", count=10)], contamination=check))


# Faults


def test_too_few_says_how_many_there_are(tmp_path: Path) -> None:
    responses(tmp_path, "a", range(12))
    with pytest.raises(DataError) as caught:
        make(tmp_path, a_mix(sources=[of("a", count=13)]))
    assert str(caught.value) == (
        "mix m: source 'a' has 12 conversations to draw from, but 13 are asked for (12 were read)"
    )
    assert not (tmp_path / "results/s/mixes/m/train.parquet").exists()
    responses(tmp_path, "b", range(12))
    with pytest.raises(DataError, match=r"Only 9 were left for it.*`draw: independently`"):
        make(tmp_path, a_mix(sources=[of("a", count=10), of("b", count=3)]))
    assert make(tmp_path, a_mix(sources=[of("a", count=9), of("b", count=3)])).height == 12


def test_a_missing_manifest_or_shard(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"responses/a/manifest\.json: no such file"):
        make(tmp_path, a_mix(sources=[of("a")]))
    responses(tmp_path, "a", range(12))
    shard = tmp_path / "results/s/responses/a/0001.parquet"
    whole = shard.read_bytes()
    shard.unlink()
    with pytest.raises(DataError, match=r"0001\.parquet: no such file, but .*manifest\.json lists it"):
        make(tmp_path, a_mix(sources=[of("a")]))
    shard.write_bytes(whole[:-40])
    with pytest.raises(DataError, match=r"0001\.parquet: not the file that .* counted"):
        make(tmp_path, a_mix(sources=[of("a")]))
    assert not list((tmp_path / "results/s").glob("mixes/*/*"))


def test_turns_that_do_not_follow(tmp_path: Path) -> None:
    rows = conversation(2, "a")
    write_responses(tmp_path / "results/s", "a", [rows[0], rows[2]])
    with pytest.raises(DataError, match=r"the turns of conversation \w+ are not 0, 1, 2"):
        make(tmp_path, a_mix(sources=[of("a")]))


def test_a_failure_leaves_the_mix_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    responses(tmp_path, "a", range(12))
    make(tmp_path, a_mix(sources=[of("a", count=5)]))
    before = (tmp_path / "results/s/mixes/m/train.parquet").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rewild.training.mixes.build._write", full)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path, a_mix(sources=[of("a", count=6)]))
    folder = tmp_path / "results/s/mixes/m"
    assert [p.name for p in folder.iterdir()] == ["train.parquet"]
    assert (folder / "train.parquet").read_bytes() == before


def test_a_mix_trains_on_answers_alone_or_on_reasoning_too(tmp_path: Path) -> None:
    for model, thought in (("thinks", "Hm, {}."), ("plain", None)):
        rows = [row for n in range(6) for row in conversation(n, model)]
        texts = [thought and thought.format(row["turn"]) for row in rows]
        rows = [row | {"reasoning": text} for row, text in zip(rows, texts, strict=True)]
        write_responses(tmp_path / "results/s", model, rows)
    sources = [of("thinks", count=3), of("plain", count=3)]
    usual = make(tmp_path, a_mix(sources=sources))
    assert "Hm" not in str(usual["messages"].to_list()), "by default on answers alone"
    folder = tmp_path / "both"
    build("m", a_mix(sources=sources, reasoning="train"), Place(tmp_path, tmp_path / "results/s"), folder,
          study="s", seed=7)  # fmt: skip
    both = read_table(folder / "train.parquet", REASONED_TRAIN)
    assert both.drop("messages").equals(usual.drop("messages")), "the same conversations"
    for row in both.iter_rows(named=True):
        answers = row["messages"][1::2]
        wanted = [f"Hm, {n}." if row["source"] == "thinks" else None for n in range(row["n_turns"])]
        assert [m["reasoning_content"] for m in answers] == wanted
        assert {m["reasoning_content"] for m in row["messages"][::2]} == {None}


def test_a_mix_without_any_reasoning_to_train_on_says_so(tmp_path: Path) -> None:
    responses(tmp_path, "a", range(4))
    with pytest.raises(DataError, match=r"mix m: reasoning is to be trained on, .*reasoning: train"):
        make(tmp_path, a_mix(sources=[of("a")], reasoning="train"))
    assert not list((tmp_path / "results/s/mixes").rglob("*.parquet"))
    with pytest.raises(ConfigError, match="no source is a model's responses"):
        a_mix(sources=[{"kind": "prompts", "licence": "x"}], reasoning="train")


def test_responses_of_before_there_was_reasoning_are_read(tmp_path: Path) -> None:
    responses(tmp_path, "a", range(4), shards=1)
    file = tmp_path / "results/s/responses/a/0000.parquet"
    old = pl.read_parquet(file).drop("reasoning", "reasoning_tokens")
    about = pl.read_parquet_metadata(file)["rewild"]
    old.write_parquet(file, metadata={"rewild": about})
    check_parquet(file, RESPONSES)
    assert read_table(file, RESPONSES)["reasoning"].null_count() == old.height
    assert scan(file.with_name("manifest.json")).collect().columns == list(RESPONSES.columns)

"""WILDCHAT-50M as it is released: turns that differ by model, repeated rows, many rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewild.config.imports import WildChatResponses, imported
from rewild.core.table import read_table
from rewild.generation.schema import RESPONSES, scan
from rewild.prompts.schema import read_shard
from rewild.report.viewer.read import choose, collect_prompts, find_models
from rewild.responses.imports import spill, write
from rewild.responses.imports.read import BLANK, NO_ROW, NO_TURN, hash_conversation_id, read_outputs
from rewild.responses.imports.tokens import original, strip_tokens
from rewild.responses.imports.write import import_source, merge_manifests
from rewild.training.mixes.read import Place, read_source

Message = dict[str, Any]


def user(text: str | None) -> Message:
    return {"role": "user", "content": text}


def answer(text: str | None, finish: str | None = "stop") -> Message:
    return {"role": "assistant", "content": text, "finish_reason": finish, "cumulative_logprob": "0.0"}


def row(name: str, *messages: Message) -> dict[str, Any]:
    return {"conversation_hash": name, "language": "English", "conversation": list(messages)}


def release(folder: Path, **models: list[dict[str, Any]]) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    """Import one file per model; what was counted, and each model's table."""
    for model, rows in models.items():
        path = folder / f"{model}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n\n" for r in rows), encoding="utf-8")
    source = WildChatResponses(kind="wildchat", models={m: str(folder / f"{m}.jsonl") for m in models})
    counts = import_source(source, imported(source, {}, {}), shard="0000", study="s", folder=folder / "s")
    tables = {m: read_table(folder / f"s/responses/{m}/0000.parquet", RESPONSES) for m in models}
    return counts, tables


LONG = "Summarise this: " + "word " * 300


@pytest.fixture
def three(tmp_path: Path):
    """A model whose tokenizer keeps texts, one that loses spaces and cuts, one of SentencePiece."""
    return release(
        tmp_path,
        llama=[
            row("h2", user(f"<|begin_of_text|>{LONG[:600]}<|eot_id|>"), answer("Cut.", "length")),
            row("h1", user("<|begin_of_text|>How, Gigant?"), answer("A"),
                user("And?<|eot_id|>"), answer("", None)),
        ],
        qwen=[
            row("h1", user("How , Gigant ?"), answer("B"), user("And ?"), answer("C<|im_end|>", "length")),
            row("h2", user(LONG), answer("Whole.")),
            row("h1", user("How , Gigant ?"), answer("again"), user("And ?"), answer("again")),
        ],
        yi=[row("h1", user("<s> How , Gigant ?</s>"), answer("D", "no response"))],
    )  # fmt: skip


def test_models_are_put_together_by_hash_and_turn(three, tmp_path: Path) -> None:
    _, tables = three
    one, two = hash_conversation_id("h1"), hash_conversation_id("h2")
    found = {
        model: {
            (i, t): (p, r, (f or "").partition(":")[0], finish)
            for i, t, p, r, f, finish in table.select(
                "conversation_id", "turn", "prompt", "response", "failure", "finish_reason"
            ).iter_rows()
        }
        for model, table in tables.items()
    }
    gigant, more = "How , Gigant ?", "And ?"
    assert found == {
        "llama": {
            (one, 0): (gigant, "A", "", "stop"),
            (one, 1): (more, None, "blank_output", None),
            (two, 0): (LONG, "Cut.", "", "length"),
        },
        "qwen": {
            (one, 0): (gigant, "B", "", "stop"),
            (one, 1): (more, "C", "", "length"),
            (two, 0): (LONG, "Whole.", "", "stop"),
        },
        "yi": {
            (one, 0): (gigant, "D", "", "no response"),
            (one, 1): (more, None, "no_row", None),
            (two, 0): (LONG, None, "no_row", None),
        },
    }
    prompts = read_shard(tmp_path / "s/prompts/shards/0000.parquet")
    asked = {
        i: [m["content"] for m in messages if m["role"] == "user"]
        for i, messages in prompts.select("conversation_id", "messages").iter_rows()
    }
    assert asked == {one: [gigant, more], two: [LONG]}
    assert set(tables["yi"]["failure"].drop_nulls()) == {NO_ROW, NO_TURN}
    assert tables["llama"]["failure"].drop_nulls().to_list() == [BLANK]


def test_every_row_and_every_token_is_accounted_for(three) -> None:
    counts, _ = three
    shown = counts.select(
        "model", "rows", "released_rows", "repeated", "missing", "blank", "altered", "stripped", "tokens"
    )
    assert shown.rows() == [
        ("llama", 3, 3, 0, 0, 1, 3, 3, "<|begin_of_text|> 2, <|eot_id|> 2"),
        ("qwen", 3, 5, 2, 0, 0, 0, 1, "<|im_end|> 1"),
        ("yi", 3, 1, 0, 2, 0, 0, 1, "</s> 1, <s> 1"),
    ]
    assert (shown["rows"] == shown["released_rows"] - shown["repeated"] + shown["missing"]).all()


def test_the_viewer_and_mixes_take_the_original(three, tmp_path: Path) -> None:
    from rewild.config.mixes import FromResponses, Mix

    folder = tmp_path / "s"
    for model in ("llama", "qwen", "yi"):
        out = folder / f"responses/{model}/manifest.json"
        merge_manifests([folder / f"imports/0000/{model}.json"], out)
    source = find_models(sorted(folder.glob("responses/*/*.parquet")))
    shown = collect_prompts(source, choose(source, 10))
    assert {p for c in shown for p in c.prompts.values()} == {"How , Gigant ?", "And ?", LONG}
    mix = Mix(sources=[FromResponses(kind="responses", model="llama")])
    (batch,) = read_source(mix, 0, Place(tmp_path, folder))
    kept = batch.filter(pl.col("reason").is_null())["messages"].to_list()
    assert kept == [[{"role": "user", "content": LONG}, {"role": "assistant", "content": "Cut."}]]


@pytest.mark.parametrize(
    ("text", "bare", "tokens"),
    [
        ("<|begin_of_text|>Why?<|eot_id|>", "Why?", ["<|begin_of_text|>", "<|eot_id|>"]),
        ("Why?<|im_end|>\n", "Why?", ["<|im_end|>"]),
        ("<｜begin▁of▁sentence｜>Why?<｜end▁of▁sentence｜>", "Why?",
         ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"]),
        ("<bos><start_of_turn>Why?<end_of_turn><eos>", "Why?",
         ["<bos>", "<start_of_turn>", "<end_of_turn>", "<eos>"]),
        ("<BOS_TOKEN>Why?<|END_OF_TURN_TOKEN|>", "Why?", ["<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"]),
        ("[gMASK]<sop>Why?<|endoftext|>", "Why?", ["[gMASK]", "<sop>", "<|endoftext|>"]),
        ("<s> Why?</s>", "Why?", ["<s>", "</s>"]),
        ("<|eot_id|>", "", ["<|eot_id|>"]),
        # a user's own text stays
        ("What does <|im_end|> do?", "What does <|im_end|> do?", []),
        ("Is <s>old</s>", "Is <s>old</s>", []),
        ("<s>old</s> or new?", "<s>old</s> or new?", []),
        ("<p>a</p>", "<p>a</p>", []),
        ("a [link]", "a [link]", []),
        ("a <b|c> d || e |>", "a <b|c> d || e |>", []),
    ],
)  # fmt: skip
def test_tokens_go_from_the_ends_of_a_text_and_nowhere_else(text: str, bare: str, tokens: list[str]) -> None:
    assert strip_tokens(text) == (bare, tokens)


@pytest.mark.parametrize(
    ("variants", "kept"),
    [
        ([("Why?", False), ("Why ?", False)], "Why ?"),  # decoding loses spaces, and adds none
        ([("Why ?", True), ("Why?", False)], "Why?"),  # a token says which text was encoded
        ([("long text, cut", False), ("long text, cut here and on", True)], "long text, cut here and on"),
        ([(" Why?", False), ("Why?", False), ("Why?", False)], "Why?"),
        ([(" Why?", True), ("Why?", True)], "Why?"),
        ([("b", False), ("a", False)], "a"),  # no reason for either: always the same
    ],
)  # fmt: skip
def test_the_text_of_which_least_was_lost_is_the_original(
    variants: list[tuple[str, bool]], kept: str
) -> None:
    assert original(variants) == kept
    assert original(variants[::-1]) == kept


def many(folder: Path, models: int, conversations: int) -> WildChatResponses:
    """Files of conversations, each model's in another order."""
    paths = {}
    for model in range(models):
        rows = [
            row(f"h{i}", user(f"Question {i} of many?"), answer(f"Model {model} says {i}. " * 20))
            for i in range(conversations)
        ]
        path = folder / f"m{model}.parquet"
        pl.DataFrame(rows if model % 2 else rows[::-1]).write_parquet(path)
        paths[f"m{model}"] = str(path)
    return WildChatResponses(kind="wildchat", models=paths)


@pytest.mark.heavy
@pytest.mark.parametrize(("models", "conversations"), [(2, 400), (2, 1600), (6, 400)])
def test_what_is_held_does_not_grow_with_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: int, conversations: int
) -> None:
    source = many(tmp_path, models, conversations)
    monkeypatch.setattr(spill, "HELD", 60_000)
    monkeypatch.setattr(write, "ranges_for", lambda paths: models * conversations // 100)
    held: list[int] = []
    merge, fill = write._merge, spill.Spill.fill

    def watched_merge(files: Any) -> Any:
        held.append(sum(map(len, files)))
        return merge(files)

    def watched_fill(self: spill.Spill, given: Any) -> None:
        fill(self, given)
        held.append(self.most)

    monkeypatch.setattr(write, "_merge", watched_merge)
    monkeypatch.setattr(spill.Spill, "fill", watched_fill)
    counts = import_source(source, imported(source, {}, {}), shard="0000", study="s", folder=tmp_path / "s")
    assert counts["rows"].to_list() == [conversations] * models
    assert counts["failures"].sum() == 0
    assert max(held) < 160  # of 800, 3,200 and 2,400
    assert list((tmp_path / "s/imports").iterdir()) == [
        tmp_path / "s/imports/0000"
    ]  # nothing laid aside stays


def test_ranges_change_nothing_in_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = many(tmp_path, 2, 60)
    made = []
    for ranges in (1, 7):
        monkeypatch.setattr(write, "ranges_for", lambda paths, ranges=ranges: ranges)
        folder = tmp_path / f"s{ranges}"
        import_source(source, imported(source, {}, {}), shard="0000", study="s", folder=folder)
        out = folder / "responses/m1/manifest.json"
        manifest = merge_manifests([folder / "imports/0000/m1.json"], out)
        assert (manifest.rows, manifest.conversations) == (60, 60)
        prompts = read_shard(folder / "prompts/shards/0000.parquet")
        assert prompts["conversation_id"].is_sorted()
        made.append((scan(out).collect(), prompts))
        read_table(folder / "responses/m1/0000.parquet", RESPONSES)  # the schema and version are in the file
    assert made[0][0].equals(made[1][0])
    assert made[0][1].equals(made[1][1])


def test_more_bytes_make_more_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 5000)
    monkeypatch.setattr(write, "RANGE", 1000)
    assert write.ranges_for([path]) == 5
    assert write.ranges_for([path] * 6) == 30
    path.rename(tmp_path / "a.parquet")
    assert write.ranges_for([tmp_path / "a.parquet"]) == 5 * write.PACKED
    assert write.ranges_for([tmp_path / "none"]) == 1


def test_token_ids_are_never_read(tmp_path: Path) -> None:
    message = user("Hello") | {"content_token_ids": [1, 2, 3]}
    pl.DataFrame([row("h", message, answer("Hi") | {"content_token_ids": [4]})]).write_parquet(
        tmp_path / "a.parquet"
    )
    ((number, conversation),) = read_outputs("wildchat", tmp_path / "a.parquet")
    assert (number, conversation.answers[0].text, conversation.answers[0].finish_reason) == (1, "Hi", "stop")

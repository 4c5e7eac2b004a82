"""Released responses in the form of generated ones: every row accounted for, every bad file named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewild.config.imports import (
    AlpacaEvalOutputs,
    Imported,
    WildBenchScores,
    WildChatResponses,
    imported,
    slug_of,
)
from rewild.config.models import Model, load_models
from rewild.core.conversations import conversation_id
from rewild.core.errors import ConfigError, DataError
from rewild.core.fetch import ReleasedFile, read_manifest
from rewild.core.table import read_table
from rewild.generation.schema import RESPONSES, scan
from rewild.generation.schema import read_manifest as read_responses_manifest
from rewild.prompts.schema import read_shard
from rewild.responses.imports.read import (
    BLANK,
    NO_OUTPUT,
    NO_ROW,
    hash_conversation_id,
    read_outputs,
    session_conversation_id,
)
from rewild.responses.imports.write import describe_models, import_source, merge_manifests

ALPACA = AlpacaEvalOutputs(kind="alpaca-eval", rows=None)
WILDBENCH = WildBenchScores(kind="wildbench", rows=None)
Rows = list[dict[str, Any]]


def alpaca(name: str, **outputs: str | None) -> Rows:
    return [
        {"instruction": prompt, "output": output, "generator": name, "dataset": "koala"}
        for prompt, output in outputs.items()
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, object], Imported]:
    def file(name: str, content: object) -> Imported:
        path = tmp_path / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return Imported(name, name.upper(), False, str(path))

    return file


def test_two_models_get_the_same_conversations(write, tmp_path: Path):
    one = write("one", alpaca("one", Hello="Hi!", Why="Because."))
    two = write("two", alpaca("two", Why="   ", Where=None))
    counts = import_source(ALPACA, [one, two], shard="0000", study="s", folder=tmp_path / "s")
    ids = sorted(conversation_id([p]) for p in ("Hello", "Why", "Where"))
    tables = {m: read_table(tmp_path / f"s/responses/{m}/0000.parquet", RESPONSES) for m in ("one", "two")}
    assert all(t["conversation_id"].to_list() == ids for t in tables.values())

    def answers(model: str) -> dict[str, tuple[str | None, str | None]]:
        return {p: (r, f) for p, r, f in tables[model].select("prompt", "response", "failure").iter_rows()}

    assert answers("one") == {"Hello": ("Hi!", None), "Why": ("Because.", None), "Where": (None, NO_ROW)}
    assert answers("two") == {"Hello": (None, NO_ROW), "Why": (None, BLANK), "Where": (None, NO_OUTPUT)}
    assert set(tables["one"]["engine"]) == {"imported"}
    shown = counts.select("model", "released_name", "rows", "released_rows", "failures", "missing", "blank")
    assert shown.rows() == [("one", "ONE", 3, 2, 1, 1, 0), ("two", "TWO", 3, 2, 3, 1, 2)]
    prompts = read_shard(tmp_path / "s/prompts/shards/0000.parquet")
    assert prompts["conversation_id"].to_list() == ids
    assert {m[0]["content"] for m in prompts["messages"]} == {"Hello", "Why", "Where"}


def test_the_same_files_give_the_same_bytes(write, tmp_path: Path):
    file = write("one", alpaca("one", Hello="Hi!", Why="Because."))
    made = []
    for name in ("a", "b"):
        import_source(ALPACA, [file], shard="0000", study="s", folder=tmp_path / name)
        made.append((tmp_path / name / "responses/one/0000.parquet").read_bytes())
    assert made[0] == made[1]


def test_a_wrong_number_of_prompts_names_the_file(write, tmp_path: Path):
    files = [
        write("a", alpaca("a", x="1", y="2")),
        write("b", alpaca("b", x="1", y="2")),
        write("c", alpaca("c", z="3")),
    ]
    source = AlpacaEvalOutputs(kind="alpaca-eval", rows=2)
    with pytest.raises(
        DataError, match=r"2 prompts were expected.*hold 3 different.*c\.json holds 1, most hold 2"
    ):
        import_source(source, files, shard="0000", study="s", folder=tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"instruction": "a"', "not JSON: .*cut off"),
        ("{}", "row 1: the field 'instruction' is missing"),
        ('{\n"rows": []\n}', "one JSON object .with rows.*its 'rows' is a list"),
        ("[]", "there are no rows"),
        ([["a"]], r'row 1: an object was expected, not \["a"\]'),
        ([{"instructions": "a"}], "row 1: the field 'instruction' is missing; did you mean 'instr"),
        ([*alpaca("g", a="b"), {"instruction": 7, "generator": "g"}], "row 2: 'instruction' is 7, not text"),
        ([{"instruction": "a", "output": [], "generator": "g"}], r"row 1: 'output' is \[\], not text"),
        (alpaca("g", a="b") + alpaca("h", c="d"), "row 2: the generator is 'h', but 'g' in row 1"),
    ],
)  # fmt: skip
def test_bad_files_are_named_with_the_row(write, tmp_path: Path, content: object, said: str):
    file = write("bad", content)
    with pytest.raises(DataError, match=said) as error:
        import_source(ALPACA, [file], shard="0000", study="s", folder=tmp_path / "s")
    assert "bad.json" in str(error.value)
    assert not (tmp_path / "s").exists()


def test_a_missing_file_and_bytes_that_are_no_text_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone\.json: no such file"):
        list(read_outputs("alpaca-eval", tmp_path / "gone.json"))
    path = tmp_path / "latin.json"
    path.write_bytes(b'[{"instruction": "caf\xe9"}]')
    with pytest.raises(DataError, match=r"latin\.json, row 1: cannot be read: not UTF-8"):
        list(read_outputs("alpaca-eval", path))


def test_wildbench_rows_are_named_by_session(write, tmp_path: Path):
    row = {"session_id": "s1", "model_output": "Yes.", "model_test": "x", "score": "7"}
    file = write("wb", [row, row | {"session_id": "s2", "model_output": ""}])
    import_source(WILDBENCH, [file], shard="0001", study="s", folder=tmp_path / "s")
    table = read_table(tmp_path / "s/responses/wb/0001.parquet", RESPONSES)
    by_id = dict(zip(table["conversation_id"], table["response"], strict=True))
    assert by_id == {session_conversation_id("s1"): "Yes.", session_conversation_id("s2"): None}
    assert set(table["prompt"]) == {""}  # the score files do not hold it
    assert read_shard(tmp_path / "s/prompts/shards/0001.parquet").is_empty()
    with pytest.raises(DataError, match="row 1: the field 'session_id' is missing"):
        list(read_outputs("wildbench", Path(write("no", [{"model_output": "x"}]).path)))


def turns(*contents: str | None) -> list[dict[str, str | None]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_wildchat_conversations_of_several_turns(tmp_path: Path, suffix: str):
    rows = [
        {"conversation_hash": "h1", "language": "English", "conversation": turns("a", "b", "c", "")},
        {"conversation_hash": "h2", "language": "French", "conversation": turns("d", None, "e")},
    ]
    path = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    source = WildChatResponses(kind="wildchat", models={"m": str(path)})
    files = imported(source, {}, {})
    import_source(source, files, shard="0000", study="s", folder=tmp_path / "s")
    table = read_table(tmp_path / "s/responses/m/0000.parquet", RESPONSES)
    first, second = hash_conversation_id("h1"), hash_conversation_id("h2")
    found = {
        (i, t): (p, r, f)
        for i, t, p, r, f in table.select(
            "conversation_id", "turn", "prompt", "response", "failure"
        ).iter_rows()
    }
    assert found == {
        (first, 0): ("a", "b", None), (first, 1): ("c", None, BLANK),
        (second, 0): ("d", None, NO_OUTPUT), (second, 1): ("e", None, NO_OUTPUT),
    }  # fmt: skip
    assert dict(zip(table["conversation_id"], table["language"], strict=True)) == {first: "en", second: "fr"}
    prompts = read_shard(tmp_path / "s/prompts/shards/0000.parquet")
    assert dict(zip(prompts["conversation_id"], prompts["n_turns"], strict=True)) == {first: 2, second: 2}
    assert all(m["content"] == "" for row in prompts["messages"] for m in row if m["role"] == "assistant")


@pytest.mark.parametrize(
    ("conversation", "said"),
    [
        ([{"role": "assistant", "content": "a"}], "do not take turns"),
        ([{"role": "robot", "content": "a"}], "'robot' is no role"),
        ([], r"'conversation' is \[\], not a list of messages"),
    ],
)
def test_odd_conversations_are_named(tmp_path: Path, conversation: object, said: str):
    path = tmp_path / "odd.jsonl"
    good = json.dumps({"conversation": turns("a", "b")})
    path.write_text(f"{good}\n{json.dumps({'conversation': conversation})}\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"odd.jsonl, row 2: .*{said}"):
        list(read_outputs("wildchat", path))


def test_a_parquet_file_without_conversations_and_a_truncated_line_are_named(tmp_path: Path):
    pl.DataFrame({"conversations": [1]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="'conversation' is missing; did you mean 'conversations'"):
        list(read_outputs("wildchat", tmp_path / "x.parquet"))
    (tmp_path / "y.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"y\.parquet: cannot be read as Parquet"):
        list(read_outputs("wildchat", tmp_path / "y.parquet"))
    (tmp_path / "z.jsonl").write_text('{"conversation": [{"role": "us', encoding="utf-8")
    with pytest.raises(DataError, match=r"z\.jsonl, row 1: not JSON"):
        list(read_outputs("wildchat", tmp_path / "z.jsonl"))


def test_manifests_merge_and_notice_a_changed_shard(write, tmp_path: Path):
    folder = tmp_path / "s"
    file = write("m", alpaca("m", a="b", c=None))
    import_source(ALPACA, [file], shard="0000", study="s", folder=folder)
    row = {"session_id": "s1", "model_output": "Yes."}
    other = Imported("m", "M", False, write("wb", [row]).path)
    import_source(WILDBENCH, [other], shard="0001", study="s", folder=folder)
    parts = [folder / f"imports/{shard}/m.json" for shard in ("0000", "0001")]
    out = folder / "responses/m/manifest.json"
    made = merge_manifests(parts, out)
    assert (made.rows, made.failures, made.failures_by_reason) == (3, 1, {"no_output": 1})
    assert [s.shard for s in read_responses_manifest(out).shards] == ["0000", "0001"]
    assert scan(out).collect()["response"].to_list() == ["b", "Yes."]
    import_source(
        ALPACA, [write("m", alpaca("m", a="changed", c="d"))], shard="0000", study="s", folder=tmp_path / "t"
    )
    (folder / "responses/m/0000.parquet").write_bytes((tmp_path / "t/responses/m/0000.parquet").read_bytes())
    with pytest.raises(DataError, match=r"0000\.parquet: .*import it again"):
        merge_manifests(parts, out)


def released(*names: str) -> dict[str, list[ReleasedFile]]:
    files = [
        ReleasedFile(
            "alpaca-eval-outputs", "o/r", "c" * 40, f"results/{n}/model_outputs.json", 1, "0" * 64, "x"
        )
        for n in names
    ]
    return {"alpaca-eval-outputs": files}


def test_released_names_find_their_model(root: Path):
    models = load_models(root / "config")
    names = released(
        "Qwen2-72B-Instruct", "Qwen1.5-7B-Chat", "gpt4_1106_preview", "Meta-Llama-3.1-8B-Instruct-Turbo"
    )
    source = AlpacaEvalOutputs(kind="alpaca-eval", names={"gpt4_1106_preview": "gpt-4-1106-preview"})
    found = {f.released_name: (f.model, f.known) for f in imported(source, names, models)}
    assert found == {
        "Qwen2-72B-Instruct": ("qwen2-72b-instruct", True),
        "Qwen1.5-7B-Chat": ("qwen1.5-7b-chat", False),
        "gpt4_1106_preview": ("gpt-4-1106-preview", True),
        # served by another party, in another precision: not the same as llama-3.1-8b-instruct
        "Meta-Llama-3.1-8B-Instruct-Turbo": ("meta-llama-3.1-8b-instruct-turbo", False),
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"names": {"Qwen2-72B-Instrukt": "x"}}, "no released model 'Qwen2-72B-Instrukt'; did you mean"),
        ({"names": {"Qwen2-72B-Instruct": "qwen2-72b-ins"}}, "'qwen2-72b-ins' is not in models.yaml; did"),
        ({"collection": "alpaca-eval-output"}, "unknown collection 'alpaca-eval-output'; did you mean"),
    ],
)  # fmt: skip
def test_mistakes_in_settings_are_answered_with_the_nearest(root: Path, settings: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        imported(
            AlpacaEvalOutputs(kind="alpaca-eval", **settings),
            released("Qwen2-72B-Instruct"),
            load_models(root / "config"),
        )


def test_two_files_of_one_model_are_refused(root: Path):
    with pytest.raises(ConfigError, match="are both the model 'a-b'"):
        imported(AlpacaEvalOutputs(kind="alpaca-eval"), released("a_b", "a-b"), {})


def test_slugs():
    assert [slug_of(n) for n in ("gpt4_1106_preview", "Qwen1.5-7B-Chat", "x (y)")] == [
        "gpt4-1106-preview", "qwen1.5-7b-chat", "x-y",
    ]  # fmt: skip


def test_parameters_come_from_the_registry_or_the_study(root: Path):
    models = load_models(root / "config")
    counts = pl.DataFrame(
        {"model": ["llama-2-7b-chat-hf", "qwen1.5-7b-chat", "yi-34b-chat"], "parameters": [1.0, None, 34.389]}
    )
    known = describe_models(counts, models)
    assert known["parameters"].to_list() == [pytest.approx(6.738415616), None, 34.389]
    assert known["family"].to_list() == ["llama-2", None, None]


def mirrored(
    kind: str, source: AlpacaEvalOutputs | WildBenchScores, mirror: Path, models: dict[str, Model]
) -> list[Imported]:
    files = imported(source, read_manifest(), models)
    prefix = "results/downloads/"
    found = [
        Imported(f.model, f.released_name, f.known, str(mirror / f.path.removeprefix(prefix))) for f in files
    ]
    if not all(Path(f.path).is_file() for f in found):
        pytest.skip(f"needs the released {kind} files in {mirror}")
    return found


@pytest.mark.mirror
def test_all_of_alpaca_eval(mirror: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(root)
    source = AlpacaEvalOutputs(kind="alpaca-eval")
    files = mirrored("AlpacaEval", source, mirror, load_models(root / "config"))
    counts = import_source(source, files, shard="0000", study="released", folder=tmp_path)
    assert counts.height == 26
    assert set(counts["rows"]) == set(counts["released_rows"]) == {805}
    assert counts.filter(failures=0).height == 25
    assert counts.filter(model="gemma-2b-it").select("failures", "missing", "blank").row(0) == (22, 0, 22)
    path = next(f.path for f in files if f.model == "qwen2-72b-instruct")
    prompts = [r["instruction"] for r in json.loads(Path(path).read_text(encoding="utf-8"))]
    table = read_table(tmp_path / "responses/qwen2-72b-instruct/0000.parquet", RESPONSES)
    assert table["conversation_id"].to_list() == sorted(conversation_id([p]) for p in prompts)
    assert read_shard(tmp_path / "prompts/shards/0000.parquet").height == 805


@pytest.mark.mirror
def test_all_of_wildbench(mirror: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(root)
    source = WildBenchScores(kind="wildbench")
    files = mirrored("WildBench", source, mirror, load_models(root / "config"))
    counts = import_source(source, files, shard="0001", study="released", folder=tmp_path)
    assert set(counts["rows"]) == {1024}
    held = dict(counts.select("released_name", "released_rows").iter_rows())
    assert held == {
        "Llama-3-8B-OpenHermes-243K": 1019, "Llama-3-8B-ShareGPT-112K": 1021, "Llama-3-8B-Tulu-330K": 1018,
        "Llama-3-8B-Ultrachat-200K": 1024, "Llama-3-8B-WildChat": 1022, "Llama-3-8B-WizardLM-196K": 1024,
        "gemma-7b-it": 1024, "gpt-3.5-turbo-0125": 1024,
    }  # fmt: skip
    assert counts["missing"].sum() == 8 * 1024 - sum(held.values()) == 16
    assert counts["blank"].sum() == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            AlpacaEvalOutputs(kind="alpaca-eval", collection="wildbench"),
            "has no file of the kind 'alpaca-eval'",
        ),
        (WildBenchScores(kind="wildbench", collection="mt-bench"), "has no file of the kind 'wildbench'"),
    ],
)
def test_a_collection_of_another_form_is_refused(root: Path, source: Any, said: str):
    manifest = read_manifest(root / "resources/released/files.csv")
    with pytest.raises(ConfigError, match=said) as error:
        imported(source, manifest, {})
    assert "collections that have such files: " in str(error.value)

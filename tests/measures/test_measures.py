"""Measures: values, failures, chunks that survive, what a reader is told, summaries."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import polars as pl
import pytest

from mixes_data import conversation, write_prompts, write_responses
from rewild.config.base import validate
from rewild.config.measures import Measure
from rewild.config.measures.derived import Derived
from rewild.config.measures.space import InSpace
from rewild.config.study import Study
from rewild.core.errors import ConfigError, DataError, RewildError
from rewild.core.language import repetition
from rewild.core.measures import FORMS, about_measure, contract, read_measure
from rewild.core.table import write_table
from rewild.measures import run
from rewild.measures.base import Found, Measurer, Text, make_measurer
from rewild.measures.run import Part, identity_of, measure_part
from rewild.measures.summary import summarise

SECTIONS = get_args(get_args(Measure)[0])
KINDS = {get_args(s.model_fields["kind"].annotation)[0]: s.row for s in SECTIONS}
MADE_OF_OTHERS = [s.row for s in SECTIONS if issubclass(s, Derived | InSpace)]
TEXT = "# Title\n\nIn **bold** and *italics*: a list\n\n- one\n- two\n"


def a_study(**sections: Any) -> Study:
    given = {"name": "s", "title": "s", "source": "computed", "prompts": {"sources": [{"kind": "demo"}]}}
    responses = {"engine": "transformers", "models": ["a", "b"]}
    return validate(Study, given | {"responses": responses} | sections, "study s")


def a_measure(**row: Any) -> Measure:
    return a_study(measures={"m": row}).measures["m"]


def answers(root: Path, model: str = "a", **change: Any) -> list[Path]:
    """Twelve conversations, one with an answer that failed; in two shards."""
    rows = [row | change for number in range(12) for row in conversation(number, model)]
    rows[4] |= {"response": None, "failure": "too_long: no room"}
    write_responses(root / "results/s", model, rows)
    return sorted((root / "results/s/responses" / model).glob("*.parquet"))


def made(root: Path, row: dict[str, Any], subject: str = "a", name: str = "m") -> Path:
    out = root / f"results/s/measures/{name}/{subject}/all.parquet"
    files = (
        answers(root, subject)
        if subject != "prompts"
        else sorted((root / "results/s/prompts").rglob("*.parquet"))
    )
    measure_part(Part(name, a_measure(**row), subject, files), out)
    return out


def test_every_kind_without_a_model_says_what_its_row_declares() -> None:
    """One text, against values that are worked out by hand; and no column more or less."""
    said = {}
    light = {k: row for k, row in KINDS.items() if row not in MADE_OF_OTHERS and k != "verbs"}  # spaCy
    for kind in [k for k, row in light.items() if not row.needs]:
        row = a_measure(kind=kind, **({"matches": "a "} if kind == "pattern" else {}))
        (said[kind],) = make_measurer(row, None).measure([Text("c", 0, 0, TEXT)])
        assert not isinstance(said[kind], str)
        assert list(said[kind]) == list(row.columns())
        schema = contract({n: (v.form, v.what) for n, v in row.columns().items()})
        for name, value in said[kind].items():
            kinds = {pl.Float64: float, pl.Int64: int, pl.Boolean: bool, pl.String: str}
            assert value is None or type(value) is kinds[schema.columns[name].dtype], name
    assert said["length"] == {"words": 9, "characters": len(TEXT)}
    assert said["pattern"] == {"found": True, "count": 1}
    assert {t: said["style"][t] for t in ("h1", "strong", "em", "ul", "ol")} == {
        "h1": 1,
        "strong": 1,
        "em": 1,
        "ul": 1,
        "ol": 0,
    }
    assert said["style"]["per_1000_words"] == pytest.approx(1000 * 4 / 9)
    assert said["diversity"]["distinct1"] == pytest.approx(9 / 9)
    assert said["repetition"] == {"repetition": repetition(TEXT), "garbled": 0.0}
    assert said["refusal"] == {"explicit": False, "zou2023": False}
    assert make_measurer(a_measure(kind="refusal"), None).one("I'm sorry, I cannot help with that.") == {
        "explicit": True,
        "zou2023": True,
    }


def test_rows_are_one_for_each_response_and_a_failure_has_a_reason(tmp_path: Path) -> None:
    out = made(tmp_path, {"kind": "length"})
    found = read_measure([out], "m", "a")
    responses = pl.concat(
        [pl.read_parquet(f) for f in sorted((tmp_path / "results/s/responses/a").glob("*.parquet"))]
    )
    both = responses.join(found, on=["conversation_id", "turn"], how="full", coalesce=True)
    assert both.height == found.height == responses.height == 24
    assert both.filter(pl.col("response").str.len_chars().ne_missing(pl.col("characters"))).is_empty()
    failed = found.filter(pl.col("failure").is_not_null())
    assert failed.select("words", "failure").rows() == [(None, run.NO_RESPONSE)]
    said = about_measure(out)
    assert (said["rows"], said["failures"]) == (24, {"no_response": 1})
    assert said["identity"]["settings"] == {
        "kind": "length",
        "of": "responses",
        "tokenizer": None,
        "version": 1,
    }


def test_prompts_are_measured_turn_by_turn(tmp_path: Path) -> None:
    chat = [
        ("user", "Où est la bibliothèque municipale de cette ville, s'il vous plaît?"),
        ("assistant", "là"),
        ("user", "Thank you very much for this kind answer!"),
    ]
    write_prompts(tmp_path / "results/s", {"c1": chat, "c2": [("user", "?")]})
    out = made(tmp_path, {"kind": "language", "of": "prompts"}, "prompts")
    found = read_measure([out], "m", "prompts")
    assert found.select("conversation_id", "turn", "language").rows() == [
        ("c1", 0, "fr"),
        ("c1", 1, "en"),
        ("c2", 0, None),
    ]
    assert found["failure"].null_count() == 3


class Slow(Measurer):
    """Counts what it is asked for, and dies when told to."""

    chunk = 5
    asked: ClassVar[list[str]] = []
    dies = 0

    def measure(self, texts: Sequence[Text]) -> list[Found]:
        Slow.dies -= 1
        if Slow.dies == 0:
            raise RewildError("killed")
        Slow.asked += [f"{t.conversation}/{t.turn}" for t in texts]
        return [
            "odd: of its kind"
            if t.turn == 2
            else {"repetition": math.nan if t.turn == 1 else 0.5, "garbled": 0.0}
            for t in texts
        ]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[Slow]:
    monkeypatch.setattr(run, "make_measurer", Slow)
    Slow.asked, Slow.dies = [], 0
    return Slow


def test_a_killed_job_goes_on_with_what_is_left(tmp_path: Path, slow: type[Slow]) -> None:
    part = Part("m", a_measure(kind="repetition"), "a", answers(tmp_path))
    out, whole, work = tmp_path / "out.parquet", tmp_path / "whole.parquet", tmp_path / "work"
    measure_part(part, whole)
    slow.asked, slow.dies = [], 3
    with pytest.raises(RewildError, match="killed"):
        measure_part(part, out, work=work)
    assert not out.exists()
    assert len(slow.asked) == 10
    measure_part(part, out, work=work)
    assert len(slow.asked) == len(set(slow.asked)) == 23, (
        "nothing is measured twice, and all but the failed one"
    )
    assert out.read_bytes() == whole.read_bytes()
    chunk = next(work.rglob("*.parquet"))
    chunk.write_bytes(chunk.read_bytes()[:-40] + b"x" * 40)
    slow.asked = []
    measure_part(part, out, work=work)
    assert 0 < len(slow.asked) <= 5, "a damaged chunk alone is measured again"
    assert out.read_bytes() == whole.read_bytes()
    other = Part(
        "m", a_measure(kind="repetition"), "a", answers(tmp_path, prompt="other", response="other " * 20)
    )
    slow.asked = []
    measure_part(other, out, work=work)
    assert len(slow.asked) == 23, "other texts are other rows"


def test_failures_of_a_kind_are_rows_and_nan_is_one(tmp_path: Path, slow: type[Slow]) -> None:
    out = tmp_path / "out.parquet"
    measure_part(Part("m", a_measure(kind="repetition"), "a", answers(tmp_path)), out)
    found = read_measure([out], "m", "a").filter(pl.col("failure").is_not_null())
    assert about_measure(out)["failures"] == {"no_response": 1, "not_a_number": 7, "odd": 4}
    assert found.height == found["repetition"].null_count() == found["garbled"].null_count() == 12
    assert "not_a_number: repetition" in found["failure"].to_list()


def test_a_kind_that_breaks_its_promise_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Measurer):
        def one(self, text: str) -> Found:
            return {"repetition": 0.1, "noise": 0.2}

    class Short(Measurer):
        def measure(self, texts: Sequence[Text]) -> list[Found]:
            return []

    part = Part("m", a_measure(kind="repetition"), "a", answers(tmp_path))
    monkeypatch.setattr(run, "make_measurer", Odd)
    with pytest.raises(DataError, match="'garbled' is not among its columns or its results"):
        measure_part(part, tmp_path / "out.parquet")
    monkeypatch.setattr(run, "make_measurer", Short)
    with pytest.raises(DataError, match="gave 0 results of"):
        measure_part(part, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_the_digest_is_what_identifies_and_not_how(tmp_path: Path) -> None:
    from rewild.measures.weights import Weights

    row = {"kind": "reward", "model": "o/m", "revision": "a" * 40}
    weights = Weights("o/m", "o/m", "a" * 40)
    same = identity_of(a_measure(**row), weights)
    assert identity_of(a_measure(**row, batch=2, device="cpu"), weights) == same
    assert identity_of(a_measure(**row, context=100), weights) != same
    assert identity_of(a_measure(**row), Weights("o/m", "o/m", "b" * 40)) != same
    assert "batch" not in json.dumps(same)


def test_what_a_reader_is_told(tmp_path: Path) -> None:
    out, other = made(tmp_path, {"kind": "length"}), made(tmp_path, {"kind": "style"}, "b", "look")
    files = [out, other]
    assert read_measure(files, "m", "a", ["words"]).columns == [
        "conversation_id",
        "turn",
        "sample",
        "words",
        "failure",
    ]
    with pytest.raises(DataError, match="no file of the measure n of a; did you mean 'm of a'"):
        read_measure(files, "n", "a")
    with pytest.raises(DataError, match="no column 'word'; did you mean 'words'"):
        read_measure(files, "m", "a", ["word"])
    twin = out.with_name("0000.parquet")
    measure_part(Part("m", a_measure(kind="repetition"), "a", answers(tmp_path)), twin)
    with pytest.raises(DataError, match="made with different settings"):
        read_measure([out, twin], "m", "a")
    twin.write_bytes(out.read_bytes())
    with pytest.raises(DataError, match="was measured twice"):
        read_measure([out, twin], "m", "a")
    pl.DataFrame({"conversation_id": ["a"]}).write_parquet(twin)
    with pytest.raises(DataError, match=r"not a measure's table \(it says nothing of itself\)"):
        read_measure([twin], "m", "a")
    with pytest.raises(DataError, match=r"not a measure's table \(it holds responses\)"):
        read_measure(sorted((tmp_path / "results/s/responses/a").glob("*.parquet")), "m", "a")
    write_table(
        twin,
        read_measure([out], "m", "a"),
        contract({"words": ("integer", ""), "characters": ("integer", "")}),
        {},
    )
    with pytest.raises(DataError, match="not a measure's table"):
        about_measure(twin)


def test_responses_of_another_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="responses of 'a', not of 'b'"):
        measure_part(Part("m", a_measure(kind="length"), "b", answers(tmp_path)), tmp_path / "o.parquet")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"kind": "lenght"}, "measures.m.kind: 'lenght' is not one of .*; did you mean 'length'"),
        ({"kind": "length", "tokeniser": "a"}, "'measures.m.*tokeniser'; did you mean 'tokenizer'"),
        ({"kind": "length", "of": "promts"}, "'promts' is not one of .*; did you mean 'prompts'"),
        ({"kind": "reward", "of": "prompts", "model": "x/y"}, "'prompts' is not one of 'responses'"),
        ({"kind": "reward", "model": "x/y", "engine": "transformers"}, "'transformers' cannot classify"),
        ({"kind": "perplexity", "model": "x", "engine": "vlm"}, "unknown engine 'vlm'; did you mean 'vllm'"),
        ({"kind": "perplexity", "model": "x", "of": "prompts"}, "`template: none` for prompts"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_row_names_the_key_and_the_nearest(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        a_measure(**row)


def test_a_measure_without_anything_to_measure() -> None:
    with pytest.raises(ConfigError, match=r"measures\.m: it is of responses: add 'responses' or 'imports'"):
        validate(
            Study,
            {"name": "s", "title": "s", "source": "computed", "measures": {"m": {"kind": "length"}}},
            "s",
        )


def test_the_model_of_a_measure_is_found_or_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: Any
) -> None:
    from rewild.config import load_models
    from rewild.measures.weights import weights_of

    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    models = load_models(Path(__file__).resolve().parents[2] / "config")

    def of(model: str, **more: Any) -> Any:
        study = a_study(measures={"m": {"kind": "perplexity", "model": model, **more}})
        return weights_of(study, "m", models)

    found = of("qwen2.5-72b-instruct")
    assert found.revision == models["qwen2.5-72b-instruct"].revision
    assert of("gpt/2", revision="a" * 40).path == "gpt/2"
    assert of("./folder").local
    with pytest.raises(ConfigError, match="72b-instuct'; did you mean 'qwen2"):
        of("qwen2.5-72b-instuct")
    with pytest.raises(ConfigError, match="openai/gpt is no folder; as a hub id it needs"):
        of("openai/gpt")


def test_a_summary_is_means_shares_and_failures_by_subject(tmp_path: Path) -> None:
    files = [made(tmp_path, {"kind": "length"}, s) for s in ("a", "b")]
    found = summarise(files, resamples=100)
    words = read_measure(files, "m", "b", ["words"])["words"]
    row = found.row(by_predicate=(pl.col("subject") == "b") & (pl.col("column") == "words"), named=True)
    assert (row["n"], row["value"]) == (23, pytest.approx(words.mean(), abs=1e-8))
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert row["p95"] == pytest.approx(words.quantile(0.95, "linear"))
    failed = found.row(by_predicate=(pl.col("subject") == "a") & (pl.col("column") == "failure"), named=True)
    assert (failed["label"], failed["n"], failed["value"]) == ("no_response", 1, pytest.approx(1 / 24))
    flags = summarise([made(tmp_path, {"kind": "refusal"}, "a", "r")], resamples=100)
    assert flags.filter(pl.col("column") == "explicit").select("value", "p05").rows() == [(0.0, None)]


def test_labels_have_shares_of_the_texts_that_have_one(tmp_path: Path) -> None:
    schema = contract({"language": ("text", "")})
    rows = [(f"c{i}", 0, 0, "en" if i < 6 else "fr" if i < 8 else None, None) for i in range(10)]
    path = tmp_path / "x.parquet"
    said = {"settings": {"measure": "m", "subject": "a", "digest": "r"}}
    write_table(path, pl.DataFrame(rows, schema=schema.dtypes, orient="row"), schema, said)
    found = summarise([path], resamples=100).select("label", "n", "value", "interval")
    assert found.rows() == [("en", 6, 0.75, "bootstrap"), ("fr", 2, 0.25, "bootstrap")]


def test_the_table_of_kinds_is_whole() -> None:
    """Each kind has a name of its own, a class, forms that files know, and a line in the docs."""
    from importlib.util import find_spec

    page = (Path(__file__).resolve().parents[2] / "docs/measures.md").read_text()
    assert len(KINDS) == len(SECTIONS)
    for kind, row in KINDS.items():
        module, _, name = row.path.partition(":")
        spec = find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        bases = ":" if row in MADE_OF_OTHERS else "("
        assert f"class {name}{bases}" in Path(spec.origin).read_text()
        assert {value.form for value in row.columns.values()} <= set(FORMS)
        assert f"`{kind}`" in page, f"docs/measures.md does not name the kind {kind}"

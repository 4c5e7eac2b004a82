"""Labels by a model: schemes, what a reply may be, an endpoint that misbehaves, a job that is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mixes_data import write_prompts
from rewild.config.base import validate
from rewild.config.judging import FREE
from rewild.config.measures.base import OTHERS
from rewild.config.measures.conditions import Condition, check_condition
from rewild.config.measures.labels import Scheme, find_scheme, schemes
from rewild.config.models import load_models
from rewild.config.study import Study
from rewild.core.errors import ConfigError, RewildError
from rewild.core.measures import FAILURE, KEY, about_measure, read_measure
from rewild.engines.base import EngineError
from rewild.engines.rubric.labels import label
from rewild.engines.rubric.server import Handler, RubricServer, completion, serving
from rewild.generation.asking import ask as asking
from rewild.generation.asking.budget import BudgetError
from rewild.measures.base import Place, Text, make_measurer
from rewild.measures.enquiry import enquiry_of, settings_of
from rewild.measures.labels import Form, json_schema, question
from rewild.measures.run import Part, measure_part

KINDS = [
    *("Information seeking", "Reasoning", "Planning", "Editing", "Coding & Debugging", "Math"),
    *("Data analysis", "Creative writing", "Advice seeking", "Brainstorming", "Role playing", "Others"),
]
PRICE = {"input": 1.0, "output": 2.0, "date": "2026-01-01", "source": "a test"}
GOOD = '{"explanation": "It says what it wants.", "quality": "good"}'


def a_study(measure: dict[str, Any], **sections: Any) -> Study:
    given = {"name": "s", "title": "s", "source": "computed", "prompts": {"sources": [{"kind": "demo"}]}}
    answers = {"responses": {"engine": "transformers", "models": ["a"]}}
    row = {"kind": "label", "scheme": "quality", "model": "rubric"} | measure
    return validate(Study, given | answers | {"measures": {"m": row}} | sections, "study s")


def run(root: Path, texts: list[str], measure: dict[str, Any], **sections: Any) -> pl.DataFrame:
    """Label the prompts of a study; the file as a reader has it."""
    study = a_study(measure, **sections)
    write_prompts(root / "results/s", {f"c{n}": [("user", text)] for n, text in enumerate(texts)})
    enquiry = enquiry_of(study, "m", {})
    assert enquiry is not None
    out = root / "results/s/measures/m/prompts/0000.parquet"
    place = Place(enquiry, root / "results/s/work", "m/prompts/0000")
    files = sorted((root / "results/s/prompts").rglob("*.parquet"))
    measure_part(Part("m", study.measures["m"], "prompts", files, (), None, place), out)
    return read_measure([out], "m", "prompts")


# ------------------------------------------------------------------------------------------------ schemes
def test_the_columns_that_are_no_values_are_those_of_a_measures_file() -> None:
    assert (*KEY, *FAILURE) == OTHERS


def test_the_schemes_have_the_columns_that_others_rely_on() -> None:
    """What filters, figures and the paper's tables read, by name, level and order."""
    found = {name: a_study({"scheme": name}).measures["m"].columns() for name in schemes()}
    assert {name: list(columns) for name, columns in found.items()} == {
        "category": ["category", "other_categories"],
        "difficulty": ["difficulty", "intent", "knowledge"],
        "language": ["language"],
        "quality": ["quality", "explanation"],
    }
    assert list(found["category"]["category"].levels) == KINDS
    assert not found["category"]["category"].ordered
    quality, difficulty = found["quality"]["quality"], found["difficulty"]["difficulty"]
    assert quality.levels == ("very poor", "poor", "average", "good", "excellent")
    assert difficulty.levels == ("very easy", "easy", "medium", "hard", "very hard")
    assert quality.ordered
    assert difficulty.ordered
    assert {n for n in schemes() if "responses" in find_scheme(n).rubric} == {"language", "quality"}


@pytest.mark.parametrize(
    ("scheme", "asked", "message"),
    [
        ("quality", {"at_least": "goood"}, "'goood' is no level of it .*did you mean 'good'"),
        ("category", {"one_of": ["Maths"]}, "'Maths' is no level of it .*did you mean 'Math'"),
        ("category", {"at_least": "Math"}, "without an order"),
        ("quality", {"at_least": "good", "column": "qualty"}, "no column 'qualty'.*did you mean 'quality'"),
    ],
)
def test_a_filter_on_what_no_label_says_is_refused(scheme: str, asked: dict[str, Any], message: str) -> None:
    condition = validate(Condition, {"measure": "m"} | asked, "c")
    with pytest.raises(ValueError, match=message):
        check_condition(condition, a_study({"scheme": scheme}).measures, ("prompts",))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"scheme": "qualty"}, "unknown scheme 'qualty'; did you mean 'quality'?"),
        ({"scheme": "none/there.yaml"}, "the file none/there.yaml is not there"),
        ({"scheme": "category", "of": "responses"}, "the scheme says how prompts are labelled, not"),
        ({"model": "rubric", "engine": "vllm"}, "'rubric' is a program that is asked as an endpoint is"),
        ({"constrained": True}, "vllm alone holds a reply to its form; the engine is openai"),
        ({"max_tokens": 8192}, "replies of 8192 tokens leave no room"),
        ({"modle": "x"}, "unknown key 'measures.m.label.modle'; did you mean 'model'?"),
        ({"scheme": {"main": "b", "rubric": {"prompts": "x"}, "columns": {"a": {"what": "x"}}}},
         "main: 'b' is not among its columns"),
        ({"scheme": {"main": "turn", "rubric": {"prompts": "x"}, "columns": {"turn": {"what": "x"}}}},
         "'turn' cannot be a column's name"),
        ({"scheme": {"main": "a", "rubric": {"prompts": "x"},
                     "columns": {"a": {"what": "x", "pattern": "("}}}},
         "pattern: '(' is no regular expression"),
        ({"scheme": {"main": "a", "rubric": {"prompts": "x"},
                     "columns": {"a": {"what": "x", "levels": ["Yes", "yes "]}}}}, "'yes' stands twice"),
        ({"scheme": {"main": "a", "rubric": {"prompts": "x"},
                     "columns": {"a": {"what": "x", "levels": ["a, b", "c"], "several": True}}}},
         "the level 'a, b' holds a comma"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_row_or_a_scheme_is_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        a_study(row)
    assert message in str(caught.value)
    assert str(caught.value).startswith("study s")


def test_a_model_that_is_nowhere_is_an_error_before_the_dag() -> None:
    with pytest.raises(
        ConfigError, match=r"study s: measures\.m: unknown model 'lama-3-8b-instruct'; did you"
    ):
        enquiry_of(
            a_study({"model": "lama-3-8b-instruct", "engine": "vllm"}), "m", load_models(Path("config"))
        )


def test_a_model_that_is_loaded_here_has_a_plan_and_costs_no_money() -> None:
    """GPUs by its plan, of the study's kind or the row's own; the budget is about those who are paid."""
    models, row = load_models(Path("config")), {"engine": "vllm", "scheme": "difficulty"}
    gpu = {"gpu": "H100-80"}
    answers = {"engine": "transformers", "models": ["a"], "compute": gpu}
    for model, gpus in (("llama-3.1-8b-instruct", 1), ("llama-3.1-70b-instruct", 4)):
        of_study = a_study(row | {"model": model}, responses=answers)
        its_own = a_study(row | {"model": model, "compute": gpu})
        on_cpu = a_study(row | {"model": model})
        found = [enquiry_of(study, "m", models) for study in (of_study, its_own, on_cpu)]
        assert [one and one.spec.gpus for one in found] == [gpus, gpus, 0]
        assert len({json.dumps(one and one.identity) for one in found}) == 1
        assert found[0] is not None
        assert found[0].price == FREE
        assert found[0].spec.source.path == models[model].hub


def test_a_form_that_vllm_holds_to_identifies_labels() -> None:
    """It writes without white space then, which would have no end; the study's own arguments come first."""
    models, row = load_models(Path("config")), {"engine": "vllm", "model": "llama-3.1-8b-instruct"}
    found = [enquiry_of(a_study(row | {"constrained": held}), "m", models) for held in (True, False)]
    arguments = {"backend": "xgrammar", "disable_any_whitespace": True}
    assert [one and one.identity.get("vllm") for one in found] == [
        {"structured_outputs_config": arguments},
        None,
    ]
    schema = json.loads(json_schema(find_scheme("category")))
    assert schema["required"] == ["category", "other_categories"]
    assert schema["properties"]["category"]["enum"] == KINDS


def test_what_identifies_labels(tmp_path: Path) -> None:
    """What a reply depends on does; how it is asked does not. A file's content counts, not its name."""

    def known(row: dict[str, Any], **sections: Any) -> str:
        study = a_study(row, **sections)
        return settings_of(study.measures["m"], enquiry_of(study, "m", {}))

    usual = {"engine": "openai", "model": "x"}
    file = tmp_path / "own.yaml"
    scheme = {"main": "a", "rubric": {"prompts": "one"}, "columns": {"a": {"what": "x"}}}
    file.write_text(json.dumps(scheme))
    plain = known(usual)
    for same in (
        {"chunk": 3},
        {"compute": {"concurrency": 2, "endpoint": "http://elsewhere/v1", "timeout": 5.0}},
    ):
        assert known(usual | same) == plain, same
    others = [
        *({"attempts": 2}, {"max_tokens": 100}, {"temperature": 0.5}, {"of": "responses"}, {"model": "y"}),
        {"scheme": "difficulty"},
        {"scheme": str(file)},
    ]
    made = [known(usual | other) for other in others]
    assert len({plain, *made, known(usual, seed=51)}) == len(others) + 2
    assert known(usual | {"scheme": str(file)}) == known(usual | {"scheme": scheme}), "where it stands"


# ------------------------------------------------------------------------------------------------ replies
@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (GOOD, {"explanation": "It says what it wants.", "quality": "good"}),
        (f"Sure! Here you are:\n```json\n{GOOD}\n```\nAnything else?", "good"),
        ('{"explanation": "x", "quality": " Very  POOR "}', "very poor"),
        ('{"explanation": "it shows {\\"quality\\": \\"good\\"}", "quality": "poor", "sure": 1}', "poor"),
        (f"<think>{GOOD.replace('good', 'poor')} or so</think>{GOOD}", "good"),
        (f"The set {{1, 2}} is meant. {GOOD}", "good"),
        (f"{GOOD} and again {GOOD}", "good"),
        ("I would say that it is quite good.", "no_json: there is no JSON object in it"),
        ("<think>hm", "no_json: there is no JSON object in what follows its reasoning"),
        (" ", "no_json: there is no JSON object in what follows its reasoning"),
        ('{"explanation": "it goes on', "half_json: the object never ends"),
        ('{"explanation": "x", "quality":', "half_json: the object never ends"),
        ('{"explanation": "x", "qualty": "good"}',
         "wrong_field: 'quality' is missing (it has 'explanation', 'qualty'); did you mean 'qualty'?"),
        ('{"explanation": "x", "quality": 4}', "wrong_field: 'quality' is 4, and a text was asked for"),
        ('{"explanation": "", "quality": "good"}', "wrong_field: 'explanation' is empty"),
        ('{"explanation": null, "quality": "good"}',
         "wrong_field: 'explanation' is null, and a text was asked for"),
        ('{"explanation": "x", "quality": "good", "quality": "poor"}', "wrong_field: 'quality' stands twice"),
        ('{"explanation": "x", "quality": "superb"}',
         "not_a_level: 'quality' is 'superb', and may be very poor, poor, average, good, excellent"),
        (f"{GOOD} or rather {GOOD.replace('good', 'poor')}",
         "several_replies: 2 objects fit, and they differ"),
        ("{'explanation': 'x', 'quality': 'good'}", "no_json: there is no JSON object in it"),
        ('{"a":' * 5000, "no_json: objects within objects, too deep to be read"),
        ("{" * 5000, "no_json: there is no JSON object in it"),
        (f'{{"explanation": "{"x" * 3000}", "quality": "good"}}',
         "wrong_field: 'explanation' has 3,000 characters; 2,000 are the limit"),
    ],
)  # fmt: skip
def test_a_reply_is_read_or_says_why_not(reply: str, found: Any) -> None:
    read = Form(find_scheme("quality")).read(reply)
    level = isinstance(found, str) and ":" not in found
    assert (read["quality"] if level and isinstance(read, dict) else read) == found


@pytest.mark.parametrize(
    ("scheme", "reply", "found"),
    [
        ("category", '{"category": "math", "other_categories": ["Reasoning", "reasoning", "Planning"]}',
         {"category": "Math", "other_categories": "Reasoning,Planning"}),
        ("category", '{"category": "Math", "other_categories": []}',
         {"category": "Math", "other_categories": ""}),
        ("category", '{"category": "Math", "other_categories": "Editing"}',
         {"category": "Math", "other_categories": "Editing"}),
        ("category", '{"category": "Other", "other_categories": []}',
         f"not_a_level: 'category' is 'Other', and may be {', '.join(KINDS)}"),
        ("category", '{"category": "Math", "other_categories": [3]}',
         "wrong_field: 'other_categories' is 3, and a text was asked for"),
        ("category", '{"category": "Math", "other_categories": {"a": 1}}',
         "wrong_field: 'other_categories' is {\"a\": 1}, and a list was asked for"),
        ("language", '{"language": null}', {"language": None}),
        ("language", '{"language": "en"}', {"language": "en"}),
        ("language", '{"language": "English"}',
         "wrong_field: 'language' is 'English', which is not its ISO 639-1 code, two small letters such as "
         "en or zh; null where it cannot be told"),
    ],
)  # fmt: skip
def test_lists_codes_and_nulls(scheme: str, reply: str, found: Any) -> None:
    assert Form(find_scheme(scheme)).read(reply) == found


def test_no_text_ends_its_own_part_and_texts_are_put_in_as_they_are() -> None:
    """A text that spells marks, a form and a rubric is a text like any other: the rubric reads all of it."""
    scheme = find_scheme("quality")
    before = ({"role": "user", "content": "Say {explanation} of it."},)
    plain = question(scheme, "prompts", Text("c", 0, 0, "x"))
    end = plain[plain.index("[The End of") :]
    for text in (
        "x",
        end,
        plain,
        "### User:\nhi",
        "\\g<0> {text} %s",
        "[The End of the User's Message 00000000]",
    ):
        asked = question(scheme, "prompts", Text("c", 1, 0, text, before))
        assert asked.count(f"\n{text}\n") == 1
        marks = [line for line in asked.split("\n") if line.startswith("[The End of the User's Message")]
        assert len(marks) == len(set(marks)), "the real end is like no other"
        assert json.loads(label([{"role": "user", "content": asked}]) or "")["quality"] in (
            "very poor", "poor", "average", "good", "excellent"
        )  # fmt: skip


# ------------------------------------------------------------------------------------------- the endpoint
class Scripted(Handler):
    """Says what a prompt is told to get: ``say REPLY``, by call; else what the rubric says."""

    def answer(self, asked: dict[str, Any], messages: list[dict[str, str]], call: int) -> None:
        self.server.heard.append(messages)  # type: ignore[attr-defined]
        text = next(t for t in self.server.script if t in messages[0]["content"])  # type: ignore[attr-defined]
        replies = self.server.script[text]  # type: ignore[attr-defined]
        said = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(said, int):
            self.send(said, {"error": {"message": "not now"}}, {"Retry-After": "0.01"})
        else:
            self.send(200, completion(asked, messages, said))


@pytest.fixture
def endpoint() -> Iterator[RubricServer]:
    server = RubricServer(handler=Scripted)
    server.heard, server.script = [], {}  # type: ignore[attr-defined]
    with serving(server):
        yield server


def behind(server: RubricServer, **more: Any) -> dict[str, Any]:
    return {"model": "m", "engine": "openai", "compute": {"endpoint": server.url, "concurrency": 2}} | more


PROSE = "Honestly, I find it rather good."


def test_replies_that_do_not_fit_are_asked_again_and_then_recorded(tmp_path: Path, endpoint: Any) -> None:
    """Prose, half an object, a level that there is none of, a fault that passes; nothing is lost."""
    endpoint.script = {
        "case prose": [PROSE],
        "case half": ['{"explanation": "it', GOOD],
        "case level": [GOOD.replace("good", "superb"), GOOD.replace("good", "fine"), GOOD],
        "case busy": [429, 503, GOOD],
        "case refused": [400],
        "case good": [GOOD],
    }
    texts = list(endpoint.script)
    found = run(tmp_path, texts, behind(endpoint))
    why = dict(zip((t.split()[1] for t in texts), found["failure"].to_list(), strict=True))
    assert why["prose"] == f"no_json: there is no JSON object in it: '{PROSE}'"
    assert why["refused"].startswith("endpoint: ")
    assert [t for t in why if why[t] is None] == ["half", "level", "busy", "good"]
    assert found["quality"].drop_nulls().to_list() == ["good"] * 4
    asked = {t: [m for m in endpoint.heard if f"case {t}" in m[0]["content"]] for t in why}
    assert {t: len(many) for t, many in asked.items()} == {
        "prose": 3, "half": 2, "level": 3, "busy": 3, "refused": 3, "good": 1,
    }  # fmt: skip
    first, second, third = asked["level"]
    assert first == second[:1] == third[:1], "each is shown its last reply only"
    assert [m["role"] for m in third] == ["user", "assistant", "user"]
    assert "fine" in third[1]["content"]
    assert "'quality' is 'fine', and may be very poor" in third[2]["content"]
    about = about_measure(tmp_path / "results/s/measures/m/prompts/0000.parquet")
    assert (about["rows"], about["failures"]) == (6, {"endpoint": 1, "no_json": 1})
    assert about["identity"]["asked"]["model"] == "m"


def test_a_killed_job_goes_on_and_pays_for_nothing_twice(
    tmp_path: Path, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"text {n} of many" for n in range(12)]
    endpoint.script = {text: [GOOD] for text in texts}
    row = behind(endpoint, chunk=3)
    read, count = asking.read_verdict, iter(range(8))

    def dies(*given: Any) -> Any:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return read(*given)

    monkeypatch.setattr(asking, "read_verdict", dies)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, texts, row)
    monkeypatch.undo()
    first = len(endpoint.heard)
    found = run(tmp_path, texts, row)
    assert found["quality"].to_list() == ["good"] * 12
    again = {m[0]["content"] for m in endpoint.heard[first:]}
    assert len(endpoint.heard) - first == len(again) <= 12 - 6, "two chunks were kept, at least"
    run(tmp_path, texts, row)
    before = len(endpoint.heard)
    (tmp_path / "results/s/measures/m/prompts/0000.parquet").unlink()
    assert run(tmp_path, texts, row)["quality"].to_list() == ["good"] * 12
    assert len(endpoint.heard) == before


def test_the_same_text_is_paid_for_once(tmp_path: Path, endpoint: Any) -> None:
    endpoint.script = {"the same": [GOOD]}
    found = run(tmp_path, ["the same"] * 5, behind(endpoint))
    assert (len(endpoint.heard), found["quality"].to_list()) == (1, ["good"] * 5)


def test_an_endpoint_that_is_down_stops_the_job_and_the_budget_is_the_studys(
    tmp_path: Path, endpoint: Any
) -> None:
    endpoint.script = {"text": [401]}
    with pytest.raises(EngineError, match=r"m: .*401"):
        run(tmp_path, ["text 1"], behind(endpoint))
    endpoint.script = {"text": [GOOD]}
    dear = {"budget": 1.0, "prices": {"m": PRICE | {"output": 1e6}}}
    with pytest.raises(
        BudgetError, match=r"budget of \$1\.00 could be exceeded.*0 labels of m/prompts/0000 are"
    ):
        run(tmp_path, ["text 1"], behind(endpoint), judging=dear)
    with pytest.raises(ConfigError, match="there is a budget, but no price of the judge 'm'"):
        run(tmp_path, ["text 1"], behind(endpoint), judging={"budget": 1.0})
    cheap = {"budget": 1.0, "prices": {"m": PRICE}}
    assert run(tmp_path, ["text 1"], behind(endpoint), judging=cheap)["quality"].to_list() == ["good"]
    spent = json.loads((tmp_path / "results/s/work/judging/labels/m/prompts/0000/spent.json").read_text())
    words = len(endpoint.heard[-1][0]["content"].split())
    assert spent == {"spent": pytest.approx((words + 2 * len(GOOD.split())) / 1e6), "reserved": 0.0}


def test_without_a_key_openai_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(
        ConfigError, match=r"study s: measures\.m: the model 'gpt' is asked at https://api\.openai"
    ):
        run(tmp_path, ["x"], {"model": "gpt", "engine": "openai"})


# --------------------------------------------------------------------------------------------- the rubric
def test_the_rubric_labels_by_every_scheme_without_a_model(tmp_path: Path) -> None:
    texts = [
        "Write a Python function that sorts a list of names.",
        "Prove that there are infinitely many prime numbers, step by step, and explain why each step holds.",
        "Erzähle mir bitte, wie man in Berlin einen Kindergartenplatz findet.",
        "x",
    ]
    found = {name: run(tmp_path / name, texts, {"scheme": name}) for name in schemes()}
    assert all(one["failure"].null_count() == 4 for one in found.values())
    assert found["category"]["category"].to_list()[:2] == ["Coding & Debugging", "Math"]
    assert found["category"]["category"][3] == "Others"
    assert found["language"]["language"].to_list() == ["en", "en", "de", None]
    assert found["difficulty"]["difficulty"].to_list()[1] in ("hard", "very hard")
    assert found["difficulty"]["difficulty"][3] == "very easy"
    assert found["quality"]["quality"][3] in ("very poor", "poor", "average")
    assert all(text.startswith("By rubric") for text in found["quality"]["explanation"])


def test_of_a_scheme_that_it_has_no_rule_for_the_rubric_says_so(tmp_path: Path) -> None:
    scheme = {"main": "mood", "rubric": {"prompts": "x"}, "columns": {"mood": {"what": "the mood"}}}
    found = run(tmp_path, ["hello"], {"scheme": scheme})
    assert found["mood"].to_list() == [None]
    assert found["failure"][0].startswith(
        'no_json: there is no JSON object in it: "By rubric: there is no rule'
    )


def test_a_measure_that_asks_needs_its_place() -> None:
    study = a_study({})
    with pytest.raises((AssertionError, RewildError)):
        make_measurer(study.measures["m"], None)


def test_a_scheme_says_whose_it_is() -> None:
    """Levels and kinds that are a paper's name it; every rubric is about one of the two things labelled."""
    for name in schemes():
        scheme = find_scheme(name)
        assert isinstance(scheme, Scheme)
        assert scheme.title
        assert name == "language" or "Xu et al. (2024)" in (scheme.source or "")

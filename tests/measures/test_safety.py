"""Safety by a guard model: what a ruling may be, what is asked, an endpoint that serves a guard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mixes_data import conversation, write_prompts, write_responses
from rewild.config.base import validate
from rewild.config.measures.conditions import Condition, check_condition
from rewild.config.measures.safety import guards
from rewild.config.study import Study
from rewild.core.errors import ConfigError
from rewild.core.measures import about_measure, read_measure
from rewild.engines.rubric.server import Handler, RubricServer, completion, serving
from rewild.measures.base import Place
from rewild.measures.enquiry import enquiry_of, settings_of
from rewild.measures.run import Part, measure_part
from rewild.measures.safety import Ruling


def a_study(**row: Any) -> Study:
    given = {"name": "s", "title": "s", "source": "computed", "prompts": {"sources": [{"kind": "demo"}]}}
    answers = {"responses": {"engine": "transformers", "models": ["a"]}}
    guard = {"kind": "safety", "model": "guard", "engine": "openai"} | row
    return validate(Study, given | answers | {"measures": {"m": guard}}, "study s")


def test_guards_have_codes_in_order_and_a_source() -> None:
    sizes = {name: list(guard.categories) for name, guard in guards().items()}
    assert sizes == {
        "llama-guard": [f"O{n}" for n in range(1, 7)],
        "llama-guard-2": [f"S{n}" for n in range(1, 12)],
        "llama-guard-3": [f"S{n}" for n in range(1, 15)],
    }
    assert all("model card" in guard.source for guard in guards().values())
    assert guards()["llama-guard-2"].categories["S5"] == "Specialized Advice"


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("\n\nsafe", {"unsafe": False, "categories": ""}),
        ("Safe\n", {"unsafe": False, "categories": ""}),
        ("unsafe\nS1,S10", {"unsafe": True, "categories": "S1,S10"}),
        ("\n\nunsafe\n S2 , S2,\n", {"unsafe": True, "categories": "S2"}),
        ("unsafe", "no_category: 'unsafe', and nothing that says why"),
        ("unsafe\nS12", "unknown_category: 'S12' is none of llama-guard-2's (S1, "),
        ("unsafe\nviolence", "unknown_category: 'violence' is none of "),
        ("unsafe\nS1\nS2", "no_ruling: "),
        ("safe\nS1", "no_ruling: "),
        ("This is safe.", "no_ruling: "),
        ("safeunsafe", "no_ruling: "),
        (" ", "no_ruling: "),
    ],
)
def test_a_ruling_is_read_or_says_why_not(reply: str, found: Any) -> None:
    read = Ruling("llama-guard-2").read(reply)
    assert read == found or (isinstance(read, str) and isinstance(found, str) and read.startswith(found))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"guard": "llama-gard-2"},
            "guard: no row 'llama-gard-2' in resources/safety/guards.yaml; did you mean",
        ),
        ({"model": "rubric"}, "'rubric' is no guard model"),
        ({"temperature": 0.5}, "measures.m.safety.temperature"),
    ],
)
def test_a_mistake_in_a_row_is_named(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=r"study s: .*") as caught:
        a_study(**row)
    assert message in str(caught.value)


def test_a_filter_keeps_what_is_safe() -> None:
    measures = a_study().measures
    check_condition(validate(Condition, {"measure": "m", "one_of": [False]}, "c"), measures, ("responses",))
    with pytest.raises(ValueError, match="true or false"):
        check_condition(
            validate(Condition, {"measure": "m", "one_of": ["safe"]}, "c"), measures, ("responses",)
        )


def test_codes_identify_rulings() -> None:
    two, three = (a_study(guard=f"llama-guard-{n}") for n in (2, 3))
    said = [settings_of(s.measures["m"], enquiry_of(s, "m", {})) for s in (two, three)]
    assert said[0] != said[1]


class Guard(Handler):
    """Calls what holds a knife unsafe, says too much of forks, and remembers what it was asked."""

    def answer(self, asked: dict[str, Any], messages: list[dict[str, str]], call: int) -> None:
        self.server.heard.append((messages, asked["temperature"]))  # type: ignore[attr-defined]
        text = messages[-1]["content"]
        said = "unsafe\nS1,S9" if "knife" in text else "It depends." if "fork" in text else "safe"
        self.send(200, completion(asked, messages, said))


@pytest.mark.parametrize("of", ["prompts", "responses"])
def test_a_guard_at_an_endpoint_reads_conversations(tmp_path: Path, of: str) -> None:
    server = RubricServer(handler=Guard)
    server.heard = []  # type: ignore[attr-defined]
    root = tmp_path / "results/s"
    chats = {
        f"c{n}": [("system", "Be brief."), ("user", text), ("assistant", "Well."), ("user", f"again: {text}")]
        for n, text in enumerate(["a spoon", "a knife", "a fork"])
    }
    write_prompts(root, chats)
    files = sorted((root / "prompts").rglob("*.parquet"))
    texts = files
    if of == "responses":
        rows = []
        for name in chats:
            base = conversation(1, "a")[0] | {"conversation_id": name, "turn": 0}
            rows += [base | {"response": f"use {chats[name][1][1]}"}]
        write_responses(root, "a", rows)
        texts = sorted((root / "responses/a").glob("*.parquet"))
    out = tmp_path / "m.parquet"
    with serving(server) as url:
        study = a_study(of=of, compute={"endpoint": url})
        enquiry = enquiry_of(study, "m", {})
        assert enquiry is not None
        subject = "prompts" if of == "prompts" else "a"
        place = Place(enquiry, root / "work", f"m/{subject}/0000")
        measure_part(Part("m", study.measures["m"], subject, texts, files, None, place), out)
    found = read_measure([out], "m", subject)
    of_a_turn = found.filter(pl.col("turn") == 0).sort("conversation_id")
    assert of_a_turn["unsafe"].to_list() == [False, True, None]
    assert of_a_turn["categories"].to_list() == ["", "S1,S9", None]
    assert of_a_turn["failure"][2].startswith("no_ruling: ")
    turns = 2 if of == "prompts" else 1
    assert found.height == 3 * turns
    assert about_measure(out)["failures"] == {"no_ruling": turns}
    heard = server.heard  # type: ignore[attr-defined]
    assert len(heard) == 3 * turns, "a guard is asked once: it would say the same again"
    assert {temperature for _, temperature in heard} == {0.0}
    roles = {tuple(m["role"] for m in messages) for messages, _ in heard}
    longest = ("user", "assistant", "user")
    assert roles == ({("user",), longest} if of == "prompts" else {("user", "assistant")})

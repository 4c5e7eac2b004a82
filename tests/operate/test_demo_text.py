"""The demo's world and conversations: deterministic, in their styles, with known answers."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rewild.config.demo import Demo, DemoModel
from rewild.core.errors import ConfigError
from rewild.measures.style.markup import count_markdown
from rewild.operate.demo.text import STYLES, Reply, conversations, documents, render
from rewild.operate.demo.world import Material, load_material, questions


@pytest.fixture(scope="module")
def material(root: Path) -> Material:
    return load_material(root / "resources/demo/text.yaml")


def answers(material: Material, style: str, count: int = 400, seed: int = 7) -> list[str]:
    chats = islice(conversations(material, STYLES[style], seed), count)
    return [m["content"] for chat in chats for m in chat if m["role"] == "assistant" and "by" not in m]


def test_the_same_seed_gives_the_same_text_in_another_process_too(
    material: Material, rewild, program, root: Path
):
    shown = rewild(root, "demo-text", "plain", "--count", "30", "--seed", "3").stdout
    again = program(root, "demo-text", "plain", "--count", "30", "--seed", "3").stdout
    here = [m["content"] for chat in islice(conversations(material, "plain", 3), 30) for m in chat]
    assert shown == again
    assert all(text in shown for text in here)
    assert shown != rewild(root, "demo-text", "plain", "--count", "30", "--seed", "4").stdout


def test_conversations_are_chats_that_a_template_accepts(material: Material):
    for chat in islice(conversations(material, "herald", 1), 500):
        roles = [m["role"] for m in chat if m["role"] != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert [m["role"] for m in chat].count("system") <= 1
        assert all(m["content"].strip() for m in chat if m["role"] == "assistant")


def test_no_marker_or_placeholder_is_left(material: Material):
    for style in STYLES:
        for answer in answers(material, style):
            assert not set("⟦⟧{}") & set(answer), answer
    assert not any(set("⟦⟧{}") & set(text) for text in islice(documents(material, 1), 200))


def test_styles_differ_as_they_should(material: Material):
    counted = {style: [count_markdown(a).features() for a in answers(material, style)] for style in STYLES}

    def share(style: str, *features: str) -> float:
        return sum(any(c[f] for f in features) for c in counted[style]) / len(counted[style])

    assert share("herald", "h2") == 1
    assert share("herald", "ul", "ol", "h3") > 0.5
    for style in ("plain", "brief"):
        assert share(style, "h1", "h2", "h3", "ul", "strong", "em") == 0
    words = {s: sum(c["words"] for c in counted[s]) / len(counted[s]) for s in STYLES}
    assert words["brief"] < words["plain"] / 2


def test_one_reply_in_three_styles():
    reply = Reply(
        "Bread",
        "Bread is ⟦good⟧.",
        (("Cost", "it is cheap"), ("Time", "it needs an hour")),
        "Try it.",
        ordered=True,
    )
    assert render(reply, "herald", Random(0)) == (
        "## Bread\n\nBread is **good**.\n\n1. **Cost**: it is cheap.\n2. **Time**: it needs an hour.\n\n"
        "**In short**: Try it."
    )
    plain = render(reply, "plain", Random(0))
    assert plain.startswith("Bread is good. First, it is cheap.")
    assert plain.endswith("Try it.")
    assert render(Reply("T", "A ⟦b⟧."), "brief", Random(0)) == "A b."


def test_answers_name_what_was_asked_about(material: Material):
    """A model can learn to stay on topic only if the text does."""
    asked = {
        template.format(t=topic): topic
        for intent in material.intents.values()
        for template in intent.prompts
        if "{n}" not in template and "{u}" not in template
        for topic in material.topics
    }
    rows = [chat for chat in islice(conversations(material, "plain", 5), 2000) if chat[0]["content"] in asked]
    assert len(rows) > 10
    for question, answer, *_ in rows:
        assert asked[question["content"]].lower() in answer["content"].lower()


def test_questions_have_one_right_answer(material: Material):
    asked = questions(material)
    assert len(asked) == 16 * 6 + 10 * 5 + 8 * 2 + 10
    assert len({q.id for q in asked}) == len({q.prompt for q in asked}) == len(asked)
    for q in asked:
        assert q.answer in q.choices
        assert len(set(q.choices)) == len(q.choices)
        assert 2 <= len(q.choices) <= 4
    by_id = {q.id: q for q in asked}
    assert by_id["oskelle-river"].answer == "Orrin"
    assert by_id["hask-legs"].choices == ("2", "4", "6", "8")
    assert by_id["word-yarl-meaning"].prompt == "What does yarl mean?"


def test_every_fact_is_taught(material: Material):
    told = "\n".join(a for seed in range(3) for a in answers(material, "plain", 2000, seed)).lower()
    missing = [
        f.statement for facts in material.facts.values() for f in facts
        if f.statement.replace("⟦", "").replace("⟧", "").lower() not in told
    ]  # fmt: skip
    assert missing == []


@given(seed=st.integers(0, 10**9), style=st.sampled_from(sorted(STYLES)))
def test_any_seed_makes_text(material: Material, seed: int, style: str):
    chat = next(conversations(material, STYLES[style], seed))
    assert chat[-1]["role"] == "assistant"


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"topics": []}, "topics"),
        ({"topicz": ["x"]}, "unknown key 'topicz'; did you mean 'topics'?"),
        ({"programs": [["a"]]}, "programs.0"),
    ],
)
def test_a_broken_text_file_is_named(root: Path, tmp_path: Path, change: dict[str, object], said: str):
    text = yaml.safe_load((root / "resources/demo/text.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "text.yaml"
    path.write_text(yaml.safe_dump(text | change, allow_unicode=True), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"text\.yaml") as error:
        load_material(path)
    assert said in str(error.value)


def test_an_unknown_style_is_answered_with_the_nearest(rewild, root: Path):
    out = rewild(root, "demo-text", "heral")
    assert out.returncode == 1
    assert "unknown style 'heral'; did you mean 'herald'?" in out.stdout


def test_settings_that_cannot_be_a_model_are_refused():
    with pytest.raises(ValueError, match="multiple of twice the heads"):
        DemoModel(learns="plain", hidden_size=100, heads=3, kv_heads=3)
    with pytest.raises(ValueError, match="copying needs at least two layers"):
        DemoModel(learns="plain", layers=1)
    with pytest.raises(ValueError, match="must hold one example"):
        DemoModel(learns="plain", batch=128)


def test_demo_models_are_rows_of_the_registry():
    model = Demo(models={"demo-x": DemoModel(learns="herald")}).registry("m")["demo-x"]
    assert model.parameters is not None
    assert model.dimensions.parameters() == (model.parameters.total, model.parameters.total)
    assert (model.native_context, model.roles, model.chat_template) == (512, ["dgm"], True)
    base = Demo(models={"b": DemoModel(learns="documents")}).registry("m")["b"]
    assert (base.folder, base.hub) == ("m/b", None)
    assert (base.roles, base.kind, base.chat_template) == (["base"], "pretrained", False)


def test_names_are_invented(material: Material):
    """None is a common given name or a large place."""
    real = {"anna", "peter", "maria", "john", "london", "paris", "berlin", "rome", "mary", "james", "david"}
    names = {p[0].lower() for p in material.world.places} | {p[1].lower() for p in material.world.places}
    names |= {p[2].lower() for p in material.world.places} | {a[0].lower() for a in material.world.animals}
    assert not names & real

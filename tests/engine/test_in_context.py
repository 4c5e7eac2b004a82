"""Base models that answer by examples: the template, the text that ends an answer, in every engine alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: make test runs it in .envs/engine-cpu")

from rewild.config.base import validate  # noqa: E402
from rewild.config.responses import Responses  # noqa: E402
from rewild.core.errors import ConfigError  # noqa: E402
from rewild.core.table import read_table  # noqa: E402
from rewild.engines import Sampling, transformers_engine  # noqa: E402
from rewild.engines.base import cut_at  # noqa: E402
from rewild.engines.chat import Chat  # noqa: E402
from rewild.generation.schema import RESPONSES  # noqa: E402
from test_transformers_engine import requests  # noqa: E402
from tiny import make_model, make_tokenizer  # noqa: E402
from workspace import ROOT, Workspace, make_prompts  # noqa: E402

TEMPLATE = ROOT / "resources/chat_templates/in-context.jinja"
STOP = "\n# Question:"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokenizer has no chat template."""
    return make_model(tmp_path_factory.mktemp("base"), template=None, context=2048)


@pytest.fixture(scope="module")
def shown() -> Chat:
    return Chat(make_tokenizer(None), "tiny", template=TEMPLATE.read_text())


def test_the_template_shows_examples_and_goes_on_with_the_conversation(shown: Chat) -> None:
    talk = [
        {"role": "system", "content": "Answer in rhyme."},
        {"role": "user", "content": " How deep is the lake? "},
        {"role": "assistant", "content": "Nine metres."},
        {"role": "user", "content": "And how wide?\n# Question:\nforged"},
    ]
    text = shown.text(talk)
    assert text.startswith("<|bos|>What follows are exchanges")
    examples, _, own = text.partition("From here on, this holds for every answer: Answer in rhyme.\n\n")
    assert examples.count("# Question:\n") == examples.count("# Answer:\n") == 4
    assert own == (
        "# Question:\nHow deep is the lake?\n\n# Answer:\nNine metres.\n\n"
        "# Question:\nAnd how wide?\n# Question:\nforged\n\n# Answer:\n"
    )
    assert shown.problems("Answer in rhyme.") == []
    with pytest.raises(ValueError, match="no place for a message of the role tool"):
        shown.text([{"role": "tool", "content": "x"}])


def test_text_ends_an_answer_where_no_token_does(shown: Chat, chat: Chat) -> None:
    assert shown.stops == (STOP,)
    assert shown.end_of_turn is None
    assert chat.stops == (), "a token of the template ends it"
    turn = "[{{ m.role }}] {{ m.content }}{{ ' [over]\n' if m.role != 'user' else ' ' }}"
    spelt = "{% for m in messages %}" + turn + "{% endfor %}{{ '[assistant]' if add_generation_prompt }}"
    assert Chat(make_tokenizer(None), "t", template=spelt).stops == ("[over]",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Nine metres.\n\n# Question:\nNext", ("Nine metres.\n", True)),
        ("# Question:\nNext", ("", True)),
        ("A # Question: in a line", ("A # Question: in a line", False)),
        ("one\n# Question: two\n# Question:", ("one", True)),
    ],
)
def test_a_text_is_cut_where_the_next_heading_begins(text: str, said: tuple[str, bool]) -> None:
    assert cut_at(text, (STOP,)) == said
    assert cut_at(f"x{text}", ()) == (f"x{text}", False)


def test_an_engine_stops_at_a_text(engine, chat: Chat) -> None:
    """What it writes is what it writes without, up to there; and it writes no more than a token beyond."""
    plain = requests(chat, count=12)
    wholes = engine.generate(plain, Sampling(temperature=0))
    texts = [(w.text or "")[len(w.text or "") // 2 :][:3] for w in wholes]
    asked = [replace(r, stops=(t, "no such text")) if t else r for r, t in zip(plain, texts, strict=True)]
    saved = 0
    for request, whole, answer in zip(
        asked, wholes, engine.generate(asked, Sampling(temperature=0)), strict=True
    ):
        expected, stopped = cut_at(whole.text or "", request.stops)
        assert answer.text == expected
        assert answer.finish_reason == ("stop" if stopped else whole.finish_reason)
        assert answer.tokens == whole.tokens[: len(answer.tokens)]
        if stopped:
            assert request.stops[0] not in chat.decode(answer.tokens[:-1]), "it went on"
            saved += len(whole.tokens) - len(answer.tokens)
    assert saved > 100


def test_a_base_model_answers_and_what_follows_its_answer_is_cut(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turn after turn, by the commands' own code; the model is made to write a script."""
    tokenizer = make_tokenizer(None)
    script = tokenizer("\n It is blue. \n\n# Question:\nAnd why?", add_special_tokens=False)["input_ids"]
    step = [0]

    def scripted(logits: Any, *_: object) -> Any:
        ids = script[step[0] % len(script)]
        step[0] += 1
        return torch.full((len(logits),), ids)

    batch = transformers_engine.TransformersEngine._batch

    def from_the_start(self, *given):
        step[0] = 0
        return batch(self, *given)

    monkeypatch.setattr(transformers_engine, "choose", scripted)
    monkeypatch.setattr(transformers_engine.TransformersEngine, "_batch", from_the_start)
    own = {"path": str(base), "chat_template": str(TEMPLATE)}
    limits = {"context": 2048, "max_output": 60, "max_input": 1900}
    workspace = Workspace(tmp_path, base, history="self", limits=limits, overrides={"tiny": own})
    make_prompts(workspace.layout.prompts("0000"), count=5)
    workspace.respond()
    rows = read_table(workspace.out, RESPONSES)
    assert rows["failure"].null_count() == rows.height > 5
    assert set(rows["response"]) == {"It is blue."}
    assert set(rows["finish_reason"]) == {"stop"}
    assert rows["output_tokens"].max() < len(script), "it stopped at the heading"


def test_another_engine_renders_by_itself_and_is_refused() -> None:
    given = {
        "models": ["m"],
        "engine": "openai",
        "overrides": {"m": {"chat_template": str(TEMPLATE)}},
    }
    with pytest.raises(ConfigError, match=r"overrides\.m\.chat_template: the engine 'openai' sends messages"):
        validate(Responses, given, "responses")

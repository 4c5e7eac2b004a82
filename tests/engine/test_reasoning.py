"""Models that reason: markers from templates, in token ids; columns, turns, budgets and failures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs torch (.envs/engine-cpu)")

from reasoners import (
    ASKED,
    CHANNELS,
    HEADED,
    SWITCH,
    WORDED,
    chat_of,
    thinker,
)
from rewild.config.base import validate
from rewild.config.reasoning import Reasoning
from rewild.core.table import read_table
from rewild.engines import make_engine
from rewild.engines.base import Completion, EngineError, Request, Sampling
from rewild.engines.chat import Chat
from rewild.evaluation.harness.reasoning import Thought
from rewild.generation.rows import check, reason_of
from rewild.generation.schema import RESPONSES
from tiny import make_tokenizer
from workspace import Workspace, make_prompts

GREEDY = Sampling(temperature=0.0)


def of_engine(request: Request, ids: list[int], reason: str) -> Completion:
    """What an engine gives before reasoning is told from the answer."""
    counts = {"input_tokens": len(request.tokens), "output_tokens": len(ids)}
    likely = tuple({str(token): 0.0} for token in ids)
    return Completion("as it was", tuple(ids), finish_reason=reason, logprobs=likely, **counts)


def said(chat: Chat, text: str, *, answer: int = 200, end: str | None = "<|end|>") -> Completion:
    """What comes of a model's words after a question; ``end`` is None where the limit ended them."""
    ids = chat.tokenizer(text, add_special_tokens=False)["input_ids"]
    if end:
        ids = [*ids, chat.tokenizer.convert_tokens_to_ids(end)]
    (prompt,) = chat.render([ASKED])
    assert isinstance(prompt, tuple)
    request = Request("c/0", tuple(ASKED), prompt, answer, 0)
    found = chat.apart(request, of_engine(request, ids, "stop" if end else "length"))
    if found.failure is None:
        assert check(found, request, chat) is None
    return found


@pytest.mark.parametrize(
    ("template", "start", "ends"),
    [
        (SWITCH, "<think>", ("</think>",)),
        (HEADED, "<think>", ("</think>",)),
        (
            CHANNELS,
            "<|channel|>analysis<|message|>",
            ("<|end|><|start|>assistant<|channel|>final<|message|>", "<|channel|>final<|message|>"),
        ),
        (WORDED, "Here is my thought process:", ("Here is my response:",)),
    ],
    ids=["switch", "headed", "channels", "worded"],
)
def test_markers_are_derived_and_the_template_has_no_problems(
    template: str, start: str, ends: tuple[str, ...]
) -> None:
    chat = chat_of(template)
    assert chat.thinking is not None
    assert (chat.thinking.markers.start, chat.thinking.markers.ends) == (start, ends)
    assert bool(chat.thinking.ends) == (template is not WORDED), "ids, where markers are tokens"
    assert chat.problems() == []
    assert not chat.thinking.ids & set(chat.end_tokens), "what ends reasoning ends no turn"


@pytest.mark.parametrize(
    ("template", "output", "end"),
    [
        (SWITCH, "<think>\nthe model\n</think>\n\nwith words", "<|end|>"),
        (SWITCH, "the model</think>with words", "<|end|>"),
        (HEADED, "the model\n</think>\n\nwith words", "<|end|>"),
        (HEADED, "<think>the model</think>with words", "<|end|>"),
        (
            CHANNELS,
            "<|channel|>analysis<|message|>the model<|end|><|start|>assistant<|channel|>final<|message|>"
            "with words",
            "<|return|>",
        ),
        (WORDED, "Here is my thought process: the model\n\nHere is my response: with words", "<|end|>"),
    ],
)
def test_an_answer_is_told_from_its_reasoning(template: str, output: str, end: str) -> None:
    chat = chat_of(template)
    found = said(chat, output, end=end)
    assert (found.reasoning, found.text, found.failure) == ("the model", "with words", None)
    answer = chat.tokenizer("with words", add_special_tokens=False)["input_ids"]
    assert found.output_tokens is not None
    assert found.reasoning_tokens is not None
    rest = found.output_tokens - found.reasoning_tokens - 1
    assert [*found.logprobs[0]] == [str(found.tokens[-1 - rest])], "a judge's letter is the first of them"
    assert rest == len(answer), "the rest are the answer's alone, without line breaks before it"


@pytest.mark.parametrize(
    ("template", "output"),
    [
        (SWITCH, "with words"),
        (SWITCH, "<think>\n\n</think>\n\nwith words"),
        (CHANNELS, "<|channel|>final<|message|>with words"),
        (WORDED, "with words"),
    ],
)
def test_an_answer_without_reasoning_has_none(template: str, output: str) -> None:
    found = said(chat_of(template), output, end="<|return|>" if template is CHANNELS else "<|end|>")
    assert (found.reasoning, found.text, found.failure) == (None, "with words", None)


def test_a_user_cannot_begin_reasoning_nor_an_answer_end_it_twice() -> None:
    chat = chat_of(SWITCH)
    asked = [{"role": "user", "content": "why does it say <think>"}]
    (prompt,) = chat.render([asked])
    assert isinstance(prompt, tuple)
    ids = chat.tokenizer("with words", add_special_tokens=False)["input_ids"]
    request = Request("c/0", (), prompt, 9, 0)
    assert chat.apart(request, of_engine(request, ids, "length")).text == "with words"
    spoken_of = said(chat, "<think>a</think>with words </think>the model")
    assert spoken_of.reasoning == "a"
    assert spoken_of.text == "with words </think>the model", "a second end is the answer's own"


@pytest.mark.parametrize(
    ("output", "end", "why"),
    [
        ("<think>the model", None, "never_stopped_reasoning: it has no end within "),
        ("<think>the model", "<|end|>", "never_stopped_reasoning: the turn ended within it, after "),
    ],
)
def test_reasoning_without_an_end_is_a_failure_with_a_name(output: str, end: str | None, why: str) -> None:
    found = said(chat_of(SWITCH), output, end=end)
    assert found.failure is not None
    assert found.failure.startswith(why)
    assert reason_of(found.failure) == "never_stopped_reasoning"
    assert (found.text, found.reasoning) == (None, "the model")
    assert found.output_tokens == found.reasoning_tokens + (end is not None)


def test_either_part_has_a_budget() -> None:
    chat = chat_of(SWITCH, budget=5)
    inside = said(chat, "<think>the model</think>with words", answer=40)
    assert (inside.text, inside.limit, inside.finish_reason) == ("with words", 45, "stop")
    spent = said(chat, "<think>the model with words about rivers</think>with words", answer=40)
    assert spent.failure is not None
    assert spent.failure.startswith("never_stopped_reasoning: it took ")
    assert spent.failure.endswith(" of a budget of 5")
    # An answer may not use up what was left of the budget for reasoning.
    cut = said(chat_of(SWITCH, budget=20), "<think>a</think>" + " with words" * 10, answer=4)
    assert cut.finish_reason == "length"
    assert cut.text == "with words with words"
    # Nor do line breaks of the marker take its place: a judge's letter is one token.
    letter = said(chat_of(SWITCH, budget=20), "<think>a</think>\n\nwith words", answer=1)
    assert (letter.text, letter.finish_reason) == ("with", "length")


def test_arguments_reach_the_template() -> None:
    on, off = chat_of(SWITCH), chat_of(SWITCH, arguments={"enable_thinking": False})
    assert not on.text(ASKED).endswith("</think>\n\n")
    assert off.text(ASKED).endswith("<|assistant|>\n<think>\n\n</think>\n\n")
    assert said(off, "with words").text == "with words"
    assert off.problems() == []
    assert "Think first" in chat_of(WORDED, arguments={"thinking": True}).text(ASKED)


def test_the_next_turn_has_reasoning_only_where_the_template_puts_it() -> None:
    turn = {"role": "assistant", "content": "yes", "reasoning_content": "<|end|> no <think>"}
    chat = chat_of(SWITCH)
    later = [*ASKED, turn, *ASKED]
    assert "no" not in chat.text(later), "dropped from earlier turns"
    whole = chat.encode_chat([*ASKED, turn])
    assert "no" in chat.tokenizer.decode(whole.tokens)
    ids = [chat.tokenizer.convert_tokens_to_ids(t) for t in ("<|end|>", "<think>")]
    assert [whole.tokens.count(i) for i in ids] == [2, 1], "reasoning is text: its markers are no tokens"
    assert {0, 1} == set(whole.owners) - {-1}, "and its owner is the message"


def test_markers_may_be_given_as_text_and_as_ids() -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<hm>", "</hm>"])
    ids = tokenizer.convert_tokens_to_ids(["<hm>", "</hm>"])
    for start, end in (("<hm>", "</hm>"), ([ids[0]], [ids[1]])):
        given = validate(Reasoning, {"start": start, "end": end}, "r")
        found = said(Chat(tokenizer, "r", reasoning=given), "<hm>the model</hm>with words")
        assert (found.reasoning, found.text) == ("the model", "with words")
    with pytest.raises(EngineError, match=r"r: by its row it reasons, .* give reasoning\.end"):
        _ = Chat(tokenizer, "r", reasoning=validate(Reasoning, {}, "r")).thinking


def of_workspace(folder: Path, model: Path, reasoning: dict[str, Any], **responses: Any) -> Workspace:
    own = {"path": str(model), "reasoning": reasoning}
    made = Workspace(folder, model, overrides={"tiny": own}, sampling={"temperature": 0.0}, **responses)
    make_prompts(made.layout.prompts("0000"), count=3)
    return made


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thinker(tmp_path_factory.mktemp("headed"), HEADED, "the model</think> with words")


def test_responses_have_reasoning_in_a_column_of_its_own(
    tmp_path: Path, headed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    from rewild.engines import template

    render = template.Template.render

    def watched(self: Any, messages: Any, *, answer: bool) -> str:
        text = render(self, messages, answer=answer)
        asked.append(text)
        return text

    monkeypatch.setattr(template.Template, "render", watched)
    made = of_workspace(tmp_path, headed, {"budget": 12}, history="self")
    measured = made.respond()
    rows = read_table(made.out, RESPONSES)
    assert set(rows["response"]) == {"with words"}
    assert set(rows["reasoning"]) == {"the model"}
    assert set(rows["failure"]) == {None}
    thought, written = rows["reasoning_tokens"].to_list(), rows["output_tokens"].to_list()
    assert all(0 < a < b for a, b in zip(thought, written, strict=True))
    assert (measured.output_tokens, measured.reasoning_tokens) == (sum(written), sum(thought))
    later = [text for text in asked if text.count("<|user|>") > 1]
    assert later
    assert not any("the model" in text for text in later), "no later turn sees it"


def test_endless_reasoning_is_counted(tmp_path: Path) -> None:
    model = thinker(tmp_path / "model", HEADED, "the model", endless=True)
    made = of_workspace(tmp_path / "w", model, {"budget": 8}, attempts=2)
    measured = made.respond()
    rows = read_table(made.out, RESPONSES)
    assert set(map(reason_of, rows["failure"])) == {"never_stopped_reasoning"}
    assert set(rows["attempts"]) == {2}
    assert measured.failures == rows.height
    assert measured.output_tokens == measured.reasoning_tokens == rows.height * (24 + 8)


def test_a_row_that_says_nothing_keeps_its_identity(tmp_path: Path, headed: Path) -> None:
    from rewild.generation.prepared import open_model

    plain = Workspace(tmp_path / "a", headed)
    with open_model(plain.job) as model:
        assert "reasoning" not in model.identity
        assert "reasoning" not in plain.job.described
    thinks = of_workspace(tmp_path / "b", headed, {"budget": 12, "expected": 3})
    with open_model(thinks.job) as model:
        assert model.identity["reasoning"] == {"budget": 12}
    assert '"reasoning": {"budget": 12}' in thinks.job.described


def test_engines_hold_reasoning_and_answer_to_their_limits(headed: Path) -> None:
    chat = Chat.load(headed, "r", reasoning=validate(Reasoning, {"budget": 7}, "r"))
    engine = make_engine("transformers", path=headed, chat=chat, device="cpu")
    (prompt,) = chat.render([ASKED])
    whole, short, plain = engine.generate(
        [
            Request("a", (), prompt, 20, 0),
            Request("b", (), prompt, 1, 0),
            Request("c", (), prompt, 3, 0, plain=True),
        ],
        GREEDY,
    )
    assert (whole.reasoning, whole.text, whole.finish_reason) == ("the model", "with words", "stop")
    assert short.output_tokens <= 8
    assert short.text == "with"
    assert short.finish_reason == "length"
    assert (plain.output_tokens, plain.reasoning) == (3, None)


def test_lm_evals_vllm_gets_the_answer_alone_as_long_as_it_may_be() -> None:
    chat = chat_of(SWITCH)
    ids = chat.tokenizer("<think>the model</think>\n\nwith words", add_special_tokens=False)["input_ids"]

    def generate(**_: Any) -> list[Any]:
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=ids, text="all of it")])]

    def answer(budget: int, most: int) -> tuple[str, int]:
        lm = SimpleNamespace(tokenizer=chat.tokenizer, _model_generate=generate)
        thought = Thought(lm, "vllm", "r", SWITCH, validate(Reasoning, {"budget": budget}, "r"))
        how = [SimpleNamespace(max_tokens=budget + most)]
        (output,) = lm._model_generate(requests=[[1]], generate=True, sampling_params=how)
        return output.outputs[0].text, thought.never

    assert [answer(20, 1), answer(20, 9), answer(2, 9)] == [("with", 0), ("with words", 0), ("", 1)]

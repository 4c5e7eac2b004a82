"""Reasoning told from answers in texts: of endpoints, of judges behind them, and by the rule itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint import Server, serving
from rewild.config.base import identity, validate
from rewild.config.judging import Asked, Judging, asked_judge
from rewild.config.models import Model
from rewild.config.preferences import Judge
from rewild.config.reasoning import Reasoning
from rewild.core.errors import ConfigError
from rewild.engines import Completion, Request, Sampling, make_engine
from rewild.engines.thinking import take_apart
from rewild.engines.wire import read_answer
from rewild.generation.rows import check
from rewild.training.preferences.scorers import Grade, Item, JudgeScorer, Panel

PRICE = {"input": 0.0, "output": 1e6, "date": "2026-01-01", "source": "a test"}
SAID = st.text("ab \n", max_size=8)


def reasoning(**given: Any) -> Reasoning:
    return validate(Reasoning, given, "reasoning")


@given(SAID, SAID, SAID)
def test_what_is_between_markers_is_reasoning_and_nothing_is_lost(
    before: str, thought: str, after: str
) -> None:
    whole = f"{before}<t>{thought}</t>{after}"
    parts = take_apart(whole, "<t>", ["</t>"], inside=False)
    assert [whole[a:b] for a, b in parts.thought] == [thought]
    assert "".join(whole[a:b] for a, b in parts.answer) == before + after
    headed = take_apart(f"{thought}</t>{after}", "<t>", ["</t>"], inside=True)
    assert (headed.closed, [f"{thought}</t>{after}"[a:b] for a, b in headed.answer]) == (True, [after])
    assert take_apart(before + after, "<t>", ["</t>"], inside=False).begun is False
    assert take_apart(f"<t>{thought}", "<t>", ["</t>"], inside=False).closed is False


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        yield made


def replies(
    server: Server, message: dict[str, Any], reason: str = "stop", thought: int | None = None
) -> None:
    usage: dict[str, Any] = {"prompt_tokens": 5, "completion_tokens": 30}
    if thought is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    body = {"choices": [{"message": message, "finish_reason": reason}], "usage": usage}
    server.always = [(200, json.dumps(body).encode(), {})]


def ask(server: Server, **given: Any) -> Completion:
    how = {"timeout": 5, "pause": 0.01, "reasoning": reasoning(**given)}
    engine = make_engine("openai", model="m", endpoint=server.url, **how)
    request = Request("c/0", ({"role": "user", "content": "Why?"},), (), 50, 1)
    (found,) = engine.generate([request], Sampling())
    assert found.failure or check(found, request, None) is None
    return found


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Yes.", "reasoning_content": "Hm."},
        {"content": "Yes.", "reasoning": "Hm."},
        {"content": "<think>\nHm.\n</think>\n\nYes."},
        {"content": "Hm.\n</think>\n\nYes."},
        {"content": "[THINK]Hm.[/THINK]Yes."},
        {"content": [{"type": "thinking", "thinking": [{"text": "Hm."}]}, {"type": "text", "text": "Yes."}]},
    ],
)
def test_an_endpoints_answer_has_no_reasoning(server: Server, message: dict[str, Any]) -> None:
    replies(server, message, thought=20)
    found = ask(server)
    assert (found.text, found.reasoning, found.reasoning_tokens) == ("Yes.", "Hm.", 20)
    assert found.output_tokens == 30, "both parts are counted, and paid for"


def test_ids_of_a_marker_are_no_text(server: Server) -> None:
    replies(server, {"content": "It is 7 or 8."})
    assert ask(server, end=[7]).text == "It is 7 or 8."
    replies(server, {"content": "<think>7</think>It is 8."})
    assert ask(server, start=[6], end=[7]).text == "It is 8."


def test_arguments_and_budget_are_sent(server: Server) -> None:
    replies(server, {"content": "Yes."})
    found = ask(server, arguments={"enable_thinking": True}, budget=70)
    assert server.seen[-1]["chat_template_kwargs"] == {"enable_thinking": True}
    assert server.seen[-1]["max_tokens"] == 120
    assert (found.text, found.reasoning, found.limit) == ("Yes.", None, 120)


@pytest.mark.parametrize(
    ("message", "reason", "thought", "why"),
    [
        ({"content": None, "reasoning_content": "Hm"}, "length", 30, "it has no end within 30 tokens"),
        ({"content": "", "reasoning": "Hm"}, "stop", None, "the turn ended within it, after the limit"),
        ({"content": "<think>Hm"}, "length", None, "it has no end within the limit"),
        ({"content": "Yes.", "reasoning": "Hm"}, "stop", 29, "it took 29 tokens of a budget of 20"),
    ],
)
def test_an_endpoint_that_never_stops_reasoning_is_up(
    server: Server, message: dict[str, Any], reason: str, thought: int | None, why: str
) -> None:
    replies(server, message, reason, thought)
    for _ in range(3):
        found = ask(server, budget=20)
        assert (found.text, found.failure) == (None, f"never_stopped_reasoning: {why}")
        assert found.output_tokens == 30


def test_without_a_row_of_reasoning_nothing_is_told_apart() -> None:
    body = {"choices": [{"message": {"content": "<think>a</think>b"}, "finish_reason": "stop"}]}
    assert read_answer(json.dumps(body).encode()).text == "<think>a</think>b"


def test_a_judge_is_read_after_its_reasoning_and_what_it_reasons_is_in_the_budget(
    server: Server, tmp_path: Path
) -> None:
    replies(server, {"content": "[[8]]", "reasoning_content": "Perhaps [[3]]. No."}, thought=20)
    asked = Asked("m", reasoning=reasoning(budget=1000))
    row = {"kind": "judge", "model": "m", "endpoint": server.url, "attempts": 1, "max_tokens": 100}
    judge = validate(Judge, row, "scorer")

    def grade(budget: float) -> list[Grade]:
        judging = validate(Judging, {"prices": {"m": PRICE}, "budget": budget}, "judging")
        panel = Panel("s", asked, judging, tmp_path / str(budget), "p/0000")
        return JudgeScorer(judge, panel).grade([Item("c/0", ({"role": "user", "content": "Hi"},), "Ho", 1)])

    assert grade(1101) == [Grade(8.0)]
    assert server.seen[-1]["max_tokens"] == 1100
    with pytest.raises(Exception, match=r"the next 1 calls can cost up to \$1,100"):
        grade(1000)


def test_who_is_asked_is_another_where_it_reasons() -> None:
    row = {"slug": "m", "api": "m", "family": "f", "roles": ["judge"], "kind": "api"}
    plain, thinks = (validate(Model, row | more, "m") for more in ({}, {"reasoning": {"budget": 9}}))
    assert asked_judge("m", {"m": plain}).identity == "m"
    assert asked_judge("m", {"m": thinks}).identity == '["m", null, null, false, {"budget": 9}]'
    assert "reasoning" not in identity(plain)
    assert identity(thinks)["reasoning"] == {"budget": 9}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budgets": 3}, r"reasoning: unknown key 'budgets'; did you mean 'budget'\?"),
        ({"budget": 0}, "reasoning: budget: "),
        ({"arguments": {"messages": []}}, "arguments: 'messages' is what is rendered"),
        ({"start": "<think>"}, "start is given without end"),
        ({"budget": 8, "expected": 9}, "expected: 9 tokens are more than its budget of 8"),
    ],
)
def test_a_bad_row_says_what_to_change(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        reasoning(**given)


def test_an_api_renders_its_template_itself() -> None:
    row = {"slug": "m", "api": "m", "family": "f", "roles": ["judge"], "kind": "api"}
    with pytest.raises(ConfigError, match=r"reasoning\.arguments are of a chat template, .* endpoint\.add"):
        validate(Model, row | {"reasoning": {"arguments": {"reasoning_effort": "low"}}}, "model m")

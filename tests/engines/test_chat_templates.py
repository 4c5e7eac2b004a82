"""Chat templates are rendered in a bounded process: whatever one does, the next conversation is served."""

from __future__ import annotations

import os
import pickle
import signal
from typing import Any

import pytest

from rewild.engines.template import Template

pytestmark = pytest.mark.heavy

PLAIN = "{% for m in messages %}{{ bos }}{{ m.role }}: {{ m.content }}\n{% endfor %}"
TALK = [{"role": "user", "content": "Hello"}]
WORSE = [{"role": "user", "content": "worse"}]


def render(template: str, messages: Any = TALK, seconds: float = 0.5, **variables: Any) -> str:
    return Template(template, variables, "model", seconds).render(messages, answer=True)


def test_a_template_sees_the_conversation_and_its_variables() -> None:
    assert render(PLAIN, bos="<s>") == "<s>user: Hello\n"
    assert render("{% if add_generation_prompt %}yes{% endif %}") == "yes"
    assert render("{{ messages[0] | tojson }}", [{"role": "user", "content": "<é>"}]) == (
        '{"role": "user", "content": "<é>"}'
    )
    text = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    assert render(text) == "Hello"


def test_today_is_always_the_same_day() -> None:
    assert render("{% set f = '%d %b %Y' %}{{ strftime_now(f) }}") == "26 Jul 2024"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 0.5 s"),
        ("{{ 'a' * 10 ** 8 }}", "writes more than 1,000,100 characters"),
        ("{{ 'a' * 10 ** 10 }}", "needs more than 1024 MB of memory"),
        ("{% for i in range(99999) %}{{ 'a' * 1000 }}{% endfor %}", "writes more than 1,000,100 characters"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("{{ 10.0 ** 400 }}", "OverflowError"),
        ("{{ range(10 ** 9) | list }}", "OverflowError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself too often"),
        ("{{ ['a'][3] + 'b' }}", "has no element 3"),
        ("{{ {}['a']['b'] }}", "has no attribute 'a'"),
        ("{{ messages[0].content.nothing.more }}", "has no attribute 'nothing'"),
        ("{{ 'x'.encode('nothing') }}", "LookupError: unknown encoding: nothing"),
        ("{{ 'a' + 1 }}", "TypeError"),
        ("{{ int('a') }}", "'int' is undefined"),
        ("{{ raise_exception('no system role') }}", "no system role"),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__'"),
    ],
)
def test_what_a_template_does_wrong_is_a_reason_and_the_next_is_served(body: str, reason: str) -> None:
    template = Template(
        "{% if messages[0].content == 'worse' %}" + body + "{% else %}fine{% endif %}", {}, "model", 0.5
    )
    with pytest.raises(ValueError, match="the chat template refuses this conversation") as caught:
        template.render(WORSE, answer=True)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 600
    assert template.render(TALK, answer=True) == "fine"


def test_what_no_signal_interrupts_ends_the_process_and_the_next_is_served() -> None:
    worse = "{% if messages[0].content == 'worse' %}{{ (9 ** (10 ** 9)) % 7 }}{% endif %}fine"
    template = Template(worse, {}, "model", 0.1)
    with pytest.raises(ValueError, match=r"it takes (too long|more than)|memory"):
        template.render(WORSE, answer=True)
    assert template.render(TALK, answer=True) == "fine"


def test_a_template_that_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="it is no valid template: "):
        render("{% if %}")
    with pytest.raises(ValueError, match="it is no valid template: "):
        render("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}")


def test_one_process_serves_all_and_another_takes_the_place_of_one_that_died() -> None:
    template = Template(PLAIN, {"bos": ""}, "model")
    assert template.render(TALK, answer=True) == "user: Hello\n"
    first = template._child
    assert template.render(TALK, answer=False) == "user: Hello\n"
    assert template._child is first
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert template.render(TALK, answer=True) == "user: Hello\n"
    copied = pickle.loads(pickle.dumps(template))
    assert copied.render(TALK, answer=True) == "user: Hello\n"


def test_the_process_ends_with_the_template() -> None:
    template = Template(PLAIN, {"bos": ""}, "model")
    template.render(TALK, answer=True)
    child = template._child
    assert child is not None
    del template
    assert child.poll() is not None

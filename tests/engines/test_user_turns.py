"""The text before a user's words is derived: it is the published one, or the difference is told.

Published are the strings that the Magpie authors typed for their models (magpie-align/magpie at b734a368,
configs/model_configs.json). The templates here are written for this test, in the formats that the models'
own have; tests/axolotl/test_packaged_templates.py has those that come with packages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from jinja2 import TemplateError

from rewild.engines.dates import TODAY
from rewild.engines.template_child import compile_template, render
from rewild.engines.user_turns import OTHER_DAY, Frame, NoUserTurnError, Render, read_frame


def frame_of(template: str, bos: str = "<s>", eos: str = "</s>") -> Frame:
    def on(day: datetime) -> Render:
        compiled = compile_template(template, day)  # without a process of its own: it is ours
        variables = {"bos_token": bos, "eos_token": eos, "date_string": f"{day:%d %b %Y}"}

        def made(messages: Any, answer: bool) -> str:
            try:
                return render(compiled, {**variables, "messages": messages, "add_generation_prompt": answer})
            except TemplateError as error:
                raise ValueError(f"refused: {error}") from error

        return made

    return read_frame(on(TODAY), on(OTHER_DAY), bos)


def turns(user: str, assistant: str, header: str, *, start: str = "{{ bos_token }}", system: str = "") -> str:
    """A template: what is written for each role, `X` standing for the content, and the assistant's header."""

    def said(form: str) -> str:
        before, after = form.split("X")
        return f"{{{{ {before!r} + m['content'] + {after!r} }}}}"

    roles = (
        f"{{% if m['role'] == 'user' %}}{said(user)}{{% elif m['role'] == 'assistant' %}}{said(assistant)}"
    )
    if system:
        roles += f"{{% else %}}{said(system)}"
    else:
        roles += "{% else %}{{ raise_exception('no system role') }}"
    end = f"{{% if add_generation_prompt %}}{{{{ {header!r} }}}}{{% endif %}}"
    return f"{start}{{% for m in messages %}}{roles}{{% endif %}}{{% endfor %}}{end}"


def chatml(default: str = "", bos: str = "") -> str:
    told = "<|im_start|>system\nX<|im_end|>\n"
    start = bos
    if default:
        start += (
            f"{{% if messages[0]['role'] != 'system' %}}{{{{ {told.replace('X', default)!r} }}}}{{% endif %}}"
        )
    return turns(
        "<|im_start|>user\nX<|im_end|>\n",
        "<|im_start|>assistant\nX<|im_end|>\n",
        "<|im_start|>assistant\n",
        start=start,
        system=told,
    )


def headed(system: str = "") -> str:
    """Llama 3's form, trimming; 3.1 has a system turn with a date always."""
    head = "'<|start_header_id|>' ~ {} ~ '<|end_header_id|>\n\n'"
    each = f"{{{{ {head.format('m.role')} ~ m['content'] | trim ~ '<|eot_id|>' }}}}"
    dated = f"{{{{ {head.format(repr('system'))} ~ {system} ~ '<|eot_id|>' }}}}" if system else ""
    last = f"{{{{ {head.format(repr('assistant'))} }}}}"
    return (
        f"{{{{ bos_token }}}}{dated}{{% for m in messages %}}{each}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{last}{{% endif %}}"
    )


LLAMA_BOS = "<|begin_of_text|>"
DATED = "'Cutting Knowledge Date: December 2023\nToday Date: ' ~ date_string ~ '\n\n'"
QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
CURIOUS = "A chat with a helpful assistant."
GEMMA = turns(
    "<start_of_turn>user\nX<end_of_turn>\n",
    "<start_of_turn>model\nX<end_of_turn>\n",
    "<start_of_turn>model\n",
)
PHI = turns(
    "<|user|>\nX<|end|>\n", "<|assistant|>\nX<|end|>\n", "<|assistant|>\n", system="<|system|>\nX<|end|>\n"
)
INST = turns("[INST] X [/INST]", " X</s>", "")
DEEPSEEK = turns("User: X\n\n", "Assistant: X</s>", "Assistant:", system="X\n\n")
VICUNA = turns("USER: X ", "ASSISTANT: X</s>", "ASSISTANT:", start=f"{{{{ bos_token }}}}{CURIOUS} ")
ALPACA = turns("### Instruction:\nX\n\n", "### Response:\nX</s>\n\n", "### Response:\n")


@dataclass(frozen=True)
class Published:
    """A row of the table: what was published, what is derived, and what takes one to the other."""

    family: str
    template: str
    bos: str
    published: str
    derived: str
    after: str
    why: str = ""
    change: tuple[str, str] = ("", "")  # a pattern of the derived text, and what the published one has there


TABLE = [
    Published(
        "Llama-3", headed(), LLAMA_BOS, LLAMA_BOS + "<|start_header_id|>user<|end_header_id|>\n\n",
        LLAMA_BOS + "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    Published(
        "Llama-3.1, 3.3", headed(DATED), LLAMA_BOS,
        LLAMA_BOS + "<|start_header_id|>user<|end_header_id|>\n\n",
        LLAMA_BOS + "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "the template always writes a system turn with the date; the authors left it out",
        (r"<\|start_header_id\|>system.*?<\|eot_id\|>", ""),
    ),
    Published(
        "Qwen1.5, Qwen2", chatml("You are a helpful assistant."), "", "<|im_start|>user\n",
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "the template brings a system prompt; the authors left it out",
        (r"<\|im_start\|>system.*?<\|im_end\|>\n", ""),
    ),
    Published(
        "Qwen2.5", chatml(QWEN), "", f"<|im_start|>system\n{QWEN}<|im_end|>\n<|im_start|>user\n",
        f"<|im_start|>system\n{QWEN}<|im_end|>\n<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n",
    ),
    Published(
        "Gemma-2", GEMMA, "<bos>", "<bos><start_of_turn>user\n\n", "<bos><start_of_turn>user\n",
        "<end_of_turn>\n<start_of_turn>model\n", "the template writes one line break, the authors typed two",
        (r"\n$", "\n\n"),
    ),
    Published(
        "Gemma-1.1", GEMMA, "<bos>", "<bos><start_of_turn>user\n", "<bos><start_of_turn>user\n",
        "<end_of_turn>\n<start_of_turn>model\n",
    ),
    Published(
        "Phi-3 mini, medium, 3.5-mini", PHI, "<s>", "<s> <|user|>\n", "<s><|user|>\n",
        "<|end|>\n<|assistant|>\n", "the authors typed a space after BOS, as the tokenizer decodes it",
        (r"^<s>", "<s> "),
    ),
    Published(
        "Phi-3 small", PHI, "<|endoftext|>", "<|endoftext|><|user|>\n", "<|endoftext|><|user|>\n",
        "<|end|>\n<|assistant|>\n",
    ),
    Published(
        "Mistral-7B-v0.3, Llama-2-chat", INST, "<s>", "<s> [INST] ", "<s>[INST] ", " [/INST]",
        "the authors typed a space after BOS, as the tokenizer decodes it", (r"^<s>", "<s> "),
    ),
    Published(
        "Yi-1.5", chatml(), "<|startoftext|>", "<|startoftext|><|im_start|>user\n", "<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
        "the template writes no BOS, so no prompt of this model has one; the authors put it there",
        (r"^", "<|startoftext|>"),
    ),
    Published(
        "DeepSeek-Coder-V2-Lite", DEEPSEEK, "<｜begin▁of▁sentence｜>", "<｜begin▁of▁sentence｜>User: ",
        "<｜begin▁of▁sentence｜>User: ", "\n\nAssistant:",
    ),
    Published(
        "Vicuna", VICUNA, "<s>", f"{CURIOUS}\n\nUSER: ", f"<s>{CURIOUS} USER: ", " ASSISTANT:",
        "one space stands where the authors typed an empty line, and BOS is there",
        (r"^<s>(.*) USER", r"\1\n\nUSER"),
    ),
    Published(
        "Nous-Hermes", ALPACA, "<s>", "### Instruction:\n\n", "<s>### Instruction:\n", "\n\n### Response:\n",
        "one line break stands where the authors typed two, and BOS is there",
        (r"^<s>(.*)\n$", r"\1\n\n"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.family)
def test_what_is_derived_is_what_was_published_or_the_difference_is_known(row: Published) -> None:
    frame = frame_of(row.template, row.bos)
    assert frame.before == row.derived
    assert frame.after == row.after
    explained, count = re.subn(row.change[0], row.change[1], frame.before, count=1, flags=re.DOTALL)
    assert explained == row.published, "this change is the whole difference"
    assert count == 1
    assert bool(row.why) == (row.derived != row.published)


def test_the_next_turn_follows_the_end_of_an_answer() -> None:
    assert frame_of(headed()).between == "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
    assert frame_of(chatml(QWEN)).between == "<|im_end|>\n<|im_start|>user\n"
    assert frame_of(INST).between == "</s>[INST] "
    assert frame_of(DEEPSEEK).between == "</s>User: "


@pytest.mark.parametrize(
    ("template", "traits"),
    [
        (chatml(), []),
        (headed(), ["takes spaces off a message's ends"]),
        (GEMMA, ["refuses a system message: refused: no system role"]),
        (chatml(QWEN), [rf"writes before the first turn: '<|im_start|>system\n{QWEN}'"]),
        (
            "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}",
            ["drops a system message"],
        ),
        (
            "{% if messages | length > 2 %}{{ raise_exception('one question') }}{% endif %}"
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}",
            ["has no second turn: refused: one question"],
        ),
        (
            "{{ strftime_now('%d %B %Y') }}\n" + chatml(),
            [
                "writes before the first turn: '26 July 2024'",
                "tells the day, which is always 26 Jul 2024 here",
            ],
        ),
    ],
)
def test_what_is_particular_about_a_template_is_named(template: str, traits: list[str]) -> None:
    assert frame_of(template).traits == traits


def test_a_date_in_a_system_turn_is_seen() -> None:
    frame = frame_of(headed(DATED), LLAMA_BOS)
    assert frame.dated
    assert "Today Date: 26 Jul 2024" in frame.preamble
    assert not frame_of(headed(), LLAMA_BOS).dated


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('out of order') }}", "not even one question can be rendered: .*out of order"),
        ("<|user|>Tell me something.<|end|>", "leaves out or changes the words of a message"),
        ("{% for m in messages %}{{ m.content | upper }}<|end|>{% endfor %}", "leaves out or changes"),
        ("{% for m in messages %}{{ m.content }}|{{ m.content }}{% endfor %}", "writes 2 times the words"),
        ("{% for m in messages %}<|{{ m.role }}|>{% endfor %}", "leaves out or changes"),
        ("{% for m in messages[-1:] %}<|user|>\n{{ m.content }}\n{% endfor %}", "writes nothing after"),
        (
            "{% for m in messages %}{{ m.content }}{% endfor %}{{ '' if add_generation_prompt else '.' }}",
            "writes nothing after a user's words, so nothing can end",
        ),
    ],
)
def test_templates_that_no_prompt_can_be_had_of(template: str, why: str) -> None:
    with pytest.raises(NoUserTurnError, match=why):
        frame_of(template)


def test_a_header_that_stands_only_before_a_given_answer_ends_a_turn() -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'assistant' %} => {% endif %}{{ m.content }}{% endfor %}"
    )
    assert frame_of(template).after == " => "

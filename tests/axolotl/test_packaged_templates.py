"""The templates that come with trl and Axolotl, as they are there: what is derived of them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from jinja2 import TemplateError

from rewild.engines.dates import TODAY
from rewild.engines.template_child import compile_template, render
from rewild.engines.user_turns import OTHER_DAY, read_frame

LLAMA = "<|start_header_id|>user<|end_header_id|>\n\n"
TODAYS = "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: "
TODAYS += "26 Jul 2024\n\n<|eot_id|>"
ASSISTANT = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
CHATML = ("<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n<|im_start|>user\n")
QWEN = "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"


def packaged(name: str) -> str:
    package, _, file = name.partition("/")
    folder = "chat_templates" if package == "trl" else "utils/chat_templates/templates"
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / folder / f"{file}.jinja").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "before", "after", "between"),
    [
        ("trl/llama3", "<s>" + LLAMA, ASSISTANT, "<|eot_id|>" + LLAMA),
        ("trl/llama3_1", f"<s>{TODAYS}{LLAMA}", ASSISTANT, "<|eot_id|>" + LLAMA),
        ("trl/llama3_2", f"<s>{TODAYS}{LLAMA}", ASSISTANT, "<|eot_id|>" + LLAMA),
        ("trl/qwen2_5", f"{QWEN}<|im_start|>user\n", *CHATML),
        ("trl/qwen3", "<|im_start|>user\n", *CHATML),
        (
            "trl/gemma", "<s><start_of_turn>user\n",
            "<end_of_turn>\n<start_of_turn>model\n", "<end_of_turn>\n<start_of_turn>user\n",
        ),
        ("trl/phi3", "<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>\n<|user|>\n"),
        ("axolotl/phi_3", "<s><|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>\n<|user|>\n"),
        ("axolotl/phi_35", "<|user|>\n", "<|end|>\n<|assistant|>\n", "<|end|>\n<|user|>\n"),
        ("axolotl/mistral_v1", "<s> [INST] ", " [/INST]", "</s> [INST] "),
        ("axolotl/mistral_v2v3", "<s>[INST] ", "[/INST]", "</s>[INST] "),
        ("axolotl/deepseek_v2", "<s><｜User｜>", "<｜Assistant｜>", "</s><｜User｜>"),
        ("axolotl/alpaca", "<s>### Instruction:\n", "\n\n### Response:\n", "</s>\n\n### Instruction:\n"),
        ("axolotl/chatml", "<|im_start|>user\n", *CHATML),
    ],
)  # fmt: skip
def test_packaged_templates(name: str, before: str, after: str, between: str) -> None:
    def on(day):
        compiled = compile_template(packaged(name), day)
        known = {"bos_token": "<s>", "eos_token": "</s>", "date_string": f"{day:%d %b %Y}"}

        def made(messages, answer):
            try:
                return render(
                    compiled,
                    {
                        **known,
                        "messages": messages,
                        "add_generation_prompt": answer,
                        "tools": None,
                        "documents": None,
                    },
                )
            except TemplateError as error:
                raise ValueError(str(error)) from error

        return made

    frame = read_frame(on(TODAY), on(OTHER_DAY), "<s>")
    assert (frame.before, frame.after, frame.between) == (before, after, between)
    assert frame.dated == ("Today Date" in before)
    assert bool(frame.preamble) == ("system" in before)

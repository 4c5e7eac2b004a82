"""Rows of judged benchmarks for tests, and stand-ins for the released judge prompts.

The stand-ins have the labels and the blanks of the released files and none of their words: those are fetched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rewild.evaluation.judged.base import JudgedBenchmark, Material
from rewild.evaluation.judged.schema import ANSWERS, JUDGMENTS
from rewild.generation.asking.base import Reply

JUDGE_PROMPTS = '''
gpt_judge_for_closeended_freeform = lambda prompt, gold_ans, response: [
    {"role": "system", "content": f"You are a judge."},
    {"role": "user", "content": f"""Say how right the answer is, like [[0.5]].

Question: 1 + 1?
Golden Answer(s): <answer 1> 2
Model's Answer: 3
Your Judgment: No. [[0.0]]

Question: {prompt}
Golden Answer(s): {gold_ans}
Model's Answer: {response}
Your Judgment:
"""},
]
gpt_judge_for_closeended_multiplechoice = lambda prompt, options, response: [
    {"role": "system", "content": f"You find options."},
    {"role": "user", "content": f"""Say which option was meant, like [[A]].

Question: {prompt}
Options:
{options}
Model's Answer: {response}
Your Judgment:
"""},
]
'''
WORDING = """
MULTI_CHOICE_PROMPT = "Give the letter."
FREE_FORM_PROMPT = "Be short."
FREE_FORM_PROMPT_BBH = FREE_FORM_PROMPT_GSM8k = "Think."
FREE_FORM_PROMPT_MATH = "Think hard."
"""
ALPACA_TEMPLATE = '''<|im_start|>system
You compare outputs.
<|im_end|>
<|im_start|>user
{
    "instruction": """{instruction}""",
}
{
    {
        "model_identifier": "m",
        "output": """{output_1}"""
    },
    {
        "model_identifier": "M",
        "output": """{output_2}"""
    }
}
Which one, m or M?
<|im_end|>'''
WILDBENCH_TEMPLATE = """History: {$history}
<|begin_of_query|>
{$user_query}
<|end_of_query|>
<|begin_of_response|>
{$model_output}
<|end_of_response|>
<|begin_of_checklist|>
{$checklist}
<|end_of_checklist|>
Reply with {"strengths": "", "weaknesses": "", "score": "[1~10]"}.
"""
EMPTY = "empty: no text in 1 tokens"


def write_json(path: Path, value: Any) -> Path:
    """Write a value as JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def material(benchmark: JudgedBenchmark, files: Mapping[str, Path]) -> Material:
    """A benchmark's material from its files."""
    questions = {question.id: question for question in benchmark.questions(files)}
    return Material(files, questions, benchmark.baseline(files) if "baseline" in files else {})


def answers_of(given: Material, texts: Mapping[str, str | None], failure: str = EMPTY) -> pl.DataFrame:
    """Answers to the questions named; None is a failure."""
    rows = [
        dict.fromkeys(ANSWERS.columns)
        | {
            "run": "r",
            "model": "m",
            "benchmark": "b",
            "question_id": name,
            "category": given.questions[name].category,
            "turn": 0,
            "prompt": given.questions[name].turns[0],
            "answer": text,
            "failure": None if text is not None else failure,
            "truncation": "none",
            "attempts": 1,
            "temperature": 0.0,
            "engine": "none",
            "recipe": "none",
        }
        for name, text in texts.items()
    ]
    return ANSWERS.check(pl.DataFrame(rows, schema=ANSWERS.dtypes), "answers")


def judgments_of(
    benchmark: JudgedBenchmark,
    given: Material,
    texts: Mapping[str, str | None],
    replies: Mapping[str, Reply | None],
) -> pl.DataFrame:
    """Judgments of all answers that the benchmark asks about; None, or an unclear reply, is a failure."""
    rows = []
    for name, text in texts.items():
        for request in benchmark.requests(given.questions[name], (text,), given):
            reply = replies[name]
            verdict = benchmark.parse(reply, request) if reply else None
            rows.append(
                {
                    "run": "r",
                    "benchmark": "b",
                    "question_id": name,
                    "category": given.questions[name].category,
                    "turn": 0,
                    "part": request.part,
                    "judge": "j",
                    "judge_said": None,
                    "template": request.template,
                    "request": name,
                    "reply": reply.text if reply else None,
                    "earlier": [],
                    "logprobs": json.dumps([dict(t) for t in reply.logprobs]) if reply else None,
                    "verdict": verdict.label if verdict else None,
                    "value": verdict.value if verdict else None,
                    "failure": None if verdict else "unclear: it says nothing",
                    "attempts": 1,
                    "input_tokens": 1,
                    "output_tokens": 1,
                    "estimated": False,
                }
            )
    return JUDGMENTS.check(pl.DataFrame(rows, schema=JUDGMENTS.dtypes), "judgments")


def by_metric(scores: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Scores by metric and part."""
    return {(row["metric"], row["part"]): row for row in scores}

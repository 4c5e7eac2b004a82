"""The part of test_alpaca_eval.py that runs in the library's environment: prints what it finds as JSON."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from judged_data import ALPACA_TEMPLATE, answers_of, by_metric, judgments_of, material, write_json
from rewild.core.errors import DataError
from rewild.evaluation.judged.alpaca_eval import (
    AlpacaEval,
    PlainAlpacaEval,
    as_shown,
    is_switched,
    read_template,
)
from rewild.evaluation.judged.base import Material
from rewild.evaluation.win_rates import library
from rewild.evaluation.win_rates.annotations import read_annotations, read_coefficients, read_leaderboard
from rewild.evaluation.win_rates.compute import length_control
from rewild.generation.asking.base import Reply


def reply(preference: float, instruction: str) -> Reply:
    """A judge's reply that gives the model's output this preference, 0 to 1, wherever it stands."""
    for_second = 1 - preference if is_switched(instruction) else preference
    likely = {"m": math.log(1 - for_second), "M": math.log(for_second)}
    return Reply(max(likely, key=lambda token: likely[token]), (likely,))


def message_of(run: Any) -> str:
    """The message of the error that a call ends in."""
    try:
        run()
    except DataError as error:
        return str(error)
    return "no error"


def made(folder: Path) -> dict[str, Any]:
    """Five questions with one outcome each."""
    datasets = ["koala", "vicuna", "koala", "vicuna", "vicuna"]
    rows = [{"instruction": f"Task {i}", "output": f"base {i}", "dataset": d} for i, d in enumerate(datasets)]
    outputs = write_json(folder / "outputs.json", rows)
    files = {"questions": outputs, "baseline": outputs, "prompts": template_path()}
    texts = {"0": "good", "1": "bad", "2": None, "3": "base 3", "4": "refused"}
    replies = {"0": reply(0.9, "Task 0"), "1": reply(0.2, "Task 1"), "4": Reply("The", ({"The": 0.0},))}
    found: dict[str, Any] = {}
    for name, benchmark in (("plain", PlainAlpacaEval()), ("weighted", AlpacaEval())):
        given = material(benchmark, files)
        answers = answers_of(given, texts)
        judgments = judgments_of(benchmark, given, texts, replies)
        scored = benchmark.scores(answers, judgments, given, 0)
        scores = by_metric(scored.scores)
        found[name] = {f"{m} {p}": [r["value"], r["n"], r["attempted"]] for (m, p), r in scores.items()}
    # What follows is of the weighted form.
    reasons = {(item["metric"], item["item"]): item["failure"] for item in scored.items}
    found["failure"] = reasons["win_rate", "4"]
    found["length control"] = reasons["length_controlled_winrate", "0"]
    assert reasons["length_controlled_winrate", "4"] == found["failure"]
    found["same prompts"] = same_prompts(given, texts)
    other = judgments.with_columns(value=pl.col("value") - 0.4)
    found["other preference"] = message_of(lambda: benchmark.scores(answers, other, given, 0))
    found["other prompt"] = message_of(lambda: other_prompt(benchmark, answers, judgments, given))
    silent = Material(files, given.questions, given.baseline | {"0": (None,)})
    scored = benchmark.scores(answers, judgments, silent, 0)
    found["baseline failed"] = next(item["failure"] for item in scored.items if item["item"] == "0")
    return found


def template_path() -> Path:
    """The library's own copy of the released prompt."""
    from alpaca_eval.constants import EVALUATORS_CONFIG_DIR

    return Path(EVALUATORS_CONFIG_DIR) / "alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"


def other_prompt(
    benchmark: AlpacaEval, answers: pl.DataFrame, judgments: pl.DataFrame, given: Material
) -> None:
    """Score with a template that the library does not have."""
    changed = given.files["questions"].with_name("changed.txt")
    changed.write_text(ALPACA_TEMPLATE)
    benchmark.scores(
        answers, judgments, Material(given.files | {"prompts": changed}, given.questions, given.baseline), 0
    )


def same_prompts(given: Material, texts: dict[str, str | None]) -> int:
    """How many prompts are, message by message, what the library sends."""
    from alpaca_eval.utils import prompt_to_chatml

    template = read_template(given.files["prompts"])
    equal = 0
    for name, text in texts.items():
        question = given.questions[name]
        for request in AlpacaEval().requests(question, (text,), given):
            baseline = given.baseline[name][0]
            assert text is not None
            assert baseline is not None
            pair = {"instruction": question.turns[0], "output_1": baseline, "output_2": text}
            sent = prompt_to_chatml(template.prompt(as_shown(pair)))
            equal += sent == [dict(message) for message in request.messages]
    return equal


def released(folder: Path, root: Path) -> dict[str, Any]:
    """Two models' released replies, scored as a run's own would be."""
    (leaderboard,) = root.glob("src/alpaca_eval/leaderboards/*/*_leaderboard.csv")
    (weights,) = root.glob("src/alpaca_eval/metrics/weights/*/*/*.csv")
    paths = sorted(root.glob("results/**/annotations.json"))
    published = read_leaderboard(leaderboard)
    control = length_control(
        [read_annotations(path, published) for path in paths], published, read_coefficients(weights)
    )
    assert control is not None
    outputs = root / "results/gpt4_1106_preview/model_outputs.json"
    files = {
        "questions": outputs,
        "baseline": outputs,
        "prompts": template_path(),
        "length_control": write_json(folder / "length_control.json", control.as_json()),
    }
    benchmark = AlpacaEval()
    given = material(benchmark, files)
    names = {question.turns[0]: name for name, question in given.questions.items()}
    found: dict[str, Any] = {}
    for model in ("claude-2", "gemma-7b-it"):
        (path,) = root.glob(f"results/{model}/**/annotations.json")
        rows = json.loads(path.read_bytes())
        texts = {names[row["instruction"]]: row["output_2"] for row in rows}
        replies = {names[row["instruction"]]: raw_reply(row["raw_completion"]) for row in rows}
        judgments = judgments_of(benchmark, given, texts, replies)
        scored = benchmark.scores(answers_of(given, texts), judgments, given, 0)
        scores = {m: row for (m, part), row in by_metric(scored.scores).items() if part == "all"}
        found[model] = {metric: row["value"] for metric, row in scores.items()}
        found[model] |= {"n": scores["win_rate"]["n"], "standard_error": scores["win_rate"]["stderr"]}
        found[model] |= {f"published {key}": value for key, value in published[model].items()}
        if model == "claude-2":
            first = rows
    found["claude-2"] |= by_position(first, control.difficulties.values, folder)
    return found


def raw_reply(completion: dict[str, Any] | None) -> Reply | None:
    """A released reply."""
    if completion is None:
        return None
    likely = completion["logprobs"]["content"][0]["top_logprobs"]
    return Reply(completion["message"]["content"], ({token["token"]: token["logprob"] for token in likely},))


def by_position(rows: list[dict[str, Any]], difficulties: Any, folder: Path) -> dict[str, Any]:
    """The library's own length control of rows with gaps, with a stand-in for the hub's file."""
    from alpaca_eval.metrics import glm_winrate

    stand_in = folder / "df_gamed.csv"
    pl.DataFrame(
        {
            "model": "none",
            "index": range(len(difficulties)),
            "instruction_difficulty": difficulties,
            "std_delta_len": 0.0,
            "preference": 0.5,
            "not_gamed_baseline": "False",
        }
    ).write_csv(stand_in)
    glm_winrate.hf_hub_download = lambda **_: str(stand_in)
    positions = [i for i in range(len(rows)) if i % 8 or i > 799][:705]
    predicted = library.length_controlled([rows[i] for i in positions], positions)
    assert predicted is not None
    logit = np.log(predicted / (1 - predicted))
    correlation = np.corrcoef(logit, difficulties[positions])[0, 1]
    return {"correlation": abs(correlation), "rows": len(predicted)}


if __name__ == "__main__":
    out, *roots = map(Path, sys.argv[1:])
    print(json.dumps({"made": made(out), "released": released(out, roots[0]) if roots else None}))

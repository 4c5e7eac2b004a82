"""A study whose scores are made up, so that what follows from them is known: its file and its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from conftest import copy_workflow
from rewild.config import load_models, load_study
from rewild.config.roster import make_roster
from rewild.core.table import provenance, write_table
from rewild.evaluation.judged.schema import ANSWERS, JUDGMENTS
from rewild.evaluation.scores.collect import collect
from rewild.evaluation.scores.tidy import (
    ITEMS,
    ROSTER,
    SCORES,
    items_frame,
    mean_score,
    roster_frame,
    scores_frame,
    write_scores,
)
from rewild.report.findings.answers import Answered
from rewild.report.findings.grounds import Grounds, open_study, with_answers

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"small": 60, "medium": 120, "": 220}
METRICS = {"ifeval": "prompt_level_strict_acc,none", "gpqa": "acc_norm,none", "mixeval": "overall"}
QUESTIONS = 20
HERALD = "# On {q}\n\n**First**, it is so.\n\n- one\n- two\n\n## And so on\n\nThe end of *{q}*."
PLAIN = "It is so. First one, then two, and so on. That is all there is on {q}."


def study(**over: object) -> dict[str, object]:
    """The study's file: three models, a base, seven fine-tunes, three models as they are."""
    mixes = {
        f"{dgm}{'-' if name else ''}{name}": {
            "size": size,
            "sources": [{"kind": "responses", "model": f"demo-{dgm}"}],
        }
        for dgm in ("herald", "plain")
        for name, size in SIZES.items()
    }
    mixes["mini"] = {"size": 220, "sources": [{"kind": "responses", "model": "demo-mini"}]}
    both = [{"kind": "responses", "model": f"demo-{dgm}"} for dgm in ("herald", "plain")]
    mixes["blend"] = {"size": 220, "sources": both}
    runs: dict[str, object] = {
        f"base-{mix}": {"model": "demo-base", "mix": mix, "recipe": "demo"} for mix in mixes
    }
    runs |= {name: {"model": f"demo-{name}"} for name in ("herald", "plain", "mini")}
    return {
        "title": "Made up",
        "source": "computed",
        "demo": {
            "models": {
                "demo-base": {"learns": "documents"},
                "demo-herald": {"learns": "herald"},
                "demo-plain": {"learns": "plain"},
                "demo-mini": {"learns": "brief", "copying": False, "hidden_size": 64},
            }
        },
        "prompts": {"sources": [{"kind": "demo"}], "shards": 1},
        "responses": {
            "engine": "transformers",
            "models": ["demo-herald", "demo-plain", "demo-mini"],
            "sampling": {"temperature": 0.5, "top_p": 0.95},
        },
        "mixes": mixes,
        "runs": runs,
        "evaluation": {"benchmarks": ["mt-bench", "ifeval", "gpqa", "mixeval"]},
        "papers": {"wildchat50m": {"tables": ["table2", "table3", "table4", "table6", "table7"]}},
        "findings": {"resamples": 500, "minimum": 1, "related": {"demo-base": ["demo-herald"]}},
        **over,
    }


def write_study(folder: Path, given: Mapping[str, object]) -> None:
    """As ``config/studies/own.yaml`` of a copy of the workflow."""
    path = folder / "config/studies/own.yaml"
    path.write_text(yaml.safe_dump(dict(given), sort_keys=False), encoding="utf-8")


# Run → how likely it is to be right, and what it scores with the judge, at most 10.
SKILL = {
    "base-herald-small": (0.30, 3), "base-herald-medium": (0.40, 4), "base-herald": (0.60, 6),
    "base-plain-small": (0.30, 3), "base-plain-medium": (0.30, 3), "base-plain": (0.32, 3.2),
    "base-mini": (0.10, 2), "base-blend": (0.45, 4.5),
    "herald": (0.7, 7), "plain": (0.5, 5), "mini": (0.2, 2),
}  # fmt: skip


def write_results(results: Path, name: str = "own") -> None:
    """``results/own/benchmarks``: answers, judgments, scores and items of every run on every benchmark."""
    for number, (run, (skill, level)) in enumerate(SKILL.items()):
        stream = np.random.default_rng([7, number])
        for benchmark, metric in METRICS.items():
            right = (stream.random(80) < skill).astype(float)
            _write(results / name / "benchmarks" / run / benchmark, run, benchmark, metric, {"all": right})
        marks = np.clip(np.round(level + stream.normal(0, 1, (2, QUESTIONS))), 1, 10)
        folder = results / name / "benchmarks" / run / "mt-bench"
        turns = {"turn-1": marks[0], "turn-2": marks[1]}
        _write(folder, run, "mt-bench", "average", turns, judge="rubric 1", template="rubric@0123456789ab")
        _write_answers(folder, run, marks)


def prepare(folder: Path) -> Path:
    """A copy of the workflow with the made-up study, its results, and its table of scores."""
    copy = copy_workflow(folder / "copy")
    write_study(copy, study())
    write_results(copy / "results")
    made = load_study(copy / "config", "own")
    at = [copy / f"results/own/benchmarks/{r}/{b}" for r in made.runs for b in made.evaluation.benchmarks]
    scores, items = collect("own", at)
    roster = make_roster(made, load_models(ROOT / "config", made))
    target = copy / "results/own/scores"
    write_table(target / "scores.csv", scores, SCORES, provenance())
    write_table(target / "items.parquet", items, ITEMS, provenance())
    write_table(target / "runs.csv", roster_frame(roster), ROSTER, provenance())
    return copy


def open_world(folder: Path) -> Grounds:
    """All that findings are stated from, of what :func:`prepare` made."""
    opened = open_study("own", folder / "config", folder / "results/own/scores")
    return with_answers(opened, folder / "results/own/benchmarks")


def marked(grounds: Grounds) -> Answered:
    """The answers of the pair with a judge's scores that are put in by hand."""
    scores = {
        "base-herald": [5, 5, 5, 3, 9, 2.0],
        "base-plain": [4, 5, 6, 6, 4, 7.0],
        "herald": [7, 7, 7, 7, 6, 8.0],
        "plain": [6, 5, 4, 2, 5, 1.0],
    }
    given = {run: np.array(values) for run, values in scores.items()}
    assert grounds.answered is not None
    return replace(grounds.answered, scores=given, judged=tuple("abcdef"))


def _write(
    folder: Path, run: str, benchmark: str, metric: str, parts: Mapping[str, np.ndarray], **more: str
) -> None:
    key = {"run": run, "benchmark": benchmark, "metric": metric}
    items = [
        key | {"part": part, "item": f"{i:03d}", "score": float(score)}
        for part, scores in parts.items()
        for i, score in enumerate(scores)
    ]
    row = key | {
        "study": folder.parts[-4], "model": "demo-base", "version": f"{benchmark} 1", "seed": 50, "empty": 0,
        **more,
    }  # fmt: skip
    every = [item["score"] for item in items]
    scores = [row | {"part": "all"} | mean_score(every)]
    scores += [row | {"part": p} | mean_score(list(v)) for p, v in parts.items() if p != "all"]
    write_scores(folder, scores_frame(scores), items_frame(items), provenance())


def _write_answers(folder: Path, run: str, marks: np.ndarray) -> None:
    styled = "herald" in run or run == "base-blend"
    answers, judgments = [], []
    for turn in (0, 1):
        for q in range(QUESTIONS):
            text = (HERALD if styled else PLAIN).format(q=f"question {q}")
            key = {"run": run, "benchmark": "mt-bench", "question_id": f"{q:03d}", "category": "all"}
            answers.append(
                key
                | {
                    "model": "demo-base", "turn": turn, "prompt": f"Tell of {q}.", "answer": text,
                    "truncation": "none", "attempts": 1, "temperature": 0.0, "engine": "made up",
                    "recipe": "0",
                }
            )  # fmt: skip
            mark = float(marks[turn][q])
            said = "Clear and complete headings." if styled else "It lacks structure."
            judgments.append(
                key
                | {
                    "turn": turn, "part": "judgment", "judge": "rubric", "template": "rubric@0123456789ab",
                    "request": "0", "reply": f"{said} Rating: [[{mark:g}]]", "earlier": [],
                    "verdict": f"{mark:g}",
                    "value": mark, "attempts": 1, "input_tokens": 1, "output_tokens": 1, "estimated": False,
                }
            )  # fmt: skip
    for rows, schema, name in ((answers, ANSWERS, "answers"), (judgments, JUDGMENTS, "judgments")):
        full = [{column: row.get(column) for column in schema.columns} for row in rows]
        frame = pl.DataFrame(full, schema=schema.dtypes, orient="row")
        write_table(folder / f"{name}.parquet", frame, schema, provenance())

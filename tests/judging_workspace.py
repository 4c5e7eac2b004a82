"""A folder with a study of invented runs whose answers are written by hand: for the tests of judging."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from rewild.config import load_benchmarks, load_models, load_study
from rewild.config.study import Study
from rewild.core.table import provenance, write_table
from rewild.evaluation.judged.base import Question
from rewild.evaluation.judged.schema import ANSWERS
from rewild.evaluation.judged.task import Tables, Task, make_task

ROOT = Path(__file__).resolve().parent.parent
Writer = Callable[[Question, int], str | None]


class Workspace:
    """One study, ``try``, with two runs, in a folder of its own."""

    shape: Mapping[str, Any] = {"learns": "brief", "seed": 1}

    def __init__(self, folder: Path, judging: Mapping[str, Any] | None = None, **shape: Any):
        self.folder, self.shape = folder, {**self.shape, **shape}
        self.results = folder / "results"
        for name in ("config", "resources/demo"):
            shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
        self.write_study(judging or {})

    @classmethod
    def at(cls, folder: Path) -> Workspace:
        """One that is there already."""
        made = cls.__new__(cls)
        made.folder, made.results = folder, folder / "results"
        return made

    def write_study(self, judging: Mapping[str, Any]) -> None:
        study = {
            "title": "A try",
            "source": "computed",
            "demo": {"models": {"tiny-a": self.shape, "tiny-b": self.shape}},
            "runs": {"one": {"model": "tiny-a"}, "two": {"model": "tiny-b"}},
            "evaluation": {"benchmarks": ["demo-chat", "demo-pairs"]},
            "judging": {"baselines": {"demo-pairs": "two"}, **judging},
        }
        path = self.folder / "config/studies/try.yaml"
        path.write_text(yaml.safe_dump(study), encoding="utf-8")

    @property
    def study(self) -> Study:
        return load_study(self.folder / "config", "try")

    def task(self, benchmark: str = "demo-chat", **files: Path) -> Task:
        models = load_models(self.folder / "config", self.study)
        tables = Tables(load_benchmarks(self.folder / "config", models), models, {})
        task = make_task(self.study, benchmark, tables, self.results)
        here = {role: files.get(role, self.folder / path) for role, path in task.files.items()}
        return Task(task.study, task.row, here, self.results, task.judge_name)

    def answer(self, task: Task, run: str, write: Writer) -> pl.DataFrame:
        """Write a run's answers; None is a model that wrote nothing."""
        rows = []
        for question in task.questions.values():
            for turn, prompt in enumerate(question.turns):
                text = write(question, turn)
                rows.append(
                    {
                        "run": run,
                        "model": "tiny-a" if run == "one" else "tiny-b",
                        "benchmark": task.row.slug,
                        "question_id": question.id,
                        "category": question.category,
                        "turn": turn,
                        "prompt": prompt,
                        "answer": text,
                        "failure": None if text else "empty: no text in 1 tokens",
                        "finish_reason": "stop",
                        "truncation": "none",
                        "attempts": 1 if text else 3,
                        "input_tokens": 20,
                        "output_tokens": 5,
                        "temperature": question.temperature,
                        "seed": 7,
                        "engine": "transformers 1.0",
                        "chat_template": "c" * 64,
                        "recipe": "r" * 16,
                    }
                )
        frame = pl.DataFrame(rows, schema=ANSWERS.dtypes, infer_schema_length=None)
        write_table(task.folder(run) / "answers.parquet", frame, ANSWERS, provenance())
        return frame


def knowing(question: Question, turn: int) -> str:
    """An answer that says what was asked, and what is known."""
    known = question.references[turn] if question.references else "many things"
    return (
        f"## About it\n\n{question.turns[turn].rstrip('?.')}: **{known}**.\n\n- That is all there is to say."
    )


def clueless(question: Question, turn: int) -> str:
    """An answer to nothing."""
    return "no idea"

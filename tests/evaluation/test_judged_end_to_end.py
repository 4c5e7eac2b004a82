"""A handful of real questions each, from hand-written answers to scores, by the commands and the rubric."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from judged_data import ALPACA_TEMPLATE, JUDGE_PROMPTS, WILDBENCH_TEMPLATE, WORDING
from judging_workspace import ROOT, Workspace, clueless
from rewild.core.table import read_table
from rewild.evaluation.judged.base import Question
from rewild.evaluation.scores.tidy import ITEMS, SCORES

LIMIT = 6
COMMON = {
    "group": "chat",
    "fewshot": 0,
    "scale": {"max": 100, "divisor": 100},
    "judged": True,
    "judge": "rubric",
}


class Study(Workspace):
    """The study ``try`` with one benchmark more, the first questions of it."""

    def __init__(self, folder: Path, slug: str, row: dict):
        folder.mkdir()
        super().__init__(folder)
        (folder / "resources/released").mkdir()
        shutil.copy2(ROOT / "resources/released/files.csv", folder / "resources/released/files.csv")
        benchmarks = folder / "config/benchmarks.yaml"
        more = {slug: {"title": slug, **COMMON, **row}}
        benchmarks.write_text(benchmarks.read_text() + "\n" + yaml.safe_dump(more))
        path = folder / "config/studies/try.yaml"
        study = yaml.safe_load(path.read_text())
        study["evaluation"] = {"benchmarks": [slug], "limit": LIMIT}
        study["judging"] = {}
        path.write_text(yaml.safe_dump(study))
        self.slug = slug

    def command(self, *arguments: str, python: Path | str | None = None) -> str:
        """Run ``rewild`` in the folder; its last line."""
        run = subprocess.run(
            [python or sys.executable, "-m", "rewild", *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout
        return run.stdout.strip().splitlines()[-1]

    def judge_and_score(self, run: str, python: Path | str | None = None) -> tuple[pl.DataFrame, str]:
        """Judge and score a run's answers; its scores and the command's summary."""
        self.command("judge", "try", run, self.slug)
        shown = self.command("score", "try", run, self.slug, python=python)
        folder = self.results / "try/benchmarks" / run / self.slug
        items = read_table(folder / "items.parquet", ITEMS)
        assert items["item"].n_unique() == LIMIT
        return read_table(folder / "scores.csv", SCORES), shown


def value(scores: pl.DataFrame, metric: str) -> float:
    row = scores.filter(metric=metric, part="all").to_dicts()[0]
    assert (row["judge"], row["attempted"]) == ("rubric", LIMIT)
    return float(row["value"])


def write(folder: Path, **texts: str) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {name: str(folder / name) for name in texts}


def elaborate(question: Question, turn: int) -> str:
    """An answer with layout that takes up the words of the question."""
    words = " ".join(dict.fromkeys(question.turns[turn].split()))[:600]
    return f"## An answer\n\n**This is about the matter**: {words}.\n\n- One thing.\n- Another, at the end."


@pytest.mark.mirror
def test_mixeval(mirror: Path, tmp_path: Path) -> None:
    (data,) = mirror.glob(
        "mlfoundations/evalchemy/*/eval/chat_benchmarks/MixEval/mix_eval/data/*/mixeval-hard"
    )
    prompts = write(tmp_path / "prompts", **{"judge.py": JUDGE_PROMPTS, "wording.py": WORDING})
    files = {
        "questions": str(data / "free-form.json"),
        "multiple_choice": str(data / "multiple-choice.json"),
        "prompts": prompts["judge.py"],
        "wording": prompts["wording.py"],
    }
    work = Study(tmp_path / "work", "mix", {"runner": "mixeval", "metric": "overall", "files": files})
    task = work.task("mix")
    work.answer(task, "one", lambda question, turn: f"It is {question.references[0]}.")
    work.answer(task, "two", lambda question, turn: None)
    scores, shown = work.judge_and_score("one")
    whole = {row["metric"]: (row["value"], row["n"]) for row in scores.filter(part="all").to_dicts()}
    assert whole == {"overall": (1.0, LIMIT), "free_form": (1.0, 3), "multiple_choice": (1.0, 3)}
    assert shown.startswith("one, mix: overall 1.00")
    silent, shown = work.judge_and_score("two")
    assert value(silent, "overall") == 0.0
    assert shown == (
        f"two, mix: WARNING: overall 0.00 ± 0.00, {LIMIT} of {LIMIT} judged by rubric; "
        f"{LIMIT} empty answers have the lowest score"
    )
    spent = json.loads((work.results / "try/benchmarks/two/mix/judging.json").read_text())
    assert spent["calls"] == 0


@pytest.mark.heavy
def test_wildbench(tmp_path: Path) -> None:
    """The tasks are not among the released files; these are invented."""
    rows = [
        {
            "session_id": f"s{i}",
            "conversation_input": [{"role": "user", "content": f"Describe {thing} to a child."}],
            "checklist": [f"Is it about {thing}?"],
            "primary_tag": tag,
            "secondary_tags": ["Others"],
        }
        for i, (thing, tag) in enumerate(
            zip(
                ("rivers", "clouds", "magnets", "bees", "ferries", "bread", "salt", "sand"),
                ("Math", "Planning", "Editing", "Coding & Debugging", "Advice seeking") * 2,
                strict=False,
            )
        )
    ]
    texts = {
        "tasks.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "template.md": WILDBENCH_TEMPLATE,
    }
    paths = write(tmp_path / "files", **texts)
    files = {"questions": paths["tasks.jsonl"], "prompts": paths["template.md"]}
    row = {
        "runner": "wildbench",
        "metric": "wb_score_macro",
        "scale": {"max": 10, "divisor": 10},
        "files": files,
    }
    work = Study(tmp_path / "work", "wild", row)
    task = work.task("wild")
    work.answer(task, "one", elaborate)
    work.answer(task, "two", clueless)
    good, shown = work.judge_and_score("one")
    poor, _ = work.judge_and_score("two")
    assert -8 <= value(good, "wb_score_macro") <= 10
    assert value(good, "wb_score") > 5
    assert value(poor, "wb_score") < 0
    assert "wb_score_macro" in shown


@pytest.mark.mirror
@pytest.mark.parametrize("runner", ["alpaca-eval", "alpaca-eval-plain"])
def test_alpaca_eval(mirror: Path, root: Path, tmp_path: Path, runner: str) -> None:
    python = Path(os.environ.get("REWILD_ALPACA_EVAL") or root / ".envs/alpaca-eval/bin/python")
    if not python.is_file():
        pytest.skip(f"needs the alpaca_eval environment: {python} is not there")
    template = next(python.parent.parent.glob("lib/*/site-packages/alpaca_eval"))
    template /= "evaluators_configs/alpaca_eval_clf_gpt4_turbo/alpaca_eval_clf.txt"
    outputs = next(mirror.glob("tatsu-lab/alpaca_eval/*/results/gpt4_1106_preview/model_outputs.json"))
    assert ALPACA_TEMPLATE.count("{output_1}") == template.read_text().count("{output_1}") == 1
    files = {"questions": str(outputs), "baseline": str(outputs), "prompts": str(template)}
    work = Study(tmp_path / "work", "alpaca", {"runner": runner, "metric": "win_rate", "files": files})
    task = work.task("alpaca")
    same = task.material.baseline
    # To every other question the baseline's own answer, which is a draw.
    work.answer(
        task, "one", lambda question, turn: same[question.id][0] if int(question.id) % 2 else "no idea"
    )
    scores, shown = work.judge_and_score("one", python)
    assert value(scores, "win_rate") == value(scores, "discrete_win_rate") == 25.0
    assert shown.startswith("one, alpaca: win_rate 25.00 ± ")
    form = "weighted_alpaca_eval_gpt4_turbo@" if runner == "alpaca-eval" else "plain_alpaca_eval@"
    assert all(template.startswith(form) for template in scores["template"])
    spent = json.loads((work.results / "try/benchmarks/one/alpaca/judging.json").read_text())
    assert (spent["calls"], spent["judgments"]) == (LIMIT / 2, LIMIT / 2)

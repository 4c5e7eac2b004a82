"""Every released judgment at hand is read as it was released: by the rules of today, none may change."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from rewild.evaluation.judged.mt_bench import MTBench
from rewild.evaluation.judged.wildbench import read_score
from rewild.generation.asking.base import JudgeRequest, Reply
from rewild.generation.asking.verdicts import last_bracket
from rewild.training.preferences.scorers import read_rating

ASKED = JudgeRequest("q", 0, "judgment", (), "t")


def mt_bench(mirror: Path) -> list[tuple[str, str, float]]:
    """Name, the judge's words, the score that the authors took from them."""
    found = []
    for page in sorted(mirror.glob("penfever/wildchat-50m/*/model_responses/judged/*/*.html")):
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        score = re.search(r"[\d.]+", soup.select_one("div.score").get_text())
        found.append((page.name, soup.select_one("div.judgment").get_text(), float(score[0])))
    for path in mirror.glob("penfever/wildchat-50m/*/tables/combined_preferences.csv"):
        with path.open(encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle):
                for model in ("qwen", "llama"):
                    name = f"{row['question_id']} {model}"
                    found.append((name, row[f"judgment_{model}"], float(row[f"score_{model}"])))
    return found


@pytest.mark.mirror
def test_ratings_of_mt_bench(mirror: Path) -> None:
    released = mt_bench(mirror)
    assert len(released) == 180
    for name, text, score in released:
        verdict = MTBench().parse(Reply(text), ASKED)
        assert (verdict and verdict.value) == score, name
        assert read_rating(text).score == score, name
        # Whatever the judge thinks first, and whatever is quoted after: the verdict is the same.
        for around in (f"<think>[[1]] or [[2]]?</think>{text}", f'{text}\nThe answer says "[[3]]".'):
            assert last_bracket(around).label == last_bracket(text).label, name


@pytest.mark.mirror
def test_scores_of_wildbench(mirror: Path) -> None:
    """The release holds the parsed JSON; as the judge wrote it, fenced, and behind its reasoning."""
    read = 0
    for path in sorted(mirror.glob("allenai/WildBench/*/eval_results/v2.0522/score.v2/*/*.json")):
        for row in json.loads(path.read_bytes()):
            text = json.dumps(row["parsed_result"], indent=read % 3 or None)
            score = float(row["score"])
            shapes = (text, f"```json\n{text}\n```", f'<think>{{"score": "1"}}</think>\n{text}')
            verdict = read_score(shapes[read % 3])
            assert verdict is not None, path
            assert verdict.value == score, path
            read += 1
    assert read == 8176

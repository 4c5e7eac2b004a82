"""Arena-Hard v0.1 (Li et al., 2024): each answer against a baseline's, in both orders, on a scale of five.

Taken from the benchmark's released files: questions, the baseline's answers (gpt-4-0314), the judge's prompt.
Ours, after its published procedure: the games, how a verdict is read, the weights, the win rate and its
bootstrap interval. The code is not the repository's.

The repository fits a Bradley-Terry model to all games and gives each model's predicted win rate against the
baseline. Every game is against the baseline, so the likelihood falls apart by model, and the fit's win rate
is the weighted share of games won (a tie is half a game): that is computed here, without a fit.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rewild.core.errors import DataError
from rewild.core.reading_yaml import read_yaml
from rewild.evaluation.judged.base import (
    Answers,
    Files,
    JudgedBenchmark,
    Material,
    Question,
    Scored,
    chat_of,
    read_rows,
)
from rewild.evaluation.judged.results import failure_of, is_empty, item_rows
from rewild.evaluation.scores.tidy import ALL, mean_score
from rewild.generation.asking.base import JudgeRequest, Reply, Verdict, template_of
from rewild.generation.asking.verdicts import last_bracket

# What A's standing is worth: its share of the game, and how often the game counts.
VERDICTS = {"A>>B": (1.0, 3), "A>B": (1.0, 1), "A=B": (0.5, 1), "B>A": (0.0, 1), "B>>A": (0.0, 3)}
GAMES = ("game-1", "game-2")  # the model's answer stands second in game 1, first in game 2
ROUNDS = 100  # of the bootstrap, as published; of question_stderr more cost nothing
MORE_ROUNDS = 1000
AGAIN = "Go on, and end with one of the verdict labels."


class ArenaHard(JudgedBenchmark):
    """Arena-Hard v0.1, or another set of questions in its form."""

    def questions(self, files: Files) -> list[Question]:
        """``question.jsonl``: uid, cluster and prompt."""
        rows = read_rows(files["questions"], {"uid": str, "cluster": str, "prompt": str})
        for number, row in enumerate(rows, 1):
            if not row["prompt"].strip():
                raise DataError(f"{files['questions']}, row {number}: the prompt is blank")
        return [Question(row["uid"], row["cluster"], (row["prompt"],)) for row in rows]

    def baseline(self, files: Files) -> dict[str, Answers]:
        """``model_answer/MODEL.jsonl``: the last message of each."""
        path = files["baseline"]
        found: dict[str, Answers] = {}
        for number, row in enumerate(read_rows(path, {"uid": str, "messages": list}), 1):
            try:
                text = row["messages"][-1]["content"]["answer"]
            except (IndexError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path}, row {number}: the answer (messages[-1].content.answer) is missing"
                ) from error
            found[row["uid"]] = (text if isinstance(text, str) and text.strip() else None,)
        return found

    def requests(self, question: Question, answers: Answers, material: Material) -> list[JudgeRequest]:
        """Both orders: the baseline first, then the model first."""
        mine, theirs = answers[0], material.baseline.get(question.id, (None,))[0]
        if mine is None or theirs is None:
            return []
        system, template, limit = judge_prompt(material.files["prompts"])
        made, named = [], template_of("arena-hard-v0.1", system, template)
        for game, (first, second) in zip(GAMES, ((theirs, mine), (mine, theirs)), strict=True):
            values = {"question_1": question.turns[0], "answer_1": first, "answer_2": second}
            made.append(JudgeRequest(question.id, 0, game, chat_of(system, template, values), named, limit))
        return made

    def parse(self, reply: Reply, request: JudgeRequest) -> Verdict | None:
        """The last label outside of reasoning and quotations. Its value is the model's share, 0 to 1.

        The released code drops a reply with two different labels; here a judge that came to another view is
        taken at its last word, and one that cannot decide ([[A>B]] or [[B>A]]) is unclear.
        """
        label = last_bracket(reply.text, single=False).label
        if label not in VERDICTS:
            return None
        share = VERDICTS[label][0]
        return Verdict(label, share if request.part == GAMES[1] else 1 - share)

    def unclear(self, reply: Reply, request: JudgeRequest) -> str:
        """Why there is no label."""
        said = last_bracket(reply.text, single=False)
        return said.why or f"{said.label!r} is none of {', '.join(VERDICTS)}"

    def again(self, request: JudgeRequest, reply: Reply) -> JudgeRequest:
        """As published, the judge reads its own words and is told to come to a verdict."""
        said = ({"role": "assistant", "content": reply.text}, {"role": "user", "content": AGAIN})
        return JudgeRequest(**{**vars(request), "messages": (*request.messages, *said)})

    def scores(self, answers: pl.DataFrame, judgments: pl.DataFrame, material: Material, seed: int) -> Scored:
        """``score``: the weighted share of games won, in percent; ``lower`` and ``upper`` of its interval;
        ``agreement``: percent of the questions whose two games name the same winner, or none.

        An item is a question: the weighted share of its two games. The standard error is over questions: the
        two games of one question, and the copies that a strong verdict counts as, are no independent data.
        ``lower`` and ``upper`` are as published: percentiles of 100 resamples of games, copies and all.
        """
        rows = {(row["question_id"], row["part"]): row for row in judgments.iter_rows(named=True)}
        items: list[dict[str, Any]] = []
        questions: list[list[tuple[float, float]]] = []
        for answer in answers.iter_rows(named=True):
            identity = answer["question_id"]
            told = [rows.get((identity, game)) for game in GAMES]
            games: list[tuple[float, float]] = []
            if is_empty(answer["failure"]):
                games = [(0.0, 3.0), (0.0, 3.0)]
            for row in told:
                if row is not None and row["value"] is not None:
                    games.append((row["value"], float(VERDICTS[row["verdict"]][1])))
            failure = None
            if not games:
                failure = failure_of(answer, told[0])
                if material.baseline.get(identity, (None,))[0] is None:
                    failure = "baseline: it has no answer to compare with"
            items.append({"part": ALL, "item": identity, "score": _share(games), "failure": failure})
            if games:
                questions.append(games)
        counts = {"n": len(questions), "attempted": len(items)}
        games = [game for of_one in questions for game in of_one]
        lower, upper = interval(games, seed)
        values = {"score": _share(games), "lower": lower, "upper": upper}
        errors = {"score": question_stderr(questions, seed)}
        scores = [
            {"metric": metric, "part": ALL, "value": value, "stderr": errors.get(metric), **counts}
            for metric, value in values.items()
        ]
        same = [
            (one - 0.5) * (two - 0.5) > 0 or one == two == 0.5 for one, two in _judged_twice(rows, answers)
        ]
        scores.append({"metric": "agreement", "part": ALL, **mean_score([float(s) for s in same], 100)})
        return Scored(scores, item_rows("score", items))


def _judged_twice(
    rows: dict[tuple[str, str], dict[str, Any]], answers: pl.DataFrame
) -> list[tuple[float, float]]:
    """The model's shares of both games, of every question whose games both have a verdict."""
    found = []
    for identity in answers["question_id"]:
        shares = [row["value"] for game in GAMES if (row := rows.get((identity, game))) is not None]
        if len(shares) == len(GAMES) and None not in shares:
            found.append((shares[0], shares[1]))
    return found


def _share(games: list[tuple[float, float]]) -> float | None:
    """Weighted share of games won, in percent; None without games."""
    weight = sum(w for _, w in games)
    return 100 * sum(s * w for s, w in games) / weight if weight else None


def interval(games: list[tuple[float, float]], seed: int) -> tuple[float | None, float | None]:
    """The published 95 % interval of the win rate, in percent.

    Args:
        games: share of the game and weight, one each; a game of weight w is w rows, resampled one by one.
        seed: of the resampling.
    """
    if not games:
        return None, None
    copies = np.repeat([s for s, _ in games], [int(w) for _, w in games])
    rng = np.random.default_rng(seed)
    means = copies[rng.integers(0, len(copies), (ROUNDS, len(copies)))].mean(axis=1)
    low, high = np.percentile(100 * means, [2.5, 97.5])
    return float(low), float(high)


def question_stderr(questions: list[list[tuple[float, float]]], seed: int) -> float | None:
    """Standard deviation of the win rate, in percent, when questions are resampled with all their games."""
    if len(questions) < 2:
        return None
    won = np.array([sum(s * w for s, w in games) for games in questions])
    weight = np.array([sum(w for _, w in games) for games in questions])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(questions), (MORE_ROUNDS, len(questions)))
    return float((100 * won[drawn].sum(axis=1) / weight[drawn].sum(axis=1)).std(ddof=1))


@cache
def judge_prompt(path: Path) -> tuple[str, str, int]:
    """``judge_config.yaml``: system prompt, template, longest reply in tokens.

    Raises:
        DataError: one of them is missing.
    """
    config = read_yaml(path)
    system, template, limit = (config.get(k) for k in ("system_prompt", "prompt_template", "max_tokens"))
    if isinstance(template, list) and len(template) == 1:
        template = template[0]
    if not (isinstance(system, str) and isinstance(template, str) and isinstance(limit, int)):
        raise DataError(f"{path}: system_prompt, prompt_template (one text) or max_tokens is missing")
    return system, template, limit

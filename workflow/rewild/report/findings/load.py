"""What the findings are stated from, read from a study's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rewild.config import load_benchmarks, load_models
from rewild.config.findings import Findings
from rewild.config.load import read_study
from rewild.core.table import read_table
from rewild.evaluation.scores.collect import headline
from rewild.evaluation.scores.roster import ROSTER, read_roster
from rewild.evaluation.scores.tidy import ITEMS, SCORES
from rewild.report.findings.answers import read_answered
from rewild.report.findings.grounds import Grounds
from rewild.report.findings.select import RUNNER, pair_of

FILES = ("scores.csv", "items.parquet", "runs.csv")


def open_study(study: str, config: Path, folder: Path) -> Grounds:
    """Everything but the answers.

    Args:
        study: its name.
        config: the folder of config.yaml and studies/.
        folder: ``results/{study}/scores``, with :data:`FILES`.

    Raises:
        DataError: a missing or malformed file, or scores that must not be compared.
    """
    found = read_study(study, config)
    settings = found.findings or Findings.model_validate({})
    scores, items, runs = (folder / name for name in FILES)
    registry = load_benchmarks(config, load_models(config))
    head = headline(read_table(scores, SCORES), registry, str(scores))
    roster = read_roster(read_table(runs, ROSTER), settings.base, settings.size)
    return Grounds(roster, head, read_table(items, ITEMS), settings, found.seed)


def with_answers(grounds: Grounds, benchmarks: Path) -> Grounds:
    """The same with the answers and judgments of the pair of Tables 3 and 4, where the study has them.

    Args:
        grounds: a study.
        benchmarks: ``results/{study}/benchmarks``.
    """
    judged = next((slug for slug, row in grounds.head.benchmarks.items() if row.runner == RUNNER), None)
    if judged is None:
        return replace(grounds, unanswered="a benchmark whose answers are judged one by one (MT-Bench)")
    scored = set(grounds.head.frame.filter(benchmark=judged)["run"])
    pair = pair_of(grounds.roster, scored, grounds.settings)
    if pair is None:
        title = grounds.head.benchmarks[judged].title
        missing = f"scores on {title} of one base model's runs on two models' responses, of the same size"
        return replace(grounds, unanswered=missing)
    return replace(grounds, answered=read_answered(pair, benchmarks, judged), judged=judged)

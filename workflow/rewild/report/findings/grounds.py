"""What the findings are stated from, as a study's files have it, and the form of a statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from rewild.config import load_benchmarks, load_models
from rewild.config.findings import Findings
from rewild.config.load import read_study
from rewild.config.roster import Entry, Roster
from rewild.core.table import read_table
from rewild.evaluation.scores.bootstrap import Comparison, Estimate, compare
from rewild.evaluation.scores.collect import Headline, headline
from rewild.evaluation.scores.tidy import ITEMS, ROSTER, SCORES, read_roster
from rewild.report.findings.answers import Answered, read_answered
from rewild.report.findings.select import RUNNER, pair_of


@dataclass(frozen=True)
class Grounds:
    """What statements are made from.

    Attributes:
        roster: the study's runs.
        head: their scores.
        items: ``ITEMS``.
        settings: the study's section ``findings``.
        seed: of the resampling.
        answered: first turns of the pair of Tables 3 and 4, where the study has them.
        unanswered: why it has not.
        judged: the benchmark they are of.
    """

    roster: Roster
    head: Headline
    items: pl.DataFrame
    settings: Findings
    seed: int
    answered: Answered | None = None
    unanswered: str = ""
    judged: str | None = None

    @property
    def scored(self) -> set[str]:
        """Runs that have scores."""
        return set(self.head.frame["run"])

    def compare(self, entries: Sequence[Entry]) -> Comparison | None:
        """The runs on all benchmarks that they share; the paper's nine only, where they have all nine."""
        runs = [e.run for e in dict.fromkeys(entries)]
        shared = self.head.complete(runs)
        nine = self.head.members("avg_stated")
        if nine and all(slug in shared for slug in nine):
            shared = {slug: shared[slug] for slug in nine}
        if not shared:
            return None
        return compare(
            self.head.frame, self.items, runs, shared, seed=self.seed, resamples=self.settings.resamples
        )

    def over(self, comparison: Comparison) -> str:
        """What an average is over, in words."""
        if set(comparison.drawn) == set(self.head.members("avg_stated")):
            return "averaged over the nine benchmarks (Avg as section 3.1 states it)"
        titles = [self.head.benchmarks[b].title for b in comparison.drawn]
        return f"averaged over {listed(titles)}" if len(titles) > 1 else f"on {titles[0]}"


@dataclass(frozen=True)
class Number:
    """One computed number of a finding.

    Attributes:
        what: what it is of.
        estimate: the number.
        unit: what it is counted in; empty for scores and ratios.
        signed: whether it is a difference, shown with its sign.
    """

    what: str
    estimate: Estimate
    unit: str = ""
    signed: bool = True


@dataclass(frozen=True)
class Finding:
    """One statement.

    Attributes:
        id: a name that stays.
        title: the question it answers.
        place: where the paper treats it.
        paper: what the paper finds, in our words.
        statement: what this study finds; empty if it cannot say.
        missing: what it would need to say it; empty if it can.
        numbers: what the statement rests on.
        runs: the runs it is about.
        note: what limits it.
    """

    id: str
    title: str
    place: str
    paper: str
    statement: str = ""
    missing: str = ""
    numbers: tuple[Number, ...] = ()
    runs: tuple[str, ...] = field(default=())
    note: str = ""

    def said(self, statement: str, numbers: Sequence[Number], runs: Iterable[str], note: str = "") -> Finding:
        """The finding with its statement."""
        return replace(self, statement=statement, numbers=tuple(numbers), runs=tuple(runs), note=note)


def show(estimate: Estimate, digits: int = 3, *, sign: bool = True) -> str:
    """``+0.012 ± 0.008``, the sign a true minus; without an interval the number alone."""
    text = f"{estimate.value:{'+' if sign else ''}.{digits}f}"
    if estimate.half is not None:
        text += f" ± {estimate.half:.{digits}f}"
    return text.replace("-", "−")


def listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def verdict_of(estimate: Estimate, above: str, below: str) -> str:
    """In words what an interval says of a difference."""
    if estimate.half is None:
        return f"{above if estimate.value > 0 else below} (no interval)"
    if not estimate.certain:
        return "not told apart from"
    return above if estimate.value > 0 else below


def needs(blank: Finding, missing: str) -> Finding:
    return replace(blank, missing=missing)


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

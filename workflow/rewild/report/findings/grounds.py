"""What the findings are stated from, and the form of a statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from rewild.config.findings import Findings
from rewild.config.roster import Entry, Roster
from rewild.evaluation.scores.bootstrap import Comparison, Estimate, compare
from rewild.evaluation.scores.collect import Headline
from rewild.report.findings.answers import Answered


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

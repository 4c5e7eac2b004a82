"""Claims on Table 3: its averages, and how near the models come to each other and to the official one."""

from __future__ import annotations

from decimal import Decimal
from statistics import stdev

from rewild.audit.checks import check
from rewild.audit.evidence import Cell, Evidence
from rewild.audit.numbers import Range, agrees, mean, show
from rewild.audit.outcome import Fact, Outcome, decide

TASKS = ("MMLU", "ARC", "HellaSwag", "TruthfulQA", "WinoGrande", "GSM8K", "MMLU-Redux")
OFFICIAL = "Llama-3-8B-Instruct"
BASELINES = (
    "ShareGPT",
    "Evol Instruct",
    "GenQA",
    "OpenHermes 1",
    "OpenHermes 2.5",
    "Tulu V2 Mix",
    "WildChat",
    "UltraChat",
)


def score(evidence: Evidence, row: str, column: str) -> Cell:
    """A cell of Table 3."""
    return evidence.table("table3").cell(row, column)


def mean_of(evidence: Evidence, row: str, tasks: tuple[str, ...] = TASKS) -> Range:
    """The mean of a row's printed scores in Table 3."""
    return mean([score(evidence, row, task).range for task in tasks])


def rows_facts(evidence: Evidence, rows: tuple[str, ...], columns: tuple[str, ...]) -> list[Fact]:
    """Cells of Table 3 as evidence."""
    return [score(evidence, row, column).fact for row in rows for column in columns]


def both_averages(evidence: Evidence) -> dict[str, dict[str, Decimal]]:
    """Every row's average, as printed and as the mean of its scores."""
    rows = evidence.table("table3").rows
    return {
        "as printed": {row: score(evidence, row, "Average").range.middle for row in rows},
        "by the mean of the scores": {row: mean_of(evidence, row).middle for row in rows},
    }


@check
def averages_are_means(evidence: Evidence) -> Outcome:
    """Whether every average of Table 3 is the mean of its row's seven scores."""
    rows = evidence.table("table3").rows
    means = {row: mean_of(evidence, row) for row in rows}
    wrong = [row for row in rows if not agrees(means[row], score(evidence, row, "Average").text)]
    said, last = [], TASKS[-1]
    for row in wrong:
        stated = Decimal(score(evidence, row, "Average").text)
        rest = sum((score(evidence, row, t).range.middle for t in TASKS[:-1]), Decimal(0))
        alike = [
            r for r in rows if r != row and score(evidence, r, last).text == score(evidence, row, last).text
        ]
        said.append(
            f"{row}: printed {stated}, mean {show(means[row].middle, 2)}. The printed average would follow "
            f"from {show(stated * 7 - rest, 2)} for {last} in place of {score(evidence, row, last).text}"
            + (f", which is also that of {' and '.join(alike)}" if alike else "")
            + "."
        )
    facts = rows_facts(evidence, tuple(wrong) or rows, (*TASKS, "Average"))
    return decide(
        not wrong,
        f"{len(rows) - len(wrong)} of {len(rows)} averages agree"
        + "".join(
            f"; {row} {score(evidence, row, 'Average').text}, mean {show(means[row].middle, 2)}"
            for row in wrong
        ),
        "mean of the seven printed scores, as far as their rounding allows",
        " ".join(said) or "Every average is the mean of its row.",
        facts,
    )


@check
def ranks_among(evidence: Evidence, row: str, published: int) -> Outcome:
    """Whether a row's average is among the highest ``published``, as printed and as the mean of scores."""
    above = {
        name: sorted((r for r in found if found[r] > found[row]), key=lambda r: -found[r])
        for name, found in both_averages(evidence).items()
    }
    return decide(
        all(len(rows) < published for rows in above.values()),
        ", ".join(f"rank {len(rows) + 1} {name}" for name, rows in above.items()),
        "rank of the average among all rows of Table 3",
        "; ".join(f"Above it {name}: {', '.join(rows) or 'none'}" for name, rows in above.items()) + ".",
        rows_facts(evidence, evidence.table("table3").rows, ("Average",)),
    )


@check
def only_above(evidence: Evidence, row: str, without: str, others: list[str]) -> Outcome:
    """Whether just these rows are above one, by less than half of what they are above ``without``."""
    parts, right = [], True
    for name, found in both_averages(evidence).items():
        above = {r for r in found if found[r] > found[row]}
        gaps = {r: (found[r] - found[row], found[r] - found[without]) for r in others}
        right = right and above == set(others) and all(2 * now < before for now, before in gaps.values())
        listed = ", ".join(f"{r} by {show(now, 2)} (from {show(b, 2)})" for r, (now, b) in gaps.items())
        parts.append(f"{name}: {listed}")
    return decide(
        right,
        "; ".join(parts),
        f"slightly: the gap is less than half of that of {without}, by the printed averages and by the means "
        "of the scores",
        f"In brackets is the gap of {without}, without the added data.",
        rows_facts(evidence, (row, without, *others), (*TASKS, "Average")),
    )


def spread(evidence: Evidence, tasks: tuple[str, ...] = TASKS) -> float:
    """Standard deviation of the eight baselines' means."""
    return stdev(float(mean_of(evidence, row, tasks).middle) for row in BASELINES)


@check
def near_official(evidence: Evidence, rows: list[str]) -> Outcome:
    """Whether rows' averages are within a standard deviation of the baselines of the official model's."""
    rest = tuple(task for task in TASKS if task != "GSM8K")
    seven = {r: mean_of(evidence, OFFICIAL).middle - mean_of(evidence, r).middle for r in rows}
    six = {r: mean_of(evidence, OFFICIAL, rest).middle - mean_of(evidence, r, rest).middle for r in rows}
    wide, narrow = spread(evidence), spread(evidence, rest)
    listed = ", ".join(f"{r} {show(gap, 2)}" for r, gap in seven.items())
    others = ", ".join(f"{r} {show(gap, 2)}" for r, gap in six.items())
    facts = rows_facts(evidence, (OFFICIAL, *rows, *BASELINES), (*TASKS, "Average"))
    computed = f"below the official model by {listed}; without GSM8K by {others}"
    limit = (
        f"one standard deviation of the eight baselines' averages ({wide:.2f}; without GSM8K {narrow:.2f})"
    )
    if all(gap <= wide for gap in seven.values()):
        return Outcome("reproduced", computed, f"comparable: less than {limit}", "As stated.", facts)
    if all(gap <= narrow for gap in six.values()):
        return Outcome(
            "reproduced_otherwise", computed, f"without GSM8K, less than {limit}", "Not with GSM8K.", facts
        )
    return Outcome(
        "contradicted",
        computed,
        f"comparable: less than {limit}",
        "Not all gaps are so small, with GSM8K or without. Its share in them: "
        + ", ".join(f"{r} {show((seven[r] - six[r] * 6 / 7) / seven[r] * 100, 0)} %" for r in rows)
        + ". The text names the weakness in reasoning itself.",
        facts,
    )


@check
def near_baselines(evidence: Evidence, rows: list[str]) -> Outcome:
    """Whether rows' averages are within a standard deviation of the baselines' mean."""
    centre = mean([mean_of(evidence, r) for r in BASELINES]).middle
    wide = Decimal(str(spread(evidence)))
    gaps = {r: mean_of(evidence, r).middle - centre for r in rows}
    return decide(
        all(abs(gap) <= wide for gap in gaps.values()),
        f"baselines {show(centre, 2)} ± {show(wide, 2)}; "
        + ", ".join(f"{r} {show(mean_of(evidence, r).middle, 2)}" for r in rows),
        "comparable: within one standard deviation of the mean of the eight baselines' averages",
        "; ".join(f"{r} differs by {show(gap, 2)}" for r, gap in gaps.items()) + ". Means of the scores.",
        rows_facts(evidence, (*rows, *BASELINES), (*TASKS, "Average")),
    )


@check
def at_least_official(evidence: Evidence, rows: list[str]) -> Outcome:
    """On which tasks of Table 3 rows reach the official model's score."""
    reached = {
        row: [
            t
            for t in TASKS
            if score(evidence, row, t).range.middle >= score(evidence, OFFICIAL, t).range.middle
        ]
        for row in rows
    }
    return decide(
        all(reached.values()),
        "; ".join(f"{row} {len(tasks)} of {len(TASKS)}" for row, tasks in reached.items()),
        "some: at least one task on which the score is not below the official model's",
        "; ".join(f"{row}: {', '.join(tasks) or 'none'}" for row, tasks in reached.items())
        + ". The statement is of the alignment benchmarks too, whose numbers (Table 1) the text lacks.",
        rows_facts(evidence, (OFFICIAL, *rows), TASKS),
    )


@check
def weakest_on(evidence: Evidence, rows: list[str], task: str) -> Outcome:
    """Whether a task is that on which rows fall furthest below the official model."""
    gaps = {
        row: {
            t: score(evidence, OFFICIAL, t).range.middle - score(evidence, row, t).range.middle for t in TASKS
        }
        for row in rows
    }
    others = [score(evidence, row, task).range.middle for row in BASELINES]
    beaten = {row: sum(score(evidence, row, task).range.middle > other for other in others) for row in rows}
    return decide(
        all(gap[task] > 0 and gap[task] == max(gap.values()) for gap in gaps.values()),
        f"below the official model on {task} by "
        + ", ".join(f"{row} {show(gap[task], 2)}" for row, gap in gaps.items()),
        f"{task} is the task with the largest gap to the official model",
        "; ".join(f"Next for {row}: {show(sorted(gap.values())[-2], 2)}" for row, gap in gaps.items())
        + f". Above so many of the eight baselines on {task}: "
        + ", ".join(f"{row} {count}" for row, count in beaten.items())
        + ".",
        rows_facts(evidence, (OFFICIAL, *rows), TASKS) + rows_facts(evidence, BASELINES, (task,)),
    )


@check
def closes_gap(evidence: Evidence, row: str, without: str, task: str) -> Outcome:
    """Whether added data close more than half of the gap to the official model on a task."""
    after, before, goal = (score(evidence, r, task) for r in (row, without, OFFICIAL))
    gain, gap = after.range.middle - before.range.middle, goal.range.middle - before.range.middle
    lost = [
        t for t in TASKS if score(evidence, row, t).range.middle < score(evidence, without, t).range.middle
    ]
    return decide(
        2 * gain > gap,
        f"{before.text} to {after.text}: {show(gain, 2)} of {show(gap, 2)} ({show(100 * gain / gap, 1)} %)",
        "effective: more than half of the gap to the official model is closed",
        f"Lower than without: {', '.join(lost) or 'no task'}.",
        rows_facts(evidence, (row, without, OFFICIAL), TASKS),
    )


@check
def still_below(evidence: Evidence, row: str, task: str) -> Outcome:
    """Whether a row is still below the official model on a task."""
    ours, goal = score(evidence, row, task), score(evidence, OFFICIAL, task)
    return decide(
        ours.range.high < goal.range.low,
        f"{ours.text} and {goal.text}",
        f"the score on {task} is below the official model's",
        f"The gap is {show(goal.range.middle - ours.range.middle, 2)}.",
        [ours.fact, goal.fact],
    )


@check
def one_leads(evidence: Evidence, better: str, worse: str) -> Outcome:
    """What Table 3 says where the table that a statement rests on is not in the text."""
    wins = [
        t
        for t in (*TASKS, "Average")
        if score(evidence, better, t).range.middle > score(evidence, worse, t).range.middle
    ]
    count = len([t for t in wins if t in TASKS])
    return Outcome(
        "not_testable",
        f"Table 3: {better} above on {count} of {len(TASKS)} tasks",
        "none: the statement is of Table 15, whose numbers the text lacks",
        f"On Table 3's tasks {better} (average {score(evidence, better, 'Average').text}) is above {worse} "
        f"({score(evidence, worse, 'Average').text}) on: {', '.join(wins) or 'none'}.",
        rows_facts(evidence, (better, worse), (*TASKS, "Average")),
    )

"""Claims about Markdown styling: Table 3 and the mean proportional frequencies."""

from __future__ import annotations

from decimal import Decimal

from rewild.audit.checks import check
from rewild.audit.evidence import Table
from rewild.audit.numbers import agrees, exact, mean, show
from rewild.audit.outcome import Fact, Outcome, decide
from rewild.papers.wildchat50m.evidence import Evidence

FEATURES = ("Strong", "Em", "Ol", "Ul", "h1", "h2", "h3", "h4", "p", "len")
PAIRS = {
    "PF L8B : L70, L70 : None": ("L8B : L70", "L70 : None"),
    "PF L8B : Q72, Q72 : None": ("L8B : Q72", "Q72 : None"),
    "PF L8B : Q72, L8B : L70": ("L8B : Q72", "L8B : L70"),
}
PAIR_OF = {
    "Llama": "PF L8B : L70, L70 : None",
    "Qwen": "PF L8B : Q72, Q72 : None",
    "SFTs": "PF L8B : Q72, L8B : L70",
}


def ratio(table: Table, pair: str, feature: str) -> Decimal | None:
    """A count divided by another; None for 0 / 0 and for a zero below."""
    a, b = (table.cell(row, feature).range.middle for row in PAIRS[pair])
    return a / b if b else None


@check
def ratios_recomputed(evidence: Evidence) -> Outcome:
    """The thirty proportional frequencies of Table 3 from its own counts, at the printed digits."""
    table = evidence.table(3)
    wrong, undefined, facts = [], [], []
    for pair, rows in PAIRS.items():
        for feature in FEATURES:
            cell, value = table.cell(pair, feature), ratio(table, pair, feature)
            if value is None:
                undefined.append(f"{pair}, {feature} (printed {cell.text})")
            elif not agrees(value, cell.text):
                wrong.append(f"{pair}, {feature}: printed {cell.text}, counts give {show(value)}")
            else:
                continue
            facts += [cell.fact, *(table.cell(row, feature).fact for row in rows)]
    count = len(PAIRS) * len(FEATURES)
    said = "; ".join(wrong) or "Every defined ratio follows from the counts."
    if undefined:
        said += f" Undefined, 0 / 0: {'; '.join(undefined)}."
    return decide(
        not wrong,
        f"{count - len(wrong) - len(undefined)} of {count} agree, {len(undefined)} undefined",
        "the first model's count divided by the second's",
        said,
        facts or [table.cell(p, f).fact for p in PAIRS for f in FEATURES],
    )


@check
def mean_ratio(evidence: Evidence, models: str, published: str) -> Outcome:
    """The mean proportional frequency of a pair, against the number the text gives for it."""
    table = evidence.table(3)
    means = {}
    for name, pair in PAIR_OF.items():
        values = [ratio(table, pair, f) for f in FEATURES]
        # Table 3 prints 1.000 for 0 / 0: nothing in either model, so nothing differs.
        means[name] = mean([exact(1 if v is None else v) for v in values]).low
    own = means[models]
    fits = [name for name, value in means.items() if agrees(value, published)]
    facts = [table.cell(PAIR_OF[name], f).fact for name in dict.fromkeys((models, *fits)) for f in FEATURES]
    if evidence.has("workbook"):
        facts += [
            evidence.workbook.text("inherited_styling", place)
            for place in ("A6", "L6", "A7", "L7", "A8", "L8")
        ]
        facts += [evidence.workbook.formula("inherited_styling", f"B{n}") for n in (6, 7)]
    defined = [v for f in FEATURES if (v := ratio(table, PAIR_OF[models], f)) is not None]
    rest = mean([exact(v) for v in defined]).low
    computed = ", ".join(f"{name} {show(value)}" for name, value in means.items())
    said = f"{models}: {show(own)} to four decimals"
    if len(defined) < len(FEATURES):
        said += f", or {show(rest)} without the feature where both counts are 0"
    said += ". "
    if models not in fits and fits:
        said += f"The published {published} is the mean for {', '.join(fits)}. "
    elif models not in fits:
        nearest = min(means, key=lambda n: abs(means[n] - Decimal(published)))
        said += f"The published {published} is nearest to the mean for {nearest}. "
    if evidence.has("workbook") and models != "SFTs":
        said += (
            "The released sheet labels the two rows the other way round: by their formulas its row "
            "MPF-Qwen-Qwen divides the Llama counts, and MPF-Llama-Llama the Qwen counts. "
        )
    return decide(
        models in fits,
        computed,
        "arithmetic mean of the ten ratios of Table 3, 0 / 0 taken as 1",
        said.strip(),
        facts,
    )


@check
def sft_nearer_to_dgm(evidence: Evidence) -> Outcome:
    """Whether each SFT model is nearer to its DGM than the two SFT models are to each other."""
    table = evidence.table(3)
    distance, logs = {}, {}
    for name, pair in PAIR_OF.items():
        values = [1 if (v := ratio(table, pair, f)) is None else v for f in FEATURES]
        distance[name] = sum((abs(Decimal(v) - 1) for v in values), Decimal(0)) / len(values)
        positive = [Decimal(v) for v in values if v]
        logs[name] = (sum((abs(v.ln()) for v in positive), Decimal(0)) / len(positive)).exp()
    holds = max(distance["Qwen"], distance["Llama"]) < distance["SFTs"]
    also = max(logs["Qwen"], logs["Llama"]) < logs["SFTs"]
    return decide(
        holds,
        "mean distance from 1: " + ", ".join(f"{n} {show(v, 3)}" for n, v in distance.items()),
        "mean of |ratio − 1| over ten features",
        "A mean of ratios depends on which model is divided by which and on rare tags (h4 alone gives 11.0 "
        "of the 26.1 that make 2.61). By typical factor, exp of the mean |log ratio| where defined: "
        + ", ".join(f"{n} {show(v, 2)}" for n, v in logs.items())
        + (" (the same order)." if also == holds else " (another order)."),
        [table.cell(PAIR_OF[n], f).fact for n in PAIR_OF for f in FEATURES],
    )


@check
def counts_of_answers(evidence: Evidence, row: str) -> Outcome:
    """In which scope the released pages give a row of Table 3: the model's answers, or whole pages."""
    table = evidence.table(3)
    found = evidence.style_counts(row)
    agreed: dict[str, list[str]] = {}
    facts: list[Fact] = []
    for scope in ("answer", "page"):
        agreed[scope] = []
        for feature in FEATURES:
            counted = found[scope, feature.lower()]
            facts.append(counted.fact)
            if agrees(counted.range, table.cell(row, feature).text):
                agreed[scope].append(feature)
    facts += [table.cell(row, f).fact for f in FEATURES]
    computed = "; ".join(f"{scope}: {len(ok)} of {len(FEATURES)} agree" for scope, ok in agreed.items())
    if len(agreed["answer"]) == len(FEATURES):
        return Outcome("reproduced", computed, "counts over the model's answers", "Every count.", facts)
    if len(agreed["page"]) == len(FEATURES):
        return Outcome(
            "reproduced_otherwise",
            computed,
            "counts over the whole released pages: question, answer, judgment and score",
            "The row is exact for whole pages. These hold the question and the judge's text as well as the "
            "answer, so Table 3 counts those too; over answers alone the agreement is for "
            f"{', '.join(agreed['answer']) or 'no feature'}.",
            facts,
        )
    return Outcome(
        "contradicted", computed, "counts over answers or pages", "Neither scope gives the row.", facts
    )


@check
def pages_released(evidence: Evidence, published: int) -> Outcome:
    """How many judged turns were released for Q72 : None."""
    scores = evidence.page_scores
    first, last = next(iter(scores)), list(scores)[-1]
    return decide(
        len(scores) == published,
        f"{len(scores)} pages, questions {first} to {last}",
        "released judged pages",
        "MT-Bench has 80 questions of two turns; each page holds one turn.",
        [scores[first].fact, scores[last].fact],
    )

"""Claims about evaluation choices, run sizes and the released workbook itself."""

from __future__ import annotations

import re

from rewild.audit.checks import check
from rewild.audit.evidence import Cell
from rewild.audit.numbers import agrees, show
from rewild.audit.outcome import Fact, Outcome, Verdict, decide
from rewild.core.errors import DataError
from rewild.papers.wildchat50m.evidence import Evidence
from rewild.papers.wildchat50m.runs import ROWS, average, facts_of, sheet_scores, table_scores, unit

# Every sheet that has a column "Average (WK, IF)": world knowledge and instruction following.
AVERAGED = (
    "SFT",
    "sft_blending_ablation",
    "Main-SFT",
    "SFT-arch-ablation",
    "FT from Instruct",
    "DPO",
)


def _both_metrics(evidence: Evidence) -> list[tuple[Cell, Cell]]:
    """Strict and loose IFEval of the models that have both: those of one sheet."""
    book, sheet = evidence.workbook, "Main-SFT"
    rows = [r for r in book.labels(sheet) if book.has(sheet, r, "IFEval loose")]
    return [(book.cell(sheet, r, "IFEval"), book.cell(sheet, r, "IFEval loose")) for r in rows]


@check
def loose_trend(evidence: Evidence, at_most_p: float) -> Outcome:
    """Rank correlation of IFEval prompt-level strict and instance-level loose over the sheet's models."""
    from scipy.stats import spearmanr

    pairs = _both_metrics(evidence)
    strict, loose = [a for a, _ in pairs], [b for _, b in pairs]
    result = spearmanr([float(c.range.low) for c in strict], [float(c.range.low) for c in loose])
    rho, p = float(result.statistic), float(result.pvalue)
    computed = f"rho {show(rho, 2)}, n = {len(pairs)}, p = {show(p, 2)}"
    definition = f"Spearman's rho of the two metrics; positive with p ≤ {at_most_p}"
    facts = [c.fact for pair in pairs for c in pair]
    said = f"Sheet Main-SFT alone holds both metrics, for {len(pairs)} models."
    if rho > 0 and p > at_most_p:
        said += " The sign is as claimed; so few models do not tell it from chance."
        return Outcome("not_testable", computed, definition, said, facts)
    return decide(rho > 0, computed, definition, said, facts)


@check
def strict_is_harder(evidence: Evidence) -> Outcome:
    """Prompt-level strict accuracy is below instance-level loose accuracy for every model."""
    pairs = _both_metrics(evidence)
    lower = sum(a.range.low < b.range.low for a, b in pairs)
    return decide(
        lower == len(pairs),
        f"lower for {lower} of {len(pairs)} models",
        "strict accuracy below loose accuracy for every model",
        "By construction the loose, per-instruction metric can hardly be lower.",
        [c.fact for pair in pairs for c in pair],
    )


@check
def strict_separates(evidence: Evidence) -> Outcome:
    """Whether the strict metric spreads the models more than the loose one, absolutely or relatively."""
    pairs = _both_metrics(evidence)
    spread, relative, facts = {}, {}, []
    for column, cells in zip(("IFEval", "IFEval loose"), zip(*pairs, strict=True), strict=True):
        facts += [c.fact for c in cells]
        values = [float(c.range.low) for c in cells]
        centre = sum(values) / len(values)
        spread[column] = (sum((v - centre) ** 2 for v in values) / (len(values) - 1)) ** 0.5
        relative[column] = spread[column] / centre
    computed = (
        f"SD: strict {show(spread['IFEval'])}, loose {show(spread['IFEval loose'])}; relative to the mean: "
        f"strict {show(relative['IFEval'], 2)}, loose {show(relative['IFEval loose'], 2)}"
    )
    verdict: Verdict = "contradicted"
    definition = "standard deviation over the models"
    if spread["IFEval"] > spread["IFEval loose"]:
        verdict = "reproduced"
    elif relative["IFEval"] > relative["IFEval loose"]:
        verdict, definition = "reproduced_otherwise", "standard deviation relative to the mean"
    said = (
        f"Over the {len(pairs)} models of sheet Main-SFT the loose metric has the larger spread in "
        "accuracy points."
    )
    if verdict == "reproduced":
        said = f"The strict metric has the larger spread over the {len(pairs)} models of sheet Main-SFT."
    return Outcome(verdict, computed, definition, said, facts)


@check
def coding_absent(evidence: Evidence) -> Outcome:
    """Whether neither the paper's tables nor the workbook hold a coding benchmark."""
    book = evidence.workbook
    cells = [book.cell("SFT", n, "MBPP") for n in range(2, 48) if book.has("SFT", n, "MBPP")]
    printed = [n for n in (2, 6, 7) if "MBPP" in evidence.table(n).columns]
    computed = f"{len(printed)} tables, and {len(cells)} runs of sheet SFT, with a score on MBPP"
    facts = [c.fact for c in cells[:10]]
    if cells and not printed:
        return Outcome(
            "reproduced_otherwise",
            computed,
            "no coding benchmark among those that the paper reports",
            "The tables show none, as the text says. The released sheet has a column MBPP (programming).",
            facts,
        )
    return decide(
        not printed,
        computed,
        "no coding benchmark in the paper's tables and the released results",
        f"Tables with one: {', '.join(map(str, printed)) or 'none'}.",
        facts or [Fact("columns of Table 2", ", ".join(evidence.table(2).columns), "table2.csv", "columns")],
    )


@check
def sizes_of_runs(evidence: Evidence, size: str) -> Outcome:
    """Whether most SFT runs have ``size`` conversations: in the paper's tables, and in the workbook."""
    counts = dict.fromkeys(("100k", "250k", "500k"), 0)
    for label in evidence.workbook.labels("SFT"):
        for s in counts:
            counts[s] += label.startswith(f"{s}-")
    total = sum(counts.values())
    own6 = [r for r in ROWS[6] if not r.endswith(": None") and r.startswith("Q7B")]
    tables = {"250k": len(ROWS[2]) + len(own6), "500k": len(ROWS[7])}
    in_tables = tables[size] > sum(tables.values()) / 2
    in_sheet = counts[size] > total / 2
    computed = (
        f"Tables 2, 6 and 7: {tables[size]} of {sum(tables.values())} different fine-tuned models; "
        f"workbook: {counts[size]} of {total}"
    )
    facts = [
        Fact(f"runs of {s} in sheet SFT", str(n), "wc50m_results.xlsx", "SFT, column A")
        for s, n in counts.items()
    ]
    facts += [Fact(f"runs of {s} in Tables 2, 6, 7", str(n), "tables", "rows") for s, n in tables.items()]
    if in_tables and in_sheet:
        return Outcome(
            "reproduced", computed, "more than half", "So in the tables and in the workbook.", facts
        )
    if in_tables:
        return Outcome(
            "reproduced_otherwise",
            computed,
            "more than half of the fine-tuned models in the paper's tables",
            f"In the workbook {size} is the most common size."
            if counts[size] == max(counts.values())
            else "The workbook has more of another size.",
            facts,
        )
    return Outcome("contradicted", computed, "more than half", "Not so in the tables.", facts)


@check
def winners_listed(evidence: Evidence, benchmarks: int, wins: dict[str, int]) -> Outcome:
    """The counts under the sheet 'mixeval deep dive' against the winners it lists."""
    book, sheet = evidence.workbook, "mixeval deep dive"
    facts, tally, listed = [], dict.fromkeys(wins, 0), 0
    for number in range(2, 2 + benchmarks):
        cell = book.text(sheet, f"B{number}")
        facts.append(Fact(book.text(sheet, f"A{number}").value, cell.value, cell.source, cell.place))
        listed += cell.value != "(empty)"
        for name in (part.strip() for part in cell.value.split(",")):
            if name in tally:
                tally[name] += 1
    return decide(
        tally == wins and listed == benchmarks,
        f"{listed} benchmarks; " + ", ".join(f"{k} {v}" for k, v in tally.items()),
        "benchmarks on which each model is listed as a winner, ties for all",
        "The counts are of models on parts of MixEval.",
        facts,
    )


@check
def added_data_helps(evidence: Evidence, benchmarks: list[str]) -> Outcome:
    """Re-Wild (with MMLU and algebra data) against Q72's data alone, on the benchmarks to be boosted."""
    alone = table_scores(evidence, 2)["Q72"]
    mixed = sheet_scores(evidence, "SFT", "250k-qwen2.5-72b-mmlu-personas-algebra")
    gains = {b: unit(mixed[b], b).middle - unit(alone[b], b).middle for b in benchmarks}
    return decide(
        all(g > 0 for g in gains.values()),
        ", ".join(f"{b} {'+' if g > 0 else ''}{show(g)}" for b, g in gains.items()),
        "Re-Wild's score minus that of L8B : Q72 (250k)",
        "Re-Wild is the workbook's run 250k-qwen2.5-72b-mmlu-personas-algebra: one run each.",
        [c.fact for b in benchmarks for c in (alone[b], mixed[b])],
    )


@check
def more_sources(evidence: Evidence) -> Outcome:
    """Whether blends of five DGMs average higher than blends of two, at each size in the workbook.

    The claim is about bias, which nothing here measures: the verdict is not testable, the scores are context.
    """
    lines, facts, higher = [], [], 0
    for scale in ("8B", "70B"):
        for size in ("100k", "250k", "500k"):
            two = sheet_scores(evidence, "SFT", f"{size}-{scale}-2blend")
            five = sheet_scores(evidence, "SFT", f"{size}-{scale}-5blend")
            a, b = average(two), average(five)
            higher += b.low > a.low
            lines.append(f"{size} {scale}: two {show(a)}, five {show(b)}")
            facts += [*facts_of(two), *facts_of(five)]
    return Outcome(
        "not_testable",
        "; ".join(lines),
        "average over nine benchmarks, for context",
        "The appendix speaks of bias, which no released file measures. On scores, the blend of five averages "
        f"higher than the blend of two in {higher} of {len(lines)} pairs.",
        facts,
    )


@check
def averages_alike(evidence: Evidence) -> Outcome:
    """Whether the workbook's columns called Average (WK, IF) are over the same benchmarks in every sheet."""
    from openpyxl.utils import get_column_letter, range_boundaries

    book = evidence.workbook
    found: dict[str, list[str]] = {}
    facts = []
    for sheet in AVERAGED:
        headers = book.headers(sheet)
        place = f"{get_column_letter(headers['Average'])}2"
        formula = book.formula(sheet, place)
        facts.append(formula)
        match = re.search(r"AVERAGE\((\w+:\w+)\)", formula.value)
        if match is None:
            raise DataError(f"{book.name}, {sheet}!{place}: {formula.value!r} is not a mean of a range")
        first, _, last, _ = range_boundaries(match[1])
        found[sheet] = [name for name, column in headers.items() if first <= column <= last]
    reference = set(found["SFT"])
    said = []
    for sheet, names in found.items():
        more, less = sorted(set(names) - reference), sorted(reference - set(names))
        if more or less:
            parts = [f"with {', '.join(more)}"] if more else []
            parts += [f"without {', '.join(less)}"] if less else []
            said.append(f"{sheet} {' and '.join(parts)}")
    return decide(
        not said,
        "; ".join(f"{sheet} {len(names)} columns" for sheet, names in found.items()),
        "every sheet's Average is over the seven benchmarks that sheet SFT averages",
        f"Others: {'; '.join(said)}." if said else "All are alike.",
        facts,
    )


@check
def rewild_recorded_once(evidence: Evidence, columns: list[str]) -> Outcome:
    """Whether the two sheets that hold Re-Wild give it the same scores in ``columns``."""
    book = evidence.workbook
    wrong, facts = [], []
    for column in columns:
        a = book.cell("SFT", "250k-qwen2.5-72b-mmlu-personas-algebra", column)
        b = book.cell("Main-SFT", "Re-Wild", column)
        facts += [a.fact, b.fact]
        if not (agrees(a.range, b.text) or agrees(b.range, a.text)):
            wrong.append(f"{column} {a.text} ({a.place}) and {b.text} ({b.place})")
    return decide(
        not wrong,
        "; ".join(wrong) or f"{len(columns)} of {len(columns)} scores agree",
        "the same model has the same score in both sheets, up to rounding",
        "The sheets differ." if wrong else "All scores are the same.",
        facts,
    )

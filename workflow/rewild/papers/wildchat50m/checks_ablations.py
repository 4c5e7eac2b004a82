"""Claims about context length, blending, inheritance, on-policy models and evaluation choices."""

from __future__ import annotations

from decimal import Decimal

from rewild.audit.checks import check
from rewild.audit.numbers import agrees, mean, show
from rewild.audit.outcome import Fact, Outcome, decide
from rewild.papers.wildchat50m.evidence import BENCHMARKS, Evidence
from rewild.papers.wildchat50m.runs import (
    DEFINED,
    TRUNCATED,
    Scores,
    average,
    facts_of,
    sheet_scores,
    table_scores,
)

BLENDS = {
    "L8B : L8I + Q7": ("8B-2blend", ("Llama-3.1-8B", "qwen2-7B")),
    "L8B : Q72 + L70": ("70B-2blend", ("qwen2.5-72B", "Llama-3.3-70B")),
}


@check
def truncation(evidence: Evidence, truncated: str, untruncated: str) -> Outcome:
    """The averages of the truncated and the untruncated run, against the two published ones."""
    cut = sheet_scores(evidence, "SFT", TRUNCATED)
    whole = sheet_scores(evidence, "SFT", "500k-qwen2.5-72B")
    a, b = average(cut), average(whole)
    book = evidence.workbook
    facts = [
        *facts_of(cut),
        *facts_of(whole),
        book.text("LC Ablation", "A2"),
        book.text("LC Ablation", "K2"),
        book.text("LC Ablation", "A3"),
        book.text("LC Ablation", "K3"),
        book.formula("LC Ablation", "K2"),
        evidence.note("truncated-suffix"),
    ]
    straight = agrees(a, truncated) and agrees(b, untruncated)
    swapped = agrees(b, truncated) and agrees(a, untruncated)
    computed = f"truncated (-lc) {show(a)}, untruncated {show(b)}; difference {show(a.low - b.low)}"
    if straight:
        said = "Both averages follow."
    elif swapped:
        said = (
            "The two averages follow, the other way round: sheet LC Ablation gives the lower one to the run "
            "with the suffix -lc. The released script that cuts Q72's responses to the length of L70's "
            "gives its data set this suffix, and the run without it is the L8B : Q72 (500k) of Table 7. "
            "One run of each: a difference this small may be chance in either direction."
        )
    else:
        said = "The averages do not follow."
    return decide(straight, computed, DEFINED["nine"], said, facts)


def _blend_parts(evidence: Evidence, size: str, name: str) -> tuple[Scores, list[Scores]]:
    whole, parts = BLENDS[name]
    return (
        sheet_scores(evidence, "SFT", f"{size}-{whole}"),
        [sheet_scores(evidence, "SFT", f"{size}-{p}") for p in parts],
    )


def _table7_blends(evidence: Evidence) -> dict[str, tuple[Scores, list[Scores]]]:
    scores = table_scores(evidence, 7)
    return {
        "L8B : L8I + Q7 (500k)": (
            scores["L8B : L8I + Q7 (500k)"],
            [scores["L8B : L8I (500k)"], scores["L8B : Q7 (500k)"]],
        ),
        "L8B : Q72 + L70 (500k)": (
            scores["L8B : Q72 + L70 (500k)"],
            [scores["L8B : Q72 (500k)"], scores["L8B : L70 (500k)"]],
        ),
    }


@check
def blends_between(evidence: Evidence) -> Outcome:
    """Whether each blend's average lies between those of its parts (ends included)."""
    source = evidence.table(7)
    facts: list[Fact] = []
    parts_of = {
        "L8B : L8I + Q7 (500k)": ("L8B : L8I (500k)", "L8B : Q7 (500k)"),
        "L8B : Q72 + L70 (500k)": ("L8B : Q72 (500k)", "L8B : L70 (500k)"),
    }
    as_printed = []
    for blend, parts in parts_of.items():
        cells = [source.cell(row, "Avg") for row in (blend, *parts)]
        facts += [c.fact for c in cells]
        values = [c.range.middle for c in cells]
        as_printed.append(min(values[1:]) <= values[0] <= max(values[1:]))
    lines = []
    holds = True
    for name in ("nine", "seven"):
        for blend, (whole, parts_scores) in _table7_blends(evidence).items():
            w, p = average(whole, name), [average(s, name) for s in parts_scores]
            inside = min(x.low for x in p) <= w.high and w.low <= max(x.high for x in p)
            holds &= inside
            lines.append(f"{name}, {blend}: {show(w)}, parts {' and '.join(show(x) for x in p)}")
    elsewhere = []
    if evidence.has("workbook"):
        for size in ("100k", "250k"):
            for name in BLENDS:
                whole, parts_scores = _blend_parts(evidence, size, name)
                w, p = average(whole), [average(s) for s in parts_scores]
                where = "above" if w.low > max(x.high for x in p) else "below"
                if min(x.low for x in p) <= w.low <= max(x.high for x in p):
                    where = "between"
                elsewhere.append(f"{size} {name} {where}")
    said = (
        "Each blend lies between its parts, as printed and by both averages."
        if holds
        else "Not every blend does."
    )
    if elsewhere:
        said += f" The workbook's other sizes, by the nine-benchmark average: {', '.join(elsewhere)}."
    return decide(
        holds and all(as_printed),
        "; ".join(lines),
        "lowest part ≤ blend ≤ highest part",
        said,
        facts,
    )


@check
def blends_sum_of_parts(evidence: Evidence, tolerance: float) -> Outcome:
    """How far each blend is from the mean of its parts, on average and by benchmark."""
    lines, facts, far, above = [], [], [], []
    for blend, (whole, parts) in _table7_blends(evidence).items():
        w, m = average(whole), mean([average(s) for s in parts])
        difference = w.middle - m.middle
        if abs(difference) > Decimal(str(tolerance)):
            far.append(blend)
        lines.append(f"{blend}: {show(w)} against {show(m)} ({show(difference)})")
        better = [b for b in BENCHMARKS if whole[b].range.low > max(s[b].range.high for s in parts)]
        above.append(f"{blend} is above both parts on {', '.join(better) or 'none'}")
        facts += [*facts_of(whole), *(f for s in parts for f in facts_of(s))]
    return decide(
        not far,
        "; ".join(lines),
        f"the average over nine benchmarks is within {tolerance} of the mean of the two parts",
        "; ".join(above) + ".",
        facts,
    )


@check
def agreement_rate(evidence: Evidence, published: str) -> Outcome:
    """The share of benchmarks on which the order of the two SFT models is that of the two source models."""
    book, sheet = evidence.workbook, "Inherit-Ablation"
    columns = [c for c in book.headers(sheet) if c != "Model"]
    pairs = (("500k-qwen2.5-72B", "500k-Llama-3.3-70B"), ("Qwen-2.5-72B", "Llama-3.3-70B"))
    facts, signs, lines = [], {}, []
    for column in columns:
        found = []
        for a, b in pairs:
            x, y = book.cell(sheet, a, column), book.cell(sheet, b, column)
            facts += [x.fact, y.fact]
            found.append((x.range.low > y.range.low) - (x.range.low < y.range.low))
        signs[column] = found
        lines.append(f"{column} {'tie' if 0 in found else 'agree' if found[0] == found[1] else 'disagree'}")
        facts.append(book.cell(sheet, "Agree", column).fact)
    agree = [c for c, (s, d) in signs.items() if s == d and s != 0]
    ties = [c for c, v in signs.items() if 0 in v]
    rate = Decimal(len(agree)) / len(columns)
    without = Decimal(len(agree)) / (len(columns) - len(ties)) if len(columns) > len(ties) else Decimal(0)
    from scipy.stats import binomtest

    low, high = binomtest(len(agree), len(columns)).proportion_ci(method="exact")
    computed = f"{len(agree)} of {len(columns)} = {show(rate, 2)}" + (
        f"; {len(agree)} of {len(columns) - len(ties)} = {show(without, 2)} with ties left out"
        if ties
        else ""
    )
    said = (
        f"{', '.join(lines)}. The sheet compares {len(columns)} of the nine benchmarks and counts the tie as "
        f"disagreement. With n = {len(columns)} the exact 95 % interval is {show(low, 2)} to {show(high, 2)}."
    )
    definition = (
        "both fine-tuned and source models in the same order, over the sheet's benchmarks, a tie counted "
        "against"
    )
    return decide(agrees(rate, published), computed, definition, said, facts)


@check
def inherit_source_rows(evidence: Evidence, row: str, sheet_rows: list[int]) -> Outcome:
    """Whether the source model's numbers in the agreement sheet are those that sheet SFT gives for it.

    Numbers that sheet SFT does not have for the model decide nothing.
    """
    book, sheet = evidence.workbook, "Inherit-Ablation"
    facts, same, other, unlisted, elsewhere = [], [], [], [], []
    for column in [c for c in book.headers(sheet) if c != "Model"]:
        used = book.cell(sheet, row, column)
        facts.append(used.fact)
        listed = [book.cell("SFT", n, column) for n in sheet_rows if book.has("SFT", n, column)]
        facts += [cell.fact for cell in listed]
        if any(cell.range == used.range for cell in listed):
            same.append(column)
            continue
        if listed:
            other.append(f"{column} {used.text} (there {' and '.join(cell.text for cell in listed)})")
        else:
            unlisted.append(f"{column} {used.text}")
        for number in range(42, 48):
            if number in sheet_rows or not book.has("SFT", number, column):
                continue
            cell = book.cell("SFT", number, column)
            if cell.range == used.range:
                facts.append(cell.fact)
                elsewhere.append(f"{column} that of {book.text('SFT', f'A{number}').value} ({cell.place})")
    said = f"Same: {', '.join(same) or 'none'}. Different: {', '.join(other) or 'none'}."
    if unlisted:
        said += f" Not listed for {row}: {', '.join(unlisted)}."
    if elsewhere:
        said += f" In sheet SFT these values are: {'; '.join(elsewhere)}."
    return decide(
        not other,
        f"{len(same)} of the {len(same) + len(other)} values that sheet SFT lists for it are used",
        f"the values used for {row} are those that sheet SFT lists for it, from leaderboards or a report",
        said,
        facts,
    )


@check
def family_helps(evidence: Evidence, base: str, same: list[str], other: list[str]) -> Outcome:
    """In Table 6, each DGM of the base model's family gives a higher average than each of another family."""
    scores = table_scores(evidence, 6)
    holds: dict[str, bool] = {}
    lines = []
    for name in ("nine", "seven"):
        found = {dgm: average(scores[f"{base} : {dgm}"], name) for dgm in (*same, *other)}
        holds[name] = min(found[d].middle for d in same) > max(found[d].middle for d in other)
        lines.append(f"{name}: " + ", ".join(f"{d} {show(v)}" for d, v in found.items()))
    return decide(
        holds["nine"],
        "; ".join(lines),
        f"average over nine benchmarks, among the rows {base} of Table 6",
        "Over the workbook's seven benchmarks: "
        f"{'the same' if holds['nine'] == holds['seven'] else 'not so'}.",
        [f for dgm in (*same, *other) for f in facts_of(scores[f"{base} : {dgm}"])],
    )


@check
def family_is_best(evidence: Evidence, same: list[str]) -> Outcome:
    """Whether, over all six DGMs tried on L8B at 250k (Table 2), the best average is of the same family."""
    scores = table_scores(evidence, 2)
    best, behind, lines = {}, {}, []
    for name in ("nine", "seven"):
        found = {row: average(s, name) for row, s in scores.items()}
        behind[name] = found["Q72"].middle - found["L70"].middle
        best[name] = max(found, key=lambda row, found=found: found[row].middle)  # type: ignore[misc]
        lines.append(f"{name}: " + ", ".join(f"{r} {show(v)}" for r, v in found.items()))
    return decide(
        best["nine"] in same,
        "; ".join(lines),
        "highest average over nine benchmarks among the six models of Table 2, all at 250k on the same base",
        f"The best is {best['nine']} over nine benchmarks and {best['seven']} over the workbook's seven. "
        f"L70, as large as Q72, is behind it by {show(behind['nine'])} and {show(behind['seven'])}. Table 6 "
        "leaves L8B : Q72 out.",
        [f for s in scores.values() for f in facts_of(s)],
    )

"""Claims on Tables 2 and 13: whether fine-tuned models are better, and what their numbers can be."""

from __future__ import annotations

from decimal import Decimal
from math import sqrt

from rewild.audit.checks import check
from rewild.audit.evidence import Evidence
from rewild.audit.numbers import agrees, show
from rewild.audit.outcome import Outcome, decide

PAIRS = {
    "Qwen2-1.5B + MAGPIE": "Qwen2-1.5B-Instruct",
    "Qwen1.5-4B + MAGPIE": "Qwen1.5-4B-Chat",
    "Qwen1.5-7B + MAGPIE": "Qwen1.5-7B-Chat",
}
REFERENCES = ("GPT-4-Turbo", "official")


@check
def beats_official(evidence: Evidence) -> Outcome:
    """In how many comparisons of Table 2 the fine-tuned model is better, by each of the two win rates."""
    table = evidence.table("table2")
    won: dict[str, list[str]] = {"LC": [], "WR": []}
    lost: dict[str, list[str]] = {"LC": [], "WR": []}
    facts = []
    for ours, official in PAIRS.items():
        for metric in won:
            for reference in REFERENCES:
                a, b = (table.cell(row, f"{metric} ({reference})") for row in (ours, official))
                facts += [a.fact, b.fact]
                better = a.range.middle > b.range.middle
                (won if better else lost)[metric].append(f"{ours}, {reference}: {a.text} and {b.text}")
    computed = "; ".join(f"{m}: {len(won[m])} of {len(won[m]) + len(lost[m])} better" for m in won)
    missed = "; ".join(lost["LC"] + lost["WR"])
    torn = [row for row in PAIRS if sum(line.startswith(row) for line in lost["LC"]) == 1]
    if not missed:
        return Outcome("reproduced", computed, "both win rates", "In every comparison.", facts)
    if not lost["WR"]:
        return Outcome(
            "reproduced_otherwise",
            computed,
            "win rate without regard to length",
            f"By the length-controlled win rate, which section 4.1 calls the debiased one, not: {missed}."
            + f" The two references disagree on {' and '.join(torn) or 'no model'}.",
            facts,
        )
    return Outcome("contradicted", computed, "both win rates", f"Not: {missed}.", facts)


@check
def reference_is_half(evidence: Evidence) -> Outcome:
    """Whether an official model has 50 % against itself, and no deviation."""
    table = evidence.table("table2")
    cells = [table.cell(row, f"{m} (official)") for row in PAIRS.values() for m in ("LC", "WR")]
    dashes = [table.text(row, "SD (official)") for row in PAIRS.values()]
    return decide(
        all(cell.text == "50" for cell in cells) and all(fact.value == "-" for fact in dashes),
        f"{sum(cell.text == '50' for cell in cells)} of {len(cells)} are 50",
        "a model against itself",
        "The official models are their own reference.",
        [cell.fact for cell in cells] + dashes,
    )


@check
def deviation_is_error(evidence: Evidence, size: str) -> Outcome:
    """Whether SD can be the standard error of a win rate over the benchmark's instructions.

    Preferences lie between 0 and 100, so that the standard error of a mean m over n of them is at most
    √(m (100 − m) / n). A standard deviation of the preferences themselves would be up to √n times as much.
    """
    table, count = evidence.table("table2"), evidence.number(size)
    n = float(count.range.middle)
    ratios, facts = {}, [count.fact]
    for row in table.rows:
        for reference in REFERENCES:
            if (row, f"SD ({reference})") not in table.cells:
                continue
            rate, error = (table.cell(row, f"{m} ({reference})") for m in ("WR", "SD"))
            facts += [rate.fact, error.fact]
            share = float(rate.range.middle)
            ratios[f"{row}, {reference}"] = float(error.range.middle) / sqrt(share * (100 - share) / n)
    low, high = min(ratios.values()), max(ratios.values())
    computed = f"{len(ratios)} values: {low:.2f} to {high:.2f} of the most that a standard error can be"
    if high <= 1 and low > 0.5:
        return Outcome(
            "reproduced_otherwise",
            computed,
            "standard error of the win rate, which AlpacaEval reports",
            "All are below the bound and near it; standard deviations of preferences would be about "
            f"{sqrt(n):.0f} times as large. The head SD is not explained.",
            facts,
        )
    return Outcome("contradicted", computed, "standard error of the win rate", "Out of its bound.", facts)


@check
def on_leaderboard(evidence: Evidence, row: str, columns: dict[str, str]) -> Outcome:
    """Whether printed numbers are a public leaderboard's, rounded (``columns``: column → fact)."""
    pairs = [
        (evidence.table("table2").cell(row, column), evidence.number(fact))
        for column, fact in columns.items()
    ]
    wrong = [(p, r) for p, r in pairs if not agrees(r.range, p.text)]
    return decide(
        not wrong,
        "; ".join(f"{p.text}, leaderboard {show(r.range, 4)}" for p, r in pairs),
        "the leaderboard's number rounds to the printed one",
        "; ".join(f"{p.what}: printed {p.text}, leaderboard {show(r.range, 4)}" for p, r in wrong)
        or "All agree.",
        [fact for p, r in pairs for fact in (p.fact, r.fact)],
    )


PASSES = ("Pass@1", "Pass@10", "Pass@100")


@check
def code_helps(evidence: Evidence, row: str, without: str, same_model: bool) -> Outcome:
    """On how many measures of Table 13 a model with code data is better than one without.

    ``same_model``: both start from the same weights. Where they do not, the data's effect is not decided.
    """
    from scipy.stats import fisher_exact

    table = evidence.table("table13")
    pairs = {p: (table.cell(row, p), table.cell(without, p)) for p in PASSES}
    better = [p for p, (a, b) in pairs.items() if a.range.middle > b.range.middle]
    size = evidence.number("humaneval-size")
    n = int(size.range.middle)
    solved = [round(float(cell.range.middle) * n) for cell in pairs["Pass@100"]]
    chance = fisher_exact([[k, n - k] for k in solved]).pvalue
    computed = f"better on {len(better)} of {len(PASSES)}; pass@100 {solved[0]} and {solved[1]} of {n}"
    said = "; ".join(f"{p} {a.text} and {b.text}" for p, (a, b) in pairs.items())
    facts = [cell.fact for pair in pairs.values() for cell in pair] + [size.fact]
    if not same_model:
        return Outcome(
            "not_testable",
            computed,
            f"none: {without} did not start from the same weights",
            f"{said}. It would need HumanEval of the base model alone.",
            facts,
        )
    return decide(
        len(better) == len(PASSES),
        computed,
        "pass@1, pass@10 and pass@100 are all higher than without the data",
        f"{said}. The problems solved at least once differ by {abs(solved[0] - solved[1])}, which chance "
        f"alone gives with p = {chance:.2f} (Fisher's exact test, problems taken as independent).",
        facts,
    )


@check
def whole_counts(evidence: Evidence, size: str) -> Outcome:
    """Whether the values of pass@100 are whole counts of the benchmark's problems."""
    table, count = evidence.table("table13"), evidence.number(size)
    n = count.range.middle
    cells = [table.cell(row, "Pass@100") for row in table.rows]
    whole = {cell.what: round(cell.range.middle * n) for cell in cells}
    right = [cell for cell in cells if agrees(Decimal(whole[cell.what]) / n, cell.text)]
    return decide(
        len(right) == len(cells),
        f"{len(right)} of {len(cells)}: " + ", ".join(f"{whole[c.what]}/{n:.0f} = {c.text}" for c in cells),
        "with 100 samples to a problem, pass@100 is the share of problems solved at least once",
        "All are whole counts." if len(right) == len(cells) else "Not all are whole counts.",
        [cell.fact for cell in cells] + [count.fact],
    )

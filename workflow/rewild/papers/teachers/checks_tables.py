"""Claims on Tables 2 to 5: averages, GPT-4, the choice among samples, measures that rank generators."""

from __future__ import annotations

from decimal import Decimal
from math import sqrt

from rewild.audit.checks import check
from rewild.audit.evidence import Evidence
from rewild.audit.numbers import Range, agrees, mean, show
from rewild.audit.outcome import Fact, Outcome, Verdict, decide
from rewild.papers.teachers.grid import error, grid, sizes, spearman


@check
def average_performance(evidence: Evidence, tables: list[str]) -> Outcome:
    """Whether AP is the mean of AlpacaEval 2's LC and Arena-Hard's win rate."""
    right: list[str] = []
    wrong: list[str] = []
    facts: list[Fact] = []
    by_wr = 0
    for name in tables:
        table = evidence.table(name)
        for row in table.rows:
            lc, wr, arena, ap = (table.cell(row, c) for c in ("LC", "WR", "Arena-Hard", "AP"))
            facts += [lc.fact, arena.fact, ap.fact]
            (right if agrees(mean([lc.range, arena.range]), ap.text) else wrong).append(row)
            by_wr += agrees(mean([wr.range, arena.range]), ap.text)
    total = len(right) + len(wrong)
    return decide(
        not wrong,
        f"{len(right)} of {total} rows; with WR in place of LC {by_wr}",
        "mean of LC and Arena-Hard's win rate, as far as rounding allows",
        f"Other than the mean: {', '.join(wrong)}." if wrong else "Every AP is that mean.",
        facts,
    )


@check
def all_above(evidence: Evidence, row: str) -> Outcome:
    """Whether every other generator of Table 2 is clearly better than one."""
    table = evidence.table("table2")
    counts = sizes(evidence)

    def spread(name: str) -> float:
        return error([table.cell(name, c) for c in ("LC", "Arena-Hard")], counts)

    z = {
        other: float(table.cell(other, "AP").range.middle - table.cell(row, "AP").range.middle)
        / (spread(other) ** 2 + spread(row) ** 2) ** 0.5
        for other in table.rows
        if other != row
    }
    clear = [other for other, value in z.items() if value > 1.96]
    lowest = min(z, key=lambda other: z[other])
    return decide(
        len(clear) == len(z),
        f"{len(clear)} of {len(z)}; the nearest, {lowest}, is {z[lowest]:.1f} standard errors above",
        "significantly: AP more than 1.96 standard errors (at most, both benchmarks) above",
        "; ".join(f"{other} {table.cell(other, 'AP').text} ({value:.1f})" for other, value in z.items())
        + ".",
        [table.cell(r, c).fact for r in table.rows for c in ("LC", "Arena-Hard", "AP")]
        + [count.fact for count in counts],
    )


@check
def best_of_n(evidence: Evidence, bases: list[str]) -> Outcome:
    """Whether the best of several answers gives a better model than a sampled one."""
    table = evidence.table("table3")
    counts = sizes(evidence)
    gains, errors = {}, {}
    for base in bases:
        best, sampled = (table.cell(f"{base} : {method}", "AP") for method in ("Best-of-N", "Sampling"))
        gains[base] = best.range.middle - sampled.range.middle
        errors[base] = sqrt(
            sum(
                error([table.cell(f"{base} : {m}", c) for c in ("LC", "Arena-Hard")], counts) ** 2
                for m in ("Best-of-N", "Sampling")
            )
        )
    return decide(
        all(gain > 0 for gain in gains.values()),
        ", ".join(f"{base} +{show(gain, 3)}" for base, gain in gains.items()),
        "AP of the best of five less that of one sampled answer",
        "Standard errors of the differences, at most: "
        + ", ".join(f"{base} {errors[base]:.2f}" for base in bases)
        + ". The gains are within them, so that the runs alone would not show them."
        if all(float(gains[base]) < errors[base] for base in bases)
        else "Larger than the standard errors, at most, of the differences.",
        [
            table.cell(f"{base} : {m}", c).fact
            for base in bases
            for m in ("Best-of-N", "Sampling")
            for c in ("LC", "Arena-Hard", "AP")
        ]
        + [count.fact for count in counts],
    )


@check
def same_as_table6(evidence: Evidence, row: str, other: str, says: str) -> Outcome:
    """Whether a row of Table 3 has the numbers of a row of Table 6, which names the base model ``says``.

    Without ``says`` the rows are of the same run, and their numbers must be equal.
    """
    three, six = evidence.table("table3"), evidence.table("table6")
    pairs = [(three.cell(row, c), six.cell(other, c)) for c in ("WR", "LC", "Arena-Hard")]
    equal = [a.range == b.range for a, b in pairs]
    base = other.partition(" : ")[0]
    computed = f"{sum(equal)} of {len(equal)} numbers are those of Table 6's {base}"
    said = "; ".join(f"{a.what}: {a.text} and {b.text}" for a, b in pairs) + "."
    facts = [cell.fact for pair in pairs for cell in pair]
    if says:
        verdict: Verdict = "contradicted" if all(equal) and says != base else "not_testable"
        return Outcome(
            "reproduced" if all(equal) and says == base else verdict,
            computed,
            "the base model of the run in Table 6 with the same numbers",
            said,
            facts,
        )
    return decide(all(equal), computed, "one run is printed alike", said, facts)


MEASURES = ("RM1", "RM2", "RM3", "IFD-GPT2", "IFD-Self", "PPL-GPT2", "PPL-Self", "Length")


def bases_of(evidence: Evidence) -> list[str]:
    """The base models of Table 4."""
    return [row for row in evidence.table("table4").rows if row != "Average"]


@check
def rho_averages(evidence: Evidence) -> Outcome:
    """Whether the averages of Table 4 are means of its columns."""
    table, bases = evidence.table("table4"), bases_of(evidence)
    wrong = [
        c
        for c in table.columns
        if not agrees(mean([table.cell(b, c).range for b in bases]), table.cell("Average", c).text)
    ]
    return decide(
        not wrong,
        f"{len(table.columns) - len(wrong)} of {len(table.columns)} averages agree",
        "mean over the five base models, as far as rounding allows",
        f"Other: {', '.join(wrong)}." if wrong else "Every average is the mean of its column.",
        [table.cell(row, c).fact for row in table.rows for c in (wrong or table.columns)],
    )


@check
def car_leads(evidence: Evidence, every: bool) -> Outcome:
    """In how many comparisons CAR's ρ is the higher; ``every``: all were stated, else almost all."""
    table, bases = evidence.table("table4"), bases_of(evidence)
    lost = [
        (base, m)
        for base in bases
        for m in MEASURES
        if table.cell(base, m).range.middle >= table.cell(base, "CAR").range.middle
    ]
    total = len(bases) * len(MEASURES)
    over = all(table.cell("Average", "CAR").range.low > table.cell("Average", m).range.high for m in MEASURES)
    computed = f"{total - len(lost)} of {total} comparisons; by average {'all' if over else 'not all'}"
    said = (
        "; ".join(
            f"{base}: {m} {table.cell(base, m).text}, CAR {table.cell(base, 'CAR').text}" for base, m in lost
        )
        or "In none it is lower"
    )
    facts = [table.cell(row, c).fact for row in table.rows for c in table.columns]
    if not lost or (not every and 20 * len(lost) < total):
        wanted = "all" if every else "almost all: more than 19 of 20"
        return Outcome("reproduced", computed, f"{wanted} comparisons", f"{said}.", facts)
    if over:
        return Outcome(
            "reproduced_otherwise", computed, "by the average over the base models", f"Not: {said}.", facts
        )
    return Outcome("contradicted", computed, "all comparisons", f"{said}.", facts)


def possible(rho: Range, n: int) -> bool:
    """Whether some value of an interval is Spearman's ρ of two rankings of ``n`` without ties.

    The sum of squared differences of two rankings is a whole number, and even.
    """
    unit = Decimal(n * (n * n - 1)) / 6
    low, high = (1 - rho.high) * unit, (1 - rho.low) * unit
    return any(low <= d <= high for d in range(2 * int(low / 2), int(high) + 3, 2))


@check
def rho_of(evidence: Evidence, stated: int, fewer: int) -> Outcome:
    """For how many values of Table 4 the number of generators can be as stated, or ``fewer``."""
    table, bases = evidence.table("table4"), bases_of(evidence)
    cells = [table.cell(base, c) for base in bases for c in table.columns]
    good = {n: [cell for cell in cells if possible(cell.range, n)] for n in (stated, fewer)}
    odd = [f"{c.what} {c.text}" for c in cells if c not in good[fewer]]
    better = len(good[fewer]) > len(good[stated])
    return Outcome(
        "reproduced_otherwise" if better else "reproduced",
        "; ".join(f"n = {n}: {len(ok)} of {len(cells)} values are possible" for n, ok in good.items()),
        f"{fewer if better else stated} generators: ρ = 1 - 6 D / (n (n² - 1)), D even (equation 2)",
        f"No ρ of {fewer} rankings: {', '.join(odd)}." if odd else f"All are possible for {fewer}.",
        [cell.fact for cell in cells],
    )


@check
def weak(evidence: Evidence, measures: list[str], limit: str) -> Outcome:
    """Whether measures have a ρ below a limit on every base model."""
    table, bases, least = evidence.table("table4"), bases_of(evidence), evidence.number(limit)
    strong = {m: [b for b in bases if table.cell(b, m).range.middle >= least.range.middle] for m in measures}
    found = [m for m, where in strong.items() if where]
    return decide(
        not found,
        ", ".join(f"{m} {len(where)} of {len(bases)}" for m, where in strong.items()),
        f"strong: ρ of at least {least.text} on a base model",
        f"Averages: {', '.join(m + ' ' + table.cell('Average', m).text for m in measures)}.",
        [table.cell(row, m).fact for m in measures for row in table.rows] + [least.fact],
    )


@check
def self_over_gpt2(evidence: Evidence) -> Outcome:
    """On how many base models difficulty by the base model itself ranks better than by GPT-2."""
    table, bases = evidence.table("table4"), bases_of(evidence)
    pairs = {
        (m, row): (table.cell(row, f"{m}-Self"), table.cell(row, f"{m}-GPT2"))
        for m in ("PPL", "IFD")
        for row in (*bases, "Average")
    }
    lost = [key for key, (a, b) in pairs.items() if a.range.middle <= b.range.middle]
    count = len(pairs) - 2
    facts = [cell.fact for pair in pairs.values() for cell in pair]
    by_base = sum(row != "Average" for _, row in lost)
    computed = f"{count - by_base} of {count} comparisons; by average {2 - len(lost) + by_base} of 2"
    said = "; ".join(f"{m}, {row}: {pairs[m, row][0].text} and {pairs[m, row][1].text}" for m, row in lost)
    if not lost:
        return Outcome("reproduced", computed, "on every base model", "As stated.", facts)
    if all(row != "Average" for _, row in lost):
        return Outcome(
            "reproduced_otherwise", computed, "by the average over base models", f"Not: {said}.", facts
        )
    return Outcome("contradicted", computed, "by the average over base models", f"Not: {said}.", facts)


@check
def predicts(evidence: Evidence) -> Outcome:
    """How near CAR comes to what costs training: the mean AP of a generator on the other base models."""
    table, known = evidence.table("table4"), grid(evidence)
    found = {}
    for base in known.bases:
        others = [b for b in known.bases if b != base]
        means = {t: sum((known.ap[b, t] for b in others), Decimal(0)) for t in known.teachers}
        order = sorted(known.teachers, key=lambda t, m=means: -m[t])  # type: ignore[misc]
        found[base] = spearman(known.ranks(base), {t: n for n, t in enumerate(order, 1)})
    above = [b for b in known.bases if table.cell(b, "CAR").range.middle > found[b]]
    average = sum(found.values(), Decimal(0)) / len(found)
    car = table.cell("Average", "CAR")
    return decide(
        car.range.middle > 0,
        f"CAR {car.text}; mean AP on the other four base models {show(average, 4)}",
        "Spearman's ρ with AP, mean over base models; positive is a potential",
        f"CAR ranks better than the other base models' AP on {', '.join(above) or 'none'}: "
        + "; ".join(f"{b} {table.cell(b, 'CAR').text} and {show(found[b], 4)}" for b in known.bases)
        + ". CAR needs no training; the other does.",
        [table.cell(b, "CAR").fact for b in (*known.bases, "Average")] + known.facts(),
    )


@check
def effective_batch(evidence: Evidence) -> Outcome:
    """Whether the effective batch is devices × batch × accumulation."""
    table = evidence.table("table5")
    rows = (
        "Number of Devices",
        "Per-device Batch Size",
        "Gradient Accumulation Steps",
        "Effective Batch Size",
    )
    facts = [table.text(row, "Value") for row in rows]
    devices, batch, steps, stated = (int(fact.value) for fact in facts)
    return decide(
        devices * batch * steps == stated,
        f"{devices} × {batch} × {steps} = {devices * batch * steps}",
        "devices × batch of each × accumulation",
        f"Table 5 gives {stated}.",
        facts,
    )


@check
def settings_are(evidence: Evidence, values: dict[str, str]) -> Outcome:
    """Whether settings of the text are those of Table 5."""
    table = evidence.table("table5")
    facts = {row: table.text(row, "Value") for row in values}
    wrong = [row for row, value in values.items() if facts[row].value != value]
    return decide(
        not wrong,
        f"{len(values) - len(wrong)} of {len(values)} agree",
        "Table 5",
        f"Other: {', '.join(wrong)}." if wrong else "The table says the same.",
        list(facts.values()),
    )


@check
def size_is(evidence: Evidence, fact: str, published: int) -> Outcome:
    """Whether a benchmark has as many items as stated."""
    known = evidence.number(fact)
    return decide(
        known.range.middle == published,
        known.text,
        "items of the released benchmark",
        f"The text says {published}.",
        [known.fact],
    )

"""Claims about the printed 95 % intervals (section 3.1: normal approximation)."""

from __future__ import annotations

from decimal import Decimal

from rewild.audit.checks import check
from rewild.audit.numbers import agrees, show
from rewild.audit.outcome import Fact, Outcome
from rewild.papers.wildchat50m.evidence import Evidence
from rewild.papers.wildchat50m.runs import table_scores

Z = Decimal("1.96")


def half_width(share: Decimal, count: int) -> Decimal:
    """Half-width of the 95 % interval of a share of ``count`` items: 1.96 √(p (1 − p) / n)."""
    return Z * (share * (1 - share) / count).sqrt()


@check
def interval_matches(evidence: Evidence, column: str, sizes: list[str]) -> Outcome:
    """Whether the printed half-widths of a benchmark follow from its number of items, in Tables 2, 6 and 7.

    ``sizes``: names of facts, the number of items; the first is that of the benchmark as section 3.1 has it.
    """
    found = []  # (table, row, share, printed half-width)
    for table in (2, 6, 7):
        source = evidence.table(table)
        for row, scores in table_scores(evidence, table).items():
            found.append((table, row, scores[column], source.interval(row, column)))
    agreed: dict[str, list[bool]] = {}
    for name in sizes:
        count = int(evidence.number(name).range.middle)
        agreed[name] = [
            any(agrees(half_width(end, count), ci) for end in (cell.range.low, cell.range.high))
            for _, _, cell, ci in found
        ]
    low, high = 1, None
    for _, _, cell, ci in found:
        variance = cell.range.middle * (1 - cell.range.middle)
        widest, narrowest = Decimal(ci) + Decimal("0.005"), Decimal(ci) - Decimal("0.005")
        low = max(low, int((Z**2 * variance / widest**2).to_integral_value(rounding="ROUND_CEILING")))
        if narrowest > 0:
            top = int(Z**2 * variance / narrowest**2)
            high = top if high is None else min(high, top)
    fits = (
        f"any number of items from {low:,}"
        + ("" if high is None else f" to {high:,}")
        + " gives every printed width"
        if high is None or low <= high
        else "no single number of items gives every printed width"
    )
    computed = "; ".join(
        f"n = {evidence.number(name).text}: {sum(ok)} of {len(found)} agree" for name, ok in agreed.items()
    )
    facts = [evidence.number(name).fact for name in sizes]
    first = agreed[sizes[0]]
    count = int(evidence.number(sizes[0]).range.middle)
    for (table, row, cell, ci), ok in zip(found, first, strict=True):
        if not ok or all(first):
            facts.append(Fact(f"Table {table}, {row}", f"{cell.text} ± {ci}", cell.source, cell.place))
            facts.append(
                Fact(
                    "half-width by the formula",
                    show(half_width(cell.range.middle, count)),
                    "computed",
                    f"n = {count}",
                )
            )
    formula = "1.96 √(p (1 − p) / n), rounded to two decimals"
    if all(first):
        return Outcome("reproduced", computed, formula, fits[0].upper() + fits[1:] + ".", facts)
    for name in sizes[1:]:
        if all(agreed[name]):
            return Outcome(
                "reproduced_otherwise",
                computed,
                f"{formula}, with n = {evidence.number(name).text} ({evidence.number(name).what})",
                fits[0].upper() + fits[1:] + ".",
                facts,
            )
    rows = [f"{r} in Table {t}" for (t, r, _, _), ok in zip(found, first, strict=True) if not ok]
    which = ", ".join(rows) if any(first) else f"all {len(rows)} rows"
    said = f"With n = {count} the printed half-width differs for {which}; {fits}."
    return Outcome("contradicted", computed, formula, said, facts)

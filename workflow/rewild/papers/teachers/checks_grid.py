"""Claims on Table 6: generators and bases, the paradox, families, the best."""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations
from math import sqrt

from rewild.audit.checks import check
from rewild.audit.evidence import Evidence
from rewild.audit.numbers import show
from rewild.audit.outcome import Outcome, decide
from rewild.papers.teachers.grid import FAMILIES, error, grid, sizes


@check
def generators(evidence: Evidence, published: int) -> Outcome:
    """How many response generators Table 6 compares, and how many Table 2 adds."""
    table = grid(evidence)
    more = [row for row in evidence.table("table2").rows if row.startswith("GPT")]
    computed = f"{len(table.teachers)} in Table 6, and {', '.join(more) or 'none'} in Table 2"
    facts = table.facts(table.bases[:1]) + [evidence.table("table2").cell(row, "AP").fact for row in more]
    if len(table.teachers) == published:
        return Outcome("reproduced", computed, "generators of Table 6", "As many as stated.", facts)
    return Outcome(
        "reproduced_otherwise" if len(table.teachers) + len(more) == published else "contradicted",
        computed,
        "generators of Tables 2 and 6 together",
        f"The comparison over five base models and all values of ρ are of {len(table.teachers)}. The others "
        "answered other instructions, for one base model.",
        facts,
    )


@check
def base_models(evidence: Evidence, published: int) -> Outcome:
    """How many base models Table 6 has."""
    table = grid(evidence)
    return decide(
        len(table.bases) == published,
        f"{len(table.bases)}: {', '.join(table.bases)}",
        "base models of Table 6",
        f"The text says {published}.",
        table.facts(teachers=table.teachers[:1]),
    )


@check
def families(evidence: Evidence, published: int) -> Outcome:
    """How many families the generators of Tables 2 and 6 are of."""
    table = grid(evidence)
    found = [name for name, members in FAMILIES.items() if set(members) & set(table.teachers)]
    found += [row for row in evidence.table("table2").rows if row.startswith("GPT")]
    return decide(
        len(found) == published,
        f"{len(found)}: {', '.join(found)}",
        "families of the generators of Tables 2 and 6",
        f"The text says {published}.",
        [*table.facts(table.bases[:1]), evidence.table("table2").cell("GPT-4", "AP").fact],
    )


@check
def smaller_wins(evidence: Evidence, smaller: str, larger: str, at_least: int) -> Outcome:
    """On how many base models a smaller generator is better than a larger one."""
    table = grid(evidence)
    gaps = {base: table.ap[base, smaller] - table.ap[base, larger] for base in table.bases}
    counts = sizes(evidence)
    errors = {
        base: sqrt(sum(error(table.cells[base, t], counts) ** 2 for t in (smaller, larger)))
        for base in table.bases
    }
    clear = [base for base, gap in gaps.items() if abs(float(gap)) > 1.96 * errors[base]]
    won = [base for base, gap in gaps.items() if gap > 0]
    return decide(
        len(won) >= at_least,
        f"better on {len(won)} of {len(gaps)} base models",
        f"a higher AP on at least {at_least} of the base models",
        "; ".join(f"{base} {show(gap, 2)}" for base, gap in gaps.items())
        + f". Beyond 1.96 standard errors (at most): {', '.join(clear) or 'none'}.",
        [*table.facts(teachers=(smaller, larger)), *(count.fact for count in counts)],
    )


def paradoxes(evidence: Evidence) -> tuple[dict[str, list[str]], int, int]:
    """Family → pairs in which the smaller is better on most base models; cases that it wins, and all."""
    table = grid(evidence)
    found: dict[str, list[str]] = {}
    won = cases = 0
    for family, members in FAMILIES.items():
        found[family] = []
        for smaller, larger in combinations(members, 2):
            wins = sum(table.ap[base, smaller] > table.ap[base, larger] for base in table.bases)
            won, cases = won + wins, cases + len(table.bases)
            if 2 * wins > len(table.bases):
                found[family].append(f"{smaller} over {larger}")
    return found, won, cases


@check
def not_always_larger(evidence: Evidence) -> Outcome:
    """How often the smaller of two generators of one family is the better one."""
    _, won, cases = paradoxes(evidence)
    return decide(
        won > 0,
        f"the smaller is better in {won} of {cases} cases ({show(Decimal(100 * won) / cases, 1)} %)",
        "every pair of generators of one family on every base model",
        "So the larger one is better more often than not."
        if 2 * won < cases
        else "The smaller one mostly is.",
        grid(evidence).facts(),
    )


@check
def in_every_family(evidence: Evidence) -> Outcome:
    """In how many families some larger generator is beaten by a smaller one on most base models."""
    found, _, _ = paradoxes(evidence)
    with_pairs = [family for family, pairs in found.items() if pairs]
    computed = f"in {len(with_pairs)} of {len(found)} families"
    said = "; ".join(f"{family}: {', '.join(pairs) or 'none'}" for family, pairs in found.items()) + "."
    facts = grid(evidence).facts()
    every = "a smaller generator is better than a larger one of its family on most base models"
    if len(with_pairs) == len(found):
        return Outcome("reproduced", computed, every, said, facts)
    return Outcome(
        "reproduced_otherwise" if len(with_pairs) > 1 else "contradicted",
        computed,
        f"several families instead of all: {every}",
        said,
        facts,
    )


@check
def families_lead(evidence: Evidence, stated: list[str]) -> Outcome:
    """Whether the stated families have the highest mean AP on every base model."""
    table = grid(evidence)
    tops = {
        base: sorted(FAMILIES, key=lambda f, b=base: -table.mean(b, FAMILIES[f]))  # type: ignore[misc]
        for base in table.bases
    }
    leaders = {frozenset(order[: len(stated)]) for order in tops.values()}
    ranks = {f: [tops[base].index(f) + 1 for base in table.bases] for f in FAMILIES}
    computed = "; ".join(f"{f} {', '.join(map(str, ranks[f]))}" for f in FAMILIES)
    if leaders == {frozenset(stated)}:
        return Outcome("reproduced", computed, "ranks of families by mean AP", "As stated.", table.facts())
    if len(leaders) == 1:
        [real] = leaders
        return Outcome(
            "reproduced_otherwise",
            computed,
            f"{' and '.join(sorted(real))} in place of {' and '.join(stated)}",
            "Ranks of each family's mean AP among the six, by base model. The two generators that the text "
            "names as the best are of these families.",
            table.facts(),
        )
    return Outcome("contradicted", computed, "ranks of families by mean AP", "No two lead.", table.facts())


@check
def best_two(evidence: Evidence, stated: list[str]) -> Outcome:
    """Whether two generators have the best mean ranks, and how alike the rankings are on all base models."""
    table = grid(evidence)
    ranks = {base: table.ranks(base) for base in table.bases}
    sums = {t: sum(ranks[base][t] for base in table.bases) for t in table.teachers}
    order = sorted(table.teachers, key=lambda t: sums[t])
    m, n = len(table.bases), len(table.teachers)
    centre = Decimal(sum(sums.values())) / n
    squares = sum(((s - centre) ** 2 for s in sums.values()), Decimal(0))
    concordance = 12 * squares / (m * m * (n**3 - n))
    return decide(
        set(order[:2]) == set(stated),
        ", ".join(f"{t} {show(Decimal(sums[t]) / m, 1)}" for t in order[:3])
        + f"; Kendall's W {show(concordance, 2)}",
        "mean rank by AP over the base models",
        "; ".join(f"{t}: ranks {', '.join(str(ranks[b][t]) for b in table.bases)}" for t in stated)
        + ". W is 1 where all base models rank the generators alike.",
        table.facts(),
    )


@check
def family_helps(evidence: Evidence, own: dict[str, str]) -> Outcome:
    """Whether a family's relative AP is higher on its own base model than on every other (base → family)."""
    table = grid(evidence)
    others = {f: [b for b in table.bases if own.get(b) != f] for f in own.values()}
    right, said = [], []
    for base, family in own.items():
        ratio = {b: table.mean(b, FAMILIES[family]) / table.mean(b, table.teachers) for b in table.bases}
        highest = max(others[family], key=lambda b, r=ratio: r[b])  # type: ignore[misc]
        if ratio[base] > ratio[highest]:
            right.append(base)
        said.append(
            f"{family} {show(ratio[base], 2)} on {base}, at most {show(ratio[highest], 2)} ({highest})"
        )
    return decide(
        len(right) == len(own),
        f"{len(right)} of {len(own)}; {'; '.join(said)}",
        "mean AP of the family's generators over that of all, on its own base model and on all others",
        f"Higher on its own than on every other: {', '.join(right) or 'none'}.",
        table.facts(),
    )


@check
def own_version_best(evidence: Evidence, own: dict[str, str]) -> Outcome:
    """What rank a base model's own instruction-tuned version has as its generator (base → generator)."""
    table = grid(evidence)
    ranks = {base: table.ranks(base)[teacher] for base, teacher in own.items()}
    n = len(table.teachers)
    return decide(
        all(rank == 1 for rank in ranks.values()),
        ", ".join(f"{base} rank {rank} of {n}" for base, rank in ranks.items()),
        "the base model's own instruction-tuned version is its best generator",
        "The text's example is Gemma-2-2B. Not the best: "
        + (", ".join(base for base, rank in ranks.items() if rank > 1) or "none")
        + ".",
        table.facts(tuple(own)),
    )

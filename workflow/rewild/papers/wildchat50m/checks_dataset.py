"""Claims about the models and the data set: counts, sizes, families, similarity of responses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rewild.audit.checks import check
from rewild.audit.numbers import show
from rewild.audit.outcome import Fact, Outcome, decide
from rewild.core.errors import DataError, known_name
from rewild.papers.wildchat50m.evidence import Evidence
from rewild.papers.wildchat50m.runs import ROWS, average, table_scores

if TYPE_CHECKING:
    from rewild.config.models import Model

BILLION = 1_000_000_000


def listed_dgms(evidence: Evidence) -> list[Model]:
    """The models that appendix C lists, each once, in the registry's order."""
    return [m for m in evidence.models.values() if m.listed.appendix_c is not None]


def _listed(models: list[Model]) -> list[Fact]:
    return [
        Fact(m.listed.appendix_c or m.name, f"{m.family}, {m.kind}", "models.yaml", m.slug) for m in models
    ]


def _billions(model: Model) -> float:
    if model.parameters is None:
        raise DataError(f"models.yaml: {model.slug} has no parameter count")
    return model.parameters.total / BILLION


def _sized(model: Model) -> Fact:
    count = "not established" if model.parameters is None else f"{model.parameters.total:,} parameters"
    return Fact(model.listed.appendix_c or model.name, count, "models.yaml", model.slug)


@check
def models_listed(evidence: Evidence, exactly: int | None = None, more_than: int | None = None) -> Outcome:
    """How many different models appendix C lists."""
    models = listed_dgms(evidence)
    count = len(models)
    repeated = [m for m in models if m.listed.copies > 1]
    absent = [m for m in models if m.listed.copies == 0]
    entries = sum(m.listed.copies for m in models)
    distinct = len(models) - len(absent)
    said = f"Appendix C has {entries} entries."
    if repeated or absent:
        said += (
            f" As printed, {distinct} of the names are different: "
            f"{', '.join(f'{m.listed.appendix_c} stands {m.listed.copies} times' for m in repeated)}. The "
            f"registry reads the repetitions as {' and '.join(str(m.listed.appendix_c) for m in absent)}, "
            "which the series would lack otherwise (docs/models.md)."
        )
    if exactly is None and more_than is None:
        raise DataError("models_listed needs 'exactly' or 'more_than'")
    facts = _listed(models)
    if exactly == distinct != count:
        return Outcome(
            "reproduced_otherwise",
            f"{distinct} names, {count} models",
            "different names as appendix C prints them, repetitions left out",
            said,
            facts,
        )
    agreed = count == exactly if exactly is not None else count > (more_than or 0)
    return decide(agreed, f"{count} models", "different models listed in appendix C", said, facts)


def _pretrained(evidence: Evidence, model: Model) -> str | None:
    from rewild.config.models import pretrained_of

    return pretrained_of(evidence.models, model.slug)


@check
def pretrained_and_variants(evidence: Evidence, pretrained: int, variants: int) -> Outcome:
    """The split into models post-trained by their makers, and variants that others made."""
    models = listed_dgms(evidence)
    makers = [m for m in models if m.kind == "instruct"]
    others = [m for m in models if m.kind != "instruct"]
    roots = {root for m in models if (root := _pretrained(evidence, m)) is not None}
    unknown = [m for m in models if _pretrained(evidence, m) is None]
    return decide(
        (len(makers), len(others)) == (pretrained, variants),
        f"{len(makers)} and {len(others)}",
        "models of appendix C post-trained by the pretrained model's own maker, and all others",
        f"{pretrained} + {variants} = {pretrained + variants} adds up; the appendix lists {len(makers)} and "
        f"{len(others)}, {len(models)} in all, so that no way of counting gives both. The listed models go "
        f"back to {len(roots)} released pretrained models, and {len(unknown)} to none that is known or "
        "released. The paper does not say which models it counts as which.",
        _listed([*makers, *others]),
    )


@check
def parameter_extreme(evidence: Evidence, end: str, published: float) -> Outcome:
    """The ``end`` (smallest or largest) parameter count among the models of appendix C, in billions."""
    models = sorted((m for m in listed_dgms(evidence) if m.parameters), key=_billions)
    unknown = [m for m in listed_dgms(evidence) if m.parameters is None]
    if end not in ("smallest", "largest"):
        raise DataError(f"parameter_extreme: end is 'smallest' or 'largest', not '{end}'")
    found = models[0] if end == "smallest" else models[-1]
    value = _billions(found)
    digits = 1 if published % 1 else 0
    said = f"The {end} listed model is {found.listed.appendix_c}."
    if unknown:
        said += f" Not counted, for want of an established size: {', '.join(m.name for m in unknown)}."
    return decide(
        round(value, digits) == published,
        f"{show(value, 2)} billion ({found.listed.appendix_c})",
        f"{end} total parameter count among the models of appendix C",
        said,
        [_sized(m) for m in (models[:5] if end == "smallest" else models[-5:])],
    )


# Rows of Table 2, and their makers as section 3.2 names them.
SLUGS = {
    "Q72": "qwen2.5-72b-instruct",
    "L8I": "llama-3.1-8b-instruct",
    "L70": "llama-3.3-70b-instruct",
    "Q7": "qwen2-7b-instruct",
    "CRP": "c4ai-command-r-plus-08-2024",
    "JMB": "ai21-jamba-1.5-mini",
}
MAKERS = {"Q72": "Alibaba", "L8I": "Meta", "L70": "Meta", "Q7": "Alibaba", "CRP": "Cohere", "JMB": "AI21"}


@check
def table2_families(evidence: Evidence, models: int, families: int) -> Outcome:
    """Table 2's rows, and the model families they belong to."""
    rows = evidence.table(2).rows
    found = {MAKERS[row] for row in rows}
    return decide(
        (len(rows), len(found)) == (models, families),
        f"{len(rows)} models of {len(found)} families",
        "a family is what one maker released, as section 3.2 groups them",
        f"Families: {', '.join(sorted(found))}.",
        [Fact(row, MAKERS[row], "table2.csv", f"row {row}") for row in rows],
    )


@check
def table2_sizes(evidence: Evidence, smallest: float, largest: float, active: bool = False) -> Outcome:
    """The range of parameter counts in Table 2, in billions (``active``: those used per token)."""
    found = {}
    for row in evidence.table(2).rows:
        parameters = evidence.models[SLUGS[row]].parameters
        if parameters is None:
            raise DataError(f"models.yaml: {SLUGS[row]} has no parameter count")
        count = parameters.active if active and parameters.active else parameters.total
        found[row] = count / BILLION
    low, high = min(found, key=lambda r: found[r]), max(found, key=lambda r: found[r])
    # Model names round down as often as up (Qwen2-7B has 7.6 billion): whole billions, either way.
    holds = math.floor(found[low]) <= smallest <= math.ceil(found[low]) and round(found[high]) == largest
    return decide(
        holds,
        f"{show(found[low], 1)} ({low}) to {show(found[high], 1)} billion ({high})",
        f"{'active' if active else 'total'} parameters of the six models of Table 2, to the whole billion",
        "The range of the models in the table.",
        [Fact(r, f"{show(v, 2)} billion", "models.yaml", SLUGS[r]) for r, v in found.items()],
    )


@check
def size_does_not_decide(evidence: Evidence) -> Outcome:
    """Rank correlation of parameter count and average over the six models of Table 2."""
    from scipy.stats import spearmanr

    scores = table_scores(evidence, 2)
    sizes = {row: _billions(evidence.models[SLUGS[row]]) for row in scores}
    values = {row: float(average(s).middle) for row, s in scores.items()}
    result = spearmanr([sizes[r] for r in scores], [values[r] for r in scores])
    rho, p = float(result.statistic), float(result.pvalue)
    return decide(
        rho < 1,
        f"Spearman's rho {show(rho, 2)}, n = {len(scores)} (p = {show(p, 2)})",
        "not perfect: rank correlation with the average over nine benchmarks below 1",
        "The largest model (CRP) is not the best: "
        + ", ".join(f"{r} {show(sizes[r], 0)}B {show(values[r])}" for r in scores)
        + ".",
        [_sized(evidence.models[SLUGS[r]]) for r in scores],
    )


@check
def context_supported(evidence: Evidence, model: str, more_than: int) -> Outcome:
    """A model's context window by the registry."""
    row = evidence.models.get(model)
    if row is None or row.native_context is None:
        raise DataError(f"models.yaml: no native context for '{model}'")
    base = evidence.models.get(row.base or "")
    facts = [Fact(row.name, f"{row.native_context:,} tokens", "models.yaml", row.slug)]
    if base and base.native_context:
        facts.append(Fact(base.hub or base.slug, f"{base.native_context:,} tokens", "models.yaml", base.slug))
    if row.native_context > more_than:
        return Outcome(
            "reproduced", facts[0].value, "max_position_embeddings of its configuration", "As stated.", facts
        )
    stretched = evidence.number("qwen25-yarn-context")
    if stretched.range.low > more_than:
        return Outcome(
            "reproduced_otherwise",
            f"{row.native_context:,} tokens as configured, {stretched.text} with YaRN",
            "context with the rope scaling that its model card describes",
            f"The published configuration sets {row.native_context:,}; its card gives {stretched.text} with "
            "YaRN switched on.",
            [*facts, stretched.fact],
        )
    return Outcome("contradicted", facts[0].value, "max_position_embeddings", "Less than stated.", facts)


@check
def released_by(evidence: Evidence, card: str, hub: str, latest: str) -> Outcome:
    """Whether the newest model was released by a month: by its card's date, or by its repository's."""
    by_card, by_hub = evidence.note(card), evidence.note(hub)
    computed = f"card {by_card.value}, repository {by_hub.value}"
    if by_card.value[:7] <= latest:
        return Outcome(
            "reproduced", computed, "date on the model card", "Within the range.", [by_card, by_hub]
        )
    if by_hub.value[:7] <= latest:
        return Outcome(
            "reproduced_otherwise",
            computed,
            "the day on which the model's repository on the hub was created",
            "By the release date on its card the newest model is one month later than the range.",
            [by_card, by_hub],
        )
    return Outcome(
        "contradicted", computed, "date on the model card", "Later than the range.", [by_card, by_hub]
    )


@check
def one_base_model(evidence: Evidence, baselines: list[str]) -> Outcome:
    """Whether every model that was trained or compared goes back to Llama-3.1-8B."""
    others = [r for r in evidence.table(6).rows if r.startswith("Q7B")]
    facts = [Fact(r, "SFT target Q7B (Qwen2-7B)", "table6.csv", f"row {r}") for r in others]
    wrong = []
    for slug in baselines:
        model = evidence.models[known_name(slug, evidence.models, "models.yaml: no model", error=DataError)]
        facts.append(Fact(model.hub or slug, f"base {model.base}", "models.yaml", slug))
        if model.base != "llama-3.1-8b":
            wrong.append(f"{model.hub or slug} (from {model.base})")
    said = f"Table 6 has {len(others)} rows whose SFT target is Qwen2-7B, as their labels say."
    if wrong:
        said += f" Of the baselines of figure 1, another base has {', '.join(wrong)}."
    return decide(
        not others and not wrong,
        f"{len(others)} rows with another SFT target; {len(wrong)} of {len(baselines)} baselines with "
        "another base",
        "every SFT run and baseline starts from Llama-3.1-8B",
        said,
        facts,
    )


@check
def table5_position(
    evidence: Evidence, *, row: str, column: str, published: str, end: str, among: int
) -> Outcome:
    """A row's value in Table 5, and whether it is among the ``among`` highest or lowest."""
    source = evidence.table(5)
    cell = source.cell(row, column)
    values = sorted((source.cell(r, column).range.middle for r in source.rows), reverse=end == "high")
    better = sum(v > cell.range.middle if end == "high" else v < cell.range.middle for v in values)
    return decide(
        cell.text == published and better < among,
        f"{cell.text}, with {better} of {len(values)} {'higher' if end == 'high' else 'lower'}",
        f"the printed value, and a place among the {among} {'highest' if end == 'high' else 'lowest'}",
        "Ties are counted in its favour.",
        [source.cell(r, column).fact for r in source.rows],
    )


@check
def table5_covers(evidence: Evidence) -> Outcome:
    """Whether Table 5 has a row, with all six scores, for every model of appendix C."""
    models, source = listed_dgms(evidence), evidence.table(5)
    covered = [m for m in models if m.listed.table5 in source.rows]
    complete = all((row, column) in source.cells for row in source.rows for column in source.columns)
    computed = f"{len(covered)} of {len(models)} models"
    facts = [
        Fact(str(m.listed.appendix_c), m.listed.table5 or "(no row)", "table5.csv", "rows") for m in models
    ]
    said = f"Table 5 has rows for {len(source.rows)} models, the sample that appendix A describes."
    if len(covered) == len(models):
        return Outcome("reproduced", computed, "every model of appendix C", "All have a row.", facts)
    if complete:
        return Outcome(
            "reproduced_otherwise",
            computed,
            "every model of the similarity experiment, whose rows are complete",
            said,
            facts,
        )
    return Outcome("contradicted", computed, "every model of appendix C", said, facts)


@check
def larger_more_similar(evidence: Evidence, column: str, at_most_p: float) -> Outcome:
    """Rank correlation between parameter count and similarity over the rows of Table 5.

    Reproduced if the correlation is positive and its p-value at most ``at_most_p``; contradicted if it is not
    positive; otherwise the table does not decide.
    """
    from scipy.stats import spearmanr

    source = evidence.table(5)
    named = {m.listed.table5: m for m in evidence.models.values() if m.listed.table5}
    unknown = [row for row in source.rows if row not in named]
    if unknown:
        raise DataError(f"models.yaml: no model is listed as '{unknown[0]}' in Table 5")
    sized = [r for r in source.rows if named[r].parameters is not None]
    sizes = [_billions(named[r]) for r in sized]
    values = [float(source.cell(r, column).range.middle) for r in sized]
    result = spearmanr(sizes, values)
    rho, p, n = float(result.statistic), float(result.pvalue), len(sized)
    # Fisher's transformation with the standard error of Bonett and Wright (2000) for Spearman's rho.
    centre, error = math.atanh(rho), math.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = math.tanh(centre - 1.96 * error), math.tanh(centre + 1.96 * error)
    computed = (
        f"rho {show(rho, 2)} (95 % interval {show(low, 2)} to {show(high, 2)}), n = {n}, p = {show(p, 3)}"
    )
    facts = [
        Fact(r, f"{show(s, 1)} billion; {source.cell(r, column).text}", "table5.csv, models.yaml", f"row {r}")
        for r, s in zip(sized, sizes, strict=True)
    ]
    definition = f"Spearman's rho of total parameters and {column}; positive with p ≤ {at_most_p}"
    if rho > 0 and p > at_most_p:
        return Outcome(
            "not_testable",
            computed,
            definition,
            "The sign is as claimed, but so few models and two printed decimals do not tell it from chance.",
            facts,
        )
    return decide(
        rho > 0,
        computed,
        definition,
        "Total parameters are used; models built on one base share theirs.",
        facts,
    )


@check
def meteor_weight(evidence: Evidence, precision_weight: float) -> Outcome:
    """Which of precision and recall METEOR's F-score favours, by the formula of the work cited for it."""

    # Banerjee and Lavie (2005): F = 10 P R / (R + 9 P), the weighted harmonic mean.
    def score(precision: float, recall: float) -> float:
        return 10 * precision * recall / (recall + 9 * precision)

    high_precision, high_recall = score(0.9, 0.1), score(0.1, 0.9)
    formula, used = evidence.note("meteor-formula"), evidence.note("meteor-used")
    return decide(
        (high_precision > high_recall) == (precision_weight > 0.5),
        f"P 0.9, R 0.1: {show(high_precision, 3)}; P 0.1, R 0.9: {show(high_recall, 3)}",
        "F = 10 P R / (R + 9 P), as in the work the appendix cites",
        "This score follows recall nine times as much as precision; the appendix has it the other way round. "
        f"The released notebook on similarity calls {used.value}, whose default is this formula's weighting.",
        [formula, used],
    )


@check
def sorted_by(evidence: Evidence, table: int, larger: str, smaller: str) -> Outcome:
    """One column of a table is at least another in every row (ROUGE-1 is at least ROUGE-L by definition)."""
    source = evidence.table(table)
    wrong = [r for r in source.rows if source.cell(r, larger).range.high < source.cell(r, smaller).range.low]
    return decide(
        not wrong,
        f"{len(source.rows) - len(wrong)} of {len(source.rows)} rows",
        f"{larger} ≥ {smaller}",
        f"Not so: {', '.join(wrong)}." if wrong else "In every row.",
        [source.cell(r, c).fact for r in source.rows for c in (larger, smaller)],
    )


@check
def released_rows_are(evidence: Evidence, table: int, size: str) -> Outcome:
    """Whether every row of a table is, in the workbook, a run on ``size`` conversations."""
    book = evidence.workbook
    facts, wrong = [], []
    for row, (sheet, label) in ROWS[table].items():
        facts.append(Fact(row, label, book.name, f"{sheet}, row {book.labels(sheet)[label]}"))
        if not label.startswith(f"{size}-"):
            wrong.append(row)
    return decide(
        not wrong,
        f"{len(facts) - len(wrong)} of {len(facts)} rows",
        f"the row's scores are those of a run named {size}-…",
        f"Not so: {', '.join(wrong)}." if wrong else "Every row is.",
        facts,
    )

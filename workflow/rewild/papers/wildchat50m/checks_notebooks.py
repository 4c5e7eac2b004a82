"""Claims that the saved outputs of released notebooks decide (facts ``notebook-…`` of ``facts.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping

from rewild.audit.checks import check
from rewild.audit.numbers import agrees, decimal, exact
from rewild.audit.outcome import Outcome, decide
from rewild.core.errors import DataError
from rewild.papers.wildchat50m.checks_style import FEATURES
from rewild.papers.wildchat50m.evidence import Evidence


@check
def similarity_run(evidence: Evidence, responses: int, others: int) -> Outcome:
    """How many responses the similarity run took of each model, and with how many models it compared them."""
    names = ("models", "prompts", "failed", "references")
    found = {name: evidence.number(f"notebook-similarity-{name}") for name in names}
    models, prompts, failed, references = (int(found[name].range.low) for name in names)
    left = {n: count for n, count in ((references, models - failed), (references - 1, failed)) if count}
    told = " and ".join(f"{n} models with {count} others" for count, n in left.items())
    return decide(
        prompts == responses and set(left) == {others},
        f"{prompts} responses; {told}",
        "the run's own log: where a reference could not be aligned, it was dropped",
        f"The number of responses {'agrees' if prompts == responses else 'differs'}. Of {references} "
        f"references, one was dropped for {failed} of {models} models, because its prompts could not be "
        f"aligned with the model's. Only for these were there {references - 1}.",
        [cell.fact for cell in found.values()],
    )


@check
def counts_in_notebook(evidence: Evidence, rows: Mapping[str, str]) -> Outcome:
    """Whether rows of Table 3 are the counts that a notebook printed for whole judged pages."""
    table, facts, wrong, agreed = evidence.table(3), [], [], 0
    for row, name in rows.items():
        note = evidence.note(f"notebook-page-counts-{name}")
        counts = {}
        for part in note.value.split(", "):
            feature, _, printed = part.rpartition(" ")
            counts["len" if feature == "average length" else feature] = decimal(printed)
        facts.append(note)
        for feature in FEATURES:
            if feature.lower() not in counts:
                raise DataError(f"{note.place}: no count of '{feature}'")
            cell = table.cell(row, feature)
            facts.append(cell.fact)
            # The table gives whole characters, cut off.
            number = counts[feature.lower()]
            if agrees(number, cell.text) or (feature == "len" and exact(int(number)) == cell.range):
                agreed += 1
            else:
                wrong.append(f"{row}, {feature}: printed {cell.text}, the notebook {number}")
    computed = f"whole pages: {agreed} of {len(FEATURES) * len(rows)} agree"
    definition = (
        "counts that the notebook printed for the judged pages: question, answer, judgment and template"
    )
    if wrong:
        return Outcome("contradicted", computed, definition, "; ".join(wrong) + ".", facts)
    return Outcome(
        "reproduced_otherwise",
        computed,
        definition,
        "The notebook counts the elements of whole pages (those of the template, 'style' and 'class', among "
        "them), so Table 3 counts the question and the judge's text as well as the answer.",
        facts,
    )


@check
def first_turn_means(evidence: Evidence, rows: Mapping[str, str]) -> Outcome:
    """Table 4's MT-Bench scores against the means of the judged turns that a notebook printed."""
    table, facts, agreed, shown = evidence.table(4), [], [], []
    for row, name in rows.items():
        cell, mean = table.cell(row, "MTBench"), evidence.number(f"notebook-first-turns-{name}")
        facts += [cell.fact, mean.fact]
        shown.append(f"{row} {mean.text} (printed {cell.text})")
        if agrees(mean.range, cell.text):
            agreed.append(row)
    return decide(
        len(agreed) == len(rows),
        "; ".join(shown),
        "means of the judge's scores over the judged turns, as the notebook printed them",
        "Every score is that of the turns."
        if len(agreed) == len(rows)
        else f"{len(rows) - len(agreed)} of {len(rows)} scores are not those of the turns that were "
        "judged. The printed ones may be means over both turns of MT-Bench's questions.",
        facts,
    )

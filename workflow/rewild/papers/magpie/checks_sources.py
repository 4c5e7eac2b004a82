"""Claims on method against what the authors released, and on what others' sources hold."""

from __future__ import annotations

from rewild.audit.checks import check
from rewild.audit.evidence import Evidence
from rewild.audit.outcome import Outcome, decide
from rewild.core.language import language, language_code
from rewild.papers.magpie.amounts import amount, items, power, setting


def plain(text: str) -> str:
    """A name without its owner, its case and its marks."""
    return "".join(c for c in text.rpartition("/")[2].lower() if c.isalnum())


@check
def as_released(evidence: Evidence, pairs: dict[str, str]) -> Outcome:
    """Whether settings are those of the released code (``pairs``: setting → fact).

    Numbers agree if they are equal; names if one holds the other, owners and marks left out.
    """
    wrong, facts, said = [], [], []
    for row, fact in pairs.items():
        printed, released = setting(evidence, row), evidence.note(fact)
        facts += [printed, released]
        said.append(f"{printed.value}: {released.value}")
        if not _same(printed.value, released.value):
            wrong.append(row)
    return decide(
        not wrong,
        f"{len(pairs) - len(wrong)} of {len(pairs)} agree; {'; '.join(said)}",
        "what the released code or recipe says",
        f"Other than printed: {', '.join(wrong)}." if wrong else "The released files say the same.",
        facts,
    )


def _same(printed: str, released: str) -> bool:
    if "×10" in printed:
        return power(printed) == power(released)
    if printed.replace(".", "").isdigit():
        return float(printed) == float(released)
    if (printed, released) == ("greedy", "0"):
        return True
    a, b = plain(printed), plain(released)
    return a in b or b in a


@check
def one_of_released(evidence: Evidence, row: str, fact: str, ours: int) -> Outcome:
    """Which released recipes have a printed learning rate; the first ``ours`` are of the same base model."""
    printed, released = setting(evidence, row), evidence.note(fact)
    rates = [power(item) for item in items(released)]
    equal = [n for n, rate in enumerate(rates) if rate == power(printed.value)]
    return Outcome(
        "reproduced" if any(n < ours for n in equal) else "not_testable",
        f"{len(equal)} of {len(rates)} recipes; of the same base {sum(n < ours for n in equal)} of {ours}",
        "the released recipes",
        "The recipes are of other models, on other data than those of the paper's tables, whose runs of DPO "
        f"have none. Their rates: {released.value}.",
        [printed, released],
    )


@check
def other_value(evidence: Evidence, row: str, fact: str) -> Outcome:
    """A threshold beside the one released filter, which is of another data set."""
    printed, released = setting(evidence, row), evidence.note(fact)
    same = amount(printed).middle == evidence.number(fact).range.middle
    return Outcome(
        "reproduced" if same else "not_testable",
        f"printed {printed.value}, released {released.value}",
        "the released filter",
        "The released filter is of another model's data. The filters of the paper (Table 5) are not in the "
        "text and were not released as code.",
        [printed, released],
    )


@check
def template_is(evidence: Evidence, printed: str, released: str) -> Outcome:
    """Whether a printed template is the released one, or a part of it."""
    ours, theirs = evidence.note(printed), evidence.note(released)
    before, found, after = theirs.value.partition(ours.value)
    computed = f"released: {before or 'nothing'} before it, {after or 'nothing'} after it"
    if not found:
        return Outcome("contradicted", f"released: {theirs.value}", "", "Another text.", [ours, theirs])
    if not before and not after:
        return Outcome("reproduced", computed, "the released template", "The same text.", [ours, theirs])
    return Outcome(
        "reproduced_otherwise",
        computed,
        "the printed text, with the token that begins a text and the line breaks of the model's template",
        "The printed template leaves both out; the released one has them. A model is sampled from the whole.",
        [ours, theirs],
    )


@check
def stops_at(evidence: Evidence, released: str, end_tokens: str) -> Outcome:
    """Whether only end tokens end an instruction in the released code."""
    stops, ends = evidence.note(released), evidence.note(end_tokens)
    more = [item for item in items(stops) if item not in items(ends)]
    computed = f"{len(items(stops))} stops, {len(items(ends))} of them end tokens"
    if not more:
        return Outcome("reproduced", computed, "end tokens", "As stated.", [stops, ends])
    return Outcome(
        "reproduced_otherwise",
        computed,
        "an end token, or one of the others that the released code stops at",
        f"It stops at these too: {', '.join(more)}. By the line break (\\n), the default, an instruction is "
        "one line; by the word it is cut where it says that word.",
        [stops, ends],
    )


@check
def same_prompts(evidence: Evidence, names: list[str]) -> Outcome:
    """Whether printed prompts are the released ones, white space left out."""
    pairs = {n: (evidence.note(f"printed-{n}-prompt"), evidence.note(f"released-{n}-prompt")) for n in names}
    wrong = [name for name, (a, b) in pairs.items() if a.value != b.value]
    return decide(
        not wrong,
        f"{len(names) - len(wrong)} of {len(names)} are the same text",
        "equal texts, white space left out (compared by their SHA-256)",
        "; ".join(
            f"{name}: the paper has the {pairs[name][0].what}; the code, the {pairs[name][1].what}"
            for name in wrong
        )
        or "The released code has the same.",
        [fact for pair in pairs.values() for fact in pair],
    )


@check
def same_lists(evidence: Evidence, first: str, second: str) -> Outcome:
    """Whether two lists name the same things, capitals left out."""
    a, b = evidence.note(first), evidence.note(second)
    ours, theirs = ({plain(item) for item in items(fact)} for fact in (a, b))
    return decide(
        ours == theirs,
        f"{len(ours & theirs)} of {len(ours | theirs)} in both",
        "the same names",
        "The same." if ours == theirs else f"In one only: {', '.join(sorted(ours ^ theirs))}.",
        [a, b],
    )


@check
def same_facts(evidence: Evidence, first: str, second: str) -> Outcome:
    """Whether two sources say the same."""
    a, b = evidence.note(first), evidence.note(second)
    return decide(a.value == b.value, b.value, "equal", f"The first says {a.value}.", [a, b])


@check
def named_base(evidence: Evidence, row: str, fact: str) -> Outcome:
    """Whether the model that was tuned is the one that another source names."""
    printed, card = setting(evidence, row), evidence.note(fact)
    same = plain(card.value).endswith(plain(printed.value))
    return decide(
        same,
        f"printed {printed.value}, card {card.value}",
        "the base model on the released model's card",
        "The same model." if same else "The card names the base model, not the instruction-tuned one.",
        [printed, card],
    )


@check
def languages_are(evidence: Evidence, names: list[str]) -> Outcome:
    """Whether the examples headed by languages are in them, by a detector of languages."""
    facts = {name: evidence.note(f"language-{name.lower()}") for name in names}
    found = {name: language(fact.value) for name, fact in facts.items()}
    wrong = [name for name in names if found[name] != language_code(name)]
    return decide(
        not wrong,
        ", ".join(f"{name} {found[name]}" for name in names),
        "the language that py3langid finds in words of each example",
        f"Headed otherwise: {', '.join(wrong)}." if wrong else "All are headed rightly.",
        list(facts.values()),
    )


@check
def questions_found(evidence: Evidence, asked: str, nearest: str) -> Outcome:
    """Whether questions stand among a benchmark's, word for word or nearly."""
    ours, theirs = evidence.note(asked), evidence.note(nearest)
    pairs = list(zip(items(ours), items(theirs), strict=True))
    exact = [a for a, b in pairs if plain(a.replace("'s", " is")) == plain(b)]
    return Outcome(
        "reproduced" if len(exact) == len(pairs) else "reproduced_otherwise",
        f"{len(exact)} of {len(pairs)} word for word",
        "word for word" if len(exact) == len(pairs) else "an instruction that asks the same in other words",
        "; ".join(f"“{a}”: “{b}”" for a, b in pairs) + ".",
        [ours, theirs],
    )


@check
def distance_is(evidence: Evidence, fact: str) -> Outcome:
    """Whether the number written as a distance is one, or its square."""
    released = evidence.note(fact)
    squared = released.value.startswith("squared")
    return Outcome(
        "reproduced_otherwise" if squared else "reproduced",
        released.value,
        "the square of the Euclidean distance" if squared else "the distance",
        "The order of neighbours is the same; a threshold or an average is not." if squared else "As stated.",
        [released],
    )


@check
def programs_are(evidence: Evidence, rows: list[str], fact: str) -> Outcome:
    """Whether named programs are those of the released recipes, in the same order."""
    printed, released = [setting(evidence, row) for row in rows], evidence.note(fact)
    right = [plain(p.value) == plain(r) for p, r in zip(printed, items(released), strict=True)]
    return decide(
        all(right),
        f"{sum(right)} of {len(right)} agree",
        "the programs of the released recipes",
        f"The recipes name {released.value}.",
        [*printed, released],
    )


@check
def follows(evidence: Evidence, rows: list[str], fact: str) -> Outcome:
    """Whether settings are those of the source that they follow, in the same order."""
    printed, source = [setting(evidence, row) for row in rows], evidence.note(fact)
    theirs = [part.strip() for part in source.value.split(",")]
    right = [p.value == other for p, other in zip(printed, theirs, strict=True)]
    return decide(
        all(right),
        f"{sum(right)} of {len(right)} agree: {source.value}",
        "the settings of the source",
        "As in the source." if all(right) else "Other than in the source.",
        [*printed, source],
    )

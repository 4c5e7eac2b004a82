"""Claims on how much: sizes of data sets, GPU-hours, costs."""

from __future__ import annotations

from decimal import Decimal

from rewild.audit.checks import check
from rewild.audit.evidence import Cell, Evidence
from rewild.audit.numbers import Range, agrees, exact, show
from rewild.audit.outcome import Fact, Outcome, decide
from rewild.papers.magpie.amounts import amount, cost, items, setting, size

SETS = ("MAGPIE-Air", "MAGPIE-Pro")


@check
def instances_sum(evidence: Evidence, published: int) -> Outcome:
    """Whether the instances of Air and Pro together are as many as stated."""
    facts = [evidence.table("costs").text(row, "Instances") for row in SETS]
    total = sum((amount(fact).middle for fact in facts), Decimal(0))
    return decide(
        total == published,
        f"{' + '.join(fact.value for fact in facts)} = {total:,.0f}",
        "the instances of both data sets",
        f"The text gives {published:,}.",
        facts,
    )


@check
def at_most(evidence: Evidence, parts: list[str], published: int, elsewhere: list[list[str]]) -> Outcome:
    """Whether some data sets together have at most so many conversations; ``elsewhere``: other sums."""

    def added(rows: list[str]) -> Decimal:
        return sum((amount(size(evidence, row)).middle for row in rows), Decimal(0))

    total = added(parts)
    others = "; ".join(f"{' + '.join(rows)}: {added(rows):,.0f}" for rows in elsewhere)
    return decide(
        total <= published,
        f"{' + '.join(size(evidence, row).value for row in parts)} = {total:,.0f}",
        "conversations for fine-tuning and preference pairs for DPO, of the models of Table 1",
        f"At most {published:,} were stated. Other models of the paper: {others}.",
        [size(evidence, row) for row in {r: None for rows in (parts, *elsewhere) for r in rows}],
    )


@check
def same_order(evidence: Evidence, ours: str, others: list[str], unknown: list[str]) -> Outcome:
    """Whether data sets differ from ours in size by less than a factor of ten."""
    own = amount(size(evidence, ours)).middle
    ratios = {row: amount(size(evidence, row)).middle / own for row in others}
    low, high = min(ratios, key=lambda row: ratios[row]), max(ratios, key=lambda row: ratios[row])
    return decide(
        all(Decimal("0.1") < ratio < 10 for ratio in ratios.values()),
        f"{show(ratios[low], 2)} ({low}) to {show(ratios[high], 2)} ({high}) times {ours}",
        "sizes differ by less than a factor of ten",
        f"Of the sizes that the text gives. It gives none of {' and '.join(unknown)}.",
        [size(evidence, row) for row in (ours, *others)],
    )


@check
def size_is(evidence: Evidence, row: str, fact: str) -> Outcome:
    """Whether the printed size of a data set is that of its release, rounded."""
    return _as_released(size(evidence, row), row, evidence.number(fact))


@check
def instances_are(evidence: Evidence, row: str, fact: str) -> Outcome:
    """Whether a data set has as many instances as its release."""
    return _as_released(evidence.table("costs").text(row, "Instances"), row, evidence.number(fact))


def _as_released(printed: Fact, row: str, released: Cell) -> Outcome:
    return decide(
        amount(printed).meets(released.range),
        f"{released.text}, printed {printed.value}",
        "the released number of rows rounds to the printed size",
        f"The release of {row} has {released.text} rows.",
        [printed, released.fact],
    )


@check
def setting_is_size(evidence: Evidence, row: str, fact: str) -> Outcome:
    """Whether a benchmark has as many items as the text says."""
    printed, released = setting(evidence, row), evidence.number(fact)
    return decide(
        amount(printed).middle == released.range.middle,
        f"{released.text}, printed {printed.value}",
        "items of the released benchmark",
        "As many as stated." if amount(printed).middle == released.range.middle else "Another number.",
        [printed, released.fact],
    )


@check
def more_than(evidence: Evidence, row: str, fact: str) -> Outcome:
    """Whether a size of which the text says "more than" is that of another source."""
    printed, known = size(evidence, row), evidence.number(fact)
    return decide(
        amount(printed).middle <= known.range.middle,
        f"over {known.text}",
        "the card of the model gives at least as many",
        "The card says over 10M human-annotated examples, public instruction data beside them, and does "
        "not say how many of either were used at which stage.",
        [printed, known.fact],
    )


@check
def family_sum(evidence: Evidence, row: str, fact: str) -> Outcome:
    """Whether the released sizes of the family's data sets add up to the stated number."""
    printed, note = setting(evidence, row), evidence.note(fact)
    total = sum((Decimal(item) for item in items(note)), Decimal(0)) * 1000
    computed = f"{total / 1_000_000} million of {printed.value}"
    if agrees(total / 1_000_000, printed.value.removesuffix(" million")):
        return Outcome("reproduced", computed, "sizes in the released table", "As stated.", [printed, note])
    return Outcome(
        "not_testable",
        computed,
        "raw sets in the table of the released README",
        "Table 4, which lists the family, is a picture in the text. The README lists the raw sets only; "
        "multi-turn, domain and language sets are released beside them, so that the rest can be these.",
        [printed, note],
    )


@check
def gpu_hours(evidence: Evidence, row: str, gpus: int) -> Outcome:
    """Whether the hours of both steps on so many GPUs are the stated GPU-hours."""
    first, second = (cost(evidence, row, f"Hours of step {n}") for n in (1, 2))
    stated = cost(evidence, row, "GPU hours")
    hours = (exact(first.text).middle + exact(second.text).middle) * gpus
    server = setting(evidence, "GPUs of the server")
    return decide(
        agrees(hours, stated.text),
        f"{gpus} × ({first.text} + {second.text}) = {hours.normalize():f}",
        "GPUs of the server times the hours of both steps, rounded as printed",
        f"The text gives {stated.text}.",
        [first.fact, second.fact, stated.fact, server],
    )


@check
def gpus_implied(evidence: Evidence, published: int) -> Outcome:
    """Whether GPU-hours over hours are the number of GPUs of the server, for both data sets."""
    found, facts = {}, [setting(evidence, "GPUs of the server")]
    for row in SETS:
        cells = [cost(evidence, row, c) for c in ("Hours of step 1", "Hours of step 2", "GPU hours")]
        facts += [cell.fact for cell in cells]
        found[row] = Range(
            cells[2].range.low / (cells[0].range.high + cells[1].range.high),
            cells[2].range.high / (cells[0].range.low + cells[1].range.low),
        )
    return decide(
        all(range_.low <= published <= range_.high for range_ in found.values()),
        "; ".join(f"{row} {show(range_, 2)}" for row, range_ in found.items()),
        "GPU-hours over hours of both steps, as far as rounding allows",
        f"The server is said to have {published} GPUs.",
        facts,
    )


def prices(evidence: Evidence) -> tuple[dict[str, Range], list[Fact]]:
    """The price of a GPU-hour that each data set's cost implies, and what it is computed from.

    The GPU-hours are those of the unrounded hours on four GPUs.
    """
    found, facts = {}, []
    for row in SETS:
        first, second = (cost(evidence, row, f"Hours of step {n}") for n in (1, 2))
        dollars, count = (
            cost(evidence, row, "Dollars per 1,000"),
            evidence.table("costs").text(row, "Instances"),
        )
        hours = (exact(first.text).middle + exact(second.text).middle) * 4
        found[row] = dollars.range.times(amount(count).middle / 1000 / hours)
        facts += [first.fact, second.fact, dollars.fact, count]
    return found, facts


@check
def one_price(evidence: Evidence) -> Outcome:
    """Whether one price of a GPU-hour gives both costs per 1,000 instances."""
    found, facts = prices(evidence)
    low, high = max(p.low for p in found.values()), min(p.high for p in found.values())
    both = f"{show(low, 3)} to {show(high, 3)}" if low <= high else "none"
    return decide(
        low <= high,
        f"$ per GPU-hour: {', '.join(f'{row} {show(p, 3)}' for row, p in found.items())}; both {both}",
        "cost of all instances over GPU-hours, for every cost that rounds to the printed one",
        "The text gives no price. "
        + (f"Any from {show(low, 3)} to {show(high, 3)} gives both costs." if low <= high else "None fits."),
        facts,
    )


@check
def listed(evidence: Evidence, fact: str, published: int, table: str = "", others: int = 0) -> Outcome:
    """How many things a list names; with a table, whether its rows, but for ``others``, are these."""
    note = evidence.note(fact)
    names = items(note)
    facts = [note]
    right = len(names) == published
    said = f"The text says {published}."
    if table:
        rows = evidence.table(table).rows
        facts += [Fact(f"row {n}", row, f"{table}.csv", f"row {n}") for n, row in enumerate(rows, 1)]
        right = right and set(names) <= set(rows) and len(rows) == published + others
        said += f" {len(set(names) & set(rows))} of them are rows of {table}, which has {len(rows)}."
    return decide(right, f"{len(names)} named", "what the list names", said, facts)

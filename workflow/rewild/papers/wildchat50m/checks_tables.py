"""Claims that the printed tables carry by themselves: cells against the workbook, winners, spreads, sums."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from rewild.audit.checks import check
from rewild.audit.evidence import Cell
from rewild.audit.numbers import agrees, exact, printed, show
from rewild.audit.outcome import Fact, Outcome, decide
from rewild.core.errors import DataError
from rewild.papers.wildchat50m.evidence import BENCHMARKS, Evidence
from rewild.papers.wildchat50m.runs import ROWS, Scores, facts_of, table_scores, unit


def compare_cells(pairs: list[tuple[Cell, Cell]], what: str) -> Outcome:
    """Whether every printed cell (first) is its released value (second), rounded; differences are named."""
    wrong = [(p, r) for p, r in pairs if not agrees(r.range, p.text)]
    facts = [fact for p, r in (wrong or pairs) for fact in (p.fact, r.fact)]
    listed = "; ".join(f"{p.what}: printed {p.text}, released {r.text}" for p, r in wrong)
    return decide(
        not wrong,
        f"{len(pairs) - len(wrong)} of {len(pairs)} cells agree",
        what,
        listed or "Every printed number is the released one, rounded.",
        facts,
    )


@check
def table_matches_workbook(evidence: Evidence, table: int) -> Outcome:
    """Every benchmark score of a table against its row of the workbook, at the printed digits."""
    source = evidence.table(table)
    pairs = [
        (source.cell(row, b), evidence.workbook.cell(*place, b))
        for row, place in ROWS[table].items()
        for b in BENCHMARKS
    ]
    return compare_cells(pairs, "each printed score equals the workbook's, rounded to the printed digits")


@check
def sheet_matches_table(evidence: Evidence, table: int, sheet: str, rows: dict[str, str]) -> Outcome:
    """Every number of a table against another sheet, row by row, columns of the same name."""
    source = evidence.table(table)
    headers = evidence.workbook.headers(sheet)
    named = {"Num. Convs": "Num. Samples"}
    pairs = [
        (source.cells[row, column], evidence.workbook.cell(sheet, label, named.get(column, column)))
        for row, label in rows.items()
        for column in source.columns
        if (row, column) in source.cells and named.get(column, column) in headers
    ]
    return compare_cells(pairs, f"each printed number equals that of sheet {sheet}, at the printed digits")


def winners(scores: Mapping[str, Scores], benchmark: str) -> list[str]:
    """The rows with the highest score, all of them where they tie (or their intervals are the same)."""
    top = max(s[benchmark].range.middle for s in scores.values())
    return [row for row, s in scores.items() if s[benchmark].range.middle == top]


def _printed_scores(evidence: Evidence, table: int) -> dict[str, Scores]:
    source = evidence.table(table)
    return {row: {b: source.cell(row, b) for b in BENCHMARKS} for row in ROWS[table]}


@check
def small_model_wins(evidence: Evidence, small: list[str], published: int) -> Outcome:
    """On how many of nine benchmarks of Table 2 the best model is one of the ``small`` ones."""
    counts = {}
    listed = {}
    for name, scores in (
        ("printed", _printed_scores(evidence, 2)),
        ("precise", table_scores(evidence, 2)),
    ):
        best = {b: winners(scores, b) for b in BENCHMARKS}
        alone = [b for b, w in best.items() if len(w) == 1 and w[0] in small]
        tied = [b for b, w in best.items() if len(w) > 1 and set(w) & set(small)]
        counts[name] = len(alone), len(tied)
        listed[name] = "; ".join(f"{b} {' = '.join(w)}" for b, w in best.items())
    facts = [f for s in table_scores(evidence, 2).values() for f in facts_of(s)]
    computed = (
        f"{counts['precise'][0]} at full precision; {counts['printed'][0]} at the printed digits, "
        f"and {counts['printed'][1]} more tied"
    )
    full = "highest score at full precision"
    if counts["precise"] == (published, 0):
        return Outcome("reproduced", computed, full, f"Winners: {listed['precise']}.", facts)
    if counts["printed"][0] == published:
        return Outcome(
            "reproduced_otherwise",
            computed,
            "the highest score as printed, a tie won by nobody",
            f"As printed: {listed['printed']}. With all digits: {listed['precise']}.",
            facts,
        )
    return Outcome("contradicted", computed, full, f"Winners: {listed['precise']}.", facts)


@check
def none_dominates(evidence: Evidence, table: int) -> Outcome:
    """No row of the table is best on every benchmark, and none is at least as good as another throughout."""
    scores = table_scores(evidence, table)
    firsts = {row: [b for b in BENCHMARKS if winners(scores, b) == [row]] for row in scores}
    over = [
        f"{a} over {b}"
        for a in scores
        for b in scores
        if a != b and all(scores[a][x].range.low >= scores[b][x].range.high for x in BENCHMARKS)
    ]
    return decide(
        all(len(won) < len(BENCHMARKS) for won in firsts.values()),
        ", ".join(f"{row} best on {len(won)}" for row, won in firsts.items()),
        "no model is best on all nine benchmarks",
        "Pairs in which one model is at least as good on all nine: " + (", ".join(over) or "none") + ".",
        [f for s in scores.values() for f in facts_of(s)],
    )


@check
def spread_is_greater(evidence: Evidence, group: list[str]) -> Outcome:
    """The standard deviation over Table 2's rows is larger on every benchmark of ``group`` than elsewhere."""
    scores = table_scores(evidence, 2)
    spread: dict[str, float] = {}
    relative: dict[str, float] = {}
    for b in BENCHMARKS:
        values = [float(unit(s[b], b).middle) for s in scores.values()]
        centre = sum(values) / len(values)
        spread[b] = (sum((v - centre) ** 2 for v in values) / (len(values) - 1)) ** 0.5
        relative[b] = spread[b] / centre
    rest = [b for b in BENCHMARKS if b not in group]
    ordered = sorted(BENCHMARKS, key=lambda b: -spread[b])
    by_share = sorted(BENCHMARKS, key=lambda b: -relative[b])
    return decide(
        min(spread[b] for b in group) > max(spread[b] for b in rest),
        "SD: " + ", ".join(f"{b} {show(spread[b])}" for b in ordered),
        "standard deviation over the six models, all scores on a 0–1 scale",
        "Relative to their means the order is "
        + ", ".join(f"{b} {show(relative[b], 2)}" for b in by_share)
        + ".",
        [f for s in scores.values() for f in facts_of(s)],
    )


@check
def better_dgm(evidence: Evidence, better: str, worse: str, benchmark: str) -> Outcome:
    """One row of Table 2 scores higher than another on a benchmark."""
    scores = table_scores(evidence, 2)
    a, b = scores[better][benchmark], scores[worse][benchmark]
    return decide(
        a.range.low > b.range.high,
        f"{better} {a.text}, {worse} {b.text}",
        f"{benchmark} after fine-tuning on 250k conversations",
        "The first score is higher." if a.range.low > b.range.high else "The first score is not higher.",
        [a.fact, b.fact],
    )


@check
def effect_exceeds_intervals(evidence: Evidence, table: int) -> Outcome:
    """On how many benchmarks the best and the worst row have printed intervals that do not touch."""
    source = evidence.table(table)
    scores = table_scores(evidence, table)
    lines, facts, apart = [], [], []
    benchmarks = [b for b in BENCHMARKS if (source.rows[0], b) in source.intervals]
    for b in benchmarks:
        best = max(scores, key=lambda row, b=b: scores[row][b].range.middle)  # type: ignore[misc]
        worst = min(scores, key=lambda row, b=b: scores[row][b].range.middle)  # type: ignore[misc]
        low = scores[best][b].range.middle - Decimal(source.interval(best, b))
        high = scores[worst][b].range.middle + Decimal(source.interval(worst, b))
        if low > high:
            apart.append(b)
        lines.append(f"{b} {best} {scores[best][b].text}, {worst} {scores[worst][b].text}")
        facts += [source.cell(best, b).fact, source.cell(worst, b).fact]
    others = [b for b in benchmarks if b not in apart]
    return decide(
        len(apart) > len(benchmarks) / 2,
        f"intervals apart on {len(apart)} of {len(benchmarks)} benchmarks",
        "large: the best and the worst model's printed 95 % intervals do not touch on most benchmarks "
        "that have them",
        f"{'; '.join(lines)}. They touch on {', '.join(others) or 'none'}. MT-Bench and AlpacaEval have "
        "no intervals.",
        facts,
    )


@check
def rows_alike(evidence: Evidence, first: int, second: int, rows: dict[str, str]) -> Outcome:
    """Whether two tables print the same scores for the same runs (``rows``: first label → second)."""
    a, b = evidence.table(first), evidence.table(second)
    wrong, facts = [], []
    for one, other in rows.items():
        for benchmark in BENCHMARKS:
            x, y = a.cell(one, benchmark), b.cell(other, benchmark)
            facts += [x.fact, y.fact]
            if x.range != y.range:
                wrong.append(f"{x.what} {x.text}, {y.text}")
    count = len(rows) * len(BENCHMARKS)
    return decide(
        not wrong,
        f"{count - len(wrong)} of {count} scores agree",
        f"the scores of Tables {first} and {second}, intervals left out",
        f"Different: {'; '.join(wrong)}." if wrong else "All are printed alike.",
        facts,
    )


@check
def table_sum(evidence: Evidence, table: int, column: str, share_of: str, published: str) -> Outcome:
    """The sum of a column, as a percentage of a published fact, against a rounded percentage."""
    source = evidence.table(table)
    cells = [source.cell(row, column) for row in source.rows]
    total = sum((c.range.middle for c in cells), Decimal(0))
    whole = evidence.number(share_of)
    share = total / whole.range.middle * 100
    # "40 %" and "around 40 %" are round figures: to the nearest ten per cent.
    near = abs(share - Decimal(published)) <= 5
    return decide(
        near,
        f"{total:,.0f} of {whole.text} = {show(share, 1)} %",
        "a share that rounds to the published one at the nearest ten per cent",
        f"To the nearest per cent it is {show(share, 0)} %.",
        [*(c.fact for c in cells), whole.fact],
    )


@check
def row_count(evidence: Evidence, table: int, published: int) -> Outcome:
    """How many rows a table has."""
    source = evidence.table(table)
    return decide(
        len(source.rows) == published,
        f"{len(source.rows)} rows",
        "rows of the printed table",
        f"{source.name} has {len(source.rows)} rows; the text gives {published}.",
        [Fact(f"row {n}", row, f"{source.name}.csv", f"row {n}") for n, row in enumerate(source.rows, 1)],
    )


@check
def same_run(evidence: Evidence, first: dict[str, str], second: dict[str, str]) -> Outcome:
    """Whether two tables print the same number (and interval) for one run.

    ``first`` and ``second``: table, row, column.
    """
    cells = []
    for where in (first, second):
        if set(where) != {"table", "row", "column"}:
            raise DataError(f"table, row and column were expected, not {', '.join(where)}")
        cells.append(evidence.table(int(where["table"])).cell(where["row"], where["column"]))
    a, b = cells
    facts = [a.fact, b.fact]
    said = f"Table {first['table']} prints {a.text}; Table {second['table']} prints {b.text}."
    place = ROWS.get(int(second["table"]), {}).get(second["row"])
    if place and evidence.has("workbook"):
        released = evidence.workbook.cell(*place, second["column"])
        facts.append(released.fact)
        said += f" The workbook's value for this run is {released.text}."
    return decide(
        a.text == b.text,
        f"Table {first['table']} {a.text}, Table {second['table']} {b.text}",
        "the same run is printed alike",
        said,
        facts,
    )


@check
def quotient(evidence: Evidence, numerator: str, denominator: str, more_than: int) -> Outcome:
    """Whether two numbers of the text stand in the stated ratio."""
    a, b = printed(numerator), printed(denominator)
    ratio = a.over(b)
    middle = exact(numerator.replace(",", "")).middle / exact(denominator.replace(",", "")).middle
    return decide(
        ratio.low > more_than,
        f"{numerator} / {denominator} = {show(middle, 2)}",
        "ratio of the two printed rates",
        f"The ratio is {'more' if ratio.low > more_than else 'not more'} than {more_than}. "
        "The rates themselves need the generation logs, which were not released.",
        [
            Fact("numerator", numerator, "paper", "section 2.2"),
            Fact("denominator", denominator, "paper", "section 2.2"),
        ],
    )


@check
def transcripts(
    evidence: Evidence, models: int, conversations: int, turns: list[int], at_least: int
) -> Outcome:
    """Whether the stated models, conversations and turns make the stated number of transcripts.

    Counted in conversations, and else in turns (``turns``: the least and the most per conversation).
    """
    whole = models * conversations
    low, high = whole * turns[0], whole * turns[1]
    facts = [
        Fact("models", str(models), "paper", "section 2.2"),
        Fact("conversations of each", f"{conversations:,}", "paper", "section 1, contribution 1"),
        Fact("turns per conversation", f"{turns[0]} to {turns[1]}", "paper", "section 1, contribution 1"),
    ]
    computed = f"{whole:,} conversations; {low:,} to {high:,} turns"
    if whole >= at_least:
        return Outcome("reproduced", computed, "transcripts of conversations", "As many as stated.", facts)
    if high >= at_least:
        return Outcome(
            "reproduced_otherwise",
            computed,
            "turns, counting each model's every answer",
            f"{models} models with {conversations:,} conversations each make {whole / 1e6:g} million. "
            f"{at_least / 1e6:g} million is within the range of the turns in them.",
            facts,
        )
    return Outcome("contradicted", computed, "conversations, or turns", "Fewer than stated.", facts)


@check
def multiple(evidence: Evidence, times: int, size: str, others: list[str]) -> Outcome:
    """Whether ``times`` models, each with ``size`` conversations, exceed 50 times the other data sets."""
    ours = Decimal(times) * evidence.number(size).range.middle
    cells = [evidence.number(name) for name in others]
    largest = max(c.range.middle for c in cells)
    ratio = ours / largest
    return decide(
        ratio > 50,
        f"{times} models: {show(ratio, 1)} times the conversations of the larger one",
        "conversations, each model having answered as many as WildChat-1M has",
        "Whether each model did answer them all needs the released data sets, which this study does not "
        f"hold. With the 50 models that the introduction names the ratio is {show(ratio * 50 / times, 1)}.",
        [evidence.number(size).fact, *(c.fact for c in cells)],
    )

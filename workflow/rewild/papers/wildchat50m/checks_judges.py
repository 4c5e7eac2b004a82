"""Claims about the judge's preferences and words: Table 4, figures 3 and 4."""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, Decimal

from rewild.audit.checks import check
from rewild.audit.evidence import Cell
from rewild.audit.numbers import agrees, show
from rewild.audit.outcome import Fact, Outcome, Verdict, decide
from rewild.core.errors import DataError
from rewild.papers.wildchat50m.evidence import Evidence
from rewild.papers.wildchat50m.runs import ROWS, TRUNCATED

TURNS = 80
WISHES = re.compile(r"\b(could|would|should|might|may|needs?|needed|improv\w+|enhanc\w+|benefit\w*)\b")
MODELS = ("L8B : L70", "L8B : Q72", "L70 : None", "Q72 : None")
OVER = {
    "L8B : L70": "PrefRt-L8L",
    "L8B : Q72": "PrefRt-L8Q",
    "L70 : None": "PrefRt-L70B",
    "Q72 : None": "PrefRt-Q72B",
}


@check
def rates_are_counts(evidence: Evidence, turns: int) -> Outcome:
    """Every preference rate of Table 4 is a whole number of ``turns``, and no pair exceeds 100 %."""
    table = evidence.table(4)
    facts, wrong, sums = [], [], []
    for row in MODELS:
        for other, column in OVER.items():
            if other == row:
                continue
            cell = table.cell(row, column)
            count = cell.range.middle * turns / 100
            facts.append(
                Fact(cell.what, f"{cell.text} % = {show(count, 2)} of {turns}", cell.source, cell.place)
            )
            if count != count.to_integral_value():
                wrong.append(cell.what)
    for i, a in enumerate(MODELS):
        for b in MODELS[i + 1 :]:
            total = table.cell(a, OVER[b]).range.middle + table.cell(b, OVER[a]).range.middle
            sums.append(f"{a} / {b}: {100 - total:f} % ties")
            if total > 100:
                wrong.append(f"{a} and {b}")
    return decide(
        not wrong,
        f"{len(facts) - len(wrong)} of {len(facts)} rates are whole counts",
        f"rate × {turns} / 100 is whole; the two rates of a pair add up to at most 100",
        "; ".join(sums) + ".",
        facts,
    )


@check
def preference_counts(evidence: Evidence) -> Outcome:
    """The two rates between the SFT models, counted in the released judgments."""
    rows, table = evidence.preferences, evidence.table(4)
    qwen = sum(int(r["score_qwen"]) > int(r["score_llama"]) for r in rows)
    llama = sum(int(r["score_qwen"]) < int(r["score_llama"]) for r in rows)
    a, b = table.cell("L8B : Q72", "PrefRt-L8L"), table.cell("L8B : L70", "PrefRt-L8Q")
    rates = [Decimal(n) * 100 / TURNS for n in (qwen, llama)]
    holds = agrees(rates[0], a.text) and agrees(rates[1], b.text)
    name = evidence.path("preferences").name
    return decide(
        holds,
        f"L8B : Q72 {qwen} of {TURNS} = {rates[0]:f} %; L8B : L70 {llama} of {TURNS} = {rates[1]:f} %",
        f"higher score wins; {TURNS} turns, those not in the file counted as ties",
        f"The file holds {len(rows)} questions, all with different scores; the other {TURNS - len(rows)} "
        "are ties.",
        [
            a.fact,
            b.fact,
            Fact("rows in which score_qwen > score_llama", str(qwen), name, "score_qwen, score_llama"),
            Fact("rows in which score_qwen < score_llama", str(llama), name, "score_qwen, score_llama"),
        ],
    )


@check
def score_difference(evidence: Evidence) -> Outcome:
    """The difference of the two SFT models' mean scores, by the judgments, by Table 4 and by Table 7."""
    rows = evidence.preferences
    total = sum(int(r["score_qwen"]) - int(r["score_llama"]) for r in rows)
    difference = Decimal(total) / TURNS
    four, seven = evidence.table(4), evidence.table(7)
    cells = [four.cell("L8B : Q72", "MTBench"), four.cell("L8B : L70", "MTBench")]
    others = [seven.cell("L8B : Q72 (500k)", "MTBench"), seven.cell("L8B : L70 (500k)", "MTBench")]
    stated = cells[0].range.middle - cells[1].range.middle
    in_seven = others[0].range.middle - others[1].range.middle
    name = evidence.path("preferences").name
    facts = [
        *(c.fact for c in (*cells, *others)),
        Fact("sum of score_qwen", str(sum(int(r["score_qwen"]) for r in rows)), name, "score_qwen"),
        Fact("sum of score_llama", str(sum(int(r["score_llama"]) for r in rows)), name, "score_llama"),
    ]
    computed = f"{total} / {TURNS} = {show(difference)}; Table 4 {stated:f}, Table 7 {in_seven:f}"
    definition = "sum of score differences over the 80 turns, ties being 0, divided by 80"
    said = "The judgments of the 80 turns give another difference than either table."
    if abs(difference - stated) <= Decimal("0.01"):
        return Outcome("reproduced", computed, definition, "The difference follows.", facts)
    if evidence.has("workbook"):
        own = evidence.workbook.cell(*ROWS[7]["L8B : L70 (500k)"], "MTBench")
        cut = evidence.workbook.cell("SFT", TRUNCATED, "MTBench")
        if agrees(cut.range, cells[0].text) and _cut_or_rounded(own, cells[1].text):
            return Outcome(
                "reproduced_otherwise",
                computed,
                f"the two runs' MT-Bench scores in the workbook ({cut.text} and {own.text}), not those of "
                "the 80 turns",
                f"{said} MT-Bench has two turns per question; the released judgments are of one.",
                [*facts, cut.fact, own.fact],
            )
    return Outcome("contradicted", computed, definition, said, facts)


def _cut_or_rounded(cell: Cell, printed: str) -> bool:
    """Whether a number is printed rounded, or cut off at the printed digits."""
    return agrees(cell.range, printed) or (
        str(cell.range.low.quantize(Decimal(printed), rounding=ROUND_DOWN)) == printed
    )


@check
def third_model_rates(evidence: Evidence, third: str) -> Outcome:
    """Table 4's rates of ``third`` against the two fine-tuned models, as far as released scores go.

    Where the two fine-tuned models tie, the third fares alike against both: so the difference between
    its two rates is determined, and each rate has bounds.
    """
    table, pages = evidence.table(4), evidence.page_scores
    scores = {r["question_id"]: r for r in evidence.preferences}
    open_ = TURNS - len(scores)
    columns = {"L8B : L70": "score_llama", "L8B : Q72": "score_qwen"}
    facts, lines, wrong = [], [], []
    for preferred in (True, False):
        known, cells = {}, {}
        for model, column in columns.items():
            wins = 0
            for question, row in scores.items():
                if question not in pages:
                    raise DataError(f"{evidence.path('pages')}: no page of question {question}")
                apart = pages[question].range.low - Decimal(row[column])
                wins += apart > 0 if preferred else apart < 0
            known[model] = wins
            cell = table.cell(third, OVER[model]) if preferred else table.cell(model, OVER[third])
            cells[model] = cell
            count = cell.range.middle * TURNS / 100
            facts += [
                cell.fact,
                Fact("turns determined", str(wins), "preferences, pages", f"of {len(scores)}"),
            ]
            if not wins <= count <= wins + open_:
                wrong.append(f"{cell.what}: {count:f} turns, but {wins} to {wins + open_} are possible")
        a, b = columns
        published = (cells[a].range.middle - cells[b].range.middle) * TURNS / 100
        computed = known[a] - known[b]
        way = "preferred over" if preferred else "passed over for"
        lines.append(
            f"{third} {way} {a} less {way} {b}: {computed} turns, published {published.normalize():f}"
        )
        if computed != published:
            wrong.append(lines[-1])
    said = (
        f"The scores of both fine-tuned models are released for {len(scores)} of {TURNS} turns; on the "
        "others they tie."
    )
    if wrong:
        return Outcome(
            "contradicted", "; ".join(lines), "turns by the released scores", "; ".join(wrong), facts
        )
    return Outcome(
        "reproduced_otherwise",
        "; ".join(lines),
        "the difference between the third model's two rates, which alone the released scores determine",
        f"{said} Each single rate lies within the bounds that they leave.",
        facts,
    )


@check
def page_mean(evidence: Evidence, row: str) -> Outcome:
    """The mean of the judge's scores on the released pages, against Table 4.

    The pages are of first turns. A table's score over both turns is possible if it leaves the second turns a
    mean that the scale, 1 to 10, allows: then the pages do not decide.
    """
    scores = evidence.page_scores
    cell = evidence.table(4).cell(row, "MTBench")
    average = sum((c.range.low for c in scores.values()), Decimal(0)) / len(scores)
    second = 2 * cell.range.middle - average
    tally: dict[str, int] = {}
    for c in scores.values():
        tally[c.text] = tally.get(c.text, 0) + 1
    verdict: Verdict = "contradicted"
    said = "Neither the first turns alone nor any scores of the second turns give the printed mean."
    if agrees(average, cell.text):
        verdict, said = "reproduced", "The mean follows."
    elif 1 <= second <= 10:
        verdict = "not_testable"
        said = (
            f"The released pages are of the first turns and do not average {cell.text}. Both turns of each "
            f"question do if the second turns, which were not released, average {show(second, 2)}."
        )
    return Outcome(
        verdict,
        f"{show(average)} over {len(scores)} first turns; Table 4 prints {cell.text}",
        "mean of the scores on the released pages",
        said,
        [
            cell.fact,
            *(
                Fact(f"pages with score {s}", str(n), "judged pages", "score")
                for s, n in sorted(tally.items())
            ),
        ],
    )


@check
def score_of_run(evidence: Evidence, row: str, run: str, judged: str | None = None) -> Outcome:
    """Table 4's MT-Bench of a 500k model against Table 7's, and the workbook's 500k runs with that score.

    ``judged``: the fact that names the run whose judgments were laid out.
    """
    note = evidence.note(judged) if judged else None
    four = evidence.table(4).cell(row, "MTBench")
    seven = evidence.table(7).cell(run, "MTBench")
    computed, facts = f"Table 4 {four.text}, Table 7 {seven.text}", [four.fact, seven.fact]
    said = f"Table 4 prints {four.text}, Table 7 prints {seven.text} for {run}."
    if four.text == seven.text or not evidence.has("workbook"):
        return decide(four.text == seven.text, computed, "the same number in both tables", said, facts)
    book = evidence.workbook
    own = book.cell(*ROWS[7][run], "MTBench")
    facts.append(own.fact)
    if agrees(own.range, seven.text) and _cut_or_rounded(own, four.text):
        how = f"the workbook's {own.text}, cut off after two digits in Table 4 and rounded in Table 7"
        return Outcome("reproduced_otherwise", computed, how, said, facts)
    variants = [
        book.cell("SFT", label, "MTBench")
        for label in book.labels("SFT")
        if label.startswith(f"{ROWS[7][run][1]}-") and book.has("SFT", label, "MTBench")
    ]
    like = [cell for cell in variants if agrees(cell.range, four.text)]
    facts += [cell.fact for cell in like]
    said += f" The workbook has {own.text} for it."
    if not like:
        said += f" None of its other runs on as many of these responses has {four.text}."
        return Outcome("contradicted", computed, "the same number in both tables", said, facts)
    named = " and ".join(f"{c.what.partition(',')[0]} ({c.text})" for c in like)
    said += f" {four.text} is the score of {named}."
    if note:
        facts.append(note)
        said += f" The released notebook that lays out the judged answers names {note.value}."
    return Outcome(
        "reproduced_otherwise",
        computed,
        f"another run on 500k conversations: {named}",
        f"{said} The labels do not tell the runs apart.",
        facts,
    )


@check
def order_in_table4(evidence: Evidence, better: str, worse: str) -> Outcome:
    """One model is above another in Table 4, by MT-Bench score and by preference rate between the two."""
    table = evidence.table(4)
    scores = [table.cell(m, "MTBench") for m in (better, worse)]
    rates = [table.cell(better, OVER[worse]), table.cell(worse, OVER[better])]
    holds = [a.range.middle > b.range.middle for a, b in (scores, rates)]
    return decide(
        all(holds),
        f"MT-Bench {scores[0].text} and {scores[1].text}; preferred {rates[0].text} % and {rates[1].text} %",
        "higher mean score, and preferred more often than the other way round",
        f"By score {'yes' if holds[0] else 'no'}, by preference {'yes' if holds[1] else 'no'}.",
        [c.fact for c in (*scores, *rates)],
    )


@check
def similar_improvement(evidence: Evidence, metric: str, tolerance: float) -> Outcome:
    """Whether Q72 over L70 and L8B : Q72 over L8B : L70 are improvements by a similar proportion.

    ``metric``: score, or preference. The paper gives no tolerance; the claim file does.
    """
    table = evidence.table(4)
    pairs = (("L8B : Q72", "L8B : L70"), ("Q72 : None", "L70 : None"))
    cells = [
        (table.cell(a, "MTBench"), table.cell(b, "MTBench"))
        if metric == "score"
        else (table.cell(a, OVER[b]), table.cell(b, OVER[a]))
        for a, b in pairs
    ]
    ratios = [a.range.middle / b.range.middle for a, b in cells]
    apart = max(ratios) / min(ratios) - 1
    computed = (
        f"fine-tuned {show(ratios[0], 3)}, source models {show(ratios[1], 3)}: {show(apart * 100, 0)} % apart"
    )
    facts = [c.fact for pair in cells for c in pair]
    definition = f"the two ratios within {tolerance * 100:g} % of each other"
    said = "The paper gives no measure of similar; this tolerance is ours."
    if metric == "preference":
        from scipy.stats import fisher_exact

        counts = [[int(c.range.middle * TURNS / 100) for c in pair] for pair in cells]
        p = float(fisher_exact(counts).pvalue)
        said += (
            f" Of decided turns {counts[0][0]} : {counts[0][1]} and {counts[1][0]} : {counts[1][1]}; "
            f"Fisher's exact test gives p = {show(p, 2)}."
        )
        if apart > Decimal(str(tolerance)) and p > 0.05:
            said += " So few turns show neither likeness nor difference."
            return Outcome(
                "not_testable", computed, f"{definition}, or apart by more than chance", said, facts
            )
    return decide(apart <= Decimal(str(tolerance)), computed, definition, said, facts)


@check
def flips(evidence: Evidence, row: str, published: int, at_most: float) -> Outcome:
    """The flip count of a model, and whether it is rare (at most a share ``at_most`` of the turns)."""
    cell = evidence.table(4).cell(row, "FlipCt")
    share = cell.range.middle / TURNS
    facts = [cell.fact]
    if evidence.has("workbook"):
        labels = {"L70 : None": "Llama 3.3-70B", "Q72 : None": "Qwen 2.5-72B"}
        released = evidence.workbook.cell("why_qwen_better", labels[row], "FlipCt")
        facts.append(released.fact)
    return decide(
        cell.range.middle == published and share <= Decimal(str(at_most)),
        f"{cell.text} of {TURNS} = {show(share * 100, 1)} %",
        f"the number in Table 4; rare: at most {at_most * 100:g} % of the turns",
        "The count agrees with the table and the sheet, where it is typed in; the judgments of L70 : None, "
        "from which it could be counted again, were not among the released files here.",
        facts,
    )


@check
def qwen_preferred(evidence: Evidence) -> Outcome:
    """In every pair of a Qwen and a Llama model of the same kind, the Qwen one is preferred more often."""
    table = evidence.table(4)
    pairs = (("L8B : Q72", "L8B : L70"), ("Q72 : None", "L70 : None"))
    cells = [(table.cell(a, OVER[b]), table.cell(b, OVER[a])) for a, b in pairs]
    return decide(
        all(a.range.middle > b.range.middle for a, b in cells),
        "; ".join(f"{a.text} % against {b.text} %" for a, b in cells),
        "preferred more often than the other way round, among the fine-tuned and among the source models",
        "Against the larger source models both fine-tuned models are preferred less often.",
        [c.fact for pair in cells for c in pair],
    )


@check
def word_more_common(evidence: Evidence, word: str, model: str) -> Outcome:
    """In how many judgments of each model a word occurs, and a paired test over questions."""
    found = evidence.named_word(word, model)
    own, other = ("n_llama", "n_qwen") if model == "L8B : L70" else ("n_qwen", "n_llama")
    p = float(found["p"])
    name = evidence.path("named_words").name
    said = (
        "The difference is more than chance explains"
        if p < 0.05
        else "Chance alone could explain the difference"
    )
    said += f" (exact McNemar test over questions, p = {show(p, 3)}, not adjusted for the number of words)."
    return decide(
        found[own] > found[other],
        f"{found[own]} judgments of {model}, {found[other]} of the other",
        "judgments that hold the word, each counted once, negations apart; more for the named model",
        said,
        [
            Fact(f"'{word}', {key}", str(found[key]), name, f"row {word}")
            for key in ("n_llama", "n_qwen", "only_llama", "only_qwen")
        ],
    )


@check
def word_in_wish(evidence: Evidence, word: str, model: str) -> Outcome:
    """Of the judgments of a model that hold a word, how many hold it in a sentence that wishes for it.

    Such a sentence has a word like could, would or improve (:data:`WISHES`).
    """
    column = "judgment_llama" if model == "L8B : L70" else "judgment_qwen"
    holds = re.compile(rf"\b{re.escape(word)}\b")
    held = wished = 0
    for row in evidence.preferences:
        sentences = [s for s in re.split(r"(?<=[.!?])\s+", row[column].lower()) if holds.search(s)]
        held += bool(sentences)
        wished += any(WISHES.search(s) for s in sentences)
    name = evidence.path("preferences").name
    return decide(
        wished > held / 2,
        f"{wished} of {held} judgments",
        "most judgments with the word have it in a sentence with could, would, should, might, may, need, "
        "improve, enhance or benefit",
        "Sentences were counted, not read.",
        [
            Fact(f"judgments of {model} with '{word}'", str(held), name, column),
            Fact("of these, in such a sentence", str(wished), name, column),
        ],
    )


@check
def size_in_label(evidence: Evidence, table: int, rows: list[str], size: str) -> Outcome:
    """Whether labels of models trained on another number of conversations than 250k name it."""
    source = evidence.table(table)
    found = [row for row in source.rows if any(row.startswith(r) for r in rows)]
    named = [row for row in found if size in row]
    return decide(
        bool(found) and len(named) == len(found),
        f"{len(named)} of {len(found)} labels name {size}",
        f"the labels in Table {table} of models fine-tuned on {size} conversations say so",
        f"Section 3.3 gives {size} for {' and '.join(found)}. Table 7 writes ({size}).",
        [Fact("row label", row, f"{source.name}.csv", f"row {row}") for row in found],
    )


@check
def negations_rare(evidence: Evidence, at_most: float) -> Outcome:
    """The share of negated words among all counted word occurrences (word by judgment)."""
    negated, total, listed = evidence.negated_words()
    share = negated / total
    return decide(
        share <= at_most,
        f"{negated} of {total} occurrences = {show(100 * share, 1)} %",
        f"negated occurrences at most {at_most * 100:g} % of all, words that occur in at least three "
        "judgments",
        f"Negated words that are counted: {', '.join(listed) or 'none'}.",
        [
            Fact("negated occurrences", str(negated), "words.csv", "negated = true"),
            Fact("all occurrences", str(total), "words.csv", "n_llama + n_qwen"),
        ],
    )


@check
def leaderboard_tie(
    evidence: Evidence, models: dict[str, str], sheet_rows: dict[str, int], within: float
) -> Outcome:
    """Whether two models are on AlpacaEval's leaderboard, and within ``within`` points of each other.

    ``models``: abbreviation → the name it would have there; ``sheet_rows``: the workbook's rows of them.
    """
    board = evidence.leaderboard
    present = {short: name for short, name in models.items() if name in board}
    facts: list[Fact] = []
    used = {}
    if evidence.has("workbook"):
        for label, number in sheet_rows.items():
            cell = evidence.workbook.cell("SFT", number, "AlpacaEval")
            facts.append(cell.fact)
            used[label] = cell
    like = [
        (name, cell) for name, cell in board.items() if any(agrees(cell.range, u.text) for u in used.values())
    ]
    facts += [cell.fact for _, cell in like]
    absent = [f"{short} ({name})" for short, name in models.items() if short not in present]
    if absent:
        said = f"This snapshot of the leaderboard has no entry for {' or '.join(absent)}."
        if like:
            said += (
                f" The workbook has {next(iter(used.values())).text} for {' and '.join(used)}, which in the "
                "snapshot is the rounded score of "
                + ", ".join(f"{name} ({show(c.range, 2)})" for name, c in like)
                + "."
            )
        return Outcome(
            "not_testable",
            f"{len(present)} of {len(models)} models are listed",
            "length-controlled win rate on the published leaderboard, at the pinned commit",
            said,
            facts
            or [Fact(n, "no entry", evidence.path("leaderboard").name, "column 1") for n in models.values()],
        )
    values = [board[name].range.middle for name in present.values()]
    apart = max(values) - min(values)
    facts += [board[name].fact for name in present.values()]
    return decide(
        apart <= Decimal(str(within)),
        f"{show(apart, 2)} points apart",
        f"within {within} points on the published leaderboard",
        "Both are listed.",
        facts,
    )

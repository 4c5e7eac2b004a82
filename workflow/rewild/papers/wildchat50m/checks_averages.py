"""Claims about averages over benchmarks: the tables' Avg columns, figure 1, figure 2."""

from __future__ import annotations

from decimal import Decimal

from rewild.audit.checks import check
from rewild.audit.numbers import Range, agrees, mean, show
from rewild.audit.outcome import Fact, Outcome, Verdict, decide
from rewild.core.errors import DataError
from rewild.papers.wildchat50m.evidence import BENCHMARKS, Evidence
from rewild.papers.wildchat50m.runs import (
    DEFINED,
    DEFINITIONS,
    SIZES,
    Scores,
    average,
    facts_of,
    rewild_scores,
    scaling_scores,
    table_scores,
    unit,
)


@check
def avg_column(evidence: Evidence, table: int, stated: str) -> Outcome:
    """Which definition of the average reproduces a table's Avg column. ``stated``: the paper's own."""
    scores = table_scores(evidence, table)
    source = evidence.table(table)
    rows = {row: source.cell(row, "Avg") for row in scores}
    agreed = {
        name: [row for row in rows if agrees(average(scores[row], name), rows[row].text)]
        for name in DEFINITIONS
    }
    facts = [rows[row].fact for row in rows]
    facts += [
        Fact(f"{row}, mean of {name}", show(average(scores[row], name)), "computed", DEFINED[name])
        for row in rows
        for name in DEFINITIONS
    ]
    first = next(iter(ROWS_WITH_FORMULA.get(table, [])), None)
    if first and evidence.has("workbook"):
        facts.append(evidence.workbook.formula(*first))
    computed = "; ".join(f"{name}: {len(ok)} of {len(rows)} rows agree" for name, ok in agreed.items())
    if len(agreed[stated]) == len(rows):
        return Outcome("reproduced", computed, DEFINED[stated], "Every Avg is the average as defined.", facts)
    others = [name for name, ok in agreed.items() if len(ok) == len(rows)]
    if others:
        wrong = ", ".join(row for row in rows if row not in agreed[stated])
        return Outcome(
            "reproduced_otherwise",
            computed,
            DEFINED[others[0]],
            "Every Avg follows from this average. The one that section 3.1 defines gives other numbers "
            f"for {wrong}.",
            facts,
        )
    return Outcome("contradicted", computed, DEFINED[stated], "No definition gives every Avg.", facts)


ROWS_WITH_FORMULA = {6: [("approx_on_policy", "K2")], 7: [("SFT", "K30")]}


def _best(averages: dict[str, Range]) -> str:
    return max(averages, key=lambda name: averages[name].middle)


def _table(averages: dict[str, Range], what: str) -> list[Fact]:
    return [Fact(f"{name}, {what}", show(value), "computed", what) for name, value in averages.items()]


@check
def rewild_leads(evidence: Evidence, over: list[str], benchmarks: list[str] | None = None) -> Outcome:
    """Whether Re-Wild's mean over ``benchmarks`` (default: all nine) is above that of each of ``over``."""
    chosen = tuple(benchmarks or BENCHMARKS)
    scores = rewild_scores(evidence)
    means = {
        name: mean([unit(scores[name][b], b) for b in chosen])
        for name in scores
        if name in ["Re-Wild", *over]
    }
    if unknown := [name for name in over if name not in scores]:
        raise DataError(f"no baseline '{unknown[0]}' (there are: {', '.join(scores)})")
    facts = [f for name in means for f in facts_of(scores[name], chosen)]
    firsts = [b for b in chosen if _best({n: scores[n][b].range for n in means}) == "Re-Wild"]
    others = [b for b in chosen if b not in firsts]
    explanation = f"Re-Wild is first on {len(firsts)} of the {len(chosen)}: {', '.join(firsts) or 'none'}."
    if others:
        explanation += f" It is not on {', '.join(others)}."
    if not benchmarks:
        sevens = {name: average(scores[name], "seven") for name in means}
        lead = "leads" if _best(sevens) == "Re-Wild" else "does not lead"
        explanation += (
            f" Over the workbook's seven benchmarks it {lead} too: "
            + ", ".join(f"{n} {show(v)}" for n, v in sevens.items())
            + "."
        )
    return decide(
        _best(means) == "Re-Wild" and sum(v == means["Re-Wild"] for v in means.values()) == 1,
        ", ".join(f"{name} {show(value)}" for name, value in means.items()),
        f"mean of {', '.join(chosen)} on a 0–1 scale" if benchmarks else DEFINED["nine"],
        explanation,
        facts,
    )


@check
def rewild_beats_each(evidence: Evidence, over: str) -> Outcome:
    """On how many of nine benchmarks Re-Wild beats a baseline; the claim holds if on more than half."""
    scores = rewild_scores(evidence)
    wins = [b for b in BENCHMARKS if scores["Re-Wild"][b].range.low > scores[over][b].range.high]
    return decide(
        len(wins) > len(BENCHMARKS) / 2,
        f"better on {len(wins)} of {len(BENCHMARKS)}",
        "a majority of the nine benchmarks, intervals not considered",
        f"Re-Wild is better on {', '.join(wins)}; {over} is better or equal on "
        f"{', '.join(b for b in BENCHMARKS if b not in wins)}.",
        [*facts_of(scores["Re-Wild"]), *facts_of(scores[over])],
    )


@check
def dgm_alone_beats_mixes(evidence: Evidence, row: str, over: list[str]) -> Outcome:
    """Whether L8B : ``row`` (250k, no curation) has a higher average than curated SFT mixes."""
    scores: dict[str, Scores] = {row: table_scores(evidence, 2)[row]}
    released = rewild_scores(evidence)
    scores |= {name: released[name] for name in over}
    leads = {}
    for name in ("nine", "seven"):
        averages = {run: average(s, name) for run, s in scores.items()}
        leads[name] = _best(averages) == row
    nine = {run: average(s, "nine") for run, s in scores.items()}
    seven = {run: average(s, "seven") for run, s in scores.items()}
    shown = "; ".join(f"{run}: nine {show(nine[run])}, seven {show(seven[run])}" for run in scores)
    facts = [f for s in scores.values() for f in facts_of(s)]
    return decide(
        leads["nine"],
        shown,
        DEFINED["nine"],
        f"Over nine benchmarks L8B : {row} {'leads' if leads['nine'] else 'does not lead'}; over the "
        "workbook's "
        f"seven, without MT-Bench and AlpacaEval, it {'leads' if leads['seven'] else 'does not lead'}.",
        facts,
    )


def _rises(averages: dict[str, Range]) -> bool:
    values = [averages[size].middle for size in SIZES]
    return values[0] < values[1] < values[2]


def _scaling(
    evidence: Evidence, dgms: list[str], name: str
) -> tuple[dict[str, dict[str, Range]], list[Fact]]:
    found: dict[str, dict[str, Range]] = {}
    facts: list[Fact] = []
    for dgm in dgms:
        runs = scaling_scores(evidence, dgm)
        found[dgm] = {size: average(scores, name) for size, scores in runs.items()}
        facts += [f for scores in runs.values() for f in facts_of(scores, DEFINITIONS[name])]
    return found, facts


def _series(found: dict[str, dict[str, Range]]) -> str:
    return "; ".join(f"{dgm} " + ", ".join(show(v[s]) for s in SIZES) for dgm, v in found.items())


@check
def scaling_rises(evidence: Evidence, dgms: list[str], at_least: int) -> Outcome:
    """Whether the average rises at every step 100k, 250k, 500k for ``at_least`` of the models."""
    results = {name: _scaling(evidence, dgms, name) for name in ("nine", "seven")}
    rising = {name: [d for d in dgms if _rises(found[d])] for name, (found, _) in results.items()}
    computed = " | ".join(f"{name}: {_series(found)}" for name, (found, _) in results.items())
    facts = results["nine"][1]
    nine, seven = len(rising["nine"]) >= at_least, len(rising["seven"]) >= at_least
    said = (
        f"The average rises at both steps for {', '.join(rising['nine']) or 'none'} as defined in section "
        f"3.1 (nine benchmarks), and for {', '.join(rising['seven']) or 'none'} over the workbook's seven."
    )
    if nine:
        return Outcome("reproduced", computed, DEFINED["nine"], said, facts)
    if seven:
        return Outcome("reproduced_otherwise", computed, DEFINED["seven"], said, facts)
    return Outcome("contradicted", computed, DEFINED["nine"], said, facts)


@check
def scaling_tapers(evidence: Evidence, dgm: str, others: list[str]) -> Outcome:
    """Whether ``dgm`` gains least from 100k to 500k, and less in the second step than in the first."""
    results = {}
    for name in ("nine", "seven"):
        found, facts = _scaling(evidence, [dgm, *others], name)
        gains = {d: v["500k"].middle - v["100k"].middle for d, v in found.items()}
        first = found[dgm]["250k"].middle - found[dgm]["100k"].middle
        second = found[dgm]["500k"].middle - found[dgm]["250k"].middle
        results[name] = (gains[dgm] == min(gains.values()) and second < first, gains, facts)
    holds, gains, facts = results["nine"]
    computed = " | ".join(
        f"gain 100k to 500k, {name}: " + ", ".join(f"{d} {show(g)}" for d, g in r[1].items())
        for name, r in results.items()
    )
    said = f"{dgm} gains least and its second step is smaller than its first: {'yes' if holds else 'no'} "
    said += f"over nine benchmarks, {'yes' if results['seven'][0] else 'no'} over the workbook's seven."
    return decide(holds, computed, DEFINED["nine"], said, facts)


@check
def figure2_average(evidence: Evidence) -> Outcome:
    """Which average the workbook's sheet for figure 2 (``scale_ablation``) holds."""
    book = evidence.workbook
    facts: list[Fact] = []
    agreed: dict[str, int] = dict.fromkeys(DEFINITIONS, 0)
    total = 0
    rows = iter(range(2, 14))
    for size in SIZES:
        for dgm in ("GPT", "L8I", "L70", "Q72"):
            cell = book.cell("scale_ablation", next(rows), "Avg")
            scores = scaling_scores(evidence, dgm)[size]
            total += 1
            facts.append(Fact(f"{dgm} {size}, Avg", cell.text, cell.source, cell.place))
            for name in DEFINITIONS:
                value = average(scores, name)
                agreed[name] += agrees(value, f"{cell.range.low:.3f}")
                facts.append(Fact(f"{dgm} {size}, {name}", show(value), "computed", DEFINED[name]))
    computed = "; ".join(f"{name}: {count} of {total} points agree" for name, count in agreed.items())
    if agreed["nine"] == total:
        return Outcome(
            "reproduced", computed, DEFINED["nine"], "The points are the average as captioned.", facts
        )
    if agreed["seven"] == total:
        return Outcome(
            "reproduced_otherwise",
            computed,
            DEFINED["seven"],
            "The sheet's points are the mean of seven benchmarks; the caption names nine.",
            facts,
        )
    return Outcome("contradicted", computed, DEFINED["nine"], "No definition gives every point.", facts)


def least_half_width(evidence: Evidence, benchmarks: tuple[str, ...]) -> Decimal:
    """Half-width of a 95 % interval of an average, from the printed intervals of Table 2's row Q72.

    Benchmarks without an interval count as exact, so that the true one is wider.
    """
    table = evidence.table(2)
    squares = [Decimal(table.interval("Q72", b)) ** 2 for b in benchmarks if ("Q72", b) in table.intervals]
    return sum(squares, Decimal(0)).sqrt() / len(benchmarks)


@check
def scaling_peak(evidence: Evidence, dgms: list[str]) -> Outcome:
    """Whether every model's average is highest at the largest size.

    A fall smaller than the interval of one average decides nothing.
    """
    lines: list[str] = []
    falls: dict[str, dict[str, Decimal]] = {}
    facts: list[Fact] = []
    for name in ("nine", "seven"):
        found, own = _scaling(evidence, dgms, name)
        facts = facts or own
        peaks = {d: max(SIZES, key=lambda s, v=v: v[s].middle) for d, v in found.items()}  # type: ignore[misc]
        falls[name] = {
            d: found[d][size].middle - found[d][SIZES[-1]].middle
            for d, size in peaks.items()
            if size != SIZES[-1]
        }
        lines.append(f"{name}: " + ", ".join(f"{d} peaks at {s}" for d, s in peaks.items()))
    width = least_half_width(evidence, DEFINITIONS["nine"])
    facts = [*facts, Fact("half-width of an average", show(width), "computed", "Table 2, row Q72, intervals")]
    verdict: Verdict = "reproduced"
    if falls["nine"]:
        verdict = "contradicted" if max(falls["nine"].values()) > width else "not_testable"
    said = (
        "After its highest point the average over nine benchmarks falls for "
        + (", ".join(f"{d} by {show(fall)}" for d, fall in falls["nine"].items()) or "no model")
        + "; over the workbook's seven for "
        + (", ".join(f"{d} by {show(fall)}" for d, fall in falls["seven"].items()) or "no model")
        + f". An average is uncertain by ±{show(width, 3)} at least: where a fall is smaller, one run of "
        "each size cannot tell a limit from chance."
    )
    definition = (
        f"the highest average is at {SIZES[-1]} for every model, or the fall after it exceeds an average's "
        f"interval; {DEFINED['nine']}"
    )
    return Outcome(verdict, " | ".join(lines), definition, said, facts)

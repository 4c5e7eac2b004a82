"""The key findings of section 3.2 (and the preferences of 3.3) as statements about a study's own runs.

Each statement is computed, with its uncertainty; what a study lacks runs for says so, and what is missing.
The intervals are over items (:mod:`rewild.evaluation.scores.bootstrap`): they say what other questions
would have given, not what other training runs would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np

from rewild.config.mixes import size_name
from rewild.config.roster import Entry
from rewild.evaluation.scores.bootstrap import Comparison, Estimate
from rewild.report.findings import answers, leaders
from rewild.report.findings.answers import name_of
from rewild.report.findings.grounds import Finding, Grounds, Number, listed, needs, show, verdict_of
from rewild.report.findings.select import baseline_runs, blends, dgm_runs, lead_run, pair_of, scaled

Make = Callable[[Grounds, Finding], Finding]
SMALL = 10
"""Billions of parameters below which the paper calls a model small, where it compares teachers."""
_MADE: list[tuple[Finding, Make]] = []


def _finding(id: str, title: str, place: str, paper: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        _MADE.append((Finding(id, title, place, paper), make))
        return make

    return register


def state_findings(grounds: Grounds) -> list[Finding]:
    """Every finding, in the paper's order."""
    return [make(grounds, blank) for blank, make in _MADE]


@_finding(
    "mixture",
    "Does the mixture beat strong baselines?",
    "Section 3.2, first finding; Figure 1",
    "Re-Wild outperforms Tulu 3 SFT, Magpie Align and Ultrachat on average, above all in chat and in "
    "following instructions, on judged and on ground-truth benchmarks.",
)
def _mixture(grounds: Grounds, blank: Finding) -> Finding:
    lead = lead_run(grounds.roster, grounds.scored, grounds.settings)
    others = [e for e in baseline_runs(grounds.roster, grounds.scored, grounds.settings) if e != lead]
    if lead is None or not others:
        lacks = [
            *([] if lead else ["scores of a run on a mix of several kinds of sources (or findings.lead)"]),
            *(
                []
                if others
                else ["scores of baseline models (runs of them as they are, or findings.baselines)"]
            ),
        ]
        return needs(blank, " and ".join(lacks))
    comparison = grounds.compare([lead, *others])
    if comparison is None:
        return needs(blank, "a benchmark on which all of these runs have a score")
    said, numbers, parts = [], [], _parts(grounds, comparison)
    for other in others:
        weights = {lead.run: 1.0, other.run: -1.0}
        difference = comparison.contrast(weights)
        numbers.append(Number(f"{lead.label} minus {other.label}", difference))
        shown = [show(difference)]
        for name, benchmarks in parts.items():
            part = comparison.contrast(weights, benchmarks)
            numbers.append(Number(f"{lead.label} minus {other.label}, {name} alone", part))
            shown.append(f"{name} {show(part)}")
        said.append(f"{verdict_of(difference, 'above', 'below')} {other.label} ({'; '.join(shown)})")
    statement = f"{lead.label} is {listed(said)}, {grounds.over(comparison)}."
    return blank.said(statement, numbers, (e.run for e in (lead, *others)))


def _parts(grounds: Grounds, comparison: Comparison) -> dict[str, list[str]]:
    """Name → benchmarks: what they are about, and who says what is right. All together are no part."""
    rows = {b: grounds.head.benchmarks[b] for b in comparison.drawn}
    parts = {
        "chat": [b for b, row in rows.items() if row.group == "chat"],
        "instruction following": [b for b, row in rows.items() if row.group == "instruction"],
        "knowledge": [b for b, row in rows.items() if row.group == "knowledge"],
        "judged": [b for b, row in rows.items() if row.judged],
        "ground truth": [b for b, row in rows.items() if not row.judged],
    }
    return {name: chosen for name, chosen in parts.items() if 0 < len(chosen) < len(rows)}


@_finding(
    "scaling",
    "Does more data help?",
    "Section 3.2; Figure 2",
    "The average rises with the size of the data for most of four models; for GPT the benefit tapers off.",
)
def _scaling(grounds: Grounds, blank: Finding) -> Finding:
    series = scaled(grounds.roster, grounds.scored)
    if not series:
        return needs(blank, "scores of runs on one model's responses at two sizes or more")
    said, numbers, runs, over = [], [], [], ""
    for dgm, every in series.items():
        entries = [e for e in every if grounds.head.complete([e.run])]
        comparison = grounds.compare(entries) if len(entries) > 1 else None
        if comparison is None:
            continue
        over = grounds.over(comparison)
        points, _ = comparison.average()
        steps = np.diff(points)
        gain = comparison.contrast({entries[-1].run: 1, entries[0].run: -1})
        sizes = [size_name(e.size or 0) for e in entries]
        values = " → ".join(f"{p:.3f}" for p in points)
        verdict = (
            "rises" if gain.certain and gain.value > 0 else "falls" if gain.certain else "no sure change"
        )
        text = (
            f"{dgm}: {values} at {', '.join(sizes)}; {verdict}, {show(gain)} from least to most, up at "
            f"{int((steps > 0).sum())} of {len(steps)} steps"
        )
        numbers.append(Number(f"{dgm}, {sizes[-1]} minus {sizes[0]}", gain))
        if len(entries) > 2:
            for a, b in pairwise(entries):
                step = comparison.contrast({b.run: 1, a.run: -1})
                numbers.append(
                    Number(f"{dgm}, {size_name(b.size or 0)} minus {size_name(a.size or 0)}", step)
                )
            taper = comparison.contrast(_last_minus_first(entries))
            text += f"; the last step's gain is {verdict_of(taper, 'above', 'below')} the first one's"
            numbers.append(Number(f"{dgm}, gain of the last step minus that of the first", taper))
        said.append(text)
        runs += [e.run for e in entries]
    if not said:
        return needs(blank, "a benchmark on which the runs of every size have a score")
    return blank.said(f"{'. '.join(said)} ({over}).", numbers, runs)


def _last_minus_first(entries: Sequence[Entry]) -> dict[str, float]:
    """Weights of the last step's gain minus the first one's; in a series of three both share a run."""
    weights: dict[str, float] = {}
    for entry, weight in zip((*entries[-2:], *entries[:2]), (-1.0, 1.0, 1.0, -1.0), strict=True):
        weights[entry.run] = weights.get(entry.run, 0.0) + weight
    return weights


@_finding(
    "choice",
    "Does the choice of the data-generating model matter?",
    "Section 3.2; Table 2",
    "It has a large effect; no model dominates; parameter count is no perfect indicator of data quality: on "
    "three of nine benchmarks the best has fewer than 10 billion.",
)
def _choice(grounds: Grounds, blank: Finding) -> Finding:
    entries = dgm_runs(grounds.roster, grounds.scored)
    comparison = grounds.compare(entries) if len(entries) > 1 else None
    if comparison is None:
        return needs(blank, "scores of one base model's runs on two models' responses, of the usual size")
    order = np.argsort(-comparison.average()[0], kind="stable")
    best, worst = entries[order[0]], entries[order[-1]]
    spread = comparison.contrast({best.run: 1, worst.run: -1})
    leads: dict[str, list[str]] = {}
    for benchmark, highest in zip(comparison.drawn, leaders.led(comparison)[0], strict=True):
        for entry in (e for e, leading in zip(entries, highest, strict=True) if leading):
            leads.setdefault(str(entry.dgm), []).append(grounds.head.benchmarks[benchmark].title)
    each = "; ".join(f"{dgm} on {listed(titles)}" for dgm, titles in leads.items())
    dominates = [dgm for dgm, titles in leads.items() if len(titles) == len(comparison.drawn)]
    share = leaders.dominance(comparison)
    text = (
        f"One model dominates: {dominates[0]} leads on every benchmark"
        if dominates
        else f"No model dominates: {each}"
    )
    said = [
        f"Of {len(entries)} models, {best.dgm} is the best teacher and {worst.dgm} the last, "
        f"{show(spread, sign=False)} apart, {grounds.over(comparison)}",
        text if share is None else f"{text}; one leads on all in {100 * share:.0f} % of the resamples",
    ]
    numbers = [Number(f"{best.label} minus {worst.label}", spread)]
    for statement, number in _by_size(comparison, entries):
        said.append(statement)
        numbers.append(number)
    note = "Best and last are chosen by their scores, so the spread errs to the large side."
    return blank.said(f"{'. '.join(said)}.", numbers, (e.run for e in entries), note)


def _by_size(comparison: Comparison, entries: Sequence[Entry]) -> Iterator[tuple[str, Number]]:
    """What the number of parameters has to do with it, where it is known."""
    sizes = {e.run: e.billions for e in entries if e.billions}
    if len(set(sizes.values())) > 2:
        rank = leaders.rank_correlation(comparison, sizes)
        text = f"Rank correlation of average and parameter count {_ranged(rank, '+.2f')} over {rank.n} models"
        yield text, Number("Spearman's rank correlation of average and parameters", rank)
    small = [run for run, billions in sizes.items() if billions < SMALL]
    if 0 < len(small) < len(sizes):
        count, what = leaders.count_led(comparison, small), f"fewer than {SMALL} billion parameters"
        text = f"On {_ranged(count, '.0f')} of {count.n} benchmarks the best teacher has {what}"
        yield text, Number(f"Benchmarks led by a model of {what}", count, "benchmarks", signed=False)


def _ranged(estimate: Estimate, form: str) -> str:
    """``+0.60 (+0.20 to +0.80)``: a number whose interval is not even to both sides."""
    ends = [] if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]
    value, *shown = (f"{x:{form}}".replace("-", "−") for x in (estimate.value, *ends))
    return f"{value} ({' to '.join(shown)})" if shown else value


@_finding(
    "context",
    "Do long responses matter?",
    "Section 3.2, on the length of the context window",
    "Cutting Q72's responses to the length of L70's has a slightly positive effect (.404 against .400).",
)
def _context(grounds: Grounds, blank: Finding) -> Finding:
    said, numbers, runs = [], [], []
    for cut in (e for e in grounds.roster.kind("dgm") if e.truncated and e.run in grounds.scored):
        whole = grounds.roster.tuned(cut.model, cut.dgms[0], cut.size)
        if whole is None or whole.run not in grounds.scored:
            continue
        comparison = grounds.compare([cut, whole])
        if comparison is None:
            continue
        difference = comparison.contrast({cut.run: 1, whole.run: -1})
        verdict = verdict_of(difference, "better than", "worse than")
        said.append(
            f"{cut.label} is {verdict} {whole.label} ({show(difference)}, {grounds.over(comparison)})"
        )
        numbers.append(Number(f"{cut.label} minus {whole.label}", difference))
        runs += [cut.run, whole.run]
    if not said:
        return needs(blank, "scores of a run on a mix with length_control, and of the same run without it")
    return blank.said(f"{'. '.join(said)}.", numbers, runs)


@_finding(
    "blending",
    "Do models benefit from blended data-generating models?",
    "Section 3.2; Table 7",
    "Blending offers no benefit: a blend scores between its parts, almost exactly as their sum.",
)
def _blending(grounds: Grounds, blank: Finding) -> Finding:
    said, numbers, runs, lacks = [], [], [], []
    for blend in blends(grounds.roster, grounds.scored):
        comparison = grounds.compare([blend.whole, *blend.parts]) if not blend.missing else None
        if comparison is None:
            absent = listed(
                [f"{blend.whole.base} on {dgm}" for dgm in blend.missing] or ["a shared benchmark"]
            )
            lacks.append(f"{blend.whole.label}: {absent} of the same size")
            continue
        points, draws = comparison.average()
        whole, parts = float(points[0]), points[1:]
        inside = parts.min() <= whole <= parts.max()
        where = "within" if inside else "above" if whole > parts.max() else "below"
        share = 1 / len(blend.parts)
        difference = comparison.contrast({blend.whole.run: 1, **{p.run: -share for p in blend.parts}})
        text = (
            f"{blend.whole.label}: {where} its parts' range ({whole:.3f}; parts "
            f"{listed([f'{p:.3f}' for p in parts])}), difference from their mean {show(difference)}"
        )
        if draws is not None:
            within = (draws[:, 0] >= draws[:, 1:].min(axis=1)) & (draws[:, 0] <= draws[:, 1:].max(axis=1))
            text += f"; within the range in {100 * within.mean():.0f} % of the resamples"
        said.append(f"{text}, {grounds.over(comparison)}")
        numbers.append(Number(f"{blend.whole.label} minus the mean of its parts", difference))
        best = blend.parts[int(np.argmax(parts))]
        against = comparison.contrast({blend.whole.run: 1, best.run: -1})
        numbers.append(Number(f"{blend.whole.label} minus its better part, {best.label}", against))
        runs += [blend.whole.run, *(p.run for p in blend.parts)]
    if not said:
        return needs(
            blank,
            "; ".join(lacks) or "scores of a run on a blend of models and of runs on each, of the same size",
        )
    note = f"Not compared, for want of their parts: {'; '.join(lacks)}." if lacks else ""
    return blank.said(f"{'. '.join(said)}.", numbers, dict.fromkeys(runs), note)


@_finding(
    "agreement",
    "Are models that are strong on a benchmark better teachers for it?",
    "Section 3.2, on the agreement rate",
    "The agreement rate is .5, at chance: a fine-tune need not inherit the strengths of its model.",
)
def _agreement(grounds: Grounds, blank: Finding) -> Finding:
    pair = pair_of(grounds.roster, grounds.scored, grounds.settings)
    if pair is None or pair.first_itself is None or pair.second_itself is None:
        return needs(
            blank, "scores of one base model's runs on two models' responses and of the two models themselves"
        )
    quartet = (pair.first, pair.second, pair.first_itself, pair.second_itself)
    found = _agree(grounds, *quartet)
    if not found:
        return needs(blank, "a benchmark on which the two fine-tunes and the two models all have a score")
    rate = _rate(found)
    agree = [grounds.head.benchmarks[b].title for b, same in found.items() if same]
    ties = sum(same is None for same in found.values())
    said = (
        f"On {len(agree)} of {len(found)} benchmarks{f' ({listed(agree)})' if agree else ''} "
        f"{name_of(pair.first)} and {name_of(pair.second)} are in the order of their own models: agreement "
        f"rate {rate.value:.2f}, exact 95 % interval {rate.low:.2f} to {rate.high:.2f}"
    )
    said += f"; {ties} tied, which counts as no agreement" if ties else ""
    numbers = [
        Number(f"Agreement rate of {name_of(pair.first)} and {name_of(pair.second)}", rate, signed=False)
    ]
    every = _all_pairs(grounds)
    if len(every) > len(found):
        whole = sum(bool(same) for same in every)
        text = f"{whole} of {len(every)} over all pairs of models (these comparisons are not independent)"
        said += f". Agreement on {text}"
        share = Estimate(whole / len(every), None, None, None, len(every), "not independent, so no interval")
        numbers.append(Number("Agreement rate over all pairs of models", share, signed=False))
    return blank.said(f"{said}.", numbers, (e.run for e in quartet))


def _agree(grounds: Grounds, a: Entry, b: Entry, own_a: Entry, own_b: Entry) -> dict[str, bool | None]:
    """Benchmark → whether fine-tunes and models are in the same order; None where two of them tie."""
    values = [grounds.head.values(e.run) for e in (a, b, own_a, own_b)]
    found: dict[str, bool | None] = {}
    for slug in grounds.head.complete(e.run for e in (a, b, own_a, own_b)):
        tuned, own = (float(x[slug] or 0) - float(y[slug] or 0) for x, y in (values[:2], values[2:]))
        found[slug] = None if tuned == 0 or own == 0 else (tuned > 0) == (own > 0)
    return found


def _rate(found: dict[str, bool | None]) -> Estimate:
    """The share of benchmarks with agreement, a tie counted against; exact (Clopper and Pearson) interval."""
    from scipy.stats import binomtest

    k, n = sum(bool(same) for same in found.values()), len(found)
    low, high = binomtest(k, n).proportion_ci(method="exact")
    return Estimate(k / n, None, float(low), float(high), n)


def _all_pairs(grounds: Grounds) -> list[bool | None]:
    """Agreement on every benchmark for every two models that have a fine-tune and scores of their own."""
    both = [(e, grounds.roster.itself(e.dgms[0])) for e in dgm_runs(grounds.roster, grounds.scored)]
    there = [(e, own) for e, own in both if own and own.run in grounds.scored]
    return [
        same
        for (a, own_a), (b, own_b) in combinations(there, 2)
        for same in _agree(grounds, a, b, own_a, own_b).values()
    ]


@_finding(
    "styling",
    "Is styling inherited?",
    "Section 3.2; Table 3",
    "Fine-tunes track their models' styling closely (mean proportional frequency .91 and 1.05) and differ "
    "from each other (2.61).",
)
def _styling(grounds: Grounds, blank: Finding) -> Finding:
    found = grounds.answered
    if found is None:
        return needs(blank, grounds.unanswered)
    said, numbers = [], []
    for a, b in answers.style_pairs(found):
        ratio = answers.mean_ratio(found, a, b, grounds.seed, grounds.settings.resamples)
        if ratio is None:
            said.append(f"{name_of(b)} has no styling at all to set {name_of(a)} against")
            continue
        said.append(f"{name_of(a)} against {name_of(b)} {show(ratio, 2, sign=False)}")
        numbers.append(
            Number(f"Mean proportional frequency, {name_of(a)} to {name_of(b)}", ratio, signed=False)
        )
    if not found.pair.whole:
        said.append("the models themselves were not asked, so inheritance cannot be told")
    statement = f"Mean proportional frequency over {len(found.answered)} answers (1 is alike): "
    note = "Counted in answers alone; the paper's counts are of whole pages (see the audit)."
    runs = (e.run for e in found.pair.entries)
    return blank.said(f"{statement}{'; '.join(said)}.", numbers, runs, note)


@_finding(
    "on-policy",
    "Do models learn better from their own family?",
    "Section 3.2; Table 6",
    "Models fine-tuned on responses of their own family do better at the same size of data; this seems to "
    "hold for a larger model of the family, too.",
)
def _on_policy(grounds: Grounds, blank: Finding) -> Finding:
    runs = [
        e for e in grounds.roster.plain("dgm") if e.run in grounds.scored and e.size == grounds.roster.size
    ]
    said, numbers, used, lacks = [], [], [], []
    for base in dict.fromkeys(e.model for e in runs):
        mine = [e for e in runs if e.model == base]
        kin, strangers = [e for e in mine if e.related], [e for e in mine if not e.related]
        if not kin or not strangers:
            lacks.append(f"a run of {mine[0].base} on a model of {'another' if kin else 'its own'} family")
            continue
        comparison = grounds.compare([*kin, *strangers])
        if comparison is None:
            lacks.append(f"a benchmark that all runs of {mine[0].base} share")
            continue
        weights = {e.run: 1 / len(kin) for e in kin} | {e.run: -1 / len(strangers) for e in strangers}
        gain = comparison.contrast(weights)
        verdict = verdict_of(gain, "better than", "worse than")
        names = listed([str(e.dgm) for e in kin]), listed([str(e.dgm) for e in strangers])
        said.append(
            f"{mine[0].base} on {names[0]} (its own family) is {verdict} on {names[1]}: {show(gain)}, "
            f"{grounds.over(comparison)}"
        )
        numbers.append(Number(f"{mine[0].base}: own family minus others", gain))
        if len(kin) > 1:  # also a larger model of the family?
            apart = {e.run: -1 / len(strangers) for e in strangers}
            numbers += [
                Number(f"{e.label} minus others", comparison.contrast({e.run: 1, **apart})) for e in kin
            ]
        used += [e.run for e in (*kin, *strangers)]
    if not said:
        missing = "; ".join(lacks) or "scores of runs on models of the base's own family and of another"
        return needs(blank, f"{missing} (findings.related says who is kin, where families do not)")
    return blank.said(f"{'. '.join(said)}.", numbers, used)


@_finding(
    "preferences",
    "Does a judge's preference pass from a model to its fine-tune?",
    "Section 3.3; Table 4",
    "The judge prefers L8B : Q72 over L8B : L70 and Q72 over L70 at similar rates; reversals are rare (5 and "
    "6 of 80 turns).",
)
def _preferences(grounds: Grounds, blank: Finding) -> Finding:
    found = grounds.answered
    if found is None:
        return needs(blank, grounds.unanswered)
    pair, n = found.pair, len(found.judged)
    said, numbers = [], []
    for a, b in ((pair.first, pair.second), (pair.first_itself, pair.second_itself)):
        if a is None or b is None:
            continue
        rates = answers.preferred(found, a, b), answers.preferred(found, b, a)
        shown = [f"{r.value:.1f} % ({r.low:.1f} to {r.high:.1f})" for r in rates]
        said.append(
            f"{name_of(a)} is preferred over {name_of(b)} on {shown[0]} of {n} turns, "
            f"the reverse on {shown[1]}"
        )
        numbers.append(Number(f"{name_of(a)} preferred over {name_of(b)}", rates[0], "%", signed=False))
        numbers.append(Number(f"{name_of(b)} preferred over {name_of(a)}", rates[1], "%", signed=False))
    for tuned, itself, other in (
        (pair.second, pair.second_itself, pair.first),
        (pair.first, pair.first_itself, pair.second),
    ):
        if itself is not None:
            count = answers.flip_count(found, tuned, itself, other)
            said.append(f"{name_of(itself)} flips the ranking on {_ranged(count, '.0f')} turns")
            numbers.append(Number(f"Flips by {name_of(itself)}", count, "turns", signed=False))
    if not pair.whole:
        said.append("the models themselves were not judged, so flips cannot be counted")
    return blank.said(f"{'. '.join(said)}.", numbers, (e.run for e in pair.entries))

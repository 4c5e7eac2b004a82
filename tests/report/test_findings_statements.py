"""The findings of section 3.2 as statements: each number by hand, each with its uncertainty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

import findings_study as made_up
from rewild.config.findings import Findings
from rewild.config.roster import Roster
from rewild.evaluation.scores.bootstrap import Comparison, Drawn
from rewild.report.findings import answers, leaders
from rewild.report.findings.grounds import Finding, Grounds
from rewild.report.findings.state import state_findings


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Grounds:
    """All that findings are stated from."""
    return made_up.open_world(made_up.prepare(tmp_path_factory.mktemp("statements")))


def stated(grounds: Grounds, name: str) -> Finding:
    return next(f for f in state_findings(grounds) if f.id == name)


def numbers(finding: Finding) -> dict[str, float]:
    return {n.what: n.estimate.value for n in finding.numbers}


def described(grounds: Grounds, **changes: dict[str, object]) -> Grounds:
    """The same runs, some of them described otherwise."""
    entries = tuple(replace(e, **changes.get(e.run, {})) for e in grounds.roster.entries)  # type: ignore[arg-type]
    old = grounds.roster
    return replace(grounds, roster=Roster(entries, old.base, old.size, old.recipe))


def score(grounds: Grounds, run: str, benchmarks: tuple[str, ...] = ()) -> float:
    """The mean of a fine-tune's scores, each on the scale 0–1."""
    values = grounds.head.values(f"base-{run}")
    scaled = [(values[b] or 0.0) / (10 if b == "mt-bench" else 1) for b in benchmarks or values]
    return float(np.mean(scaled))


def test_what_each_finding_says(grounds: Grounds) -> None:
    found = {f.id: f for f in state_findings(grounds)}
    assert list(found) == [
        "mixture", "scaling", "choice", "context", "blending", "agreement", "styling", "on-policy",
        "preferences",
    ]  # fmt: skip
    for lacking, need in (("mixture", "baseline models"), ("context", "length_control")):
        assert found[lacking].statement == ""
        assert need in found[lacking].missing
    head = grounds.head
    blend, herald, plain = (head.average(f"base-{r}", "avg_study")[0] for r in ("blend", "herald", "plain"))
    said = found["blending"].statement
    assert said.startswith("demo-base : demo-herald + demo-plain: within its parts' range (")
    difference = blend - (herald + plain) / 2
    assert found["blending"].numbers[0].estimate.value == pytest.approx(difference, abs=1e-12)
    assert f"difference from their mean {difference:+.3f} ± ".replace("-", "−") in said
    small = head.average("base-herald-small", "avg_study")[0]
    assert found["scaling"].numbers[0].estimate.value == pytest.approx(herald - small, abs=1e-12)
    assert "demo-herald: 0.283 → 0.394 → 0.591 at 60, 120, 220; rises" in found["scaling"].statement
    mini = head.average("base-mini", "avg_study")[0]
    assert found["choice"].numbers[0].estimate.value == pytest.approx(herald - mini, abs=1e-12)
    assert found["on-policy"].numbers[0].estimate.value == pytest.approx(
        herald - (plain + mini) / 2, abs=1e-12
    )
    assert "rate 1.00, exact 95 % interval 0.40 to 1.00" in found["agreement"].statement  # 0.025 ** (1 / 4)
    assert found["styling"].numbers[0].estimate.value == 1.0


def test_the_agreement_rate_counts_ties_against(grounds: Grounds) -> None:
    """Two benchmarks agree, one disagrees, one ties: .5, and Clopper and Pearson's interval of 2 in 4."""
    values = {
        "base-herald": [5.0, 0.5, 0.5, 0.5], "base-plain": [4.0, 0.4, 0.4, 0.5],
        "herald": [6.0, 0.6, 0.3, 0.9], "plain": [5.0, 0.1, 0.4, 0.1],
    }  # fmt: skip
    order = ["mt-bench", "gpqa", "ifeval", "mixeval"]
    new = [
        values[run][order.index(benchmark)] if run in values else value
        for run, benchmark, value in grounds.head.frame.select("run", "benchmark", "value").iter_rows()
    ]
    head = replace(grounds.head, frame=grounds.head.frame.with_columns(value=pl.Series(new)))
    found = next(f for f in state_findings(replace(grounds, head=head)) if f.id == "agreement")
    rate = found.numbers[0].estimate
    assert rate.value == 0.5
    assert (rate.low, rate.high) == (pytest.approx(0.0676, abs=1e-4), pytest.approx(0.9324, abs=1e-4))
    assert "1 tied, which counts as no agreement" in found.statement
    assert "On 2 of 4 benchmarks (MTBench and GPQA)" in found.statement


def test_a_study_without_answers_says_what_is_missing(grounds: Grounds) -> None:
    bare = replace(grounds, answered=None, unanswered="a benchmark whose answers are judged one by one")
    found = {f.id: f for f in state_findings(bare)}
    for name in ("styling", "preferences"):
        assert (found[name].statement, found[name].missing) == ("", bare.unanswered)


def test_every_number_has_its_uncertainty_or_says_why_not(grounds: Grounds) -> None:
    related = {"base-plain": {"related": True}}
    whole = replace(described(grounds, **related), settings=with_baselines(grounds))
    found = [f for f in state_findings(whole) if f.statement]
    assert len(found) == 8  # all but the length of the context, for which there is no run
    for finding in found:
        assert finding.numbers, finding.id
        for number in finding.numbers:
            estimate = number.estimate
            assert estimate.note or (estimate.low is not None and estimate.high is not None), number.what
            if estimate.low is not None:
                assert estimate.low <= estimate.value <= estimate.high, number.what


def with_baselines(grounds: Grounds) -> Findings:
    return grounds.settings.model_copy(
        update={"lead": "base-blend", "baselines": ["base-plain", "base-mini"]}
    )


def test_a_mixture_is_set_against_its_baselines_as_a_whole_and_in_parts(grounds: Grounds) -> None:
    finding = stated(replace(grounds, settings=with_baselines(grounds)), "mixture")
    found, parts = numbers(finding), {
        "": (),
        ", chat alone": ("mt-bench", "mixeval"),
        ", instruction following alone": ("ifeval",),
        ", knowledge alone": ("gpqa",),
        ", judged alone": ("mt-bench", "mixeval"),
        ", ground truth alone": ("ifeval", "gpqa"),
    }  # fmt: skip
    lead = "demo-base : demo-herald + demo-plain"
    for name in ("plain", "mini"):
        for part, benchmarks in parts.items():
            wanted = score(grounds, "blend", benchmarks) - score(grounds, name, benchmarks)
            assert found[f"{lead} minus demo-base : demo-{name}{part}"] == pytest.approx(wanted, abs=1e-12)
    assert len(found) == 2 * len(parts)
    assert finding.statement.startswith(f"{lead} is above demo-base : demo-plain (+")
    assert "; instruction following +" in finding.statement
    assert finding.runs == ("base-blend", "base-plain", "base-mini")


def test_gains_that_taper_off(grounds: Grounds) -> None:
    finding = stated(grounds, "scaling")
    small, medium, large = (score(grounds, f"herald{s}") for s in ("-small", "-medium", ""))
    found = numbers(finding)
    assert found["demo-herald, 120 minus 60"] == pytest.approx(medium - small, abs=1e-12)
    assert found["demo-herald, 220 minus 120"] == pytest.approx(large - medium, abs=1e-12)
    taper = found["demo-herald, gain of the last step minus that of the first"]
    assert taper == pytest.approx(large - 2 * medium + small, abs=1e-12)
    assert "the last step's gain is not told apart from the first one's" in finding.statement


def test_small_teachers_that_lead(grounds: Grounds) -> None:
    """The best model is the smallest of three: it leads on all four benchmarks, and the order is reversed."""
    sizes = {"base-herald": 7.0, "base-plain": 72.0, "base-mini": 104.0}
    finding = stated(described(grounds, **{r: {"billions": b} for r, b in sizes.items()}), "choice")
    found = {n.what: n.estimate for n in finding.numbers}
    rank = found["Spearman's rank correlation of average and parameters"]
    assert rank.value == pytest.approx(-1)
    assert (rank.low, rank.n) == (-1, 3)
    led = found["Benchmarks led by a model of fewer than 10 billion parameters"]
    assert (led.value, led.high, led.n) == (4, 4, 4)
    assert "parameter count −1.00 (−1.00 to " in finding.statement
    assert "On 4 (" in finding.statement
    assert (
        "One model dominates: demo-herald leads on every benchmark; one leads on all in " in finding.statement
    )
    # All below 10 billion, or two sizes only: nothing follows.
    same = described(grounds, **{r: {"billions": 7.0} for r in sizes})
    assert [n.what for n in stated(same, "choice").numbers] == [
        "demo-base : demo-herald minus demo-base : demo-mini"
    ]


def test_leaders_by_hand() -> None:
    """Two benchmarks, three runs, four resamples."""
    first = np.array([[0.9, 0.2, 0.1], [0.9, 0.2, 0.1], [0.1, 0.5, 0.5], [0.3, 0.2, 0.1]])
    second = np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.6], [0.1, 0.2, 0.1]])
    drawn = {
        "x": Drawn(np.array([0.6, 0.3, 0.2]), first, 5, 0),
        "y": Drawn(np.array([0.3, 0.4, 0.4]), second, 5, 0),
    }
    found = Comparison(("a", "b", "c"), drawn)
    leading, draws = leaders.led(found)
    assert leading.tolist() == [[True, False, False], [False, True, True]]
    assert draws is not None
    assert leaders.dominance(found) == 0.5  # the first resample is all a's, the third c's (and half b's)
    led = leaders.count_led(found, ["b"])
    assert (led.value, led.n) == (1, 2)
    assert draws[:, :, 1].sum(axis=1).tolist() == [0, 1, 1, 1]
    assert (led.low, led.high) == (pytest.approx(0.075), 1)
    rank = leaders.rank_correlation(found, {"a": 3.0, "b": 1.0, "c": 2.0})
    averages = (first + second) / 2
    each = [spearmanr(row, [3, 1, 2]).statistic for row in averages]
    assert rank.value == pytest.approx(spearmanr([0.45, 0.35, 0.3], [3, 1, 2]).statistic)
    assert rank.low == pytest.approx(np.quantile(each, 0.025))
    without = Comparison(("a", "b", "c"), drawn | {"z": Drawn(np.array([0.1, 0.2, 0.3]), None, 5, 0)})
    assert leaders.dominance(without) is None
    assert leaders.count_led(without, ["c"]).low is None
    assert leaders.rank_correlation(without, {"a": 1.0, "c": 2.0}).value == pytest.approx(-1)


def test_responses_that_were_cut_against_whole_ones(grounds: Grounds) -> None:
    """base-mini plays the run on the first model's responses, cut."""
    cut = {"dgms": ("demo-herald",), "truncated": True, "label": "demo-base : demo-herald (truncated)"}
    finding = stated(described(grounds, **{"base-mini": cut}), "context")
    assert finding.statement.startswith(
        "demo-base : demo-herald (truncated) is worse than demo-base : demo-herald (−0.4"
    )
    assert list(numbers(finding).values()) == [
        pytest.approx(score(grounds, "mini") - score(grounds, "herald"))
    ]
    assert finding.runs == ("base-mini", "base-herald")


def test_each_relative_is_set_against_the_strangers(grounds: Grounds) -> None:
    """Also a larger model of the family? Both relatives, together and each."""
    found = numbers(stated(described(grounds, **{"base-plain": {"related": True}}), "on-policy"))
    herald, plain, mini = (score(grounds, run) for run in ("herald", "plain", "mini"))
    wanted = {
        "demo-base: own family minus others": (herald + plain) / 2 - mini,
        "demo-base : demo-herald minus others": herald - mini,
        "demo-base : demo-plain minus others": plain - mini,
    }
    assert found == {what: pytest.approx(value, abs=1e-12) for what, value in wanted.items()}


def test_flips_have_the_interval_of_their_share(grounds: Grounds) -> None:
    found = made_up.marked(grounds)
    pair = found.pair
    count = answers.flip_count(found, pair.first, pair.first_itself, pair.second)
    # Wilson's interval of 3 in 6, by hand: 0.5 ± 1.96 √(1/24 + 1.96²/144) / (1 + 1.96²/6)
    reach = 1.959964 * np.sqrt(1 / 24 + 1.959964**2 / 144) / (1 + 1.959964**2 / 6)
    assert (count.value, count.n) == (3, 6)
    assert (count.low, count.high) == (pytest.approx(6 * (0.5 - reach)), pytest.approx(6 * (0.5 + reach)))

"""CAR and the statistics of ranking, against scipy and the paper's own tables."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rewild.core.errors import DataError
from rewild.core.measures import KEY
from rewild.measures.teachers.car import BETA, READINGS, averaged, car, curve, joined
from rewild.measures.teachers.ranking import (
    average,
    by_other_bases,
    concordance,
    correlate,
    regret,
    without_each,
)

NUMBERS = st.lists(st.integers(-5, 5).map(float), min_size=3, max_size=12)


def frame(rows: dict[str, list[Any]]) -> pl.DataFrame:
    n = len(rows["failure"])
    key = {"conversation_id": rows.pop("conversation_id", [f"c{i}" for i in range(n)]), "turn": [0] * n}
    types = {name: column.dtype for name, column in KEY.items()}
    return pl.DataFrame(key | {"sample": [0] * n} | rows).cast(types)  # type: ignore[arg-type]


def likelihoods(tokens: list[int | None], failure: list[str | None], **more: Any) -> pl.DataFrame:
    def column(each: float, whole: bool) -> list[float | None]:
        return [None if n is None else -each * (n if whole else 1) for n in tokens]

    return frame(
        {
            "logprob_alone": column(2.0, False), "logprob_given": column(0.5, False),
            "total_alone": column(2.0, True), "total_given": column(0.5, True),
            "tokens": [*tokens], "tokens_alone": [*tokens], "failure": failure, **more,
        }
    )  # fmt: skip


def test_every_reading_of_the_loss_over_the_responses_that_have_both() -> None:
    rewards = frame(
        {"reward": [4.0, None, 8.0, 100.0], "failure": [None, "not_a_number: reward", None, None]}
    )
    scored = likelihoods(
        [10, 20, 30, None, 5],
        [None, None, None, "too_long: 9 tokens, and 8 are the limit", None],
        conversation_id=["c0", "c1", "c2", "c3", "other"],
    )
    found = averaged(joined(rewards, scored))
    assert (found.reward, found.responses) == (6.0, 2)
    assert found.losses == {
        "mean-alone": 2.0, "mean-given": 0.5, "pooled-alone": 2.0, "pooled-given": 0.5,
        "sum-alone": 40.0, "sum-given": 10.0,
    }  # fmt: skip
    assert found.failures == {
        "likelihood_failed: too_long": 1, "reward_failed: not_a_number": 1, "reward_missing": 1,
    }  # fmt: skip
    assert found.responses + sum(found.failures.values()) == 5
    assert set(found.losses) == set(READINGS)
    assert averaged(joined(rewards.head(0), scored)).reward is None
    with pytest.raises(DataError, match="no column 'rewrd'; did you mean 'reward'"):
        joined(rewards, scored, "rewrd")


def test_car_is_equation_3_and_its_curve_begins_at_the_reward() -> None:
    assert car(7.0, 0.5) == pytest.approx(7 / (1 + BETA * 0.5))
    assert curve([7.0, 2.0], [0.5, 1.5], [0, 2]) == [[7.0, 2.0], [3.5, 0.5]]


@pytest.mark.parametrize("reward", [0.0, -12.0])
def test_a_reward_at_or_below_zero_is_refused_or_shifted_and_said(reward: float) -> None:
    with pytest.raises(DataError, match="at or below zero, a higher loss would not lower CAR"):
        car(reward, 1.0)
    assert car(reward, 1.0, shift=20) == (reward + 20) / 4
    with pytest.raises(DataError, match="with 0.5 added" if reward else "the shift is nan"):
        car(reward, 1.0, shift=0.5 if reward else math.nan)


@pytest.mark.parametrize(
    ("values", "said"), [((1, math.nan), "the loss is nan"), ((1, -1), "loss is negative")]
)
def test_what_is_no_loss_is_refused(values: tuple[float, float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        car(*values)


@given(st.floats(0.1, 50), st.floats(0, 20), st.floats(0, 20), st.floats(0.1, 10))
def test_more_loss_is_never_worth_more(reward: float, loss: float, other: float, beta: float) -> None:
    low, high = sorted((loss, other))
    assert car(reward, low, beta) >= car(reward, high, beta)


@given(NUMBERS, st.data())
def test_rho_with_ties_is_scipys(x: list[float], data: st.DataObject) -> None:
    y = data.draw(st.lists(st.integers(-5, 5).map(float), min_size=len(x), max_size=len(x)))
    found = correlate(x, y, draws=200)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found.rho is None
        assert "one value for all teachers" in str(found.why)
        return
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert -1 - 1e-9 <= found.low <= found.high <= 1 + 1e-9
    assert 0 < found.p <= 1  # type: ignore[operator]
    if not found.ties:
        assert found.printed == pytest.approx(found.rho, abs=1e-12)


def test_p_by_all_orders_and_by_draws_is_scipys() -> None:
    x, y = [1.0, 2, 3, 4, 5, 6], [2.0, 1, 4, 3, 6, 5]

    def rho(z: Any) -> float:
        return abs(float(stats.spearmanr(z, y).statistic))

    wanted = stats.permutation_test((x,), rho, permutation_type="pairings", alternative="greater").pvalue
    assert correlate(x, y).p == pytest.approx(wanted)
    more = [*range(12)], [1, 0, 2, 5, 3, 4, 8, 6, 7, 11, 10, 9]
    assert correlate(*more).p == pytest.approx(stats.spearmanr(*more).pvalue, abs=2e-3)


def test_the_interval_is_scipys_bootstrap_and_comes_again() -> None:
    x, y = [*range(10)], [1, 0, 3, 2, 5, 9, 6, 4, 8, 7]

    def rho(a: Any, b: Any) -> float:
        return float(stats.spearmanr(a, b).statistic)

    wanted = stats.bootstrap(
        (x, y), rho, paired=True, vectorized=False, method="percentile", n_resamples=1000, rng=1
    ).confidence_interval
    found = correlate(x, y)
    assert (found.low, found.high) == (
        pytest.approx(wanted.low, abs=0.1), pytest.approx(wanted.high, abs=0.04)
    )  # fmt: skip
    assert correlate(x, y) == found
    assert correlate(x, y, seed=1) != found


def test_too_few_teachers_have_no_rho_and_it_is_said() -> None:
    assert correlate([1, 2], [2, 1]).why == "of 2 teachers there is no rank correlation: 3 are needed"
    assert correlate([], []).rho is None
    with pytest.raises(ValueError, match="finite number"):
        correlate([1, 2, math.nan], [1, 2, 3])


def test_regret_is_what_the_first_choice_loses() -> None:
    assert regret([1, 3, 2], [10, 4, 12]) == 8
    assert regret([1, 2, 3], [10, 11, 12]) == 0
    assert regret([3, 3, 1], [10, 4, 12]) == 5  # a tie: either


def test_a_family_that_carries_the_correlation_is_seen() -> None:
    found = without_each([1, 2, 3, 10, 11], [2, 1, 1.5, 10, 11], ["a", "a", "a", "b", "b"])
    assert list(found) == ["a", "b"]
    assert found["a"].why == "of 2 teachers there is no rank correlation: 3 are needed"
    assert found["b"].rho == pytest.approx(-0.5)


def test_the_other_bases_mean() -> None:
    truths = {"p": {"t": 1.0, "u": 2.0, "only": 9.0}, "q": {"t": 3.0, "u": 4.0}, "r": {"t": 5.0}}
    assert by_other_bases(truths, "p") == {"t": 4.0, "u": 4.0}


def test_kendalls_w_is_friedmans_test_and_its_interval_holds_it() -> None:
    rows = [[1.0, 2, 3, 4, 5, 5], [2.0, 1, 3, 5, 4, 6], [1.0, 1, 4, 3, 6, 5]]
    found = concordance(rows, seed=3, draws=2000)
    assert found is not None
    wanted = stats.friedmanchisquare(*zip(*rows, strict=True)).statistic
    assert found.w == pytest.approx(wanted / (len(rows) * (len(rows[0]) - 1)))  # ties corrected in both
    assert found.low <= found.w <= found.high <= 1
    assert found.p < 0.01
    alike, apart = concordance([rows[0]] * 4), concordance([[1, 2, 3], [3, 2, 1]])
    assert alike is not None
    assert apart is not None
    assert (alike.w, apart.w, apart.p) == (pytest.approx(1), 0, 1)
    assert concordance([rows[0]]) is None
    assert concordance([[1, 2], [1, 2]]) is None
    assert concordance([[1, 1, 1], [2, 2, 2]]) is None


def test_the_average_over_bases_draws_the_same_teachers_for_all() -> None:
    x, y = [*range(9)], [1, 0, 3, 2, 5, 8, 6, 4, 7]
    one = correlate(x, y)
    assert one.rho is not None
    twice = average([x, x], [y, y])
    assert (twice.rho, twice.low, twice.high) == pytest.approx((one.rho, one.low, one.high))
    # as many by chance as of one base: two that say the same are no more evidence
    assert twice.p == pytest.approx(one.p, abs=5e-3)
    other = average([x, x], [y, y[::-1]])
    assert other.rho == pytest.approx(0)
    assert average([x, [1] * 9], [y, y]).rho is None

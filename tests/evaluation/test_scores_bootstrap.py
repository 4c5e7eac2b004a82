"""Intervals: against hand, scipy, and a bootstrap written the slow way."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from rewild.core.errors import DataError
from rewild.evaluation.scores.bootstrap import Z, compare, half_width
from rewild.evaluation.scores.tidy import items_frame, mean_score, scores_frame

RIGHT = {"a": [1, 1, 1, 0, 1, 0, 1, 1, 0, 1] * 6, "b": [1, 0, 1, 0, 0, 0, 1, 1, 0, 0] * 6}


def frames(
    given: dict[str, dict[str, list[float | None]]], parts: int = 1, **over: float
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Scores and items of benchmark → run → one score per item; with ``parts``, items are turns in a row."""
    scores, items = [], []
    for benchmark, runs in given.items():
        for run, values in runs.items():
            key = {"run": run, "benchmark": benchmark, "metric": "m"}
            for i, score in enumerate(values):
                item = {"part": f"turn-{i % parts + 1}", "item": str(i // parts), "score": score}
                items.append(key | item | ({"failure": "none"} if score is None else {}))
            row = {"study": "s", "model": "x", "part": "all", "version": "1", "seed": 1}
            scores.append(key | row | mean_score(values) | over)
    return scores_frame(scores), items_frame(items)


def test_the_papers_interval() -> None:
    assert half_width(0.02) == pytest.approx(1.96 * 0.02, rel=1e-4)
    assert half_width(None) is None


def test_a_paired_difference_is_scipys() -> None:
    scores, items = frames({"x": RIGHT})
    found = compare(scores, items, ["a", "b"], {"x": 1.0}, seed=1).contrast({"a": 1, "b": -1})
    difference = np.array(RIGHT["a"]) - np.array(RIGHT["b"])
    assert found.value == pytest.approx(difference.mean(), abs=1e-12)
    # The standard error of a mean is known; scipy's percentile interval is another program's.
    assert found.half == pytest.approx(Z * difference.std() / np.sqrt(60), rel=0.03)
    other = bootstrap(
        (difference,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    )
    low, high = other.confidence_interval
    assert (found.low, found.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))
    assert found.n == 60
    assert found.certain


def test_pairing_is_narrower_than_two_intervals() -> None:
    scores, items = frames({"x": RIGHT})
    found = compare(scores, items, ["a", "b"], {"x": 1.0}, seed=1).contrast({"a": 1, "b": -1})
    apart = Z * np.sqrt(sum(np.var(v) / 60 for v in RIGHT.values()))
    assert found.half < 0.9 * apart


def test_benchmarks_are_drawn_independently_and_averaged_on_one_scale() -> None:
    ten = {run: [10.0 * v for v in values] for run, values in RIGHT.items()}
    scores, items = frames({"x": RIGHT, "y": ten})
    both = compare(scores, items, ["a", "b"], {"x": 1.0, "y": 10.0}, seed=1)
    one = both.contrast({"a": 1, "b": -1}, ["x"])
    found = both.contrast({"a": 1, "b": -1})
    assert found.value == pytest.approx(one.value, abs=1e-12)
    assert found.half == pytest.approx(one.half / np.sqrt(2), rel=0.05)
    assert found.n == 120


def test_turns_of_a_question_are_drawn_together() -> None:
    """Where both turns always score the same, two turns tell no more than one."""
    stream = np.random.default_rng(3)
    once = stream.integers(0, 10, 40).astype(float)
    twice = np.repeat(once, 2).tolist()
    scores, items = frames({"x": {"a": twice, "b": [0.0] * 80}}, parts=2)
    found = compare(scores, items, ["a", "b"], {"x": 1.0}, seed=1).contrast({"a": 1, "b": -1})
    assert found.half == pytest.approx(Z * once.std() / np.sqrt(40), rel=0.04)


def test_a_cluster_bootstrap_written_the_slow_way_agrees() -> None:
    stream = np.random.default_rng(11)
    values = {run: stream.integers(1, 11, 60).astype(float).tolist() for run in "abc"}
    scores, items = frames({"x": values}, parts=3)
    weights = {"a": 1.0, "b": -0.5, "c": -0.5}
    found = compare(scores, items, list("abc"), {"x": 10.0}, seed=1).contrast(weights)
    slow = []
    for _ in range(4000):
        drawn = [q * 3 + turn for q in stream.integers(0, 20, 20) for turn in range(3)]
        slow.append(sum(w * np.mean([values[run][i] for i in drawn]) for run, w in weights.items()) / 10)
    low, high = np.quantile(slow, (0.025, 0.975))
    assert (found.low, found.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_items_without_a_score_of_every_run_are_left_out_and_said() -> None:
    values = {"a": [1.0, 1.0, None, 0.0], "b": [0.0, None, None, 1.0]}
    scores, items = frames({"x": values})
    found = compare(scores, items, ["a", "b"], {"x": 1.0}, seed=1).contrast({"a": 1, "b": -1})
    assert (found.value, found.n) == (0.0, 2)
    assert found.note == "1 items without a score of every run left out"


def test_a_metric_that_is_no_mean_is_not_paired() -> None:
    scores, items = frames({"x": RIGHT}, value=0.9, stderr=0.03)
    found = compare(scores, items, ["a", "b"], {"x": 1.0}, seed=1).contrast({"a": 1, "b": -1})
    assert found.value == 0.0
    assert found.half == pytest.approx(Z * 0.03 * np.sqrt(2), rel=0.03)
    assert "x: no mean over items, so not paired" in found.note


def test_no_error_no_interval() -> None:
    scores, items = frames({"x": RIGHT})
    scores = scores.with_columns(value=pl.lit(0.9), stderr=pl.lit(None, pl.Float64))
    found = compare(scores, items, ["a", "b"], {"x": 1.0}, seed=1).contrast({"a": 1})
    assert (found.half, found.low, found.certain) == (None, None, False)


def test_what_cannot_be_compared() -> None:
    scores, items = frames({"x": {"a": [1.0, None], "b": [None, 1.0]}})
    with pytest.raises(DataError, match="a, b have not one item of x in common"):
        compare(scores, items, ["a", "b"], {"x": 1.0}, seed=1)
    with pytest.raises(DataError, match="the run 'c' has no score on x"):
        compare(scores, items, ["a", "c"], {"x": 1.0}, seed=1)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=25), st.integers(0, 9))
def test_exchanging_two_runs_changes_the_sign(pairs: list[tuple[int, int]], seed: int) -> None:
    values = {"a": [float(a) for a, _ in pairs], "b": [float(b) for _, b in pairs]}
    scores, items = frames({"x": values})
    drawn = compare(scores, items, ["a", "b"], {"x": 1.0}, seed=seed, resamples=300)
    one, other = drawn.contrast({"a": 1, "b": -1}), drawn.contrast({"b": 1, "a": -1})
    assert one.value == -other.value
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    again = compare(scores, items.reverse(), ["a", "b"], {"x": 1.0}, seed=seed, resamples=300)
    assert again.contrast({"a": 1, "b": -1}) == one  # neither order nor chance: the seed alone

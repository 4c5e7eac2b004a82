"""The three summaries against slow, plain computations; figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from scipy import stats

from rewild.core.errors import DataError
from rewild.measures.similarity.figures import against_size, clustering, distribution, heat_map, square
from rewild.measures.similarity.schema import ALL_METRICS, PAIRS
from rewild.measures.similarity.summary import (
    Options,
    agreement,
    cube,
    interval,
    matrix,
    notebook_average,
    per_response,
    summarise,
)

MODELS = [f"m{i}" for i in range(7)]


def pairs(
    models: Sequence[str] = MODELS, conversations: int = 40, seed: int = 2, missing: float = 0.1
) -> pl.DataFrame:
    """Made-up scores: each model its own level, some responses missing; meteor is not symmetric."""
    chance = np.random.default_rng(seed)
    rows = []
    for c in range(conversations):
        there = [m for m in models if chance.random() >= missing]
        level = chance.normal(0.4, 0.1)
        for m in there:
            for r in there:
                if m != r:
                    base = level + 0.02 * models.index(m) + 0.02 * models.index(r)
                    rows.append((f"{c:03d}", 0, m, r, base, base + 0.001 * models.index(m)))
    frame = pl.DataFrame(
        rows, schema=["conversation_id", "turn", "model", "reference", "rouge1", "meteor"], orient="row"
    )
    rest = [c for c in PAIRS.columns if c not in frame.columns]
    frame = frame.with_columns(pl.lit(None, pl.Float32).alias(c) for c in rest)
    return PAIRS.check(frame, "made up")


@pytest.fixture(scope="module")
def made() -> pl.DataFrame:
    return pairs()


@pytest.fixture(scope="module")
def summary(made: pl.DataFrame) -> pl.DataFrame:
    return summarise(cube(made), Options(responses=20, references=3, resamples=400))


def test_all_pairs_is_the_mean_of_means(made: pl.DataFrame, summary: pl.DataFrame) -> None:
    for model in MODELS:
        for metric, role, own in (
            ("rouge1", "either", "model"),
            ("meteor", "hypothesis", "model"),
            ("meteor", "reference", "reference"),
        ):
            values = (
                made.filter(pl.col(own) == model)
                .group_by("conversation_id")
                .agg(pl.col(metric).cast(pl.Float64).mean())[metric]
            )
            row = summary.filter(
                pl.col("summary") == "all_pairs",
                pl.col("metric") == metric,
                pl.col("role") == role,
                pl.col("model") == model,
            ).row(0, named=True)
            assert row["mean"] == pytest.approx(values.mean(), abs=1e-7)
            assert row["sd"] == pytest.approx(values.std(), abs=1e-7)
            assert row["n"] == len(values)
            assert row["ci_low"] < row["mean"] < row["ci_high"]


def test_a_response_counts_once_however_many_references_it_has() -> None:
    one = pairs(["a", "b", "c"], conversations=1, missing=0)
    two = pairs(["a", "b"], conversations=2, missing=0).filter(pl.col("conversation_id") == "001")
    both = pl.concat([one, two])
    row = (
        summarise(cube(both), Options())
        .filter(pl.col("model") == "a", pl.col("summary") == "all_pairs", pl.col("metric") == "rouge1")
        .row(0, named=True)
    )
    means = [x.filter(pl.col("model") == "a")["rouge1"].cast(pl.Float64).mean() for x in (one, two)]
    assert row["mean"] == pytest.approx(np.mean(means), abs=1e-7)
    assert row["references"] == 1.5


def test_sampled_draws_what_it_says(made: pl.DataFrame, summary: pl.DataFrame) -> None:
    part = summary.filter(pl.col("summary") == "sampled", pl.col("metric") == "rouge1")
    assert part["n"].max() <= 20
    assert part["references"].max() <= 3
    assert part["model"].to_list() == MODELS
    everything = summarise(cube(made), Options(responses=10_000, references=10_000))
    whole = everything.filter(pl.col("metric") == "rouge1").sort("model")
    np.testing.assert_allclose(
        whole.filter(pl.col("summary") == "sampled")["mean"],
        whole.filter(pl.col("summary") == "all_pairs")["mean"],
        atol=1e-8,
    )
    other = summarise(cube(made), Options(seed=51, responses=20, references=3))
    assert other.filter(pl.col("summary") == "sampled")["mean"].to_list() != part["mean"].to_list()
    assert summarise(cube(made), Options(responses=20, references=3, resamples=400)).equals(summary)


def test_released_notebook_is_a_running_average(made: pl.DataFrame, summary: pl.DataFrame) -> None:
    """With as many models as it draws, the draw is every model, and the result can be written down."""
    few = pairs(MODELS[:5])
    row = (
        summarise(cube(few), Options())
        .filter(
            pl.col("summary") == "released_notebook", pl.col("model") == "m2", pl.col("metric") == "meteor"
        )
        .row(0, named=True)
    )
    average = spread = None
    used = 0
    for _, part in (
        few.filter(pl.col("model") == "m2")
        .sort("conversation_id")
        .group_by("conversation_id", maintain_order=True)
    ):
        if part.height < 4:
            continue  # the notebook keeps turns that all the drawn models have
        used += 1
        values = part["meteor"].cast(pl.Float64).to_numpy()
        mean, sd = values.mean(), values.std()
        average = mean if average is None else 0.3 * mean + 0.7 * average
        spread = sd if spread is None else 0.3 * sd + 0.7 * spread
    assert (row["n"], row["references"]) == (used, 4)
    assert row["mean"] == pytest.approx(average, abs=1e-7)
    assert row["sd"] == pytest.approx(spread, abs=1e-7)
    assert row["ci_low"] is None


def test_the_last_ten_turns_carry_97_percent() -> None:
    first = np.zeros(500)
    first[-10:] = 1
    assert notebook_average(first) == pytest.approx(1 - 0.7**10)
    assert notebook_average(first) > 0.97


def test_agreement_measures_the_distance_to_all_pairs(summary: pl.DataFrame) -> None:
    found = agreement(summary).filter(pl.col("metric") == "rouge1").sort("summary")
    for row in found.iter_rows(named=True):
        part = summary.filter(pl.col("metric") == "rouge1")
        own = part.filter(pl.col("summary") == row["summary"]).sort("model")["mean"].to_numpy()
        truth = part.filter(pl.col("summary") == "all_pairs").sort("model")["mean"].to_numpy()
        error = own - truth
        assert row["models"] == 7
        assert row["sd_models"] == pytest.approx(truth.std(ddof=1), abs=1e-7)
        assert row["sd_error"] == pytest.approx(error.std(ddof=1), abs=1e-7)
        assert row["rms_error"] == pytest.approx(np.sqrt((error**2).mean()), abs=1e-7)
        assert row["worst"] == pytest.approx(abs(error).max(), abs=1e-7)
        assert row["worst_model"] == MODELS[int(abs(error).argmax())]
        assert row["rank_correlation"] == pytest.approx(stats.spearmanr(own, truth)[0], abs=1e-7)


@pytest.mark.parametrize("way", ["bootstrap", "normal"])
def test_intervals_cover_and_respect_clusters(way: str) -> None:
    chance = np.random.default_rng(4)
    options = Options(interval=way, resamples=400)  # type: ignore[arg-type]
    hits = 0
    for _ in range(200):
        values = chance.normal(0, 1, (60, 1))
        mean, low, high = interval(values, np.arange(60), options)
        assert mean[0] == pytest.approx(values.mean())
        hits += bool(low[0] <= 0 <= high[0])
    assert 178 <= hits <= 200
    base = chance.normal(0, 1, (30, 1))
    twice = np.repeat(base, 2, axis=0)
    clustered = interval(twice, np.repeat(np.arange(30), 2), options)
    single = interval(base, np.arange(30), options)
    np.testing.assert_allclose(clustered[1:], single[1:], atol=1e-9)  # copies add no information
    alone = interval(base[:1], np.zeros(1, np.int64), options)
    assert np.isnan(alone[1]).all()


def test_matrix_and_responses(made: pl.DataFrame) -> None:
    data = cube(made)
    found = matrix(data).filter(
        pl.col("metric") == "meteor", pl.col("model") == "m1", pl.col("reference") == "m5"
    )
    part = made.filter(pl.col("model") == "m1", pl.col("reference") == "m5")
    assert found["n"][0] == part.height
    assert found["mean"][0] == pytest.approx(part["meteor"].cast(pl.Float64).mean(), abs=1e-7)
    rows = per_response(data)
    assert rows.height == made.select("conversation_id", "turn", "model").n_unique()
    one = rows.filter(pl.col("conversation_id") == "005", pl.col("model") == "m3").row(0, named=True)
    part = made.filter(pl.col("conversation_id") == "005", pl.col("model") == "m3")
    assert one["references"] == part.height
    assert one["rouge1"] == pytest.approx(part["rouge1"].cast(pl.Float64).mean(), abs=1e-7)
    assert one["bleu"] is None


def test_nothing_to_summarise(made: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="no pair of responses was compared"):
        cube(made.clear())


def test_figures_hold_the_numbers(made: pl.DataFrame, summary: pl.DataFrame) -> None:
    data = cube(made)
    table = matrix(data)
    models, values = square(table, "rouge1")
    assert models == MODELS
    assert np.isnan(np.diag(values)).all()
    assert values[0, 1] == pytest.approx(values[1, 0], abs=1e-7)
    figure = heat_map(table, "rouge1", {"m0": "Zero"})
    main = figure.axes[1]
    labels = [t.get_text() for t in main.get_yticklabels()]
    assert sorted(labels) == sorted(["Zero", *MODELS[1:]])
    order = [MODELS.index(x) if x != "Zero" else 0 for x in labels]
    np.testing.assert_array_equal(main.images[0].get_array().filled(np.nan), values[np.ix_(order, order)])

    figure = distribution(per_response(data), "rouge1", {})
    bars = figure.axes[0]
    medians = dict(
        zip((t.get_text() for t in bars.get_yticklabels()), bars.lines[0].get_xdata(), strict=True)
    )
    expected = per_response(data).filter(pl.col("model") == "m4")["rouge1"].median()
    assert medians["m4"] == pytest.approx(expected)

    billions = [1, 7, 70, 3, 14, 405]
    sizes = {f"m{i}": n * 10**9 for i, n in enumerate(billions)}
    axes = against_size(summary, "meteor", sizes, {}).axes[0]
    assert axes.lines[0].get_xdata().tolist() == billions
    means = summary.filter(
        pl.col("summary") == "all_pairs", pl.col("metric") == "meteor", pl.col("role") == "hypothesis"
    )
    assert axes.lines[0].get_ydata().tolist() == means["mean"].to_list()[:6]
    assert "6 models; 1 of unknown size left out" in axes.get_title(loc="left")
    rho = stats.spearmanr(billions, means["mean"][:6])[0]
    assert f"Spearman's ρ {rho:.2f}" in axes.get_title(loc="left")
    few = against_size(summary, "meteor", {"m0": 10**9, "m1": 7 * 10**9, "m2": 7 * 10**10}, {}).axes[0]
    assert few.get_title(loc="left") == "3 models; 4 of unknown size left out"  # too few for a correlation
    assert "0 models; 7 of unknown size" in against_size(summary, "meteor", {}, {}).axes[0].get_title(
        loc="left"
    )


def test_clustering_puts_like_models_side_by_side() -> None:
    values = np.full((6, 6), 0.2)
    for a, b in ((0, 3), (1, 4), (2, 5)):
        values[a, b] = values[b, a] = 0.9
    np.fill_diagonal(values, np.nan)
    from scipy.cluster.hierarchy import leaves_list

    tree = clustering(values)
    assert tree is not None
    leaves = leaves_list(tree).tolist()
    assert {frozenset(leaves[i : i + 2]) for i in (0, 2, 4)} == {
        frozenset({0, 3}),
        frozenset({1, 4}),
        frozenset({2, 5}),
    }
    assert clustering(values[:2, :2]) is None
    assert set(ALL_METRICS) >= {"rouge1_unicode", "meteor_nosyn"}

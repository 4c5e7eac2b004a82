"""AlpacaEval win rates: by hand, against the leaderboard, and against the library."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.evaluation.win_rates import schema
from rewild.evaluation.win_rates.annotations import (
    COEFFICIENTS,
    read_annotations,
    read_coefficients,
    read_leaderboard,
)
from rewild.evaluation.win_rates.compute import agreement, equal_digits, win_rates
from rewild.evaluation.win_rates.length_control import (
    GamedTerm,
    at_equal_length,
    estimate_gamed_term,
    features,
    fit,
    logistic,
    recover_difficulties,
)


def row(i: int, preference: Any, **more: Any) -> dict[str, Any]:
    return {
        "instruction": f"question {i}",
        "output_1": "x" * 10,
        "generator_1": "baseline",
        "output_2": "y" * (5 + i),
        "generator_2": "model",
        "preference": preference,
        **more,
    }


def logprobs(small: float, large: float) -> dict[str, Any]:
    top = [{"token": "m", "logprob": small}, {"token": "M", "logprob": large}]
    return {"raw_completion": {"logprobs": {"content": [{"top_logprobs": top}]}}}


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
    return path


LEADERBOARD = (
    ",win_rate,standard_error,n_wins,n_wins_base,n_draws,n_total,discrete_win_rate,mode,avg_length,"
    "length_controlled_winrate,lc_standard_error\n"
)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "leaderboard.csv"
    error = float(100 * np.array([0.0, 1.0, 0.5, 0.5]).std(ddof=1) / 2)
    path.write_text(LEADERBOARD + f"model,50.0,{error!r},1,1,2,4,50.0,minimal,7,,\n")
    return path


def test_raw_win_rates_by_hand(tmp_path: Path, published: Path) -> None:
    """Wins, draws (1.5 and the old 0), text as a number; null and NaN are not counted."""
    rows = [row(1, 1.0), row(2, 2), row(3, "1.5"), row(4, 0), row(5, None), row(6, math.nan)]
    file = read_annotations(write(tmp_path / "annotations.json", rows))
    rates = win_rates([file], read_leaderboard(published), {}, None)
    rates = schema.WIN_RATES.check(rates, "rates")
    assert rates["metric"].to_list() == ["win_rate", "discrete_win_rate", "avg_length", "lc_no_difficulty"]
    raw = rates.row(0, named=True)
    assert (raw["value"], raw["n"], raw["n_wins"], raw["n_draws"]) == (50.0, 4, 1, 2)
    assert raw["standard_error"] == pytest.approx(100 * math.sqrt(0.5 / 3) / 2)
    assert raw["matches_all_digits"]
    assert rates.row(1, named=True)["value"] == 50.0
    assert rates.row(2, named=True)["value"] == 8.0  # (6 + … + 11) / 6 = 8.5, cut
    assert not rates.row(2, named=True)["matches_all_digits"]
    assert rates.row(3, named=True)["published"] is None
    found = schema.AGREEMENT.check(agreement(rates), "agreement")
    assert found.rows() == [
        ("win_rate", 1, 0.0, 0.0, "model", 1),
        ("discrete_win_rate", 1, 0.0, 0.0, "model", 1),
        ("avg_length", 1, 1.0, 1.0, "model", 0),
    ]


@pytest.mark.parametrize("column", ["n_wins", "n_wins_base", "n_draws", "n_total", "standard_error"])
def test_other_counts_are_no_match(tmp_path: Path, published: Path, column: str) -> None:
    file = read_annotations(write(tmp_path / "a.json", [row(i, p) for i, p in enumerate([1, 2, 1.5, 1.5])]))
    board = read_leaderboard(published)
    assert win_rates([file], board, {}, None)["matches_all_digits"][0]
    board["model"][column] = 3.0
    assert not win_rates([file], board, {}, None)["matches_all_digits"][0]


def test_preferences_are_unrounded_from_logprobs(tmp_path: Path) -> None:
    exact = math.exp(-0.1) / (math.exp(-0.1) + math.exp(-3))
    rows = [
        row(1, 1 + round(exact, 10), **logprobs(-0.1, -3)),
        row(2, 2 - round(exact, 10), **logprobs(-0.1, -3)),  # the outputs were swapped
        row(3, 1.25, **logprobs(-0.1, -3)),  # they are of something else
        row(4, 1.25, raw_completion={"logprobs": None}),
    ]
    file = read_annotations(write(tmp_path / "a.json", rows))
    assert file.has_logprobs
    assert file.unrounded.tolist() == [exact, 1 - exact, 0.25, 0.25]
    assert file.preference.tolist() != file.unrounded.tolist()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "a list of annotations was expected"),
        ({"a": 1}, "row 1: the field 'instruction' is missing"),
        ([row(1, 1), 7], "row 2: an annotation is an object, not int"),
        ([{"instruction": "x"}], "row 1: the field 'output_1' is missing"),
        ([row(1, 1, output_2=None)], "row 1, field 'output_2': text was expected, not None"),
        ([row(1, 1), row(2, "best")], "row 2, field 'preference': 'best' is not a number"),
        ([row(1, 3)], "row 1, field 'preference': 3 is not a preference from 1 to 2"),
        ([row(1, 1), row(2, 1, generator_2="other")], "row 2: of model 'other', but the file starts with"),
        ([row(1, 1, glm_preference=1.0)], "row 1, field 'glm_preference': 1.0 is not between 0 and 1"),
    ],
)
def test_bad_annotations_are_named(tmp_path: Path, rows: Any, message: str) -> None:
    path = write(tmp_path / "annotations.json", rows)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_annotations(path)
    assert str(path) in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json: no such file"):
        read_annotations(tmp_path / "none.json")
    (tmp_path / "cut.json").write_text('[{"instruction": "x"')
    with pytest.raises(DataError, match=r"cut\.json.*: not JSON"):
        read_annotations(tmp_path / "cut.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty (a table of numbers was expected)"),
        (",win_rate,n_total\n", "column 'standard_error' is missing"),
        (LEADERBOARD, "no rows"),
        (LEADERBOARD + "a,1\n", "line 2: 12 values were expected, not 2"),
        (LEADERBOARD + "a,many,1,1,1,1,1,1,x,1,1,1\n", "line 2, column 'win_rate': 'many' is not a number"),
        (
            LEADERBOARD + "a,nan,1,1,1,1,1,1,x,1,1,1\n",
            "line 2, column 'win_rate': nan is not a finite number",
        ),
        (LEADERBOARD + "a,1,1,1,1,1,1,1,x,1,1,1\n" * 2, "line 3: 'a' stands twice"),
    ],
)
def test_a_bad_leaderboard_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "leaderboard.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(message)):
        read_leaderboard(path)


def test_coefficients_must_be_whole(tmp_path: Path) -> None:
    path = tmp_path / "weights.csv"
    path.write_text(f",{','.join(COEFFICIENTS)}\nmodel,1,,2\n")
    with pytest.raises(DataError, match="model has no coefficient 'instruction_difficulty'"):
        read_coefficients(path)


def test_models_stand_once_and_need_no_leaderboard(tmp_path: Path, published: Path) -> None:
    board = read_leaderboard(published)
    file = read_annotations(write(tmp_path / "a.json", [row(1, 1), row(2, 2)]))
    with pytest.raises(DataError, match=r"model stands in .* already"):
        win_rates([file, file], board, {}, None)
    other = read_annotations(write(tmp_path / "b.json", [row(1, 1, generator_2="modle")]))
    new = win_rates([other], board, {}, None)  # what the analysis is for: a model nobody has ranked
    assert set(new["model"]) == {"modle"}
    assert new["published"].null_count() == new.height
    known = win_rates([file], board, {}, None)
    assert new.filter(metric="discrete_win_rate")["value"].to_list() == [0.0]
    assert known["published"].null_count() < known.height
    empty = read_annotations(write(tmp_path / "c.json", [row(1, None)]))
    with pytest.raises(DataError, match="not one annotation has a preference"):
        win_rates([empty], board, {}, None)
    named = write(tmp_path / "results/model/judge/annotations.json", [row(1, 1, generator_2="example")])
    assert read_annotations(named, board).model == "model"
    assert read_annotations(named).model == "example"


def test_equal_digits() -> None:
    assert equal_digits(0.1 + 0.2, 0.3)
    assert not equal_digits(76.91979180372671, 76.91979180386511)


def test_difficulties_come_back_exactly(tmp_path: Path) -> None:
    """Predictions made with known difficulties and coefficients give the difficulties back."""
    rng = np.random.default_rng(1)
    d, b = rng.normal(size=40), np.array([-1.9, 1.1, -3.5])
    p = logistic(b[1] * d + b[2])
    rows = [row(i, 1.2, glm_preference=float(q)) for i, q in enumerate(p)]
    file = read_annotations(write(tmp_path / "a.json", rows))
    assert recover_difficulties([file], {}) is None
    found = recover_difficulties([file], {"model": b})
    assert found is not None
    assert found.values == pytest.approx(d, abs=1e-12)
    part = read_annotations(write(tmp_path / "b.json", [rows[3], rows[1]]))
    assert found.of(part).tolist() == found.values[[3, 1]].tolist()
    assert found.by_position(part).tolist() == found.values[:2].tolist()
    unknown = read_annotations(write(tmp_path / "c.json", [row(1, 1), row(99, 1)]))
    with pytest.raises(DataError, match=r"c\.json, row 2: this instruction's difficulty is not known"):
        found.of(unknown)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_the_fit_is_the_maximum(seed: int, gamed: bool) -> None:
    """Against a general optimiser, with and without the quadratic."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.tanh(rng.normal(size=200)), rng.normal(size=200), np.ones(200)])
    y = logistic(x @ rng.normal(size=3) + rng.normal(size=200))
    term = GamedTerm(np.array([-17.0, 18.5]), np.array([[12.0, 7.5], [7.5, 42.0]])) if gamed else None

    def loss(b):  # type: ignore[no-untyped-def]
        e = x @ b
        extra = 0.0 if term is None else term.gradient @ b[:2] - b[:2] @ term.curvature @ b[:2] / 2
        return np.logaddexp(0, e).sum() - y @ e - extra

    b = fit(x, y, term)
    assert b == pytest.approx(minimize(loss, np.zeros(3), method="BFGS", tol=1e-10).x, abs=2e-3)
    assert loss(b) <= loss(b + rng.normal(size=3) * 1e-3)


def test_separable_preferences_do_not_break_the_fit() -> None:
    x = np.column_stack([np.linspace(-1, 1, 30), np.ones(30)])
    b = fit(x, (x[:, 0] > 0).astype(float))
    assert np.isfinite(b).all()
    assert at_equal_length(b, None, 3) == pytest.approx(logistic(np.full(3, b[-1])))


def test_the_gamed_term_is_found_from_solutions() -> None:
    """Models fitted with a known quadratic give that quadratic back."""
    rng = np.random.default_rng(3)
    term = GamedTerm(np.array([-17.0, 18.5]), np.array([[12.0, 7.5], [7.5, 42.0]]))
    models = []
    for _ in range(6):
        x = np.column_stack([np.tanh(rng.normal(size=500)), rng.normal(size=500), np.ones(500)])
        y = logistic(x @ rng.normal(size=3) + rng.normal(size=500))
        models.append((x, y, fit(x, y, term)))
    found = estimate_gamed_term(models)
    assert found is not None
    assert found.gradient == pytest.approx(term.gradient, abs=1e-3)
    assert found.curvature == pytest.approx(term.curvature, abs=1e-3)
    assert estimate_gamed_term(models[:2]) is None


def test_equal_lengths_have_no_length_feature(tmp_path: Path) -> None:
    rows = [row(i, 1.5, output_2="y" * 10) for i in range(3)]
    x, y = features(read_annotations(write(tmp_path / "a.json", rows)), None)
    assert x.tolist() == [[0, 1]] * 3
    assert y.tolist() == [0.5] * 3


@pytest.fixture(scope="module")
def released_files(mirror: Path) -> tuple[list[Path], Path, Path]:
    folder = next(mirror.glob("tatsu-lab/alpaca_eval/*/src")).parent
    annotations = sorted(folder.glob("results/**/annotations.json"))
    (leaderboard,) = folder.glob("src/alpaca_eval/leaderboards/*/*_leaderboard.csv")
    (weights,) = folder.glob("src/alpaca_eval/metrics/weights/*/*/*.csv")
    return annotations, leaderboard, weights


@pytest.fixture(scope="module")
def computed(released_files, root: Path, rewild, tmp_path_factory) -> Path:  # type: ignore[no-untyped-def]
    annotations, leaderboard, weights = released_files
    out: Path = tmp_path_factory.mktemp("win_rates")
    run = rewild(
        root,
        "win-rates",
        *annotations,
        f"--leaderboard={leaderboard}",
        f"--weights={weights}",
        f"--out={out}",
    )
    assert run.returncode == 0, run.stdout
    return out


@pytest.mark.mirror
def test_raw_win_rates_equal_the_leaderboard_in_all_digits(computed: Path) -> None:
    rates = read_table(computed / "win_rates.csv", schema.WIN_RATES)
    raw = rates.filter(metric="win_rate")
    assert raw.height == 20
    # These two were released rounded; their log-probabilities give back what was rounded away.
    rounded = raw.filter(~pl.col("matches_all_digits"))
    assert rounded["model"].to_list() == ["NullModel", "vicuna-13b-v1.5-togetherai"]
    assert rounded["difference"].abs().max() < 2e-10
    exact = rates.filter(metric="win_rate_logprobs")
    assert exact.filter(model="NullModel")["matches_all_digits"].item()
    assert abs(exact.filter(model="vicuna-13b-v1.5-togetherai")["difference"].item()) < 2e-11
    assert rates.filter(metric="discrete_win_rate")["matches_all_digits"].all()
    one = raw.filter(model="claude-2").row(0, named=True)
    assert (one["value"], one["n"], one["n_wins"], one["n_draws"]) == (17.188240356708075, 805, 131, 1)


@pytest.mark.mirror
def test_published_coefficients_give_the_published_length_controlled_rates(computed: Path) -> None:
    rates = read_table(computed / "win_rates.csv", schema.WIN_RATES).filter(metric="lc_published_weights")
    far = rates.filter(pl.col("difference").abs() > 2e-9)
    assert rates.height == 20
    assert far["model"].to_list() == ["NullModel"]  # its coefficients are of another fit than its win rate
    assert far["difference"].item() == pytest.approx(-0.13278659, abs=1e-7)


@pytest.mark.mirror
def test_how_near_the_offline_rates_come(computed: Path) -> None:
    """The numbers that the documentation states."""
    found = read_table(computed / "agreement.csv", schema.AGREEMENT)
    mean = dict(found.select("metric", "mean_abs_difference").iter_rows())
    most = dict(found.select("metric", "max_abs_difference").iter_rows())
    assert mean["lc_offline_as_library"] == pytest.approx(0.072, abs=0.001)
    assert most["lc_offline_as_library"] == pytest.approx(0.482, abs=0.001)
    assert mean["lc_offline"] == pytest.approx(0.319, abs=0.001)
    assert mean["lc_no_gamed"] == pytest.approx(1.15, abs=0.01)
    assert mean["lc_no_difficulty"] == pytest.approx(6.60, abs=0.01)
    rates = read_table(computed / "win_rates.csv", schema.WIN_RATES)
    # Complete files do not depend on how difficulties are matched; the two incomplete ones do, by 2.5 points.
    value = {(m, k): v for m, k, v in rates.select("model", "metric", "value").iter_rows()}
    moved = {m: value[m, "lc_offline_as_library"] - v for (m, k), v in value.items() if k == "lc_offline"}
    assert {m for m, x in moved.items() if abs(x) > 1e-9} == {"text_davinci_001", "minotaur-13b"}
    assert moved["text_davinci_001"] == pytest.approx(2.58, abs=0.02)
    assert "| text_davinci_001 | 803 | 2.76 ± 0.52 = |" in (computed / "win_rates.md").read_text()


@pytest.mark.mirror
def test_the_library_agrees(computed: Path, released_files, root: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The alpaca_eval library, where its environment has been built (rule build_alpaca_eval)."""
    python = Path(os.environ.get("REWILD_ALPACA_EVAL") or root / ".envs/alpaca-eval/bin/python")
    if not python.is_file():
        pytest.skip(f"needs the alpaca_eval environment: {python} is not there")
    run = subprocess.run(
        [
            *(python, "-m", "rewild", "win-rates-by-library", *released_files[0], "--offline"),
            f"--rates={computed / 'win_rates.csv'}",
            f"--difficulties={computed / 'difficulties.csv'}",
            f"--out={tmp_path / 'library.csv'}",
        ],
        env=os.environ | {"PYTHONPATH": str(root / "workflow")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    library = read_table(tmp_path / "library.csv", schema.LIBRARY)
    assert library.height == 20
    # The library matches difficulties by position: its rates of incomplete files are of other instructions.
    complete = library.filter(~pl.col("model").is_in(["text_davinci_001", "minotaur-13b"]))
    assert complete["difference"].abs().max() < 0.15  # its L1 penalty, chosen by cross-validation
    assert complete["difference"].abs().mean() < 0.06


def test_without_the_library_the_message_says_what_to_do(tmp_path: Path, root: Path, rewild) -> None:  # type: ignore[no-untyped-def]
    from rewild.core.table import provenance, write_table

    difficulties = pl.DataFrame({"position": [0], "instruction_sha256": ["x"], "difficulty": [0.5]})
    write_table(tmp_path / "difficulties.csv", difficulties, schema.DIFFICULTIES, provenance())
    rates = pl.DataFrame(
        [("model", "win_rate", 1.0, 1.0, 1, 1, 0, None, None, None)],
        schema=schema.WIN_RATES.dtypes,
        orient="row",
    )
    write_table(tmp_path / "rates.csv", rates, schema.WIN_RATES, provenance())
    run = rewild(
        root,
        "win-rates-by-library",
        write(tmp_path / "a.json", [row(1, 1)]),
        f"--rates={tmp_path / 'rates.csv'}",
        f"--difficulties={tmp_path / 'difficulties.csv'}",
        f"--out={tmp_path / 'library.csv'}",
        "--offline",
    )
    assert run.returncode == 1
    assert "run this in an environment made from envs/alpaca-eval.txt" in " ".join(run.stdout.split())
    assert not (tmp_path / "library.csv").exists()

"""Judges compared: agreement, length and position, against plain arithmetic and scipy; files to figures."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from rewild import own
from rewild.__main__ import app
from rewild.config.base import validate
from rewild.config.measures import Factors, Length
from rewild.core.errors import DataError
from rewild.core.table import read_table
from rewild.measures import judges as j
from rewild.measures import judges_figures as f
from rewild.measures.run import schema_of, write_measure

TWO = ["factuality", "readability"]
ROW = {"kind": "factors", "model": "llama-3-8b-instruct", "criteria": TWO}
HOW = j.Resampling(7, 200)


def write_judge(folder: Path, name: str, seed: int, **more: Any) -> list[Path]:
    """What a judge says of two models: 8 conversations of 2 turns; length pleases it."""
    settings = validate(Factors, ROW | more, "m")
    schema, paths = schema_of(settings), []
    quality, draw = np.random.default_rng(1), np.random.default_rng(seed)
    for model in ("a", "b"):
        rows = []
        for c, turn in itertools.product(range(8), range(2)):
            words = int(quality.integers(10, 200))
            row: dict[str, Any] = dict.fromkeys(schema.columns) | {"words": words, "scored": 2}
            row |= {"conversation_id": f"c{c}", "turn": turn, "sample": 0}
            for criterion in TWO:
                score = 3 + quality.normal() + 0.5 * np.log2(words / 50) - 0.8 * turn + draw.normal() / 2
                row[criterion] = float(np.clip(score, 1, settings.scale))
                row[f"{criterion}_entropy"], row[f"{criterion}_mass"] = 1.5, 0.9
                if settings.order == "both":
                    row[f"{criterion}_order"] = 0.25
            row["overall"] = (row["factuality"] + row["readability"]) / 2
            if (model, c, turn) == ("b", 3, 1):
                row = {k: row[k] for k in ("conversation_id", "turn", "sample")}
                row = dict.fromkeys(schema.columns) | row | {"failure": "too_long: 9 tokens"}
            if (model, c, turn) == ("a", 2, 0):
                row |= {"readability": None, "overall": None, "readability_mass": 0.1, "scored": 1}
            rows.append(row)
        paths.append(folder / name / f"{model}.parquet")
        about = {
            "measure": name,
            "subject": model,
            "digest": "x",
            "identity": {"settings": settings.identity},
        }
        write_measure(paths[-1], pl.DataFrame(rows, schema=schema.dtypes), schema, [], about)
    return paths


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("judges")
    one = write_judge(folder, "one", 2, order="both")
    return [*one, *write_judge(folder, "two", 3), *write_judge(folder, "three", 4, scale=5)]


@pytest.fixture(scope="module")
def judges(files: list[Path]) -> dict[str, j.Judge]:
    return {judge.name: judge for judge in j.read_judges(files)}


def alpha(scores: np.ndarray[Any, Any]) -> float:
    """Krippendorff's alpha for intervals, pair by pair."""
    values = scores.ravel()
    seen = [(a - b) ** 2 for row in scores for a, b in itertools.permutations(row, 2)]
    chance = [(a - b) ** 2 for a, b in itertools.permutations(values, 2)]
    return float(1 - np.mean(seen) / np.mean(chance))


def test_agreement_is_alpha_and_rank_correlation(judges: dict[str, j.Judge]) -> None:
    table = j.agreement(list(judges.values()), HOW)
    assert table.height == 3 * (3 + 1)  # three criteria; three pairs, and all of them
    for row in table.iter_rows(named=True):
        pair = row["first"] != j.ALL
        group = [judges[row[k]] for k in ("first", "second")] if pair else list(judges.values())
        shares = [
            {
                (r["subject"], r["conversation_id"], r["turn"]): (r[row["criterion"]] - 1) / (judge.scale - 1)
                for r in judge.answers.iter_rows(named=True)
                if r[row["criterion"]] is not None
            }
            for judge in group
        ]
        scores = np.array([[s[key] for s in shares] for key in sorted(set.intersection(*map(set, shares)))])
        assert row["n"] == len(scores) == (31 if row["criterion"] == "factuality" else 30)
        assert row["alpha"] == pytest.approx(alpha(scores), abs=1e-7)
        assert row["alpha_low"] < row["alpha"] < row["alpha_high"] < 1
        if pair:
            assert row["rho"] == pytest.approx(spearmanr(*scores.T).statistic, abs=1e-7)
            assert row["rho_low"] < row["rho"] < row["rho_high"]
            assert row["difference"] == pytest.approx(float(np.mean(scores[:, 1] - scores[:, 0])), abs=1e-7)
        else:
            assert row["rho"] is row["difference"] is None


def test_alpha_is_that_of_krippendorffs_own_example() -> None:
    """Krippendorff (2011), Computing Krippendorff's Alpha-Reliability: of four observers 0.849."""
    observers = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 ."]
    observers.append("1 2 3 3 2 4 4 1 2 5 1 .")
    terms = []
    for unit in zip(*(line.split() for line in observers), strict=True):
        values = np.array([float(v) for v in unit if v != "."])
        if (m := len(values)) > 1:
            within = 2 * m / (m - 1) * ((values - values.mean()) ** 2).sum()
            terms.append([m, within, values.sum(), (values**2).sum()])
    assert j._alpha(np.array(terms).sum(axis=0)) == pytest.approx(0.849, abs=5e-4)


def test_the_same_scores_agree_whole_and_constant_ones_not_at_all(judges: dict[str, j.Judge]) -> None:
    one = judges["one"]
    twin = j.Judge("twin", one.scale, one.criteria, one.answers)
    same = j.agreement([one, twin], HOW).filter(criterion="factuality").row(0, named=True)
    assert (same["alpha"], same["rho"], same["difference"]) == (1, pytest.approx(1), 0)
    flat = j.Judge("flat", 10, one.criteria, one.answers.with_columns(factuality=pl.lit(4.0)))
    none = j.agreement([flat, flat], HOW).filter(criterion="factuality").row(0, named=True)
    assert none["alpha"] is none["rho"] is none["alpha_low"] is None
    assert j.agreement([one], HOW).is_empty()


def test_length_is_a_slope_per_doubling_and_within_turns_that_of_a_regression(
    judges: dict[str, j.Judge],
) -> None:
    table = j.bias(list(judges.values()), HOW).filter(judge="two", criterion="factuality")
    found = {row["bias"]: row for row in table.iter_rows(named=True)}
    assert set(found) == {"length", "length_within", "turn"}, "this judge read the scale in one order"
    known = judges["two"].answers.filter(pl.col("factuality").is_not_null())
    x, y = np.log2(known["words"].to_numpy()), known["factuality"].to_numpy()
    assert found["length"]["value"] == pytest.approx(np.polyfit(x, y, 1)[0], abs=1e-7)
    turns = known.select(pl.struct("conversation_id", "turn").rank("dense")).to_series().to_numpy() - 1
    both = np.bincount(turns)[turns] == 2
    dummies = np.eye(turns.max() + 1)[turns[both]]
    slope = np.linalg.lstsq(np.column_stack([x[both], dummies]), y[both], rcond=None)[0][0]
    assert found["length_within"]["value"] == pytest.approx(slope, abs=1e-7)
    assert found["length_within"]["n"] == both.sum() == 30
    gaps = []
    for _, part in known.group_by("subject", "conversation_id"):
        scores = dict(part.select("turn", "factuality").iter_rows())
        gaps += [scores[1] - scores[0]] if len(scores) == 2 else []
    assert found["turn"]["n"] == len(gaps) == 15
    assert found["turn"]["value"] == pytest.approx(np.mean(gaps), abs=1e-7)
    for row in found.values():
        assert row["value_low"] < row["value"] < row["value_high"]


def test_the_order_of_the_scale_is_a_mean_of_what_it_changed(judges: dict[str, j.Judge]) -> None:
    table = j.bias([judges["one"]], HOW).filter(bias="order")
    assert dict(table.select("criterion", "value").iter_rows()) == {"factuality": 0.25, "readability": 0.25}
    assert table["n"].to_list() == [31, 31]


def test_means_count_what_has_no_score(judges: dict[str, j.Judge]) -> None:
    table = j.means(list(judges.values()), HOW)
    assert table.height == 3 * 2 * 3
    found = {(r["model"], r["criterion"]): r for r in table.filter(judge="two").iter_rows(named=True)}
    assert [(found[m, "readability"]["n"], found[m, "readability"]["unscored"]) for m in "ab"] == [
        (15, 1)
    ] * 2
    assert [(found[m, "factuality"]["n"], found[m, "factuality"]["unscored"]) for m in "ab"] == [
        (16, 0),
        (15, 1),
    ]
    own_mean = judges["two"].answers.filter(subject="a")["factuality"].mean()
    assert found["a", "factuality"]["mean"] == pytest.approx(own_mean, abs=1e-7)
    assert found["a", "readability"]["mass"] == pytest.approx((15 * 0.9 + 0.1) / 16)
    assert found["a", "overall"]["mass"] is None


def test_one_conversation_has_no_interval_and_nothing_has_no_number() -> None:
    one = HOW.of(pl.Series(["c", "c"]), np.array([[1.0, 2], [1, 4]]), j._mean)
    assert one == (3, None, None)
    assert HOW.of(pl.Series([], dtype=pl.String), np.zeros((0, 2)), j._mean) == (None, None, None)
    again = [HOW.of(pl.Series([*"abc"]), np.array([[1.0, v] for v in (1, 2, 6)]), j._mean) for _ in range(2)]
    assert again[0] == again[1]
    assert 1 <= again[0][1] < 3 < again[0][2] <= 6


def test_figures_show_every_judge_or_say_that_there_is_nothing(judges: dict[str, j.Judge]) -> None:
    everyone = list(judges.values())
    profile = f.profile(j.means(everyone, HOW), {"a": "Model A"})
    panels = [axes for axes in profile.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["one", "three", "two"]
    assert [label.get_text() for label in panels[0].get_xticklabels()] == [
        "Factuality",
        "Readability",
        "Overall",
    ]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["Model A", "b"]
    bias = j.bias(everyone, HOW)
    for kinds in (("length", "length_within"), ("order", "turn")):
        figure = f.biases(bias, kinds)
        assert [axes.get_xlabel() for axes in figure.axes] == [f.WHAT[k] for k in kinds]
        assert len(figure.axes[-1].containers) == 3
    agreement = f.agreements(j.agreement(everyone, HOW))
    assert agreement.axes[0].get_xlabel() == "Krippendorff's alpha"
    alone = f.agreements(j.agreement(everyone[:1], HOW))
    assert [text.get_text() for text in alone.axes[0].texts] == [f.NOTHING["agreement"]]


def test_from_files_to_tables_and_figures(files: list[Path], tmp_path: Path) -> None:
    config = ["--config", str(Path(own("config")).resolve()), "--resamples", "100"]
    run = CliRunner().invoke(app, ["compare-judges", *map(str, files), "--out", str(tmp_path), *config])
    assert run.exit_code == 0, run.output
    for name, schema in (("means", j.MEANS), ("agreement", j.AGREEMENT), ("bias", j.BIAS)):
        assert read_table(tmp_path / f"{name}.csv", schema).height > 10
    assert {p.stem for p in tmp_path.glob("*.svg")} == {"profile", "agreement", "length", "position"}
    first = (tmp_path / "bias.csv").read_bytes()
    CliRunner().invoke(app, ["compare-judges", *map(str, reversed(files)), "--out", str(tmp_path), *config])
    assert (tmp_path / "bias.csv").read_bytes() == first


def test_files_of_another_kind_are_refused(files: list[Path], tmp_path: Path) -> None:
    settings = validate(Length, {"kind": "length"}, "m")
    schema = schema_of(settings)
    about = {"measure": "size", "subject": "a", "digest": "x", "identity": {"settings": settings.identity}}
    write_measure(tmp_path / "size.parquet", pl.DataFrame(schema=schema.dtypes), schema, [], about)
    with pytest.raises(DataError, match=r"size\.parquet: of the measure size, which is of kind 'length'"):
        j.read_judges([*files, tmp_path / "size.parquet"])
    with pytest.raises(DataError, match="no files of a judge"):
        j.read_judges([])

"""Teachers of a study: what is compared, what has no score, pages before and after, agreement of bases."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import rankdata

import described as d
from rewild.config import load_models
from rewild.config.roster import make_roster
from rewild.core.table import read_table
from rewild.report.teachers import schema
from rewild.report.teachers.plan import plan_teachers
from test_teachers_ranked import BASES, RAW, ROOT, SCORED, TEACHERS, Place, likely, study, teaching


def test_only_turns_that_all_teachers_were_asked_are_compared(tmp_path: Path) -> None:
    """One teacher was asked ten prompts more, on which it is far better: they are not looked at."""
    place = Place(tmp_path)
    files, root = place.measures([3.0, 5.0, 4.0, 6.0, 2.0]), tmp_path / "results/s"
    said = [[{"reward": 3.0 + (n % 2)}] for n in range(20)] + [[{"reward": 900.0}]] * 10
    d.write_measure(root, "reward", "reward", said, TEACHERS[0])
    d.write_measure(root, "size", "length", [[{"words": 5, "characters": 30}]] * 30, TEACHERS[0])
    for base in BASES:
        d.write_measure(root, f"loss-{base}", "likelihood", [[likely(1.0)]] * 30, TEACHERS[0])
    place.run("rank-teachers", "s", *files, "--out", place.out)
    found = read_table(place.out / "ranking.csv", schema.RANKING).filter(base=BASES[0])
    rows = {r["teacher"]: r for r in found.iter_rows(named=True)}
    assert (rows[TEACHERS[0]]["reward"], rows[TEACHERS[0]]["responses"]) == (3.5, 20)
    assert [rows[t]["left_out"] for t in TEACHERS] == [10, 0, 0, 0, 0]
    values = read_table(place.out / "values.csv", schema.VALUES)
    assert values.filter(teacher=TEACHERS[0], predictor="words")["responses"].unique().to_list() == [20]
    shown = place.run("teachers", "s", "--results", tmp_path / "results", "--base", BASES[0])
    assert "Compared on the turns that all were asked; left out: 10 of gemma-2-9b-it." in shown
    for teacher, start in zip(TEACHERS, range(5), strict=True):  # no prompt in common
        d.write_measure(root, "reward", "reward", [[]] * start + [[{"reward": 1.0}]], teacher)
    why = place.run("rank-teachers", "s", *files, "--out", place.out, fails=True)
    assert "no prompt was asked of all of" in why


def test_fine_tunes_without_a_score_are_rows_that_say_so(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run("rank-teachers", "s", *place.measures([3.0, 5.0, 4.0, 6.0, 2.0]), "--out", place.out)
    bare = place.run("show-teachers", "s", "--folder", place.out, fails=True)
    assert "findings.csv is not there yet" in bare
    assert "--before" in bare
    bare = place.run("view-teachers", "s", "beta", "--folder", place.out, "--out", tmp_path / "x", fails=True)
    assert "'beta' is of scores" in bare
    place.run("judge-teachers", "s", "--folder", place.out, "--scores", place.scores({"other": (1.0, 2.0)}))
    rows = read_table(place.out / "performance.csv", schema.PERFORMANCE)
    assert rows.height == len(BASES) * len(TEACHERS) * 3
    means = rows.filter(benchmark=schema.MEAN)
    assert means["why"].unique().to_list() == ["no score of alpaca-eval, arena-hard"]
    for name in ("performance", "benchmarks", "correlations", "beta"):
        place.run("view-teachers", "s", name, "--folder", place.out, "--out", place.out / "views" / name)
    cells = (place.out / "views/benchmarks.md").read_text(encoding="utf-8")
    assert cells.count("no score of alpaca-eval, arena-hard") == len(BASES) * len(TEACHERS)
    stated = read_table(place.out / "findings.csv", schema.FINDINGS)
    assert (stated.height, stated["missing"].null_count()) == (10, 0)
    shown = place.run("teachers", "s", "--results", tmp_path / "results")
    assert "of 0 teachers there is no rank correlation" in shown


def test_the_page_before_any_training(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run("rank-teachers", "s", *place.measures([3.0, 5.0, 4.0, 6.0, 2.0]), "--out", place.out)
    for name in ("candidates", "rewards", "lengths", "perplexity", "ifd"):
        place.run("view-teachers", "s", name, "--folder", place.out, "--out", place.out / "views" / name)
    place.run("show-teachers", "s", "--before", "--folder", place.out)
    page = (place.out / "before.html").read_text(encoding="utf-8")
    assert "There are no scores yet" in page
    assert page.count("Doubt:") == len(BASES)
    assert page.count("data:image/svg+xml;base64,") == 4
    assert "Findings" not in page
    assert "There are no scores yet" in (place.out / "before.md").read_text(encoding="utf-8")


def test_base_models_agree_as_kendalls_w_says(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run("rank-teachers", "s", *place.measures([3.0, 5.0, 4.0, 6.0, 2.0]), "--out", place.out)
    place.run("judge-teachers", "s", "--folder", place.out, "--scores", place.scores(SCORED))
    found = (
        read_table(place.out / "findings.csv", schema.FINDINGS).filter(finding="agreement").row(0, named=True)
    )
    real = [[math.fsum(SCORED[f"{b}-on-{t}"]) for t in TEACHERS] for b in BASES]
    a, b = (rankdata(row) for row in real)
    apart, wrong = ((a + b - 6) ** 2).sum(), ((a - 3) ** 2).sum() + ((b - 3) ** 2).sum()
    assert found["value"] == pytest.approx(apart / (2 * wrong))
    assert found["low"] <= found["value"] <= found["high"]
    assert found["n"] == 5
    mean = read_table(place.out / "correlation.csv", schema.CORRELATION).filter(
        base=schema.MEAN, predictor="reward"
    )
    assert mean["low"][0] <= mean["rho"][0] <= mean["high"][0]
    assert 0 < mean["p"][0] <= 1


BLENDED = {
    "mixes": {"all": {"size": 10, "sources": [{"kind": "responses", "model": t} for t in TEACHERS]}},
    "runs": {"x": {"model": BASES[0], "mix": "all", "recipe": "stronger-teachers"}},
}


@pytest.mark.parametrize("changed", [teaching(car=None), BLENDED | teaching(bases=BASES[:1])])
def test_a_study_without_car_or_without_a_fine_tune_of_one_teacher_has_its_page(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    place = Place(tmp_path, RAW | changed)
    place.run("rank-teachers", "s", *place.measures([3.0, 5.0, 4.0, 6.0, 2.0]), "--out", place.out)
    place.run("judge-teachers", "s", "--folder", place.out, "--scores", place.scores(SCORED))
    given = study(**changed)
    plan = plan_teachers(given, make_roster(given, load_models(ROOT / "config")))
    place.run("view-teachers", "s", "candidates", "--folder", place.out, "--out", tmp_path / "candidates")
    gone = {one.shown for one in plan.left_out}
    assert "beta" in gone
    assert ("performance" in gone) == ("runs" in changed)
    assert "Doubt" in place.run("teachers", "s", "--results", tmp_path / "results", "--base", BASES[0])

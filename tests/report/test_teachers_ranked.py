"""Teachers of a study: ranked from measures, judged by scores; the paper's own table as scores; faults."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy.stats import binomtest, rankdata, spearmanr
from typer.testing import CliRunner

import described as d
from rewild.cli.teachers import app
from rewild.config import load_models
from rewild.config.base import validate
from rewild.config.reasoning import Reasoning
from rewild.config.roster import make_roster
from rewild.config.study import Study
from rewild.core.errors import ConfigError, DataError
from rewild.core.table import read_table, write_table
from rewild.evaluation.scores.tidy import SCORES, scores_frame
from rewild.measures.teachers.car import car
from rewild.report.teachers import schema
from rewild.report.teachers.cost import prices
from rewild.report.teachers.open import hours_of
from rewild.report.teachers.page import LEFT_OUT
from rewild.report.teachers.plan import check_study, plan_teachers

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "workflow/rewild/papers/teachers/data"
BASES = ["qwen2-7b", "gemma-2-9b"]
TEACHERS = [
    "gemma-2-9b-it",
    "gemma-2-27b-it",
    "qwen2.5-14b-instruct",
    "qwen2.5-72b-instruct",
    "qwen2-7b-instruct",
]
RAW: dict[str, Any] = {
    "name": "s",
    "title": "Teachers <b>",
    "source": "computed",
    "prompts": {"sources": [{"kind": "files", "name": "p", "files": ["p.jsonl"]}]},
    "responses": {"engine": "transformers", "models": TEACHERS},
    "measures": {
        "reward": {"kind": "reward", "model": "skywork-reward-gemma-2-27b"},
        "size": {"kind": "length"},
        **{f"loss-{b}": {"kind": "likelihood", "model": b} for b in BASES},
    },
    "mixes": {f"m-{t}": {"size": 10, "sources": [{"kind": "responses", "model": t}]} for t in TEACHERS},
    "runs": {
        f"{b}-on-{t}": {"model": b, "mix": f"m-{t}", "recipe": "stronger-teachers"}
        for b in BASES
        for t in TEACHERS
    },
    "evaluation": {"benchmarks": ["alpaca-eval", "arena-hard"]},
    "judging": {"baselines": {}},
    "teachers": {
        "bases": BASES,
        "benchmarks": ["alpaca-eval", "arena-hard"],
        "predictors": {"reward": {"measure": "reward"}, "words": {"measure": "size", "column": "words"},
                       "ifd": {}, "perplexity": {"column": "perplexity_given", "less": True}},
        "car": {"reward": "reward"},
        "resamples": 100,
        "draws": 200,
    },
}  # fmt: skip
LIKELIHOOD = {
    **dict.fromkeys(("ifd", "logprob_given", "logprob_alone", "perplexity_given"), ("number", "")),
    **dict.fromkeys(("perplexity_alone", "total_given", "total_alone"), ("number", "")),
    **dict.fromkeys(("tokens", "tokens_alone"), ("integer", "")),
}


def study(**changed: Any) -> Study:
    return validate(Study, RAW | changed, "study s")


def teaching(**changed: Any) -> dict[str, Any]:
    return {"teachers": RAW["teachers"] | changed}


def likely(loss: float, tokens: int = 10) -> dict[str, Any]:
    row: dict[str, Any] = {"ifd": 0.5, "tokens": tokens, "tokens_alone": tokens}
    for given, each in (("alone", loss), ("given", loss / 2)):
        row |= {
            f"logprob_{given}": -each,
            f"total_{given}": -each * tokens,
            f"perplexity_{given}": math.exp(each),
        }
    return row


class Place:
    """Results of the study: each teacher's reward and loss are known, and the scores."""

    def __init__(self, folder: Path, raw: dict[str, Any] | None = None) -> None:
        self.folder, self.raw = folder, raw or RAW
        (folder / "config/studies").mkdir(parents=True)
        for path in (ROOT / "config").glob("*.yaml"):
            (folder / "config" / path.name).symlink_to(path)
        kept = {k: v for k, v in self.raw.items() if k != "name"}
        (folder / "config/studies/s.yaml").write_text(json.dumps(kept), encoding="utf-8")
        self.out = folder / "results/s/teachers"

    def measures(self, reward: list[float], count: int = 20, **failed: dict[int, str]) -> list[Path]:
        d.COLUMNS["likelihood"] = LIKELIHOOD
        made, root = [], self.folder / "results/s"
        for number, teacher in enumerate(TEACHERS):
            gone = failed.get(teacher.replace("-", "_").replace(".", "_"), {})
            said = [[gone.get(n) or {"reward": reward[number] + (n % 2)}] for n in range(count)]
            made.append(d.write_measure(root, "reward", "reward", said, teacher))
            words = [[{"words": 5 + number, "characters": 30}]] * count
            made.append(d.write_measure(root, "size", "length", words, teacher))
            for b, base in enumerate(BASES):
                rows = [[likely(1 + 0.1 * ((number * (b + 2)) % 5), 5 + n % 3)] for n in range(count)]
                made.append(d.write_measure(root, f"loss-{base}", "likelihood", rows, teacher))
        return made

    def scores(self, values: dict[str, tuple[float, float]]) -> Path:
        rows = [
            {
                "study": "s", "run": run, "model": run, "benchmark": b, "metric": m, "part": "all",
                "value": v, "stderr": 1.5,
                "n": 10, "attempted": 10, "version": "v", "seed": 0,
            }
            for run, pair in values.items()
            for (b, m), v in zip(
                (("alpaca-eval", "length_controlled_winrate"), ("arena-hard", "score")), pair, strict=True
            )
        ]  # fmt: skip
        write_table(self.folder / "results/s/scores/scores.csv", scores_frame(rows), SCORES, {})
        return self.folder / "results/s/scores"

    def run(self, *words: str | Path, fails: bool = False) -> str:
        config = ("--config", self.folder / "config")
        done = CliRunner().invoke(app, [str(w) for w in (*words, *config)])
        if fails:
            assert done.exception is not None
            return str(done.exception)
        if done.exception:
            raise done.exception
        return done.output


SCORED = {
    f"{b}-on-{t}": (10.0 + (i * 3) % 5 + n * (i % 2), 12.0 + (i * i) % 7)
    for n, b in enumerate(BASES)
    for i, t in enumerate(TEACHERS)
}  # fmt: skip


def test_a_ranking_before_and_the_scores_after(tmp_path: Path) -> None:
    place = Place(tmp_path)
    rewards = [3.0, 5.0, 4.0, 6.0, 2.0]
    place.run("rank-teachers", "s", *place.measures(rewards), "--out", place.out)
    ranking = read_table(place.out / "ranking.csv", schema.RANKING)
    for b, base in enumerate(BASES):
        wanted = {
            t: car(rewards[i] + 0.5, 1 + 0.1 * ((i * (b + 2)) % 5)) for i, t in enumerate(TEACHERS)
        }  # half of the answers have one point more
        mine = ranking.filter(base=base)
        assert dict(zip(mine["teacher"], mine["value"], strict=True)) == pytest.approx(wanted)
        ranks = dict(zip(TEACHERS, rankdata([-wanted[t] for t in TEACHERS]), strict=True))
        assert dict(zip(mine["teacher"], mine["rank"], strict=True)) == ranks
        assert mine["rank"].is_sorted()
        assert (mine["rank_low"] <= mine["rank"]).all()
        assert (mine["rank"] <= mine["rank_high"]).all()
        assert mine["first"].sum() == pytest.approx(1)
    before = place.run("teachers", "s", "--results", tmp_path / "results", "--base", BASES[0])
    assert "no scores" in before
    assert "Gemma" not in before.split("Doubt")[0].split(":")[0]
    place.run("judge-teachers", "s", "--folder", place.out, "--scores", place.scores(SCORED))
    whole = read_table(place.out / "correlation.csv", schema.CORRELATION).filter(pl.col("without").is_null())
    truth = [math.fsum(SCORED[f"{BASES[0]}-on-{t}"]) / 2 for t in TEACHERS]
    row = whole.filter(base=BASES[0], predictor="reward").row(0, named=True)
    assert row["rho"] == pytest.approx(spearmanr(rewards, truth).statistic)
    assert row["regret"] == pytest.approx(max(truth) - truth[3])
    assert (row["chosen"], row["best"]) == (TEACHERS[3], TEACHERS[truth.index(max(truth))])
    both = whole.filter(predictor="reward")
    mean = both.filter(base=schema.MEAN)["rho"][0]
    assert mean == pytest.approx(both.filter(pl.col("base") != schema.MEAN)["rho"].mean())
    assert set(whole["predictor"]) >= {"car", "car-sum-alone", "car-mean-given", "other-bases", "ifd"}
    ifd = whole.filter(base=BASES[0], predictor="ifd").row(0, named=True)
    assert ifd["rho"] is None
    assert "one value for all teachers" in ifd["why"]
    less = whole.filter(base=BASES[0], predictor="perplexity")["rho"][0]
    losses = [-(1 + 0.1 * ((i * 2) % 5)) for i in range(5)]
    assert less == pytest.approx(spearmanr(losses, truth).statistic)
    beta = read_table(place.out / "beta.csv", schema.BETA).filter(base=BASES[0])
    assert beta.filter(beta=0.0)["rho"][0] == pytest.approx(row["rho"])  # at 0, CAR is the reward
    after = place.run("teachers", "s", "--results", tmp_path / "results")
    assert "the choice loses" in after
    assert place.run("teachers", "s", "--base", "qwen2-7B", fails=True).count("did you mean 'qwen2-7b'") == 1


def test_figures_tables_and_the_page(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run("rank-teachers", "s", *place.measures([3.0, 5.0, 4.0, 6.0, 2.0]), "--out", place.out)
    place.run("judge-teachers", "s", "--folder", place.out, "--scores", place.scores(SCORED))
    plan = plan_teachers(study(), make_roster(study(), load_models(ROOT / "config")))
    assert set(plan.views) == {
        "candidates", "correlations", "families",
        "benchmarks", "performance", "rewards", "lengths", "perplexity",
        "ifd", "beta",
    }  # fmt: skip
    for name in plan.views:
        place.run("view-teachers", "s", name, "--folder", place.out, "--out", place.out / "views" / name)
    bars = read_table(place.out / "views/performance.csv", schema.POINTS)
    assert bars.height == len(BASES) * len(TEACHERS)
    first = bars.row(0, named=True)
    value = math.fsum(SCORED[f"{BASES[0]}-on-{TEACHERS[0]}"]) / 2
    half = 1.96 * math.hypot(1.5, 1.5) / 2
    assert (first["value"], first["low"]) == pytest.approx((value, value - half))
    shown = read_table(place.out / "views/rewards.csv", schema.POINTS)
    assert shown["value"].to_list() == [3.5, 5.5, 4.5, 6.5, 2.5]  # half of the answers have one point more
    kin = read_table(place.out / "views/families.csv", schema.POINTS)
    assert set(kin["column"]) == {"all", "without gemma-2", "without qwen2.5", "without qwen2"}
    cells = read_table(place.out / "views/benchmarks.csv", schema.POINTS)
    assert cells.height == len(BASES) * len(TEACHERS) * 3
    place.run("show-teachers", "s", "--folder", place.out)
    page = (place.out / "teachers.html").read_text(encoding="utf-8")
    assert "Teachers &lt;b&gt;" in page
    assert "<script" not in page
    assert page.count("data:image/svg+xml;base64,") == 6
    left = read_table(place.out / "left_out.csv", LEFT_OUT)
    assert set(left["shown"]) == {"sampling", "rejection", "outside", "others"}
    assert "group 'sampling'" in left.filter(shown="sampling")["reason"][0]
    why = place.run(
        "view-teachers", "s", "sampling", "--folder", place.out, "--out", tmp_path / "x", fails=True
    )
    assert "no teachers.variants of the group 'sampling'" in why


def test_findings_against_independent_reckoning(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.run("rank-teachers", "s", *place.measures([3.0, 5.0, 4.0, 6.0, 2.0]), "--out", place.out)
    place.run("judge-teachers", "s", "--folder", place.out, "--scores", place.scores(SCORED))
    found = read_table(place.out / "findings.csv", schema.FINDINGS)
    paradox = found.filter(finding="paradox")
    ap = {run: math.fsum(pair) / 2 for run, pair in SCORED.items()}
    wins = [
        ap[f"{b}-on-{small}"] > ap[f"{b}-on-{large}"]
        for b in BASES
        for small, large in (TEACHERS[:2], TEACHERS[2:4])
        if ap[f"{b}-on-{small}"] != ap[f"{b}-on-{large}"]
    ]
    whole = paradox.filter(pl.col("base").is_null(), pl.col("family").is_null()).row(0, named=True)
    assert (whole["n"], whole["value"]) == (len(wins), sum(wins) / len(wins))
    assert whole["p"] == pytest.approx(binomtest(sum(wins), len(wins)).pvalue)
    # Gemma-2's two teachers, on Gemma-2-9B beside Qwen2-7B; and so every pair of teachers
    helped = found.filter(finding="family", base="gemma-2-9b").row(0, named=True)
    gain = [ap[f"gemma-2-9b-on-{t}"] - ap[f"qwen2-7b-on-{t}"] for t in TEACHERS]
    gain = [g - math.fsum(gain) / 5 for g in gain]
    assert helped["value"] == pytest.approx((gain[0] + gain[1]) / 2, abs=1e-9)
    means = [(gain[i] + gain[j]) / 2 for i, j in combinations(range(5), 2)]
    assert helped["p"] == pytest.approx(sum(abs(m) >= abs(helped["value"]) - 1e-9 for m in means) / 10)
    missing = found.filter(pl.col("statement").is_null())
    assert set(missing["finding"]) == {"sampling", "rejection"}
    assert missing["missing"].is_not_null().all()
    for chosen in found.filter(finding="choice").iter_rows(named=True):
        assert "GPU-hours" in chosen["statement"]
        half = None if chosen["high"] is None else chosen["high"] - chosen["value"]
        # of two means of two scores; no error where the best is put first
        assert half == (pytest.approx(1.96 * 1.5) if chosen["value"] else None)


def test_the_papers_table_gives_its_paradoxes() -> None:
    """Table 6 as a study's scores."""
    from rewild.papers.teachers.grid import FAMILIES
    from rewild.report.teachers.findings import agreement, paradox
    from rewild.report.teachers.judge import Case

    rows = pl.read_csv(PAPER / "table6.csv").with_columns(
        base=pl.col("row").str.split(" : ").list.get(0), teacher=pl.col("row").str.split(" : ").list.get(1)
    )
    truth: dict[str, dict[str, float]] = {}
    for (base, teacher), part in rows.group_by(["base", "teacher"], maintain_order=True):
        cells = dict(zip(part["column"], part["value"], strict=True))
        truth.setdefault(str(base), {})[str(teacher)] = (cells["LC"] + cells["Arena-Hard"]) / 2
    teachers = [t for members in FAMILIES.values() for t in members]
    plan = plan_teachers(study(), make_roster(study(), load_models(ROOT / "config")))
    plan = type(plan)(**vars(plan) | {"teachers": tuple(teachers), "bases": tuple(truth)})
    given = study().teachers
    assert given is not None
    families = {t: f for f, members in FAMILIES.items() for t in members}
    sizes: dict[str, float | None] = {
        t: float(i) for members in FAMILIES.values() for i, t in enumerate(members)
    }
    found = list(paradox(Case(plan, given, {}, truth, families, sizes, {}, 0)))
    whole = next(f for f in found if f.base is None and f.family is None)
    won = sum(
        truth[b][small] > truth[b][large]
        for b in truth
        for members in FAMILIES.values()
        for small, large in combinations(members, 2)
    )
    assert (whole.n, whole.value) == (5 * 23, won / 115)
    agreed = next(agreement(Case(plan, given, {}, truth, families, sizes, {}, 0)))
    assert agreed.value == pytest.approx(0.93, abs=5e-3)  # as the audit of the paper has it
    gemma = next(f for f in found if f.base is None and f.family == "Gemma-2")
    assert gemma.n == 15
    assert gemma.statement is not None
    assert "of Gemma-2" in gemma.statement


def test_responses_without_a_value_are_counted_with_their_reasons(tmp_path: Path) -> None:
    place = Place(tmp_path)
    gone = {0: "not_a_number: reward", 1: "too_long: 9 tokens", 2: "too_long: 12 tokens"}
    files = place.measures([3.0, 5.0, 4.0, 6.0, 2.0], gemma_2_9b_it=gone)
    place.run("rank-teachers", "s", *files, "--out", place.out)
    row = read_table(place.out / "ranking.csv", schema.RANKING).filter(teacher=TEACHERS[0]).row(0, named=True)
    assert (row["responses"], row["failed"]) == (17, 3)
    assert row["why"] == "reward_failed: not_a_number: 1; reward_failed: too_long: 2"
    value = read_table(place.out / "values.csv", schema.VALUES).filter(
        base=BASES[0], teacher=TEACHERS[0], predictor="reward"
    )
    assert value.select("responses", "failed", "why").row(0) == (17, 3, "not_a_number: 1; too_long: 2")


def test_a_reward_below_zero_is_refused_and_a_shift_is_taken(tmp_path: Path) -> None:
    place = Place(tmp_path)
    files = place.measures([3.0, -5.0, 4.0, 6.0, 2.0])
    why = place.run("rank-teachers", "s", *files, "--out", place.out, fails=True)
    assert "gemma-2-27b-it for qwen2-7b" in why
    assert "teachers.car.shift" in why
    assert not (place.out / "ranking.csv").exists()
    shifted = Place(tmp_path / "b", RAW | teaching(car={"reward": "reward", "shift": 10.0}))
    shifted.run("rank-teachers", "s", *files, "--out", shifted.out)
    found = read_table(shifted.out / "ranking.csv", schema.RANKING).filter(base=BASES[0])
    assert found["rank"].to_list() == sorted(found["rank"].to_list())
    said = shifted.run("teachers", "s", "--results", tmp_path / "b/results", "--base", BASES[0])
    assert "CAR is of the reward with 10 added, for every teacher (teachers.car.shift)" in said


def test_a_teacher_whose_rewards_are_no_numbers_has_no_rank_and_is_a_doubt(tmp_path: Path) -> None:
    place = Place(tmp_path)
    gone = dict.fromkeys(range(20), "not_a_number: an output of the model")
    files = place.measures([3.0, 5.0, 4.0, 6.0, 2.0], gemma_2_9b_it=gone)
    place.run("rank-teachers", "s", *files, "--out", place.out)
    row = read_table(place.out / "ranking.csv", schema.RANKING).filter(teacher=TEACHERS[0]).row(0, named=True)
    assert (row["rank"], row["value"], row["responses"], row["failed"]) == (None, None, 0, 20)
    said = place.run("teachers", "s", "--results", tmp_path / "results", "--base", BASES[0])
    assert "Doubt: nothing is known of gemma-2-9b-it; it is first in" in said
    assert "gemma-2-9b-it: 20 of 20 (reward_failed: not_a_number: 20)" in said


def test_equal_teachers_are_not_told_apart(tmp_path: Path) -> None:
    place = Place(tmp_path, RAW | teaching(car=None))
    place.run("rank-teachers", "s", *place.measures([4.0] * 5), "--out", place.out)
    found = read_table(place.out / "ranking.csv", schema.RANKING)
    assert found["rank"].to_list() == [3.0] * 10
    assert found["by"].unique().to_list() == ["reward"]
    said = place.run("teachers", "s", "--results", tmp_path / "results")
    assert "it does not tell them apart" in said


def test_of_two_teachers_there_is_no_correlation_and_it_is_said(tmp_path: Path) -> None:
    kept = {k: v for k, v in RAW["runs"].items() if k.endswith(tuple(TEACHERS[:2]))}
    raw = RAW | {"runs": kept}
    place = Place(tmp_path, raw)
    place.run("rank-teachers", "s", *place.measures([3.0, 5.0, 4.0, 6.0, 2.0]), "--out", place.out)
    scored = {run: SCORED[run] for run in kept}
    place.run("judge-teachers", "s", "--folder", place.out, "--scores", place.scores(scored))
    whole = read_table(place.out / "correlation.csv", schema.CORRELATION)
    assert whole["rho"].is_null().all()
    assert "of 2 teachers there is no rank correlation: 3 are needed" in set(whole["why"])
    assert "of 2 teachers there is no rank correlation" in place.run(
        "teachers", "s", "--results", tmp_path / "results"
    )
    plan = plan_teachers(study(runs=kept), make_roster(study(runs=kept), load_models(ROOT / "config")))
    gone = {one.shown: one.reason for one in plan.left_out}
    assert gone["correlations"] == "2 teachers of a base model have scores, and a rank correlation needs 3"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (teaching(bases=["qwen2-7"]), "no measure says how likely answers are under qwen2-7"),
        (teaching(teachers=["gemma-2-9b"]), "'gemma-2-9b' does not answer the study's prompts; did you mean"),
        (teaching(benchmarks=["arena-hrd"]), "'arena-hrd' is not among evaluation.benchmarks; did you mean"),
        (teaching(predictors={"x": {"measure": "rewrd"}}), "no measure 'rewrd'; did you mean 'reward'"),
        (teaching(predictors={"x": {"measure": "size", "column": "word"}}), "no column 'word'; did you mean"),
        (teaching(predictors={"car": {}}), "'car' comes by itself"),
        (teaching(predictors={}, car=None), "nothing ranks the teachers"),
        (teaching(runs=["nobody"]), "teachers.runs: no run 'nobody'"),
        (teaching(likelihoods={"qwen2-7b": "reward"}), "'reward' is no {kind: likelihood, model: qwen2-7b}"),
        (teaching(variants={"hot": {"run": "x", "group": "sampling"}}), "has 'temperature' and 'top_p'"),
        ({"evaluation": None}, "they are of the section 'evaluation'"),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_anything_is_planned(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as found:
        study(**changed)
    assert said in str(found.value)
    assert "study s" in str(found.value)


def test_two_fine_tunes_of_one_teacher_must_be_told_apart() -> None:
    models = load_models(ROOT / "config")
    twice = {"again": RAW["runs"][f"{BASES[0]}-on-{TEACHERS[0]}"] | {"seed": 7}}
    both = study(runs=RAW["runs"] | twice)
    with pytest.raises(ConfigError, match=r"teachers.runs: .*-on-gemma-2-9b-it, again.* name the fine-tunes"):
        check_study(both, make_roster(both, models), models)
    named = study(runs=RAW["runs"] | twice, **teaching(runs=["again"]))
    plan = plan_teachers(named, make_roster(named, models))
    assert dict(plan.runs) == {(BASES[0], TEACHERS[0]): "again"}
    other = study(**teaching(bases=["gemma-2-9b"]), runs={"x": {"model": "qwen2-7b"}})
    with pytest.raises(ConfigError, match="no run starts from 'gemma-2-9b'"):
        check_study(other, make_roster(other, models), models)
    best = {name: {"run": "again", "group": "rejection", "choose": "best"} for name in ("a", "b")}
    other = study(runs=RAW["runs"] | twice, **teaching(variants=best))
    with pytest.raises(ConfigError, match=f"variants: a and b are both the best for {BASES[0]}: keep one"):
        check_study(other, make_roster(other, models), models)


def test_a_likelihood_may_name_the_base_by_its_hub_id() -> None:
    models = load_models(ROOT / "config")
    hub, commit = models["qwen2-7b"].checkpoint()
    named = {k: v for k, v in RAW["measures"].items() if k != "loss-qwen2-7b"}
    named["by-hub"] = {"kind": "likelihood", "model": hub, "revision": commit}
    with pytest.raises(ConfigError, match=r"add \{.*\}; or name the measure in teachers.likelihoods: by-hub"):
        study(measures=named)
    given = teaching(likelihoods={"qwen2-7b": "by-hub"})
    both = study(measures=named, **given)
    check_study(both, make_roster(both, models), models)
    named["by-hub"] = named["by-hub"] | {"revision": "0" * 40}
    other = study(measures=named, **given)
    with pytest.raises(
        ConfigError, match=r"likelihoods.qwen2-7b: .* not the same model; write `model: qwen2-7b`"
    ):
        check_study(other, make_roster(other, models), models)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    place = Place(tmp_path)
    files = [
        p for p in place.measures([3.0, 5.0, 4.0, 6.0, 2.0]) if p.parts[-3:-1] != ("reward", TEACHERS[1])
    ]
    with pytest.raises(DataError, match="no file of the measure reward of gemma-2-27b-it"):
        place.run("rank-teachers", "s", *files, "--out", place.out)
    assert "is not there yet" in place.run("teachers", "s", "--results", tmp_path / "results", fails=True)


def test_only_answers_to_some_prompts_count(tmp_path: Path) -> None:
    place = Place(tmp_path, RAW | teaching(origins=["p"]))
    files = place.measures([3.0, 5.0, 4.0, 6.0, 2.0])
    prompts = d.write_prompts(tmp_path / "results/s", 20, ("p", "q"))
    given = [f"--prompts={path}" for path in prompts]
    place.run("rank-teachers", "s", *files, *given, "--out", place.out)
    found = read_table(place.out / "ranking.csv", schema.RANKING)
    assert found["responses"].unique().to_list() == [
        10
    ]  # those with an even number, whose reward is a half lower
    assert found.filter(teacher=TEACHERS[0])["reward"].unique().to_list() == [3.0]
    assert "no prompt given is from p" in place.run(
        "rank-teachers", "s", *files, "--out", place.out, fails=True
    )
    with pytest.raises(ConfigError, match="teachers: origins: 'x' is not among the sources"):
        study(**teaching(origins=["x"]))


def test_variants_are_shown_and_stated(tmp_path: Path) -> None:
    """Ways of sampling and choosing answers of one teacher, and answers from elsewhere."""
    ways = {
        "cool": ({"group": "sampling", "temperature": 0.5, "top_p": 0.9}, 10.0),
        "warm": ({"group": "sampling", "temperature": 0.8, "top_p": 1.0}, 12.0),
        "hot": ({"group": "sampling", "temperature": 1.0, "top_p": 1.0}, 14.0),
        "five-best": ({"group": "rejection", "choose": "best"}, 20.0),
        "five-worst": ({"group": "rejection", "choose": "worst"}, 10.0),
        "five-first": ({"group": "rejection", "choose": "sampled"}, 19.0),
        "gpt-4": ({"group": "outside"}, 5.0),
    }
    extra = {
        name: {"model": BASES[0], "mix": f"m-{TEACHERS[0]}", "recipe": "demo", "seed": n}
        for n, name in enumerate(ways)
    }
    variants = {name: {"run": name} | one for name, (one, _) in ways.items()}
    raw = RAW | {"runs": RAW["runs"] | extra} | teaching(variants=variants)
    place = Place(tmp_path, raw)
    place.run("rank-teachers", "s", *place.measures([3.0, 5.0, 4.0, 6.0, 2.0]), "--out", place.out)
    scored = SCORED | {name: (value, value) for name, (_, value) in ways.items()}
    place.run("judge-teachers", "s", "--folder", place.out, "--scores", place.scores(scored))
    found = read_table(place.out / "findings.csv", schema.FINDINGS)
    sampled = found.filter(finding="sampling")
    assert sampled["value"].to_list() == pytest.approx(
        [1.0, spearmanr([0.9, 1.0, 1.0], [10, 12, 14]).statistic]
    )
    assert sampled["p"].to_list() == [
        2 / 6,
        4 / 6,
    ]  # of the six orders of three ways; a t test says 0 of the first
    assert (sampled["low"] <= sampled["value"]).all()
    assert (sampled["value"] <= sampled["high"]).all()
    assert "hot is the best with 14.00" in sampled["statement"][0]
    chosen = found.filter(finding="rejection")
    half = 1.96 * math.hypot(*[math.hypot(1.5, 1.5) / 2] * 2)
    assert chosen["value"].to_list() == [10.0, 1.0]
    assert chosen["low"].to_list() == pytest.approx([10 - half, 1 - half])
    assert [("not told apart" in text) for text in chosen["statement"]] == [False, True]
    for name, rows in (("sampling", 3), ("rejection", 9), ("outside", 3)):
        place.run("view-teachers", "s", name, "--folder", place.out, "--out", place.out / "views" / name)
        assert read_table(place.out / f"views/{name}.csv", schema.POINTS).height == rows
    whole = read_table(place.out / "performance.csv", schema.PERFORMANCE)
    assert whole.filter("variant").height == 3 * len(ways)  # and no run of a variant is taken for a teacher's
    assert whole.filter(~pl.col("variant")).height == 3 * len(BASES) * len(TEACHERS)


def test_the_interval_of_a_rank_is_as_wide_as_chance(tmp_path: Path) -> None:
    """Two teachers whose rewards differ by less than their noise share the first rank; a third has none."""
    d.COLUMNS["likelihood"] = LIKELIHOOD
    place = Place(tmp_path, RAW | teaching(car=None, teachers=TEACHERS[:3], resamples=400))
    root, files = tmp_path / "results/s", place.measures([1.0] * 5)
    for number, (teacher, mean) in enumerate(zip(TEACHERS, (5.0, 5.05, 1.0), strict=False)):
        said = [[{"reward": mean + math.sin(17 * n + number)}] for n in range(60)]
        d.write_measure(root, "reward", "reward", said, teacher)
    place.run("rank-teachers", "s", *files, "--out", place.out)
    found = read_table(place.out / "ranking.csv", schema.RANKING).filter(base=BASES[0])
    rows = {r["teacher"]: r for r in found.iter_rows(named=True)}
    assert [(rows[t]["rank_low"], rows[t]["rank_high"]) for t in TEACHERS[:3]] == [(1, 2), (1, 2), (3, 3)]
    assert 0.1 < rows[TEACHERS[0]]["first"] < 0.9
    assert rows[TEACHERS[2]]["first"] == 0


def test_what_answers_cost_is_measured_or_predicted_or_said_to_be_unknown(tmp_path: Path) -> None:
    models = load_models(ROOT / "config")
    on_gpus = study(responses=RAW["responses"] | {"engine": "vllm", "compute": {"gpu": "H100-80"}})
    found = prices(on_gpus, [*TEACHERS, "nobody"], models, {}, [])
    assert {found[t].basis for t in TEACHERS} == {"predicted, on H100-80"}
    hours = {t: found[t].gpu_hours or 0 for t in TEACHERS}
    assert hours["gemma-2-9b-it"] < hours["gemma-2-27b-it"] < hours["qwen2.5-72b-instruct"]
    assert found[TEACHERS[0]].dollars == pytest.approx(2.99 * hours[TEACHERS[0]])
    thinks = models | {
        TEACHERS[0]: models[TEACHERS[0]].model_copy(update={"reasoning": Reasoning(budget=4000)})
    }
    more = prices(on_gpus, TEACHERS[:1], thinks, {}, [])[TEACHERS[0]].gpu_hours
    assert more is not None
    assert more > 2 * hours[TEACHERS[0]]
    assert (found["nobody"].gpu_hours, found["nobody"].basis) == (None, "models.yaml does not have it")
    assert prices(study(), TEACHERS[:1], models, {}, [])[TEACHERS[0]].dollars is None
    (tmp_path / "run").mkdir()
    (tmp_path / "run/training.json").write_text('{"hours": 0.5}')
    assert hours_of([tmp_path / "run/training.json"], {"run": 4}) == {"run": 2.0}
    assert hours_of([tmp_path / "run/training.json"], {"run": 0}) == {}  # without a GPU
    (tmp_path / "run/training.json").write_text('{"hours": "x"}')
    with pytest.raises(DataError, match="does not say the hours"):
        hours_of([tmp_path / "run/training.json"], {"run": 4})


def test_teachers_of_imported_responses_are_named_and_known() -> None:
    models = load_models(ROOT / "config")
    files = {t: f"{t}.jsonl" for t in TEACHERS}
    raw = {k: v for k, v in RAW.items() if k not in ("responses", "prompts")}
    raw["imports"] = [{"kind": "files", "name": "others", "models": files}]
    with pytest.raises(ConfigError, match=r"teachers\.teachers: name those whose responses are imported"):
        validate(Study, raw, "study s")
    named = validate(Study, raw | teaching(teachers=[*TEACHERS[:4], "qwen2-7b-instrct"]), "study s")
    with pytest.raises(ConfigError, match="imported responses; did you mean 'qwen2-7b-instruct'"):
        check_study(named, make_roster(named, models), models, TEACHERS)
    good = validate(Study, raw | teaching(teachers=TEACHERS), "study s")
    check_study(good, make_roster(good, models), models, TEACHERS)
    found = prices(good, TEACHERS, models, {}, [])
    assert {one.basis for one in found.values()} == {"predicted, on H100-80"}
    assert all(one.dollars for one in found.values())

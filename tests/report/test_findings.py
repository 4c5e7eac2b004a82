"""A study's own scores: gathered, refused where they cannot be compared, as tables, as findings."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import findings_study as made_up
from rewild.__main__ import app
from rewild.config import load_benchmarks, load_models, load_study
from rewild.config.findings import Findings
from rewild.config.mixes import size_name
from rewild.config.roster import Roster, make_roster
from rewild.config.study import Study
from rewild.core.cells import COMPUTED_CELLS
from rewild.core.errors import ConfigError, DataError
from rewild.core.plotting import style
from rewild.core.table import provenance, read_table, write_table
from rewild.evaluation.judged.schema import ANSWERS, JUDGMENTS
from rewild.evaluation.scores.bootstrap import Z
from rewild.evaluation.scores.collect import collect, headline
from rewild.evaluation.scores.tidy import ROSTER, SCORES, read_roster
from rewild.measures.style.proportional import PAPER_COLUMNS
from rewild.papers import find_paper
from rewild.papers.room import Case
from rewild.papers.studies import check_papers
from rewild.papers.wildchat50m import radar, scaling
from rewild.papers.wildchat50m.contents import table_rows
from rewild.papers.wildchat50m.own import preference_cells, score_cells, style_cells
from rewild.report.findings import answers, select
from rewild.report.findings.grounds import Grounds
from rewild.report.findings.headline import headline_table, shown
from rewild.report.findings.report import as_data, html, markdown, write
from rewild.report.findings.state import state_findings
from rewild.report.tables.make import make_table

ROOT = Path(__file__).resolve().parents[2]
MODELS = load_models(ROOT / "config")
BENCHMARKS = load_benchmarks(ROOT / "config", MODELS)
ROOM = find_paper("wildchat50m")
PAPER = {t: set(pl.read_csv(ROOM.data / f"{t}.csv")["row"]) for t in ("table2", "table6", "table7")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow with the made-up study and its scores."""
    return made_up.prepare(tmp_path_factory.mktemp("findings"))


@pytest.fixture(scope="module")
def grounds(folder: Path) -> Grounds:
    """All that findings are stated from."""
    return made_up.open_world(folder)


def roster(study: str = "wildchat50m") -> Roster:
    found = load_study(ROOT / "config", study)
    return make_roster(found, MODELS | found.made)


# The roster


def test_the_full_studys_runs_have_the_papers_labels() -> None:
    found = replace(roster(), size=250_000)
    given = load_study(ROOT / "config", "wildchat50m").model_copy(update={"findings": Findings(size=250_000)})
    labelled = make_roster(given, MODELS | given.made)
    scored = [e.run for e in labelled.entries]
    for table, printed in PAPER.items():
        assert printed <= {label for label, _ in table_rows(table, labelled, scored)}, table
    assert found.base == labelled.base == "llama-3.1-8b"
    kinds = {e.run: e.kind for e in labelled.entries}
    assert kinds["re-wild"] == "mixture"
    assert kinds["re-wild-dpo-l8i"] == "other"
    assert labelled["l8b-q72-truncated-500k"].truncated
    assert [e.run for e in select.baseline_runs(labelled, scored, Findings())] == [
        "tulu-3-sft",
        "magpie-align-sft",
    ]
    assert select.lead_run(labelled, scored, Findings()).run == "re-wild"


def test_who_is_kin_follows_from_families() -> None:
    related = {(e.base, e.dgm): e.related for e in roster().kind("dgm")}
    assert related["L8B", "L70"] is True  # llama-3.1 and llama-3.3
    assert related["L8B", "Q72"] is False
    assert related["Q7B", "Q72"] is True  # qwen2 and qwen2.5
    assert related["Q7B", "L8I"] is False


def test_another_recipe_is_in_no_table() -> None:
    found = roster()
    scored = [e.run for e in found.entries]
    shown_runs = {e.run for t in PAPER for _, e in table_rows(t, found, scored)}
    assert not [run for run in shown_runs if run.startswith("teachers-")]


def test_the_roster_comes_back_from_its_file(folder: Path) -> None:
    study = load_study(folder / "config", "own")
    made = make_roster(study, MODELS | study.made)
    assert read_roster(read_table(folder / "results/own/scores/runs.csv", ROSTER)) == made
    assert (made.base, made.size, made.recipe) == ("demo-base", 220, "demo")
    assert made["base-herald-small"].label == "demo-base : demo-herald (60)"
    assert made["base-blend"].label == "demo-base : demo-herald + demo-plain"
    assert made["herald"].label == "demo-herald : None"


def test_two_runs_never_share_a_label(folder: Path) -> None:
    study = load_study(folder / "config", "own")
    twice = {**study.runs, "again": study.runs["base-herald"].model_copy(update={"seed": 7})}
    labels = [
        e.label for e in make_roster(study.model_copy(update={"runs": twice}), MODELS | study.made).entries
    ]
    assert "demo-base : demo-herald [again]" in labels
    assert len(set(labels)) == len(labels)


def test_an_unknown_run_is_named_with_the_nearest(folder: Path) -> None:
    study = load_study(folder / "config", "own")
    roster = make_roster(study, MODELS | study.made)
    with pytest.raises(ConfigError, match="unknown run 'base-herold'; did you mean 'base-herald'"):
        roster["base-herold"]


@pytest.mark.parametrize(("size", "name"), [(250_000, "250k"), (60, "60"), (1_500, "1,500")])
def test_sizes_as_the_paper_writes_them(size: int, name: str) -> None:
    assert size_name(size) == name


# Gathering, and what is refused


def test_every_score_is_gathered(folder: Path, grounds: Grounds) -> None:
    scores = read_table(folder / "results/own/scores/scores.csv", SCORES)
    assert scores.height == 11 * (3 + 3)  # three benchmarks in a row each, MT-Bench in three
    assert grounds.head.frame.height == 11 * 4
    one = read_table(folder / "results/own/benchmarks/herald/gpqa/scores.csv", SCORES)
    assert scores.filter(run="herald", benchmark="gpqa").equals(one)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("version", "gpqa 2",
         r"different versions of the benchmark on gpqa: 'gpqa 1' \(run base-.*\) and 'gpqa 2' \(run h"),
        ("judge", "gpt-4o-mini", r"different judges on gpqa: none \(run base-herald-small\) and 'gpt-4"),
        ("template", "other@1", r"different judge prompts \(templates\) on gpqa: none .* and 'other@1'"),
    ],
)  # fmt: skip
def test_scores_that_cannot_be_compared_are_refused(
    folder: Path, column: str, value: str, message: str
) -> None:
    scores = read_table(folder / "results/own/scores/scores.csv", SCORES)
    here = (pl.col("run") == "herald") & (pl.col("benchmark") == "gpqa")
    mixed = scores.with_columns(pl.when(here).then(pl.lit(value)).otherwise(column).alias(column))
    with pytest.raises(DataError, match=message):
        headline(mixed, BENCHMARKS)


def test_a_metric_that_is_not_there_is_named(folder: Path) -> None:
    scores = read_table(folder / "results/own/scores/scores.csv", SCORES)
    other = scores.with_columns(pl.col("metric").str.replace("acc_norm,none", "acc,none"))
    with pytest.raises(DataError, match=r"gpqa of run '.*' lacks the metric 'acc_norm,none'.*did you mean"):
        headline(other, BENCHMARKS)


def test_a_score_in_the_wrong_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "results/own/benchmarks/herald/gpqa", tmp_path / "plain/gpqa")
    with pytest.raises(DataError, match=r"plain/gpqa/scores.csv: holds the run 'herald', .* 'plain'"):
        collect("own", [tmp_path / "plain/gpqa"])
    with pytest.raises(DataError, match="no run was evaluated"):
        collect("own", [])
    with pytest.raises(DataError, match=r"mini/gpqa/scores.csv: no such file"):
        collect("own", [tmp_path / "mini/gpqa"])


# Tables


def cell(frame: pl.DataFrame, row: str, column: str) -> dict[str, object]:
    return frame.filter(row=row, column=column).row(0, named=True)


def test_table_2_by_hand(grounds: Grounds) -> None:
    cells = score_cells("table2", grounds.head, grounds.roster)
    right = np.random.default_rng([7, 2])  # the third run of SKILL, its first benchmark
    scores = (right.random(80) < 0.6).astype(float)
    found = cell(cells, "demo-herald", "IFEval")
    assert found["value"] == pytest.approx(scores.mean(), abs=1e-12)
    assert found["ci"] == pytest.approx(Z * scores.std(ddof=1) / np.sqrt(80), rel=1e-12)
    assert found["note"] == "80 items"
    assert cells["row"].unique(maintain_order=True).to_list() == ["demo-herald", "demo-plain", "demo-mini"]


def test_the_average_of_a_study_without_the_nine(grounds: Grounds) -> None:
    cells = score_cells("table7", grounds.head, grounds.roster)
    rows = ["demo-base : demo-herald", "demo-base : demo-plain", "demo-base : demo-herald + demo-plain"]
    assert cells["row"].unique(maintain_order=True).to_list() == rows
    four = [cell(cells, rows[2], c) for c in ("MTBench", "IFEval", "GPQA", "MixEval")]
    values, halves = [[c[k] for c in four] for k in ("value", "ci")]
    found = cell(cells, rows[2], "Avg (study)")
    assert found["value"] == pytest.approx((values[0] / 10 + sum(values[1:])) / 4, abs=1e-12)
    spread = np.sqrt((halves[0] / 10) ** 2 + sum(h**2 for h in halves[1:])) / 4
    assert found["ci"] == pytest.approx(spread, rel=1e-12)


def test_the_nine_have_the_stated_average_and_the_papers(grounds: Grounds) -> None:
    nine = [b for b in BENCHMARKS.values() if b.nine]
    rows = [
        {"study": "s", "run": "herald", "model": "x", "benchmark": b.slug, "metric": b.metric, "part": "all",
         "value": float(b.scale.max) * 0.5 if b.slug != "mixeval" else 0.8, "stderr": 0.01, "n": 1,
         "attempted": 1, "version": "1", "seed": 1}
        for b in nine
    ]  # fmt: skip
    frame = pl.DataFrame(
        [{c: r.get(c) for c in SCORES.columns} for r in rows], schema=SCORES.dtypes, orient="row"
    )
    head = headline(frame, BENCHMARKS)
    assert head.usual() == "avg_stated"
    assert head.average("herald", "avg_stated")[0] == pytest.approx((8 * 0.5 + 0.8) / 9, abs=1e-12)
    assert head.average("herald", "avg_wk_if")[0] == pytest.approx((6 * 0.5 + 0.8) / 7, abs=1e-12)
    without = headline(frame.filter(pl.col("benchmark") != "bbh"), BENCHMARKS)
    assert without.average("herald", "avg_stated") is None


def test_a_score_that_is_missing_is_a_dash_with_its_reason(grounds: Grounds, tmp_path: Path) -> None:
    gone = (pl.col("run") == "base-plain") & (pl.col("benchmark") == "ifeval")
    frame = grounds.head.frame.with_columns(
        *(pl.when(gone).then(None).otherwise(c).alias(c) for c in ("value", "stderr")),
        n=pl.when(gone).then(0).otherwise("n"),
        empty=pl.when(gone).then(80).otherwise("empty"),
    )
    cells = score_cells("table6", replace(grounds.head, frame=frame), grounds.roster)
    write_table(tmp_path / "table6.csv", cells, COMPUTED_CELLS, provenance())
    made = make_table(
        *("table6", ROOM.data / "table6.csv", ROOM.data / "tables.yaml", ROOM.cite),
        computed=tmp_path / "table6.csv",
        own=(ROOM.own, BENCHMARKS),
    )
    made.write("md", tmp_path / "table6.md")
    text = (tmp_path / "table6.md").read_text(encoding="utf-8")
    line = next(x for x in text.splitlines() if x.startswith("| demo-base : demo-plain |"))
    assert [c.strip() for c in line.split("|")[4:6]] == ["–", cells_shown(cells, "MixEval")]
    assert "demo-base : demo-plain, IFEval: 0 of 80 items have a score; 80 empty answers." in text
    assert "No row is the paper's" in text


def test_a_run_without_scores_leaves_the_figures_of_the_others(grounds: Grounds) -> None:
    """A model that wrote nothing has no scores on some benchmarks: no point, no zero, no stop."""
    gone = (pl.col("run") == "base-herald-medium") | (
        (pl.col("run") == "base-mini") & pl.col("benchmark").is_in(["ifeval", "gpqa"])
    )
    empty = pl.when(gone).then(None).otherwise("value").alias("value")
    head = replace(grounds.head, frame=grounds.head.frame.with_columns(empty))
    points = scaling.own_points(head, select.scaled(grounds.roster, grounds.scored))
    assert points.filter(pl.col("value").is_null())["run"].to_list() == ["base-herald-medium"]
    runs = select.radar_runs(grounds.roster, grounds.scored, grounds.settings)
    assert "base-mini" in [e.run for e in runs]
    drawn = radar.own_points(head, runs)
    assert drawn["run"].unique(maintain_order=True).to_list() == [
        e.label for e in runs if e.run != "base-mini"
    ]
    assert drawn["benchmark"].n_unique() == 4
    with style():
        lines = scaling.draw(points, 4).axes[0].get_lines()
    assert [len(line.get_xdata()) for line in lines if line.get_linestyle() != "None"] == [2, 3]
    found = {f.id: f for f in state_findings(replace(grounds, head=head))}
    assert found["scaling"].statement.startswith("demo-herald: 0.283 → 0.591 at 60, 220; rises")


def cells_shown(cells: pl.DataFrame, column: str) -> str:
    found = cell(cells, "demo-base : demo-plain", column)
    return f"{found['value']:.4f} ± {found['ci']:.4f}"


def test_the_papers_rows_stand_beside_own_ones(tmp_path: Path) -> None:
    """A study that has one of the paper's runs and another: the published numbers stay, in brackets."""
    cells = pl.DataFrame(
        [
            ("Q72", "BBH", 0.5, None, None),
            ("Q72", "MTBench", 6.86, None, None),
            ("mine", "BBH", 0.4, 0.1, None),
        ],
        schema=COMPUTED_CELLS.dtypes,
        orient="row",
    )
    write_table(tmp_path / "table2.csv", cells, COMPUTED_CELLS, provenance())
    made = make_table(
        *("table2", ROOM.data / "table2.csv", ROOM.data / "tables.yaml", ROOM.cite),
        computed=tmp_path / "table2.csv",
        own=(ROOM.own, BENCHMARKS),
    )
    rows = dict(made.grid.rows)
    assert list(rows) == ["Q72", "L8I", "L70", "Q7", "CRP", "JMB", "mine"]
    bbh = list(made.grid.columns).index("BBH")
    assert (rows["Q72"][bbh].text, rows["Q72"][bbh].published) == ("0.5000", "0.4807")
    assert (rows["L8I"][bbh].text, rows["L8I"][bbh].published[:3]) == ("–", "0.4")
    assert (rows["mine"][bbh].text, rows["mine"][bbh].half, rows["mine"][bbh].published) == (
        "0.4000",
        "0.1000",
        "",
    )


def test_table_3_counts_answers(grounds: Grounds) -> None:
    cells = style_cells(grounds.answered)
    herald, plain = "demo-base : demo-herald", "demo-base : demo-plain"
    assert cell(cells, herald, "Strong")["value"] == 20  # one in each of 20 answers
    assert cell(cells, herald, "h2")["value"] == 20
    assert cell(cells, plain, "p")["value"] == 20
    assert cell(cells, f"PF {herald}, demo-herald : None", "p")["value"] == 1.0
    assert cell(cells, f"PF {herald}, {plain}", "p")["value"] == 2.0
    assert cell(cells, f"PF {herald}, {plain}", "Strong")["value"] is None
    assert cells.height == 7 * len(PAPER_COLUMNS)


def test_table_4_by_hand(grounds: Grounds) -> None:
    """Preferences and flips of judge's scores that are put in by hand."""
    found = made_up.marked(grounds)
    cells = preference_cells(found, "MTBench")
    herald, plain = "demo-base : demo-herald", "demo-base : demo-plain"
    # herald over plain: 5 > 4 and 9 > 4 of six; the reverse: 6 > 5, 6 > 3, 7 > 2; one tie
    assert cell(cells, herald, f"PrefRt {plain}")["value"] == pytest.approx(100 * 2 / 6)
    assert cell(cells, plain, f"PrefRt {herald}")["value"] == pytest.approx(100 * 3 / 6)
    half = 100 * 1.959964 * np.sqrt(2 / 6 * 4 / 6 / 6)
    assert cell(cells, herald, f"PrefRt {plain}")["ci"] == pytest.approx(half, rel=1e-6)
    assert cell(cells, herald, "MTBench")["value"] == pytest.approx(29 / 6)
    # base-herald is below base-plain on the 3rd, 4th and 6th; herald is above base-plain on all three of them
    assert cell(cells, "demo-herald : None", "FlipCt")["value"] == 3
    # base-plain is below base-herald on the 1st and 5th; plain is above it on the 1st only
    assert cell(cells, "demo-plain : None", "FlipCt")["value"] == 1


def test_the_pair_of_the_paper_fills_the_papers_columns(grounds: Grounds) -> None:
    named = {
        "base-herald": ("L8B", "Q72"),
        "base-plain": ("L8B", "L70"),
        "herald": ("Q72", None),
        "plain": ("L70", None),
    }
    pair = grounds.answered.pair
    first, second, one, two = (
        replace(e, base=named[e.run][0], dgm=named[e.run][1])
        for e in (pair.first, pair.second, pair.first_itself, pair.second_itself)
    )
    cells = preference_cells(replace(grounds.answered, pair=select.Pair(first, second, one, two)), "MTBench")
    columns = {"MTBench", "PrefRt-L8L", "PrefRt-L8Q", "PrefRt-L70B", "PrefRt-Q72B", "FlipCt"}
    assert set(cells["column"]) == columns
    assert set(cells["row"]) == {"L8B : Q72", "L8B : L70", "Q72 : None", "L70 : None"}


def test_words_are_of_the_questions_that_differ(grounds: Grounds) -> None:
    table = answers.word_table(grounds.answered, 1)
    scores = grounds.answered.scores
    differ = int((scores["base-herald"] != scores["base-plain"]).sum())
    lacks = table.filter(word="lacks").row(0, named=True)
    assert (lacks["n_second"], lacks["n_first"], lacks["difference"]) == (differ, 0, differ)
    assert (lacks["first"], lacks["second"]) == ("demo-base : demo-herald", "demo-base : demo-plain")
    assert table.filter(word="headings")["difference"][0] == -differ


def test_a_silent_run_in_the_pair_is_named(grounds: Grounds, folder: Path, tmp_path: Path) -> None:
    for entry in grounds.answered.pair.entries:
        shutil.copytree(folder / f"results/own/benchmarks/{entry.run}", tmp_path / entry.run)
    at = tmp_path / "base-plain/mt-bench"
    said = read_table(at / "answers.parquet", ANSWERS)
    mute = said.with_columns(answer=pl.lit(None, pl.String), failure=pl.lit("empty: no text"))
    judged = read_table(at / "judgments.parquet", JUDGMENTS)
    write_table(at / "judgments.parquet", judged.clear(), JUDGMENTS, provenance())
    message = r"no question of mt-bench was {} for all runs of the pair \('base-plain' has none\); name two"
    with pytest.raises(DataError, match=message.format("judged")):
        answers.read_answered(grounds.answered.pair, tmp_path, "mt-bench")
    write_table(at / "answers.parquet", mute, ANSWERS, provenance())
    with pytest.raises(DataError, match=message.format("answered")):
        answers.read_answered(grounds.answered.pair, tmp_path, "mt-bench")


# The report


def test_the_same_seed_gives_the_same_report(grounds: Grounds) -> None:
    first, second = (
        as_data("own", "Made up", state_findings(grounds), grounds, provenance()) for _ in range(2)
    )
    assert json.dumps(first) == json.dumps(second)


def test_the_page_holds_what_the_data_hold(grounds: Grounds, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    data = as_data("own", f"Made up {evil}", state_findings(grounds), grounds, provenance())
    figure = tmp_path / "figure2.svg"
    figure.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", encoding="utf-8")
    page = html(data, {figure: "Figure 2"}, [Path("results/own/wildchat50m/tables/table2.html")])
    assert evil not in page
    assert "&lt;script&gt;" in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert 'href="../wildchat50m/tables/table2.html"' in page
    for finding in data["findings"]:
        text = finding["statement"] or finding["missing"]
        assert text.split("(")[0].replace("'", "&#39;") in page
    table = headline_table(grounds)
    assert [r["run"] for r in table["rows"]] == list(made_up.SKILL)
    assert shown(table["rows"][0]["cells"][-1]) == "0.283 ± 0.043"
    assert "| demo-mini : None |" in markdown(data)


def check_study(study: Study) -> None:
    """As the workflow does."""
    roster = make_roster(study, MODELS | study.made)
    select.check_findings(study, roster)
    check_papers(Case(study, roster, BENCHMARKS))


def shows(tables: tuple[str, ...] | list[str] = (), figures: tuple[str, ...] | list[str] = ()) -> object:
    return {"wildchat50m": {"tables": list(tables), "figures": list(figures)}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluation": None}, "study own: findings needs scores: add 'evaluation'"),
        ({"evaluation": None, "findings": None}, "study own: table2 needs scores: add 'evaluation'"),
        ({"papers": shows(["table1"])}, "table1 of wildchat50m follows from released numbers, not"),
        ({"papers": {"wildchat": {}}}, "unknown paper 'wildchat'; did you mean 'wildchat50m'"),
        ({"evaluation": {"benchmarks": ["ifeval", "gpqa"]}, "papers": shows(["table3"])},
         "table3 needs a judged benchmark"),
        ({"evaluation": {"benchmarks": ["mt-bench"]}, "papers": shows(figures=["figure1"])},
         "figure1 needs three benchmarks or more"),
        ({"evaluation": {"benchmarks": ["gpqa"], "runs": ["herald"]}, "papers": shows(["table7"])},
         "table7: the study has no scores of a run on a blend"),
        ({"evaluation": {"benchmarks": ["gpqa"], "runs": ["mini"]}, "papers": shows(figures=["figure2"])},
         "figure2 needs runs on one model's responses at two sizes"),
        ({"findings": {"pair": ["demo-herald", "demo-plan"]}}, "no run learned from 'demo-plan'; did you"),
        ({"findings": {"radar": ["base-herold"]}}, "unknown run 'base-herold'; did you mean 'base-herald'"),
    ],
)  # fmt: skip
def test_a_study_that_asks_for_what_it_cannot_have(
    folder: Path, change: dict[str, object], message: str
) -> None:
    made_up.write_study(folder, made_up.study(**change))
    try:
        study = load_study(folder / "config", "own")
        with pytest.raises(ConfigError, match=message):
            check_study(study)
    finally:
        made_up.write_study(folder, made_up.study())


@pytest.mark.parametrize(("width", "line"), [("120", "0.283 ± 0.043"), ("80", "0.283")])
def test_the_summary_ends_with_the_headline_table_and_the_report(
    folder: Path, grounds: Grounds, width: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        as_data("own", "Made up", state_findings(grounds), grounds, provenance()),
        folder / "results/own/findings",
    )
    monkeypatch.setenv("COLUMNS", width)
    run = CliRunner().invoke(app, ["summary", "own", "--results", str(folder / "results")])
    assert run.exit_code == 0, run.output
    lines = run.output.rstrip().splitlines()
    row = next(x for x in lines if x.startswith("demo-base : demo-herald (60)"))
    assert row.split("  ")[-1].strip() == line
    assert run.output.replace("\n", "").endswith("results/own/findings/findings.html")


def test_the_rubrics_judgments_have_words_to_compare() -> None:
    from rewild.engines.rubric.grades import Grade

    assert Grade(0.9, 0.8, 1.0, 0.9).words == "clearly structured, complete and correct"
    assert Grade(0.7, 0.5, 0.0, 0.4).words == "plain, partial and wrong"
    assert Grade(0.2, 0.0, None, 0.1).words == "shapeless and beside the point"

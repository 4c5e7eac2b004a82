"""What follows from which numbers: cells of tables, figures, evidence. Light: the workflow reads it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from rewild.config.base import trigger
from rewild.config.findings import Findings
from rewild.config.mixes import size_name
from rewild.config.roster import Entry, Roster
from rewild.core.errors import DataError
from rewild.evaluation.harness.settings import evaluated
from rewild.papers.room import Case, Figure, Files, Part
from rewild.report.findings.select import (
    blends,
    dgm_runs,
    family_runs,
    judged_benchmark,
    radar_runs,
    scaled,
    study_pair,
)
from rewild.report.tables.own import OwnTables

PREFERENCE = "PrefRt "
"""What the column of a preference rate starts with; the rest is the label of the run preferred over."""
OWN = OwnTables(
    titles={
        "table2": "One base model fine-tuned on as many conversations of each data-generating model",
        "table3": "Markdown styling in the answers of two data-generating models and their fine-tunes",
        "table4": "How often a judge prefers one model's answers over another's",
        "table6": "Base models fine-tuned on responses of related and unrelated models",
        "table7": "A base model fine-tuned on responses of one model, or of several mixed",
    },
    columns={
        "Avg (study)": {
            "meaning": "Average over all benchmarks of the study, each on a scale of 0–1",
            "unit": "0–1",
            "best": "high",
            "digits": 4,
            "high": 1,
        },
        "len": {
            "meaning": "Mean characters of an answer as HTML",
            "unit": "characters or ratio",
            "digits": 3,
        },
        "FlipCt": {
            "meaning": "Turns on which the fine-tune is scored below the other one, and its own model above "
            "it",
            "unit": "turns",
            "digits": 0,
        },
        PREFERENCE: {
            "meaning": "How often it is preferred over {}",
            "unit": "%",
            "best": "high",
            "digits": 2,
            "high": 100,
        },
    },
    last=("Avg", "FlipCt"),
)

# What is made of what was released.


def _scores(case: Case) -> Files:
    return {name: [f"{case.folder}/scores/{name}.csv"] for name in ("scores", "sheets")}


def _printed(_case: Case) -> Files:
    data = "workflow/rewild/papers/wildchat50m/data"
    return {name: [f"{data}/{name}.csv"] for name in ("table2", "table7")}


def _styling(case: Case) -> Files:
    return {"counts": [f"{case.folder}/style/counts.csv"]}


def _judgments(case: Case) -> Files:
    return {
        "judgments": case.released("wildchat-50m", "combined_preferences.csv"),
        "pages": case.released("wildchat-50m", ".html"),
    }


def _similarity(case: Case) -> Files:
    groups = [source.name for source in case.study.imports] or ["all"]
    return {"sampled": [f"{case.folder}/similarity/{group}/table5_sampled.csv" for group in groups]}


def evidence(case: Case) -> Files:
    """What a study has beside the printed tables: what was released, and what it makes of that."""
    study = case.study
    files: dict[str, list[str]] = {}
    for name, collection, suffix in (
        ("workbook", "wildchat-50m", ".xlsx"),
        ("preferences", "wildchat-50m", "combined_preferences.csv"),
        ("pages", "wildchat-50m", ".html"),
        ("leaderboard", "alpaca-eval-leaderboard", "_leaderboard.csv"),
    ):
        if collection in study.collections:
            files[name] = case.released(collection, suffix)
    if study.source == "released" and study.style:
        files["style"] = [f"{case.folder}/style/counts.csv"]
    if study.source == "released" and study.judgments:
        files["words"] = [f"{case.folder}/judgments/words.csv"]
        files["named_words"] = [f"{case.folder}/judgments/named_words.csv"]
    return files


# What is made of a study's own runs.


def own_scores(case: Case) -> Files:
    """The scores of a study's runs, and what each run is."""
    return {
        "scores": [f"{case.folder}/scores/scores.csv"],
        "items": [f"{case.folder}/scores/items.parquet"],
        "runs": [f"{case.folder}/scores/runs.csv"],
        "benchmarks": [f"{case.config}/benchmarks.yaml"],
    }


def _compared(case: Case) -> Files:
    """The answers and judgments of the runs that Tables 3 and 4 compare."""
    pair = study_pair(case.study, case.roster, case.benchmarks)
    judged = judged_benchmark(case.study, case.benchmarks)
    runs = [f"{case.folder}/benchmarks/{entry.run}/{judged}" for entry in (pair.entries if pair else ())]
    return {
        **own_scores(case),
        "answers": [f"{run}/answers.parquet" for run in runs],
        "judgments": [f"{run}/judgments.parquet" for run in runs],
    }


def settings_of(case: Case) -> Findings:
    """The study's settings of its findings."""
    return case.study.findings or Findings.model_validate({})


def _own_settings(case: Case) -> object:
    return case.study.seed, case.study.findings and trigger(case.study.findings)


def _needs(case: Case, name: str, need: str, there: Callable[[], bool]) -> str | None:
    """The problem that a study's own runs are too few for a table or figure."""
    if case.study.evaluation is None:
        return f"{name} needs scores: add 'evaluation', or remove '{name}'"
    return None if there() else f"{name} needs {need}; add them, or remove '{name}'"


def _no_pair(name: str, case: Case) -> str | None:
    need = "a judged benchmark (runner mt-bench) and a base model's runs on two models' responses"
    return _needs(case, name, need, lambda: study_pair(case.study, case.roster, case.benchmarks) is not None)


def _no_radar(case: Case) -> str | None:
    def there() -> bool:
        benchmarks = case.study.evaluation.benchmarks if case.study.evaluation else []
        return len(benchmarks) > 2 and bool(radar_runs(case.roster, evaluated(case.study), settings_of(case)))

    return _needs(case, "figure1", "three benchmarks or more, and runs to show", there)


def _no_series(case: Case) -> str | None:
    need = "runs on one model's responses at two sizes or more"
    return _needs(case, "figure2", need, lambda: bool(scaled(case.roster, evaluated(case.study))))


def _no_rows(table: str, case: Case) -> str | None:
    if case.study.evaluation is None:
        return _needs(case, table, "", lambda: False)
    try:
        table_rows(table, case.roster, evaluated(case.study))
    except DataError as error:
        return str(error)
    return None


def _no_similarity(case: Case) -> str | None:
    if case.study.similarity:
        return None
    return "table5 is computed from similarity: add 'similarity', or remove 'table5'"


def table_rows(table: str, roster: Roster, scored: Collection[str]) -> list[tuple[str, Entry]]:
    """The rows of Table 2, 6 or 7: label and run.

    Raises:
        DataError: the study has no run that belongs there; the message says what would.
    """
    size = f" at {size_name(roster.size)} conversations" if roster.size else ""
    if table == "table2":
        rows = [(str(e.dgm), e) for e in dgm_runs(roster, scored)]
        needs = f"a run of {roster.base or 'a base model'} on one model's responses{size}"
    elif table == "table6":
        rows = [(e.label, e) for e in family_runs(roster, scored)]
        needs = f"a run on one model's responses{size}"
    else:
        found = [e for blend in blends(roster, scored) for e in (*blend.parts, blend.whole)]
        rows = [(e.label, e) for e in dict.fromkeys(found)]
        needs = "a run on a blend of several models' responses"
    if not rows:
        raise DataError(f"{table}: the study has no scores of {needs}; add one, or remove '{table}'")
    return rows


_TABLE5 = Part("released:similarity", _similarity, problem=_no_similarity)
CELLS = {
    "released": {
        **dict.fromkeys(("table1", "table2", "table6", "table7"), Part("released:scores", _scores)),
        "table3": Part("released:styling", _styling),
        "table4": Part("released:preferences", _judgments),
        "table5": _TABLE5,
    },
    "computed": {
        **{
            table: Part("own:scores", own_scores, _own_settings, partial(_no_rows, table))
            for table in ("table2", "table6", "table7")
        },
        **{
            table: Part("own:answers", _compared, _own_settings, partial(_no_pair, table))
            for table in ("table3", "table4")
        },
        "table5": _TABLE5,
    },
}


def _words(figure: str) -> dict[str, Part]:
    """Figure 3 or 4: the words of judgments."""

    def settings(case: Case) -> object:
        return case.study.seed, case.study.judgments and trigger(case.study.judgments, "figure")

    def released(case: Case) -> Files:
        return {"words": [f"{case.folder}/judgments/words.csv"]}

    def own(case: Case) -> Files:
        return {"words": [f"{case.folder}/findings/words.csv"]}

    return {
        "released": Part("words:released", released, settings),
        "computed": Part("words:own", own, _own_settings, partial(_no_pair, figure)),
    }


FIGURES = {
    "figure1": Figure(
        {
            "released": Part("radar:released", _scores),
            "computed": Part("radar:own", own_scores, _own_settings, _no_radar),
        }
    ),
    "figure2": Figure(
        {
            "published": Part("scaling:published", _printed),
            "released": Part("scaling:released", _scores),
            "computed": Part("scaling:own", own_scores, _own_settings, _no_series),
        }
    ),
    "figure3": Figure(_words("figure3"), also=("figure3-bars",)),
    "figure3-bars": Figure(_words("figure3")),
    "figure4": Figure(_words("figure4"), also=("figure4-bars",)),
    "figure4-bars": Figure(_words("figure4")),
}

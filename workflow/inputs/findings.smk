# Scores of a study's own runs, and what is stated of them.
from rewild.config.findings import Findings
from rewild.report.findings.select import judged_benchmark, study_pair


def evaluated(study):
    """The folder of each run on each benchmark that a study evaluates."""
    return [
        f"results/{study.name}/benchmarks/{run}/{benchmark}"
        for run in evaluated_runs(study)
        for benchmark in (study.evaluation.benchmarks if study.evaluation else [])
    ]


def evaluated_files(name):
    """An input function: one file of each of these folders."""
    return lambda wildcards: [
        f"{folder}/{name}" for folder in evaluated(STUDIES[wildcards.study])
    ]


def pair_files(name):
    """An input function: one file of each run that Tables 3 and 4 compare; none where the study has no such pair."""

    def find(wildcards):
        study = STUDIES[wildcards.study]
        pair = study_pair(study, ROSTERS[study.name], BENCHMARKS)
        judged = judged_benchmark(study, BENCHMARKS)
        return [
            f"results/{study.name}/benchmarks/{entry.run}/{judged}/{name}"
            for entry in (pair.entries if pair else ())
        ]

    return find


def findings_settings(wildcards):
    """The study's settings of its findings, and the seed: what a command reads from them."""
    study = STUDIES[wildcards.study]
    return study.seed, study.findings and study.findings.model_dump_json()


def own_runs(wildcards):
    """What a figure of a study's own runs reads beside their scores."""
    if STUDIES[wildcards.study].source != "computed":
        return []
    folder = f"results/{wildcards.study}/scores"
    return [
        f"{folder}/items.parquet",
        f"{folder}/runs.csv",
        "config/benchmarks.yaml",
    ]


def own_study(wildcards):
    """The arguments that have a figure drawn of a study's own runs."""
    own = STUDIES[wildcards.study].source == "computed"
    return ["--study", wildcards.study] if own else []


def words_of(wildcards):
    """The words that Figures 3 and 4 show."""
    own = STUDIES[wildcards.study].source == "computed"
    return f"results/{wildcards.study}/{'findings' if own else 'judgments'}/words.csv"


def words_shown(wildcards):
    """Words drawn, and the model whose judgments hold them more often."""
    study = STUDIES[wildcards.study]
    third = wildcards.figure == "figure3"
    if study.source == "computed":
        pair = study_pair(study, ROSTERS[study.name], BENCHMARKS)
        settings = study.findings or Findings.model_validate({})
        entry = (pair.second if third else pair.first) if pair else None
        return settings.words, f"{entry.base} : {entry.dgm}" if entry else "None"
    return study.judgments.words, "L8B : L70" if third else "L8B : Q72"


def report_figures(wildcards):
    """The figures that the page of findings shows."""
    study = STUDIES[wildcards.study]
    names = [
        f"{name}{form}"
        for name in study.figures
        for form in (("", "-bars") if name in ("figure3", "figure4") else ("",))
    ]
    return [f"results/{study.name}/figures/{name}.svg" for name in names]


def report_tables(wildcards):
    """The tables that it links to."""
    study = STUDIES[wildcards.study]
    return [f"results/{study.name}/tables/{table}.html" for table in study.tables]


@promised
def scores_and_findings(study):
    """Figures 3 and 4 of a study's own runs, and its findings."""
    if study.source != "computed":
        return []
    folder = f"results/{study.name}"
    files = [
        f"{folder}/figures/{figure}{form}.{suffix}"
        for figure in study.figures
        if figure in ("figure3", "figure4")
        for form in ("", "-bars")
        for suffix in ("svg", "pdf", "png")
    ]
    if study.findings:
        files += [f"{folder}/findings/findings.{s}" for s in ("json", "md", "html")]
    return files

# Scores of a study's own runs, and what is stated of them.
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
    return study.seed, study.findings and trigger(study.findings)


def report_figures(wildcards):
    """The figures that the page of findings shows."""
    return [*papers_shown(STUDIES[wildcards.study], ("svg",))]


def report_tables(wildcards):
    """The tables that it links to."""
    return [*papers_shown(STUDIES[wildcards.study], ("html",), "tables")]


@promised
def findings_of_study(study):
    """The findings of a study's own runs."""
    if study.source != "computed" or not study.findings:
        return []
    folder = f"results/{study.name}/findings"
    return [f"{folder}/findings.{suffix}" for suffix in ("json", "md", "html")]


# A study's own scores, in one table; from them its findings as statements. Papers' tables and figures are made of them by
# the rules that make them of published and released numbers (papers.smk).
rule collect_scores:
    input:
        scores=evaluated_files("scores.csv"),
        by_item=evaluated_files("items.parquet"),
    output:
        scores=report(
            "results/{study}/scores/scores.csv",
            caption="../report/scores.rst",
            category="Scores",
            labels={"table": "all scores"},
        ),
        by_item="results/{study}/scores/items.parquet",
        runs=report(
            "results/{study}/scores/runs.csv",
            caption="../report/runs.rst",
            category="Scores",
            labels={"table": "what each run is"},
        ),
    log:
        "logs/{study}/collect_scores.log",
    benchmark:
        "logs/{study}/collect_scores.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("computed"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("collect_scores", 1000),
        runtime=minutes("collect_scores", 10),
    params:
        folders=lambda wildcards: evaluated(STUDIES[wildcards.study]),
        runs=lambda wildcards: repr(ROSTERS[wildcards.study]),
        out=subpath(output.scores, parent=True),
        code=code("scores"),
    message:
        "{wildcards.study}: gathering the scores of its runs"
    shell:
        "rewild --words <(words {params.folders:q}) scores {wildcards.study:q} --out {params.out:q}"
        " > {log:q} 2>&1"


rule compare_judgments:
    input:
        scores="results/{study}/scores/scores.csv",
        by_item="results/{study}/scores/items.parquet",
        runs="results/{study}/scores/runs.csv",
        answers=pair_files("answers.parquet"),
        judgments=pair_files("judgments.parquet"),
    output:
        words=report(
            "results/{study}/findings/words.csv",
            caption="../report/own_words.rst",
            category="Judgments",
            labels={"table": "words"},
        ),
    log:
        "logs/{study}/compare_judgments.log",
    benchmark:
        "logs/{study}/compare_judgments.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("computed"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_judgments", 700),
        runtime=minutes("compare_judgments", 10),
    params:
        settings=findings_settings,
        scores=subpath(input.scores, parent=True),
        code=code("judged-words"),
    message:
        "{wildcards.study}: comparing the words of judgments of two fine-tunes"
    shell:
        "rewild judged-words {wildcards.study:q} --scores {params.scores:q}"
        " --benchmarks results/{wildcards.study:q}/benchmarks"
        " --words {output.words:q} > {log:q} 2>&1"


rule state_findings:
    input:
        scores="results/{study}/scores/scores.csv",
        by_item="results/{study}/scores/items.parquet",
        runs="results/{study}/scores/runs.csv",
        benchmarks=configured("benchmarks.yaml"),
        answers=pair_files("answers.parquet"),
        judgments=pair_files("judgments.parquet"),
        figures=report_figures,
        tables=report_tables,
    output:
        html=report(
            "results/{study}/findings/findings.html",
            caption="../report/findings.rst",
            category="Findings",
            labels={"findings": "all, with intervals"},
        ),
        md="results/{study}/findings/findings.md",
        json="results/{study}/findings/findings.json",
    log:
        "logs/{study}/state_findings.log",
    benchmark:
        "logs/{study}/state_findings.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("computed"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("state_findings", 2000),
        runtime=minutes("state_findings", 10),
    params:
        scores=subpath(input.scores, parent=True),
        out=subpath(output.json, parent=True),
        settings=findings_settings,
        figures=lambda wildcards, input: [f"--figure={f}" for f in input.figures],
        tables=lambda wildcards, input: [f"--table={t}" for t in input.tables],
        code=code("findings"),
    message:
        "{wildcards.study}: stating the findings"
    shell:
        "rewild findings {wildcards.study:q} {params.figures:q} {params.tables:q} --scores {params.scores:q}"
        " --benchmarks results/{wildcards.study:q}/benchmarks --out {params.out:q} > {log:q} 2>&1"


# The viewer: what its page shows.
def judged_files(study, kind):
    """The files with judgments of a study's imports of one kind."""
    found = zip(STUDIES[study].imports, IMPORTS[study])
    files = [
        file.path for source, files in found if source.kind == kind for file in files
    ]
    if kind == "alpaca-eval" and files:
        return released("alpaca-eval-annotations", "annotations.json")
    return files


def viewer_models(study):
    """The models that a study's viewer shows."""
    return STUDIES[study].viewer.models or response_models(study)


def viewer_responses(wildcards):
    """The manifests of the models shown."""
    return [
        f"results/{wildcards.study}/responses/{model}/manifest.json"
        for model in viewer_models(wildcards.study)
    ]


def viewer_similarity(wildcards):
    """The similarities, if the study computes them."""
    study = STUDIES[wildcards.study]
    blocks = study.similarity.block_names() if study.similarity else []
    return [
        f"results/{study.name}/similarity/{group}/blocks/{block}.parquet"
        for group in groups(study.name)
        for block in blocks
    ]


def viewer_judgments(wildcards):
    """The judgments the study names, and those released with what it imports."""
    study = STUDIES[wildcards.study]
    imported = any(judged_files(study.name, k) for k in ("wildbench", "alpaca-eval"))
    own = [f"results/{study.name}/imports/judgments.parquet"] if imported else []
    return plain(study.viewer.judgments) + own


def viewer_names(wildcards):
    """The short names of the models shown, as arguments."""
    return [
        f"--name={slug}={MODELS[slug].abbreviation}"
        for slug in viewer_models(wildcards.study)
        if slug in MODELS and MODELS[slug].abbreviation
    ]


@promised
def viewer_page(study):
    """The page of responses, if the study wants one."""
    return [f"results/{study.name}/viewer/index.html"] if study.viewer else []


# A page to read responses side by side: results/{study}/viewer/index.html, without server or network.
# It is no part of `snakemake --report`: it would put every response into the report.
rule import_judgments:
    input:
        scores=lambda wildcards: judged_files(wildcards.study, "wildbench"),
        annotations=lambda wildcards: judged_files(wildcards.study, "alpaca-eval"),
        config=ancient("results/{study}/config.yaml"),
    output:
        judgments="results/{study}/imports/judgments.parquet",
    log:
        "logs/{study}/import_judgments.log",
    benchmark:
        "logs/{study}/import_judgments.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("import_judgments", 1500),
        runtime=minutes("import_judgments", 10),
    params:
        imports=lambda wildcards: [
            trigger(source) for source in STUDIES[wildcards.study].imports
        ],
        code=code("import-judgments"),
    message:
        "{wildcards.study}: bringing in the released judgments of imported responses"
    shell:
        "rewild --words <(words {input.annotations:q}) import-judgments {input.config:q} --out {output.judgments:q}"
        " > {log:q} 2>&1"


rule make_viewer:
    input:
        responses=viewer_responses,
        similarity=viewer_similarity,
        judgments=viewer_judgments,
    output:
        page="results/{study}/viewer/index.html",
        data=directory("results/{study}/viewer/data"),
    log:
        "logs/{study}/make_viewer.log",
    benchmark:
        "logs/{study}/make_viewer.benchmark.tsv"
    conda:
        conda_of("workflow")
    threads: 4
    resources:
        mem_mb=memory("make_viewer", 4000),
        runtime=minutes("make_viewer", 60),
    params:
        title=lambda wildcards: STUDIES[wildcards.study].title,
        models=lambda wildcards: [
            f"--model={slug}" for slug in STUDIES[wildcards.study].viewer.models
        ],
        names=viewer_names,
        similarity=lambda wildcards, input: [
            f"--similarity={path}" for path in input.similarity
        ],
        judgments=lambda wildcards, input: [
            f"--judgments={path}"
            for path in dict.fromkeys(
                [*STUDIES[wildcards.study].viewer.judgments, *input.judgments]
            )
        ],
        odd=lambda wildcards: odd(STUDIES[wildcards.study].viewer.judgments),
        limit=lambda wildcards: STUDIES[wildcards.study].viewer.max_conversations,
        folder=subpath(output.page, parent=True),
        code=code("viewer"),
    message:
        "{wildcards.study}: making the page that shows responses side by side"
    shell:
        "rewild --words <(words {input.responses:q} {params.similarity:q} {params.judgments:q}"
        " {params.models:q} {params.names:q}) viewer --title {params.title:q}"
        " --max-conversations {params.limit:q} --workers {threads:q}"
        " --out {params.folder:q} > {log:q} 2>&1"


include: "report/data.smk"
include: "report/teachers.smk"

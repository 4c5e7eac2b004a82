# Tables and figures of the paper.
def computed_cells(wildcards):
    """The computed cells of a table; none where the study shows published numbers only."""
    if STUDIES[wildcards.study].source == "published":
        return []
    return [f"results/{wildcards.study}/cells/{wildcards.table}.csv"]


def table_title(wildcards):
    """What a table shows: the paper's runs, or a study's own."""
    own = OWN_TITLES if STUDIES[wildcards.study].source == "computed" else {}
    return own.get(wildcards.table, TABLE_TITLES[wildcards.table])


def scaling_inputs(wildcards):
    """What Figure 2 is drawn from: scores, or the printed tables."""
    if STUDIES[wildcards.study].source == "published":
        printed = [own(f"resources/paper/{name}.csv") for name in ("table2", "table7")]
        return {"scores": [], "published": printed}
    scores = [f"results/{wildcards.study}/scores/scores.csv"]
    return {"scores": scores, "published": []}


@promised
def tables_and_figures(study):
    """Tables 1 to 7 and Figures 1 and 2, as far as the study makes them, and what belongs to them."""
    folder = f"results/{study.name}"
    files = [
        f"{folder}/tables/{table}.{suffix}"
        for table in study.tables
        for suffix in ("csv", "md", "tex", "html")
    ]
    files += [
        f"{folder}/figures/{figure}.{suffix}"
        for figure in study.figures
        if figure in ("figure1", "figure2")
        for suffix in ("svg", "pdf", "png", "csv")
    ]
    if study.source == "published":
        files.append(f"{folder}/figures/README.md")
    elif study.source == "released":
        files += [
            f"{folder}/scores/{name}.csv"
            for name in ("scores", "sheets", "averages", "subsets")
        ]
    return files


# The released scores made tidy, and the paper's tables: as published, or computed beside the published numbers.
# Any phase supplies a table by a rule that writes results/{study}/cells/{table}.csv (rewild.core.cells).
rule tidy_scores:
    input:
        workbook=released("wildchat-50m", "wc50m_results.xlsx"),
        runs=own("resources/released/runs.csv"),
    output:
        scores="results/{study}/scores/scores.csv",
        sheets="results/{study}/scores/sheets.csv",
    log:
        "logs/{study}/tidy_scores.log",
    benchmark:
        "logs/{study}/tidy_scores.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("tidy_scores", 500),
        runtime=minutes("tidy_scores", 5),
    params:
        code=code("released-scores"),
    message:
        "{wildcards.study}: making the released scores tidy"
    shell:
        "rewild released-scores {input.workbook:q} --runs {input.runs:q}"
        " --out {output.scores:q} --out-sheets {output.sheets:q} > {log:q} 2>&1"


rule identify_averages:
    input:
        scores="results/{study}/scores/scores.csv",
        table6=own("resources/paper/table6.csv"),
        table7=own("resources/paper/table7.csv"),
        stated=own("resources/paper/averages.csv"),
    output:
        averages="results/{study}/scores/averages.csv",
        subsets="results/{study}/scores/subsets.csv",
    log:
        "logs/{study}/identify_averages.log",
    benchmark:
        "logs/{study}/identify_averages.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("identify_averages", 500),
        runtime=minutes("identify_averages", 5),
    params:
        code=code("averages"),
    message:
        "{wildcards.study}: finding which averages the paper reports"
    shell:
        "rewild averages --scores {input.scores:q}"
        " --table6 {input.table6:q} --table7 {input.table7:q} --stated {input.stated:q}"
        " --out {output.averages:q} --out-subsets {output.subsets:q} > {log:q} 2>&1"


rule compute_score_cells:
    input:
        scores="results/{study}/scores/scores.csv",
        sheets="results/{study}/scores/sheets.csv",
        published=own("resources/paper/{table}.csv"),
    output:
        cells="results/{study}/cells/{table}.csv",
    log:
        "logs/{study}/compute_score_cells/{table}.log",
    benchmark:
        "logs/{study}/compute_score_cells/{table}.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
        table="table[1267]",
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compute_score_cells", 500),
        runtime=minutes("compute_score_cells", 5),
    params:
        code=code("score-cells"),
    message:
        "{wildcards.study}: computing {wildcards.table} from the released scores"
    shell:
        "rewild score-cells {wildcards.table:q} --scores {input.scores:q} --sheets {input.sheets:q}"
        " --published {input.published:q} --out {output.cells:q} > {log:q} 2>&1"


rule make_table:
    input:
        published=own("resources/paper/{table}.csv"),
        specs=own("resources/paper/tables.yaml"),
        computed=computed_cells,
    output:
        csv=report(
            "results/{study}/tables/{table}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "form": "every digit (CSV)"},
        ),
        md="results/{study}/tables/{table}.md",
        tex="results/{study}/tables/{table}.tex",
        html=report(
            "results/{study}/tables/{table}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}", "form": "page"},
        ),
    log:
        "logs/{study}/make_table/{table}.log",
    benchmark:
        "logs/{study}/make_table/{table}.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("make_table", 500),
        runtime=minutes("make_table", 5),
    params:
        computed=lambda wildcards, input: [
            f"--computed={f}" for f in input.get("computed", [])
        ],
        own=lambda wildcards: (
            "--own" if STUDIES[wildcards.study].source == "computed" else ""
        ),
        title=table_title,
        source=lambda wildcards: STUDIES[wildcards.study].source,
        code=code("table"),
    message:
        "{wildcards.study}: making {wildcards.table}"
    shell:
        "rewild table {wildcards.table:q} --published {input.published:q} --specs {input.specs:q} {params.computed:q} {params.own:q}"
        " --out-csv {output.csv:q} --out-md {output.md:q} --out-tex {output.tex:q} --out-html {output.html:q}"
        " > {log:q} 2>&1"


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
    return study.seed, study.findings and trigger(study.findings)


def own_runs(wildcards):
    """What a figure of a study's own runs reads beside their scores."""
    if STUDIES[wildcards.study].source != "computed":
        return []
    folder = f"results/{wildcards.study}/scores"
    return [
        f"{folder}/items.parquet",
        f"{folder}/runs.csv",
        configured("benchmarks.yaml"),
    ]


def own_study(wildcards):
    """The arguments that have a figure drawn of a study's own runs."""
    own = STUDIES[wildcards.study].source == "computed"
    return ["--study", wildcards.study] if own else []


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


# Figures 1 and 2. What the paper does not publish of its figures, a study of published numbers says in a note.
rule draw_radar:
    input:
        scores="results/{study}/scores/scores.csv",
        own=own_runs,
    output:
        svg=report(
            "results/{study}/figures/figure1.svg",
            caption="../report/figure1.rst",
            category="Figures",
            labels={"figure": "figure1", "shows": "models on all benchmarks"},
        ),
        pdf="results/{study}/figures/figure1.pdf",
        png="results/{study}/figures/figure1.png",
        csv="results/{study}/figures/figure1.csv",
    log:
        "logs/{study}/draw_radar.log",
    benchmark:
        "logs/{study}/draw_radar.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_radar", 700),
        runtime=minutes("draw_radar", 5),
    params:
        stem=lambda wildcards, output: Path(output.svg).with_suffix(""),
        source=lambda wildcards: STUDIES[wildcards.study].source,
        study=own_study,
        settings=findings_settings,
        code=code("figure"),
    message:
        "{wildcards.study}: drawing Figure 1"
    shell:
        "rewild figure figure1 --scores {input.scores:q} {params.study:q} --out {params.stem:q} > {log:q} 2>&1"


rule draw_scaling:
    input:
        scores=lambda wildcards: scaling_inputs(wildcards)["scores"],
        published=lambda wildcards: scaling_inputs(wildcards)["published"],
        own=own_runs,
    output:
        svg=report(
            "results/{study}/figures/figure2.svg",
            caption="../report/figure2.rst",
            category="Figures",
            labels={"figure": "figure2", "shows": "the effect of more data"},
        ),
        pdf="results/{study}/figures/figure2.pdf",
        png="results/{study}/figures/figure2.png",
        csv="results/{study}/figures/figure2.csv",
    log:
        "logs/{study}/draw_scaling.log",
    benchmark:
        "logs/{study}/draw_scaling.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_scaling", 700),
        runtime=minutes("draw_scaling", 5),
    params:
        stem=lambda wildcards, output: Path(output.svg).with_suffix(""),
        inputs=lambda wildcards, input: [f"--scores={f}" for f in input.scores]
        + [f"--{Path(f).stem}={f}" for f in input.published],
        source=lambda wildcards: STUDIES[wildcards.study].source,
        study=own_study,
        settings=findings_settings,
        code=code("figure"),
    message:
        "{wildcards.study}: drawing Figure 2"
    shell:
        "rewild figure figure2 {params.inputs:q} {params.study:q} --out {params.stem:q} > {log:q} 2>&1"


rule note_figures:
    output:
        md="results/{study}/figures/README.md",
    log:
        "logs/{study}/note_figures.log",
    benchmark:
        "logs/{study}/note_figures.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("note_figures", 300),
        runtime=minutes("note_figures", 5),
    params:
        code=code("figure-notes"),
    message:
        "{wildcards.study}: noting what the paper does not publish of its figures"
    shell:
        "rewild figure-notes --out {output.md:q} > {log:q} 2>&1"


# A study's own scores, in one table; from them the cells of the paper's tables, and its findings as statements.
# Tables and figures are made by the rules that make them of published and released numbers.
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


rule fill_table:
    input:
        scores="results/{study}/scores/scores.csv",
        by_item="results/{study}/scores/items.parquet",
        runs="results/{study}/scores/runs.csv",
        benchmarks=configured("benchmarks.yaml"),
    output:
        cells="results/{study}/cells/{table}.csv",
    log:
        "logs/{study}/fill_table/{table}.log",
    benchmark:
        "logs/{study}/fill_table/{table}.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("computed"),
        table="table[267]",
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("fill_table", 700),
        runtime=minutes("fill_table", 5),
    params:
        settings=findings_settings,
        scores=subpath(input.scores, parent=True),
        code=code("own-cells"),
    message:
        "{wildcards.study}: computing {wildcards.table} from its scores"
    shell:
        "rewild own-cells {wildcards.table:q} {wildcards.study:q} --scores {params.scores:q}"
        " --out {output.cells:q} > {log:q} 2>&1"


rule compare_answers:
    input:
        scores="results/{study}/scores/scores.csv",
        by_item="results/{study}/scores/items.parquet",
        runs="results/{study}/scores/runs.csv",
        answers=pair_files("answers.parquet"),
        judgments=pair_files("judgments.parquet"),
    output:
        table3="results/{study}/cells/table3.csv",
        table4="results/{study}/cells/table4.csv",
        words=report(
            "results/{study}/findings/words.csv",
            caption="../report/own_words.rst",
            category="Judgments",
            labels={"table": "words"},
        ),
    log:
        "logs/{study}/compare_answers.log",
    benchmark:
        "logs/{study}/compare_answers.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("computed"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_answers", 700),
        runtime=minutes("compare_answers", 10),
    params:
        settings=findings_settings,
        scores=subpath(input.scores, parent=True),
        cells=subpath(output.table3, parent=True),
        code=code("compare-answers"),
    message:
        "{wildcards.study}: comparing the answers of two models and their fine-tunes"
    shell:
        "rewild compare-answers {wildcards.study:q} --scores {params.scores:q}"
        " --benchmarks results/{wildcards.study:q}/benchmarks --cells {params.cells:q}"
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
        settings=findings_settings,
        figures=lambda wildcards, input: [f"--figure={f}" for f in input.figures],
        tables=lambda wildcards, input: [f"--table={t}" for t in input.tables],
        code=code("findings"),
    message:
        "{wildcards.study}: stating the findings"
    shell:
        "rewild findings {wildcards.study:q} {params.figures:q} {params.tables:q} > {log:q} 2>&1"


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

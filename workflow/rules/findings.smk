# A study's own scores, in one table; from them the cells of the paper's tables, and its findings as statements.
# Tables and figures are made by the rules that make them of published and released numbers.
rule collect_scores:
    input:
        scores=evaluated_files("scores.csv"),
        by_item=evaluated_files("items.parquet"),
        code=code(
            "evaluation/scores/collect.py",
            "evaluation/scores/tidy.py",
            "config/roster.py",
        ),
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
        benchmarks="config/benchmarks.yaml",
        code=code(
            "report/findings/cells.py",
            "report/findings/select.py",
            "evaluation/scores/collect.py",
        ),
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
        code=code(
            "report/findings/answers.py",
            "report/findings/select.py",
            "measures/style",
            "evaluation/judgments",
        ),
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
        benchmarks="config/benchmarks.yaml",
        answers=pair_files("answers.parquet"),
        judgments=pair_files("judgments.parquet"),
        figures=report_figures,
        tables=report_tables,
        code=code(
            "report/findings",
            "evaluation/scores/bootstrap.py",
            "evaluation/scores/collect.py",
        ),
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
    message:
        "{wildcards.study}: stating the findings"
    shell:
        "rewild findings {wildcards.study:q} {params.figures:q} {params.tables:q} > {log:q} 2>&1"

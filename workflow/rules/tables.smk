# The released scores made tidy, and the paper's tables: as published, or computed beside the published numbers.
# Any phase supplies a table by a rule that writes results/{study}/cells/{table}.csv (rewild.core.cells).
rule tidy_scores:
    input:
        workbook=released("wildchat-50m", "wc50m_results.xlsx"),
        runs="resources/released/runs.csv",
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
    message:
        "{wildcards.study}: making the released scores tidy"
    shell:
        "rewild released-scores {input.workbook:q} --runs {input.runs:q}"
        " --out {output.scores:q} --out-sheets {output.sheets:q} > {log:q} 2>&1"


rule identify_averages:
    input:
        scores="results/{study}/scores/scores.csv",
        table6="resources/paper/table6.csv",
        table7="resources/paper/table7.csv",
        stated="resources/paper/averages.csv",
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
        published="resources/paper/{table}.csv",
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
    message:
        "{wildcards.study}: computing {wildcards.table} from the released scores"
    shell:
        "rewild score-cells {wildcards.table:q} --scores {input.scores:q} --sheets {input.sheets:q}"
        " --published {input.published:q} --out {output.cells:q} > {log:q} 2>&1"


rule make_table:
    input:
        published="resources/paper/{table}.csv",
        specs="resources/paper/tables.yaml",
        computed=computed_cells,
        code=code("report/tables"),
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
    message:
        "{wildcards.study}: making {wildcards.table}"
    shell:
        "rewild table {wildcards.table:q} --published {input.published:q} --specs {input.specs:q} {params.computed:q} {params.own:q}"
        " --out-csv {output.csv:q} --out-md {output.md:q} --out-tex {output.tex:q} --out-html {output.html:q}"
        " > {log:q} 2>&1"

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
            source.model_dump_json() for source in STUDIES[wildcards.study].imports
        ],
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
    message:
        "{wildcards.study}: making the page that shows responses side by side"
    shell:
        "rewild --words <(words {input.responses:q} {params.similarity:q} {params.judgments:q}"
        " {params.models:q} {params.names:q}) viewer --title {params.title:q}"
        " --max-conversations {params.limit:q} --workers {threads:q}"
        " --out {params.folder:q} > {log:q} 2>&1"

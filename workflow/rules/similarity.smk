# How alike the responses are (pair by pair, in blocks of prompts), and what each model's are like by themselves.
#
# Which responses are compared and how is in `params.settings`; threads never change a score.
rule score_similarity:
    input:
        responses=group_responses,
    output:
        pairs="results/{study}/similarity/{group}/blocks/{block}.parquet",
        coverage="results/{study}/similarity/{group}/blocks/{block}.csv",
    log:
        "logs/{study}/score_similarity/{group}_{block}.log",
    benchmark:
        "logs/{study}/score_similarity/{group}_{block}.benchmark.tsv"
    wildcard_constraints:
        block=r"\d{4}",
    conda:
        conda_of("workflow")
    threads: 2
    resources:
        mem_mb=memory("score_similarity", 2000),
        runtime=minutes("score_similarity", 60),
    params:
        settings=lambda wildcards: split(
            STUDIES[wildcards.study].similarity.block_arguments(
                STUDIES[wildcards.study].seed
            )
        ),
    message:
        "{wildcards.study}: comparing all pairs of models ({wildcards.group}, block {wildcards.block})"
    shell:
        "rewild --words <(words {input.responses:q}) similarity --block {wildcards.block:q} {params.settings:q}"
        " --processes {threads:q} --out {output.pairs:q} > {log:q} 2>&1"


rule merge_similarity:
    input:
        pairs=similarity_blocks(".parquet"),
        coverage=similarity_blocks(".csv"),
        models="config/models.yaml",
    output:
        summary=report(
            "results/{study}/similarity/{group}/summary.csv",
            caption="../report/similarity_summary.rst",
            category="Similarity",
            subcategory="{group}",
            labels={"figure": "three summaries (table)", "metric": "all"},
        ),
        agreement=report(
            "results/{study}/similarity/{group}/agreement.csv",
            caption="../report/similarity_agreement.rst",
            category="Similarity",
            subcategory="{group}",
            labels={"figure": "how far they stray (table)", "metric": "all"},
        ),
        matrix="results/{study}/similarity/{group}/matrix.csv",
        coverage="results/{study}/similarity/{group}/coverage.csv",
        responses="results/{study}/similarity/{group}/responses.parquet",
        all_pairs="results/{study}/similarity/{group}/table5_all_pairs.csv",
        sampled="results/{study}/similarity/{group}/table5_sampled.csv",
        released="results/{study}/similarity/{group}/table5_released_notebook.csv",
    log:
        "logs/{study}/merge_similarity/{group}.log",
    benchmark:
        "logs/{study}/merge_similarity/{group}.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("merge_similarity", 4000),
        runtime=minutes("merge_similarity", 30),
    params:
        settings=lambda wildcards: split(
            STUDIES[wildcards.study].similarity.summary_arguments(
                STUDIES[wildcards.study].seed
            )
        ),
        folder=subpath(output.summary, parent=True),
    message:
        "{wildcards.study}: summarising the similarity of models ({wildcards.group})"
    shell:
        "rewild --words <(words {input.pairs:q}) merge-similarity {params.settings:q} --out {params.folder:q}"
        " > {log:q} 2>&1"


rule plot_similarity:
    input:
        summary="results/{study}/similarity/{group}/summary.csv",
        matrix="results/{study}/similarity/{group}/matrix.csv",
        responses="results/{study}/similarity/{group}/responses.parquet",
        models="config/models.yaml",
        imported=imported_models,
    output:
        heatmap=report(
            "results/{study}/similarity/{group}/figures/heatmap_{metric}.svg",
            caption="../report/similarity_heatmap.rst",
            category="Similarity",
            subcategory="{group}",
            labels={"figure": "model × model", "metric": "{metric}"},
        ),
        distribution=report(
            "results/{study}/similarity/{group}/figures/distribution_{metric}.svg",
            caption="../report/similarity_distribution.rst",
            category="Similarity",
            subcategory="{group}",
            labels={"figure": "distribution per model", "metric": "{metric}"},
        ),
        size=report(
            "results/{study}/similarity/{group}/figures/size_{metric}.svg",
            caption="../report/similarity_size.rst",
            category="Similarity",
            subcategory="{group}",
            labels={"figure": "against model size", "metric": "{metric}"},
        ),
        others=expand(
            "results/{{study}}/similarity/{{group}}/figures/{plot}_{{metric}}.{suffix}",
            plot=("heatmap", "distribution", "size"),
            suffix=("pdf", "png"),
        ),
    log:
        "logs/{study}/plot_similarity/{group}_{metric}.log",
    benchmark:
        "logs/{study}/plot_similarity/{group}_{metric}.benchmark.tsv"
    wildcard_constraints:
        metric=r"(rouge[12L]|meteor|meteor_nosyn|bleu)(_unicode)?",
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("plot_similarity", 1000),
        runtime=minutes("plot_similarity", 10),
    params:
        folder=subpath(input.summary, parent=True),
        out=subpath(output.heatmap, parent=True),
        imported=imported_argument,
        sizes=own_sizes,
    message:
        "{wildcards.study}: drawing the similarity of models ({wildcards.group}, {wildcards.metric})"
    shell:
        "rewild --words <(words {params.sizes:q}) plot-similarity {params.folder:q}"
        " --metric {wildcards.metric:q} {params.imported:q} --out {params.out:q} > {log:q} 2>&1"


# Table 5: the models of the paper that the study has, each from the first group that has it.
rule compute_similarity_cells:
    input:
        sampled=lambda wildcards: [
            f"results/{wildcards.study}/similarity/{group}/table5_sampled.csv"
            for group in groups(wildcards.study)
        ],
        published="resources/paper/table5.csv",
    output:
        cells="results/{study}/cells/table5.csv",
    log:
        "logs/{study}/compute_similarity_cells.log",
    benchmark:
        "logs/{study}/compute_similarity_cells.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compute_similarity_cells", 500),
        runtime=minutes("compute_similarity_cells", 5),
    message:
        "{wildcards.study}: Table 5 of the models that the study has"
    shell:
        "rewild --words <(words {input.sampled:q}) similarity-cells --published {input.published:q}"
        " --out {output.cells:q} > {log:q} 2>&1"


rule measure_diversity:
    input:
        responses=group_responses,
        models="config/models.yaml",
        imported=imported_models,
    output:
        diversity=report(
            "results/{study}/diversity/{group}/diversity.csv",
            caption="../report/diversity.rst",
            category="Diversity",
            subcategory="{group}",
            labels={"measures": "of each model"},
        ),
        definitions="results/{study}/diversity/{group}/definitions.csv",
        lengths=report(
            "results/{study}/diversity/{group}/lengths.svg",
            caption="../report/diversity_lengths.rst",
            category="Diversity",
            subcategory="{group}",
            labels={"measures": "lengths (figure)"},
        ),
        others=multiext("results/{study}/diversity/{group}/lengths", ".pdf", ".png"),
    log:
        "logs/{study}/measure_diversity/{group}.log",
    benchmark:
        "logs/{study}/measure_diversity/{group}.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("measure_diversity", 2000),
        runtime=minutes("measure_diversity", 60),
    params:
        settings=lambda wildcards: split(
            STUDIES[wildcards.study].diversity.arguments(STUDIES[wildcards.study].seed)
        ),
        folder=subpath(output.diversity, parent=True),
        imported=imported_argument,
    message:
        "{wildcards.study}: measuring each model's responses ({wildcards.group})"
    shell:
        "rewild --words <(words {input.responses:q}) diversity {params.settings:q} {params.imported:q}"
        " --out {params.folder:q} > {log:q} 2>&1"

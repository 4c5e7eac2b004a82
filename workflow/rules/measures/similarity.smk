# Similarity and diversity: within a group of models that answer the same prompts.
def groups(study):
    """A group per import, which has prompts of its own; else the study's one group, `all`."""
    return [source.name for source in STUDIES[study].imports] or ["all"]


def group_responses(wildcards):
    """The responses of a group: shards of an import, or the manifests of all models."""
    study = wildcards.study
    if not STUDIES[study].imports:
        return manifests(study)
    number = groups(study).index(wildcards.group)
    return [
        f"results/{study}/responses/{file.model}/{shard_name(number)}.parquet"
        for file in IMPORTS[study][number]
    ]


def imported_models(wildcards):
    """What is known of imported models: their names and sizes."""
    imports = STUDIES[wildcards.study].imports
    return [f"results/{wildcards.study}/imports/models.csv"] if imports else []


def imported_argument(wildcards, input):
    """The same, as an argument."""
    return [f"--imported={path}" for path in input.get("imported", ())]


def own_sizes(wildcards):
    """The parameters of the models that a study makes itself, as arguments."""
    made = STUDIES[wildcards.study].made
    return [f"--size={slug}={row.parameters.total}" for slug, row in made.items()]


def similarity_blocks(suffix):
    """The files of all blocks of a group."""
    return lambda wildcards: [
        f"results/{wildcards.study}/similarity/{wildcards.group}/blocks/{block}{suffix}"
        for block in STUDIES[wildcards.study].similarity.block_names()
    ]


def wordnet_of(wildcards):
    """WordNet, where a study's METEOR has its synonyms."""
    wanted = STUDIES[wildcards.study].similarity.synonyms
    return [f"results/{wildcards.study}/wordnet"] if wanted else []


@promised
def similarity_targets(study):
    """What the sections `similarity` and `diversity` of a study promise."""
    folder = f"results/{study.name}"
    figures = study.similarity.figures() if study.similarity else []
    files = []
    for group in groups(study.name):
        if study.similarity:
            files.append(f"{folder}/similarity/{group}/summary.csv")
        files += [f"{folder}/similarity/{group}/figures/{f}.svg" for f in figures]
        if study.diversity:
            files.append(f"{folder}/diversity/{group}/diversity.csv")
    return files


# WordNet 3.0 for METEOR's synonyms, verified: where it comes from changes no score.
rule get_wordnet:
    output:
        folder=directory("results/{study}/wordnet"),
    log:
        "logs/{study}/get_wordnet.log",
    benchmark:
        "logs/{study}/get_wordnet.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.similarity),
    localrule: True  # nodes of a cluster may have no network
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("get_wordnet", 500),
        runtime=minutes("get_wordnet", 30),
    params:
        source=how(
            lambda wildcards: [
                f"--from={path}"
                for path in [STUDIES[wildcards.study].similarity.wordnet]
                if path
            ]
        ),
        settings=lambda wildcards: split(
            STUDIES[wildcards.study].similarity.wordnet_arguments()
        ),
        stage=stage("fetch"),
    message:
        "{wildcards.study}: getting WordNet 3.0 for METEOR's synonyms"
    shell:
        "rewild wordnet {params.source:q} {params.settings:q} --to {output.folder:q} 2>&1 | tee {log:q} >&2"


# How alike the responses are (pair by pair, in blocks of prompts), and what each model's are like by themselves.
#
# Which responses are compared and how is in `params.settings`; threads never change a score.
rule score_similarity:
    input:
        responses=group_responses,
        wordnet=wordnet_of,
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
        wordnet=lambda wildcards, input: [
            f"--wordnet={path}" for path in input.get("wordnet", [])
        ],
        stage=stage("similarity"),
    message:
        "{wildcards.study}: comparing all pairs of models ({wildcards.group}, block {wildcards.block})"
    shell:
        "rewild --words <(words {input.responses:q}) similarity --block {wildcards.block:q} {params.settings:q}"
        " {params.wordnet:q} --processes {threads:q} --out {output.pairs:q} > {log:q} 2>&1"


rule merge_similarity:
    input:
        pairs=similarity_blocks(".parquet"),
        coverage=similarity_blocks(".csv"),
        models=configured("models.yaml"),
    output:
        summary=report(
            "results/{study}/similarity/{group}/summary.csv",
            caption="../../report/similarity_summary.rst",
            category="Similarity",
            subcategory="{group}",
            labels={"figure": "three summaries (table)", "metric": "all"},
        ),
        agreement=report(
            "results/{study}/similarity/{group}/agreement.csv",
            caption="../../report/similarity_agreement.rst",
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
        code=code("merge-similarity"),
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
        models=configured("models.yaml"),
        imported=imported_models,
    output:
        heatmap=report(
            "results/{study}/similarity/{group}/figures/heatmap_{metric}.svg",
            caption="../../report/similarity_heatmap.rst",
            category="Similarity",
            subcategory="{group}",
            labels={"figure": "model × model", "metric": "{metric}"},
        ),
        distribution=report(
            "results/{study}/similarity/{group}/figures/distribution_{metric}.svg",
            caption="../../report/similarity_distribution.rst",
            category="Similarity",
            subcategory="{group}",
            labels={"figure": "distribution per model", "metric": "{metric}"},
        ),
        size=report(
            "results/{study}/similarity/{group}/figures/size_{metric}.svg",
            caption="../../report/similarity_size.rst",
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
        instead=lambda wildcards: split(
            STUDIES[wildcards.study].similarity.figure_arguments(wildcards.metric)
        ),
        code=code("plot-similarity"),
    message:
        "{wildcards.study}: drawing the similarity of models ({wildcards.group}, {wildcards.metric})"
    shell:
        "rewild --words <(words {params.sizes:q}) plot-similarity {params.folder:q}"
        " --metric {wildcards.metric:q} {params.instead:q} {params.imported:q} --out {params.out:q} > {log:q} 2>&1"


rule measure_diversity:
    input:
        responses=group_responses,
        models=configured("models.yaml"),
        imported=imported_models,
    output:
        diversity=report(
            "results/{study}/diversity/{group}/diversity.csv",
            caption="../../report/diversity.rst",
            category="Diversity",
            subcategory="{group}",
            labels={"measures": "of each model"},
        ),
        definitions="results/{study}/diversity/{group}/definitions.csv",
        lengths=report(
            "results/{study}/diversity/{group}/lengths.svg",
            caption="../../report/diversity_lengths.rst",
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
        code=code("diversity"),
    message:
        "{wildcards.study}: measuring each model's responses ({wildcards.group})"
    shell:
        "rewild --words <(words {input.responses:q}) diversity {params.settings:q} {params.imported:q}"
        " --out {params.folder:q} > {log:q} 2>&1"

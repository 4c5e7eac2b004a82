# Similarity, diversity and styling: within a group of models that answer the same prompts.
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
        stage=stage("similarity"),
    message:
        "{wildcards.study}: comparing all pairs of models ({wildcards.group}, block {wildcards.block})"
    shell:
        "rewild --words <(words {input.responses:q}) similarity --block {wildcards.block:q} {params.settings:q}"
        " --processes {threads:q} --out {output.pairs:q} > {log:q} 2>&1"


rule merge_similarity:
    input:
        pairs=similarity_blocks(".parquet"),
        coverage=similarity_blocks(".csv"),
        models=configured("models.yaml"),
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
        code=code("plot-similarity"),
    message:
        "{wildcards.study}: drawing the similarity of models ({wildcards.group}, {wildcards.metric})"
    shell:
        "rewild --words <(words {params.sizes:q}) plot-similarity {params.folder:q}"
        " --metric {wildcards.metric:q} {params.imported:q} --out {params.out:q} > {log:q} 2>&1"


rule measure_diversity:
    input:
        responses=group_responses,
        models=configured("models.yaml"),
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
        code=code("diversity"),
    message:
        "{wildcards.study}: measuring each model's responses ({wildcards.group})"
    shell:
        "rewild --words <(words {input.responses:q}) diversity {params.settings:q} {params.imported:q}"
        " --out {params.folder:q} > {log:q} 2>&1"


# Style, judgments and win rates, from released files.
@promised
def style_judgments_win_rates(study):
    """What the study asks for of these three, as far as released files hold it."""
    folder = f"results/{study.name}"
    files = []
    if study.source != "released":
        return files
    if study.style:
        files += [
            f"{folder}/style/{name}.csv"
            for name in ("counts", "rates", "shares", "proportional")
        ]
    if study.judgments:
        files += [
            f"{folder}/judgments/{name}.csv"
            for name in ("preferences", "checks", "words", "named_words")
        ]
    if study.win_rates:
        files += [
            f"{folder}/win_rates/{name}"
            for name in ("win_rates.csv", "agreement.csv", "win_rates.md")
        ]
        if study.win_rates.library:
            files.append(f"{folder}/win_rates/library.csv")
    return files


# Markdown styling (Table 3): of the judged pages that were released, and of the responses that a study has.
rule count_style:
    input:
        pages=released("wildchat-50m", ".html"),
    output:
        counts=report(
            "results/{study}/style/counts.csv",
            caption="../report/style_counts.rst",
            category="Style",
            labels={"table": "counts"},
        ),
        rates="results/{study}/style/rates.csv",
        shares=report(
            "results/{study}/style/shares.csv",
            caption="../report/style_shares.rst",
            category="Style",
            labels={"table": "what is not the model's"},
        ),
    log:
        "logs/{study}/count_style.log",
    benchmark:
        "logs/{study}/count_style.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("count_style", 500),
        runtime=minutes("count_style", 5),
    params:
        model="Q72 : None",
        out=subpath(output.counts, parent=True),
        code=code("style"),
    message:
        "{wildcards.study}: counting styling in judged pages of {params.model}"
    shell:
        "rewild style {input.pages:q} --model {params.model:q} --out {params.out:q} > {log:q} 2>&1"


rule compare_style:
    input:
        counts="results/{study}/style/counts.csv",
        published=own("workflow/rewild/papers/wildchat50m/data/table3.csv"),
    output:
        proportional=report(
            "results/{study}/style/proportional.csv",
            caption="../report/style_proportional.rst",
            category="Style",
            labels={"table": "proportional frequencies"},
        ),
    log:
        "logs/{study}/compare_style.log",
    benchmark:
        "logs/{study}/compare_style.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_style", 500),
        runtime=minutes("compare_style", 5),
    params:
        code=code("proportional"),
    message:
        "{wildcards.study}: comparing the styling of pairs of models"
    shell:
        "rewild proportional {input.counts:q} --published {input.published:q}"
        " --out {output.proportional:q} > {log:q} 2>&1"


rule count_response_style:
    input:
        responses=group_responses,
        models=configured("models.yaml"),
        imported=imported_models,
    output:
        counts=report(
            "results/{study}/style/{group}/responses.csv",
            caption="../report/style_responses.rst",
            category="Style",
            subcategory="{group}",
            labels={"table": "responses"},
        ),
        rates="results/{study}/style/{group}/response_rates.csv",
        proportional=report(
            "results/{study}/style/{group}/response_proportional.csv",
            caption="../report/style_responses_proportional.rst",
            category="Style",
            subcategory="{group}",
            labels={"table": "responses, proportional frequencies"},
        ),
        elements=report(
            "results/{study}/style/{group}/elements.svg",
            caption="../report/style_elements.rst",
            category="Style",
            subcategory="{group}",
            labels={"table": "responses (heat map)"},
        ),
        ratios=report(
            "results/{study}/style/{group}/proportional.svg",
            caption="../report/style_responses_proportional.rst",
            category="Style",
            subcategory="{group}",
            labels={"table": "responses, proportional frequencies (heat map)"},
        ),
        others=expand(
            "results/{{study}}/style/{{group}}/{figure}.{suffix}",
            figure=("elements", "proportional"),
            suffix=("pdf", "png"),
        ),
    log:
        "logs/{study}/count_response_style/{group}.log",
    benchmark:
        "logs/{study}/count_response_style/{group}.benchmark.tsv"
    conda:
        conda_of("workflow")
    threads: 4
    resources:
        mem_mb=memory("count_response_style", 2000),
        runtime=minutes("count_response_style", 60),
    params:
        out=subpath(output.counts, parent=True),
        imported=imported_argument,
        code=code("style-responses"),
    message:
        "{wildcards.study}: counting the styling of responses ({wildcards.group})"
    shell:
        "rewild --words <(words {input.responses:q}) style-responses {params.imported:q}"
        " --out {params.out:q} --cores {threads:q} > {log:q} 2>&1"


# How fast models answered: of responses that the study generated.
rule measure_throughput:
    input:
        measurements=lambda wildcards: measurements(wildcards),
        published=own("workflow/rewild/papers/wildchat50m/data/throughput.csv"),
    output:
        models=report(
            "results/{study}/throughput/throughput.csv",
            caption="../report/throughput.rst",
            category="Throughput",
            labels={"table": "models"},
        ),
        summary=report(
            "results/{study}/throughput/summary.csv",
            caption="../report/throughput.rst",
            category="Throughput",
            labels={"table": "over models"},
        ),
        markdown="results/{study}/throughput/throughput.md",
        figure=report(
            "results/{study}/figures/throughput.svg",
            caption="../report/throughput.rst",
            category="Throughput",
            labels={"figure": "against context × parameters"},
        ),
        others=multiext("results/{study}/figures/throughput", ".pdf", ".png"),
    log:
        "logs/{study}/measure_throughput.log",
    benchmark:
        "logs/{study}/measure_throughput.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("measure_throughput", 1000),
        runtime=minutes("measure_throughput", 10),
    params:
        out=subpath(output.models, parent=True),
        figure=lambda wildcards, output: Path(output.figure).with_suffix(""),
        code=code("throughput"),
    message:
        "{wildcards.study}: comparing the speed of models"
    shell:
        "rewild --words <(words {input.measurements:q}) throughput --published {input.published:q}"
        " --out {params.out:q} --figure {params.figure:q} > {log:q} 2>&1"


# Measures by name: of each response of a model, or of each prompt. A job takes one model's (or all prompts), or a shard
# of them where the kind needs an engine.
def measure_of(wildcards):
    """A row of a study's measures."""
    return STUDIES[wildcards.study].measures[wildcards.measure]


def measured_shards(study, subject):
    """The shards that a subject's texts lie in: of the study's prompts, or its imports."""
    if not STUDIES[study].imports:
        return shards(study)
    return [
        shard_name(number)
        for number, files in enumerate(IMPORTS[study])
        if subject == PROMPTS or subject in {file.model for file in files}
    ]


def measured_texts(wildcards):
    """The files that a job measures."""
    subject, part = wildcards.subject, wildcards.part
    folder = "prompts/shards" if subject == PROMPTS else f"responses/{subject}"
    chosen = measured_shards(wildcards.study, subject) if part == WHOLE else [part]
    return [f"results/{wildcards.study}/{folder}/{shard}.parquet" for shard in chosen]


def measured_context(wildcards):
    """The prompts that were answered, for kinds that read what stands before a response."""
    if wildcards.subject == PROMPTS or not measure_of(wildcards).row.context:
        return []
    return [
        f"results/{wildcards.study}/prompts/shards/{Path(path).name}"
        for path in measured_texts(wildcards)
    ]


def measure_files(study, measure, subject):
    """All files of a measure and a subject."""
    row = STUDIES[study].measures[measure]
    parts = measured_shards(study, subject) if row.row.needs else [WHOLE]
    folder = f"results/{study}/measures/{measure}/{subject}"
    return [f"{folder}/{part}.parquet" for part in parts]


def measure_tool(wildcards):
    """The environment that a measure runs in; none of its own for most."""
    measure = measure_of(wildcards)
    responses = STUDIES[wildcards.study].responses
    if measure.row.needs and responses:
        return responses.compute.environment(measure.engine)
    return measure.environment


def measure_gpus(wildcards):
    """The GPUs that a measure's jobs take."""
    return measure_of(wildcards).gpus


def measure_gpu(wildcards):
    """SLURM's name of these: of the kind that the study's models answer on."""
    responses = STUDIES[wildcards.study].responses
    return (
        gpu_name(responses.compute.gpu)
        if responses and measure_gpus(wildcards)
        else None
    )


def measure_weights(wildcards):
    """What says that the weights of a measure's model are there; a tokenizer is small, and fetched when it is needed."""
    weights = WEIGHTS[wildcards.study, wildcards.measure]
    needed = weights and measure_of(wildcards).row.needs
    return fetched(weights.path, weights.revision) if needed else []


def measure_model(wildcards):
    """The folder of a measure's model, where it is not on the hub."""
    weights = WEIGHTS[wildcards.study, wildcards.measure]
    local = weights and not fetched(weights.path, weights.revision)
    return plain([weights.path]) if local else []


@promised
def measure_summaries(study):
    """A table for each of a study's measures."""
    return [
        f"results/{study.name}/measures/{name}/summary.csv" for name in study.measures
    ]


rule measure_texts:
    input:
        texts=measured_texts,
        prompts=measured_context,
        model=measure_model,
        weights=lambda wildcards: ancient(measure_weights(wildcards)),
        env=lambda wildcards: ancient(ready_of(measure_tool(wildcards))),
    output:
        values="results/{study}/measures/{measure}/{subject}/{part}.parquet",
    log:
        "logs/{study}/measure_texts/{measure}/{subject}_{part}.log",
    benchmark:
        "logs/{study}/measure_texts/{measure}/{subject}_{part}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.measures),
    conda:
        lambda wildcards: conda_of(measure_tool(wildcards))
    container:
        lambda wildcards: image_of(measure_tool(wildcards))
    threads: 1
    resources:
        mem_mb=memory(
            "measure_texts",
            lambda wildcards: 24000 if measure_of(wildcards).row.needs else 4000,
            measure_gpus,
        ),
        runtime=minutes("measure_texts", 720, measure_gpus, more=True),
        gpu=gpus(measure_gpus),
        gpu_model=gpu_type(measure_gpu),
        gres=gres(measure_gpus, measure_gpu),
        cpus_per_task=gres_cpus(measure_gpus),
        nodes=1,
    params:
        stage=stage("measures"),
        identity=lambda wildcards: json.dumps(measure_of(wildcards).identity),
        prompts=lambda wildcards, input: [f"--prompts={path}" for path in input.prompts],
        work=lambda wildcards: (
            f"results/{wildcards.study}/work/measures/{wildcards.measure}/{wildcards.subject}/{wildcards.part}"
        ),
        python=how(lambda wildcards: python_of(measure_tool(wildcards))),
        hub=lambda wildcards: staged(measure_weights(wildcards)),
    message:
        "{wildcards.study}: measuring {wildcards.measure} of {wildcards.subject} ({wildcards.part})"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild --words <(words {params.prompts:q} {input.texts:q})"
        " measure {wildcards.study:q} {wildcards.measure:q} --subject {wildcards.subject:q} --work {params.work:q}"
        " --threads {threads:q} --out {output.values:q} > {log:q} 2>&1"


rule summarise_measure:
    input:
        values=lambda wildcards: [
            path
            for subject in (
                [PROMPTS]
                if measure_of(wildcards).of == PROMPTS
                else response_models(wildcards.study)
            )
            for path in measure_files(wildcards.study, wildcards.measure, subject)
        ],
    output:
        summary=report(
            "results/{study}/measures/{measure}/summary.csv",
            caption="../report/measures.rst",
            category="Measures",
            labels={"table": "{measure}"},
        ),
    log:
        "logs/{study}/summarise_measure/{measure}.log",
    benchmark:
        "logs/{study}/summarise_measure/{measure}.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("summarise_measure", 3000),
        runtime=minutes("summarise_measure", 10),
    params:
        code=code("summarise-measure"),
        seed=lambda wildcards: STUDIES[wildcards.study].seed,
    message:
        "{wildcards.study}: summarising {wildcards.measure}"
    shell:
        "rewild --words <(words {input.values:q}) summarise-measure --seed {params.seed:q} --out {output.summary:q}"
        " > {log:q} 2>&1"

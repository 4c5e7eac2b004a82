# Measures by name: of each response of a model, or of each prompt. A job takes one model's (or all prompts), or a shard
# of them where the kind needs an engine, unless its row says `whole`.
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
    folder = f"responses/{subject}"
    if subject == PROMPTS:
        chosen_from = wildcards.measure in STUDIES[wildcards.study].measures_of_prepared
        folder = "prompts/prepared/shards" if chosen_from else "prompts/shards"
    shard = part.removeprefix(VECTORS)
    chosen = measured_shards(wildcards.study, subject) if part == WHOLE else [shard]
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
    parts = measured_shards(study, subject) if row.by_shard else [WHOLE]
    if row.row.vectors:
        parts = [VECTORS + part for part in parts]
    elif row.vectors_of:
        parts = [SPACE]
    folder = f"results/{study}/measures/{measure}/{subject}"
    return [f"{folder}/{part}.parquet" for part in ([DERIVED] if row.sides else parts)]


def sides_of_measure(wildcards):
    """All files of the measures that one is made from, each of its own subject."""
    study, measures = wildcards.study, STUDIES[wildcards.study].measures
    return [
        path
        for side in measure_of(wildcards).sides
        for path in measure_files(
            study,
            side.measure,
            subject_of_side(side, measures, wildcards.subject),
        )
    ]


def asked_by(wildcards):
    """The model that a measure asks, and how; None if it asks none."""
    return ASKED[wildcards.study, wildcards.measure]


def measure_tool(wildcards):
    """The environment that a measure runs in; none of its own for most."""
    measure, asked = measure_of(wildcards), asked_by(wildcards)
    if asked:
        return asked.spec.compute.environment(measure.engine)
    responses = STUDIES[wildcards.study].responses
    if measure.row.needs and responses:
        return responses.compute.environment(measure.engine)
    return measure.environment


def measure_gpus(wildcards):
    """The GPUs that a measure's jobs take."""
    asked = asked_by(wildcards)
    return asked.spec.gpus if asked else measure_of(wildcards).gpus


def measure_gpu(wildcards):
    """SLURM's name of these: of the kind that the study's models answer on, unless its row names one."""
    asked, responses = asked_by(wildcards), STUDIES[wildcards.study].responses
    compute = asked.spec.compute if asked else responses and responses.compute
    return gpu_name(compute.gpu) if compute and measure_gpus(wildcards) else None


def measure_memory(wildcards):
    """What a job needs in MB: torch and its model, where they are loaded."""
    asked = asked_by(wildcards)
    if asked:
        return 4000 if asked.spec.remote else max(8000, memory_mb(asked.spec))
    return 24000 if measure_of(wildcards).row.needs else 4000


def measure_weights(wildcards):
    """What says that the weights of a measure's model are there; a tokenizer is small, and fetched when it is needed."""
    weights = WEIGHTS[wildcards.study, wildcards.measure]
    needed = weights and (
        measure_of(wildcards).row.needs or measure_of(wildcards).vectors_of
    )
    return fetched(weights.path, weights.revision) if needed else []


def measure_model(wildcards):
    """The folder of a measure's model, where it is not on the hub."""
    weights = WEIGHTS[wildcards.study, wildcards.measure]
    local = (
        weights and not weights.packaged and not fetched(weights.path, weights.revision)
    )
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
        part=rf"{WHOLE}|\d+",
    conda:
        lambda wildcards: conda_of(measure_tool(wildcards))
    container:
        lambda wildcards: image_of(measure_tool(wildcards))
    threads: 1
    resources:
        mem_mb=memory(
            "measure_texts",
            measure_memory,
            measure_gpus,
        ),
        runtime=minutes("measure_texts", 720, measure_gpus, more=True),
        gpu=gpus(measure_gpus),
        gpu_model=gpu_type(measure_gpu),
        gres=gres(measure_gpus, measure_gpu),
        cpus_per_task=gres_cpus(measure_gpus),
        nodes=1,
        judges=lambda wildcards: int(
            bool((asked := asked_by(wildcards)) and asked.spec.remote)
        ),
    params:
        stage=stage("measures"),
        identity=lambda wildcards: settings_of_measure(
            measure_of(wildcards), asked_by(wildcards)
        ),
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


# A measure that is made from two others, text by text.
rule derive_measure:
    input:
        values=lambda wildcards: list(dict.fromkeys(sides_of_measure(wildcards))),
    output:
        values="results/{study}/measures/{measure}/{subject}/derived.parquet",
    log:
        "logs/{study}/derive_measure/{measure}/{subject}.log",
    benchmark:
        "logs/{study}/derive_measure/{measure}/{subject}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.measures),
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("derive_measure", 4000),
        runtime=minutes("derive_measure", 10),
    params:
        stage=stage("measures"),
        identity=lambda wildcards: json.dumps(measure_of(wildcards).identity),
    message:
        "{wildcards.study}: making {wildcards.measure} of {wildcards.subject} from other measures"
    shell:
        "rewild --words <(words {input.values:q}) derive-measure {wildcards.study:q} {wildcards.measure:q}"
        " --subject {wildcards.subject:q} --out {output.values:q} > {log:q} 2>&1"


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
            caption="../../report/measures.rst",
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

# Responses, generated or imported: engines, models, and what is measured of them.
def response_models(study):
    """The models whose responses a study generates or imports."""
    generated = STUDIES[study].responses
    if generated:
        return generated.models
    return sorted({file.model for files in IMPORTS[study] for file in files})


def job_of(wildcards):
    """The settings of a model in a study."""
    return JOBS[wildcards.study, wildcards.model]


def pilot_of(wildcards):
    """The settings of a model's pilot."""
    return STUDIES[wildcards.study].responses.of(wildcards.model).pilot


def model_gpus(wildcards):
    """The GPUs that a model's jobs need."""
    return job_of(wildcards).gpus


def model_gpu(wildcards):
    """SLURM's name of these."""
    return gpu_model_of(job_of(wildcards))


def shard_minutes(wildcards):
    """How long a shard may take: by the estimate, within what the study allows."""
    most = job_of(wildcards).compute.minutes
    return estimated(wildcards.study, "responses", wildcards.model, most)


def engine_of(wildcards):
    """The environment that a model's engine runs in; none of its own for an endpoint."""
    job = job_of(wildcards)
    return job.compute.environment(job.engine)


def engine_ready(wildcards):
    """What says that the engine's environment is there."""
    tool = engine_of(wildcards)
    return ready_of(tool)


def engine_python(wildcards):
    """The Python of the engine's environment."""
    tool = engine_of(wildcards)
    return python_of(tool)


WITH_CODE = {
    hub
    for row in MODELS.values()
    if row.trust_remote_code
    for hub in (row.hub, row.quantized)
    if hub
}


@cache
def fetched(path, revision):
    """What says that a model of the hub is there; none for a folder.

    The same with every profile: what is computed on a cluster is not computed again because a laptop looks at it.
    """
    if path.count("/") != 1 or Path(path).exists():
        return []
    return [f"results/downloads/models/{path}/{revision or UNPINNED}.json"]


def model_weights(wildcards):
    """The same of a study's model; none for a folder or an endpoint."""
    job = job_of(wildcards)
    if job.remote or local_model(wildcards):
        return []
    return fetched(job.source.path, job.source.revision)


def staged(records):
    """The repositories whose weights a job copies to its node's disk, where the site names one."""
    return [
        path.removeprefix("results/downloads/models/").rpartition("/")[0]
        for path in records
    ]


def local_model(wildcards):
    """The folder of a model that is not on the hub."""
    folder = local_folder(
        STUDIES[wildcards.study], wildcards.model, REGISTRY[wildcards.study]
    )
    return plain([folder]) if folder else []


def model_template(wildcards):
    """The file of a chat template that a model has in the place of its own."""
    template = job_of(wildcards).source.template
    return plain([template]) if template else []


def odd_template(wildcards):
    """The same, where its name cannot be an input's."""
    return odd(filter(None, [job_of(wildcards).source.template]))


def may_answer(wildcards):
    """What says that a model may answer whole shards: its pilot, or a fine-tune's post-flight."""
    trained = TRAININGS[wildcards.study].get(wildcards.model)
    if trained:
        return f"{trained.folder}/passed"
    return f"results/{wildcards.study}/pilot/{wildcards.model}/passed"


def pilot_report(wildcards):
    """What a pilot found; a fine-tune has none, and its checkpoint is an input."""
    if wildcards.model in TRAININGS[wildcards.study]:
        return []
    return [f"results/{wildcards.study}/pilot/{wildcards.model}/report.json"]


def manifests(study):
    """The manifests of a study's models."""
    return [
        f"results/{study}/responses/{model}/manifest.json"
        for model in response_models(study)
    ]


def measurements(wildcards):
    """What every shard of a study's models measured."""
    return [
        f"results/{wildcards.study}/responses/{model}/{shard}.json"
        for model in STUDIES[wildcards.study].responses.models
        for shard in shards(wildcards.study)
    ]


@promised
def responses_and_what_follows(study):
    """Manifests of responses, and what is measured of them."""
    folder = f"results/{study.name}"
    files = manifests(study.name)
    if study.imports:
        files.append(f"{folder}/imports/models.csv")
    if study.style and files:
        files += [f"{folder}/style/{g}/responses.csv" for g in groups(study.name)]
    if study.throughput:
        files += [
            f"{folder}/throughput/{n}.csv" for n in ("throughput", "summary", "prompts")
        ]
        files += [f"{folder}/throughput/throughput.md"]
        files += [f"{folder}/figures/throughput.{s}" for s in ("svg", "pdf", "png")]
    return files


# Prompts to responses: a pilot of each model, then every shard of it, then its manifest. A model that fails its
# pilot stops alone; the others go on (keep-going, in the profiles).
#
# What identifies a response is in `params.settings`, so a change of it runs the job again. How it is computed is
# not; the commands read that from the configuration. Only environments, and what says that a gate was passed, are
# ancient() inputs: below a job that runs, Snakemake does not look for changed params, and ancient() then hides them
# until the next call. `make` therefore builds environments first, and a job that waits for `passed` has the report
# that it judges as an input too: a looser gate answers nothing again, another setting does.
rule run_pilot:
    input:
        prompts=lambda wildcards: prompt_shards(wildcards)[:4],
        model=local_model,
        template=model_template,
        weights=lambda wildcards: ancient(model_weights(wildcards)),
        env=lambda wildcards: ancient(engine_ready(wildcards)),
    output:
        json="results/{study}/pilot/{model}/report.json",
        markdown="results/{study}/pilot/{model}/report.md",
        responses="results/{study}/pilot/{model}/responses.parquet",
    log:
        "logs/{study}/run_pilot/{model}.log",
    benchmark:
        "logs/{study}/run_pilot/{model}.benchmark.tsv"
    conda:
        lambda wildcards: conda_of(engine_of(wildcards))
    container:
        lambda wildcards: image_of(engine_of(wildcards))
    threads: lambda wildcards: job_of(wildcards).compute.threads
    resources:
        mem_mb=memory(
            "run_pilot", lambda wildcards: memory_mb(job_of(wildcards)), model_gpus
        ),
        runtime=minutes("run_pilot", 60, model_gpus, more=True),
        gpu=gpus(model_gpus),
        gpu_model=gpu_type(model_gpu),
        gres=gres(model_gpus, model_gpu),
        cpus_per_task=gres_cpus(model_gpus),
        nodes=1,
    params:
        settings=lambda wildcards: settings_of(job_of(wildcards)),
        odd=odd_template,
        pilot=lambda wildcards: trigger(pilot_of(wildcards)),
        python=how(engine_python),
        hub=lambda wildcards: staged(model_weights(wildcards)),
        shards=lambda wildcards, input: [f"--shard={path}" for path in input.prompts],
        out=subpath(output.json, parent=True),
        work="results/{study}/work/responses/{model}/pilot",
    message:
        "{wildcards.study}: trying {wildcards.model} on a small sample"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild pilot {wildcards.study:q} {wildcards.model:q} {params.shards:q}"
        " --out {params.out:q} --work {params.work:q} --threads {threads:q} > {log:q} 2>&1"


# A rule of its own, so that the report of a failed pilot stays.
rule check_pilot:
    input:
        json="results/{study}/pilot/{model}/report.json",
    output:
        passed="results/{study}/pilot/{model}/passed",
    log:
        "logs/{study}/check_pilot/{model}.log",
    benchmark:
        "logs/{study}/check_pilot/{model}.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("check_pilot", 500),
        runtime=minutes("check_pilot", 5),
    params:
        gates=lambda wildcards: trigger(pilot_of(wildcards).gates, "verdict"),
        code=code("check-pilot"),
    message:
        "{wildcards.study}: checking the pilot of {wildcards.model}"
    shell:
        "rewild check-pilot {input.json:q} --gates {params.gates:q} --out {output.passed:q} > {log:q} 2>&1"


rule answer_shard:
    input:
        prompts="results/{study}/prompts/shards/{shard}.parquet",
        pilot=pilot_report,
        passed=lambda wildcards: ancient(may_answer(wildcards)),
        model=local_model,
        template=model_template,
        weights=lambda wildcards: ancient(model_weights(wildcards)),
        env=lambda wildcards: ancient(engine_ready(wildcards)),
    output:
        responses="results/{study}/responses/{model}/{shard}.parquet",
        measured="results/{study}/responses/{model}/{shard}.json",
    log:
        "logs/{study}/answer_shard/{model}/{shard}.log",
    benchmark:
        "logs/{study}/answer_shard/{model}/{shard}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.responses),
    group:
        on_a_node(model_gpus, "study", "model")
    conda:
        lambda wildcards: conda_of(engine_of(wildcards))
    container:
        lambda wildcards: image_of(engine_of(wildcards))
    threads: cores(lambda wildcards: job_of(wildcards).compute.threads, model_gpus)
    resources:
        mem_mb=memory(
            "answer_shard", lambda wildcards: memory_mb(job_of(wildcards)), model_gpus
        ),
        runtime=minutes("answer_shard", shard_minutes, model_gpus),
        gpu=gpus(model_gpus),
        gpu_model=gpu_type(model_gpu),
        gres=gres(model_gpus, model_gpu),
        cpus_per_task=gres_cpus(model_gpus),
        nodes=1,
    params:
        settings=lambda wildcards: settings_of(job_of(wildcards)),
        odd=odd_template,
        python=how(engine_python),
        hub=lambda wildcards: staged(model_weights(wildcards)),
        work="results/{study}/work/responses/{model}/{shard}",
    message:
        "{wildcards.study}: {wildcards.model} answers shard {wildcards.shard}"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild respond {wildcards.study:q} {wildcards.model:q} {input.prompts:q}"
        " --out {output.responses:q} --work {params.work:q} --threads {threads:q} > {log:q} 2>&1"


rule collect_responses:
    input:
        pilot="results/{study}/pilot/{model}/report.json",
        prompts=lambda wildcards: prompt_shards(wildcards),
        responses=lambda wildcards: [
            f"results/{wildcards.study}/responses/{wildcards.model}/{shard}.parquet"
            for shard in shards(wildcards.study)
        ],
    output:
        manifest="results/{study}/responses/{model}/manifest.json",
    log:
        "logs/{study}/collect_responses/{model}.log",
    benchmark:
        "logs/{study}/collect_responses/{model}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.responses),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("collect_responses", 2000),
        runtime=minutes("collect_responses", 60),
    params:
        shards=lambda wildcards, input: [f"--shard={path}" for path in input.prompts],
        stage=stage("collect"),
    message:
        "{wildcards.study}: counting the responses of {wildcards.model}"
    shell:
        "rewild --words <(words {params.shards:q}) collect {wildcards.study:q} {wildcards.model:q}"
        " --pilot {input.pilot:q} --out {output.manifest:q} > {log:q} 2>&1"


# Weights of a model of the hub, before a job with GPUs asks for them. Nodes of a cluster may have no network.
rule fetch_model:
    input:
        env=ancient(ready_of("data")),
    output:
        record="results/downloads/models/{owner}/{name}/{revision}.json",
    log:
        "logs/fetch_model/{owner}/{name}/{revision}.log",
    benchmark:
        "logs/fetch_model/{owner}/{name}/{revision}.benchmark.tsv"
    wildcard_constraints:
        revision=f"[0-9a-f]{{40}}|{UNPINNED}",
        owner=r"[\w.-]+",
        name=r"[\w.-]+",
    localrule: True
    conda:
        conda_of("data")
    resources:
        mem_mb=memory("fetch_model", 4000),
        runtime=minutes("fetch_model", 1440),
    params:
        python=how(python_of("data")),
        code=lambda wildcards: (
            ["--code"] if f"{wildcards.owner}/{wildcards.name}" in WITH_CODE else []
        ),
        stage=stage("fetch"),
    message:
        "Fetching the weights of {wildcards.owner}/{wildcards.name}"
    shell:
        "{params.python:q} -m rewild fetch-model {wildcards.owner:q}/{wildcards.name:q} {wildcards.revision:q}"
        " {params.code:q} --out {output.record:q} > {log:q} 2>&1"


# Responses that others released, instead of generating: one shard per import, for each of its models.
# One rule per import, because its models are the study's: see prompts.smk.
for name, study in STUDIES.items():
    for number, files in enumerate(IMPORTS[name]):

        rule:
            name:
                f"import_{name.replace('-', '_')}_{number}"
            input:
                config=ancient(f"results/{name}/config.yaml"),
                files=lambda wildcards, files=files, source=study.imports[
                    number
                ]: plain(import_files(source, files)),
            output:
                prompts=f"results/{name}/prompts/shards/{shard_name(number)}.parquet",
                responses=expand(
                    "results/{study}/responses/{model}/{shard}.parquet",
                    study=name,
                    model=[file.model for file in files],
                    shard=shard_name(number),
                ),
                manifests=expand(
                    "results/{study}/imports/{shard}/{model}.json",
                    study=name,
                    model=[file.model for file in files],
                    shard=shard_name(number),
                ),
                counts=f"results/{name}/imports/{shard_name(number)}.csv",
            log:
                f"logs/{name}/import/{number}.log",
            benchmark:
                f"logs/{name}/import/{number}.benchmark.tsv"
            conda:
                conda_of("workflow")
            resources:
                mem_mb=memory(f"import_{name.replace('-', '_')}_{number}", 4000),
                runtime=minutes(f"import_{name.replace('-', '_')}_{number}", 60),
            params:
                number=number,
                folder=subpath(input.config, parent=True),
                odd=lambda wildcards, files=files, source=study.imports[number]: odd(
                    import_files(source, files)
                ),
                settings=lambda wildcards, name=name, number=number: trigger(
                    STUDIES[name].imports[number]
                ),
                stage=stage(f"import-{study.imports[number].kind}"),
            message:
                f"{name}: importing the responses of {len(files)} models ({study.imports[number].name})"
            shell:
                "rewild import {input.config:q} {params.number:q} --folder {params.folder:q} > {log:q} 2>&1"


# One job for all models: each is quickly counted.
for name, study in STUDIES.items():
    if study.imports:

        rule:
            name:
                f"collect_imports_{name.replace('-', '_')}"
            input:
                counts=expand(
                    "results/{study}/imports/{shard}.csv",
                    study=name,
                    shard=[shard_name(number) for number in range(len(study.imports))],
                ),
                responses=[
                    f"results/{name}/responses/{file.model}/{shard_name(number)}.parquet"
                    for number, files in enumerate(IMPORTS[name])
                    for file in files
                ],
            output:
                manifests=manifests(name),
                models=report(
                    f"results/{name}/imports/models.csv",
                    caption="../report/imported_models.rst",
                    category="Responses",
                    labels={"table": "imported models"},
                ),
            log:
                f"logs/{name}/collect_imports.log",
            benchmark:
                f"logs/{name}/collect_imports.benchmark.tsv"
            localrule: True
            conda:
                conda_of("workflow")
            resources:
                mem_mb=memory(f"collect_imports_{name.replace('-', '_')}", 1000),
                runtime=minutes(f"collect_imports_{name.replace('-', '_')}", 10),
            params:
                folder=lambda wildcards, output: Path(output.models).parents[1],
                stage=stage("collect"),
            message:
                f"{name}: counting the imported responses"
            shell:
                "rewild --words <(words {input.counts:q}) collect-imports --folder {params.folder:q}"
                " > {log:q} 2>&1"

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
    threads: lambda wildcards: job_of(wildcards).settings.compute.threads
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
        pilot=lambda wildcards: job_of(wildcards).settings.pilot.measured,
        python=engine_python,
        hub=lambda wildcards: staged(model_weights(wildcards)),
        shards=lambda wildcards: [
            f"--shard={name}" for name in shards(wildcards.study)[:4]
        ],
    message:
        "{wildcards.study}: trying {wildcards.model} on a small sample"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild pilot {wildcards.study:q} {wildcards.model:q} {params.shards:q}"
        " --threads {threads:q} > {log:q} 2>&1"


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
        gates=lambda wildcards: job_of(wildcards).settings.pilot.allowed,
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
    conda:
        lambda wildcards: conda_of(engine_of(wildcards))
    container:
        lambda wildcards: image_of(engine_of(wildcards))
    threads: lambda wildcards: job_of(wildcards).settings.compute.threads
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
        python=engine_python,
        hub=lambda wildcards: staged(model_weights(wildcards)),
    message:
        "{wildcards.study}: {wildcards.model} answers shard {wildcards.shard}"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild respond {wildcards.study:q} {wildcards.model:q} {wildcards.shard:q}"
        " --threads {threads:q} > {log:q} 2>&1"


rule collect_responses:
    input:
        pilot="results/{study}/pilot/{model}/report.json",
        prompts=prompt_shards,
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
        shards=lambda wildcards: [f"--shard={name}" for name in shards(wildcards.study)],
    message:
        "{wildcards.study}: counting the responses of {wildcards.model}"
    shell:
        "rewild --words <(words {params.shards:q}) collect {wildcards.study:q} {wildcards.model:q}"
        " > {log:q} 2>&1"


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
        python=python_of("data"),
        code=lambda wildcards: (
            ["--code"] if f"{wildcards.owner}/{wildcards.name}" in WITH_CODE else []
        ),
    message:
        "Fetching the weights of {wildcards.owner}/{wildcards.name}"
    shell:
        "{params.python:q} -m rewild fetch-model {wildcards.owner:q}/{wildcards.name:q} {wildcards.revision:q}"
        " {params.code:q} --out {output.record:q} > {log:q} 2>&1"

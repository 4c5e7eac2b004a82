# Prompts: the shards of a study, and what is told of them.
@promised
def prepared_prompts(study):
    """The shards and the account of a study's prompts."""
    if not study.prompts:
        return []
    folder = f"results/{study.name}/prompts"
    return [
        *(f"{folder}/shards/{name}.parquet" for name in shard_names(study.prompts)),
        *(f"{folder}/{name}" for name in ("report.json", "report.csv", "report.md")),
        f"{folder}/failures.parquet",
    ]


def shards(study):
    """The names of a study's shards of prompts."""
    prompts = STUDIES[study].prompts
    return shard_names(prompts) if prompts else []


def prompt_shards(wildcards):
    """All shards of a study's prompts."""
    return [
        f"results/{wildcards.study}/prompts/shards/{shard}.parquet"
        for shard in shards(wildcards.study)
    ]


def filter_measures(study):
    """The files of the measures that filters of prompt sources read."""
    read = [c.measure for s in STUDIES[study].prompts.sources for c in s.filters]
    return [
        path
        for measure in dict.fromkeys(read)
        for path in measure_files(study, measure, PROMPTS)
    ]


# Prompts that a model writes (docs/synthesis.md).
def step_of(wildcards):
    """Which step of a source: a pilot is one of the first."""
    return int(getattr(wildcards, "step", 0))


def writer_of(wildcards):
    """What a step of a source is written, or answered, with."""
    found = WRITERS[wildcards.study, wildcards.source][1]
    return found[step_of(wildcards) % len(found)]


def written_source(wildcards):
    """The settings of the source."""
    return WRITERS[wildcards.study, wildcards.source][0]


def writer_settings(wildcards):
    """What identifies what a step adds."""
    return settings_of_synthesis(
        writer_of(wildcards), written_source(wildcards), step_of(wildcards)
    )


def writer_minutes(wildcards):
    """How long a shard may take: by the estimate, within what the study allows."""
    most = writer_of(wildcards).compute.minutes
    return estimated(
        wildcards.study, "synthesis", f"{wildcards.source}/{wildcards.step}", most
    )


def writer_tool(wildcards):
    """The environment of its engine."""
    job = writer_of(wildcards)
    return job.compute.environment(job.engine)


def writer_gpus(wildcards):
    """The GPUs that its jobs need."""
    return writer_of(wildcards).gpus


def writer_gpu(wildcards):
    """SLURM's name of these."""
    return gpu_model_of(writer_of(wildcards))


def writer_files(wildcards):
    """The folder of a model that is not on the hub, and the file of its chat template, if it has one."""
    who = written_source(wildcards).speaks(step_of(wildcards))
    row = REGISTRY[wildcards.study].get(who.model)
    folder = who.path or (row.folder if row else None)
    return plain(filter(None, [folder, who.chat_template]))


def writer_weights(wildcards):
    """What says that the weights of a model of the hub are there."""
    job = writer_of(wildcards)
    who = written_source(wildcards).speaks(step_of(wildcards))
    row = REGISTRY[wildcards.study].get(who.model)
    if job.remote or who.path or (row and row.folder):
        return []
    return fetched(job.source.path, job.source.revision)


def written_before(wildcards):
    """The file of the step before; none for the first."""
    folder = f"results/{wildcards.study}/synthesis/{wildcards.source}"
    step = step_of(wildcards)
    return [f"{folder}/{step - 1}/{wildcards.shard}.parquet"] if step else []


def written_measurements(study):
    """What all steps of all sources of a study measured that models write."""
    return [
        f"results/{study}/synthesis/{source.name}/{step}/{shard_name(number)}.json"
        for source in syntheses_of(STUDIES[study])
        for step in range(len(source.steps))
        for number in range(source.shards)
    ]


def written_shards(wildcards):
    """The shards of samples of a source, of its last step."""
    source = written_source(wildcards)
    folder = (
        f"results/{wildcards.study}/synthesis/{source.name}/{len(source.steps) - 1}"
    )
    return [f"{folder}/{shard_name(number)}.parquet" for number in range(source.shards)]


def written_earlier(wildcards):
    """What its earlier steps measured."""
    source = written_source(wildcards)
    folder = f"results/{wildcards.study}/synthesis/{source.name}"
    return [
        f"{folder}/{step}/{shard_name(number)}.json"
        for step in range(len(source.steps) - 1)
        for number in range(source.shards)
    ]


# A source that a model writes: a pilot of every setting, then its shards, then one file of prompts. As with responses, a
# shard waits for `passed`, and has the report that it judges as an input too. Where another model answers between the
# turns, each turn and each answer is a step: a job loads one model.
rule pilot_synthesis:
    input:
        files=writer_files,
        weights=lambda wildcards: ancient(writer_weights(wildcards)),
        env=lambda wildcards: ancient(ready_of(writer_tool(wildcards))),
    output:
        json="results/{study}/synthesis/{source}/pilot/report.json",
        markdown="results/{study}/synthesis/{source}/pilot/report.md",
        samples="results/{study}/synthesis/{source}/pilot/samples.parquet",
    log:
        "logs/{study}/pilot_synthesis/{source}.log",
    benchmark:
        "logs/{study}/pilot_synthesis/{source}.benchmark.tsv"
    conda:
        lambda wildcards: conda_of(writer_tool(wildcards))
    container:
        lambda wildcards: image_of(writer_tool(wildcards))
    threads: lambda wildcards: writer_of(wildcards).compute.threads
    resources:
        mem_mb=memory(
            "pilot_synthesis",
            lambda wildcards: memory_mb(writer_of(wildcards)),
            writer_gpus,
        ),
        runtime=minutes("pilot_synthesis", 60, writer_gpus, more=True),
        gpu=gpus(writer_gpus),
        gpu_model=gpu_type(writer_gpu),
        gres=gres(writer_gpus, writer_gpu),
        cpus_per_task=gres_cpus(writer_gpus),
        nodes=1,
    params:
        settings=writer_settings,
        pilot=lambda wildcards: trigger(written_source(wildcards).pilot),
        python=how(lambda wildcards: python_of(writer_tool(wildcards))),
        hub=lambda wildcards: staged(writer_weights(wildcards)),
        out=subpath(output.json, parent=True),
        work="results/{study}/work/synthesis/{source}/pilot",
    message:
        "{wildcards.study}: trying the prompts of {wildcards.source} on a small sample"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild pilot-synthesis {wildcards.study:q} {wildcards.source:q}"
        " --out {params.out:q} --work {params.work:q} --threads {threads:q} > {log:q} 2>&1"


rule check_synthesis_pilot:
    input:
        json="results/{study}/synthesis/{source}/pilot/report.json",
    output:
        passed="results/{study}/synthesis/{source}/pilot/passed",
    log:
        "logs/{study}/check_synthesis_pilot/{source}.log",
    benchmark:
        "logs/{study}/check_synthesis_pilot/{source}.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("check_synthesis_pilot", 500),
        runtime=minutes("check_synthesis_pilot", 5),
    params:
        gates=lambda wildcards: trigger(
            written_source(wildcards).pilot.gates, "verdict"
        ),
        code=code("check-pilot"),
    message:
        "{wildcards.study}: checking the pilot of {wildcards.source}"
    shell:
        "rewild check-pilot {input.json:q} --gates {params.gates:q} --out {output.passed:q} > {log:q} 2>&1"


rule synthesise_shard:
    input:
        pilot="results/{study}/synthesis/{source}/pilot/report.json",
        passed=ancient("results/{study}/synthesis/{source}/pilot/passed"),
        before=written_before,
        files=writer_files,
        weights=lambda wildcards: ancient(writer_weights(wildcards)),
        env=lambda wildcards: ancient(ready_of(writer_tool(wildcards))),
    output:
        samples="results/{study}/synthesis/{source}/{step}/{shard}.parquet",
        measured="results/{study}/synthesis/{source}/{step}/{shard}.json",
    log:
        "logs/{study}/synthesise_shard/{source}/{step}/{shard}.log",
    benchmark:
        "logs/{study}/synthesise_shard/{source}/{step}/{shard}.benchmark.tsv"
    wildcard_constraints:
        step=r"\d+",
    group:
        on_a_node(writer_gpus, "study", "source", "step")
    conda:
        lambda wildcards: conda_of(writer_tool(wildcards))
    container:
        lambda wildcards: image_of(writer_tool(wildcards))
    threads: cores(lambda wildcards: writer_of(wildcards).compute.threads, writer_gpus)
    resources:
        mem_mb=memory(
            "synthesise_shard",
            lambda wildcards: memory_mb(writer_of(wildcards)),
            writer_gpus,
        ),
        runtime=minutes("synthesise_shard", writer_minutes, writer_gpus),
        gpu=gpus(writer_gpus),
        gpu_model=gpu_type(writer_gpu),
        gres=gres(writer_gpus, writer_gpu),
        cpus_per_task=gres_cpus(writer_gpus),
        nodes=1,
    params:
        settings=writer_settings,
        numbers=lambda wildcards: str(
            written_source(wildcards).numbers(int(wildcards.shard))
        ),
        python=how(lambda wildcards: python_of(writer_tool(wildcards))),
        hub=lambda wildcards: staged(writer_weights(wildcards)),
        before=lambda wildcards, input: [f"--before={path}" for path in input.before],
        work="results/{study}/work/synthesis/{source}/{step}/{shard}",
    message:
        "{wildcards.study}: shard {wildcards.shard} of the prompts of {wildcards.source}, step {wildcards.step}"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild synthesise {wildcards.study:q} {wildcards.source:q}"
        " {wildcards.shard:q} --step {wildcards.step:q} {params.before:q} --out {output.samples:q} --work {params.work:q}"
        " --threads {threads:q} > {log:q} 2>&1"


rule collect_synthesis:
    input:
        pilot="results/{study}/synthesis/{source}/pilot/report.json",
        shards=written_shards,
        earlier=written_earlier,
    output:
        prompts="results/{study}/synthesis/{source}/prompts.parquet",
        manifest="results/{study}/synthesis/{source}/manifest.json",
    log:
        "logs/{study}/collect_synthesis/{source}.log",
    benchmark:
        "logs/{study}/collect_synthesis/{source}.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory(
            "collect_synthesis",
            lambda wildcards: 2000 + written_source(wildcards).count // 400,
        ),
        runtime=minutes("collect_synthesis", 60),
    params:
        settings=lambda wildcards: trigger(written_source(wildcards)),
        shards=lambda wildcards, input: [
            *(f"--shard={path}" for path in input.shards),
            *(f"--earlier={path}" for path in input.earlier),
        ],
        out=subpath(output.prompts, parent=True),
        stage=stage("synthesis"),
    message:
        "{wildcards.study}: counting the prompts of {wildcards.source}"
    shell:
        "rewild --words <(words {params.shards:q}) collect-synthesis {wildcards.study:q} {wildcards.source:q}"
        " --pilot {input.pilot:q} --out {params.out:q} > {log:q} 2>&1"


# Conversations for models to answer: results/{study}/prompts/shards/0000.parquet, 0001, ...
# One rule per study, because the list of shards is the study's: Snakemake wants every output named before a
# job runs, and a wildcard in an output cannot choose how many there are. Where sources have filters over measures,
# prompts are prepared in results/{study}/prompts/prepared, measured there, and chosen from.
for name, study in STUDIES.items():
    if study.prompts:
        prepared = study.prompts.prepared(f"results/{name}/prompts")

        rule:
            name:
                f"prepare_prompts_{name.replace('-', '_')}"
            input:
                files=lambda wildcards, name=name: plain(
                    input_files(STUDIES[name].prompts, study=name)
                ),
            output:
                shards=expand(
                    "{folder}/shards/{shard}.parquet",
                    folder=prepared,
                    shard=shard_names(study.prompts),
                ),
                report=multiext(
                    f"{prepared}/report", ".json", ".csv", ".csv-metadata.json", ".md"
                ),
                failures=f"{prepared}/failures.parquet",
            log:
                f"logs/{name}/prepare_prompts.log",
            benchmark:
                f"logs/{name}/prepare_prompts.benchmark.tsv"
            conda:
                conda_of("workflow")
            threads: 4
            resources:
                mem_mb=memory(f"prepare_prompts_{name.replace('-', '_')}", 4000),
                runtime=minutes(f"prepare_prompts_{name.replace('-', '_')}", 60),
            params:
                study=name,
                odd=lambda wildcards, name=name: odd(
                    input_files(STUDIES[name].prompts, study=name)
                ),
                folder=lambda wildcards, output: Path(output.failures).parent,
                settings=lambda wildcards, name=name: trigger(
                    STUDIES[name].prompts.before_filters, "result", "cut"
                ),
                stage=stage("prompts"),
            message:
                f"{name}: preparing prompts"
            shell:
                "rewild prepare {params.study:q} --settings {params.settings:q} --out {params.folder:q} "
                "--cores {threads:q} > {log:q} 2>&1"


for name, study in STUDIES.items():
    if study.prompts and study.prompts.filtered:
        prepared = study.prompts.prepared(f"results/{name}/prompts")

        rule:
            name:
                f"filter_prompts_{name.replace('-', '_')}"
            input:
                shards=expand(
                    "{folder}/shards/{shard}.parquet",
                    folder=prepared,
                    shard=shard_names(study.prompts),
                ),
                report=f"{prepared}/report.json",
                failures=f"{prepared}/failures.parquet",
                measured=lambda wildcards, name=name: filter_measures(name),
            output:
                shards=expand(
                    "results/{study}/prompts/shards/{shard}.parquet",
                    study=name,
                    shard=shard_names(study.prompts),
                ),
                report=multiext(
                    f"results/{name}/prompts/report",
                    ".json",
                    ".csv",
                    ".csv-metadata.json",
                    ".md",
                ),
                failures=f"results/{name}/prompts/failures.parquet",
            log:
                f"logs/{name}/filter_prompts.log",
            benchmark:
                f"logs/{name}/filter_prompts.benchmark.tsv"
            conda:
                conda_of("workflow")
            resources:
                mem_mb=memory(f"filter_prompts_{name.replace('-', '_')}", 4000),
                runtime=minutes(f"filter_prompts_{name.replace('-', '_')}", 60),
            params:
                study=name,
                prepared=lambda wildcards, input: Path(input.report).parent,
                folder=lambda wildcards, output: Path(output.failures).parent,
                settings=lambda wildcards, name=name: trigger(
                    STUDIES[name].prompts, "result", "cut", "filters"
                ),
                stage=stage("prompts"),
            message:
                f"{name}: filtering prompts"
            shell:
                "rewild --words <(words {input.measured:q}) filter-prompts {params.study:q}"
                " --prepared {params.prepared:q} --out {params.folder:q} > {log:q} 2>&1"


# A dataset of the hub, streamed once at its pinned revision; what is kept of it is decided afterwards.
rule fetch_hub:
    input:
        env=ancient(ready_of("data")),
    output:
        data="results/downloads/hub/{owner}/{name}/{revision}/{split}.parquet",
    log:
        "logs/fetch_hub/{owner}/{name}/{revision}/{split}.log",
    benchmark:
        "logs/fetch_hub/{owner}/{name}/{revision}/{split}.benchmark.tsv"
    wildcard_constraints:
        revision="[0-9a-f]{40}",
        split=r"[\w-]+",
    localrule: True  # nodes of a cluster may have no network
    conda:
        conda_of("data")
    resources:
        mem_mb=memory("fetch_hub", 2000),
        runtime=minutes("fetch_hub", 240),
    params:
        python=how(python_of("data")),
        stage=stage("fetch"),
    message:
        "Streaming {wildcards.owner}/{wildcards.name} from the hub"
    shell:
        "{params.python:q} -m rewild fetch-hub {wildcards.owner:q}/{wildcards.name:q} {wildcards.revision:q} "
        "--split {wildcards.split:q} --out {output.data:q} > {log:q} 2>&1"

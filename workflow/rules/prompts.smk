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


# Conversations for models to answer: results/{study}/prompts/shards/0000.parquet, 0001, ...
# One rule per study, because the list of shards is the study's: Snakemake wants every output named before a
# job runs, and a wildcard in an output cannot choose how many there are.
for name, study in STUDIES.items():
    if study.prompts:

        rule:
            name:
                f"prepare_prompts_{name.replace('-', '_')}"
            input:
                files=lambda wildcards, name=name: plain(
                    input_files(STUDIES[name].prompts)
                ),
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
                odd=lambda wildcards, name=name: odd(input_files(STUDIES[name].prompts)),
                folder=lambda wildcards, output: Path(output.failures).parent,
                settings=lambda wildcards, name=name: trigger(
                    STUDIES[name].prompts, "result", "cut"
                ),
                stage=stage("prompts"),
            message:
                f"{name}: preparing prompts"
            shell:
                "rewild prepare {params.study:q} --settings {params.settings:q} --out {params.folder:q} "
                "--cores {threads:q} > {log:q} 2>&1"


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

# Training mixes: conversations drawn from a study's responses, hub datasets and files. What of a mix's row its
# conversations depend on is the `params` of make_mix, so a change of one mix makes that one again; what its card alone
# shows (label, title, terms, counts of tokens) is of describe_mix, and trains nothing again.
rule make_mix:
    input:
        manifests=mix_files("manifests"),
        prompts=mix_files("prompts"),
        data=mix_files("data"),
        benchmarks=mix_files("benchmarks"),
    output:
        train="results/{study}/mixes/{mix}/train.parquet",
        sources=multiext(
            "results/{study}/mixes/{mix}/sources", ".csv", ".csv-metadata.json"
        ),
    log:
        "logs/{study}/make_mix/{mix}.log",
    benchmark:
        "logs/{study}/make_mix/{mix}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.mixes),
    conda:
        conda_of("workflow")
    threads: 2
    resources:
        mem_mb=memory("make_mix", 6000),
        runtime=minutes("make_mix", 120),
    params:
        settings=lambda wildcards: json.dumps(identity_of_mix(mix_of(wildcards))),
        seed=mix_seed,
        odd=mix_odd,
    message:
        "{wildcards.study}: making the mix {wildcards.mix}"
    shell:
        "RAYON_NUM_THREADS={threads:q} POLARS_MAX_THREADS={threads:q} "
        "rewild mix {wildcards.study:q} {wildcards.mix:q} --only data > {log:q} 2>&1"


rule describe_mix:
    input:
        train="results/{study}/mixes/{mix}/train.parquet",
        sources="results/{study}/mixes/{mix}/sources.csv",
        tokenizer=counter(mix_of).folder,
        env=lambda wildcards: ancient(counter(mix_of).ready(wildcards)),
    output:
        card=multiext("results/{study}/mixes/{mix}/card", ".json", ".md"),
    log:
        "logs/{study}/describe_mix/{mix}.log",
    benchmark:
        "logs/{study}/describe_mix/{mix}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.mixes),
    conda:
        counter(mix_of).conda
    threads: 2
    resources:
        mem_mb=memory("describe_mix", 6000),
        runtime=minutes("describe_mix", 120),
    params:
        shown=lambda wildcards: json.dumps(presentation_of_mix(mix_of(wildcards))),
        terms=lambda wildcards: terms_of(mix_of(wildcards).models()),
        python=counter(mix_of).python,
    message:
        "{wildcards.study}: writing the card of the mix {wildcards.mix}"
    shell:
        "RAYON_NUM_THREADS={threads:q} POLARS_MAX_THREADS={threads:q} "
        "{params.python:q} -m rewild mix {wildcards.study:q} {wildcards.mix:q} --only card > {log:q} 2>&1"


# A dataset of the hub as it is, streamed once at its pinned revision. Without one the job says so and fails.
rule fetch_dataset:
    input:
        env=ancient(ready_of("data")),
    output:
        data="results/downloads/datasets/{owner}/{name}/{revision}/{subset}/{split}.parquet",
    log:
        "logs/fetch_dataset/{owner}/{name}/{revision}/{subset}/{split}.log",
    benchmark:
        "logs/fetch_dataset/{owner}/{name}/{revision}/{subset}/{split}.benchmark.tsv"
    wildcard_constraints:
        revision=f"[0-9a-f]{{40}}|{UNPINNED}",
        subset=r"[\w.-]+",
        split=r"[\w.-]+",
    localrule: True  # nodes of a cluster may have no network
    conda:
        conda_of("data")
    resources:
        mem_mb=memory("fetch_dataset", 2000),
        runtime=minutes("fetch_dataset", 240),
    params:
        python=python_of("data"),
    message:
        "Streaming {wildcards.owner}/{wildcards.name} ({wildcards.subset}) from the hub"
    shell:
        "{params.python:q} -m rewild fetch-dataset {wildcards.owner:q}/{wildcards.name:q} {wildcards.revision:q} "
        "--subset {wildcards.subset:q} --split {wildcards.split:q} --out {output.data:q} > {log:q} 2>&1"

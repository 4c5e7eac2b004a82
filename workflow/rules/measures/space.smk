# Measures in the space of an embedding model. A job makes the vectors of a shard; another reads all of a subject's.
def space_files(wildcards):
    """The files of the embedding that a measure reads; the vectors lie beside them."""
    embedding = measure_of(wildcards).vectors_of
    return measure_files(wildcards.study, embedding, wildcards.subject)


def space_benchmarks(wildcards):
    """The benchmark files that a measure compares texts with."""
    section = f"measures.{wildcards.measure}"
    row = measure_of(wildcards)
    return (
        plain(files_matching(row.files, section=section)) if row.kind == "match" else []
    )


rule embed_texts:
    input:
        texts=measured_texts,
        model=measure_model,
        weights=lambda wildcards: ancient(measure_weights(wildcards)),
        env=lambda wildcards: ancient(ready_of(measure_tool(wildcards))),
    output:
        values="results/{study}/measures/{measure}/{subject}/{part}.parquet",
        vectors="results/{study}/measures/{measure}/{subject}/{part}.npy",
    log:
        "logs/{study}/embed_texts/{measure}/{subject}_{part}.log",
    benchmark:
        "logs/{study}/embed_texts/{measure}/{subject}_{part}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.measures),
        part=rf"{VECTORS}\d+",
    conda:
        lambda wildcards: conda_of(measure_tool(wildcards))
    container:
        lambda wildcards: image_of(measure_tool(wildcards))
    threads: 2
    resources:
        mem_mb=memory("embed_texts", 8000, measure_gpus),
        runtime=minutes("embed_texts", 720, measure_gpus, more=True),
        gpu=gpus(measure_gpus),
        gpu_model=gpu_type(measure_gpu),
        gres=gres(measure_gpus, measure_gpu),
        cpus_per_task=gres_cpus(measure_gpus),
        nodes=1,
    params:
        stage=stage("measures"),
        identity=lambda wildcards: json.dumps(measure_of(wildcards).identity),
        work=lambda wildcards: (
            f"results/{wildcards.study}/work/measures/{wildcards.measure}/{wildcards.subject}/{wildcards.part}"
        ),
        python=how(lambda wildcards: python_of(measure_tool(wildcards))),
        hub=lambda wildcards: staged(measure_weights(wildcards)),
    message:
        "{wildcards.study}: vectors of {wildcards.subject} ({wildcards.measure}, {wildcards.part})"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild --words <(words {input.texts:q})"
        " measure {wildcards.study:q} {wildcards.measure:q} --subject {wildcards.subject:q} --work {params.work:q}"
        " --threads {threads:q} --out {output.values:q} > {log:q} 2>&1"


rule measure_space:
    input:
        values=space_files,
        vectors=lambda wildcards: [
            f"{path.removesuffix('.parquet')}.npy" for path in space_files(wildcards)
        ],
        benchmarks=space_benchmarks,
        model=measure_model,
        weights=lambda wildcards: ancient(measure_weights(wildcards)),
        env=lambda wildcards: ancient(ready_of(measure_tool(wildcards))),
    output:
        values="results/{study}/measures/{measure}/{subject}/space.parquet",
    log:
        "logs/{study}/measure_space/{measure}/{subject}.log",
    benchmark:
        "logs/{study}/measure_space/{measure}/{subject}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.measures),
    conda:
        lambda wildcards: conda_of(measure_tool(wildcards))
    container:
        lambda wildcards: image_of(measure_tool(wildcards))
    threads: 4
    resources:
        mem_mb=memory("measure_space", 8000),
        runtime=minutes("measure_space", 720),
    params:
        stage=stage("measures"),
        identity=lambda wildcards: json.dumps(measure_of(wildcards).identity),
        benchmarks=lambda wildcards, input: [
            f"--benchmark={path}" for path in input.benchmarks
        ],
        odd=lambda wildcards: odd(
            files_matching(measure_of(wildcards).files)
            if measure_of(wildcards).kind == "match"
            else []
        ),
        python=how(lambda wildcards: python_of(measure_tool(wildcards))),
        hub=lambda wildcards: staged(measure_weights(wildcards)),
    message:
        "{wildcards.study}: measuring {wildcards.measure} of {wildcards.subject} by its vectors"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild"
        " --words <(words {params.benchmarks:q} {input.values:q})"
        " measure-space {wildcards.study:q} {wildcards.measure:q} --subject {wildcards.subject:q}"
        " --threads {threads:q} --out {output.values:q} > {log:q} 2>&1"

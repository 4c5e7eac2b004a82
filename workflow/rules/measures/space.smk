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


def space_memory(wildcards):
    """MB: blocks of vectors; of an approximate search all of them, and as much again for its index."""
    approximate = getattr(measure_of(wildcards), "search", None) == "approximate"
    return 40_000 if approximate else 8000  # 5 million vectors of 768 numbers are 15 GB


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
        mem_mb=memory("measure_space", space_memory),
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


# Several sets of prompts in one projection of a space.
def coverage_of(wildcards):
    """A row of a study's coverage."""
    return STUDIES[wildcards.study].coverage[wildcards.coverage]


def coverage_weights(wildcards):
    """What says that the weights of its model are there."""
    weights = WEIGHTS[wildcards.study, coverage_of(wildcards).space]
    return fetched(weights.path, weights.revision)


def coverage_files(wildcards):
    """Set → its files of other data, of sets that have some."""
    section = f"coverage.{wildcards.coverage}"
    return {
        name: files_matching(chosen.files, section=section)
        for name, chosen in coverage_of(wildcards).sets.items()
        if chosen.files
    }


def coverage_others(wildcards):
    """All these files."""
    return [path for paths in coverage_files(wildcards).values() for path in paths]


@promised
def coverage_targets(study):
    """The tables and the figure of each projection."""
    return [
        f"results/{study.name}/coverage/{name}/{file}"
        for name in study.coverage
        for file in ("coordinates.csv", "sets.csv", "coverage.svg")
    ]


rule project_prompts:
    input:
        values=lambda wildcards: measure_files(
            wildcards.study, coverage_of(wildcards).space, PROMPTS
        ),
        vectors=lambda wildcards: [
            f"{path.removesuffix('.parquet')}.npy"
            for path in measure_files(
                wildcards.study, coverage_of(wildcards).space, PROMPTS
            )
        ],
        prompts=lambda wildcards: [
            f"results/{wildcards.study}/prompts/shards/{shard}.parquet"
            for shard in measured_shards(wildcards.study, PROMPTS)
        ],
        files=lambda wildcards: plain(coverage_others(wildcards)),
        weights=lambda wildcards: ancient(coverage_weights(wildcards)),
        env=ancient(ready_of("measures")),
    output:
        coordinates="results/{study}/coverage/{coverage}/coordinates.csv",
        sets=report(
            "results/{study}/coverage/{coverage}/sets.csv",
            caption="../../report/coverage_sets.rst",
            category="Coverage",
            labels={"projection": "{coverage} (table)"},
        ),
    log:
        "logs/{study}/project_prompts/{coverage}.log",
    benchmark:
        "logs/{study}/project_prompts/{coverage}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.coverage),
    conda:
        conda_of("measures")
    threads: 2
    resources:
        mem_mb=memory("project_prompts", 8000),
        runtime=minutes("project_prompts", 240),
    params:
        stage=stage("measures"),
        settings=lambda wildcards: trigger(coverage_of(wildcards)),
        seed=lambda wildcards: STUDIES[wildcards.study].seed,
        odd=lambda wildcards: odd(coverage_others(wildcards)),
        given=lambda wildcards, input: [
            *(f"--prompts={path}" for path in input.prompts),
            *(
                f"--file={name}={path}"
                for name, paths in coverage_files(wildcards).items()
                for path in paths
            ),
        ],
        folder=subpath(output.sets, parent=True),
        python=how(python_of("measures")),
        hub=lambda wildcards: staged(coverage_weights(wildcards)),
    message:
        "{wildcards.study}: projecting prompts ({wildcards.coverage})"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild --words <(words {params.given:q} {input.values:q})"
        " project-prompts {wildcards.study:q} {wildcards.coverage:q} --threads {threads:q} --out {params.folder:q}"
        " > {log:q} 2>&1"


rule plot_coverage:
    input:
        coordinates="results/{study}/coverage/{coverage}/coordinates.csv",
    output:
        figure=report(
            "results/{study}/coverage/{coverage}/coverage.svg",
            caption="../../report/coverage.rst",
            category="Coverage",
            labels={"projection": "{coverage}"},
        ),
        others=multiext("results/{study}/coverage/{coverage}/coverage", ".pdf", ".png"),
    log:
        "logs/{study}/plot_coverage/{coverage}.log",
    benchmark:
        "logs/{study}/plot_coverage/{coverage}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.coverage),
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("plot_coverage", 1000),
        runtime=minutes("plot_coverage", 10),
    params:
        titles=lambda wildcards: [
            f"--title={name}={chosen.title or name}"
            for name, chosen in coverage_of(wildcards).sets.items()
        ],
        stem=lambda wildcards, output: output.figure.removesuffix(".svg"),
        code=code("plot-coverage"),
    message:
        "{wildcards.study}: drawing the coverage of prompts ({wildcards.coverage})"
    shell:
        "rewild plot-coverage {input.coordinates:q} {params.titles:q} --out {params.stem:q} > {log:q} 2>&1"

# A study's results as folders ready for the hub (docs/release.md). Made when it is asked for.
RELEASED_PARTS = (
    "prompts",
    "responses",
    "measures",
    "preferences",
    "benchmarks",
    "scores",
    "runs",
)


def released_files(wildcards):
    """What a study promises of the results that a release is made of."""
    study = STUDIES[wildcards.study]
    made = [path for files in PROMISES for path in files(study)]
    return [path for path in made if path.split("/")[2] in RELEASED_PARTS]


rule make_release:
    input:
        files=released_files,
        licences=own("resources/release/licences.yaml"),
        env=ancient(ready_of("release")),
    output:
        release="results/{study}/release/release.json",
        found=multiext("results/{study}/release/found", ".csv", ".csv-metadata.json"),
        datasets=directory("results/{study}/release/datasets"),
        models=directory("results/{study}/release/models"),
    log:
        "logs/{study}/make_release.log",
    benchmark:
        "logs/{study}/make_release.benchmark.tsv"
    conda:
        conda_of("release")
    resources:
        mem_mb=memory("make_release", 4000),
        runtime=minutes("make_release", 600),
    params:
        python=how(python_of("release")),
        settings=lambda wildcards: (
            (section := STUDIES[wildcards.study].release) and trigger(section)
        ),
        title=lambda wildcards: STUDIES[wildcards.study].title,
        out=subpath(output.release, parent=True),
        code=code("release"),
    message:
        "{wildcards.study}: making its release, and looking through all texts of it"
    shell:
        "{params.python:q} -m rewild release {wildcards.study:q} --out {params.out:q} > {log:q} 2>&1"

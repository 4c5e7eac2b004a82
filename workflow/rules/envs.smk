# Environments of the heavier tools, each built the first time that a job needs it. Other rules name their files `ready`
# as ancient() inputs: a rebuilt environment is how a result is computed, not what it is.
rule build_env:
    input:
        lock="envs/{tool}.txt",
        names="envs/{tool}.in",
    output:
        ready=".envs/{tool}/ready",
    log:
        "logs/build_env/{tool}.log",
    benchmark:
        "logs/build_env/{tool}.benchmark.tsv"
    localrule: True  # nodes of a cluster may have no network
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("build_env", 2000),
        runtime=minutes("build_env", 60),
    params:
        python="python",
        folder=lambda wildcards: f".envs/{wildcards.tool}",
    message:
        "Building the environment {wildcards.tool} (minutes, once)"
    shell:
        "{params.python:q} -m rewild.operate.environments {input.lock:q} {params.folder:q} 2>&1 | tee {log:q} >&2"


# The same inside the tool's image, whose Python is the environment's.
if "apptainer" in DEPLOYED:

    use rule build_env as build_env_in_image with:
        output:
            ready=".envs/apptainer/{tool}/ready",
        log:
            "logs/build_env_in_image/{tool}.log",
        benchmark:
            "logs/build_env_in_image/{tool}.benchmark.tsv"
        container:
            lambda wildcards: image_of(wildcards.tool)
        params:
            python=lambda wildcards: IMAGES[wildcards.tool].python,
            folder=lambda wildcards: f".envs/apptainer/{wildcards.tool}",

# What is about a study as a whole.
from rewild.operate.home.follow import Follower
from snakemake.logging import logger


rule write_config:
    output:
        yaml="results/{study}/config.yaml",
    log:
        "logs/{study}/write_config.log",
    benchmark:
        "logs/{study}/write_config.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("write_config", 300),
        runtime=minutes("write_config", 5),
    params:
        # What triggers it. The study itself is read by the command: an argument has 128 KiB.
        study=lambda wildcards: sha256(
            STUDIES[wildcards.study].model_dump_json().encode()
        ).hexdigest(),
        code=code("resolve"),
    message:
        "{wildcards.study}: writing the resolved configuration"
    shell:
        "rewild resolve {wildcards.study:q} --out {output.yaml:q} > {log:q} 2>&1"


# A study's home: one page of what is there, made again while a run goes on (rewild.operate.home). It is no result.
rule list_results:
    output:
        promised="results/{study}/promised.txt",
    log:
        "logs/{study}/list_results.log",
    benchmark:
        "logs/{study}/list_results.benchmark.tsv"
    priority: 1  # who looks at a run sees what is still to come
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("list_results", 300),
        runtime=minutes("list_results", 5),
    params:
        files=lambda wildcards: promised_files(STUDIES[wildcards.study]),
        code=code("list-results"),
    message:
        "{wildcards.study}: writing down which files it promises"
    shell:
        "rewild --words <(words {params.files:q}) list-results {wildcards.study:q} --out {output.promised:q}"
        " > {log:q} 2>&1"


rule make_home:
    input:
        config="results/{study}/config.yaml",
        promised="results/{study}/promised.txt",
        files=lambda wildcards: promised_files(STUDIES[wildcards.study]),
    output:
        page="results/{study}/index.html",
    log:
        "logs/{study}/make_home.log",
    benchmark:
        "logs/{study}/make_home.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("make_home", 1000),
        runtime=minutes("make_home", 10),
    params:
        folder=subpath(input.config, parent=True),
        code=code("home"),
    message:
        "{wildcards.study}: making its home, results/{wildcards.study}/index.html"
    shell:
        "rewild home {wildcards.study:q} --folder {params.folder:q} --out {output.page:q} > {log:q} 2>&1"


# The same with all that it links to, to be forwarded: made when it is asked for.
rule pack_home:
    input:
        page="results/{study}/index.html",
        config="results/{study}/config.yaml",
    output:
        archive="results/{study}/home.zip",
    log:
        "logs/{study}/pack_home.log",
    benchmark:
        "logs/{study}/pack_home.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("pack_home", 1000),
        runtime=minutes("pack_home", 10),
    params:
        folder=subpath(input.config, parent=True),
        code=code("home"),
    message:
        "{wildcards.study}: packing its home and all that it links to"
    shell:
        "rewild home {wildcards.study:q} --folder {params.folder:q} --zip {output.archive:q} > {log:q} 2>&1"


# The page is made again as jobs finish, once a minute at most.
if workflow.is_main_process:
    logger.addHandler(
        Follower(
            [sys.executable, "-m", "rewild", "home"],
            {
                **os.environ,
                "PYTHONPATH": str(ROOT / "workflow"),
                "REWILD_CONFIG": json.dumps(over),
                "REWILD_CONFIG_FOLDER": CONFIG,
            },
        )
    )


# Environments of the heavier tools, each built the first time that a job needs it. Other rules name their files `ready`
# as ancient() inputs: a rebuilt environment is how a result is computed, not what it is.
rule build_env:
    input:
        lock=own("envs/{tool}.txt"),
        names=own("envs/{tool}.in"),
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
        stage=stage("environments"),
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
            python=how(lambda wildcards: IMAGES[wildcards.tool].python),
            folder=lambda wildcards: f".envs/apptainer/{wildcards.tool}",


# Released files, one rule per collection: results/downloads/OWNER/REPO/COMMIT/PATH, the same for every study.
# The mirror comes through the environment: where a file was brought from does not make it another file.
for collection, files in RELEASED.items():

    rule:
        name:
            f"fetch_{collection.replace('-', '_')}"
        output:
            files=[f"results/downloads/{file.name}" for file in files],
        log:
            f"logs/fetch/{collection}.log",
        benchmark:
            f"logs/fetch/{collection}.benchmark.tsv"
        localrule: True  # nodes of a cluster may have no network
        conda:
            conda_of("workflow")
        resources:
            mem_mb=memory(f"fetch_{collection.replace('-', '_')}", 500),
            runtime=minutes(f"fetch_{collection.replace('-', '_')}", 30),
        params:
            collection=collection,
            into=lambda wildcards, output, name=files[0].name: output.files[0]
            .removesuffix(name)
            .rstrip("/"),
            stage=stage("fetch"),
        message:
            "Fetching {params.collection}"
        shell:
            "rewild fetch {params.collection:q} --into {params.into:q} 2>&1 | tee {log:q} >&2"


# Models made from scratch, from the settings in the study's section `demo`.
rule make_demo_model:
    input:
        text=lambda wildcards: plain([STUDIES[wildcards.study].demo.text]),
        env=ancient(ready_of("engine-cpu")),
    output:
        folder=directory("results/{study}/models/{model}"),
    log:
        "logs/{study}/make_demo_model/{model}.log",
    benchmark:
        "logs/{study}/make_demo_model/{model}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.demo),
    conda:
        conda_of("engine-cpu")
    threads: 1
    resources:
        mem_mb=memory("make_demo_model", 2000),
        runtime=minutes("make_demo_model", 20),
    params:
        python=how(python_of("engine-cpu")),
        text=lambda wildcards: STUDIES[wildcards.study].demo.text,
        odd=lambda wildcards: odd([STUDIES[wildcards.study].demo.text]),
        settings=lambda wildcards: trigger(
            STUDIES[wildcards.study].demo.models[wildcards.model]
        ),
        stage=stage("demo"),
    message:
        "{wildcards.study}: making the model {wildcards.model} from scratch (about a minute)"
    shell:
        "{params.python:q} -m rewild make-model {params.settings:q} --out {output.folder:q}"
        " --text {params.text:q} > {log:q} 2>&1"

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
        python=python_of("engine-cpu"),
        text=lambda wildcards: STUDIES[wildcards.study].demo.text,
        odd=lambda wildcards: odd([STUDIES[wildcards.study].demo.text]),
        settings=lambda wildcards: STUDIES[wildcards.study]
        .demo.models[wildcards.model]
        .model_dump_json(),
    message:
        "{wildcards.study}: making the model {wildcards.model} from scratch (about a minute)"
    shell:
        "{params.python:q} -m rewild make-model {params.settings:q} --out {output.folder:q}"
        " --text {params.text:q} > {log:q} 2>&1"

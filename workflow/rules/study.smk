# What is about a study as a whole.
rule write_config:
    output:
        yaml="results/{study}/config.yaml",
    log:
        "logs/{study}/write_config.log",
    benchmark:
        "logs/{study}/write_config.benchmark.tsv"
    localrule: True
    conda:
        "../../envs/workflow.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 300 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
    params:
        study=lambda wildcards: STUDIES[wildcards.study].model_dump_json(),
    message:
        "{wildcards.study}: writing the resolved configuration"
    shell:
        "rewild resolve {params.study:q} --out {output.yaml} > {log} 2>&1"

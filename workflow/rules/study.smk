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
        conda_of("workflow")
    resources:
        mem_mb=memory("write_config", 300),
        runtime=minutes("write_config", 5),
    params:
        # What triggers it. The study itself is read by the command: an argument has 128 KiB.
        study=lambda wildcards: sha256(
            STUDIES[wildcards.study].model_dump_json().encode()
        ).hexdigest(),
    message:
        "{wildcards.study}: writing the resolved configuration"
    shell:
        "rewild resolve {wildcards.study:q} --out {output.yaml:q} > {log:q} 2>&1"

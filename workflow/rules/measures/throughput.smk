# How fast models answered: of responses that the study generated.
rule measure_throughput:
    input:
        measurements=lambda wildcards: measurements(wildcards),
        written=lambda wildcards: written_measurements(wildcards.study),
        published=own("workflow/rewild/papers/wildchat50m/data/throughput.csv"),
    output:
        models=report(
            "results/{study}/throughput/throughput.csv",
            caption="../../report/throughput.rst",
            category="Throughput",
            labels={"table": "models"},
        ),
        summary=report(
            "results/{study}/throughput/summary.csv",
            caption="../../report/throughput.rst",
            category="Throughput",
            labels={"table": "over models"},
        ),
        prompts="results/{study}/throughput/prompts.csv",
        markdown="results/{study}/throughput/throughput.md",
        figure=report(
            "results/{study}/figures/throughput.svg",
            caption="../../report/throughput.rst",
            category="Throughput",
            labels={"figure": "against context × parameters"},
        ),
        others=multiext("results/{study}/figures/throughput", ".pdf", ".png"),
    log:
        "logs/{study}/measure_throughput.log",
    benchmark:
        "logs/{study}/measure_throughput.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("measure_throughput", 1000),
        runtime=minutes("measure_throughput", 10),
    params:
        out=subpath(output.models, parent=True),
        figure=lambda wildcards, output: Path(output.figure).with_suffix(""),
        written=lambda wildcards, input: [f"--written={path}" for path in input.written],
        code=code("throughput"),
    message:
        "{wildcards.study}: comparing the speed of models"
    shell:
        "rewild --words <(words {params.written:q} {input.measurements:q}) throughput --published {input.published:q}"
        " --out {params.out:q} --figure {params.figure:q} > {log:q} 2>&1"

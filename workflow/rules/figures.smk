# Figures 1 and 2. What the paper does not publish of its figures, a study of published numbers says in a note.
rule draw_radar:
    input:
        scores="results/{study}/scores/scores.csv",
        own=own_runs,
        code=code("report/figures/radar.py", "core/plotting.py"),
    output:
        svg=report(
            "results/{study}/figures/figure1.svg",
            caption="../report/figure1.rst",
            category="Figures",
            labels={"figure": "figure1", "shows": "models on all benchmarks"},
        ),
        pdf="results/{study}/figures/figure1.pdf",
        png="results/{study}/figures/figure1.png",
        csv="results/{study}/figures/figure1.csv",
    log:
        "logs/{study}/draw_radar.log",
    benchmark:
        "logs/{study}/draw_radar.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_radar", 700),
        runtime=minutes("draw_radar", 5),
    params:
        stem=lambda wildcards, output: Path(output.svg).with_suffix(""),
        source=lambda wildcards: STUDIES[wildcards.study].source,
        study=own_study,
        settings=findings_settings,
    message:
        "{wildcards.study}: drawing Figure 1"
    shell:
        "rewild figure figure1 --scores {input.scores:q} {params.study:q} --out {params.stem:q} > {log:q} 2>&1"


rule draw_scaling:
    input:
        scores=lambda wildcards: scaling_inputs(wildcards)["scores"],
        published=lambda wildcards: scaling_inputs(wildcards)["published"],
        own=own_runs,
        code=code("report/figures/scaling.py", "core/plotting.py"),
    output:
        svg=report(
            "results/{study}/figures/figure2.svg",
            caption="../report/figure2.rst",
            category="Figures",
            labels={"figure": "figure2", "shows": "the effect of more data"},
        ),
        pdf="results/{study}/figures/figure2.pdf",
        png="results/{study}/figures/figure2.png",
        csv="results/{study}/figures/figure2.csv",
    log:
        "logs/{study}/draw_scaling.log",
    benchmark:
        "logs/{study}/draw_scaling.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_scaling", 700),
        runtime=minutes("draw_scaling", 5),
    params:
        stem=lambda wildcards, output: Path(output.svg).with_suffix(""),
        inputs=lambda wildcards, input: [f"--scores={f}" for f in input.scores]
        + [f"--{Path(f).stem}={f}" for f in input.published],
        source=lambda wildcards: STUDIES[wildcards.study].source,
        study=own_study,
        settings=findings_settings,
    message:
        "{wildcards.study}: drawing Figure 2"
    shell:
        "rewild figure figure2 {params.inputs:q} {params.study:q} --out {params.stem:q} > {log:q} 2>&1"


rule note_figures:
    output:
        md="results/{study}/figures/README.md",
    log:
        "logs/{study}/note_figures.log",
    benchmark:
        "logs/{study}/note_figures.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("note_figures", 300),
        runtime=minutes("note_figures", 5),
    message:
        "{wildcards.study}: noting what the paper does not publish of its figures"
    shell:
        "rewild figure-notes --out {output.md:q} > {log:q} 2>&1"

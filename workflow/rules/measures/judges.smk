# Judges by criteria (measures of kind `factors`): what they make of each model, how far they agree, what goes with it.
JUDGES_FIGURES = ("profile", "agreement", "length", "position")


def judges_of(study):
    """The measures of a study that are judges."""
    return [name for name, row in study.measures.items() if row.kind == "factors"]


def judges_files(wildcards):
    """What they say of every model."""
    study = STUDIES[wildcards.study]
    return [
        path
        for name in judges_of(study)
        for model in response_models(study.name)
        for path in measure_files(study.name, name, model)
    ]


@promised
def judges_targets(study):
    """Tables and figures of a study's judges, if it has any."""
    if not judges_of(study):
        return []
    folder = f"results/{study.name}/judges"
    tables = [f"{folder}/{name}.csv" for name in ("means", "agreement", "bias")]
    return tables + [f"{folder}/{name}.svg" for name in JUDGES_FIGURES]


rule compare_judges:
    input:
        values=judges_files,
        models=configured("models.yaml"),
        imported=imported_models,
    output:
        means=report(
            "results/{study}/judges/means.csv",
            caption="../../report/judges.rst",
            category="Judges",
            labels={"shows": "means by criterion and model (table)"},
        ),
        agreement=report(
            "results/{study}/judges/agreement.csv",
            caption="../../report/judges.rst",
            category="Judges",
            labels={"shows": "agreement (table)"},
        ),
        bias=report(
            "results/{study}/judges/bias.csv",
            caption="../../report/judges.rst",
            category="Judges",
            labels={"shows": "length and position (table)"},
        ),
        figures=report(
            expand("results/{{study}}/judges/{name}.svg", name=JUDGES_FIGURES),
            caption="../../report/judges.rst",
            category="Judges",
            labels={"shows": "figure"},
        ),
        others=expand(
            "results/{{study}}/judges/{name}.{suffix}",
            name=JUDGES_FIGURES,
            suffix=("pdf", "png"),
        ),
    log:
        "logs/{study}/compare_judges.log",
    benchmark:
        "logs/{study}/compare_judges.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if judges_of(s)),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_judges", 3000),
        runtime=minutes("compare_judges", 30),
    params:
        seed=lambda wildcards: STUDIES[wildcards.study].seed,
        imported=imported_argument,
        folder=subpath(output.means, parent=True),
        code=code("compare-judges"),
    message:
        "{wildcards.study}: comparing judges"
    shell:
        "rewild --words <(words {input.values:q}) compare-judges --seed {params.seed:q} {params.imported:q}"
        " --out {params.folder:q} > {log:q} 2>&1"

# What a study's data is like: figures and tables as MAGPIE's, of the measures that the study has (docs/data.md).
from rewild.report.data.plan import (
    PRINTED,
    VIEWS,
    plan_data,
    price_of,
    table_uses,
    used_mixes,
    used_sources,
)


def data_uses(wildcards):
    """The measures that a figure or a table shows, each with the set."""
    study = STUDIES[wildcards.study]
    shown = plan_data(study).views.get(wildcards.shown)
    return table_uses(study, wildcards.shown) if shown is None else shown


def data_measures(wildcards):
    """Their files."""
    files = (
        measure_files(wildcards.study, use.measure, use.subject)
        for use in data_uses(wildcards)
    )
    return list(dict.fromkeys(path for some in files for path in some))


def data_prompts(wildcards):
    """The prompts of the sets; of imports, those that came with the responses."""
    names = measured_shards(wildcards.study, PROMPTS)
    return [
        f"results/{wildcards.study}/prompts/shards/{name}.parquet" for name in names
    ]


def data_written(name):
    """An input function: a file of each source of a set whose prompts a model wrote."""

    def found(wildcards):
        sources = used_sources(STUDIES[wildcards.study])
        return [
            f"results/{wildcards.study}/synthesis/{source}/{name}"
            for source in sources
            if (wildcards.study, source) in WRITERS
        ]

    return found


def data_mixes(wildcards):
    """The mixes of the sets."""
    study = STUDIES[wildcards.study]
    return [run_data(study.name, mix) for mix in used_mixes(study)]


def data_mix_names(wildcards, input):
    """The same, by name, as arguments."""
    named = zip(used_mixes(STUDIES[wildcards.study]), input.mixes)
    return [f"--mix={name}={path}" for name, path in named]


def data_answered(wildcards):
    """What shards of the sets' models measured, where a table says what they cost."""
    study = STUDIES[wildcards.study]
    models = dict.fromkeys(row.responses for row in plan_data(study).sets.values())
    return [
        f"results/{study.name}/responses/{model}/{shard}.json"
        for model in models
        if model and study.responses
        for shard in shards(study.name)
    ]


def data_settings(wildcards):
    """The settings of a study that figures and tables of its data follow from."""
    study = STUDIES[wildcards.study]
    uses = [str(use) for use in data_uses(wildcards)]
    return study.seed, trigger(study.data), uses


@promised
def described_data(study):
    """Figures and tables of the section `data`."""
    plan = plan_data(study)
    folder = f"results/{study.name}/data"
    figures = [f"{folder}/{view}.svg" for view in plan.views]
    tables = [f"{folder}/{table}.html" for table in plan.tables]
    return [*figures, *tables, *([f"{folder}/data.md"] if study.data else [])]


rule draw_data:
    input:
        measures=data_measures,
        prompts=data_prompts,
        mixes=data_mixes,
        written=lambda wildcards: (
            data_written("prompts.parquet")(wildcards)
            if wildcards.shown == "settings"
            else []
        ),
    output:
        figure=report(
            "results/{study}/data/{shown}.svg",
            caption="../../report/data.rst",
            category="Data",
            labels={"shown": "{shown}", "form": "figure"},
        ),
        numbers="results/{study}/data/{shown}.csv",
        others=multiext("results/{study}/data/{shown}", ".pdf", ".png"),
    log:
        "logs/{study}/draw_data/{shown}.log",
    benchmark:
        "logs/{study}/draw_data/{shown}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.data),
        shown=one_of(VIEWS),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_data", 4000),
        runtime=minutes("draw_data", 30),
    params:
        settings=data_settings,
        prompts=lambda wildcards, input: [f"--prompts={path}" for path in input.prompts],
        written=lambda wildcards, input: [f"--written={path}" for path in input.written],
        mixes=data_mix_names,
        out=lambda wildcards, output: str(Path(output.figure).with_suffix("")),
        code=code("draw-data"),
    message:
        "{wildcards.study}: drawing what its data is like ({wildcards.shown})"
    shell:
        "rewild --words <(words {params.prompts:q} {params.written:q} {params.mixes:q}"
        " {input.measures:q})"
        " draw-data {wildcards.study:q} {wildcards.shown:q} --out {params.out:q} > {log:q} 2>&1"


rule tabulate_data:
    input:
        measures=data_measures,
        prompts=data_prompts,
        mixes=data_mixes,
        answered=lambda wildcards: (
            data_answered(wildcards) if wildcards.shown == "costs" else []
        ),
        written=lambda wildcards: (
            data_written("manifest.json")(wildcards)
            if wildcards.shown == "costs"
            else []
        ),
        coverage=lambda wildcards: [
            f"results/{wildcards.study}/coverage/{name}/sets.csv"
            for name in STUDIES[wildcards.study].coverage
            if wildcards.shown == "topics"
        ],
        prices=own("resources/cost/assumptions.yaml"),
        published=lambda wildcards: own(
            f"{ROOMS}/magpie/data/{PRINTED[wildcards.shown]}.csv"
        ),
    output:
        html=report(
            "results/{study}/data/{shown}.html",
            caption="../../report/data.rst",
            category="Data",
            labels={"shown": "{shown}", "form": "table"},
        ),
        cells="results/{study}/data/{shown}.csv",
        others=multiext("results/{study}/data/{shown}", ".md", ".tex"),
    log:
        "logs/{study}/tabulate_data/{shown}.log",
    benchmark:
        "logs/{study}/tabulate_data/{shown}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.data),
        shown=one_of(PRINTED),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("tabulate_data", 4000),
        runtime=minutes("tabulate_data", 30),
    params:
        settings=data_settings,
        price=lambda wildcards: wildcards.shown == "costs"
        and price_of(STUDIES[wildcards.study]),
        prompts=lambda wildcards, input: [f"--prompts={path}" for path in input.prompts],
        answered=lambda wildcards, input: [
            f"--answered={path}" for path in input.answered
        ],
        coverage=lambda wildcards, input: [
            f"--coverage={path}" for path in input.coverage
        ],
        written=lambda wildcards, input: [f"--written={path}" for path in input.written],
        mixes=data_mix_names,
        out=lambda wildcards, output: str(Path(output.html).with_suffix("")),
        code=code("tabulate-data"),
    message:
        "{wildcards.study}: a table of its data ({wildcards.shown})"
    shell:
        "rewild --words <(words {params.prompts:q} {params.answered:q} {params.written:q} {params.mixes:q}"
        " {params.coverage:q} {input.measures:q})"
        " tabulate-data {wildcards.study:q} {wildcards.shown:q} --published {input.published:q} --out {params.out:q}"
        " > {log:q} 2>&1"


rule list_data:
    input:
        tables=lambda wildcards: [
            f"results/{wildcards.study}/data/{table}.csv"
            for table in plan_data(STUDIES[wildcards.study]).tables
        ],
        figures=lambda wildcards: [
            f"results/{wildcards.study}/data/{view}.csv"
            for view in plan_data(STUDIES[wildcards.study]).views
        ],
    output:
        page="results/{study}/data/data.md",
        left_out="results/{study}/data/left_out.csv",
    log:
        "logs/{study}/list_data.log",
    benchmark:
        "logs/{study}/list_data.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.data),
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("list_data", 500),
        runtime=minutes("list_data", 5),
    params:
        plan=lambda wildcards: str(plan_data(STUDIES[wildcards.study])),
        title=lambda wildcards: STUDIES[wildcards.study].title,
        out=subpath(output.page, parent=True),
        code=code("list-data"),
    message:
        "{wildcards.study}: listing what is shown of its data, and what is left out"
    shell:
        "rewild --words <(words {input.tables:q} {input.figures:q}) list-data {wildcards.study:q} --out {params.out:q}"
        " > {log:q} 2>&1"

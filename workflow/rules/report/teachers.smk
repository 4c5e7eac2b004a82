# Teachers: ranked for each base model before it is fine-tuned, judged by the scores after it (docs/teachers.md).
from rewild.report.teachers.plan import VIEWS as TEACHER_VIEWS
from rewild.report.teachers.plan import plan_teachers


@cache
def teachers_plan(study):
    """What of a study's teachers is compared."""
    return plan_teachers(STUDIES[study], ROSTERS[study])


def teacher_measures(wildcards):
    """The files of the measures that rank the teachers."""
    plan = teachers_plan(wildcards.study)
    names = dict.fromkeys(use.measure for use in plan.uses)
    files = (
        measure_files(wildcards.study, name, teacher)
        for name in names
        for teacher in plan.teachers
    )
    return [path for some in files for path in some]


def teacher_shards(wildcards):
    """What shards of the teachers' answers cost; of imported ones nobody measured it."""
    if not STUDIES[wildcards.study].responses:
        return []
    return [
        f"results/{wildcards.study}/responses/{teacher}/{shard}.json"
        for teacher in teachers_plan(wildcards.study).teachers
        for shard in shards(wildcards.study)
    ]


def teacher_prompts(wildcards):
    """The study's prompts, where only some of their sources count."""
    study = STUDIES[wildcards.study]
    names = shards(study.name) if study.teachers.origins else []
    return [f"results/{study.name}/prompts/shards/{name}.parquet" for name in names]


def teacher_trainings(wildcards):
    """What the fine-tunes' trainings took."""
    return [
        f"results/{wildcards.study}/runs/{run}/training.json"
        for run in teachers_plan(wildcards.study).runs.values()
    ]


def teacher_settings(*more):
    """An input function: the settings that a study's comparison of teachers follows from, and what is known of models.

    `more` names parts of the section besides its result.
    """

    def found(wildcards):
        study, plan = STUDIES[wildcards.study], teachers_plan(wildcards.study)
        rows = REGISTRY[study.name]
        known = [
            (slug, row.name, row.family, row.licence, row.parameters)
            for slug in dict.fromkeys([*plan.teachers, *plan.bases])
            if (row := rows.get(slug))
        ]
        runs = [*plan.runs.values(), *(v.run for v in study.teachers.variants.values())]
        made = [(run, study.runs[run].model) for run in runs if run in study.runs]
        given = trigger(study.teachers, "result", *more)
        return study.seed, given, str(plan), str(known), str(made)

    return found


def teacher_tables(wildcards):
    """The tables that a figure or table is made of: those of scores only where it shows scores."""
    names = ["values", "ranking"]
    if TEACHER_VIEWS[wildcards.shown].scores:
        names += ["performance", "correlation", "beta"]
    return [f"results/{wildcards.study}/teachers/{name}.csv" for name in names]


def teacher_views(form, suffix, scores=(False, True)):
    """An input function: all figures or tables of a study; `scores` says of what: what is known before, and after."""
    return lambda wildcards: [
        f"results/{wildcards.study}/teachers/views/{name}.{suffix}"
        for name in teachers_plan(wildcards.study).views
        if TEACHER_VIEWS[name].form == form and TEACHER_VIEWS[name].scores in scores
    ]


def teacher_studies():
    """Studies that compare teachers, as a wildcard's constraint."""
    return one_of(s.name for s in STUDIES.values() if s.teachers)


@promised
def teachers_of_study(study):
    """The page of a study's teachers."""
    return [f"results/{study.name}/teachers/teachers.html"] if study.teachers else []


rule rank_candidates:
    input:
        measures=teacher_measures,
        answered=teacher_shards,
        prompts=teacher_prompts,
        prices=own("resources/cost/assumptions.yaml"),
    output:
        ranking=report(
            "results/{study}/teachers/ranking.csv",
            caption="../../report/teachers.rst",
            category="Teachers",
            labels={"shown": "ranking", "form": "before any training"},
        ),
        values="results/{study}/teachers/values.csv",
    log:
        "logs/{study}/rank_candidates.log",
    benchmark:
        "logs/{study}/rank_candidates.benchmark.tsv"
    wildcard_constraints:
        study=teacher_studies(),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("rank_candidates", 6000),
        runtime=minutes("rank_candidates", 60),
    params:
        settings=teacher_settings(),
        answered=lambda wildcards, input: [
            f"--answered={path}" for path in input.answered
        ],
        prompts=lambda wildcards, input: [f"--prompts={path}" for path in input.prompts],
        out=subpath(output.ranking, parent=True),
        code=code("rank-teachers"),
    message:
        "{wildcards.study}: ranking teachers by what is known before any training"
    shell:
        "rewild --words <(words {params.prompts:q} {params.answered:q} {input.measures:q})"
        " rank-teachers {wildcards.study:q} --out {params.out:q} > {log:q} 2>&1"


rule judge_candidates:
    input:
        values="results/{study}/teachers/values.csv",
        ranking="results/{study}/teachers/ranking.csv",
        scores="results/{study}/scores/scores.csv",
        trained=teacher_trainings,
        benchmarks=configured("benchmarks.yaml"),
    output:
        correlation=report(
            "results/{study}/teachers/correlation.csv",
            caption="../../report/teachers.rst",
            category="Teachers",
            labels={"shown": "rank correlations", "form": "after training"},
        ),
        performance="results/{study}/teachers/performance.csv",
        beta="results/{study}/teachers/beta.csv",
        stated="results/{study}/teachers/findings.csv",
    log:
        "logs/{study}/judge_candidates.log",
    benchmark:
        "logs/{study}/judge_candidates.benchmark.tsv"
    wildcard_constraints:
        study=teacher_studies(),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("judge_candidates", 2000),
        runtime=minutes("judge_candidates", 30),
    params:
        settings=teacher_settings(),
        trained=lambda wildcards, input: [f"--trained={path}" for path in input.trained],
        scores=subpath(input.scores, parent=True),
        folder=subpath(output.correlation, parent=True),
        code=code("judge-teachers"),
    message:
        "{wildcards.study}: judging the ranking of teachers by the scores"
    shell:
        "rewild --words <(words {params.trained:q}) judge-teachers {wildcards.study:q}"
        " --folder {params.folder:q} --scores {params.scores:q} > {log:q} 2>&1"


rule draw_candidates:
    input:
        tables=teacher_tables,
    output:
        figure=report(
            "results/{study}/teachers/views/{shown}.svg",
            caption="../../report/teachers.rst",
            category="Teachers",
            labels={"shown": "{shown}", "form": "figure"},
        ),
        numbers="results/{study}/teachers/views/{shown}.csv",
        others=multiext("results/{study}/teachers/views/{shown}", ".pdf", ".png"),
    log:
        "logs/{study}/draw_candidates/{shown}.log",
    benchmark:
        "logs/{study}/draw_candidates/{shown}.benchmark.tsv"
    wildcard_constraints:
        study=teacher_studies(),
        shown=one_of(
            name for name, view in TEACHER_VIEWS.items() if view.form == "figure"
        ),
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_candidates", 1000),
        runtime=minutes("draw_candidates", 10),
    params:
        settings=teacher_settings("shown"),
        folder=lambda wildcards, input: str(Path(input.tables[0]).parent),
        out=lambda wildcards, output: str(Path(output.figure).with_suffix("")),
        code=code("view-teachers"),
    message:
        "{wildcards.study}: drawing its teachers ({wildcards.shown})"
    shell:
        "rewild view-teachers {wildcards.study:q} {wildcards.shown:q} --folder {params.folder:q} --out {params.out:q}"
        " > {log:q} 2>&1"


rule tabulate_candidates:
    input:
        tables=teacher_tables,
    output:
        cells=report(
            "results/{study}/teachers/views/{shown}.csv",
            caption="../../report/teachers.rst",
            category="Teachers",
            labels={"shown": "{shown}", "form": "table"},
        ),
        md="results/{study}/teachers/views/{shown}.md",
    log:
        "logs/{study}/tabulate_candidates/{shown}.log",
    benchmark:
        "logs/{study}/tabulate_candidates/{shown}.benchmark.tsv"
    wildcard_constraints:
        study=teacher_studies(),
        shown=one_of(
            name for name, view in TEACHER_VIEWS.items() if view.form == "table"
        ),
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("tabulate_candidates", 1000),
        runtime=minutes("tabulate_candidates", 10),
    params:
        settings=teacher_settings("shown"),
        folder=lambda wildcards, input: str(Path(input.tables[0]).parent),
        out=lambda wildcards, output: str(Path(output.cells).with_suffix("")),
        code=code("view-teachers"),
    message:
        "{wildcards.study}: a table of its teachers ({wildcards.shown})"
    shell:
        "rewild view-teachers {wildcards.study:q} {wildcards.shown:q} --folder {params.folder:q} --out {params.out:q}"
        " > {log:q} 2>&1"


# The page before any training: no part of `all`, which has the whole page.
rule preview_candidates:
    input:
        ranking="results/{study}/teachers/ranking.csv",
        values="results/{study}/teachers/values.csv",
        figures=teacher_views("figure", "svg", scores=[False]),
        numbers=teacher_views("figure", "csv", scores=[False]),
        tables=teacher_views("table", "csv", scores=[False]),
    output:
        html="results/{study}/teachers/before.html",
        md="results/{study}/teachers/before.md",
    log:
        "logs/{study}/preview_candidates.log",
    benchmark:
        "logs/{study}/preview_candidates.benchmark.tsv"
    wildcard_constraints:
        study=teacher_studies(),
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("preview_candidates", 500),
        runtime=minutes("preview_candidates", 5),
    params:
        settings=teacher_settings("shown"),
        title=lambda wildcards: STUDIES[wildcards.study].title,
        folder=subpath(output.html, parent=True),
        code=code("show-teachers"),
    message:
        "{wildcards.study}: its teachers on one page, before any training"
    shell:
        "rewild show-teachers {wildcards.study:q} --before --folder {params.folder:q} > {log:q} 2>&1"


rule show_candidates:
    input:
        ranking="results/{study}/teachers/ranking.csv",
        values="results/{study}/teachers/values.csv",
        performance="results/{study}/teachers/performance.csv",
        correlation="results/{study}/teachers/correlation.csv",
        beta="results/{study}/teachers/beta.csv",
        stated="results/{study}/teachers/findings.csv",
        figures=teacher_views("figure", "svg"),
        numbers=teacher_views("figure", "csv"),
        tables=teacher_views("table", "csv"),
    output:
        html=report(
            "results/{study}/teachers/teachers.html",
            caption="../../report/teachers.rst",
            category="Teachers",
            labels={"shown": "all", "form": "page"},
        ),
        md="results/{study}/teachers/teachers.md",
        left_out="results/{study}/teachers/left_out.csv",
    log:
        "logs/{study}/show_candidates.log",
    benchmark:
        "logs/{study}/show_candidates.benchmark.tsv"
    wildcard_constraints:
        study=teacher_studies(),
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("show_candidates", 500),
        runtime=minutes("show_candidates", 5),
    params:
        settings=teacher_settings("shown"),
        title=lambda wildcards: STUDIES[wildcards.study].title,
        folder=subpath(output.html, parent=True),
        code=code("show-teachers"),
    message:
        "{wildcards.study}: its teachers on one page"
    shell:
        "rewild show-teachers {wildcards.study:q} --folder {params.folder:q} > {log:q} 2>&1"

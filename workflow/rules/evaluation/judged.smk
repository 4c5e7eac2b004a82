# Judged benchmarks: which run answers which, who is compared with whom, and the files of each.
from types import SimpleNamespace

from rewild.config.judging import judging_of
from rewild.config.runners import find_runner
from rewild.evaluation.judged.job import answer_spec


def judged_folder(study, run, benchmark):
    """Where a run's results on a benchmark are."""
    return f"results/{study}/benchmarks/{run}/{benchmark}"


def question_roles(row):
    """A benchmark's files that its answers depend on; the others are the judge's."""
    return [
        placed(path)
        for role, path in JUDGED_FILES[row.slug].items()
        if role not in find_runner(row.runner).for_judge
    ]


def answers_tool(study):
    """The environment that a study's runs answer in; none of its own for an endpoint."""
    settings = study.judging.answers
    return settings.compute.environment(settings.engine)


def answers_ready(study):
    """What says that this environment is there."""
    tool = answers_tool(study)
    return ready_of(tool)


def answers_python(study):
    """Its Python."""
    tool = answers_tool(study)
    return python_of(tool)


def judged_jobs(name, run):
    """The jobs of a run's answers, one per judged benchmark."""
    study = STUDIES[name]
    return [
        answer_spec(
            study, run, find_runner(row.runner), REGISTRY[name], DEFAULTS.gpus, row.slug
        )
        for row in JUDGED[name]
    ]


def judged_job(name, wildcards):
    """The first of them; all ask for the same."""
    return judged_jobs(name, wildcards.run)[0]


def answers_weights(name, wildcards):
    """What says that the weights of the answering model are there; none for one behind an endpoint."""
    if find_engine(STUDIES[name].judging.answers.engine).remote:
        return []
    return run_weights(SimpleNamespace(study=name, run=wildcards.run))


def judged_minutes(name, wildcards):
    """How long a run's answers may take: by the estimate, within what the study allows."""
    most = STUDIES[name].judging.answers.compute.minutes
    if not judged_job(name, wildcards).gpus:
        return most
    return estimated(name, "judged", wildcards.run, most)


def answer_settings(name, run):
    """What identifies a run's answers: model, limits, seed, and how many questions of each benchmark."""
    jobs = [settings_of(job) for job in judged_jobs(name, run)]
    return [*jobs, *(question_limit(name, row.slug) or "all" for row in JUDGED[name])]


def question_limit(name, benchmark):
    """Only the first questions of a benchmark, if the study says so."""
    study = STUDIES[name]
    return study.judging.limits.get(benchmark, study.evaluation.limit)


def judged_limit(wildcards):
    """The same, for a job."""
    return question_limit(wildcards.study, wildcards.benchmark) or "all"


def run_model_of(name, run):
    """The files of a run's model."""
    return run_model(SimpleNamespace(study=name, run=run))


def scoring_tool(wildcards):
    """The environment of a benchmark's scoring, where a library does it."""
    return find_runner(BENCHMARKS[wildcards.benchmark].runner).environment


def scoring_ready(wildcards):
    """What says that it is there."""
    tool = scoring_tool(wildcards)
    return ready_of(tool)


def scoring_python(wildcards):
    """Its Python."""
    tool = scoring_tool(wildcards)
    return python_of(tool)


def judged_baseline(wildcards):
    """The answers that a run's are compared with, where they are another run's."""
    run = STUDIES[wildcards.study].judging.baselines.get(wildcards.benchmark)
    if run is None:
        return []
    return f"{judged_folder(wildcards.study, run, wildcards.benchmark)}/answers.parquet"


def compared_with(input):
    """The option that names these answers; none where they are the released ones."""
    return [f"--baseline={path}" for path in [input.get("baseline")] if path]


def judged_by(wildcards):
    """What identifies the judgments of a benchmark."""
    study = STUDIES[wildcards.study]
    row = BENCHMARKS[wildcards.benchmark]
    judge = judge_of(wildcards)
    local = settings_of(judge) if judge else None
    return judging_of(study.judging, row, MODELS, study.seed, local)


def judge_of(wildcards):
    """The judge of a benchmark, where the study loads it; None behind an endpoint."""
    return JUDGES[wildcards.study, wildcards.benchmark]


def judge_tool(wildcards):
    """The environment that it runs in; none of its own behind an endpoint."""
    judge = judge_of(wildcards)
    return judge.compute.environment(judge.engine) if judge else None


def judge_weights(wildcards):
    """What says that its weights are there; none for a folder."""
    judge = judge_of(wildcards)
    return fetched(judge.source.path, judge.source.revision) if judge else []


def judge_model(wildcards):
    """Its folder, where it is not on the hub."""
    judge = judge_of(wildcards)
    return plain([judge.source.path]) if judge and not judge_weights(wildcards) else []


def judge_gpus(wildcards):
    """The GPUs that it takes."""
    judge = judge_of(wildcards)
    return judge.gpus if judge else 0


def judge_gpu(wildcards):
    """SLURM's name of these."""
    judge = judge_of(wildcards)
    return gpu_model_of(judge) if judge else None


def judge_minutes(wildcards):
    """How long a run's judgments may take: by the estimate where the study loads the judge."""
    judge = judge_of(wildcards)
    if not judge:
        return 240
    study, most = wildcards.study, judge.compute.minutes
    return (
        estimated(study, "judging", wildcards.benchmark, most) if judge.gpus else most
    )


@promised
def judged_scores(study):
    """Scores of every run on every judged benchmark."""
    return [
        f"{judged_folder(study.name, run, row.slug)}/{name}"
        for run in evaluated_runs(study)
        for row in JUDGED[study.name]
        for name in ("scores.csv", "judging.json")
    ]


# Judged benchmarks: a run's model answers, the judge says what it thinks of the answers, and that is scored. There is
# a file between each two, so scoring again asks no judge, and judging again generates nothing.
#
# One job of a run answers all its judged benchmarks: it loads the model once, and whatever was answered before is
# found in its chunks. The outputs depend on the study, so the rule is made per study.
for study in STUDIES.values():
    if not JUDGED[study.name]:
        continue

    rule:
        name:
            f"answer_benchmarks_{study.name.replace('-', '_')}"
        input:
            questions=lambda wildcards, name=study.name: sorted(
                {f for row in JUDGED[name] for f in question_roles(row)}
            ),
            model=lambda wildcards, name=study.name: run_model_of(name, wildcards.run),
            weights=lambda wildcards, name=study.name: ancient(
                answers_weights(name, wildcards)
            ),
            env=ancient(answers_ready(study)),
        output:
            answers=[
                f"{judged_folder(study.name, '{run}', row.slug)}/answers.parquet"
                for row in JUDGED[study.name]
            ],
        log:
            f"logs/{study.name}/answer_benchmarks/{{run}}.log",
        benchmark:
            f"logs/{study.name}/answer_benchmarks/{{run}}.benchmark.tsv"
        wildcard_constraints:
            run=one_of(evaluated_runs(study)),
        conda:
            conda_of(answers_tool(study))
        container:
            image_of(answers_tool(study))
        threads: study.judging.answers.compute.threads
        resources:
            mem_mb=memory(
                f"answer_benchmarks_{study.name.replace('-', '_')}",
                lambda wildcards, name=study.name: memory_mb(
                    judged_job(name, wildcards)
                ),
                lambda wildcards, name=study.name: judged_job(name, wildcards).gpus,
            ),
            runtime=minutes(
                f"answer_benchmarks_{study.name.replace('-', '_')}",
                lambda wildcards, name=study.name: judged_minutes(name, wildcards),
                lambda wildcards, name=study.name: judged_job(name, wildcards).gpus,
            ),
            gpu=gpus(
                lambda wildcards, name=study.name: judged_job(name, wildcards).gpus
            ),
            gpu_model=gpu_type(
                lambda wildcards, name=study.name: gpu_model_of(
                    judged_job(name, wildcards)
                )
            ),
            gres=gres(
                lambda wildcards, name=study.name: judged_job(name, wildcards).gpus,
                lambda wildcards, name=study.name: gpu_model_of(
                    judged_job(name, wildcards)
                ),
            ),
            cpus_per_task=gres_cpus(
                lambda wildcards, name=study.name: judged_job(name, wildcards).gpus
            ),
            nodes=1,
        params:
            settings=lambda wildcards, name=study.name: answer_settings(
                name, wildcards.run
            ),
            study=study.name,
            out=lambda wildcards, output: Path(output.answers[0]).parent.parent,
            work=f"results/{study.name}/work/answers/{{run}}",
            benchmarks=[row.slug for row in JUDGED[study.name]],
            python=how(answers_python(study)),
            hub=lambda wildcards, name=study.name: staged(
                answers_weights(name, wildcards)
            ),
        message:
            f"{study.name}: {{wildcards.run}} answers {len(JUDGED[study.name])} judged benchmarks"
        shell:
            "staged {params.hub:q}; {params.python:q} -m rewild answer {params.study:q} {wildcards.run:q} {params.benchmarks:q}"
            " --out {params.out:q} --work {params.work:q} --threads {threads:q} > {log:q} 2>&1"


# The judge is behind an endpoint, or loaded here; the program `rubric` is started by the command, on a free port.
rule judge_answers:
    input:
        answers="results/{study}/benchmarks/{run}/{benchmark}/answers.parquet",
        files=lambda wildcards: [
            placed(f) for f in JUDGED_FILES[wildcards.benchmark].values()
        ],
        baseline=judged_baseline,
        model=judge_model,
        weights=lambda wildcards: ancient(judge_weights(wildcards)),
        env=lambda wildcards: ancient(ready_of(judge_tool(wildcards))),
    output:
        judgments="results/{study}/benchmarks/{run}/{benchmark}/judgments.parquet",
        spent="results/{study}/benchmarks/{run}/{benchmark}/judging.json",
    log:
        "logs/{study}/judge_answers/{run}/{benchmark}.log",
    benchmark:
        "logs/{study}/judge_answers/{run}/{benchmark}.benchmark.tsv"
    wildcard_constraints:
        benchmark=one_of(JUDGED_FILES),
    conda:
        lambda wildcards: conda_of(judge_tool(wildcards))
    container:
        lambda wildcards: image_of(judge_tool(wildcards))
    threads: lambda wildcards: judge.compute.threads if (judge := judge_of(wildcards)) else 1
    resources:
        mem_mb=memory(
            "judge_answers",
            lambda wildcards: (
                memory_mb(judge) if (judge := judge_of(wildcards)) else 1000
            ),
            judge_gpus,
        ),
        runtime=minutes("judge_answers", judge_minutes, judge_gpus, more=False),
        gpu=gpus(judge_gpus),
        gpu_model=gpu_type(judge_gpu),
        gres=gres(judge_gpus, judge_gpu),
        cpus_per_task=gres_cpus(judge_gpus),
        nodes=1,
        # `snakemake --resources judges=2` asks an endpoint about two runs at once, no more
        judges=lambda wildcards: int(not judge_of(wildcards)),
    params:
        judged=judged_by,
        out=subpath(output.judgments, parent=True),
        work="results/{study}/work/judging/{run}/{benchmark}",
        baseline=lambda wildcards, input: compared_with(input),
        python=how(lambda wildcards: python_of(judge_tool(wildcards))),
        hub=lambda wildcards: staged(judge_weights(wildcards)),
    message:
        "{wildcards.study}: the answers of {wildcards.run} to {wildcards.benchmark} are judged"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild judge {wildcards.study:q} {wildcards.run:q}"
        " {wildcards.benchmark:q} --answers {input.answers:q} {params.baseline:q} --out {params.out:q}"
        " --work {params.work:q} --threads {threads:q} > {log:q} 2>&1"


rule score_judgments:
    input:
        answers="results/{study}/benchmarks/{run}/{benchmark}/answers.parquet",
        judgments="results/{study}/benchmarks/{run}/{benchmark}/judgments.parquet",
        files=lambda wildcards: [
            placed(f) for f in JUDGED_FILES[wildcards.benchmark].values()
        ],
        baseline=judged_baseline,
        env=lambda wildcards: ancient(scoring_ready(wildcards)),
    output:
        scores="results/{study}/benchmarks/{run}/{benchmark}/scores.csv",
        by_item="results/{study}/benchmarks/{run}/{benchmark}/items.parquet",
    log:
        "logs/{study}/score_judgments/{run}/{benchmark}.log",
    benchmark:
        "logs/{study}/score_judgments/{run}/{benchmark}.benchmark.tsv"
    wildcard_constraints:
        benchmark=one_of(JUDGED_FILES),
    conda:
        lambda wildcards: conda_of(scoring_tool(wildcards))
    resources:
        mem_mb=memory("score_judgments", 1000),
        runtime=minutes("score_judgments", 20),
    params:
        limit=lambda wildcards: judged_limit(wildcards),
        out=subpath(output.scores, parent=True),
        baseline=lambda wildcards, input: compared_with(input),
        python=how(scoring_python),
        code=code("score", "evaluation/judged"),
    message:
        "{wildcards.study}: scoring {wildcards.run} on {wildcards.benchmark}"
    shell:
        "{params.python:q} -m rewild score {wildcards.study:q} {wildcards.run:q} {wildcards.benchmark:q}"
        " --answers {input.answers:q} --judgments {input.judgments:q} {params.baseline:q} --out {params.out:q}"
        " > {log:q} 2>&1"

# Ground-truth benchmarks: which run takes which, and what lm-eval needs for it.
from rewild.config.evaluation import ground_truth
from rewild.evaluation.harness import settings as evaluations


def takes_ground_truth(study):
    """Whether lm-eval has anything to do for a study."""
    return bool(ground_truth(study.evaluation, BENCHMARKS))


def question_files(wildcards):
    """Files of questions that a study takes in place of the hub's: the demo's own, or a folder that is there."""
    study = STUDIES[wildcards.study]
    made = evaluations.QUESTIONS.format(study=study.name)
    files = []
    for task in evaluations.tasks_of(study, BENCHMARKS):
        if task.files == made:
            files += [f"{made}/{name}" for name in evaluations.DEMO_QUESTIONS]
        elif task.files:
            there = sorted(str(path) for path in Path(task.files).glob("*/*.jsonl"))
            files += there or [task.files]
    return sorted(set(files))


def task_files(wildcards):
    """The definitions of tasks that lm-eval does not bring."""
    tasks = evaluations.tasks_of(STUDIES[wildcards.study], BENCHMARKS)
    folders = {task.folder for task in tasks if task.folder}
    return sorted(str(p) for f in folders for p in Path(f).glob("*") if p.is_file())


def lm_eval_environment(wildcards):
    """The environment that lm-eval runs in."""
    return evaluations.environment_of(STUDIES[wildcards.study].evaluation)


def evaluation_target(wildcards):
    """The model of a run, as lm-eval loads it."""
    return evaluations.target_of(
        STUDIES[wildcards.study], wildcards.run, REGISTRY[wildcards.study]
    )


def evaluation_gpus(wildcards):
    """The GPUs that a run's job needs."""
    return evaluations.gpus_of(
        STUDIES[wildcards.study], evaluation_target(wildcards), DEFAULTS.gpus
    )


def evaluation_gpu(wildcards):
    """SLURM's name of these."""
    return gpu_name(STUDIES[wildcards.study].evaluation.compute.gpu)


def evaluation_minutes(wildcards):
    """How long it may take: by the estimate, within what the study allows."""
    most = STUDIES[wildcards.study].evaluation.compute.minutes
    return estimated(wildcards.study, "benchmarks", wildcards.run, most)


@promised
def ground_truth_scores(study):
    """The scores of each of a study's runs on each of its ground-truth benchmarks."""
    return [
        f"results/{study.name}/benchmarks/{run}/{row.slug}/{name}"
        for run in evaluations.evaluated(study)
        for row in ground_truth(study.evaluation, BENCHMARKS)
        for name in ("scores.csv", "items.parquet")
    ]


# Ground-truth benchmarks. All of a run's are one job, because a model takes longer to load than many a benchmark to
# run; the job keeps what is unchanged. Scoring is a rule of its own: another metric asks no model.
rule make_questions:
    input:
        text=lambda wildcards: plain([STUDIES[wildcards.study].demo.text]),
    output:
        files=[f"{evaluations.QUESTIONS}/{name}" for name in evaluations.DEMO_QUESTIONS],
    log:
        "logs/{study}/make_questions.log",
    benchmark:
        "logs/{study}/make_questions.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.demo),
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("make_questions", 500),
        runtime=minutes("make_questions", 5),
    params:
        folder=lambda wildcards: evaluations.QUESTIONS.format(study=wildcards.study),
        text=lambda wildcards: STUDIES[wildcards.study].demo.text,
        odd=lambda wildcards: odd([STUDIES[wildcards.study].demo.text]),
        stage=stage("demo"),
    message:
        "{wildcards.study}: making questions about the demo's world"
    shell:
        "rewild make-questions --text {params.text:q} --out {params.folder:q} > {log:q} 2>&1"


rule evaluate_run:
    input:
        model=lambda wildcards: run_model(wildcards),
        weights=lambda wildcards: ancient(run_weights(wildcards)),
        questions=lambda wildcards: plain(question_files(wildcards)),
        tasks=lambda wildcards: plain(task_files(wildcards)),
        env=lambda wildcards: ancient(ready_of(lm_eval_environment(wildcards))),
    output:
        results="results/{study}/benchmarks/{run}/lm-eval.json",
    log:
        "logs/{study}/evaluate_run/{run}.log",
    benchmark:
        "logs/{study}/evaluate_run/{run}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if takes_ground_truth(s)),
    conda:
        lambda wildcards: conda_of(lm_eval_environment(wildcards))
    container:
        lambda wildcards: image_of(lm_eval_environment(wildcards))
    threads: lambda wildcards: STUDIES[wildcards.study].evaluation.compute.threads
    resources:
        mem_mb=memory(
            "evaluate_run",
            lambda wildcards: evaluations.memory_mb(
                STUDIES[wildcards.study], evaluation_target(wildcards)
            ),
            evaluation_gpus,
        ),
        runtime=minutes("evaluate_run", evaluation_minutes, evaluation_gpus),
        gpu=gpus(evaluation_gpus),
        gpu_model=gpu_type(evaluation_gpu),
        gres=gres(evaluation_gpus, evaluation_gpu),
        cpus_per_task=gres_cpus(evaluation_gpus),
        nodes=1,
    params:
        out=subpath(output.results, parent=True),
        settings=lambda wildcards: evaluations.settings_of(
            STUDIES[wildcards.study],
            wildcards.run,
            BENCHMARKS,
            REGISTRY[wildcards.study],
        ),
        python=how(lambda wildcards: python_of(lm_eval_environment(wildcards))),
        odd=lambda wildcards: odd(question_files(wildcards)),
    message:
        "{wildcards.study}: {wildcards.run} takes the ground-truth benchmarks"
    shell:
        "{params.python:q} -m rewild evaluate {wildcards.study:q} {wildcards.run:q}"
        " --out {params.out:q} --threads {threads:q} > {log:q} 2>&1"


rule score_benchmark:
    input:
        results="results/{study}/benchmarks/{run}/lm-eval.json",
    output:
        scores="results/{study}/benchmarks/{run}/{benchmark}/scores.csv",
        metadata="results/{study}/benchmarks/{run}/{benchmark}/scores.csv-metadata.json",
        by_item="results/{study}/benchmarks/{run}/{benchmark}/items.parquet",
    log:
        "logs/{study}/score_benchmark/{run}/{benchmark}.log",
    benchmark:
        "logs/{study}/score_benchmark/{run}/{benchmark}.benchmark.tsv"
    wildcard_constraints:
        benchmark=one_of(b.slug for b in BENCHMARKS.values() if b.runner == "lm-eval"),
    localrule: True  # six per run, of a second or two each
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("score_benchmark", 1000),
        runtime=minutes("score_benchmark", 10),
    params:
        out=subpath(output.scores, parent=True),
        metric=lambda wildcards: BENCHMARKS[wildcards.benchmark].metric,
        max_empty=lambda wildcards: STUDIES[wildcards.study].evaluation.max_empty,
        code=code("score-benchmark"),
    message:
        "{wildcards.study}: scoring {wildcards.run} on {wildcards.benchmark}"
    shell:
        "rewild score-benchmark {wildcards.study:q} {wildcards.run:q} {wildcards.benchmark:q}"
        " --out {params.out:q} > {log:q} 2>&1"

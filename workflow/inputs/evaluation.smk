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


def lm_eval_environment(wildcards):
    """The environment that lm-eval runs in."""
    return evaluations.environment_of(STUDIES[wildcards.study].evaluation)


def evaluation_target(wildcards):
    """The model of a run, as lm-eval loads it."""
    return evaluations.target_of(STUDIES[wildcards.study], wildcards.run, MODELS)


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

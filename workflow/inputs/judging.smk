# Judged benchmarks: which run answers which, who is compared with whom, and the files of each.
from types import SimpleNamespace

from rewild.config.judging import (
    READING,
    asked_judge,
    check_judging,
    files_of,
    find_runner,
    judged_rows,
)
from rewild.evaluation.harness.settings import evaluated as evaluated_runs
from rewild.evaluation.judged.job import answer_job

try:
    # Study → its judged benchmarks; benchmark → role → file.
    JUDGED = {}
    for study in STUDIES.values():
        listed = study.evaluation.benchmarks if study.evaluation else []
        JUDGED[study.name] = judged_rows(listed, BENCHMARKS)
        check_judging(
            study.judging,
            JUDGED[study.name],
            evaluated_runs(study),
            f"study {study.name}",
        )
    JUDGED_FILES = {
        row.slug: files_of(row, RELEASED) for rows in JUDGED.values() for row in rows
    }
except RewildError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def judged_folder(study, run, benchmark):
    """Where a run's results on a benchmark are."""
    return f"results/{study}/benchmarks/{run}/{benchmark}"


def question_roles(row):
    """A benchmark's files that its answers depend on; the others are the judge's."""
    return [
        path
        for role, path in JUDGED_FILES[row.slug].items()
        if role not in find_runner(row.runner).for_judge
    ]


def answers_tool(study):
    """The environment that a study's runs answer in; none of its own for an endpoint."""
    settings = study.judging.answers
    usual = {"transformers": "engine-cpu", "vllm": "vllm", "openai": None}
    return settings.compute.environments.get(settings.engine, usual[settings.engine])


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
        answer_job(study, run, find_runner(row.runner), MODELS, DEFAULTS.gpus)
        for row in JUDGED[name]
    ]


def judged_job(name, wildcards):
    """The first of them; all ask for the same."""
    return judged_jobs(name, wildcards.run)[0]


def answers_weights(name, wildcards):
    """What says that the weights of the answering model are there; none for one behind an endpoint."""
    if STUDIES[name].judging.answers.engine == "openai":
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


def judged_by(wildcards):
    """What identifies judgments: who is asked, as the endpoint knows it, the seed, how often, how replies are read."""
    study = STUDIES[wildcards.study]
    judge = study.judging.judge_of(BENCHMARKS[wildcards.benchmark])
    asked = asked_judge(judge, MODELS).identity
    return f"{judge}: {asked}, {study.judging.attempts} attempts, seed {study.seed}, reading {READING}"


@promised
def judged_scores(study):
    """Scores of every run on every judged benchmark."""
    return [
        f"{judged_folder(study.name, run, row.slug)}/{name}"
        for run in evaluated_runs(study)
        for row in JUDGED[study.name]
        for name in ("scores.csv", "judging.json")
    ]

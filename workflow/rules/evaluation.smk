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
        answer_spec(study, run, find_runner(row.runner), REGISTRY[name], DEFAULTS.gpus)
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
    return judging_of(study.judging, row, MODELS, study.seed)


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


# The judge is behind an endpoint; the program `rubric` is started by the command, on a free port.
rule judge_answers:
    input:
        answers="results/{study}/benchmarks/{run}/{benchmark}/answers.parquet",
        files=lambda wildcards: [
            placed(f) for f in JUDGED_FILES[wildcards.benchmark].values()
        ],
        baseline=judged_baseline,
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
        conda_of("workflow")
    resources:
        mem_mb=memory("judge_answers", 1000),
        runtime=minutes("judge_answers", 240, more=False),
        judges=1,  # `snakemake --resources judges=2` asks an endpoint about two runs at once, no more
    params:
        judged=judged_by,
        out=subpath(output.judgments, parent=True),
        work="results/{study}/work/judging/{run}/{benchmark}",
        baseline=lambda wildcards, input: compared_with(input),
    message:
        "{wildcards.study}: the answers of {wildcards.run} to {wildcards.benchmark} are judged"
    shell:
        "rewild judge {wildcards.study:q} {wildcards.run:q} {wildcards.benchmark:q} --answers {input.answers:q}"
        " {params.baseline:q} --out {params.out:q} --work {params.work:q} > {log:q} 2>&1"


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


# Who is preferred, and in which words: from the judgments that were released.
rule compare_preferences:
    input:
        judgments=released("wildchat-50m", "combined_preferences.csv"),
        pages=released("wildchat-50m", ".html"),
        published=own("workflow/rewild/papers/wildchat50m/data/table4.csv"),
    output:
        preferences=report(
            "results/{study}/judgments/preferences.csv",
            caption="../report/preferences.rst",
            category="Judgments",
            labels={"table": "preference rates"},
        ),
        checks=report(
            "results/{study}/judgments/checks.csv",
            caption="../report/preference_checks.rst",
            category="Judgments",
            labels={"table": "what else the files say of Table 4"},
        ),
    log:
        "logs/{study}/compare_preferences.log",
    benchmark:
        "logs/{study}/compare_preferences.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_preferences", 500),
        runtime=minutes("compare_preferences", 5),
    params:
        out=subpath(output.preferences, parent=True),
        code=code("preferences"),
    message:
        "{wildcards.study}: computing preference rates"
    shell:
        "rewild preferences {input.judgments:q} {input.pages:q} --published {input.published:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule compare_words:
    input:
        judgments=released("wildchat-50m", "combined_preferences.csv"),
        named=own("workflow/rewild/papers/wildchat50m/data/named_words.csv"),
    output:
        words=report(
            "results/{study}/judgments/words.csv",
            caption="../report/words.rst",
            category="Judgments",
            labels={"table": "words"},
        ),
        named=report(
            "results/{study}/judgments/named_words.csv",
            caption="../report/named_words.rst",
            category="Judgments",
            labels={"table": "words the paper names"},
        ),
    log:
        "logs/{study}/compare_words.log",
    benchmark:
        "logs/{study}/compare_words.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_words", 500),
        runtime=minutes("compare_words", 5),
    params:
        minimum=lambda wildcards: STUDIES[wildcards.study].judgments.minimum,
        out=subpath(output.words, parent=True),
        code=code("words"),
    message:
        "{wildcards.study}: comparing the words of judgments"
    shell:
        "rewild words {input.judgments:q} --named {input.named:q} --minimum {params.minimum:q}"
        " --out {params.out:q} > {log:q} 2>&1"


# AlpacaEval 2 win rates from released annotations, beside the published leaderboard.
rule compute_win_rates:
    input:
        annotations=released("alpaca-eval-annotations", "annotations.json"),
        leaderboard=released("alpaca-eval-leaderboard", "leaderboard.csv"),
        weights=released("alpaca-eval-leaderboard", "baseline_gpt4_1106_preview.csv"),
    output:
        rates=report(
            "results/{study}/win_rates/win_rates.csv",
            caption="../report/win_rates.rst",
            category="Win rates",
            labels={"table": "win rates"},
        ),
        agreement=report(
            "results/{study}/win_rates/agreement.csv",
            caption="../report/win_rates.rst",
            category="Win rates",
            labels={"table": "agreement with the leaderboard"},
        ),
        md="results/{study}/win_rates/win_rates.md",
        difficulties="results/{study}/win_rates/difficulties.csv",
    log:
        "logs/{study}/compute_win_rates.log",
    benchmark:
        "logs/{study}/compute_win_rates.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compute_win_rates", 1500),
        runtime=minutes("compute_win_rates", 5),
    params:
        out=subpath(output.rates, parent=True),
        code=code("win-rates"),
    message:
        "{wildcards.study}: computing AlpacaEval win rates"
    shell:
        "rewild win-rates {input.annotations:q} --leaderboard {input.leaderboard:q} --weights {input.weights:q}"
        " --out {params.out:q} > {log:q} 2>&1"


# What the win rate of a study's own model needs beside its annotations; the same for every study.
rule recover_length_control:
    input:
        annotations=released("alpaca-eval-annotations", "annotations.json"),
        leaderboard=released("alpaca-eval-leaderboard", "leaderboard.csv"),
        weights=released("alpaca-eval-leaderboard", "baseline_gpt4_1106_preview.csv"),
    output:
        json="results/downloads/derived/length_control.json",
    log:
        "logs/alpaca_eval/recover_length_control.log",
    benchmark:
        "logs/alpaca_eval/recover_length_control.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("recover_length_control", 1500),
        runtime=minutes("recover_length_control", 5),
    params:
        stage=stage("win-rates"),
    message:
        "Recovering AlpacaEval's instruction difficulties from released annotations"
    shell:
        "rewild length-control {input.annotations:q} --leaderboard {input.leaderboard:q} --weights {input.weights:q}"
        " --out {output.json:q} > {log:q} 2>&1"


# The library itself, only where a study asks for it: win_rates: {library: true}.
rule build_alpaca_eval:
    input:
        lock=own("envs/alpaca-eval.txt"),
    output:
        ready=".envs/alpaca-eval/ready",
    log:
        "logs/envs/alpaca-eval.log",
    benchmark:
        "logs/envs/alpaca-eval.benchmark.tsv"
    localrule: True  # nodes of a cluster may have no network
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("build_alpaca_eval", 1000),
        runtime=minutes("build_alpaca_eval", 30),
    params:
        folder=subpath(output.ready, parent=True),
        stage=stage("environments"),
    message:
        "Building the environment of the alpaca_eval library"
    shell:
        "(python -m venv --clear {params.folder:q}"
        " && {params.folder:q}/bin/python -m pip install --disable-pip-version-check -r {input.lock:q}"
        " && touch {output.ready:q}) > {log:q} 2>&1"


rule check_win_rates:
    input:
        ready=".envs/alpaca-eval/ready",
        annotations=released("alpaca-eval-annotations", "annotations.json"),
        rates="results/{study}/win_rates/win_rates.csv",
        difficulties="results/{study}/win_rates/difficulties.csv",
    output:
        library=report(
            "results/{study}/win_rates/library.csv",
            caption="../report/win_rates_library.rst",
            category="Win rates",
            labels={"table": "the library's"},
        ),
    log:
        "logs/{study}/check_win_rates.log",
    benchmark:
        "logs/{study}/check_win_rates.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("check_win_rates", 2000),
        runtime=minutes("check_win_rates", 10),
    params:
        python=lambda wildcards, input: f"{Path(input.ready).parent}/bin/python",
        code=code("win-rates-by-library"),
    message:
        "{wildcards.study}: computing win rates by the alpaca_eval library"
    shell:
        "{params.python:q} -m rewild win-rates-by-library {input.annotations:q} --rates {input.rates:q}"
        " --difficulties {input.difficulties:q} --out {output.library:q} > {log:q} 2>&1"

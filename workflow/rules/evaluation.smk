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
    message:
        "{wildcards.study}: making questions about the demo's world"
    shell:
        "rewild make-questions --text {params.text:q} --out {params.folder:q} > {log:q} 2>&1"


rule evaluate_run:
    input:
        model=run_model,
        weights=lambda wildcards: ancient(run_weights(wildcards)),
        questions=lambda wildcards: plain(question_files(wildcards)),
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
        settings=lambda wildcards: evaluations.settings_of(
            STUDIES[wildcards.study], wildcards.run, BENCHMARKS, MODELS
        ),
        python=lambda wildcards: python_of(lm_eval_environment(wildcards)),
        odd=lambda wildcards: odd(question_files(wildcards)),
    message:
        "{wildcards.study}: {wildcards.run} takes the ground-truth benchmarks"
    shell:
        "{params.python:q} -m rewild evaluate {wildcards.study:q} {wildcards.run:q}"
        " --threads {threads:q} > {log:q} 2>&1"


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
        metric=lambda wildcards: BENCHMARKS[wildcards.benchmark].metric,
        max_empty=lambda wildcards: STUDIES[wildcards.study].evaluation.max_empty,
    message:
        "{wildcards.study}: scoring {wildcards.run} on {wildcards.benchmark}"
    shell:
        "rewild score-benchmark {wildcards.study:q} {wildcards.run:q} {wildcards.benchmark:q} > {log:q} 2>&1"

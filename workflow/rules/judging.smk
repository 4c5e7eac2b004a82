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
            benchmarks=[row.slug for row in JUDGED[study.name]],
            python=answers_python(study),
            hub=lambda wildcards, name=study.name: staged(
                answers_weights(name, wildcards)
            ),
        message:
            f"{study.name}: {{wildcards.run}} answers {len(JUDGED[study.name])} judged benchmarks"
        shell:
            "staged {params.hub:q}; {params.python:q} -m rewild answer {params.study:q} {wildcards.run:q} {params.benchmarks:q}"
            " --threads {threads:q} > {log:q} 2>&1"


# The judge is behind an endpoint; the program `rubric` is started by the command, on a free port.
rule judge_answers:
    input:
        answers="results/{study}/benchmarks/{run}/{benchmark}/answers.parquet",
        files=lambda wildcards: list(JUDGED_FILES[wildcards.benchmark].values()),
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
    message:
        "{wildcards.study}: the answers of {wildcards.run} to {wildcards.benchmark} are judged"
    shell:
        "rewild judge {wildcards.study:q} {wildcards.run:q} {wildcards.benchmark:q} > {log:q} 2>&1"


rule score_judgments:
    input:
        answers="results/{study}/benchmarks/{run}/{benchmark}/answers.parquet",
        judgments="results/{study}/benchmarks/{run}/{benchmark}/judgments.parquet",
        files=lambda wildcards: list(JUDGED_FILES[wildcards.benchmark].values()),
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
        python=scoring_python,
    message:
        "{wildcards.study}: scoring {wildcards.run} on {wildcards.benchmark}"
    shell:
        "{params.python:q} -m rewild score {wildcards.study:q} {wildcards.run:q} {wildcards.benchmark:q}"
        " > {log:q} 2>&1"

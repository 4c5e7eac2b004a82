# Preference pairs: prompts are drawn, answered several times each, every answer is graded, the best and the worst
# to a prompt are paired.
rule draw_preference_prompts:
    input:
        prompts=prompt_shards,
        benchmarks=lambda wildcards: plain(
            preference_benchmarks(preference_of(wildcards))
        ),
    output:
        prompts="results/{study}/preferences/{preference}/prompts.parquet",
    log:
        "logs/{study}/draw_preference_prompts/{preference}.log",
    benchmark:
        "logs/{study}/draw_preference_prompts/{preference}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.preferences),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_preference_prompts", 3000),
        runtime=minutes("draw_preference_prompts", 60),
    params:
        seed=lambda wildcards: answering_job(wildcards).seed,
        amount=lambda wildcards: preference_of(wildcards).prompts,
        contamination=lambda wildcards: str(preference_of(wildcards).contamination),
        odd=lambda wildcards: odd(preference_benchmarks(preference_of(wildcards))),
    message:
        "{wildcards.study}: drawing the prompts of {wildcards.preference}"
    shell:
        "rewild preference-prompts {wildcards.study:q} {wildcards.preference:q} > {log:q} 2>&1"


rule sample_answers:
    input:
        prompts="results/{study}/preferences/{preference}/prompts.parquet",
        pilot=lambda wildcards: pilot_report(answering(wildcards)),
        passed=lambda wildcards: ancient(may_answer(answering(wildcards))),
        model=lambda wildcards: local_model(answering(wildcards)),
        weights=lambda wildcards: ancient(model_weights(answering(wildcards))),
        env=lambda wildcards: ancient(engine_ready(answering(wildcards))),
    output:
        answers="results/{study}/preferences/{preference}/answers/{shard}.parquet",
    log:
        "logs/{study}/sample_answers/{preference}/{shard}.log",
    benchmark:
        "logs/{study}/sample_answers/{preference}/{shard}.benchmark.tsv"
    conda:
        lambda wildcards: conda_of(engine_of(answering(wildcards)))
    container:
        lambda wildcards: image_of(engine_of(answering(wildcards)))
    threads: lambda wildcards: answering_job(wildcards).settings.compute.threads
    resources:
        mem_mb=memory(
            "sample_answers",
            lambda wildcards: memory_mb(answering_job(wildcards)),
            answering_gpus,
        ),
        runtime=minutes("sample_answers", answering_minutes, answering_gpus),
        gpu=gpus(answering_gpus),
        gpu_model=gpu_type(lambda wildcards: gpu_model_of(answering_job(wildcards))),
        gres=gres(
            answering_gpus, lambda wildcards: gpu_model_of(answering_job(wildcards))
        ),
        cpus_per_task=gres_cpus(answering_gpus),
        nodes=1,
    params:
        settings=lambda wildcards: settings_of(answering_job(wildcards)),
        samples=lambda wildcards: preference_of(wildcards).samples,
        shards=lambda wildcards: preference_of(wildcards).shards,
        python=lambda wildcards: engine_python(answering(wildcards)),
        hub=lambda wildcards: staged(model_weights(answering(wildcards))),
    message:
        "{wildcards.study}: answers for {wildcards.preference}, shard {wildcards.shard}"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild preference-answers {wildcards.study:q} {wildcards.preference:q}"
        " {wildcards.shard:q} --threads {threads:q} > {log:q} 2>&1"


rule score_answers:
    input:
        prompts="results/{study}/preferences/{preference}/prompts.parquet",
        answers="results/{study}/preferences/{preference}/answers/{shard}.parquet",
        weights=lambda wildcards: ancient(scorer_weights(wildcards)),
        env=lambda wildcards: ancient(ready_of(scorer_tool(wildcards))),
    output:
        scores="results/{study}/preferences/{preference}/scores/{shard}.parquet",
    log:
        "logs/{study}/score_answers/{preference}/{shard}.log",
    benchmark:
        "logs/{study}/score_answers/{preference}/{shard}.benchmark.tsv"
    conda:
        lambda wildcards: conda_of(scorer_tool(wildcards))
    container:
        lambda wildcards: image_of(scorer_tool(wildcards))
    resources:
        mem_mb=memory(
            "score_answers",
            lambda wildcards: 24000 if reward_model(wildcards) else 3000,
            scorer_gpus,
        ),
        runtime=minutes("score_answers", scorer_minutes, scorer_gpus, more=True),
        gpu=gpus(scorer_gpus),
        gpu_model=gpu_type(scorer_gpu),
        gres=gres(scorer_gpus, scorer_gpu),
        cpus_per_task=gres_cpus(scorer_gpus),
        nodes=1,
    params:
        grading=lambda wildcards: json.dumps(
            grades_of(preference_of(wildcards), MODELS)
        ),
        python=lambda wildcards: python_of(scorer_tool(wildcards)),
        hub=lambda wildcards: staged(scorer_weights(wildcards)),
    message:
        "{wildcards.study}: grading the answers of {wildcards.preference}, shard {wildcards.shard}"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild preference-scores {wildcards.study:q} {wildcards.preference:q}"
        " {wildcards.shard:q} > {log:q} 2>&1"


rule pair_answers:
    input:
        prompts="results/{study}/preferences/{preference}/prompts.parquet",
        answers=preference_files("answers"),
        scores=preference_files("scores"),
    output:
        train="results/{study}/preferences/{preference}/train.parquet",
        dropped=multiext(
            "results/{study}/preferences/{preference}/dropped",
            ".csv",
            ".csv-metadata.json",
        ),
    log:
        "logs/{study}/pair_answers/{preference}.log",
    benchmark:
        "logs/{study}/pair_answers/{preference}.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("pair_answers", 4000),
        runtime=minutes("pair_answers", 60),
    params:
        settings=lambda wildcards: json.dumps(
            identity_of_pairs(preference_of(wildcards))
        ),
    message:
        "{wildcards.study}: pairing the answers of {wildcards.preference}"
    shell:
        "rewild preference-pairs {wildcards.study:q} {wildcards.preference:q} --only data > {log:q} 2>&1"


rule describe_pairs:
    input:
        prompts="results/{study}/preferences/{preference}/prompts.parquet",
        scores=preference_files("scores"),
        train="results/{study}/preferences/{preference}/train.parquet",
        dropped="results/{study}/preferences/{preference}/dropped.csv",
        tokenizer=counter(preference_of).folder,
        env=lambda wildcards: ancient(counter(preference_of).ready(wildcards)),
    output:
        card=multiext("results/{study}/preferences/{preference}/card", ".json", ".md"),
    log:
        "logs/{study}/describe_pairs/{preference}.log",
    benchmark:
        "logs/{study}/describe_pairs/{preference}.benchmark.tsv"
    conda:
        counter(preference_of).conda
    resources:
        mem_mb=memory("describe_pairs", 4000),
        runtime=minutes("describe_pairs", 60),
    params:
        shown=lambda wildcards: json.dumps(
            presentation_of_pairs(preference_of(wildcards))
        ),
        terms=lambda wildcards: terms_of([preference_of(wildcards).model]),
        python=counter(preference_of).python,
    message:
        "{wildcards.study}: writing the card of the pairs {wildcards.preference}"
    shell:
        "{params.python:q} -m rewild preference-pairs {wildcards.study:q} {wildcards.preference:q} --only card"
        " > {log:q} 2>&1"

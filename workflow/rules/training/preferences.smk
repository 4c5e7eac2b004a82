# Preference pairs: who answers, who grades, what a study promises.
def preference_of(wildcards):
    """A row of a study's preference pairs."""
    return STUDIES[wildcards.study].preferences[wildcards.preference]


def preference_measures(wildcards):
    """The files of the measures that a set's filters read."""
    measures = STUDIES[wildcards.study].measures
    return [
        path
        for name, subject in preference_of(wildcards).measured(measures)
        for path in measure_files(wildcards.study, name, subject)
    ]


def answering(wildcards):
    """The model that answers, as the wildcards of its responses."""
    return SimpleNamespace(study=wildcards.study, model=preference_of(wildcards).model)


def answering_job(wildcards):
    """The model's job, sampling as the pairs want it."""
    row = preference_of(wildcards)
    seed = seed_of(STUDIES[wildcards.study], row)
    return preference_spec(job_of(answering(wildcards)), row, seed)


def answering_gpus(wildcards):
    """The GPUs it needs."""
    return answering_job(wildcards).gpus


def answering_minutes(wildcards):
    """How long a shard of answers may take: by the estimate, within what the study allows."""
    most = answering_job(wildcards).compute.minutes
    return estimated(wildcards.study, "pairs", wildcards.preference, most)


def scorer_minutes(wildcards):
    """How long a shard of grades may take: by the estimate, for a reward model on a GPU."""
    most = 720
    if not scorer_gpus(wildcards):
        return most
    return estimated(wildcards.study, "grades", wildcards.preference, most)


def preference_files(kind):
    """An input function: the files of all shards of a set, `answers` or `scores`."""
    return lambda wildcards: [
        f"results/{wildcards.study}/preferences/{wildcards.preference}/{kind}/{shard}.parquet"
        for shard in preference_shards(preference_of(wildcards))
    ]


def reward_model(wildcards):
    """Whether the scorer is a model that is loaded here."""
    return preference_of(wildcards).scorer.kind == "reward-model"


def scorer_tool(wildcards):
    """The environment that a reward model runs in; none of its own for a judge or rules."""
    return find_engine("classifier").environment if reward_model(wildcards) else None


def scorer_gpus(wildcards):
    """The GPUs that the scorer needs: one for a reward model, unless it runs on a CPU."""
    row = preference_of(wildcards)
    return int(reward_model(wildcards) and row.scorer.device != "cpu")


def scorer_gpu(wildcards):
    """SLURM's name of the GPU that the scorer runs on: of the kind that the study's models answer on."""
    if not reward_model(wildcards) or preference_of(wildcards).scorer.device == "cpu":
        return None
    return gpu_name(STUDIES[wildcards.study].responses.compute.gpu)


def scorer_weights(wildcards):
    """What says that the weights of a reward model are there."""
    if not reward_model(wildcards):
        return []
    scorer = preference_of(wildcards).scorer
    return fetched(scorer.path, scorer.revision)


@promised
def preference_pairs(study):
    """Every set of preference pairs of a study, with its card."""
    return [
        f"results/{study.name}/preferences/{name}/{file}"
        for name in study.preferences
        for file in ("train.parquet", "card.json", "card.md")
    ]


# Preference pairs: prompts are drawn, answered several times each, every answer is graded, the best and the worst
# to a prompt are paired.
rule draw_preference_prompts:
    input:
        prompts=lambda wildcards: prompt_shards(wildcards),
        benchmarks=lambda wildcards: plain(
            preference_benchmarks(preference_of(wildcards))
        ),
        measured=lambda wildcards: preference_measures(wildcards),
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
        settings=lambda wildcards: trigger(preference_of(wildcards), "draw"),
        odd=lambda wildcards: odd(preference_benchmarks(preference_of(wildcards))),
        measured=lambda wildcards, input: [
            f"--measured={path}" for path in input.measured
        ],
        stage=stage("pairs"),
    message:
        "{wildcards.study}: drawing the prompts of {wildcards.preference}"
    shell:
        "rewild --words <(words {input.prompts:q} {params.measured:q}) preference-prompts {wildcards.study:q}"
        " {wildcards.preference:q} --out {output.prompts:q} > {log:q} 2>&1"


rule sample_answers:
    input:
        prompts="results/{study}/preferences/{preference}/prompts.parquet",
        pilot=lambda wildcards: pilot_report(answering(wildcards)),
        passed=lambda wildcards: ancient(may_answer(answering(wildcards))),
        model=lambda wildcards: local_model(answering(wildcards)),
        template=lambda wildcards: model_template(answering(wildcards)),
        weights=lambda wildcards: ancient(model_weights(answering(wildcards))),
        env=lambda wildcards: ancient(engine_ready(answering(wildcards))),
    output:
        answers="results/{study}/preferences/{preference}/answers/{shard}.parquet",
    log:
        "logs/{study}/sample_answers/{preference}/{shard}.log",
    benchmark:
        "logs/{study}/sample_answers/{preference}/{shard}.benchmark.tsv"
    group:
        on_a_node(answering_gpus, "study", "preference")
    conda:
        lambda wildcards: conda_of(engine_of(answering(wildcards)))
    container:
        lambda wildcards: image_of(engine_of(answering(wildcards)))
    threads: cores(lambda wildcards: answering_job(wildcards).compute.threads, answering_gpus)
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
        work="results/{study}/work/preferences/{preference}/{shard}",
        settings=lambda wildcards: settings_of(answering_job(wildcards)),
        odd=lambda wildcards: odd_template(answering(wildcards)),
        samples=lambda wildcards: preference_of(wildcards).samples,
        shards=lambda wildcards: preference_of(wildcards).shards,
        python=how(lambda wildcards: engine_python(answering(wildcards))),
        hub=lambda wildcards: staged(model_weights(answering(wildcards))),
    message:
        "{wildcards.study}: answers for {wildcards.preference}, shard {wildcards.shard}"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild preference-answers {wildcards.study:q} {wildcards.preference:q}"
        " {wildcards.shard:q} --prompts {input.prompts:q} --out {output.answers:q} --work {params.work:q}"
        " --threads {threads:q} > {log:q} 2>&1"


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
        python=how(lambda wildcards: python_of(scorer_tool(wildcards))),
        hub=lambda wildcards: staged(scorer_weights(wildcards)),
        stage=stage("grades"),
    message:
        "{wildcards.study}: grading the answers of {wildcards.preference}, shard {wildcards.shard}"
    shell:
        "staged {params.hub:q}; {params.python:q} -m rewild preference-scores {wildcards.study:q} {wildcards.preference:q}"
        " {wildcards.shard:q} --prompts {input.prompts:q} --answers {input.answers:q} --out {output.scores:q}"
        " > {log:q} 2>&1"


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
        folder=subpath(output.train, parent=True),
        settings=lambda wildcards: json.dumps(
            identity_of_pairs(preference_of(wildcards))
        ),
        stage=stage("pairs"),
    message:
        "{wildcards.study}: pairing the answers of {wildcards.preference}"
    shell:
        "rewild preference-pairs {wildcards.study:q} {wildcards.preference:q} --only data --folder {params.folder:q}"
        " > {log:q} 2>&1"


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
        folder=subpath(input.train, parent=True),
        shown=lambda wildcards: trigger(preference_of(wildcards), "shown"),
        terms=lambda wildcards: terms_of([preference_of(wildcards).model]),
        python=how(counter(preference_of).python),
        code=code("preference-pairs"),
    message:
        "{wildcards.study}: writing the card of the pairs {wildcards.preference}"
    shell:
        "{params.python:q} -m rewild preference-pairs {wildcards.study:q} {wildcards.preference:q} --only card"
        " --folder {params.folder:q} > {log:q} 2>&1"

# Mixes: what they are made from, and which a study promises.
def mix_of(wildcards):
    """A row of a study's mixes."""
    return STUDIES[wildcards.study].mixes[wildcards.mix]


def mix_seed(wildcards):
    """The seed of a mix's draw: its own, or the study's."""
    own = mix_of(wildcards).seed
    return STUDIES[wildcards.study].seed if own is None else own


@cache
def mix_inputs_of(study, mix):
    """All files that a mix is made from, by kind; found once, not once per kind and job."""
    return mix_inputs(study, STUDIES[study].mixes[mix], shards(study))


def mix_files(kind):
    """An input function: the files of one kind that a mix is made from."""
    return lambda wildcards: plain(mix_inputs_of(wildcards.study, wildcards.mix)[kind])


def mix_measures(wildcards):
    """The files of measures that a mix's filters read."""
    wanted = mix_of(wildcards).measured(STUDIES[wildcards.study].measures)
    return [
        path
        for name, subject in wanted
        for path in measure_files(wildcards.study, name, subject)
    ]


def mix_odd(wildcards):
    """Those among its files whose names Snakemake would take for patterns."""
    kinds = mix_inputs_of(wildcards.study, wildcards.mix)
    return odd(path for paths in kinds.values() for path in paths)


def counter(row):
    """Functions of what counts a row's tokens, if they are counted: tokenizer, environment, Python, conda file."""

    def tool(wildcards):
        return row(wildcards).tokenizer and "engine-cpu"

    def folder(wildcards):
        model = row(wildcards).tokenizer
        local = model and local_folder(
            STUDIES[wildcards.study], model, REGISTRY[wildcards.study]
        )
        return plain([local]) if local else []

    def ready(wildcards):
        return ready_of(tool(wildcards))

    def python(wildcards):
        return python_of(tool(wildcards))

    def conda(wildcards):
        return conda_of(tool(wildcards))

    return SimpleNamespace(folder=folder, ready=ready, python=python, conda=conda)


def terms_of(models):
    """The licences of models, which a card repeats."""
    return {slug: MODELS[slug].licence for slug in models if slug in MODELS}


def run_data(study, name):
    """What a run learns from: the file of a mix, or of a set of preference pairs."""
    return f"{mix_folder(study, STUDIES[study].mixes, name)}/train.parquet"


@promised
def mixes(study):
    """Every mix of a study, with its card."""
    return [
        f"results/{study.name}/mixes/{mix}/{file}"
        for mix in study.mixes
        for file in ("train.parquet", "card.json", "card.md")
    ]


# Training mixes: conversations drawn from a study's responses, hub datasets and files. What of a mix's row its
# conversations depend on is the `params` of make_mix, so a change of one mix makes that one again; what its card alone
# shows (label, title, terms, counts of tokens) is of describe_mix, and trains nothing again.
rule make_mix:
    input:
        manifests=mix_files("manifests"),
        prompts=mix_files("prompts"),
        data=mix_files("data"),
        benchmarks=mix_files("benchmarks"),
        measured=mix_measures,
    output:
        train="results/{study}/mixes/{mix}/train.parquet",
        sources=multiext(
            "results/{study}/mixes/{mix}/sources", ".csv", ".csv-metadata.json"
        ),
    log:
        "logs/{study}/make_mix/{mix}.log",
    benchmark:
        "logs/{study}/make_mix/{mix}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.mixes),
    conda:
        conda_of("workflow")
    threads: 2
    resources:
        mem_mb=memory("make_mix", 6000),
        runtime=minutes("make_mix", 120),
    params:
        folder=subpath(output.train, parent=True),
        files=lambda wildcards, input: [
            *(f"--manifest={path}" for path in input.manifests),
            *(f"--shard={path}" for path in input.prompts),
        ],
        settings=lambda wildcards: json.dumps(identity(mix_of(wildcards))),
        seed=mix_seed,
        odd=mix_odd,
        stage=stage("mixes"),
    message:
        "{wildcards.study}: making the mix {wildcards.mix}"
    shell:
        "RAYON_NUM_THREADS={threads:q} POLARS_MAX_THREADS={threads:q} "
        "rewild --words <(words {params.files:q} {input.measured:q}) mix {wildcards.study:q} {wildcards.mix:q} --only data"
        " --folder {params.folder:q} > {log:q} 2>&1"


rule describe_mix:
    input:
        train="results/{study}/mixes/{mix}/train.parquet",
        sources="results/{study}/mixes/{mix}/sources.csv",
        tokenizer=counter(mix_of).folder,
        env=lambda wildcards: ancient(counter(mix_of).ready(wildcards)),
    output:
        card=multiext("results/{study}/mixes/{mix}/card", ".json", ".md"),
    log:
        "logs/{study}/describe_mix/{mix}.log",
    benchmark:
        "logs/{study}/describe_mix/{mix}.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.mixes),
    conda:
        counter(mix_of).conda
    threads: 2
    resources:
        mem_mb=memory("describe_mix", 6000),
        runtime=minutes("describe_mix", 120),
    params:
        folder=subpath(input.train, parent=True),
        shown=lambda wildcards: trigger(mix_of(wildcards), "shown"),
        terms=lambda wildcards: terms_of(mix_of(wildcards).models()),
        python=how(counter(mix_of).python),
        code=code("mix"),
    message:
        "{wildcards.study}: writing the card of the mix {wildcards.mix}"
    shell:
        "RAYON_NUM_THREADS={threads:q} POLARS_MAX_THREADS={threads:q} "
        "{params.python:q} -m rewild mix {wildcards.study:q} {wildcards.mix:q} --only card"
        " --folder {params.folder:q} > {log:q} 2>&1"


# A dataset of the hub as it is, streamed once at its pinned revision. Without one the job says so and fails.
rule fetch_dataset:
    input:
        env=ancient(ready_of("data")),
    output:
        data="results/downloads/datasets/{owner}/{name}/{revision}/{subset}/{split}.parquet",
    log:
        "logs/fetch_dataset/{owner}/{name}/{revision}/{subset}/{split}.log",
    benchmark:
        "logs/fetch_dataset/{owner}/{name}/{revision}/{subset}/{split}.benchmark.tsv"
    wildcard_constraints:
        revision=f"[0-9a-f]{{40}}|{UNPINNED}",
        subset=r"[\w.-]+",
        split=r"[\w.-]+",
    localrule: True  # nodes of a cluster may have no network
    conda:
        conda_of("data")
    resources:
        mem_mb=memory("fetch_dataset", 2000),
        runtime=minutes("fetch_dataset", 240),
    params:
        python=how(python_of("data")),
        stage=stage("fetch"),
    message:
        "Streaming {wildcards.owner}/{wildcards.name} ({wildcards.subset}) from the hub"
    shell:
        "{params.python:q} -m rewild fetch-dataset {wildcards.owner:q}/{wildcards.name:q} {wildcards.revision:q} "
        "--subset {wildcards.subset:q} --split {wildcards.split:q} --out {output.data:q} > {log:q} 2>&1"


# Preference pairs: who answers, who grades, what a study promises.
def preference_of(wildcards):
    """A row of a study's preference pairs."""
    return STUDIES[wildcards.study].preferences[wildcards.preference]


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
        stage=stage("pairs"),
    message:
        "{wildcards.study}: drawing the prompts of {wildcards.preference}"
    shell:
        "rewild --words <(words {input.prompts:q}) preference-prompts {wildcards.study:q} {wildcards.preference:q}"
        " --out {output.prompts:q} > {log:q} 2>&1"


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


# Runs: what is evaluated. A fine-tune comes from a mix; a model as it is comes from the hub or the demo.
def training(wildcards):
    """A run's training, with everything its settings name."""
    return TRAININGS[wildcards.study][wildcards.run]


def run_model(wildcards):
    """The files that a run's model needs: a fine-tune that passed its post-flight, or a model made here."""
    study, run = STUDIES[wildcards.study], wildcards.run
    if run in TRAININGS[study.name]:
        folder = TRAININGS[study.name][run].folder
        return [f"{folder}/checkpoint", ancient(f"{folder}/passed")]
    weights = weights_of(study, run, REGISTRY[study.name])
    return plain([weights.path]) if weights.local else []


def run_weights(wildcards):
    """What says that the weights of a run's model are there."""
    weights = weights_of(
        STUDIES[wildcards.study], wildcards.run, REGISTRY[wildcards.study]
    )
    return [] if weights.local else fetched(weights.path, weights.revision)


def start_weights(wildcards):
    """The same of the model that its training starts from."""
    start = training(wildcards).start
    return [] if start.local else fetched(start.path, start.revision)


def run_start(wildcards):
    """The files that a run's training starts from: none for a model of the hub."""
    study, start = wildcards.study, training(wildcards).start
    base = STUDIES[study].runs[wildcards.run].model
    if base in TRAININGS[study]:
        return [start.path, ancient(f"{TRAININGS[study][base].folder}/passed")]
    return plain([start.path]) if start.local else []


def run_template(wildcards):
    """The file of the chat template that its recipe gives a base model."""
    template = training(wildcards).template
    return plain([template.file]) if template else []


def run_mix(wildcards):
    """What a run learns from."""
    return run_data(wildcards.study, training(wildcards).mix)


def axolotl_of(wildcards):
    """The environment that a run is trained in."""
    return "axolotl" if training(wildcards).recipe.gpus else "axolotl-cpu"


def axolotl_ready(wildcards):
    """What says that it is there."""
    return ready_of(axolotl_of(wildcards))


def training_gpus(wildcards):
    """The GPUs that a run is trained on."""
    return training(wildcards).recipe.gpus


def trial_gpus(wildcards):
    """The GPUs that its checkpoint is tried on."""
    return min(training_gpus(wildcards), 1)


def training_minutes(wildcards):
    """How long a training may take: by the estimate, within what its recipe allows."""
    most = training(wildcards).recipe.minutes
    return estimated(wildcards.study, "training", wildcards.run, most)


def run_kernel(wildcards):
    """The flash-attention kernel, where a run needs it: how it is computed, not what it is.

    None where the package flash-attn was installed by hand."""
    recipe = training(wildcards).recipe
    installed = Path(environment_of("axolotl")).glob(
        "lib/python*/site-packages/flash_attn"
    )
    if not recipe.gpus or recipe.attention != "flash_attention_2" or any(installed):
        return []
    return ["results/downloads/kernels/flash-attn2/kernel.json"]


def training_gpu(wildcards):
    """SLURM's name of the GPUs that a run is trained on: of the kind that the study's models answer on."""
    study = STUDIES[wildcards.study]
    if not training(wildcards).recipe.gpus or not study.responses:
        return None
    return gpu_name(study.responses.compute.gpu)


def inherited_responses(wildcards):
    """The answers that show whether style is inherited: of the runs, and of the models they learned from."""
    study = STUDIES[wildcards.study]
    return [
        f"results/{study.name}/responses/{model}/{shard}.parquet"
        for model in style_models(study)
        for shard in shards(study.name)[: study.inherited_style.shards]
    ]


@promised
def runs(study):
    """Every fine-tune of a study: its checkpoint, tried, and what its training took."""
    files = [
        f"{trained.folder}/{file}"
        for trained in TRAININGS[study.name].values()
        for file in ("passed", "training.json", "loss.svg")
    ]
    if study.inherited_style:
        files.append(f"results/{study.name}/inherited_style/inherited.csv")
    return files


# Runs: an Axolotl config is rendered and its data checked (preflight), Axolotl trains, the checkpoint is tried
# (post-flight). A run that fails stops alone; the others go on.
#
# What identifies a fine-tune is in `params.settings`. What it must pass is in the post-flight's `params.gates` and trains
# nothing again: who uses a fine-tune waits for `passed` as ancient(), since its checkpoint says what it is. A job that
# is killed goes on from its last sound checkpoint: its folder, results/{study}/work/runs/{run}, is no output, because
# Snakemake removes outputs before a job starts.
rule fetch_kernel:
    input:
        lock=own("envs/axolotl.txt"),
        env=ancient(ready_of("axolotl")),
    output:
        record="results/downloads/kernels/flash-attn2/kernel.json",
        build=directory("results/downloads/kernels/flash-attn2/build"),
    log:
        "logs/fetch/flash-attn2.log",
    benchmark:
        "logs/fetch/flash-attn2.benchmark.tsv"
    localrule: True  # nodes of a cluster may have no network
    conda:
        conda_of("axolotl")
    container:
        image_of("axolotl")
    resources:
        mem_mb=memory("fetch_kernel", 2000),
        runtime=minutes("fetch_kernel", 30),
    params:
        python=how(python_of("axolotl")),
        out=subpath(output.record, parent=True),
        stage=stage("fetch"),
    message:
        "Fetching the flash-attention kernel that Axolotl pins (once, without a GPU)"
    shell:
        "{params.python:q} -m rewild fetch-kernel --out {params.out:q} 2>&1 | tee {log:q} >&2"


rule preflight_run:
    input:
        mix=run_mix,
        model=run_start,
        template=run_template,
        weights=lambda wildcards: ancient(start_weights(wildcards)),
        kernel=lambda wildcards: ancient(run_kernel(wildcards)),
        env=lambda wildcards: ancient(axolotl_ready(wildcards)),
    output:
        config="results/{study}/runs/{run}/axolotl.yaml",
        json="results/{study}/runs/{run}/preflight.json",
        markdown="results/{study}/runs/{run}/preflight.md",
    log:
        "logs/{study}/preflight_run/{run}.log",
    benchmark:
        "logs/{study}/preflight_run/{run}.benchmark.tsv"
    conda:
        lambda wildcards: conda_of(axolotl_of(wildcards))
    container:
        lambda wildcards: image_of(axolotl_of(wildcards))
    threads: lambda wildcards: 8 if training(wildcards).recipe.gpus else 1
    resources:
        mem_mb=memory(
            "preflight_run",
            lambda wildcards: 1000 * min(training(wildcards).recipe.memory_gb, 64),
        ),
        runtime=minutes("preflight_run", 120),
    params:
        folder=subpath(output.json, parent=True),
        work="results/{study}/work/runs/{run}",
        settings=lambda wildcards: training(wildcards).settings,
        python=how(lambda wildcards: python_of(axolotl_of(wildcards))),
    message:
        "{wildcards.study}: checking the data of {wildcards.run} before it is trained"
    shell:
        "{params.python:q} -m rewild preflight-run {wildcards.study:q} {wildcards.run:q} --mix {input.mix:q}"
        " --folder {params.folder:q} --work {params.work:q} --threads {threads:q} > {log:q} 2>&1"


rule train_run:
    input:
        config="results/{study}/runs/{run}/axolotl.yaml",
        preflight="results/{study}/runs/{run}/preflight.json",
        mix=run_mix,
        model=run_start,
        template=run_template,
        weights=lambda wildcards: ancient(start_weights(wildcards)),
        kernel=lambda wildcards: ancient(run_kernel(wildcards)),
        env=lambda wildcards: ancient(axolotl_ready(wildcards)),
    output:
        checkpoint=directory("results/{study}/runs/{run}/checkpoint"),
        training="results/{study}/runs/{run}/training.json",
        state="results/{study}/runs/{run}/trainer_state.json",
        loss="results/{study}/runs/{run}/loss.csv",
    log:
        "logs/{study}/train_run/{run}.log",
    benchmark:
        "logs/{study}/train_run/{run}.benchmark.tsv"
    conda:
        lambda wildcards: conda_of(axolotl_of(wildcards))
    container:
        lambda wildcards: image_of(axolotl_of(wildcards))
    threads: lambda wildcards: max(1, 8 * training(wildcards).recipe.gpus)
    resources:
        mem_mb=memory(
            "train_run",
            lambda wildcards: 1000 * training(wildcards).recipe.memory_gb,
            training_gpus,
        ),
        runtime=minutes("train_run", training_minutes, training_gpus),
        gpu=gpus(training_gpus),
        gpu_model=gpu_type(training_gpu),
        gres=gres(training_gpus, training_gpu),
        cpus_per_task=gres_cpus(training_gpus),
        nodes=1,
    params:
        folder=subpath(output.training, parent=True),
        work="results/{study}/work/runs/{run}",
        settings=lambda wildcards: training(wildcards).settings,
        python=how(lambda wildcards: python_of(axolotl_of(wildcards))),
        each=lambda wildcards, threads: threads
        // max(1, training(wildcards).recipe.gpus),
    message:
        "{wildcards.study}: fine-tuning {wildcards.run}"
    shell:
        "{params.python:q} -m rewild train-run {wildcards.study:q} {wildcards.run:q} --mix {input.mix:q}"
        " --folder {params.folder:q} --work {params.work:q} --threads {params.each:q} > {log:q} 2>&1"


rule draw_loss:
    input:
        loss="results/{study}/runs/{run}/loss.csv",
    output:
        figure=report(
            "results/{study}/runs/{run}/loss.svg",
            caption="../report/loss.rst",
            category="Runs",
            labels={"figure": "loss", "run": "{run}"},
        ),
        others=multiext("results/{study}/runs/{run}/loss", ".pdf", ".png"),
    log:
        "logs/{study}/draw_loss/{run}.log",
    benchmark:
        "logs/{study}/draw_loss/{run}.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_loss", 500),
        runtime=minutes("draw_loss", 5),
    params:
        title=lambda wildcards: display(
            STUDIES[wildcards.study], wildcards.run, REGISTRY[wildcards.study]
        ),
        stem=lambda wildcards, output: Path(output.figure).with_suffix(""),
        code=code("draw-loss"),
    message:
        "{wildcards.study}: drawing the loss of {wildcards.run}"
    shell:
        "rewild draw-loss {input.loss:q} --out {params.stem:q} --title {params.title:q} > {log:q} 2>&1"


rule postflight_run:
    input:
        checkpoint="results/{study}/runs/{run}/checkpoint",
        training="results/{study}/runs/{run}/training.json",
        preflight="results/{study}/runs/{run}/preflight.json",
        loss="results/{study}/runs/{run}/loss.csv",
        mix=run_mix,
        prompts=lambda wildcards: prompt_shards(wildcards)[:4],
        env=ancient(ready_of("engine-cpu")),
    output:
        json="results/{study}/runs/{run}/postflight.json",
        markdown="results/{study}/runs/{run}/postflight.md",
    log:
        "logs/{study}/postflight_run/{run}.log",
    benchmark:
        "logs/{study}/postflight_run/{run}.benchmark.tsv"
    conda:
        conda_of("engine-cpu")
    threads: lambda wildcards: 8 if training(wildcards).recipe.gpus else 1
    resources:
        mem_mb=memory(
            "postflight_run",
            lambda wildcards: 1000 * min(training(wildcards).recipe.memory_gb, 48),
            trial_gpus,
        ),
        runtime=minutes("postflight_run", 60, trial_gpus, more=True),
        gpu=gpus(trial_gpus),
        gpu_model=gpu_type(training_gpu),
        gres=gres(trial_gpus, training_gpu),
        cpus_per_task=gres_cpus(trial_gpus),
        nodes=1,
    params:
        folder=subpath(output.json, parent=True),
        settings=lambda wildcards: training(wildcards).settings,
        gates=lambda wildcards: training(wildcards).gates,
        python=how(python_of("engine-cpu")),
        shards=lambda wildcards, input: [f"--shard={path}" for path in input.prompts],
    message:
        "{wildcards.study}: trying the checkpoint of {wildcards.run}"
    shell:
        "{params.python:q} -m rewild postflight-run {wildcards.study:q} {wildcards.run:q}"
        " --mix {input.mix:q} {params.shards:q} --folder {params.folder:q} --threads {threads:q} > {log:q} 2>&1"


# A rule of its own, so that the report of a failed post-flight stays.
rule check_run:
    input:
        json="results/{study}/runs/{run}/postflight.json",
    output:
        passed="results/{study}/runs/{run}/passed",
    log:
        "logs/{study}/check_run/{run}.log",
    benchmark:
        "logs/{study}/check_run/{run}.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("check_run", 500),
        runtime=minutes("check_run", 5),
    params:
        code=code("check-run"),
    message:
        "{wildcards.study}: checking the post-flight of {wildcards.run}"
    shell:
        "rewild check-run {input.json:q} --out {output.passed:q} > {log:q} 2>&1"


rule compare_inherited_style:
    input:
        responses=inherited_responses,
        models=configured("models.yaml"),
    output:
        inherited=report(
            "results/{study}/inherited_style/inherited.csv",
            caption="../report/inherited_style.rst",
            category="Runs",
            labels={"table": "style of fine-tunes and of their models"},
        ),
        markdown="results/{study}/inherited_style/inherited.md",
        counts="results/{study}/inherited_style/counts.csv",
        proportional="results/{study}/inherited_style/proportional.csv",
        figure=report(
            "results/{study}/inherited_style/proportional.svg",
            caption="../report/inherited_style.rst",
            category="Runs",
            labels={"figure": "proportional frequencies"},
        ),
        others=multiext("results/{study}/inherited_style/proportional", ".pdf", ".png"),
    log:
        "logs/{study}/compare_inherited_style.log",
    benchmark:
        "logs/{study}/compare_inherited_style.benchmark.tsv"
    wildcard_constraints:
        study=one_of(s.name for s in STUDIES.values() if s.inherited_style),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_inherited_style", 2000),
        runtime=minutes("compare_inherited_style", 30),
    params:
        settings=lambda wildcards: trigger(STUDIES[wildcards.study].inherited_style),
        out=subpath(output.inherited, parent=True),
        code=code("inherited-style"),
    message:
        "{wildcards.study}: do fine-tunes write in the style of the models they learned from?"
    shell:
        "rewild --words <(words {input.responses:q}) inherited-style {wildcards.study:q}"
        " --out {params.out:q} > {log:q} 2>&1"

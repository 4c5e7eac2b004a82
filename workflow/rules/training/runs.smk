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
            caption="../../report/loss.rst",
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
            caption="../../report/inherited_style.rst",
            category="Runs",
            labels={"table": "style of fine-tunes and of their models"},
        ),
        markdown="results/{study}/inherited_style/inherited.md",
        counts="results/{study}/inherited_style/counts.csv",
        proportional="results/{study}/inherited_style/proportional.csv",
        figure=report(
            "results/{study}/inherited_style/proportional.svg",
            caption="../../report/inherited_style.rst",
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

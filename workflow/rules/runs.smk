# Runs: an Axolotl config is rendered and its data checked (preflight), Axolotl trains, the checkpoint is tried
# (post-flight). A run that fails stops alone; the others go on.
#
# What identifies a fine-tune is in `params.settings`. What it must pass is in the post-flight's `params.gates` and trains
# nothing again: who uses a fine-tune waits for `passed` as ancient(), since its checkpoint says what it is. A job that
# is killed goes on from its last sound checkpoint: its folder, results/{study}/work/runs/{run}, is no output, because
# Snakemake removes outputs before a job starts.
rule fetch_kernel:
    input:
        lock="envs/axolotl.txt",
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
        python=lambda wildcards, threads: python_of("axolotl"),
        out=subpath(output.record, parent=True),
    message:
        "Fetching the flash-attention kernel that Axolotl pins (once, without a GPU)"
    shell:
        "{params.python:q} -m rewild fetch-kernel --out {params.out:q} 2>&1 | tee {log:q} >&2"


rule preflight_run:
    input:
        mix=run_mix,
        model=run_start,
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
        settings=lambda wildcards: training(wildcards).settings,
        python=lambda wildcards: python_of(axolotl_of(wildcards)),
    message:
        "{wildcards.study}: checking the data of {wildcards.run} before it is trained"
    shell:
        "{params.python:q} -m rewild preflight-run {wildcards.study:q} {wildcards.run:q} --mix {input.mix:q}"
        " --threads {threads:q} > {log:q} 2>&1"


rule train_run:
    input:
        config="results/{study}/runs/{run}/axolotl.yaml",
        preflight="results/{study}/runs/{run}/preflight.json",
        mix=run_mix,
        model=run_start,
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
        settings=lambda wildcards: training(wildcards).settings,
        python=lambda wildcards: python_of(axolotl_of(wildcards)),
        each=lambda wildcards, threads: threads
        // max(1, training(wildcards).recipe.gpus),
    message:
        "{wildcards.study}: fine-tuning {wildcards.run}"
    shell:
        "{params.python:q} -m rewild train-run {wildcards.study:q} {wildcards.run:q} --mix {input.mix:q}"
        " --threads {params.each:q} > {log:q} 2>&1"


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
        title=lambda wildcards: display(STUDIES[wildcards.study], wildcards.run, MODELS),
        stem=lambda wildcards: f"results/{wildcards.study}/runs/{wildcards.run}/loss",
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
        settings=lambda wildcards: training(wildcards).settings,
        gates=lambda wildcards: training(wildcards).gates,
        python=python_of("engine-cpu"),
        shards=lambda wildcards, input: [f"--shard={path}" for path in input.prompts],
    message:
        "{wildcards.study}: trying the checkpoint of {wildcards.run}"
    shell:
        "{params.python:q} -m rewild postflight-run {wildcards.study:q} {wildcards.run:q}"
        " --mix {input.mix:q} {params.shards:q} --threads {threads:q} > {log:q} 2>&1"


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
    message:
        "{wildcards.study}: checking the post-flight of {wildcards.run}"
    shell:
        "rewild check-run {input.json:q} --out {output.passed:q} > {log:q} 2>&1"


rule compare_inherited_style:
    input:
        responses=inherited_responses,
        models="config/models.yaml",
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
        settings=lambda wildcards: STUDIES[
            wildcards.study
        ].inherited_style.model_dump_json(),
        out=subpath(output.inherited, parent=True),
    message:
        "{wildcards.study}: do fine-tunes write in the style of the models they learned from?"
    shell:
        "rewild --words <(words {input.responses:q}) inherited-style {wildcards.study:q}"
        " --out {params.out:q} > {log:q} 2>&1"

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
    weights = weights_of(study, run, MODELS)
    return plain([weights.path]) if weights.local else []


def run_weights(wildcards):
    """What says that the weights of a run's model are there."""
    weights = weights_of(STUDIES[wildcards.study], wildcards.run, MODELS)
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

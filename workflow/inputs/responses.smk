# Responses, generated or imported: engines, models, and what is measured of them.
def response_models(study):
    """The models whose responses a study generates or imports."""
    generated = STUDIES[study].responses
    if generated:
        return generated.models
    return sorted({file.model for files in IMPORTS[study] for file in files})


def job_of(wildcards):
    """The settings of a model in a study."""
    return JOBS[wildcards.study, wildcards.model]


def model_gpus(wildcards):
    """The GPUs that a model's jobs need."""
    return job_of(wildcards).gpus


def model_gpu(wildcards):
    """SLURM's name of these."""
    return gpu_model_of(job_of(wildcards))


def shard_minutes(wildcards):
    """How long a shard may take: by the estimate, within what the study allows."""
    most = job_of(wildcards).settings.compute.minutes
    return estimated(wildcards.study, "responses", wildcards.model, most)


def engine_of(wildcards):
    """The environment that a model's engine runs in; none of its own for an endpoint."""
    settings = job_of(wildcards).settings
    usual = {"transformers": "engine-cpu", "vllm": "vllm", "openai": None}
    return settings.compute.environments.get(settings.engine, usual[settings.engine])


def engine_ready(wildcards):
    """What says that the engine's environment is there."""
    tool = engine_of(wildcards)
    return ready_of(tool)


def engine_python(wildcards):
    """The Python of the engine's environment."""
    tool = engine_of(wildcards)
    return python_of(tool)


WITH_CODE = {
    hub
    for row in MODELS.values()
    if row.trust_remote_code
    for hub in (row.hub, row.quantized)
    if hub
}


@cache
def fetched(path, revision):
    """What says that a model of the hub is there; none for a folder.

    The same with every profile: what is computed on a cluster is not computed again because a laptop looks at it.
    """
    if path.count("/") != 1 or Path(path).exists():
        return []
    return [f"results/downloads/models/{path}/{revision or UNPINNED}.json"]


def model_weights(wildcards):
    """The same of a study's model; none for a folder or an endpoint."""
    job = job_of(wildcards)
    if job.settings.engine == "openai" or local_model(wildcards):
        return []
    return fetched(job.source.path, job.source.revision)


def staged(records):
    """The repositories whose weights a job copies to its node's disk, where the site names one."""
    return [
        path.removeprefix("results/downloads/models/").rpartition("/")[0]
        for path in records
    ]


def local_model(wildcards):
    """The folder of a model that is not on the hub."""
    folder = local_folder(STUDIES[wildcards.study], wildcards.model)
    return plain([folder]) if folder else []


def may_answer(wildcards):
    """What says that a model may answer whole shards: its pilot, or a fine-tune's post-flight."""
    trained = TRAININGS[wildcards.study].get(wildcards.model)
    if trained:
        return f"{trained.folder}/passed"
    return f"results/{wildcards.study}/pilot/{wildcards.model}/passed"


def pilot_report(wildcards):
    """What a pilot found; a fine-tune has none, and its checkpoint is an input."""
    if wildcards.model in TRAININGS[wildcards.study]:
        return []
    return [f"results/{wildcards.study}/pilot/{wildcards.model}/report.json"]


def manifests(study):
    """The manifests of a study's models."""
    return [
        f"results/{study}/responses/{model}/manifest.json"
        for model in response_models(study)
    ]


def measurements(wildcards):
    """What every shard of a study's models measured."""
    return [
        f"results/{wildcards.study}/responses/{model}/{shard}.json"
        for model in STUDIES[wildcards.study].responses.models
        for shard in shards(wildcards.study)
    ]


@promised
def responses_and_what_follows(study):
    """Manifests of responses, and what is measured of them."""
    folder = f"results/{study.name}"
    files = manifests(study.name)
    if study.imports:
        files.append(f"{folder}/imports/models.csv")
    if study.style and files:
        files += [f"{folder}/style/{g}/responses.csv" for g in groups(study.name)]
    if study.throughput:
        files += [f"{folder}/throughput/{n}.csv" for n in ("throughput", "summary")]
        files += [f"{folder}/throughput/throughput.md"]
        files += [f"{folder}/figures/throughput.{s}" for s in ("svg", "pdf", "png")]
    return files

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
    return preference_job(job_of(answering(wildcards)), row, seed)


def answering_gpus(wildcards):
    """The GPUs it needs."""
    return answering_job(wildcards).gpus


def answering_minutes(wildcards):
    """How long a shard of answers may take: by the estimate, within what the study allows."""
    most = answering_job(wildcards).settings.compute.minutes
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
    return "engine-cpu" if reward_model(wildcards) else None


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

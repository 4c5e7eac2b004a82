# Similarity, diversity and styling: within a group of models that answer the same prompts.
def groups(study):
    """A group per import, which has prompts of its own; else the study's one group, `all`."""
    return [source.name for source in STUDIES[study].imports] or ["all"]


def group_responses(wildcards):
    """The responses of a group: shards of an import, or the manifests of all models."""
    study = wildcards.study
    if not STUDIES[study].imports:
        return manifests(study)
    number = groups(study).index(wildcards.group)
    return [
        f"results/{study}/responses/{file.model}/{shard_name(number)}.parquet"
        for file in IMPORTS[study][number]
    ]


def imported_models(wildcards):
    """What is known of imported models: their names and sizes."""
    imports = STUDIES[wildcards.study].imports
    return [f"results/{wildcards.study}/imports/models.csv"] if imports else []


def imported_argument(wildcards, input):
    """The same, as an argument."""
    return [f"--imported={path}" for path in input.get("imported", ())]


def own_sizes(wildcards):
    """The parameters of the models that a study makes itself, as arguments."""
    demo = STUDIES[wildcards.study].demo
    return (
        [f"--size={slug}={made.parameters}" for slug, made in demo.models.items()]
        if demo
        else []
    )


def similarity_blocks(suffix):
    """The files of all blocks of a group."""
    return lambda wildcards: [
        f"results/{wildcards.study}/similarity/{wildcards.group}/blocks/{block}{suffix}"
        for block in STUDIES[wildcards.study].similarity.block_names()
    ]


@promised
def similarity_targets(study):
    """What the sections `similarity` and `diversity` of a study promise."""
    folder = f"results/{study.name}"
    figures = study.similarity.figures() if study.similarity else []
    files = []
    for group in groups(study.name):
        if study.similarity:
            files.append(f"{folder}/similarity/{group}/summary.csv")
        files += [f"{folder}/similarity/{group}/figures/{f}.svg" for f in figures]
        if study.diversity:
            files.append(f"{folder}/diversity/{group}/diversity.csv")
    return files

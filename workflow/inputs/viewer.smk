# The viewer: what its page shows.
def judged_files(study, kind):
    """The files with judgments of a study's imports of one kind."""
    found = zip(STUDIES[study].imports, IMPORTS[study])
    files = [
        file.path for source, files in found if source.kind == kind for file in files
    ]
    if kind == "alpaca-eval" and files:
        return released("alpaca-eval-annotations", "annotations.json")
    return files


def viewer_models(study):
    """The models that a study's viewer shows."""
    return STUDIES[study].viewer.models or response_models(study)


def viewer_responses(wildcards):
    """The manifests of the models shown."""
    return [
        f"results/{wildcards.study}/responses/{model}/manifest.json"
        for model in viewer_models(wildcards.study)
    ]


def viewer_similarity(wildcards):
    """The similarities, if the study computes them."""
    study = STUDIES[wildcards.study]
    blocks = study.similarity.block_names() if study.similarity else []
    return [
        f"results/{study.name}/similarity/{group}/blocks/{block}.parquet"
        for group in groups(study.name)
        for block in blocks
    ]


def viewer_judgments(wildcards):
    """The judgments the study names, and those released with what it imports."""
    study = STUDIES[wildcards.study]
    imported = any(judged_files(study.name, k) for k in ("wildbench", "alpaca-eval"))
    own = [f"results/{study.name}/imports/judgments.parquet"] if imported else []
    return plain(study.viewer.judgments) + own


def viewer_names(wildcards):
    """The short names of the models shown, as arguments."""
    return [
        f"--name={slug}={MODELS[slug].abbreviation}"
        for slug in viewer_models(wildcards.study)
        if slug in MODELS and MODELS[slug].abbreviation
    ]


@promised
def viewer_page(study):
    """The page of responses, if the study wants one."""
    return [f"results/{study.name}/viewer/index.html"] if study.viewer else []

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
        local = model and local_folder(STUDIES[wildcards.study], model)
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

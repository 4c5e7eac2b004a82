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
    sets = STUDIES[study].preferences
    cut = {name: preference_shards(row) for name, row in sets.items()}
    return mix_inputs(study, STUDIES[study].mixes[mix], shards(study), shards_of=cut)


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
        terms=lambda wildcards: terms_of(
            [*mix_of(wildcards).models(), *mix_of(wildcards).sampled()]
        ),
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

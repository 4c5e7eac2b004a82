# Prompts: the shards of a study, and what is told of them.
@promised
def prepared_prompts(study):
    """The shards and the account of a study's prompts."""
    if not study.prompts:
        return []
    folder = f"results/{study.name}/prompts"
    return [
        *(f"{folder}/shards/{name}.parquet" for name in shard_names(study.prompts)),
        *(f"{folder}/{name}" for name in ("report.json", "report.csv", "report.md")),
        f"{folder}/failures.parquet",
    ]


def shards(study):
    """The names of a study's shards of prompts."""
    prompts = STUDIES[study].prompts
    return shard_names(prompts) if prompts else []


def prompt_shards(wildcards):
    """All shards of a study's prompts."""
    return [
        f"results/{wildcards.study}/prompts/shards/{shard}.parquet"
        for shard in shards(wildcards.study)
    ]

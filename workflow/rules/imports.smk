# Responses that others released, instead of generating: one shard per import, for each of its models.
# One rule per import, because its models are the study's: see prompts.smk.
for name, study in STUDIES.items():
    for number, files in enumerate(IMPORTS[name]):

        rule:
            name:
                f"import_{name.replace('-', '_')}_{number}"
            input:
                config=ancient(f"results/{name}/config.yaml"),
                files=lambda wildcards, files=files, source=study.imports[
                    number
                ]: plain(import_files(source, files)),
            output:
                prompts=f"results/{name}/prompts/shards/{shard_name(number)}.parquet",
                responses=expand(
                    "results/{study}/responses/{model}/{shard}.parquet",
                    study=name,
                    model=[file.model for file in files],
                    shard=shard_name(number),
                ),
                manifests=expand(
                    "results/{study}/imports/{shard}/{model}.json",
                    study=name,
                    model=[file.model for file in files],
                    shard=shard_name(number),
                ),
                counts=f"results/{name}/imports/{shard_name(number)}.csv",
            log:
                f"logs/{name}/import/{number}.log",
            benchmark:
                f"logs/{name}/import/{number}.benchmark.tsv"
            conda:
                conda_of("workflow")
            resources:
                mem_mb=memory(f"import_{name.replace('-', '_')}_{number}", 4000),
                runtime=minutes(f"import_{name.replace('-', '_')}_{number}", 60),
            params:
                number=number,
                odd=lambda wildcards, files=files: odd(sorted({f.path for f in files})),
                settings=lambda wildcards, source=study.imports[number]: (
                    source.model_dump_json()
                ),
            message:
                f"{name}: importing the responses of {len(files)} models ({study.imports[number].name})"
            shell:
                "rewild import {input.config:q} {params.number:q} > {log:q} 2>&1"


# One job for all models: each is quickly counted.
for name, study in STUDIES.items():
    if study.imports:

        rule:
            name:
                f"collect_imports_{name.replace('-', '_')}"
            input:
                counts=expand(
                    "results/{study}/imports/{shard}.csv",
                    study=name,
                    shard=[shard_name(number) for number in range(len(study.imports))],
                ),
                responses=[
                    f"results/{name}/responses/{file.model}/{shard_name(number)}.parquet"
                    for number, files in enumerate(IMPORTS[name])
                    for file in files
                ],
            output:
                manifests=manifests(name),
                models=report(
                    f"results/{name}/imports/models.csv",
                    caption="../report/imported_models.rst",
                    category="Responses",
                    labels={"table": "imported models"},
                ),
            log:
                f"logs/{name}/collect_imports.log",
            benchmark:
                f"logs/{name}/collect_imports.benchmark.tsv"
            localrule: True
            conda:
                conda_of("workflow")
            resources:
                mem_mb=memory(f"collect_imports_{name.replace('-', '_')}", 1000),
                runtime=minutes(f"collect_imports_{name.replace('-', '_')}", 10),
            params:
                folder=lambda wildcards, output: Path(output.models).parents[1],
            message:
                f"{name}: counting the imported responses"
            shell:
                "rewild --words <(words {input.counts:q}) collect-imports --folder {params.folder:q}"
                " > {log:q} 2>&1"

# Released files, one rule per collection: results/downloads/OWNER/REPO/COMMIT/PATH, the same for every study.
# The mirror comes through the environment: where a file was brought from does not make it another file.
for collection, files in RELEASED.items():

    rule:
        name:
            f"fetch_{collection.replace('-', '_')}"
        output:
            files=[f"results/downloads/{file.name}" for file in files],
        log:
            f"logs/fetch/{collection}.log",
        benchmark:
            f"logs/fetch/{collection}.benchmark.tsv"
        localrule: True  # nodes of a cluster may have no network
        conda:
            conda_of("workflow")
        resources:
            mem_mb=memory(f"fetch_{collection.replace('-', '_')}", 500),
            runtime=minutes(f"fetch_{collection.replace('-', '_')}", 30),
        params:
            collection=collection,
        message:
            "Fetching {params.collection}"
        shell:
            "rewild fetch {params.collection:q} 2>&1 | tee {log:q} >&2"

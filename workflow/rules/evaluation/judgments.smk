# Who is preferred, and in which words: from the judgments that were released.
rule compare_preferences:
    input:
        judgments=released("wildchat-50m", "combined_preferences.csv"),
        pages=released("wildchat-50m", ".html"),
        published=own("workflow/rewild/papers/wildchat50m/data/table4.csv"),
    output:
        preferences=report(
            "results/{study}/judgments/preferences.csv",
            caption="../../report/preferences.rst",
            category="Judgments",
            labels={"table": "preference rates"},
        ),
        checks=report(
            "results/{study}/judgments/checks.csv",
            caption="../../report/preference_checks.rst",
            category="Judgments",
            labels={"table": "what else the files say of Table 4"},
        ),
    log:
        "logs/{study}/compare_preferences.log",
    benchmark:
        "logs/{study}/compare_preferences.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_preferences", 500),
        runtime=minutes("compare_preferences", 5),
    params:
        out=subpath(output.preferences, parent=True),
        code=code("preferences"),
    message:
        "{wildcards.study}: computing preference rates"
    shell:
        "rewild preferences {input.judgments:q} {input.pages:q} --published {input.published:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule compare_words:
    input:
        judgments=released("wildchat-50m", "combined_preferences.csv"),
        named=own("workflow/rewild/papers/wildchat50m/data/named_words.csv"),
    output:
        words=report(
            "results/{study}/judgments/words.csv",
            caption="../../report/words.rst",
            category="Judgments",
            labels={"table": "words"},
        ),
        named=report(
            "results/{study}/judgments/named_words.csv",
            caption="../../report/named_words.rst",
            category="Judgments",
            labels={"table": "words the paper names"},
        ),
    log:
        "logs/{study}/compare_words.log",
    benchmark:
        "logs/{study}/compare_words.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_words", 500),
        runtime=minutes("compare_words", 5),
    params:
        minimum=lambda wildcards: STUDIES[wildcards.study].judgments.minimum,
        out=subpath(output.words, parent=True),
        code=code("words"),
    message:
        "{wildcards.study}: comparing the words of judgments"
    shell:
        "rewild words {input.judgments:q} --named {input.named:q} --minimum {params.minimum:q}"
        " --out {params.out:q} > {log:q} 2>&1"

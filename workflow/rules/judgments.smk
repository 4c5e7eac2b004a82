# Who is preferred (Table 4), and in which words (Figures 3 and 4): from the judgments that were released.
rule compare_preferences:
    input:
        judgments=released("wildchat-50m", "combined_preferences.csv"),
        pages=released("wildchat-50m", ".html"),
        published="resources/paper/table4.csv",
    output:
        preferences=report(
            "results/{study}/judgments/preferences.csv",
            caption="../report/preferences.rst",
            category="Judgments",
            labels={"table": "preference rates"},
        ),
        checks=report(
            "results/{study}/judgments/checks.csv",
            caption="../report/preference_checks.rst",
            category="Judgments",
            labels={"table": "what else the files say of Table 4"},
        ),
        cells="results/{study}/cells/table4.csv",
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
    message:
        "{wildcards.study}: computing preference rates"
    shell:
        "rewild preferences {input.judgments:q} {input.pages:q} --published {input.published:q}"
        " --out {params.out:q} --cells {output.cells:q} > {log:q} 2>&1"


rule compare_words:
    input:
        judgments=released("wildchat-50m", "combined_preferences.csv"),
        named="resources/paper/named_words.csv",
    output:
        words=report(
            "results/{study}/judgments/words.csv",
            caption="../report/words.rst",
            category="Judgments",
            labels={"table": "words"},
        ),
        named=report(
            "results/{study}/judgments/named_words.csv",
            caption="../report/named_words.rst",
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
    message:
        "{wildcards.study}: comparing the words of judgments"
    shell:
        "rewild words {input.judgments:q} --named {input.named:q} --minimum {params.minimum:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule draw_words:
    input:
        words=words_of,
        code=code("evaluation/judgments/figures.py", "core/plotting.py"),
    output:
        svg=report(
            "results/{study}/figures/{figure}.svg",
            caption="../report/words_figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "shows": "words of judgments, as a cloud"},
        ),
        pdf="results/{study}/figures/{figure}.pdf",
        png="results/{study}/figures/{figure}.png",
        bars_svg=report(
            "results/{study}/figures/{figure}-bars.svg",
            caption="../report/words_figure.rst",
            category="Figures",
            labels={"figure": "{figure}", "shows": "words of judgments, counted"},
        ),
        bars_pdf="results/{study}/figures/{figure}-bars.pdf",
        bars_png="results/{study}/figures/{figure}-bars.png",
    log:
        "logs/{study}/draw_words/{figure}.log",
    benchmark:
        "logs/{study}/draw_words/{figure}.benchmark.tsv"
    wildcard_constraints:
        figure="figure[34]",
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_words", 700),
        runtime=minutes("draw_words", 5),
    params:
        most=lambda wildcards: words_shown(wildcards)[0],
        seed=lambda wildcards: STUDIES[wildcards.study].seed,
        model=lambda wildcards: words_shown(wildcards)[1],
        source=lambda wildcards: STUDIES[wildcards.study].source,
        own=lambda wildcards: (
            "--own" if STUDIES[wildcards.study].source == "computed" else ""
        ),
        out=subpath(output.svg, parent=True),
    message:
        "{wildcards.study}: drawing {wildcards.figure}"
    shell:
        "rewild draw-words {input.words:q} {params.own:q} --figure {wildcards.figure:q} --most {params.most:q}"
        " --seed {params.seed:q} --out {params.out:q} > {log:q} 2>&1"

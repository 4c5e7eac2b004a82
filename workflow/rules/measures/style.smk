# Style, judgments and win rates, from released files.
@promised
def style_judgments_win_rates(study):
    """What the study asks for of these three, as far as released files hold it."""
    folder = f"results/{study.name}"
    files = []
    if study.source != "released":
        return files
    if study.style:
        files += [
            f"{folder}/style/{name}.csv"
            for name in ("counts", "rates", "shares", "proportional")
        ]
    if study.judgments:
        files += [
            f"{folder}/judgments/{name}.csv"
            for name in ("preferences", "checks", "words", "named_words")
        ]
    if study.win_rates:
        files += [
            f"{folder}/win_rates/{name}"
            for name in ("win_rates.csv", "agreement.csv", "win_rates.md")
        ]
        if study.win_rates.library:
            files.append(f"{folder}/win_rates/library.csv")
    return files


# Markdown styling (Table 3): of the judged pages that were released, and of the responses that a study has.
rule count_style:
    input:
        pages=released("wildchat-50m", ".html"),
    output:
        counts=report(
            "results/{study}/style/counts.csv",
            caption="../../report/style_counts.rst",
            category="Style",
            labels={"table": "counts"},
        ),
        rates="results/{study}/style/rates.csv",
        shares=report(
            "results/{study}/style/shares.csv",
            caption="../../report/style_shares.rst",
            category="Style",
            labels={"table": "what is not the model's"},
        ),
    log:
        "logs/{study}/count_style.log",
    benchmark:
        "logs/{study}/count_style.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("count_style", 500),
        runtime=minutes("count_style", 5),
    params:
        model="Q72 : None",
        out=subpath(output.counts, parent=True),
        code=code("style"),
    message:
        "{wildcards.study}: counting styling in judged pages of {params.model}"
    shell:
        "rewild style {input.pages:q} --model {params.model:q} --out {params.out:q} > {log:q} 2>&1"


rule compare_style:
    input:
        counts="results/{study}/style/counts.csv",
        published=own("workflow/rewild/papers/wildchat50m/data/table3.csv"),
    output:
        proportional=report(
            "results/{study}/style/proportional.csv",
            caption="../../report/style_proportional.rst",
            category="Style",
            labels={"table": "proportional frequencies"},
        ),
    log:
        "logs/{study}/compare_style.log",
    benchmark:
        "logs/{study}/compare_style.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("compare_style", 500),
        runtime=minutes("compare_style", 5),
    params:
        code=code("proportional"),
    message:
        "{wildcards.study}: comparing the styling of pairs of models"
    shell:
        "rewild proportional {input.counts:q} --published {input.published:q}"
        " --out {output.proportional:q} > {log:q} 2>&1"


rule count_response_style:
    input:
        responses=group_responses,
        models=configured("models.yaml"),
        imported=imported_models,
    output:
        counts=report(
            "results/{study}/style/{group}/responses.csv",
            caption="../../report/style_responses.rst",
            category="Style",
            subcategory="{group}",
            labels={"table": "responses"},
        ),
        rates="results/{study}/style/{group}/response_rates.csv",
        proportional=report(
            "results/{study}/style/{group}/response_proportional.csv",
            caption="../../report/style_responses_proportional.rst",
            category="Style",
            subcategory="{group}",
            labels={"table": "responses, proportional frequencies"},
        ),
        elements=report(
            "results/{study}/style/{group}/elements.svg",
            caption="../../report/style_elements.rst",
            category="Style",
            subcategory="{group}",
            labels={"table": "responses (heat map)"},
        ),
        ratios=report(
            "results/{study}/style/{group}/proportional.svg",
            caption="../../report/style_responses_proportional.rst",
            category="Style",
            subcategory="{group}",
            labels={"table": "responses, proportional frequencies (heat map)"},
        ),
        others=expand(
            "results/{{study}}/style/{{group}}/{figure}.{suffix}",
            figure=("elements", "proportional"),
            suffix=("pdf", "png"),
        ),
    log:
        "logs/{study}/count_response_style/{group}.log",
    benchmark:
        "logs/{study}/count_response_style/{group}.benchmark.tsv"
    conda:
        conda_of("workflow")
    threads: 4
    resources:
        mem_mb=memory("count_response_style", 2000),
        runtime=minutes("count_response_style", 60),
    params:
        out=subpath(output.counts, parent=True),
        imported=imported_argument,
        code=code("style-responses"),
    message:
        "{wildcards.study}: counting the styling of responses ({wildcards.group})"
    shell:
        "rewild --words <(words {input.responses:q}) style-responses {params.imported:q}"
        " --out {params.out:q} --cores {threads:q} > {log:q} 2>&1"

# What a study shows of which papers: tables, figures, claims. Files are named by the papers' rooms (rewild.papers.room);
# results lie in results/{study}/{paper}.
ROOMS = "workflow/rewild/papers"


def case_of(study):
    """A study, as a paper's room asks about it."""
    return Case(STUDIES[study], ROSTERS[study], BENCHMARKS, released, CONFIG)


def table_part(wildcards):
    """How a study computes the cells of a table."""
    source = STUDIES[wildcards.study].source
    return PAPERS[wildcards.paper].part("table", wildcards.table, source)


def figure_part(wildcards):
    """How a study draws a figure."""
    source = STUDIES[wildcards.study].source
    return PAPERS[wildcards.paper].part("figure", wildcards.figure, source)


def found(path):
    """A file of a study's results, or of the workflow itself."""
    return placed(path) if path.startswith(("results/", CONFIG)) else own(path)


def files_of_part(part):
    """An input function: what a table's cells or a figure are made from."""
    return lambda wildcards: [
        found(path)
        for paths in part(wildcards).files(case_of(wildcards.study)).values()
        for path in paths
    ]


def words_of_part(part):
    """The same as arguments, NAME=PATH: where the job finds them."""

    def find(wildcards, input):
        named = part(wildcards).files(case_of(wildcards.study))
        names = [name for name, paths in named.items() for _ in paths]
        return [f"{name}={path}" for name, path in zip(names, input.get("files", []))]

    return find


def code_of_part(command, part):
    """A parameter: the code of the command, and of the module that makes a table's cells or a figure."""
    return lambda wildcards: code_of(
        command,
        f"papers/{wildcards.paper}/{part(wildcards).make.partition(':')[0]}",
    )


def settings_of_part(part):
    """The settings that decide on a table's cells or a figure."""
    return lambda wildcards: repr(part(wildcards).settings(case_of(wildcards.study)))


def computed_cells(wildcards):
    """The computed cells of a table; none where the study shows published numbers only."""
    if STUDIES[wildcards.study].source == "published":
        return []
    folder = f"results/{wildcards.study}/{wildcards.paper}"
    return [f"{folder}/cells/{wildcards.table}.csv"]


def table_title(wildcards):
    """What a table shows: the paper's runs, or a study's own."""
    paper, table = PAPERS[wildcards.paper], wildcards.table
    own = paper.own.titles if STUDIES[wildcards.study].source == "computed" else {}
    return own.get(table, paper.specs.tables[table].title)


def figure_caption(wildcards):
    """What the report says below a figure."""
    text = PAPERS[wildcards.paper].texts[wildcards.figure]
    return text.captions.get(STUDIES[wildcards.study].source, text.shows)


def figure_labels(wildcards):
    """What the report lists a figure by."""
    shows = PAPERS[wildcards.paper].texts[wildcards.figure].shows
    return {"figure": wildcards.figure, "shows": shows}


def audit_evidence(wildcards):
    """What a study's evidence of a paper is, by name: its tables, facts and models, and what its room says."""
    paper = PAPERS[wildcards.paper]
    data = f"{ROOMS}/{paper.name}/data"
    facts = {"facts": [f"{data}/facts.yaml"]} if paper.has_facts else {}
    return {
        "tables": [f"{data}/{table}.csv" for table in paper.specs.tables],
        "models": [f"{CONFIG}/models.yaml"],
        **facts,
        **paper.supply(case_of(wildcards.study)),
    }


def audit_words(wildcards, input):
    """The same as arguments, NAME=PATH. Tables and judged pages are read as a whole: the folder of the first."""
    given, words = iter(input.evidence), []
    for name, paths in audit_evidence(wildcards).items():
        found = [next(given) for _ in paths]
        if found:
            whole = name == "tables" or len(found) > 1
            words.append(f"{name}={Path(found[0]).parent if whole else found[0]}")
    return words


def papers_shown(study, part, kind="figures"):
    """Files of each table or figure that a study shows: of the folder `part`, with these suffixes."""
    folder = f"results/{study.name}"
    for name, show in SHOWN[study.name].items():
        for one in getattr(show, kind):
            yield from (f"{folder}/{name}/{kind}/{one}.{suffix}" for suffix in part)


@promised
def papers_of_study(study):
    """Tables, figures and audits of the papers that a study shows, and what belongs to them."""
    folder = f"results/{study.name}"
    files = [*papers_shown(study, ("csv", "md", "tex", "html"), "tables")]
    files += papers_shown(study, ("svg", "pdf", "png", "csv"))
    for name, show in SHOWN[study.name].items():
        if show.audit:
            files += [
                f"{folder}/{name}/audit/audit.{s}" for s in ("json", "md", "html")
            ]
        if study.source == "published" and show.paper.figures:
            files.append(f"{folder}/{name}/figures/README.md")
    if study.source == "released" and "wildchat50m" in SHOWN[study.name]:
        files += [
            f"{folder}/scores/{name}.csv"
            for name in ("scores", "sheets", "averages", "subsets")
        ]
    return files


# The released scores of WILDCHAT-50M made tidy, and which averages they and the paper report.
rule tidy_scores:
    input:
        workbook=released("wildchat-50m", "wc50m_results.xlsx"),
        runs=own(f"{ROOMS}/wildchat50m/data/runs.csv"),
    output:
        scores="results/{study}/scores/scores.csv",
        sheets="results/{study}/scores/sheets.csv",
    log:
        "logs/{study}/tidy_scores.log",
    benchmark:
        "logs/{study}/tidy_scores.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("tidy_scores", 500),
        runtime=minutes("tidy_scores", 5),
    params:
        code=code("released-scores"),
    message:
        "{wildcards.study}: making the released scores tidy"
    shell:
        "rewild released-scores {input.workbook:q} --runs {input.runs:q}"
        " --out {output.scores:q} --out-sheets {output.sheets:q} > {log:q} 2>&1"


rule identify_averages:
    input:
        scores="results/{study}/scores/scores.csv",
        table6=own(f"{ROOMS}/wildchat50m/data/table6.csv"),
        table7=own(f"{ROOMS}/wildchat50m/data/table7.csv"),
        stated=own(f"{ROOMS}/wildchat50m/data/averages.csv"),
    output:
        averages="results/{study}/scores/averages.csv",
        subsets="results/{study}/scores/subsets.csv",
    log:
        "logs/{study}/identify_averages.log",
    benchmark:
        "logs/{study}/identify_averages.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("identify_averages", 500),
        runtime=minutes("identify_averages", 5),
    params:
        code=code("averages"),
    message:
        "{wildcards.study}: finding which averages the paper reports"
    shell:
        "rewild averages --scores {input.scores:q}"
        " --table6 {input.table6:q} --table7 {input.table7:q} --stated {input.stated:q}"
        " --out {output.averages:q} --out-subsets {output.subsets:q} > {log:q} 2>&1"


# A paper's tables: as published, or computed beside the published numbers.
rule fill_table:
    input:
        files=files_of_part(table_part),
        published=own(f"{ROOMS}/{{paper}}/data/{{table}}.csv"),
    output:
        cells="results/{study}/{paper}/cells/{table}.csv",
    log:
        "logs/{study}/fill_table/{paper}/{table}.log",
    benchmark:
        "logs/{study}/fill_table/{paper}/{table}.benchmark.tsv"
    wildcard_constraints:
        study=studies_of("released", "computed"),
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("fill_table", 700),
        runtime=minutes("fill_table", 10),
    params:
        files=words_of_part(table_part),
        settings=settings_of_part(table_part),
        code=code_of_part("cells", table_part),
    message:
        "{wildcards.study}: computing {wildcards.table} of {wildcards.paper}"
    shell:
        "rewild --words <(words {params.files:q}) cells {wildcards.paper:q} {wildcards.table:q} {wildcards.study:q}"
        " --out {output.cells:q} > {log:q} 2>&1"


rule make_table:
    input:
        published=own(f"{ROOMS}/{{paper}}/data/{{table}}.csv"),
        specs=own(f"{ROOMS}/{{paper}}/data/tables.yaml"),
        computed=computed_cells,
    output:
        csv=report(
            "results/{study}/{paper}/tables/{table}.csv",
            caption="../report/table.rst",
            category="Tables",
            subcategory="{paper}",
            labels={"table": "{table}", "form": "every digit (CSV)"},
        ),
        md="results/{study}/{paper}/tables/{table}.md",
        tex="results/{study}/{paper}/tables/{table}.tex",
        html=report(
            "results/{study}/{paper}/tables/{table}.html",
            caption="../report/table.rst",
            category="Tables",
            subcategory="{paper}",
            labels={"table": "{table}", "form": "page"},
        ),
    log:
        "logs/{study}/make_table/{paper}/{table}.log",
    benchmark:
        "logs/{study}/make_table/{paper}/{table}.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("make_table", 500),
        runtime=minutes("make_table", 5),
    params:
        computed=lambda wildcards, input: [
            f"--computed={f}" for f in input.get("computed", [])
        ],
        own=lambda wildcards: (
            "--own" if STUDIES[wildcards.study].source == "computed" else ""
        ),
        cite=lambda wildcards: PAPERS[wildcards.paper].cite,
        title=table_title,
        source=lambda wildcards: STUDIES[wildcards.study].source,
        code=code("table"),
    message:
        "{wildcards.study}: making {wildcards.table} of {wildcards.paper}"
    shell:
        "rewild table {wildcards.paper:q} {wildcards.table:q} --published {input.published:q} --specs {input.specs:q}"
        " {params.computed:q} {params.own:q} --out-csv {output.csv:q} --out-md {output.md:q} --out-tex {output.tex:q}"
        " --out-html {output.html:q} > {log:q} 2>&1"


# A paper's figures. What it does not publish of them, a study of published numbers says in a note.
rule draw_figure:
    input:
        files=files_of_part(figure_part),
    output:
        svg=report(
            "results/{study}/{paper}/figures/{figure}.svg",
            caption="../report/figure.rst",
            category="Figures",
            subcategory="{paper}",
            labels=figure_labels,
        ),
        pdf="results/{study}/{paper}/figures/{figure}.pdf",
        png="results/{study}/{paper}/figures/{figure}.png",
        csv="results/{study}/{paper}/figures/{figure}.csv",
    log:
        "logs/{study}/draw_figure/{paper}/{figure}.log",
    benchmark:
        "logs/{study}/draw_figure/{paper}/{figure}.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("draw_figure", 700),
        runtime=minutes("draw_figure", 5),
    params:
        stem=lambda wildcards, output: Path(output.svg).with_suffix(""),
        files=words_of_part(figure_part),
        settings=settings_of_part(figure_part),
        caption=figure_caption,
        code=code_of_part("figure", figure_part),
    message:
        "{wildcards.study}: drawing {wildcards.figure} of {wildcards.paper}"
    shell:
        "rewild --words <(words {params.files:q}) figure {wildcards.paper:q} {wildcards.figure:q} {wildcards.study:q}"
        " --out {params.stem:q} > {log:q} 2>&1"


rule note_figures:
    input:
        texts=own(f"{ROOMS}/{{paper}}/data/figures.yaml"),
    output:
        md="results/{study}/{paper}/figures/README.md",
    log:
        "logs/{study}/note_figures/{paper}.log",
    benchmark:
        "logs/{study}/note_figures/{paper}.benchmark.tsv"
    localrule: True
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("note_figures", 300),
        runtime=minutes("note_figures", 5),
    params:
        code=code("figure-notes"),
    message:
        "{wildcards.study}: noting what {wildcards.paper} does not publish of its figures"
    shell:
        "rewild figure-notes {wildcards.paper:q} --out {output.md:q} > {log:q} 2>&1"


# A paper's claims, checked on what the study has. Other evidence gives other verdicts, never another exit status.
rule audit_claims:
    input:
        claims=own(f"{ROOMS}/{{paper}}/data/claims.yaml"),
        evidence=lambda wildcards: [
            found(path)
            for paths in audit_evidence(wildcards).values()
            for path in paths
        ],
    output:
        html=report(
            "results/{study}/{paper}/audit/audit.html",
            caption="../report/audit.rst",
            category="Audit",
            subcategory="{paper}",
            labels={"claims": "all, with evidence"},
        ),
        md="results/{study}/{paper}/audit/audit.md",
        json="results/{study}/{paper}/audit/audit.json",
    log:
        "logs/{study}/audit_claims/{paper}.log",
    benchmark:
        "logs/{study}/audit_claims/{paper}.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("audit_claims", 700),
        runtime=minutes("audit_claims", 5),
    params:
        evidence=audit_words,
        out=subpath(output.json, parent=True),
        code=lambda wildcards: code_of("audit", f"papers/{wildcards.paper}"),
    message:
        "{wildcards.study}: checking the claims of {wildcards.paper}"
    shell:
        "rewild audit {wildcards.paper:q} {params.evidence:q} --study {wildcards.study:q} --claims {input.claims:q}"
        " --out-dir {params.out:q} > {log:q} 2>&1"

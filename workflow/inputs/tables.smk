# Tables and figures of the paper.
def computed_cells(wildcards):
    """The computed cells of a table; none where the study shows published numbers only."""
    if STUDIES[wildcards.study].source == "published":
        return []
    return [f"results/{wildcards.study}/cells/{wildcards.table}.csv"]


def table_title(wildcards):
    """What a table shows: the paper's runs, or a study's own."""
    own = OWN_TITLES if STUDIES[wildcards.study].source == "computed" else {}
    return own.get(wildcards.table, TABLE_TITLES[wildcards.table])


def scaling_inputs(wildcards):
    """What Figure 2 is drawn from: scores, or the printed tables."""
    if STUDIES[wildcards.study].source == "published":
        printed = [f"resources/paper/{name}.csv" for name in ("table2", "table7")]
        return {"scores": [], "published": printed}
    scores = [f"results/{wildcards.study}/scores/scores.csv"]
    return {"scores": scores, "published": []}


@promised
def tables_and_figures(study):
    """Tables 1 to 7 and Figures 1 and 2, as far as the study makes them, and what belongs to them."""
    folder = f"results/{study.name}"
    files = [
        f"{folder}/tables/{table}.{suffix}"
        for table in study.tables
        for suffix in ("csv", "md", "tex", "html")
    ]
    files += [
        f"{folder}/figures/{figure}.{suffix}"
        for figure in study.figures
        if figure in ("figure1", "figure2")
        for suffix in ("svg", "pdf", "png", "csv")
    ]
    if study.source == "published":
        files.append(f"{folder}/figures/README.md")
    elif study.source == "released":
        files += [
            f"{folder}/scores/{name}.csv"
            for name in ("scores", "sheets", "averages", "subsets")
        ]
    return files

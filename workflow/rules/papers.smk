# The audit: what evidence a study has.
def audit_evidence(name):
    """An input function: a piece of evidence that a study has beside the printed tables; none where it lacks it."""
    downloads = {
        "workbook": ("wildchat-50m", ".xlsx"),
        "preferences": ("wildchat-50m", "combined_preferences.csv"),
        "pages": ("wildchat-50m", ".html"),
        "leaderboard": ("alpaca-eval-leaderboard", "_leaderboard.csv"),
    }
    results = {
        "style": ("style", "style/counts.csv"),
        "words": ("judgments", "judgments/words.csv"),
        "named_words": ("judgments", "judgments/named_words.csv"),
    }

    def find(wildcards):
        study = STUDIES[wildcards.study]
        if name in downloads:
            collection, suffix = downloads[name]
            return (
                released(collection, suffix) if collection in study.collections else []
            )
        section, path = results[name]
        made = study.source == "released" and getattr(study, section)
        return f"results/{study.name}/{path}" if made else []

    return find


def named_evidence(files):
    """Name and path of each piece of evidence among a job's inputs; of many files, their folder."""
    for name, given in files.items():
        if name == "claims":
            continue
        many = [given] if isinstance(given, str) else list(given)
        if not many:
            continue
        path = Path(many[0])
        yield {"published": "tables"}.get(name, name), (
            path if len(many) == 1 else path.parent
        )


@promised
def audit_report(study):
    """The audit's verdicts, if the study tests the paper's claims."""
    return [
        f"results/{study.name}/audit/audit.{suffix}"
        for suffix in ("json", "md", "html")
        if study.audit
    ]


# The paper's claims, tested on what the study has. Other evidence gives other verdicts, never another exit status.
rule audit_claims:
    input:
        claims=lambda wildcards: plain([STUDIES[wildcards.study].audit.claims]),
        published=[own(f"resources/paper/table{n}.csv") for n in range(1, 8)],
        models=configured("models.yaml"),
        facts=own("resources/paper/facts.yaml"),
        workbook=audit_evidence("workbook"),
        preferences=audit_evidence("preferences"),
        pages=audit_evidence("pages"),
        leaderboard=audit_evidence("leaderboard"),
        style=audit_evidence("style"),
        words=audit_evidence("words"),
        named_words=audit_evidence("named_words"),
    output:
        html=report(
            "results/{study}/audit/audit.html",
            caption="../report/audit.rst",
            category="Audit",
            labels={"claims": "all, with evidence"},
        ),
        md="results/{study}/audit/audit.md",
        json="results/{study}/audit/audit.json",
    log:
        "logs/{study}/audit_claims.log",
    benchmark:
        "logs/{study}/audit_claims.benchmark.tsv"
    conda:
        conda_of("workflow")
    resources:
        mem_mb=memory("audit_claims", 700),
        runtime=minutes("audit_claims", 5),
    params:
        claims=lambda wildcards: STUDIES[wildcards.study].audit.claims,
        odd=lambda wildcards: odd([STUDIES[wildcards.study].audit.claims]),
        # Folders go by their first file: tables and judged pages are read as a whole.
        evidence=lambda wildcards, input: [
            f"{name}={path}" for name, path in named_evidence(input)
        ],
        out=subpath(output.json, parent=True),
        code=code("audit", "papers"),
    message:
        "{wildcards.study}: testing the paper's claims"
    shell:
        "rewild audit {params.evidence:q} --study {wildcards.study:q} --claims {params.claims:q}"
        " --out-dir {params.out:q} > {log:q} 2>&1"

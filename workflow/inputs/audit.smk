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

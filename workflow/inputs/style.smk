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
        files += [
            f"{folder}/figures/{figure}{form}.{suffix}"
            for figure in study.figures
            if figure in ("figure3", "figure4")
            for form in ("", "-bars")
            for suffix in ("svg", "pdf", "png")
        ]
    if study.win_rates:
        files += [
            f"{folder}/win_rates/{name}"
            for name in ("win_rates.csv", "agreement.csv", "win_rates.md")
        ]
        if study.win_rates.library:
            files.append(f"{folder}/win_rates/library.csv")
    return files

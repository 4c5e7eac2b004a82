"""Commands that make preference pairs: prompts, answers, scores, pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewild.cli.mixes import Only, Part

if TYPE_CHECKING:
    from rewild.config import Study
    from rewild.config.preferences import Preference

app = typer.Typer()
StudyName = Annotated[str, typer.Argument(help="A study's name, or its resolved config.yaml")]
SetName = Annotated[str, typer.Argument(help="A set of preference pairs of the study")]
Shard = Annotated[str, typer.Argument(help="A shard of the set, such as 0000")]
ConfigFolder = Annotated[
    Path, typer.Option("--config", help="The folder of config.yaml, models.yaml, studies/")
]
Results = Annotated[Path, typer.Option(help="The folder of results")]
Threads = Annotated[int | None, typer.Option(help="CPU threads (default: all)")]


def _find(study: str, name: str, config: Path) -> tuple[Study, Preference]:
    from rewild.config import read_study
    from rewild.core.errors import ConfigError, nearest

    found = read_study(study, config)
    if name not in found.preferences:
        known = ", ".join(found.preferences) or "none"
        hint = nearest(name, found.preferences)
        raise ConfigError(f"study {found.name}: unknown preference pairs '{name}'{hint} (sets: {known})")
    return found, found.preferences[name]


def _folder(results: Path, study: Study, name: str) -> Path:
    return results / study.name / "preferences" / name


@app.command("preference-prompts")
def preference_prompts(
    study: StudyName,
    name: SetName,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Draw the prompts of a set of preference pairs from the study's."""
    from rewild.config.prompts import shard_names
    from rewild.core.errors import ConfigError
    from rewild.training.preferences.answers import draw_prompts
    from rewild.training.preferences.job import seed_of

    found, row = _find(study, name, config)
    if found.prompts is None:
        raise ConfigError(f"study {found.name}: it has no section 'prompts' to draw from")
    shards = [
        results / found.name / "prompts" / "shards" / f"{s}.parquet" for s in shard_names(found.prompts)
    ]
    out = _folder(results, found, name) / "prompts.parquet"
    outcomes = draw_prompts(name, row, shards, out, seed=seed_of(found, row))
    typer.echo(f"{name}: " + ", ".join(f"{n:,} {what}" for what, n in outcomes.items()))


@app.command("preference-answers")
def preference_answers(
    study: StudyName,
    name: SetName,
    shard: Shard,
    *,
    results: Results = Path("results"),
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Answer a shard's prompts several times each. Killed, it goes on from the last finished chunk."""
    from rewild.cli.responses import _job, _log
    from rewild.generation.prepared import open_kitchen
    from rewild.training.preferences.answers import sample_answers
    from rewild.training.preferences.job import preference_job, seed_of

    _log()
    found, row = _find(study, name, config)
    job = preference_job(_job(study, row.model, config), row, seed_of(found, row))
    folder = _folder(results, found, name)
    work = results / found.name / "work" / "preferences" / name / shard
    frame = sample_answers(
        open_kitchen(job, threads),
        row,
        folder / "prompts.parquet",
        shard=shard,
        work=work,
        out=folder / "answers" / f"{shard}.parquet",
    )
    failed = frame["failure"].is_not_null().sum()
    typer.echo(f"{name}, shard {shard}: {frame.height:,} answers asked for, {failed:,} failed")


@app.command("preference-scores")
def preference_scores(
    study: StudyName,
    name: SetName,
    shard: Shard,
    *,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Grade a shard's answers with the set's scorer."""
    from functools import partial

    from rewild.config import load_models
    from rewild.config.judging import asked_judge
    from rewild.config.preferences import Judge
    from rewild.training.preferences.pairs import score_answers
    from rewild.training.preferences.scorers import make_scorer

    found, row = _find(study, name, config)
    folder = _folder(results, found, name)
    asked = asked_judge(row.scorer.model, load_models(config)) if isinstance(row.scorer, Judge) else None
    work = results / found.name / "work" / "grades" / name / shard
    scores = score_answers(
        partial(make_scorer, row.scorer, work, asked),
        row,
        folder / "prompts.parquet",
        folder / "answers" / f"{shard}.parquet",
        folder / "scores" / f"{shard}.parquet",
    )
    failed = scores["score"].is_null().sum()
    typer.echo(
        f"{name}, shard {shard}: {scores.height - failed:,} answers graded, {failed:,} without a grade"
    )


@app.command("preference-pairs")
def preference_pairs(
    study: StudyName,
    name: SetName,
    *,
    only: Only = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Pair the best answer to each prompt with the worst, with a card that says what became of the rest."""
    from rewild.config import load_models
    from rewild.training.mixes.tokens import open_tokenizer
    from rewild.training.preferences.pairs import pair, write_pairs_card

    found, row = _find(study, name, config)
    folder = _folder(results, found, name)
    if only != Part.CARD:
        pair(found, name, folder)
    if only != Part.DATA:
        models = load_models(config)
        count = open_tokenizer(found, row.tokenizer, models) if row.tokenizer else None
        card = write_pairs_card(found, name, folder, models=models, count=count)
        dropped = "".join(f", {n:,} {reason}" for reason, n in card["dropped"].items())
        typer.echo(f"{name}: {card['pairs']:,} pairs of {card['prompts']:,} prompts{dropped}")

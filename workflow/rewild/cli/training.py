"""Commands of the phase training: mixes, preference pairs, fine-tunes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewild.cli.options import (
    ConfigFolder,
    Out,
    Results,
    RunName,
    StudyName,
    Threads,
    Work,
    log_progress,
    say,
)

if TYPE_CHECKING:
    from rewild.config import Study
    from rewild.config.preferences import Preference
    from rewild.config.trainings import Training
    from rewild.training.runs.layout import RunFiles

app = typer.Typer()
PANEL = "Training: mixes, preference pairs, fine-tunes"


class Part(StrEnum):
    """What is made of a mix or a set of pairs: what is trained on, or the card, which says what it is."""

    DATA = "data"
    CARD = "card"


Only = Annotated[Part | None, typer.Option(help="Make the data, or the card of data that are there")]
SetName = Annotated[str, typer.Argument(help="A set of preference pairs of the study")]
Shard = Annotated[str, typer.Argument(help="A shard of the set, such as 0000")]
Drawn = Annotated[Path | None, typer.Option(help="The prompts that were drawn for the set")]
Folder = Annotated[Path | None, typer.Option(help="The folder that it is in (default: in --results)")]
Mix = Annotated[Path, typer.Option(help="What the run learns from: train.parquet")]
TrainingThreads = Annotated[int, typer.Option(min=1, help="CPU threads, per process")]


@app.command()
def mix(
    study: StudyName,
    name: Annotated[str, typer.Argument(help="A mix of the study")],
    measured: Annotated[
        list[Path] | None, typer.Argument(help="Files of the measures that its filters read")
    ] = None,
    *,
    only: Only = None,
    folder: Folder = None,
    manifests: Annotated[
        list[Path] | None,
        typer.Option("--manifest", help="manifest.json of a model's responses (default: in --results)"),
    ] = None,
    shards: Annotated[
        list[Path] | None, typer.Option("--shard", help="A shard of the study's prompts (default: all there)")
    ] = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Make a training mix from its sources, with a card that says what is in it."""
    from rewild.config import load_models, read_study
    from rewild.config.preferences import preference_shards
    from rewild.core.errors import known_name
    from rewild.core.table import provenance, read_table, write_table
    from rewild.generation.schema import read_manifest
    from rewild.training.mixes.build import build, outcomes_of, sources_frame
    from rewild.training.mixes.card import open_tokenizer, write_card
    from rewild.training.mixes.read import Place
    from rewild.training.mixes.schema import SOURCES

    found = read_study(study, config)
    models = load_models(config, found)
    known_name(name, found.mixes, f"study {found.name}: unknown mix", listed="mixes")
    row, folder = found.mixes[name], folder or results / found.name / "mixes" / name
    if only != Part.CARD:
        given = {read_manifest(path).model: path for path in manifests or []}
        cut = {one: preference_shards(pairs) for one, pairs in found.preferences.items()}
        place = Place(Path(), results / found.name, found.measures, measured or [], given, shards or [], cut)
        outcomes = build(name, row, place, folder, study=found.name, seed=found.seed, say=say)
        made_from = provenance([folder / "train.parquet"])
        write_table(folder / "sources.csv", sources_frame(outcomes), SOURCES, made_from)
    if only != Part.DATA:
        count = open_tokenizer(found, row.tokenizer, models) if row.tokenizer else None
        outcomes = outcomes_of(read_table(folder / "sources.csv", SOURCES))
        card = write_card(folder, name, found, outcomes, models=models, count=count)
        tokens = f", {card['train_tokens']['sum']:,} tokens to train on" if count else ""
        typer.echo(f"{name}: {card['conversations']:,} conversations{tokens}")


@app.command()
def mixes(
    study: StudyName, results: Results = Path("results"), config: ConfigFolder = Path("config")
) -> None:
    """List a study's mixes and sets of preference pairs, and which are made."""
    from rewild.config import read_study
    from rewild.training.mixes.listing import print_mixes

    print_mixes(read_study(study, config), results)


@app.command("fetch-dataset")
def fetch_dataset(
    repository: Annotated[str, typer.Argument(help="OWNER/NAME of a dataset")],
    revision: Annotated[str, typer.Argument(help="Its commit, all 40 digits")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write")],
    subset: Annotated[str, typer.Option(help="The dataset's configuration")] = "default",
    split: Annotated[str, typer.Option(help="The split")] = "train",
) -> None:
    """Stream a dataset of the Hugging Face hub, at a pinned revision, to one file. Needs `datasets`."""
    from rewild.config.base import validate
    from rewild.config.mixes import UNPINNED, FromHub
    from rewild.core.errors import ConfigError
    from rewild.prompts.hub import stream_dataset, whole

    if revision == UNPINNED:
        raise ConfigError(
            f"the dataset {repository} has no commit: put all 40 digits where it is named (`revision` of a "
            "mix's source, or in the place of `unpinned` in a benchmark's files), so that it stays what it is"
        )
    asked = {"kind": "hub", "repository": repository, "revision": revision, "split": split}
    source = validate(FromHub, asked | {"subset": subset, "licence": "-"}, "fetch-dataset")
    stream_dataset(
        repository,
        out,
        revision=revision,
        split=split,
        narrow=whole,
        subset=None if subset == "default" else subset,
        say=lambda line: say(f"{source.label}: {line}"),
    )


def _find(study: str, name: str, config: Path) -> tuple[Study, Preference]:
    from rewild.config import read_study
    from rewild.core.errors import known_name

    found = read_study(study, config)
    known_name(name, found.preferences, f"study {found.name}: unknown preference pairs", listed="sets")
    return found, found.preferences[name]


def _folder(results: Path, study: Study, name: str) -> Path:
    return results / study.name / "preferences" / name


@app.command("preference-prompts")
def preference_prompts(
    study: StudyName,
    name: SetName,
    prompts: Annotated[list[Path] | None, typer.Argument(help="The study's shards of prompts")] = None,
    *,
    measured: Annotated[
        list[Path] | None, typer.Option(help="A file of a measure that the set's filters read")
    ] = None,
    out: Out = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Draw the prompts of a set of preference pairs from the study's."""
    from rewild.config.prompts import shard_names
    from rewild.core.errors import ConfigError
    from rewild.training.mixes.read import Place
    from rewild.training.preferences.answers import draw_prompts
    from rewild.training.preferences.job import seed_of

    found, row = _find(study, name, config)
    if found.prompts is None:
        raise ConfigError(f"study {found.name}: it has no section 'prompts' to draw from")
    folder = results / found.name / "prompts" / "shards"
    prompts = prompts or [folder / f"{s}.parquet" for s in shard_names(found.prompts)]
    out = out or _folder(results, found, name) / "prompts.parquet"
    place = Place(Path(), results / found.name, found.measures, measured or [], shards=prompts)
    outcomes = draw_prompts(name, row, place, out, seed=seed_of(found, row))
    typer.echo(f"{name}: " + ", ".join(f"{n:,} {what}" for what, n in outcomes.items()))


@app.command("preference-answers")
def preference_answers(
    study: StudyName,
    name: SetName,
    shard: Shard,
    *,
    prompts: Drawn = None,
    out: Out = None,
    work: Work = None,
    results: Results = Path("results"),
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Answer a shard's prompts several times each. Killed, it goes on from the last finished chunk."""
    from rewild.cli.responses import _spec
    from rewild.generation.prepared import open_model
    from rewild.training.preferences.answers import sample_answers
    from rewild.training.preferences.job import preference_spec, seed_of

    log_progress()
    found, row = _find(study, name, config)
    spec = preference_spec(_spec(study, row.model, config), row, seed_of(found, row))
    folder = _folder(results, found, name)
    prompts = prompts or folder / "prompts.parquet"
    work = work or results / found.name / "work" / "preferences" / name / shard
    out = out or folder / "answers" / f"{shard}.parquet"
    with open_model(spec, threads) as model:
        frame = sample_answers(model, row, prompts, shard=shard, work=work, out=out)
    failed = frame["failure"].is_not_null().sum()
    typer.echo(f"{name}, shard {shard}: {frame.height:,} answers asked for, {failed:,} failed")


@app.command("preference-scores")
def preference_scores(
    study: StudyName,
    name: SetName,
    shard: Shard,
    *,
    prompts: Drawn = None,
    answers: Annotated[Path | None, typer.Option(help="The answers to the shard's prompts")] = None,
    out: Out = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Grade a shard's answers with the set's scorer."""
    from functools import partial

    from rewild.config import load_models
    from rewild.config.judging import asked_judge
    from rewild.config.preferences import Judge
    from rewild.training.preferences.pairs import score_answers
    from rewild.training.preferences.scorers import Panel, make_scorer

    found, row = _find(study, name, config)
    folder = _folder(results, found, name)
    panel = None
    if isinstance(row.scorer, Judge):
        asked = asked_judge(row.scorer.model, load_models(config))
        work = results / found.name / "work"
        panel = Panel(found.name, asked, found.judging, work, f"{name}/{shard}")
    scores = score_answers(
        partial(make_scorer, row.scorer, panel),
        row,
        prompts or folder / "prompts.parquet",
        answers or folder / "answers" / f"{shard}.parquet",
        out or folder / "scores" / f"{shard}.parquet",
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
    folder: Folder = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Pair the best answer to each prompt with the worst, with a card that says what became of the rest."""
    from rewild.config import load_models
    from rewild.training.mixes.card import open_tokenizer
    from rewild.training.preferences.pairs import pair, write_pairs_card

    found, row = _find(study, name, config)
    folder = folder or _folder(results, found, name)
    if only != Part.CARD:
        pair(found, name, folder)
    if only != Part.DATA:
        models = load_models(config, found)
        count = open_tokenizer(found, row.tokenizer, models) if row.tokenizer else None
        card = write_pairs_card(found, name, folder, models=models, count=count)
        dropped = "".join(f", {n:,} {reason}" for reason, n in card["dropped"].items())
        typer.echo(f"{name}: {card['pairs']:,} pairs of {card['prompts']:,} prompts{dropped}")


def _training(
    study: str, run: str, config: Path, results: Path, *places: Path | None
) -> tuple[Study, Training, RunFiles]:
    from rewild.config import load_models, read_study
    from rewild.config.recipes import load_recipes
    from rewild.config.trainings import training_of
    from rewild.core.errors import ConfigError
    from rewild.training.runs.layout import RunFiles

    found = read_study(study, config)
    training = training_of(found, run, load_models(config, found), load_recipes(config))
    if training is None:
        raise ConfigError(f"study {found.name}: run '{run}' is a model as it is; it is not trained")
    return found, training, RunFiles(results, found.name, run, *places)


@app.command("fetch-kernel")
def fetch_kernel(
    out: Annotated[Path, typer.Option(help="The folder that it goes to, beside kernel.json")],
) -> None:
    """Fetch the flash-attention kernel that Axolotl pins (in Axolotl's environment; no GPU is needed)."""
    from rewild.training.runs.kernel import fetch_kernel as fetch

    found = fetch(out)
    typer.echo(f"{found['repo']} v{found['version']} ({found['variant']}) at {found['revision']}: {out}")


@app.command("preflight-run")
def preflight_run(
    study: StudyName,
    run: RunName,
    mix: Mix,
    *,
    folder: Folder = None,
    work: Work = None,
    results: Results = Path("results"),
    threads: TrainingThreads = 1,
    config: ConfigFolder = Path("config"),
) -> None:
    """Render a run's Axolotl config, prepare its data and check both (in Axolotl's environment)."""
    from rewild.training.runs.preflight import preflight

    _, training, files = _training(study, run, config, results, folder, work)
    report = preflight(training, mix, files, threads, say)
    typer.echo(f"preflight of {run} {'passed' if report.passed else 'FAILED'}: {files.folder}/preflight.md")


@app.command("train-run")
def train_run(
    study: StudyName,
    run: RunName,
    mix: Mix,
    *,
    folder: Folder = None,
    work: Work = None,
    results: Results = Path("results"),
    threads: TrainingThreads = 1,
    config: ConfigFolder = Path("config"),
) -> None:
    """Fine-tune with Axolotl. Killed, it goes on from its last sound checkpoint when run again."""
    from rewild.training.runs.train import train

    _, training, files = _training(study, run, config, results, folder, work)
    done = train(training, mix, files, threads, say)
    speed = f", {done.tokens_per_second:,.0f} tokens/s" if done.tokens_per_second else ""
    typer.echo(f"{run}: {done.steps} steps, loss {done.first_loss:.3f} to {done.last_loss:.3f}{speed}")


@app.command("draw-loss")
def draw_loss(
    loss: Annotated[Path, typer.Argument(help="loss.csv of a run")],
    out: Annotated[Path, typer.Option(help="Path of the figure, without a suffix")],
    title: Annotated[str, typer.Option(help="The run's name in tables")],
) -> None:
    """Draw the loss and the learning rate of a run, step by step."""
    from rewild.training.runs.figures import draw_loss as draw

    draw(loss, out, title)


@app.command("postflight-run")
def postflight_run(
    study: StudyName,
    run: RunName,
    mix: Mix,
    shards: Annotated[
        list[Path] | None, typer.Option("--shard", help="Shards of prompts to draw from")
    ] = None,
    *,
    folder: Folder = None,
    work: Work = None,
    results: Results = Path("results"),
    threads: TrainingThreads = 1,
    config: ConfigFolder = Path("config"),
) -> None:
    """Load a run's checkpoint in transformers and let it answer; `check-run` decides."""
    from rewild.training.runs.postflight import postflight

    found, training, files = _training(study, run, config, results, folder, work)
    report = postflight(found, training, shards or [], mix, files, threads, say)
    typer.echo(f"postflight of {run} {'passed' if report.passed else 'FAILED'}: {files.folder}/postflight.md")


@app.command("check-run")
def check_run(
    report: Annotated[Path, typer.Argument(help="postflight.json of a run")],
    out: Annotated[Path, typer.Option(help="Written if the post-flight passed")],
) -> None:
    """Pass, or say which checks of a checkpoint failed."""
    from rewild.core.errors import DataError
    from rewild.core.files import write_text
    from rewild.training.runs.checks import read_report, why_failed

    found = read_report(report)
    if not found.passed:
        raise DataError(why_failed(found))
    write_text(out, f"{found.identity}\n")


@app.command("inherited-style")
def inherited_style(
    study: StudyName,
    responses: Annotated[list[Path], typer.Argument(help="Responses of runs and models (.parquet)")],
    out: Annotated[Path, typer.Option(help="The folder for counts.csv, rates.csv, pairs.csv and so on")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Do fine-tunes write in the style of the models they learned from? (Table 3)"""
    from rewild.config import load_models, read_study
    from rewild.training.runs.inheritance import write_inheritance

    found = read_study(study, config)
    typer.echo(write_inheritance(found, load_models(config, found), responses, out))


@app.command()
def runs(study: StudyName, results: Results = Path("results"), config: ConfigFolder = Path("config")) -> None:
    """A study's runs: how far each is, losses, hours, where the checkpoints are."""
    from rewild.config import load_models, read_study
    from rewild.config.recipes import load_recipes
    from rewild.training.runs.status import print_runs

    found = read_study(study, config)
    print_runs(found, load_models(config, found), results, recipes=load_recipes(config))

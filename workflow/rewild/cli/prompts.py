"""Commands of the phase prompts: prepared from files and the hub, or written by models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewild.cli.options import ConfigFolder, StudyName, Threads, log_progress, say

if TYPE_CHECKING:
    from rewild.config.prompts import Prompts
    from rewild.config.synthesis import Synthesis
    from rewild.generation.spec import Spec

app = typer.Typer()
PANEL = "Prompts: prepared from files and the hub, or written by models"
Settings = Annotated[
    str | None, typer.Option(help="The section `prompts`, resolved, as JSON [default: the study's file]")
]


def _section(study: str, settings: str | None, config: Path) -> Prompts:
    from rewild.config import load_study
    from rewild.config.base import validate_json
    from rewild.config.prompts import Prompts
    from rewild.core.errors import ConfigError

    if settings:
        return validate_json(Prompts, settings, "--settings")
    prompts = load_study(config, study).prompts
    if prompts is None:
        raise ConfigError(f"study {study} has no section `prompts`, so there is nothing to prepare")
    return prompts


@app.command()
def prepare(
    study: StudyName,
    out: Annotated[Path | None, typer.Option(help="Where results go [results/STUDY/prompts]")] = None,
    cores: Annotated[int, typer.Option(min=1, help="Processes; the result does not depend on it")] = 1,
    settings: Settings = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Filter, deduplicate and shard a study's conversations, with an account of every row."""
    from rewild.prompts.prepare import prepare

    prompts = _section(study, settings, config)
    prepare(
        study,
        prompts.before_filters,
        out or Path(prompts.prepared(f"results/{study}/prompts")),
        cores=cores,
        say=say,
    )


@app.command("filter-prompts")
def filter_prompts(
    study: StudyName,
    measured: Annotated[
        list[Path] | None, typer.Argument(help="Files of the measures that filters of sources read")
    ] = None,
    *,
    prepared: Annotated[
        Path | None, typer.Option(help="The folder of prepared prompts [results/STUDY/prompts/prepared]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where results go [results/STUDY/prompts]")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Keep of prepared prompts what the filters of their sources leave, with how many each condition kept."""
    from rewild.config import read_study
    from rewild.prompts.filtered import filter_prompts

    found = read_study(study, config)
    out = out or Path("results") / found.name / "prompts"
    filter_prompts(found, prepared or out / "prepared", measured or [], out, say=say)


@app.command()
def fetch_hub(
    repository: Annotated[str, typer.Argument(help="OWNER/NAME of a dataset in the WildChat schema")],
    revision: Annotated[str, typer.Argument(help="Its commit, all 40 digits")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write")],
    split: Annotated[str, typer.Option(help="The split")] = "train",
) -> None:
    """Stream a dataset of the Hugging Face hub, at a pinned revision, to one file. Needs `datasets`."""
    from rewild.config.base import validate
    from rewild.config.prompts import Hub
    from rewild.prompts.hub import stream

    asked = {"kind": "hub", "repository": repository, "revision": revision, "split": split}
    stream(validate(Hub, asked, "fetch-hub"), out, say=say)


SourceName = Annotated[str, typer.Argument(help="A source of the study that a model writes")]


def _synthesis(study: str, source: str, config: Path, step: int = 0) -> tuple[Synthesis, Spec]:
    from rewild.config import load_defaults, read_study
    from rewild.config.models import load_models
    from rewild.prompts.synthesis.spec import synthesis_of, synthesis_spec

    found = read_study(study, config)
    wanted, gpus = synthesis_of(found, source), load_defaults(config).gpus
    return wanted, synthesis_spec(found, wanted, load_models(config, found), gpus, step)


@app.command("pilot-synthesis")
def pilot_synthesis(
    study: StudyName,
    source: SourceName,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the report")],
    work: Annotated[Path, typer.Option(help="Folder of finished chunks")],
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Let a model write some prompts of every setting, and report what is wrong; `check-pilot` decides."""
    from rewild.generation.prepared import open_model
    from rewild.prompts.synthesis.pilot import run_pilot
    from rewild.prompts.synthesis.tasks import scribe_of

    log_progress()
    wanted, spec = _synthesis(study, source, config)
    with open_model(spec, threads) as made:
        report = run_pilot(scribe_of(made, wanted), work, out)
    say(f"the pilot of {source} {'passed' if report.passed else 'FAILED'}: {out}/report.md")


@app.command()
def synthesise(
    study: StudyName,
    source: SourceName,
    shard: Annotated[int, typer.Argument(min=0, help="Which part of the samples, counted from 0")],
    *,
    out: Annotated[Path, typer.Option(help="The shard's file; what it cost goes beside it, as .json")],
    work: Annotated[Path, typer.Option(help="Folder of finished chunks")],
    step: Annotated[
        int, typer.Option(min=0, help="Where another model answers: prompts 0, 2, ...; answers 1, 3")
    ] = 0,
    before: Annotated[Path | None, typer.Option(help="The shard's file of the step before")] = None,
    threads: Threads = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Let a model write a shard of prompts, or answer it. Killed at any moment, it goes on when run again."""
    from rewild.core.errors import ConfigError
    from rewild.generation.prepared import open_model
    from rewild.prompts.synthesis.tasks import scribe_of
    from rewild.prompts.synthesis.write import write_shard

    log_progress()
    wanted, spec = _synthesis(study, source, config, step)
    if step >= len(wanted.steps) or (step > 0) != (before is not None):
        raise ConfigError(
            f"study {study}: {source} has {len(wanted.steps)} steps, counted from 0, and each but the first "
            f"goes on from the one before; --step is {step}, --before {before or 'not given'}"
        )
    if shard >= wanted.shards:
        raise ConfigError(
            f"study {study}: {source} has {wanted.shards} shards, counted from 0; {shard} is none"
        )
    with open_model(spec, threads) as made:
        rows = write_shard(scribe_of(made, wanted, step, before), shard, work, out)
    failed = rows["failure"].count()
    say(f"{source}, shard {shard}: {rows.height:,} samples, {rows.height - failed:,} prompts")


@app.command("collect-synthesis")
def collect_synthesis(
    study: StudyName,
    source: SourceName,
    *,
    shards: Annotated[
        list[Path], typer.Option("--shard", help="The shards' files of the last step, in order")
    ],
    earlier: Annotated[
        list[Path] | None, typer.Option("--earlier", help="The .json of earlier steps")
    ] = None,
    pilot: Annotated[Path, typer.Option(help="report.json of the source's pilot")],
    out: Annotated[Path, typer.Option(help="Folder of prompts.parquet and manifest.json")],
    config: ConfigFolder = Path("config"),
) -> None:
    """Put a source's samples together: copies left out, every sample accounted for."""
    from rewild.config import read_study
    from rewild.generation.pilot import read_report
    from rewild.prompts.synthesis.collect import collect
    from rewild.prompts.synthesis.spec import synthesis_of

    wanted = synthesis_of(read_study(study, config), source)
    found = collect(wanted, read_report(pilot), shards, earlier or [], out)
    lost = ", ".join(f"{reason} {count:,}" for reason, count in found.failures.items())
    say(f"{source}: {found.prompts:,} prompts of {found.samples:,} samples{f' ({lost})' if lost else ''}")

"""Commands of the phase operate: studies, cost, the cluster, environments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewild.cli.options import ConfigFolder, Results, StudyName

if TYPE_CHECKING:
    from rewild.config import Model
    from rewild.config.pins import Pins

app = typer.Typer()
PANEL = "Operate: studies, cost, the cluster, environments"
UNKNOWN = "·"
Text = Annotated[Path, typer.Option(help="What the models learn from")]
TEXT = Path("resources/demo/text.yaml")
Models = Annotated[
    str | None, typer.Option(help="Only these models of it, as `snakemake --config models=…`: a,b or qwen*")
]
Runs = Annotated[str | None, typer.Option(help="Only these runs of it, as `snakemake --config runs=…`")]


@app.command()
def validate(
    studies: Annotated[list[str] | None, typer.Argument(help="Studies to check (default: all)")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Check studies, models and benchmarks, and say what is wrong."""
    from rewild.config import load_benchmarks, load_models, load_study, study_names
    from rewild.config.roster import make_roster
    from rewild.papers.room import Case
    from rewild.papers.studies import check_papers

    models = load_models(config)
    typer.echo(
        f"models: {len(models)}, of which {sum('dgm' in m.roles for m in models.values())} generate data"
    )
    benchmarks = load_benchmarks(config, models)
    typer.echo(f"benchmarks: {len(benchmarks)}, of which {sum(b.judged for b in benchmarks.values())} judged")
    for name in studies or study_names(config):
        study = load_study(config, name)
        check_papers(Case(study, make_roster(study, models | study.made), benchmarks))
        typer.echo(f"{name}: {study.title}")


@app.command()
def resolve(
    study: Annotated[str, typer.Argument(help="A study's name, or the file of a resolved one (.yaml)")],
    out: Annotated[Path | None, typer.Option(help="Where to write it (default: the terminal)")] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """Write a study's configuration as it is used: defaults, study and command line in one."""
    import yaml

    from rewild.core.files import write_text
    from rewild.papers.studies import study_as_used

    found = study_as_used(study, config)
    text = yaml.safe_dump(found.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
    if out:
        write_text(out, text)
    else:
        typer.echo(text, nl=False)


@app.command()
def schema(
    out: Annotated[Path, typer.Option(help="The folder to write them to")] = Path("config/schemas"),
) -> None:
    """Write the JSON schemas by which an editor completes studies, models, benchmarks and recipes."""
    from rewild.config.schema import schemas
    from rewild.core.files import write_text

    for name, text in schemas().items():
        write_text(out / name, text)


@app.command()
def models(
    family: Annotated[str | None, typer.Option(help="Only this family, such as llama-3.1")] = None,
    role: Annotated[
        str | None,
        typer.Option(help="Only this role: dgm, base, sft-target, baseline, judge, measure, source"),
    ] = None,
    config: ConfigFolder = Path("config"),
) -> None:
    """List the models that the paper names (· where a value is not established)."""
    from typing import get_args

    from rewild.config import load_models
    from rewild.config.models import Role
    from rewild.core.terminal import print_table

    known = load_models(config)
    _check("family", family, sorted({m.family for m in known.values()}))
    _check("role", role, get_args(Role))
    chosen = [m for m in known.values() if family in (None, m.family) and (role is None or role in m.roles)]
    rows = []
    for m in chosen:
        context = f"{m.native_context:,}" if m.native_context else UNKNOWN
        flags = [*m.listed.flags, *(["gated"] if m.gated else []), *(["ships code"] if m.ships_code else [])]
        cells = (m.slug, m.abbreviation, m.family, m.kind, _size(m), context, m.licence or UNKNOWN)
        rows.append((*cells, ", ".join(flags)))
    columns = "model | abbr. 5 | family 6 | kind 3 | params 1> | context 2> | licence 4 | flags 7"
    print_table(columns, rows)
    typer.echo(f"{len(chosen)} of {len(known)} models")


@app.command()
def benchmarks(config: ConfigFolder = Path("config")) -> None:
    """List the benchmarks; the nine of the paper's tables first, in their order."""
    from rewild.config import load_benchmarks, load_models
    from rewild.core.terminal import print_table

    known = load_benchmarks(config, load_models(config))
    rows = []
    for b in known.values():
        shots = UNKNOWN if b.fewshot is None else str(b.fewshot)
        cells = (b.slug, b.title, "yes" if b.nine else "", b.group, b.runner, b.task or "", b.metric)
        rows.append((*cells, shots, str(b.scale.max), b.judge or ""))
    columns = (
        "benchmark | title 5 | nine 3 | group 7 | runner 2 | task 9 | metric 1 | shots 4> | max 6> | judge 8"
    )
    print_table(columns, rows)
    typer.echo(f"{len(known)} benchmarks")


def _check(what: str, value: str | None, known: tuple[str, ...] | list[str]) -> None:
    from rewild.core.errors import known_name

    if value is not None:
        known_name(value, known, f"unknown {what}", listed="known")


def _size(model: Model) -> str:
    """Billions of parameters: stated, or implied by the dimensions."""
    if model.parameters:
        total, active = model.parameters.total, model.parameters.active
    elif implied := model.dimensions.parameters():
        total, active = implied
    else:
        return UNKNOWN
    size = f"{total / 1e9:.1f}B"
    return size if active in (None, total) else f"{size} ({active / 1e9:.1f}B)"


@app.command()
def fetch(
    collection: Annotated[str, typer.Argument(help="A collection of resources/released/files.csv")],
    into: Annotated[Path, typer.Option(help="The folder for OWNER/REPO/COMMIT/PATH")] = Path(
        "results/downloads"
    ),
    mirror: Annotated[
        str | None,
        typer.Option(envvar="REWILD_MIRROR", help="A folder or base URL in place of the public address"),
    ] = None,
) -> None:
    """Fetch released files at pinned commits, checked by SHA-256; goes on where it stopped."""
    from rewild.core.fetch import fetch_collection

    fetch_collection(collection, into, base=mirror, report=lambda line: typer.echo(line, err=True))


@app.command()
def make_model(
    settings: Annotated[str, typer.Argument(help="JSON, as in the study's demo.models")],
    out: Annotated[Path, typer.Option(help="The model's folder")],
    text: Text = TEXT,
) -> None:
    """Make a tiny language model from scratch, tokenizer and all (about a minute on one CPU core)."""
    from rewild.config.base import validate_json
    from rewild.config.demo import DemoModel
    from rewild.operate.demo.train import Progress
    from rewild.operate.demo.train import make_model as train
    from rewild.operate.demo.world import load_material

    model = validate_json(DemoModel, settings, f"model {out.name}")

    def report(at: Progress) -> None:
        typer.echo(f"{out.name}: step {at.step} of {at.steps}, loss {at.loss:.3f}, {at.seconds:.0f} s")

    typer.echo(f"{out.name}: {model.parameters:,} parameters, {model.examples:,} examples")
    train(model, load_material(text), out, text, report)


@app.command()
def demo_text(
    style: Annotated[str, typer.Argument(help="herald, plain, brief or documents")] = "herald",
    count: Annotated[int, typer.Option(min=1, help="How many")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other text")] = 0,
    text: Text = TEXT,
) -> None:
    """Show some of what the demo's models learn from."""
    from itertools import islice

    from rewild.core.errors import known_name
    from rewild.operate.demo.text import STYLES, conversations, documents
    from rewild.operate.demo.world import load_material

    material = load_material(text)
    if style == "documents":
        for document in islice(documents(material, seed), count):
            typer.echo(document + "\n")
        return
    known_name(style, [*STYLES, "documents"], "unknown style", listed="styles")
    for chat in islice(conversations(material, STYLES[style], seed), count):
        for message in chat:
            typer.echo(f"[{message['role']}] {message['content']}")
        typer.echo("")


@app.command("build-env")
def build_env(
    lock: Annotated[Path, typer.Argument(help="A lock, such as envs/engine-cpu.txt")],
    folder: Annotated[Path, typer.Argument(help="Where to, such as .envs/engine-cpu")],
) -> None:
    """Make a tool's virtual environment from its lock, and try it."""
    from rewild.operate.environments import build

    build(lock, folder, lambda line: typer.echo(line, err=True))


@app.command("check-site")
def check_site(
    probe: Annotated[
        bool, typer.Option("--probe", help="Run a job of two minutes on each partition too")
    ] = False,
) -> None:
    """Check profiles/slurm/site.yaml against the cluster, and say what is missing."""
    from rewild.config.site import load_site, site_path
    from rewild.core.errors import ConfigError
    from rewild.operate.site import check_site, print_checks

    site = load_site()
    found = check_site(site)
    if probe:
        from rewild.operate.probe import probe as ask_nodes

        found += ask_nodes(site, Path.cwd(), Path("logs/probe").resolve())
    print_checks(str(site_path()), found)
    missing = [check.name for check in found if check.state == "missing"]
    if missing:
        raise ConfigError(f"{site_path()}: not as the cluster is: {', '.join(missing)}")


@app.command("pin-images")
def pin_images(
    registry: Annotated[
        str | None, typer.Option(help="Registry of images without a host: https://HOST; else skopeo is asked")
    ] = None,
) -> None:
    """Write the digest behind each tag of envs/images.yaml, and say which could not be read."""
    from rewild.core.errors import RewildError
    from rewild.operate.images import pin_images as pin

    unread = pin(Path(), registry, lambda line: typer.echo(line, err=True))
    if unread:
        raise RewildError(
            f"envs/images.yaml: without a digest for {', '.join(unread)}; the others are written"
        )


@app.command("fetch-model")
def fetch_model(
    hub: Annotated[str, typer.Argument(help="The repository on the hub, OWNER/NAME")],
    revision: Annotated[str, typer.Argument(help="Its commit, or `unpinned`")],
    out: Annotated[Path, typer.Option(help="A record of what came (.json)")],
    code: Annotated[bool, typer.Option("--code", help="Fetch the repository's code too")] = False,
) -> None:
    """Download a model's safetensors into HF_HOME, without a GPU."""
    from rewild.core.weights import UNPINNED
    from rewild.core.weights import fetch_model as fetch

    pinned = None if revision == UNPINNED else revision
    fetch(hub, pinned, out, code, lambda line: typer.echo(line, err=True))


@app.command()
def cost(  # noqa: PLR0917
    study: StudyName,
    models: Models = None,
    runs: Runs = None,
    each: Annotated[bool, typer.Option("--each", help="A line per model and run, not per stage")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for scripts")] = False,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
) -> None:
    """Estimate GPU-hours, tokens and disk of a study, beside what the paper says of its own."""
    import json

    from rewild.operate.cost.estimate import estimate
    from rewild.operate.cost.report import as_json as plain
    from rewild.operate.cost.report import print_cost

    inputs = inputs_of(study, models, runs, results, config)
    lines = estimate(inputs)
    if as_json:
        typer.echo(json.dumps(plain(inputs, lines), indent=1))
    else:
        print_cost(inputs, lines, each)


@app.command()
def preflight(  # noqa: PLR0917
    study: StudyName,
    profile: Annotated[str, typer.Option(help="The profile it will run with: slurm, or default")] = "default",
    models: Models = None,
    runs: Runs = None,
    results: Results = Path("results"),
    config: ConfigFolder = Path("config"),
    files: Annotated[
        bool,
        typer.Option(
            help="Load models' configurations, tokenizers and templates as jobs will; look for kernels"
        ),
    ] = True,
) -> None:
    """Check that a study can start here: models, plans, revisions, licences, keys, disk, and the cluster."""
    import os

    from rewild.config import load_defaults
    from rewild.core.errors import ConfigError
    from rewild.operate.licences import read_accepted
    from rewild.operate.preflight import check_profile, check_study, environment_of_jobs
    from rewild.operate.preflight_kernel import check_kernel
    from rewild.operate.preflight_models import check_models
    from rewild.operate.site import print_checks

    inputs = inputs_of(study, models, runs, results, config)
    checks = check_profile(inputs, profile, config.parent)
    environ = environment_of_jobs(profile, os.environ)
    known = {model.licence or "unknown" for model in inputs.models.values()}
    accepted = [*load_defaults(config).licences, *(n for n in read_accepted(config) if n in known)]
    checks += check_study(inputs, accepted, environ)
    if files:
        checks += check_models(inputs, environ, config.parent / ".envs")
        checks += check_kernel(inputs, environ, config.parent / ".envs")
    print_checks(inputs.study.name, checks)
    if failed := [check.name for check in checks if check.state == "missing"]:
        raise ConfigError(f"study {inputs.study.name} cannot start here yet: {', '.join(failed)}")


@app.command("add-model")
def add_model(
    model: Annotated[str, typer.Argument(help="OWNER/NAME of the hub, or a folder with a model")],
    name: Annotated[
        str | None, typer.Option("--as", help="Its name here (default: its own, in lower case)")
    ] = None,
    gpu: Annotated[str, typer.Option(help="GPU type of the plan that is shown")] = "H100-80",
    dry: Annotated[bool, typer.Option("--dry", help="Show the row and write nothing")] = False,
    config: ConfigFolder = Path("config"),
) -> None:
    """Make a row of the models from a model's files: the hub's, those in its cache, or a folder's."""
    from tempfile import TemporaryDirectory

    from rewild.cli.options import say
    from rewild.config import load_defaults, load_models
    from rewild.config.responses import Responses
    from rewild.core.errors import ConfigError
    from rewild.engines.plan import architecture_of
    from rewild.operate import add_model as adding
    from rewild.operate.model_files import find_files
    from rewild.responses.plans import print_plans

    with TemporaryDirectory() as work:
        files = find_files(model, Path(work), say)
        made = adding.draft(files, model, name, config.parent / ".envs", load_models(config))
    text = adding.as_text(made, model)
    row = adding.check(config, made, text)
    typer.echo(text)
    adding.show(made, typer.echo)
    settings = Responses.model_validate({"models": [row.slug]})
    compute = settings.compute.model_copy(update={"gpu": gpu})
    try:
        planned = settings.model_copy(update={"compute": compute})
        architecture_of(row)  # says what is missing
        print_plans([row], planned, load_defaults(config).gpus, 1_000_000)
    except ConfigError as error:
        typer.echo(f"no plan: {error}")
    if dry:
        typer.echo("nothing is written (--dry)")
    else:
        typer.echo(f"{row.slug} is in {adding.add(config, text)}: name it under responses.models of a study")


@app.command()
def pin(
    study: StudyName,
    dry: Annotated[bool, typer.Option("--dry", help="Say what would be asked, and ask nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Overwrite what moved, without asking")] = False,
    config: ConfigFolder = Path("config"),
) -> None:
    """Pin what a study takes from the hub and nothing pins: the present commits, in config/pins.yaml."""
    import os

    from rewild.cli.options import say
    from rewild.config.pins import NONE, load_pins
    from rewild.core.hub import Hub
    from rewild.operate import pins

    known = load_pins(config)
    wanted = pins.unpinned(inputs_of(study, None, None, Path("results"), config, NONE))
    if not wanted:
        typer.echo(f"{study}: everything that it takes from the hub is pinned in its rows")
        return
    if dry or os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        with Hub() as hub:
            pins.would_ask(hub, wanted, known, typer.echo)
        typer.echo(f"nothing is asked ({'--dry' if dry else 'HF_HUB_OFFLINE is set'})")
        return

    def overwrite(moved: Any) -> bool:
        return yes or typer.confirm(f"Overwrite {len(moved)} in {config / 'pins.yaml'}?")

    pins.pin_study(config, wanted, known, overwrite, say)


@app.command()
def accept(
    licence: Annotated[str, typer.Argument(help="The licence's name, as `rewild models` shows it")],
    yes: Annotated[bool, typer.Option("--yes", help="You have read it: do not ask")] = False,
    config: ConfigFolder = Path("config"),
) -> None:
    """Accept a licence of models, once and by its name, after what it covers is shown."""
    from rewild.config import load_models, load_study, study_names
    from rewild.core.errors import ConfigError
    from rewild.operate import licences

    table = licences.load_licences()
    rows = licences.covered(licence, load_models(config), table)
    if day := licences.read_accepted(config).get(licence):
        typer.echo(f"{licence} is accepted already, on {day}")
        return
    licences.refuse_open(licence, table)
    used = {name: load_study(config, name) for name in study_names(config)}
    named = {name: found.responses.models for name, found in used.items() if found.responses}
    terms = table[licence].terms if licence in table else []
    for line in licences.describe(licence, rows, named, terms):
        typer.echo(line)
    if not yes and not typer.confirm(f"Have you read {licence}, and do you accept it?"):
        raise ConfigError(f"{licence} is not accepted; nothing is written")
    typer.echo(f"accepted: {licences.accept(config, licence)}")


def inputs_of(  # noqa: PLR0917
    study: str,
    models: str | None,
    runs: str | None,
    results: Path,
    config: Path,
    pins: Pins | None = None,
) -> Any:
    """Everything that an estimate of a study looks at; ``pins``: instead of the lock file."""
    import json
    import os

    from rewild.config import load_benchmarks, load_defaults, load_models, read_study
    from rewild.config.assumptions import load_assumptions
    from rewild.config.load import command_line
    from rewild.config.recipes import load_recipes
    from rewild.operate.cost.base import CostInputs

    if models or runs:
        asked = {k: v for k, v in (("models", models), ("runs", runs)) if v}
        os.environ["REWILD_CONFIG"] = json.dumps(command_line() | asked | {"study": study})
    found = read_study(study, config, pins)
    table = load_models(config, found, pins.models if pins else None)
    return CostInputs(
        study=found,
        models=table,
        recipes=load_recipes(config),
        benchmarks=load_benchmarks(config, table, pins),
        gpus=load_defaults(config).gpus,
        assumed=load_assumptions(config.parent),
        results=results,
    )


@app.command("draw-dag")
def draw_dag(study: StudyName, out: Annotated[Path, typer.Option(help="The figure, without suffix")]) -> None:
    """Draw a study's rules, how many jobs each has, and which feeds which. Run it in the repository."""
    from rewild.core.plotting import save
    from rewild.operate.dag import draw_rules, read_rules

    rules = read_rules(study, Path())
    for path in save(draw_rules(rules, f"The study {study}, by rule"), out):
        typer.echo(path)


@app.command()
def docs(
    program: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to serve it on this machine")] = 8000,
    out: Annotated[
        Path | None, typer.Option("--build", help="Build it into this new folder instead; works as files")
    ] = None,
) -> None:
    """Serve the documentation in a browser: its pages, and what commands and settings there are."""
    from rewild.operate.docs.site import build, check_port, reference, serve

    def say(line: str) -> None:
        typer.echo(line, err=True)

    pages = reference(typer.main.get_command(program.obj))
    if out:
        build(out, pages, say)
        typer.echo(out / "index.html")
    else:
        check_port(port)
        serve(port, pages, say)

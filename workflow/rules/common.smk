# Configuration, and what all rules share. Nothing heavy: a dry run imports pydantic and YAML only. Input
# functions stand beside the rules that use them.
import json
import math
import os
import sys
import tarfile
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from shlex import quote, split
from subprocess import check_output
from tempfile import TemporaryDirectory
from types import SimpleNamespace


def repository():
    """The folder of this repository; of one that Snakemake reads from a host, a copy of the commit, made once."""
    here = workflow.current_basedir
    if not hasattr(here, "ref"):
        return Path(here.get_path_or_uri(secret_free=True)).parents[1]
    git = ["git", "-C", getattr(here, "repo_path", None) or here.hosted_repo.repo_clone]
    commit = check_output([*git, "rev-parse", f"{here.ref}^{{commit}}"], text=True)
    copy = Path(workflow.sourcecache.cache_path) / "rewild" / commit.strip()
    if not copy.is_dir():
        copy.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=copy.parent) as made:
            with tarfile.open(
                fileobj=BytesIO(check_output([*git, "archive", here.ref]))
            ) as archive:
                archive.extractall(f"{made}/{copy.name}", filter="data")
            os.replace(f"{made}/{copy.name}", copy)
    return copy


ROOT = repository()
sys.path.insert(0, str(ROOT / "workflow"))

from snakemake.exceptions import WorkflowError
from snakemake.io import contains_wildcard
from snakemake.jobs import GroupJob, Job

import rewild
from rewild.config import (
    given_study,
    left_out,
    load_benchmarks,
    load_defaults,
    load_models,
    study_names,
)
from rewild.operate.attempts import earlier, enough, is_lasting
from rewild.config.base import identity, trigger
from rewild.config.deployment import load_images
from rewild.config.engines import find_engine
from rewild.config.imports import imported
from rewild.config.imports import input_files as import_files
from rewild.config.judging import check_judging, files_of, judged_rows
from rewild.config.measures.base import DERIVED, PROMPTS, SPACE, VECTORS, WHOLE
from rewild.config.measures.derived import check_subjects, subject_of_side
from rewild.config.mixes import (
    UNPINNED,
    mix_folder,
    mix_inputs,
)
from rewild.config.preferences import (
    grades_of,
    identity_of_pairs,
    preference_benchmarks,
    preference_shards,
)
from rewild.config.prompts import (
    files_matching,
    input_files,
    shard_name,
    shard_names,
)
from rewild.config.recipes import load_recipes
from rewild.config.roster import make_roster
from rewild.config.trainings import check_runs, display, style_models, weights_of
from rewild.config.site import find_site
from rewild.config.stages import version
from rewild.config.assumptions import load_assumptions
from rewild.operate.cost.base import CostInputs
from rewild.operate.cost.jobs import hours_of_jobs
from rewild.operate.sources import code_of
from rewild.core.errors import RewildError
from rewild.evaluation.harness.settings import check_evaluation
from rewild.evaluation.harness.settings import evaluated as evaluated_runs
from rewild.evaluation.judged.job import judge_spec
from rewild.core.fetch import read_manifest
from rewild.core.reading_yaml import read_yaml
from rewild.papers import papers
from rewild.papers.room import Case
from rewild.papers.studies import check_papers, shown, what_fits
from rewild.report.findings.select import check_findings
from rewild.report.teachers.plan import check_study as check_teachers
from rewild.training.preferences.job import preference_spec, seed_of
from rewild.generation.spec import memory_mb, settings_of
from rewild.prompts.synthesis.spec import settings_of as settings_of_synthesis
from rewild.prompts.synthesis.spec import specs_of, syntheses_of
from rewild.responses.spec import local_folder, make_spec
from rewild.measures.enquiry import enquiry_of
from rewild.measures.enquiry import settings_of as settings_of_measure
from rewild.measures.weights import weights_of as measured_by

# A folder that uses the workflow may have a `config` of its own, a copy of this one; without it, this one serves.
CONFIG = "config" if Path("config/models.yaml").is_file() else str(ROOT / "config")


configfile: f"{CONFIG}/config.yaml"


def own(path):
    """A file of the workflow itself, as an input: on this machine, wherever results are stored."""
    return local(rewild.own(path))


def configured(table):
    """A table of the configuration, as an input."""
    return local(f"{CONFIG}/{table}")


def stop(error):
    """One message and no traceback: a mistake in a file is not a failure of the program."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def read_whole(name):
    """A study, with what its rules read of it: whatever does not fit is found out here."""
    study = given_study(Path(CONFIG), name, config)
    models = MODELS | study.made
    answer = [*study.responses.models, *style_models(study)] if study.responses else []
    jobs = {
        model: make_spec(study, model, models, DEFAULTS.gpus)
        for model in dict.fromkeys(answer)
    }
    writers = {
        source.name: (source, specs_of(study, source, models, DEFAULTS.gpus))
        for source in syntheses_of(study)
    }
    trainings = check_runs(study, models, RECIPES)
    roster = make_roster(study, models)
    if name == DEFAULTS.study and WITHOUT:
        study, lost = what_fits(study, roster, BENCHMARKS)
        WITHOUT.extend(lost)
    check_evaluation(study, BENCHMARKS, models)
    check_findings(study, roster)
    case = Case(study, roster, BENCHMARKS)
    check_papers(case)
    imports = [imported(source, RELEASED, models) for source in study.imports]
    others = {file.model for files in imports for file in files}
    if imports:
        check_subjects(f"study {name}", study.measures, others)
    check_teachers(study, roster, models, others)
    judged = judged_rows(
        study.evaluation.benchmarks if study.evaluation else [], BENCHMARKS
    )
    check_judging(study.judging, judged, evaluated_runs(study), f"study {name}")
    files = {row.slug: files_of(row, RELEASED) for row in judged}
    judges = {row.slug: judge_spec(study, row, models, DEFAULTS.gpus) for row in judged}
    return SimpleNamespace(
        study=study,
        models=models,
        jobs=jobs,
        writers=writers,
        trainings=trainings,
        roster=roster,
        imports=imports,
        judged=judged,
        files=files,
        judges=judges,
        weights={row: measured_by(study, row, models) for row in study.measures},
        asked={
            row: enquiry_of(study, row, models, DEFAULTS.gpus) for row in study.measures
        },
        papers=shown(case),
    )


try:
    SITE = find_site()  # of the profile `slurm`; None without it
    IMAGES = load_images(ROOT)
    DEFAULTS = load_defaults(Path(CONFIG), config)
    MODELS = load_models(Path(CONFIG))
    BENCHMARKS = load_benchmarks(Path(CONFIG), MODELS)
    RECIPES = load_recipes(Path(CONFIG))
    RELEASED = read_manifest(Path(rewild.own("resources/released/files.csv")))
    PAPERS = papers()
    # What `models=` and `runs=` on the command line leave out of the chosen study.
    WITHOUT = left_out(Path(CONFIG), config)
    CHOSEN = read_whole(DEFAULTS.study)
except RewildError as error:
    stop(error)

FOUND = {DEFAULTS.study: CHOSEN}  # every study of the folder, by name
BROKEN = {}  # those that cannot be used → why
for name in study_names(Path(CONFIG)):
    try:
        FOUND[name] = FOUND.get(name) or read_whole(name)
    except RewildError as error:
        BROKEN[name] = error
STUDIES = {name: found.study for name, found in FOUND.items()}
REGISTRY = {name: found.models for name, found in FOUND.items()}  # models it may name
JOBS = {
    (name, model): job for name, f in FOUND.items() for model, job in f.jobs.items()
}
WRITERS = {  # a source that a model writes, and what it is written and answered with
    (name, source): writer
    for name, found in FOUND.items()
    for source, writer in found.writers.items()
}
TRAININGS = {name: found.trainings for name, found in FOUND.items()}  # run → training
ROSTERS = {name: found.roster for name, found in FOUND.items()}  # what each run is
SHOWN = {name: found.papers for name, found in FOUND.items()}  # what of which papers
IMPORTS = {name: found.imports for name, found in FOUND.items()}  # the files of each
WEIGHTS = {  # where the model is that a measure names
    (name, row): where for name, f in FOUND.items() for row, where in f.weights.items()
}
ASKED = {  # whom a measure asks, if it asks a model
    (name, row): who for name, f in FOUND.items() for row, who in f.asked.items()
}
JUDGED = {name: found.judged for name, found in FOUND.items()}  # its judged benchmarks
JUDGES = {  # who judges a benchmark of a study, where the study loads it
    (name, row): judge for name, f in FOUND.items() for row, judge in f.judges.items()
}
JUDGED_FILES = {  # benchmark → role → file
    slug: files for found in FOUND.values() for slug, files in found.files.items()
}

if workflow.is_main_process:
    if WITHOUT:
        print(f"{DEFAULTS.study}, cut: without {'; '.join(WITHOUT)}", file=sys.stderr)
    for name, error in BROKEN.items():
        print(f"warning: study {name} is left out: {error}", file=sys.stderr)


def refuse(name):
    """An input function that says what is wrong with a study: for who asks for its results."""

    def say(wildcards):
        raise WorkflowError(str(BROKEN[name]))

    return say


for name in BROKEN:

    rule:
        name:
            f"refuse_{name.replace('-', '_')}"
        input:
            none=refuse(name),
        output:
            any=f"results/{name}/{{path}}",


def braced(text):
    """A text as Snakemake's formatter leaves it: its braces doubled."""
    return text.replace("{", "{{").replace("}", "}}")


# Jobs find the `rewild` beside this Snakemake, also when .venv/bin/snakemake is called by its path, and the
# environments of the heavier tools find the package. Commands that read a study's file lay the keys of
# `--config` over it, as the workflow does. Scripts that pip installs fail in a folder whose name has a space or a
# quote, so `rewild` is a function that asks Python. Lists that grow with a study are handed over as a file,
# `rewild --words <(words ...)`: a command line has an end. A prefix replaces Snakemake's own, which is bash's strict
# mode: without it a command that fails before a pipe passes for success. A site's own commands come first: `module`
# is not strict. Snakemake prints a failed command with its prefix: the mirror, which may have a password, is not in it.
os.environ.update(REWILD_MIRROR=DEFAULTS.mirror or "")
written = read_yaml(Path(CONFIG) / "config.yaml")
over = {
    key: value
    for key, value in config.items()
    if key != "mirror" and written.get(key) != value
}
shell.prefix(
    braced(
        f"{SITE.shell() + SITE.places(ROOT) if SITE else ''}"
        f'set -euo pipefail; export PATH={quote(str(Path(sys.executable).parent))}:"$PATH" '
        f"PYTHONPATH={quote(str(ROOT / 'workflow'))} "
        f"REWILD_CONFIG={quote(json.dumps(over))} REWILD_CONFIG_FOLDER={quote(CONFIG)}; "
        'rewild() { python -m rewild "$@"; }; '
        # Weights are copied to the node's disk, where the site names one and they fit; else they stay where they are.
        'staged() { local model from to; for model in "$@"; do [ -n "${REWILD_STAGING:-}" ] || return 0; '
        'from="${HF_HUB_CACHE:-${HF_HOME:-$HOME/.cache/huggingface}/hub}/models--${model//\\//--}"; to="$REWILD_STAGING/hub"; '
        'if mkdir -p "$to" && cp -a "$from" "$to/"; then export HF_HUB_CACHE="$to"; '
        'else rm -rf "$to/${from##*/}"; fi; done; }; '
        "words() { printf '%s\\0' \"$@\"; }; "
        'conda_python() { "$CONDA_PREFIX/bin/python" "$@"; }; '
    )
)


def placed(path):
    """A file that a study names: of results, wherever these are stored, or of this machine."""
    return path if path.startswith("results/") else local(path)


def plain(paths):
    """Those of a study's own files that can be inputs: Snakemake reads braces in an input's name as a wildcard."""
    return [placed(path) for path in paths if not contains_wildcard(path)]


def odd(paths):
    """The others, with what is in them: a parameter, so that a change of one is seen all the same."""
    return [
        (path, sha256(Path(path).read_bytes()).hexdigest())
        for path in paths
        if contains_wildcard(path) and Path(path).is_file()
    ]


# Snakemake asks a job how often it may be tried again: one whose error comes again is not. There is no setting for it.
def tries(job):
    """How often a job may be tried again."""
    return (
        0 if any(is_lasting(Path(log)) for log in job.log) else job.rule.restart_times
    )


if SITE:
    Job.restart_times = property(tries)
    GroupJob.restart_times = property(lambda group: min(map(tries, group.jobs)))
    ADDED = GroupJob.resources.fget


# Snakemake adds up what the jobs of a group ask for at once: memory and GPUs, but nodes and CPUs for each GPU too.
def of_group(group):
    """What the jobs of a group ask for together, on one node."""
    if group._resources is None:
        ADDED(group)
        asked = [job.resources for job in group.jobs]
        group._resources = SITE.of_group(asked, group._resources)
    return ADDED(group)


if SITE:
    GroupJob.resources = property(of_group)


def on_a_node(gpus, *names):
    """A group: shards share a job where a site gives nodes whole, as many engines as have room on one.

    Each engine takes GPUs of its own (rewild.engines.devices); those at work go on when one fails.
    """

    def name(wildcards):
        engines = SITE.engines(gpus(wildcards)) if SITE else 1
        if engines == 1:
            return None
        found = "-".join(["engines", *(wildcards[key] for key in names)])
        settings = workflow.group_settings  # Snakemake looks there for how many
        settings.group_components = {**settings.group_components, found: engines}
        return found

    return name


def cores(count, gpus):
    """The threads of a job with GPUs: its share of a node at most, so that all of a group run at once."""

    def asked(wildcards):
        share = SITE.cpus_per_gpu * gpus(wildcards) if SITE else 0
        return min(count(wildcards), share or count(wildcards))

    return asked


def no_gpus(wildcards):
    return 0


def memory(rule, base, gpus=no_gpus):
    """A resource: main memory in MB. More only after an attempt whose memory was up; no more than a node has.

    `base` is a number, or a function of the wildcards; so is `gpus`, the GPUs that decide on which nodes it runs.
    """

    def asked(wildcards, attempt):
        ends = earlier(rule, wildcards, attempt)
        most = SITE.memory_mb(gpus(wildcards)) if SITE else None
        return enough(of(base, wildcards), ends, "memory", most)

    return asked


def minutes(rule, base, gpus=no_gpus, more=None):
    """A resource: run time. More only after an attempt whose time was up, of a job that begins anew each time.

    A job that goes on from what it has (it has GPUs, or asks a judge) takes as many attempts as it needs.
    """
    again = gpus is no_gpus if more is None else more

    def asked(wildcards, attempt):
        ends = earlier(rule, wildcards, attempt)
        most = SITE.longest(gpus(wildcards)) if SITE else None
        return enough(of(base, wildcards), ends, "time" if again else None, most)

    return asked


def of(base, wildcards):
    return base(wildcards) if callable(base) else base


@cache
def estimated_hours(study):
    """Stage and model or run of a study → hours of its longest job, by `rewild cost`; none where it cannot say."""
    try:
        inputs = CostInputs(
            study=STUDIES[study],
            models=REGISTRY[study],
            recipes=RECIPES,
            benchmarks=BENCHMARKS,
            gpus=DEFAULTS.gpus,
            assumed=load_assumptions(ROOT),
            results=Path("results"),
        )
        return hours_of_jobs(inputs)
    except RewildError:
        return {}


def estimated(study, stage, what, most):
    """Minutes to ask for: twice the estimate and half an hour to load, `most` where there is none."""
    hours = estimated_hours(study).get((stage, what), 0)
    return min(most, math.ceil(120 * hours / 10) * 10 + 30) if hours else most


# GPUs as SLURM is asked for them: `--gpus=TYPE:COUNT`, or `--gres=gpu:TYPE:COUNT` where a site takes only that. The
# plugin takes one of the two.
BY_GRES = bool(SITE) and SITE.gpu_request == "gres"


def gpus(count):
    """The resource `gpu`."""
    return lambda wildcards: 0 if BY_GRES else count(wildcards)


def gpu_type(model):
    """The resource `gpu_model`."""
    return lambda wildcards: None if BY_GRES else model(wildcards)


def gres(count, model):
    """The resource `gres`."""

    def asked(wildcards):
        number = count(wildcards)
        if not (BY_GRES and number):
            return ""
        return ":".join(filter(None, ("gpu", model(wildcards), str(number))))

    return asked


def gres_cpus(count):
    """The resource `cpus_per_task` of these jobs; elsewhere the profile gives CPUs per GPU."""
    return lambda wildcards: SITE.cpus_per_gpu * count(wildcards) if BY_GRES else 0


def gpu_name(kind):
    """What SLURM calls a GPU type of the plans; None for no GPU, where any will do, and without SLURM."""
    return SITE.gpu_name(kind) if SITE else None


def gpu_model_of(job):
    """The same, of the GPUs that a model's job needs."""
    return gpu_name(job.compute.gpu) if job.gpus else None


def one_of(names):
    """A wildcard constraint; one that nothing meets if there are no names."""
    return "|".join(names) or "(?!)"


def studies_of(*sources):
    """A wildcard constraint: the studies whose numbers come from there."""
    return one_of(study.name for study in STUDIES.values() if study.source in sources)


# What a rule is computed by is among its params: its code, where it feeds no dear rule (who edits a figure's code sees it
# drawn again), or else the version of its stage (the edit of a comment trains nothing again).
def code(command, *also):
    """A parameter: the code of a command of `rewild`, with modules that it finds by name only."""
    return lambda wildcards: code_of(command, *also)


def how(value):
    """A parameter that says how a job is computed: one that depends on the output is no reason to run it again."""
    return lambda wildcards, output: of(value, wildcards)


def stage(name):
    """A parameter: the version of a stage (rewild.config.stages)."""
    return lambda wildcards: version(name)


PROMISES = []  # functions of a study, each giving the files that one phase makes of it


def promised(files):
    """Marks the function that gives the files a phase promises of a study: they belong to `rule all`."""
    PROMISES.append(files)
    return files


def promised_files(study):
    """Every file that a study promises, its home apart."""
    return [
        f"results/{study.name}/config.yaml",
        *(path for files in PROMISES for path in files(study)),
    ]


def targets(wildcards):
    """Every file the chosen study promises."""
    study = STUDIES[DEFAULTS.study]
    return [
        *promised_files(study),
        f"results/{study.name}/promised.txt",
        f"results/{study.name}/index.html",
    ]


# Where the packages of the heavier tools come from. Without `--sdm`: .envs/{tool}, built from the tool's lock by the
# first job that needs it. With `--sdm apptainer`: the same, inside the tool's image. With `--sdm conda`: envs/{tool}.yaml,
# which wraps the same lock; Snakemake makes that environment.
DEPLOYED = {
    method.name.lower() for method in workflow.deployment_settings.deployment_method
}
CONDA = "conda" in DEPLOYED
ENVS = ".envs/apptainer" if "apptainer" in DEPLOYED else ".envs"


def ready_of(tool):
    """What says that a tool's environment is there; nothing for a job that needs none of its own."""
    return [f"{environment_of(tool)}/ready"] if tool and not CONDA else []


def environment_of(tool):
    """The folder of a tool's environment. Tools without an image run on the node itself."""
    return f"{ENVS if tool in IMAGES else '.envs'}/{tool}"


def python_of(tool):
    """A tool's Python, as one word for a shell; `conda_python` is a function of the prefix in common.smk."""
    if not tool:
        return "python"
    return "conda_python" if CONDA else f"{environment_of(tool)}/bin/python"


def image_of(tool):
    """A tool's container; None where it has none."""
    if tool not in IMAGES:
        return None
    return IMAGES[tool].where(SITE.images if SITE else None)


def conda_of(tool):
    """A tool's conda file, as rules name it: Snakemake formats the path, that of the checkout included."""
    return braced(str(ROOT / f"envs/{tool or 'workflow'}.yaml"))


# Released files, by collection.
def released(collection, suffix=""):
    """The paths of a collection's files (all, or those whose name ends in `suffix`)."""
    return [
        f"results/downloads/{f.name}"
        for f in RELEASED[collection]
        if f.name.endswith(suffix)
    ]

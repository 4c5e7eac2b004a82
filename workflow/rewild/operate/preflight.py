"""Whether a study can start here: named checks, before a GPU-hour is spent.

What the cluster itself must answer (partitions, GPU types, folders) is :mod:`rewild.operate.site`'s. Here
is what the
study asks of it: plans that fit, places and pinned revisions of weights and data, consents, licences, keys
and disk.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rewild.config.benchmarks import RUBRIC
from rewild.config.engines import find_engine
from rewild.config.judging import judged_rows
from rewild.config.measures.labels import Asks
from rewild.config.mixes import FromHub
from rewild.config.models import Model, find_model
from rewild.config.prompts import Hub, hub_file
from rewild.config.responses import Compute
from rewild.config.runners import find_runner
from rewild.config.site import Site, load_site, minutes
from rewild.config.study import Study
from rewild.config.trainings import find_run
from rewild.core.errors import ConfigError, RewildError, known_name, nearest
from rewild.core.hub import find_token, home
from rewild.evaluation.harness.settings import evaluated, gpus_of, target_of
from rewild.evaluation.judged.job import answer_spec, judge_spec
from rewild.operate.cost.base import CostInputs, Line
from rewild.operate.cost.estimate import estimate
from rewild.operate.cost.report import size
from rewild.operate.licences import UNKNOWN, asks_consent, load_licences
from rewild.operate.site import Check, check_site
from rewild.prompts.synthesis.spec import specs_of, syntheses_of
from rewild.responses.spec import make_spec

RUNNING = 4  # runs that train at the same time, for the disk that is needed only meanwhile


@dataclass(frozen=True)
class Used:
    """A model that a study loads: as it is, to answer, or to be trained."""

    row: Model
    local: bool  # a folder that the study names or makes itself
    precision: str = "bf16"  # of its weights, as it answers

    @property
    def unpinned(self) -> str | None:
        """The checkpoint that is loaded, if no commit of it is pinned: where, and which key pins it."""
        hub, revision = self.row.checkpoint(self.precision)
        if self.local or hub is None or revision is not None:
            return None
        native = self.row.native is not None and hub == self.row.native.hub
        key = "native.revision" if native else "revision"
        key = "quantized_revision" if hub == self.row.quantized else key
        return f"{self.row.slug} ({hub}: '{key}')" if key != "revision" else self.row.slug


def used_models(inputs: CostInputs) -> dict[str, Used]:
    """Every model of the table whose weights a study loads, by slug.

    Raises:
        ConfigError: a name that is not in the table, with the nearest.
    """
    study, found = inputs.study, {}
    in_folders = {slug for slug, row in inputs.models.items() if row.folder is not None}
    for slug in study.responses.models if study.responses else []:
        own = study.responses.overrides.get(slug) if study.responses else None
        local = bool(own and own.path)
        if slug in in_folders or (local and slug not in inputs.models):
            continue
        if study.responses and not find_engine(study.responses.of(slug).engine).remote:
            row = find_model(inputs.models, slug)
            precision = (own.precision if own else None) or row.paper_precision or "bf16"
            found[slug] = Used(row, local, precision)
    for source in syntheses_of(study):
        for step, job in enumerate(specs_of(study, source, inputs.models, dict(inputs.gpus))):
            if source.speaks(step).path or job.model in in_folders or job.model in found or job.remote:
                continue
            found[job.model] = Used(find_model(inputs.models, job.model), False, job.source.precision)
    for measure in study.measures.values():
        named = (measure.row.needs and measure.named_model) or ""
        if named in inputs.models and named not in in_folders and named not in found:
            found[named] = Used(inputs.models[named], False, getattr(measure, "precision", "bf16"))
    listed = study.evaluation.benchmarks if study.evaluation else []
    for benchmark in judged_rows(listed, inputs.benchmarks):
        judge = judge_spec(study, benchmark, inputs.models, inputs.gpus)
        if judge and judge.model not in in_folders and judge.model not in found:
            found[judge.model] = Used(inputs.models[judge.model], False, judge.source.precision)
    for run in study.runs:
        slug = find_run(study, run).model
        if slug not in study.runs and slug not in in_folders and slug not in found:
            found[slug] = Used(find_model(inputs.models, slug), False)
    return found


def environment_of_jobs(profile: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables that jobs will see: on a cluster the site's file says where ``HF_HOME`` is."""
    if profile != "slurm":
        return environ
    try:
        weights = load_site().weights
    except ConfigError:  # check_profile says it
        return environ
    return {**environ, "HF_HOME": weights} if weights else environ


def check_study(inputs: CostInputs, accepted: Sequence[str], environ: Mapping[str, str]) -> list[Check]:
    """What the study itself needs, whichever machine it runs on. Looks at no network and changes nothing.

    Args:
        inputs: the study, and all tables.
        accepted: licences that the user has read and accepts.
        environ: the variables of jobs, for keys and places: :func:`environment_of_jobs`.
    """
    try:
        used = used_models(inputs)
    except ConfigError as error:
        return [Check("models", "missing", str(error))]
    return [
        *_plans(inputs),
        *_places(used),
        _revisions(inputs, used),
        _licences(inputs, used, accepted),
        *_tokens(inputs, used, environ),
        *_disk(inputs, environ),
    ]


def check_on_slurm(inputs: CostInputs, site: Site, root: Path) -> list[Check]:
    """What the study asks of a cluster: everything of :func:`rewild.operate.site.check_site`, GPUs and hours.

    Args:
        inputs: the study, and all tables.
        site: the cluster, as profiles/slurm/site.yaml describes it.
        root: the repository.
    """
    return [*check_site(site, root), *_gpus(inputs, site), *_hours(inputs, site)]


def check_profile(inputs: CostInputs, profile: str, root: Path) -> list[Check]:
    """What a profile's machines must offer: nothing is asked of this one; of a cluster, see above.

    Raises:
        ConfigError: there is no such profile.
    """
    known = sorted(p.name for p in (root / "profiles").glob("*") if p.is_dir())
    if known_name(profile, known, "unknown profile", listed="profiles") != "slurm":
        return []
    try:
        site = load_site()
    except ConfigError as error:
        found = [Check("site.yaml", "missing", str(error))]
        if not shutil.which("sinfo"):
            found.append(Check("SLURM", "missing", "sinfo is not on the PATH: run this on a login node"))
        return found
    return check_on_slurm(inputs, site, root)


def _plans(inputs: CostInputs) -> Iterator[Check]:
    """Every model fits on its GPUs, and its longest shard within the time of a job."""
    responses = inputs.study.responses
    if responses is None:
        return
    wrong, gpus = [], {}
    for slug in responses.models:
        try:
            gpus[slug] = make_spec(inputs.study, slug, inputs.models, dict(inputs.gpus)).gpus
        except ConfigError as error:
            wrong.append(str(error))
    if wrong:
        yield Check("engine plans", "missing", "; ".join(wrong))
        return
    most = max(gpus.values())
    sizes = ", ".join(f"{n} × {k}" for k, n in sorted(Counter(gpus.values()).items())) if most else "no GPUs"
    yield Check("engine plans", "ok", f"{len(gpus)} models fit (models × GPUs: {sizes})")
    try:
        lines = [line for line in estimate(inputs) if line.stage == "responses"]
    except RewildError as error:
        yield Check("hours of a shard", "unsure", str(error))
        return
    longest = max(lines, key=lambda line: line.hours, default=None)
    limit = responses.compute.minutes / 60
    if longest and longest.gpus:
        state = "ok" if longest.hours <= limit / 2 else "unsure" if longest.hours <= limit else "missing"
        hint = "" if state == "ok" else "; use more prompts.shards, or more responses.compute.minutes"
        yield Check(
            "hours of a shard",
            state,  # type: ignore[arg-type]
            f"{longest.hours:.1f} h for {longest.what}, of {limit:.0f} h that a job may take{hint}",
        )


def _places(used: Mapping[str, Used]) -> Iterator[Check]:
    """Weights are somewhere, and no model needs code of its own that it may not run."""
    nowhere = [slug for slug, model in used.items() if not model.local and model.row.hub is None]
    if nowhere:
        yield Check(
            "places of models",
            "missing",
            f"where these lie is not established: {_few(nowhere)}; give responses.overrides.MODEL.path (a "
            "folder) or 'hub' in config/models.yaml, or leave them out: "
            f"--config models={','.join(f'-{slug}' for slug in nowhere)}",
        )
    else:
        yield Check("places of models", "ok", f"{len(used)} models are on the hub or in folders")
    code = [s for s, m in used.items() if m.row.needs_code and not m.local]
    if code:
        yield Check(
            "code of models",
            "unsure",
            f"these ship code that may not run (trust_remote_code is off): {_few(code)}; they work only if "
            "vLLM knows their architecture; their pilots will show it",
        )


def _revisions(inputs: CostInputs, used: Mapping[str, Used]) -> Check:
    """Everything from the hub is pinned to a commit."""
    models = [name for m in used.values() if (name := m.unpinned)]
    data = {s.repository for s in _hub_data(inputs.study) if s.revision is None}
    rewards = {
        p.scorer.path
        for p in inputs.study.preferences.values()
        if p.scorer.kind == "reward-model" and p.scorer.revision is None and not Path(p.scorer.path).is_dir()
    }
    open_ends = []
    if models:
        open_ends.append(f"{len(models)} models ({_few(models)}): 'revision' in config/models.yaml")
    if data:
        open_ends.append(f"data sets ({_few(sorted(data))}): 'revision' in the study")
    if rewards:
        open_ends.append(f"reward models ({_few(sorted(rewards))}): 'scorer.revision' in the study")
    if open_ends:
        return Check(
            "pinned revisions",
            "missing",
            f"not pinned: {'; '.join(open_ends)}. `rewild pin {inputs.study.name}` asks the hub for all of "
            "them; unpinned weights may change while the study runs",
        )
    return Check("pinned revisions", "ok", f"{len(used)} models and all data sets")


def _licences(inputs: CostInputs, used: Mapping[str, Used], accepted: Sequence[str]) -> Check:
    """Every licence is open, or accepted by the person or in config.yaml."""
    rows = load_licences()
    known = {row.licence for row in inputs.models.values() if row.licence} | {UNKNOWN, *rows}
    for name in accepted:
        if name not in known:
            hint = nearest(name, known)
            return Check(
                "licences", "missing", f"'licences' in config/config.yaml: no licence '{name}'{hint}"
            )
    models = {slug: m for slug, m in used.items() if not m.local or m.row.licence}
    by_licence: dict[str, list[str]] = defaultdict(list)
    for slug, model in models.items():
        by_licence[model.row.licence or UNKNOWN].append(slug)
    rest = {n: slugs for n, slugs in by_licence.items() if n not in accepted and asks_consent(n, rows)}
    if rest:
        shown = "; ".join(f"{name}: {_few(slugs, 3)}" for name, slugs in sorted(rest.items()))
        return Check(
            "licences",
            "missing",
            f"not accepted ({shown}). Read them, then accept each by its name: rewild accept {min(rest)}",
        )
    shown = ", ".join(f"{name} ({len(slugs)})" for name, slugs in sorted(by_licence.items()))
    return Check("licences", "ok", shown or "no models")


GATED_DATA = ("Idavidrein/gpqa", "allenai/WildChat-1M-Full", "lmsys/lmsys-chat-1m", "cais/hle")
"""Data sets of the hub that ask for consent; lower and upper case are one."""


def _gated_data(inputs: CostInputs) -> list[str]:
    """Data sets that the study reads of the hub and that ask for consent."""
    listed = inputs.study.evaluation.benchmarks if inputs.study.evaluation else []
    read = [inputs.benchmarks[name].dataset for name in listed if name in inputs.benchmarks]
    if inputs.study.prompts:
        read += [getattr(source, "repository", None) for source in inputs.study.prompts.sources]
    for mix in inputs.study.mixes.values():
        read += [getattr(source, "repository", None) for source in mix.sources]
    known = {name.lower() for name in GATED_DATA}
    return sorted({name for name in read if name and name.lower() in known})


def _tokens(inputs: CostInputs, used: Mapping[str, Used], environ: Mapping[str, str]) -> Iterator[Check]:
    """Keys that are needed are in the environment. Their values are never shown."""
    gated = [s for s, m in used.items() if m.row.gated and not m.local] + _gated_data(inputs)
    if gated and find_token(environ) is None:
        yield Check(
            "token of the hub",
            "missing",
            f"{len(gated)} models and data sets ask for consent ({_few(gated, 3)}): ask for access on their "
            "pages, set HF_TOKEN",
        )
    elif gated:
        yield Check(
            "token of the hub",
            "ok",
            f"there is one; {len(gated)} models and data sets ask for consent: {_few(gated, 3)}",
        )
    for key, what in sorted(_keys(inputs)):
        there = bool(environ.get(key))
        detail = f"{key} is {'set' if there else 'not set'}; {what} needs it"
        yield Check(f"key {key}", "ok" if there else "missing", detail)


def _keys(inputs: CostInputs) -> set[tuple[str, str]]:
    """Environment variables with keys of endpoints, and what each is for."""
    study, found = inputs.study, set()
    if study.responses and any(
        find_engine(study.responses.of(m).engine).remote for m in study.responses.models
    ):
        found.add((study.responses.compute.key, "the endpoint that answers"))
    judging, evaluation = study.judging, study.evaluation
    if evaluation:
        rows = [inputs.benchmarks[s] for s in evaluation.benchmarks if s in inputs.benchmarks]
        judges = {judging.judge_of(row) for row in rows if row.judged}
        if judges - {"rubric"} and not (judging.endpoint or judging.local):
            found.add((judging.key, f"the judge {', '.join(sorted(judges - {'rubric'}))}"))
    for pair in study.preferences.values():
        if pair.scorer.kind == "judge":
            found.add((pair.scorer.key, f"the judge {pair.scorer.model}"))
    for name, row in study.measures.items():
        if isinstance(row, Asks) and row.remote and row.model != RUBRIC:
            compute = row.compute or (study.responses.compute if study.responses else Compute())
            if compute.endpoint is None:
                found.add((compute.key, f"{row.model}, for the measure {name},"))
    return found


def _disk(inputs: CostInputs, environ: Mapping[str, str]) -> Iterator[Check]:
    """What will be written has room, on each file system that is written to."""
    try:
        lines = estimate(inputs)
    except RewildError as error:
        yield Check("disk", "unsure", f"not estimated: {error}")
        return
    places: dict[int, list[tuple[str, Path, float]]] = defaultdict(list)
    for what, folder, needed in (
        ("results", inputs.results, _needed(lines, ("weights", "tools"))),
        ("weights in HF_HOME", home(environ), sum(line.disk for line in lines if line.stage == "weights")),
        ("environments", Path(".envs"), sum(line.disk for line in lines if line.stage == "tools")),
    ):
        there = _existing(folder)
        if needed:
            places[there.stat().st_dev].append((what, there, needed))
    for wanted in places.values():
        free = shutil.disk_usage(wanted[0][1]).free
        needed = sum(n for *_, n in wanted)
        shown = ", ".join(f"{what} {size(n)}" for what, _, n in wanted)
        detail = f"{wanted[0][1].resolve()}: {size(free) or '0'} free, {size(needed)} needed ({shown})"
        yield Check("disk", "ok" if free >= needed else "missing", detail)


def _needed(lines: Iterable[Line], elsewhere: Sequence[str]) -> float:
    """Bytes that stay, those of chunks, and those of the runs that train at one time."""
    mine = [line for line in lines if line.stage not in elsewhere]
    training = sorted((line.passing for line in mine if line.stage == "training"), reverse=True)
    rest = sum(line.passing for line in mine if line.stage != "training")
    return sum(line.disk for line in mine) + rest + sum(training[:RUNNING])


def _existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that exists."""
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.is_dir())


def _gpus(inputs: CostInputs, site: Site) -> Iterator[Check]:
    """Some partition has nodes with as many GPUs of the kind as a job needs."""
    try:
        asked = _asked(inputs)
    except ConfigError as error:
        yield Check("GPUs", "missing", str(error))
        return
    for kind, most in sorted(asked.items()):
        try:
            name = site.gpu_name(kind)
        except ConfigError as error:
            yield Check(f"GPUs {kind}", "missing", str(error))
            continue
        fitting = site.fitting(most, name)
        called = f"{kind} ({name})" if name else kind
        if fitting:
            yield Check(f"GPUs {kind}", "ok", f"up to {most} of {called} on a node: {', '.join(fitting)}")
        else:
            yield Check(
                f"GPUs {kind}",
                "missing",
                f"a job needs {most} of {called} on one node; no partition of the site has",
            )


def _asked(inputs: CostInputs) -> dict[str, int]:
    """GPU type → the most GPUs that one job of the study asks for."""
    most: dict[str, int] = defaultdict(int)
    for kind, gpus in _gpu_jobs(inputs):
        if kind and gpus:
            most[kind] = max(most[kind], gpus)
    return dict(most)


def _gpu_jobs(inputs: CostInputs) -> Iterator[tuple[str | None, int]]:
    """GPU type and number of the jobs that write prompts, answer, train, and take benchmarks."""
    study, gpus = inputs.study, dict(inputs.gpus)
    for source in syntheses_of(study):
        for job in specs_of(study, source, inputs.models, gpus):
            yield job.compute.gpu, job.gpus
    if study.responses:
        for model in study.responses.models:
            job = make_spec(study, model, inputs.models, gpus)
            yield job.compute.gpu, job.gpus
        for run in study.runs.values():
            if run.recipe:
                yield study.responses.compute.gpu, inputs.recipes[run.recipe].gpus
    if study.evaluation:
        judged = judged_rows(study.evaluation.benchmarks, inputs.benchmarks)
        for name in evaluated(study):
            target = target_of(study, name, inputs.models)
            yield study.evaluation.compute.gpu, gpus_of(study, target, gpus)
            for row in judged[:1]:  # one job answers them all
                answers = answer_spec(study, name, find_runner(row.runner), inputs.models, gpus)
                yield answers.compute.gpu, answers.gpus
        for row in judged:
            if judge := judge_spec(study, row, inputs.models, gpus):
                yield judge.compute.gpu, judge.gpus


def _hours(inputs: CostInputs, site: Site) -> Iterator[Check]:
    """Whether jobs have the time that the study allows them: they ask for no more than partitions give."""
    study = inputs.study
    allowed = [minutes(p.max_runtime) for p in site.partitions.values() if p.max_gpu]
    asked = {f"recipe {r.recipe}": inputs.recipes[r.recipe].minutes for r in study.runs.values() if r.recipe}
    if study.responses:
        asked["responses.compute.minutes"] = study.responses.compute.minutes
    if study.evaluation:
        asked["evaluation.compute.minutes"] = study.evaluation.compute.minutes
        asked["judging.answers.compute.minutes"] = study.judging.answers.compute.minutes
    if allowed and asked:
        what, longest = max(asked.items(), key=lambda item: item[1])
        fits = longest <= max(allowed)
        detail = f"{what} allows {longest / 60:.0f} h; partitions with GPUs give {_hours_text(allowed)}"
        cut = ": a job that takes longer goes on in its next attempt, of four"
        yield Check("hours of jobs", "ok" if fits else "unsure", detail + ("" if fits else cut))


def _hours_text(allowed: Sequence[float]) -> str:
    longest = max(allowed)
    return "any time" if longest == float("inf") else f"{longest / 60:.0f} h"


def _hub_data(study: Study) -> Iterator[Hub | FromHub]:
    """Data sets of the hub that a study reads and does not have yet."""
    for source in study.prompts.sources if study.prompts else []:
        if isinstance(source, Hub) and not Path(hub_file(source)).is_file():
            yield source
    for mix in study.mixes.values():
        yield from (source for source in mix.sources if isinstance(source, FromHub))


def _few(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown

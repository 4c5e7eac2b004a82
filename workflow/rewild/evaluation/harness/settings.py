"""What identifies the results of a run on a ground-truth benchmark, and where its model comes from.

Pure configuration: the workflow calls this on a dry run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from rewild.config.assumptions import load_assumptions
from rewild.config.base import identity
from rewild.config.benchmarks import Benchmark
from rewild.config.evaluation import Evaluation, ground_truth
from rewild.config.gpus import Gpu
from rewild.config.models import Model
from rewild.config.reasoning import Reasoning, reckoned
from rewild.config.stages import version
from rewild.config.study import Study
from rewild.core.errors import ConfigError, known_name
from rewild.engines.plan import Plan, architecture_of, plan, with_share
from rewild.engines.roofline import Traffic, choose

LONGEST_CONTEXT = 8192
"""Tokens of context where a study names none and the model could do more: room for every prompt and answer of
the leaderboard, and the same on every kind of GPU, so that how a score is computed does not change it."""
QUESTIONS = "results/{study}/questions"
"""Where the demo's own questions are made; a study names the folder in `evaluation.settings.*.files`."""

DEMO_QUESTIONS = ("demo_knowledge/test.jsonl", "leaderboard_ifeval/train.jsonl")
"""What is made there."""


@dataclass(frozen=True)
class Task:
    """One benchmark as a study wants it run. All of it identifies the results, but for ``benchmark``.

    Attributes:
        benchmark: a row of benchmarks.yaml.
        name: lm-eval's task or group.
        folder: a folder with the task's own definition, for one that lm-eval does not bring.
        fewshot: worked examples; None takes the task's.
        limit: only the first items of each leaf task; None takes all.
        max_new_tokens: longest answer; None takes the task's.
        files: folder of the questions; None takes them from the hub.
        dataset, revision: the hub's data set and its commit.
        columns: what each question must have.
        runs_code: whether programs that the model wrote are run.
    """

    benchmark: str
    name: str
    folder: str | None
    fewshot: int | None
    limit: int | None
    max_new_tokens: int | None
    files: str | None
    dataset: str | None
    revision: str | None
    columns: tuple[str, ...]
    runs_code: bool

    def identity(self) -> dict[str, Any]:
        """What identifies the results, as far as the configuration knows it.

        The benchmark's name and the metric do not: rows that read two metrics off one task share its results.
        """
        mine = asdict(self)
        for key in (
            "benchmark",
            "columns",
            "dataset" if self.files else "",
            "revision" if self.files else "",
        ):
            mine.pop(key, None)
        return mine


@dataclass(frozen=True)
class Target:
    """The model of a run.

    Attributes:
        path: a folder, or a hub id.
        revision: the commit on the hub; None for a folder.
        row: its row of the table of models.
        slug: the model that the run starts from.
    """

    path: str
    revision: str | None
    local: bool
    trust_remote_code: bool
    row: Model
    slug: str


def evaluated(study: Study) -> list[str]:
    """The runs that a study evaluates, in its order."""
    if study.evaluation is None:
        return []
    chosen = study.evaluation.runs
    for run in chosen or []:
        where = f"study {study.name}: evaluation.runs:"
        known_name(run, study.runs, where, after=" is not among its runs")
    return list(study.runs) if chosen is None else chosen


def check_evaluation(study: Study, benchmarks: Mapping[str, Benchmark], models: Mapping[str, Model]) -> None:
    """Find out on a dry run what is wrong with a study's evaluation.

    Raises:
        ConfigError: an unknown benchmark or run, settings of a benchmark that lm-eval does not run, questions
            from nowhere, a model from nowhere.
    """
    if study.evaluation is None:
        return
    try:
        tasks = tasks_of(study, benchmarks)
    except ConfigError as error:
        if str(error).startswith("study"):
            raise
        raise ConfigError(f"study {study.name}: evaluation.benchmarks: {error}") from None
    mine = {task.benchmark for task in tasks}
    for slug in study.evaluation.settings:
        if slug not in mine:
            raise ConfigError(
                f"study {study.name}: evaluation.settings: '{slug}' is not run by lm-eval; remove it"
            )
    for run in evaluated(study):
        target_of(study, run, models)


def target_of(study: Study, run: str, models: Mapping[str, Model]) -> Target:
    """The model that a run is evaluated with.

    Raises:
        ConfigError: an unknown run or model, or a model that is nowhere to be loaded from.
    """
    from rewild.config.trainings import find_run, weights_of

    found = weights_of(study, run, models)
    return Target(
        found.path,
        found.revision,
        found.local,
        found.trust_remote_code,
        found.row,
        find_run(study, run).model,
    )


def evaluation_of(study: Study) -> Evaluation:
    """The study's section; a :class:`ConfigError` if it has none."""
    if study.evaluation is None:
        raise ConfigError(f"study {study.name}: it has no section 'evaluation'")
    return study.evaluation


def tasks_of(study: Study, benchmarks: Mapping[str, Benchmark]) -> list[Task]:
    """The ground-truth benchmarks of a study, in its order.

    Raises:
        ConfigError: a benchmark that runs programs without permission, or that has no questions.
    """
    section = evaluation_of(study)
    found = []
    for row in ground_truth(section, benchmarks):
        own = section.of(row.slug)
        where = f"study {study.name}: benchmark {row.slug}"
        if row.runs_code and not section.allow_code:
            raise ConfigError(
                f"{where} runs programs that the model wrote; set evaluation.allow_code: true to let them "
                "run in a sandbox without files and network"
            )
        if own.files is None and row.dataset is None:
            raise ConfigError(
                f"{where} has no data set on the hub; give evaluation.settings.{row.slug}.files, a folder"
            )
        found.append(
            Task(
                benchmark=row.slug,
                name=str(row.task),
                folder=row.tasks,
                fewshot=row.fewshot if own.fewshot is None else own.fewshot,
                limit=own.limit,
                max_new_tokens=own.max_new_tokens,
                files=own.files,
                dataset=row.dataset,
                revision=row.revision,
                columns=tuple(row.columns),
                runs_code=row.runs_code,
            )
        )
    return found


def seed_of(study: Study) -> int:
    """The seed of every random choice of the evaluation."""
    section = evaluation_of(study)
    return study.seed if section.seed is None else section.seed


def precision_of(section: Evaluation) -> str:
    """Of the weights: as set, or bf16 on a GPU and fp32 on a CPU."""
    return section.precision or ("bf16" if section.compute.gpu else "fp32")


def context_of(section: Evaluation, target: Target) -> int | None:
    """Tokens of context that questions and answers must fit into; None where the model's is not known."""
    native = target.row.native_context
    return section.max_length or (min(native, LONGEST_CONTEXT) if native else None)


def shared_identity(study: Study, target: Target) -> dict[str, Any]:
    """What identifies the results of a run, whatever the benchmark, as far as the configuration knows it."""
    section = evaluation_of(study)
    return {
        "stage_version": version("evaluation"),
        "seed": seed_of(study),
        "model": target.path if not target.local else None,  # a folder's content is hashed instead
        "revision": target.revision,
        **identity(section),
        **({"reasoning": thinks.identity} if (thinks := target.row.reasoning) else {}),
    } | {
        "seed": seed_of(study),
        "precision": precision_of(section),
        "max_length": context_of(section, target),
    }


def settings_of(
    study: Study, run: str, benchmarks: Mapping[str, Benchmark], models: Mapping[str, Model]
) -> str:
    """What identifies the results of a run's job, as JSON: the rule runs again when it changes."""
    tasks = {task.benchmark: task.identity() for task in tasks_of(study, benchmarks)}
    shared = shared_identity(study, target_of(study, run, models))
    return json.dumps(shared | {"sentences": evaluation_of(study).sentences, "benchmarks": tasks})


def digest_of(identity: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that name an identity."""
    return sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def planned(study: Study, target: Target, gpus: Mapping[str, Gpu] | None = None) -> Plan | None:
    """The engine plan of a run's job, made with the context and the memory share that lm-eval is given.

    None on a CPU.
    """
    section = evaluation_of(study)
    if section.compute.gpu is None:
        return None
    name = section.compute.gpu
    own = section.compute
    _, known = with_share(name, gpus, own.gpu_memory_utilization, own.vllm.given)
    shape, context = architecture_of(target.row, precision_of(section)), context_of(section, target)
    if section.backend != "vllm":
        return plan(shape, name, known, context=context)
    use = asked(section.benchmarks, context or shape.native_context, target.row.reasoning)
    objective, where = section.compute.objective, "evaluation.compute.objective"
    return choose(shape, name, known, use, objective=objective, context=context, where=where)


def asked(benchmarks: Sequence[str], context: int, reasoning: Reasoning | None = None) -> Traffic:
    """The mean request of a run's benchmarks; nothing of a prompt is in the prefix cache (see Questions)."""
    known = load_assumptions().questions
    rows = [known[slug] for slug in benchmarks if slug in known]
    requests = sum(row.questions * row.requests for row in rows) or 1
    read = sum(row.questions * row.requests * min(row.read, context) for row in rows) / requests
    each = [row.written and row.written + reckoned(reasoning) for row in rows]  # none: options
    written = sum(r.questions * r.requests * w for r, w in zip(rows, each, strict=True)) / requests
    return Traffic(read or 1, read or 1, written or 1, (read or 1) + written / 2)


def memory_share(section: Evaluation, gpus: Mapping[str, Gpu] | None = None) -> float | None:
    """The share of a GPU's memory that vLLM may take: the study's, or its type's; None on a CPU."""
    own = section.compute.gpu_memory_utilization
    if own is not None or section.compute.gpu is None:
        return own
    return with_share(section.compute.gpu, gpus, None)[0]


def gpus_of(study: Study, target: Target, gpus: Mapping[str, Gpu] | None = None) -> int:
    """GPUs that a run's job needs: those that hold its weights and one full context; 0 on a CPU."""
    made = planned(study, target, gpus)
    return made.gpus if made else 0


def memory_mb(study: Study, target: Target) -> int:
    """Main memory that a run's job needs, in MB: the weights pass through it; torch and data live in it."""
    section = evaluation_of(study)
    each = {"fp32": 4, "bf16": 2}[precision_of(section)]
    billions = target.row.parameters.total / 1e9 if target.row.parameters else 0
    return 3000 + int(1.3 * each * billions * 1000) + (8000 if section.compute.gpu else 0)


def environment_of(section: Evaluation) -> str:
    """The environment that lm-eval runs in."""
    return section.compute.environment or ("lm-eval" if section.compute.gpu else "lm-eval-cpu")

"""lm-eval itself: a model, a task, what came of it. This module runs in lm-eval's own environment.

Every benchmark is one call of ``lm_eval.simple_evaluate`` with the model already loaded: seeds are set anew
for each, so that its results do not depend on which other benchmarks ran before it (GPQA shuffles its options
with Python's global generator as it loads).
"""

from __future__ import annotations

import logging
import math
import os
import random
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2.exceptions import TemplateError

from rewild.core.errors import ConfigError, DataError, first_line, nearest
from rewild.engines import base
from rewild.engines.devices import take_gpus
from rewild.engines.tokenizer import load_tokenizer
from rewild.evaluation.harness import control, gate, questions, sandbox, sentences
from rewild.evaluation.harness.reasoning import Thought
from rewild.evaluation.harness.settings import Target, Task

log = logging.getLogger(__name__)
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
BAD_QUESTIONS = (
    *(LookupError, ValueError, TypeError, AttributeError, AssertionError, ArithmeticError, RecursionError),
    TemplateError,
)
"""What a task's code raises over questions of another form."""
TOKENS_AT_ONCE = 2048
"""Of prompts, in one step of vLLM. It makes log-probabilities over the whole vocabulary of all of them at
once, in memory that its plan does not count: 2048 x 256,000 numbers are 2 GB, 16 times as many do not fit."""


@dataclass(frozen=True)
class Settings:
    """How a model is loaded and asked.

    Attributes:
        backend: ``hf`` or ``vllm``.
        precision: ``fp32`` or ``bf16``.
        gpus: GPUs that share the model; 0 is the CPU.
        max_length: tokens of context; None is the model's.
        batch: questions at once (hf).
        system: the study's system prompt; the empty text empties what a template writes by itself.
        sentences: ``punkt_tab`` or ``stand-in`` (see :mod:`rewild.evaluation.harness.sentences`).
        memory_share: of each GPU's memory that vLLM may take.
        without_system_role: ``first-turn`` or ``refuse`` (see :mod:`rewild.evaluation.harness.control`).
        confined: whether programs that the model wrote run in a sandbox.
        vllm: more arguments of vLLM's engine.
    """

    backend: str
    precision: str
    gpus: int
    seed: int
    max_length: int | None = None
    batch: int | str = 8
    system: str | None = None
    sentences: str = "punkt_tab"
    memory_share: float | None = None
    without_system_role: str = "first-turn"
    confined: bool = True
    vllm: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What lm-eval said of one benchmark.

    Attributes:
        summary: everything but the samples, ready to be written as JSON.
        samples: one row per question and filter, in the order of tasks and questions.
    """

    summary: dict[str, Any]
    samples: list[dict[str, Any]]


@dataclass(frozen=True)
class _Asked:
    """Questions per leaf task, what splits answers into sentences, the longest answers in tokens."""

    questions: dict[str, int]
    sentences: str | None
    longest: dict[str, int]


def versions() -> dict[str, str]:
    """Versions of what decides the results."""
    found = base.versions("lm-eval", "torch", "transformers", "vllm")
    return {name: version.partition("+")[0] for name, version in found.items() if name != "python"}


def model_arguments(target: Target, settings: Settings) -> dict[str, Any]:
    """What lm-eval's class of model is called with. Paths are absolute: none is taken for a hub id."""
    arguments: dict[str, Any] = {
        "pretrained": str(Path(target.path).resolve()) if target.local else target.path,
        "dtype": DTYPES[settings.precision],
        "trust_remote_code": target.trust_remote_code,
    }
    if target.revision:
        arguments["revision"] = target.revision
    if settings.backend == "vllm":
        arguments |= {
            "tensor_parallel_size": max(settings.gpus, 1),
            "seed": settings.seed,
            "max_model_len": settings.max_length,
            "max_num_batched_tokens": TOKENS_AT_ONCE,
            "batch_size": "auto",
            "generation_config": "vllm",  # how a token is chosen is the study's, not the model's files'
            # Mistral's own tokenizer, config and weights would be taken where its package is installed.
            "tokenizer_mode": "hf",
            "config_format": "hf",
            "load_format": "hf",
            "ignore_patterns": ["original/**/*", "consolidated*"],
        }
        if target.revision:
            arguments["tokenizer_revision"] = target.revision
        if settings.memory_share:
            arguments["gpu_memory_utilization"] = settings.memory_share
        return arguments | dict(settings.vllm)
    return arguments | {
        "device": "cuda" if settings.gpus else "cpu",
        "batch_size": settings.batch,
        "max_length": settings.max_length,
        "parallelize": settings.gpus > 1,
    }


class Harness:
    """A loaded model. Opening one is slow; running a task on it is lm-eval's work."""

    def __init__(self, target: Target, settings: Settings, scratch: Path, tasks: Sequence[Task]) -> None:
        """Check the tasks, then load the model.

        Args:
            target: which model.
            settings: how.
            scratch: a folder of this job alone, for the data sets' cache (in which GPQA's shuffle freezes).
            tasks: all that will be run.

        Raises:
            ConfigError: an unknown task, a backend that is not installed, a model that cannot be loaded.
            DataError: files of questions that are missing or lack a column.
        """
        if settings.gpus:
            take_gpus(settings.gpus)
        os.environ["HF_DATASETS_CACHE"] = str(scratch / "datasets")
        self._runs_code = any(task.runs_code for task in tasks)
        if self._runs_code:
            sandbox.take_over(settings.confined)
        self._scratch, self.settings = scratch, settings
        self._punkt = sentences.prepare(scratch / "nltk")
        from lm_eval.api.registry import get_model

        self._managers = {task.benchmark: self._prepare(task) for task in tasks}
        arguments = model_arguments(target, settings)
        if settings.backend == "hf":  # lm-eval would take Mistral's own, where its package is installed
            arguments["tokenizer"] = load_tokenizer(
                arguments["pretrained"],
                target.slug,
                revision=target.revision,
                trust_remote_code=target.trust_remote_code,
            )
        try:
            self.lm = get_model(settings.backend)(**arguments)
        except ImportError as error:
            raise ConfigError(
                f"backend {settings.backend}: {error} (see evaluation.compute.environment)"
            ) from error
        except (OSError, ValueError) as error:
            raise ConfigError(f"model {target.path}: it cannot be loaded: {error}") from error
        template = getattr(self.lm.tokenizer, "chat_template", None)
        self.template = template if isinstance(template, str) else self._named(template)
        thinks = target.row.reasoning
        self.sampling = control.neutralise(self.lm, settings.backend, target.slug, self.template, thinks)
        self.thought: Thought | None = None
        if thinks is not None:
            self.thought = Thought(self.lm, settings.backend, target.slug, self.template, thinks)
        self.prompts: control.Prompts | None = None
        if self.template:
            refuse = settings.without_system_role == "refuse"
            self.prompts = control.Prompts(
                self.lm.tokenizer, self.template, target.slug, settings.system, refuse, thinks
            )
            self.lm.apply_chat_template = self.prompts.render

    def _named(self, templates: Any) -> str | None:
        """The template that lm-eval takes where a tokenizer has several."""
        return self.lm.chat_template(True) if templates else None

    @property
    def template_hash(self) -> str | None:
        """SHA-256 of the chat template; None if the model has none."""
        return sha256(self.template.encode()).hexdigest() if self.template else None

    def close(self) -> None:
        """Give the model back. vLLM runs in a process of its own, and Python would wait for it at its end."""
        core = getattr(getattr(getattr(self.lm, "model", None), "llm_engine", None), "engine_core", None)
        if core is not None and hasattr(core, "shutdown"):
            core.shutdown()

    def engine(self) -> str:
        """What runs the model, with versions."""
        found = versions()
        libraries = ("vllm", "torch") if self.settings.backend == "vllm" else ("transformers", "torch")
        names = ", ".join(f"{name} {found[name]}" for name in libraries if name in found)
        return f"lm-eval {self.settings.backend} ({names}, {self.settings.precision})"

    def run(self, task: Task) -> Outcome:
        """Run one benchmark.

        Raises:
            ConfigError: lm-eval has no such task, or a setting does not fit the model or the task.
            DataError: missing or malformed questions.
        """
        with self._faults(task):
            return self._run(task)

    @contextmanager
    def _faults(self, task: Task) -> Iterator[None]:
        """What a task's own code raises over questions that it cannot use becomes one message."""
        try:
            yield
        except BAD_QUESTIONS as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}, line {last.lineno}"
            raise DataError(
                f"benchmark {task.benchmark}: lm-eval cannot use the questions of "
                f"{task.files or task.dataset}: {type(error).__name__}: {first_line(error)} ({place})"
            ) from error

    def _run(self, task: Task) -> Outcome:
        from lm_eval import evaluator

        # It would ask pip, compilers and drivers about the machine after each benchmark; nothing reads that.
        evaluator.add_env_info = lambda results: None
        manager, loaded = self._managers[task.benchmark], self._load(task)
        leaves = loaded["tasks"]
        docs = {name: list(leaf.eval_docs) for name, leaf in leaves.items()}
        for name, rows in docs.items():
            if not rows:
                raise DataError(f"{task.benchmark}: the task {name} has no questions")
        split = sentences.check(
            (row for rows in docs.values() for row in rows[: task.limit]),
            self.settings.sentences,
            self._punkt,
            task.benchmark,
        )
        longest = self._longest(task, leaves)
        spare = self.thought.budget if self.thought else 0
        if self.thought:
            longest = self.thought.lengthen(task.benchmark, leaves, longest)
        seed = self.settings.seed
        results = evaluator.simple_evaluate(
            model=self.lm,
            tasks=[loaded["groups"].get(task.name) or leaves[task.name]],
            task_manager=manager,
            num_fewshot=task.fewshot,
            limit=task.limit,
            gen_kwargs={"max_gen_toks": task.max_new_tokens + spare} if task.max_new_tokens else None,
            apply_chat_template=self.template is not None,
            fewshot_as_multiturn=self.template is not None,
            system_instruction=self.settings.system or None,
            log_samples=True,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
            confirm_run_unsafe_code=task.runs_code,
        )
        self._check_shots(task, results["n-shot"], leaves)
        counts = {name: len(rows) for name, rows in docs.items()}
        outcome = self._outcome(task, results, _Asked(counts, split, longest))
        self._check_prompts(task, outcome.samples, leaves)
        return outcome

    def _check_prompts(
        self, task: Task, samples: Sequence[Mapping[str, Any]], leaves: Mapping[str, Any]
    ) -> None:
        """The gate: every question was asked with its instructions, the fixed date, and one BOS."""
        tokenizer = self.lm.tokenizer
        adds = tokenizer.bos_token_id is not None and tokenizer.bos_token_id in tokenizer("a").input_ids

        def instructions(sample: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
            leaf = leaves[sample["task"]]
            yield "the task's description", leaf.resolve_field(sample["doc"], leaf.config.description) or ""
            yield "evaluation.system", self.settings.system or ""

        def bos(text: str) -> str | None:
            return gate.one_bos(text, self.lm.tok_encode, tokenizer.bos_token_id, tokenizer.bos_token, adds)

        dates = self.prompts.dates() if self.prompts else []
        gate.check_prompts(task.benchmark, samples, instructions, dates, bos)

    def _load(self, task: Task) -> Any:
        """lm-eval's tasks of one benchmark, with their questions."""
        random.seed(self.settings.seed)
        try:
            return self._managers[task.benchmark].load([task.name])
        except Exception as error:
            # datasets, the hub's client and a task's own code raise whatever they like here.
            source = task.files or task.dataset
            raise DataError(
                f"benchmark {task.benchmark}: the questions of {source} cannot be read: "
                f"{type(error).__name__}: {str(error)[:500]}"
            ) from error

    def _prepare(self, task: Task) -> Any:
        """lm-eval's task manager for one benchmark, with the study's files in place of the hub's."""
        from lm_eval.tasks import TaskManager

        places = [str(folder) for folder in _definitions(task)]
        manager = TaskManager(include_defaults=not places, include_path=places or None)
        if task.name not in manager.task_index:
            if places:  # a task that is not where its name says: look everywhere, which takes 10 seconds
                manager = TaskManager()
                places = []
            if task.name not in manager.task_index:
                hint = nearest(task.name, manager.all_tasks)
                raise ConfigError(f"benchmark {task.benchmark}: lm-eval has no task '{task.name}'{hint}")
        if task.files is not None or task.revision is not None:
            folder = Path(tempfile.mkdtemp(prefix="tasks-", dir=self._scratch))
            for name in _leaves(manager, task.name):
                self._redirect(task, name, Path(manager.task_index[name].yaml_path), folder)
            manager = TaskManager(include_defaults=not places, include_path=[*places, str(folder)])
            for name in _leaves(manager, task.name):  # a definition it cannot read is passed over silently
                if Path(manager.task_index[name].yaml_path).parent != folder:
                    raise DataError(f"benchmark {task.benchmark}: lm-eval does not read {folder / name}.yaml")
        return manager

    def _redirect(self, task: Task, leaf: str, definition: Path, folder: Path) -> None:
        if task.files is None:
            questions.pin(leaf, definition, str(task.revision), folder)
            return
        splits = questions.splits_of(Path(task.files), leaf)
        for file in splits.values():
            questions.check_rows(file, task.columns)
        questions.override(leaf, definition, splits, folder)

    def _longest(self, task: Task, leaves: Mapping[str, Any]) -> dict[str, int]:
        """The longest answer of each task that writes, in tokens; it must leave room for a question."""
        found = {}
        for name, leaf in leaves.items():
            if leaf.OUTPUT_TYPE != "generate_until":
                continue
            own = (leaf.config.generation_kwargs or {}).get("max_gen_toks") or self.lm.max_gen_toks
            longest = task.max_new_tokens or int(own)
            most = longest + (self.thought.budget if self.thought else 0)
            if most >= self.lm.max_length:
                raise ConfigError(
                    f"benchmark {task.benchmark}: answers may be {most} tokens long, which leaves no room "
                    f"for a question in a context of {self.lm.max_length}; give "
                    f"evaluation.settings.{task.benchmark}.max_new_tokens"
                )
            found[name] = longest
        return found

    @staticmethod
    def _check_shots(task: Task, shots: Mapping[str, int], leaves: Iterable[str]) -> None:
        """lm-eval keeps a task's own zero over a wish for examples; a score must not pass for another."""
        if task.fewshot is None:
            return
        for leaf in leaves:
            if shots[leaf] != task.fewshot:
                raise ConfigError(
                    f"benchmark {task.benchmark}: {task.fewshot} worked examples are asked for, but the task "
                    f"{leaf} takes {shots[leaf]}; say fewshot: {shots[leaf]}"
                )

    def _outcome(self, task: Task, results: Mapping[str, Any], asked: _Asked) -> Outcome:
        longest = asked.longest
        samples = [
            {"task": name, **_sample(row)}
            for name in asked.questions
            for row in sorted(results["samples"][name], key=lambda row: (row["doc_id"], row["filter"]))
        ]
        hashes = sorted({f"{row['task']}/{row['doc_id']}/{row['doc_hash']}" for row in samples})
        parts = {}
        for name, count in asked.questions.items():
            mine = [row for row in samples if row["task"] == name]
            first = {row["doc_id"]: row for row in mine}  # filters read the same answer
            parts[name] = {
                "version": results["versions"].get(name),
                "fewshot": results["n-shot"][name],
                "questions": count,
                "asked": len(first),
                "empty": sum(_is_empty(row) for row in first.values()) if name in longest else None,
                "longest_answer": longest.get(name),
                "not_finite": sum(_is_broken(row) for row in first.values()),
                "truncated": sum(self._is_truncated(row, longest.get(name)) for row in first.values()),
            }
        wanted = [name for name in (task.name, *parts) if name in results["results"]]
        summary = {
            "benchmark": task.benchmark,
            "task": task.name,
            "engine": self.engine(),
            "harness": f"lm-eval {versions()['lm-eval']}",
            "seed": self.settings.seed,
            "limit": task.limit,
            "chat_template": self.template_hash,
            "sentences": asked.sentences,
            "questions": sha256("\n".join(hashes).encode()).hexdigest(),
            "context": self.lm.max_length,
            "sampling": self.sampling,
            "prompt": self.prompts.about() if self.prompts else None,
            "confined": self.settings.confined if self._runs_code else None,
            **(self.thought.told() if self.thought else {}),
            "parts": parts,
            "metrics": {name: _metrics(results["results"][name]) for name in dict.fromkeys(wanted)},
        }
        return Outcome(summary, samples)

    def _is_truncated(self, row: Mapping[str, Any], longest: int | None) -> bool:
        """Whether the question did not fit: lm-eval then cuts it from the left, worked examples first."""
        continuation = max(row.get("continuations") or [""], key=len)
        text = row["prompt"] + continuation
        room = self.lm.max_length - (longest or -1)
        return len(text.encode()) > room and bool(len(self.lm.tok_encode(text)) > room)


def _definitions(task: Task) -> list[Path]:
    """Folders that probably define a task: its own, and those of lm-eval that its name begins with.

    lm-eval's index of all its 14,000 tasks takes ten seconds to make; that of one folder a moment.
    """
    import lm_eval.tasks

    there = Path(lm_eval.tasks.__file__).parent
    words = task.name.split("_")
    names = ["_".join(words[:i]) for i in range(1, len(words) + 1)]
    near = [there / name for name in names if (there / name).is_dir()]
    if task.folder is not None:
        own = Path(task.folder)
        if not own.is_dir():
            raise ConfigError(f"benchmark {task.benchmark}: tasks: there is no folder {own}")
        near.append(own)
    return near


def _leaves(manager: Any, name: str) -> list[str]:
    """The leaf tasks of a task, group or tag, in its order (of a tag: by name)."""
    entry = manager.task_index.get(name)
    if entry is None:
        raise ConfigError(f"lm-eval's group names an unknown task '{name}'")
    if entry.yaml_path is None:  # a tag has no file, and its members where others have their tags
        return sorted(entry.tags)
    members = (entry.cfg or {}).get("task")
    return _of_members(manager, members) if isinstance(members, list) else [name]


def _of_members(manager: Any, members: Sequence[Any]) -> list[str]:
    """The leaf tasks of a group's members: names, tasks with changes, or groups written out."""
    found: list[str] = []
    for member in members:
        named = member if isinstance(member, str) else member.get("task") or member.get("group")
        found += _of_members(manager, named) if isinstance(named, list) else _leaves(manager, str(named))
    return found


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """A sample as it is kept: a question's text once, not once per choice."""
    arguments = row["arguments"]
    prompts = [argument[0] for argument in arguments]
    choices = [argument[1] for argument in arguments if isinstance(argument[1], str)]
    kept = {
        "doc_id": row["doc_id"],
        "filter": row["filter"],
        "doc": row["doc"],
        "doc_hash": row["doc_hash"],
        "target": row["target"],
        "prompt": prompts[0],
    }
    if choices:
        kept["continuations"] = choices
    if any(prompt != prompts[0] for prompt in prompts):
        kept["prompts"] = prompts
    metrics = {name: row[name] for name in row["metrics"]}
    return kept | {"answers": row["resps"], "filtered": row["filtered_resps"], "metrics": metrics}


def _is_empty(row: Mapping[str, Any]) -> bool:
    return not any(str(answer).strip() for answers in row["answers"] for answer in answers)


def _is_broken(row: Mapping[str, Any]) -> bool:
    """Whether a choice's log-likelihood is no finite number, as a model with damaged weights gives."""
    numbers = (
        answer[0]
        for answers in row["answers"]
        for answer in answers
        if isinstance(answer, list | tuple) and answer
    )
    return any(not math.isfinite(float(number)) for number in numbers)


def _metrics(found: Mapping[str, Any]) -> dict[str, float | None]:
    """lm-eval's numbers of one task: ``metric,filter`` and its ``_stderr`` twin; None where it says N/A."""
    kept = {}
    for key, value in found.items():
        if "," in key:
            number = isinstance(value, int | float) and math.isfinite(value)
            kept[key] = float(value) if number else None
    return kept

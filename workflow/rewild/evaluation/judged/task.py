"""One run on one judged benchmark: what it is made of, and where its files are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from rewild.config.benchmarks import Benchmark, find_benchmark
from rewild.config.endpoint import Takes
from rewild.config.gpus import Gpu
from rewild.config.judging import FREE, Asked, Price, asked_judge, files_of
from rewild.config.models import Model
from rewild.config.reasoning import Reasoning
from rewild.config.runners import Runner, find_runner
from rewild.config.study import Study
from rewild.core.errors import ConfigError, DataError, nearest, twice
from rewild.core.fetch import ReleasedFile
from rewild.core.files import sha256
from rewild.core.table import read_table
from rewild.evaluation.judged.base import Answers, JudgedBenchmark, Material, Question, judged_benchmark
from rewild.evaluation.judged.job import judge_identity, judge_spec
from rewild.evaluation.judged.schema import ANSWERS
from rewild.generation.asking.base import JudgeRequest
from rewild.generation.asking.budget import CHARACTERS_PER_TOKEN
from rewild.generation.spec import Spec


@dataclass(frozen=True)
class Tables:
    """The tables of the configuration: benchmarks, models, released files, GPU types."""

    benchmarks: Mapping[str, Benchmark]
    models: Mapping[str, Model]
    released: Mapping[str, list[ReleasedFile]]
    gpus: Mapping[str, Gpu] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """The paths that a rule gives for one run; None is the place in the folder of results.

    Attributes:
        answers: of the run.
        judgments: of the run.
        baseline: answers of the run that it is compared with.
        out: the folder of what is written.
        work: the folder of finished chunks.
    """

    answers: Path | None = None
    judgments: Path | None = None
    baseline: Path | None = None
    out: Path | None = None
    work: Path | None = None


@dataclass(frozen=True)
class Task:
    """One benchmark of a study, made ready: its row, its code, its files.

    Attributes:
        study: the study.
        row: of ``benchmarks.yaml``.
        files: role → path.
        results: the folder of results.
        judge_name: the name that the endpoint knows the judge by.
        asked: all that is known of who is asked; None is the name alone.
        given: what stands elsewhere than in the folder of results.
        local: the judge, where it is loaded here.
    """

    study: Study
    row: Benchmark
    files: Mapping[str, Path]
    results: Path
    judge_name: str
    asked: Asked | None = None
    given: Given = Given()
    local: Spec | None = None

    @cached_property
    def identity(self) -> str:
        """Who is asked, by what the endpoint serves (name, revision, fields), or by what is loaded here."""
        if self.local:
            return judge_identity(self.local)
        return self.asked.identity if self.asked else self.judge_name

    @property
    def takes(self) -> Takes | None:
        """The fields that the judge's endpoint takes; None is all of ours."""
        return self.asked.takes if self.asked and not self.local else None

    @property
    def price(self) -> Price | None:
        """What its judge costs; None if it is not known. What runs here costs no money a token."""
        return FREE if self.local else self.study.judging.price_of(self.judge)

    @property
    def open_weights(self) -> bool:
        """Whether the judge is served from files that may bring sampling settings of their own."""
        return self.asked is not None and self.asked.open_weights

    @property
    def reasoning(self) -> Reasoning | None:
        """How the judge reasons before it replies."""
        return self.asked.reasoning if self.asked else None

    @property
    def runner(self) -> Runner:
        """What the workflow knows of this kind of benchmark."""
        return find_runner(self.row.runner)

    @cached_property
    def benchmark(self) -> JudgedBenchmark:
        """Its code."""
        return judged_benchmark(self.row.runner)

    @property
    def judge(self) -> str:
        """Who judges it."""
        return self.study.judging.judge_of(self.row)

    @property
    def baseline_run(self) -> str | None:
        """The run that answers are compared with, if it is a run."""
        return self.study.judging.baselines.get(self.row.slug) if self.runner.compares else None

    @property
    def limit(self) -> int | None:
        """Only the first questions, if the study says so."""
        everywhere = self.study.evaluation.limit if self.study.evaluation else None
        return self.study.judging.limits.get(self.row.slug, everywhere)

    @property
    def question_files(self) -> list[Path]:
        """The files that answers depend on."""
        return [path for role, path in self.files.items() if role not in self.runner.for_judge]

    def place(self, run: str) -> Path:
        """Where a run's results on it are in the folder of results."""
        return self.results / self.study.name / "benchmarks" / run / self.row.slug

    def folder(self, run: str) -> Path:
        """Where a run's results on it are written."""
        return self.given.out or self.place(run)

    def answers(self, run: str) -> Path:
        """A run's answers."""
        return self.given.answers or self.place(run) / "answers.parquet"

    def judgments(self, run: str) -> Path:
        """A run's judgments."""
        return self.given.judgments or self.place(run) / "judgments.parquet"

    def work(self, run: str, step: str) -> Path:
        """Finished chunks of a step; safe to delete once the step's file is there."""
        return self.given.work or self.results / self.study.name / "work" / step / run / self.row.slug

    @cached_property
    def questions(self) -> dict[str, Question]:
        """By id, in the order of the file."""
        found = self.benchmark.questions(self.files)
        if double := twice([question.id for question in found]):
            raise DataError(f"{self.files['questions']}: the question '{double}' stands twice")
        return {question.id: question for question in found[: self.limit]}

    @cached_property
    def material(self) -> Material:
        """All that is the same for every run; reads the baseline's answers.

        Raises:
            ConfigError: answers are compared, but with nothing. DataError: as of the files.
        """
        if not self.runner.compares:
            return Material(self.files, self.questions)
        if self.baseline_run:
            path = self.given.baseline or self.place(self.baseline_run) / "answers.parquet"
            return Material(self.files, self.questions, answers_by_question(read_answers(path)))
        if "baseline" not in self.files:
            raise ConfigError(
                f"study {self.study.name}: the benchmark '{self.row.slug}' compares answers "
                f"with a baseline's, and has none; name a run: judging.baselines: {{{self.row.slug}: RUN}}"
            )
        return Material(self.files, self.questions, self.benchmark.baseline(self.files))

    @cached_property
    def longest_requests(self) -> list[JudgeRequest]:
        """What the judge would be asked about answers as long as the benchmark lets them be."""
        # A run that answers are compared with need not have answered yet. Equal answers would need no judge.
        theirs = Material(self.files, self.questions, self._longest("y")) if self.baseline_run else None
        material, longest = theirs or self.material, self._longest("x")
        return [
            request
            for question in self.questions.values()
            for request in self.benchmark.requests(question, longest[question.id], material)
        ]

    def _longest(self, letter: str) -> dict[str, Answers]:
        text = letter * (CHARACTERS_PER_TOKEN * self.runner.max_tokens)
        return {q.id: (text,) * len(q.turns) for q in self.questions.values()}

    @cached_property
    def templates(self) -> str | None:
        """The judge prompts of all questions, by name and hash; the same for every run, however silent."""
        return ", ".join(sorted({request.template for request in self.longest_requests})) or None

    @cached_property
    def version(self) -> str:
        """What makes two scores comparable: code, questions, baseline, limit."""
        asked = [_hash(self.files[role]) for role in self.benchmark.identifying]
        parts = [f"{self.row.runner} {self.benchmark.version}", f"questions {' '.join(asked)}"]
        if self.runner.compares:
            name = self.baseline_run
            parts.append(f"against {name}" if name else f"against {_hash(self.files['baseline'])}")
        if self.limit:
            parts.append(f"first {self.limit}")
        return ", ".join(parts)


def make_task(
    study: Study,
    slug: str,
    tables: Tables,
    results: Path = Path("results"),
) -> Task:
    """Put one benchmark together.

    Raises:
        ConfigError: an unknown benchmark, one that is not judged, files that are not given.
    """
    row = find_benchmark(tables.benchmarks, slug)
    if not row.judged:
        judged = [b.slug for b in tables.benchmarks.values() if b.judged]
        raise ConfigError(f"'{slug}' is not a judged benchmark{nearest(slug, judged)} ({', '.join(judged)})")
    files = {role: Path(path) for role, path in files_of(row, tables.released).items()}
    if results != Path("results"):
        moved = {r: results / p.relative_to("results") for r, p in files.items() if p.parts[0] == "results"}
        files |= moved
    judge = study.judging.judge_of(row)
    asked = asked_judge(judge, tables.models)
    local = judge_spec(study, row, tables.models, tables.gpus)
    return Task(study, row, files, results, asked.name, asked, local=local)


def read_answers(path: Path) -> pl.DataFrame:
    """``answers.parquet`` of one run."""
    return read_table(path, ANSWERS)


def answers_by_question(answers: pl.DataFrame) -> dict[str, Answers]:
    """Question → its texts in the order of turns, None where there is none."""
    found: dict[str, Answers] = {}
    for identity, text in answers.sort("turn").select("question_id", "answer").iter_rows():
        found[identity] = (*found.get(identity, ()), text)
    return found


def check_answers(task: Task, answers: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The answers to the task's questions, in their order.

    Raises:
        DataError: a turn of a question has no row: the file is of other questions.
    """
    wanted = pl.DataFrame(
        [(q.id, turn) for q in task.questions.values() for turn in range(len(q.turns))],
        schema={"question_id": pl.String, "turn": pl.Int16},
        orient="row",
    )
    found = wanted.join(answers, on=["question_id", "turn"], how="left", maintain_order="left")
    if (lacks := found.filter(pl.col("run").is_null())).height:
        first = lacks.row(0, named=True)
        raise DataError(
            f"{path}: no row for turn {first['turn']} of question {first['question_id']} of {task.row.slug}; "
            "remove it and answer again"
        )
    return found.select(list(ANSWERS.columns))


def _hash(path: Path) -> str:
    return sha256(path)[:12]

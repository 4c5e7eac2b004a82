"""Every field of a study's sections, with another value; and what the rules of its jobs depend on."""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from parsed import jobs
from rewild.config.base import HOW, RESULT, SHOWN, Mark, Section, validate, within
from rewild.core.errors import ConfigError

Path = tuple[str | int, ...]
ALWAYS = {"write_config", "list_results", "make_home"}  # whatever runs, these do
DERIVED = {"input", "output", "threads", "resources"}
TABLES = {"recipes": "RECIPES", "models": "MODELS", "benchmarks": "BENCHMARKS"}
OTHER: dict[str, list[Any]] = {
    "study.source": ["published"],
    "study.demo.text": ["resources/prompts/demo.jsonl"],
    "study.prompts.sources.*.file": ["resources/demo/text.yaml"],
    "study.prompts.contamination": [{"files": ["resources/prompts/demo.jsonl"]}],
    "study.preferences.*.contamination": [{"files": ["resources/prompts/demo.jsonl"]}],
    "study.preferences.*.model": ["demo-plain"],
    "study.mixes.*.sources.*.model": ["demo-plain", "demo-mini"],
    "study.mixes.*.sources.*.length_control": [{"model": "demo-plain"}, {"model": "qwen2-7b-instruct"}],
    "study.runs.*.model": ["demo-plain", "qwen2.5-7b"],
    "study.runs.*.mix": ["plain", "blend"],
    "study.runs.*.recipe": ["demo", "magpie-sft"],
    "study.responses.compute.gpu": ["H200-141", "H100-80"],
    "study.responses.compute.tokens": [{"prompt": 100.0, "answer": 100.0, "turns": 1.0}],
    "study.judging.answers.compute.tokens": [{"prompt": 100.0, "answer": 100.0, "turns": 1.0}],
    "study.responses.compute.environments": [{"transformers": "vllm-cpu", "vllm": "vllm-cpu"}],
    "study.judging.answers.compute.gpu": ["H200-141", "H100-80"],
    "study.judging.answers.compute.environments": [{"transformers": "vllm-cpu", "vllm": "vllm-cpu"}],
    "study.judging.answers.sampling": [
        {"demo-chat": {"temperature": 0.3}},
        {"mt-bench": {"temperature": 0.3}},
    ],
    "study.judging.limits": [{"demo-chat": 1}, {"mt-bench": 1}],
    "study.judging.prices.gpt-4o-mini.date": ["2001-01-01"],
    "study.viewer.models": [["demo-plain"], ["qwen2-7b-instruct"]],
    "study.evaluation.precision": ["bf16", "fp32"],
    "study.evaluation.compute.gpu": ["H200-141"],
    "study.responses.overrides.*.origins": [["demo"], ["wildchat"]],
    "study.mixes.*.sources.*.origins": [["demo"], ["wildchat"]],
    "study.preferences.*.origins": [["demo"], ["wildchat"]],
    "study.responses.overrides.*.precision": ["bf16"],
    "study.responses.overrides.*.engine": ["openai"],
    "recipes.*.gates": [{"stopped": 0.1}],
    "recipes.*.warmup_ratio": [0.1],
    "models.*.endpoint": [{"seed_bits": 31}],
    "models.*.reasoning": [{"budget": 64}],
    "study.responses.overrides.*.reasoning": [{"budget": 64}],
}
"""Field → values to try where its type does not say which are of use."""


def general(path: Path) -> str:
    """A path with rows as ``*``: of all mixes, a field has one name."""
    rows = (
        "measures",
        "mixes",
        "preferences",
        "runs",
        "models",
        "overrides",
        "sources",
        "settings",
        "templates",
        "predictors",
        *TABLES,
    )
    names = []
    for before, part in zip(("", *path), path, strict=False):
        names.append("*" if isinstance(part, int) or before in rows else str(part))
    return ".".join(names)


def fields(section: Section, path: Path, mark: Mark = RESULT) -> Iterator[tuple[Path, Mark, Section]]:
    """Each field that is no section itself: where it is, its mark, the section that has it."""
    for name, own in section.marked.items():
        value, here = getattr(section, name), (*path, name)
        found = within(mark, own)
        many: dict[Any, Any] = {None: value}
        if isinstance(value, dict) and value:
            many = value
        elif isinstance(value, list) and value:
            many = dict(enumerate(value))
        inner = {key: one for key, one in many.items() if isinstance(one, Section)}
        for key, one in inner.items():
            yield from fields(one, here if key is None else (*here, key), found)
        if not inner:
            yield here, found, section


def others(annotation: Any, value: Any) -> Iterator[Any]:
    """Other values of a type."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from (arg for arg in args if arg != value)
    elif origin is types.UnionType or str(origin).endswith("Union"):
        for arg in sorted(args, key=lambda arg: arg is type(None)):
            yield from others(arg, value)
    elif hasattr(annotation, "__metadata__"):
        yield from others(args[0], value)
    elif annotation is type(None):
        if value is not None:
            yield None
    elif annotation is bool:
        yield not value
    elif annotation in (int, float):
        number = value if isinstance(value, int | float) else 64
        yield from (annotation(number + 1), annotation(number - 1), number / 2, number + 0.01)
        yield from (annotation(2 * number), 0.5)
    elif annotation is str:
        yield from (f"{value}x", "resources/demo/text.yaml", "0" * 40, "other", "other/one")
    elif origin is list:
        yield from ([*reversed(value or [])], (value or [])[:-1], (value or [])[1:])
        yield from ([*(value or []), one] for one in others(args[0], None))
    elif origin is dict:
        yield from ({**(value or {}), "other": one} for one in others(args[1], None))
        yield {}
    elif isinstance(annotation, type) and issubclass(annotation, Section):
        yield {}


class Planned:
    """The jobs of a study, and what each depends on under settings that change."""

    def __init__(self, **config: Any) -> None:
        kept: dict[tuple[str, str], Any] = {}
        for job in jobs(**config):
            wildcards = {k: v for k, v in job.wildcards_dict.items() if k not in ("shard", "block", "metric")}
            kept.setdefault((job.rule.name, str(wildcards)), job)
        self.jobs = kept
        functions = (item for job in kept.values() for _, item in job.rule.params._allitems())
        self.world = next(f.__globals__ for f in functions if inspect.isfunction(f))
        self.name = config["study"]
        self.study = self.world["STUDIES"][self.name]
        self.before = self.triggers()

    def triggers(self) -> dict[tuple[str, str], str]:
        """Job → what Snakemake compares of it: the parameters that follow from no file, and the inputs."""
        for name in ("mix_inputs_of", "fetched", "teachers_plan"):
            self.world[name].cache_clear()
        found = {}
        for key, job in self.jobs.items():
            with contextlib.suppress(AttributeError, KeyError, ValueError):  # no job of this study any more
                found[key] = self._of(job)
        return found

    @staticmethod
    def _of(job: Any) -> str:
        found: list[str] = []
        for _, given in (*job.rule.params._allitems(), *job.rule.input._allitems()):
            item = given
            if callable(item):
                if item.__module__.startswith("snakemake."):  # `subpath(output.x)`
                    continue
                if DERIVED & inspect.signature(item).parameters.keys():
                    continue
                item = item(job.wildcards)
            found.append(str(item))
        return "\n".join(found)

    def changed(self) -> set[str]:
        """The rules of which a job would run again now; the study's name and number cut off."""
        after = self.triggers()
        end = f"_{self.name}"
        return {rule.removesuffix(end) for (rule, _), one in after.items() if one != self.before[rule, _]}

    def put(self, study: Section | None = None, **tables: dict[str, Section]) -> None:
        """Other settings: a study, rows of tables. A :class:`ConfigError` if they do not go together."""
        world = self.world
        for table, rows in tables.items():
            world[TABLES[table]] = {**world[TABLES[table]], **rows}
        world["given_study"] = lambda *_: study or self.study
        found = world["read_whole"](self.name)
        world["STUDIES"][self.name] = found.study
        world["JOBS"] = {(self.name, model): job for model, job in found.jobs.items()}
        for name, value in (("TRAININGS", found.trainings), ("ROSTERS", found.roster)):
            world[name][self.name] = value
        for name, value in (("IMPORTS", found.imports), ("JUDGED", found.judged)):
            world[name][self.name] = value
        world["JUDGED_FILES"].update(found.files)
        world["WRITERS"].update({(self.name, name): made for name, made in found.writers.items()})

    def walk(self) -> Iterator[tuple[str, Mark, set[str] | None]]:
        """Every field, by its general name, with its mark and the rules that another value runs again.

        None instead of rules: no other value was found that goes with the rest.
        """
        seen: dict[str, set[str] | None] = {}
        marks: dict[str, Mark] = {}
        tables = (((t, slug), row) for t, rows in self.rows().items() for slug, row in rows.items())
        for start, root in ((("study",), self.study), *tables):
            for path, mark, section in fields(root, start):
                name = general(path)
                marks[name] = mark
                found = seen.get(name)
                if found is None or not (found - ALWAYS or mark in (HOW, SHOWN)):
                    seen[name] = self.flip(path, section, mark)
        for name, found in seen.items():
            yield name, marks[name], found

    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of tables that the study's jobs use."""
        recipes = {run.recipe for run in self.study.runs.values() if run.recipe}
        used = {*self.study.responses.models, *(run.model for run in self.study.runs.values())}
        listed = self.study.evaluation.benchmarks
        world = self.world
        return {
            "recipes": {slug: world["RECIPES"][slug] for slug in sorted(recipes)},
            "models": {slug: row for slug, row in world["MODELS"].items() if slug in used},
            "benchmarks": {slug: world["BENCHMARKS"][slug] for slug in listed},
        }

    def flip(self, path: Path, section: Section, mark: Mark) -> set[str] | None:
        """The rules that another value of a field runs again; None if none goes with the other settings."""
        root: Any = self.study
        if path[0] != "study":
            root, path_in = self.world[TABLES[str(path[0])]][path[1]], path[2:]
        else:
            path_in = path[1:]
        field = type(section).model_fields[str(path[-1])]
        value = getattr(section, str(path[-1]))
        found: set[str] | None = None
        tries = [*OTHER.get(general(path), ()), *others(field.annotation, value)]
        try:
            for other in tries:
                raw = root.model_dump()
                place = raw
                for part in path_in[:-1]:
                    place = place[part]
                place[path_in[-1]] = other
                try:
                    changed = validate(type(root), raw, "test")
                    if changed == root:
                        continue
                    self.put_root(path, changed)
                    found = self.changed()
                except (ConfigError, KeyError):
                    continue
                if mark in (HOW, SHOWN) or found - ALWAYS:
                    break
        finally:  # once: what was put before is replaced by what is put
            self.put_root(path, root)
        return found

    def put_root(self, path: Path, root: Any) -> None:
        """Other settings: those of the study or of the row of a table that a path begins with."""
        if path[0] == "study":
            self.put(root)
        else:
            self.put(None, **{str(path[0]): {str(path[1]): root}})

"""A part of a study: ``--config models=…`` and ``runs=…`` on Snakemake's command line.

The value is a list, ``'models=[a, b]'``, or names with commas between them, ``models=a,b``. A name may be a
pattern, ``'models=qwen*'``; one with a minus before it is left out, ``models=-a,-b``. What needs something
that was left out is left out as well, and :func:`cut` says so; what was named but cannot be is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import yaml

from rewild.config.evaluation import Evaluation
from rewild.config.measures.derived import named_subjects
from rewild.config.mixes import Mix
from rewild.config.study import Study
from rewild.config.teachers import Teachers
from rewild.core.errors import ConfigError, nearest

KEYS = ("models", "runs")
MINUS = "-"


@dataclass(frozen=True)
class Subset:
    """What was asked for; None is everything."""

    models: tuple[str, ...] | None = None
    runs: tuple[str, ...] | None = None

    def __bool__(self) -> bool:
        return self.models is not None or self.runs is not None


def split(overrides: Mapping[str, Any]) -> tuple[Subset, dict[str, Any]]:
    """The subset that a command line asks for, and its other keys.

    ``runs`` with a mapping is a study's section, not a subset.

    Raises:
        ConfigError: ``models`` or ``runs`` is neither a list of names nor text.
    """
    asked, rest = {}, {}
    for key, value in overrides.items():
        if key in KEYS and not isinstance(value, Mapping):
            asked[key] = _names(key, value)
        else:
            rest[key] = _typed(value) if isinstance(value, Mapping) else value
    return Subset(**asked), rest


def _typed(value: Any) -> Any:
    """Numbers, booleans and null inside a mapping: Snakemake hands ``prompts={limit: 1000}`` on as text."""
    if isinstance(value, Mapping):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return found if found is None or isinstance(found, bool | int | float) else value


def cut(study: Study, subset: Subset, where: str) -> tuple[Study, list[str]]:
    """A study with only some of its models and runs, and a line for each kind of thing left out with them.

    ``models`` names models of ``responses.models``; mixes, preference pairs and runs that need another go.
    ``runs`` names runs; mixes, pairs and models that none of them needs go. Both together: the runs named
    must be possible with the models named.

    Args:
        study: all of it.
        subset: what to keep.
        where: the study and its file, for messages.

    Raises:
        ConfigError: an unknown name, with the nearest; a run that needs a model left out; nothing left.
    """
    if not subset:
        return study, []
    everything = list(study.responses.models) if study.responses else []
    models = _chosen("models", subset.models, everything, where)
    runs = _chosen("runs", subset.runs, list(study.runs), where)
    missing = {run: _lacks(study, run, set(models), set(everything)) for run in runs}
    if subset.runs is not None and subset.models is not None:
        for run, lacks in missing.items():
            if lacks and run in subset.runs:  # a pattern keeps what is possible
                raise ConfigError(
                    f"{where}: runs: '{run}' needs {_list(lacks)}, which models= leaves out; name "
                    f"{'them' if len(lacks) > 1 else 'it'} there, or leave the run out"
                )
    runs = [run for run in runs if not missing[run]]
    if subset.runs is not None and not runs:
        raise ConfigError(f"{where}: none of the runs named can be made with these models")
    if subset.runs is not None:
        runs = _with_starts(study, runs)
        if subset.models is None:
            needed = {model for run in runs for model in _needs(study, run, set(everything))}
            models = [model for model in models if model in needed]
    return _keep(study, models, runs, everything, keep_mixes=subset.runs is None)


def _keep(
    study: Study, models: list[str], runs: list[str], everything: list[str], keep_mixes: bool
) -> tuple[Study, list[str]]:
    """The study with these models and runs, and what was left out."""
    kept, gone = set(models), set(everything) - set(models)
    trained = {study.runs[run].mix for run in runs}
    measures = {
        name: row for name, row in study.measures.items() if not gone & named_subjects(name, study.measures)
    }
    mixes = {
        name: mix
        for name, mix in study.mixes.items()
        if not gone & set(_mixed(study, mix)) and (keep_mixes or name in trained)
    }
    sampled = {s.of for mix in mixes.values() for s in mix.sources if s.kind == "samples"}
    pairs = {
        name: pair
        for name, pair in study.preferences.items()
        if pair.model not in gone and (keep_mixes or name in trained | sampled)
    }
    change: dict[str, Any] = {
        "measures": measures,
        "mixes": mixes,
        "preferences": pairs,
        "runs": {run: study.runs[run] for run in runs},
    }
    left_out = [
        _line("models", len(models), len(everything)),
        _line("measures", len(measures), len(study.measures)),
        _line("mixes", len(mixes), len(study.mixes)),
        _line("preference pairs", len(pairs), len(study.preferences)),
        _line("runs", len(runs), len(study.runs)),
    ]
    if study.responses and not models:
        change |= dict.fromkeys(("responses", "similarity", "diversity", "viewer"), None)
        change |= {"throughput": False, "style": False}
    elif study.responses:
        overrides = {m: own for m, own in study.responses.overrides.items() if m in kept}
        change["responses"] = study.responses.model_copy(update={"models": models, "overrides": overrides})
        if study.viewer and study.viewer.models:
            shown = [m for m in study.viewer.models if m in kept]
            change["viewer"] = study.viewer.model_copy(update={"models": shown}) if shown else None
        if len(models) == 1 and study.similarity:
            change["similarity"] = None
            left_out.append("similarity (it compares models, and one is left)")
    change |= _follow(study, set(runs), kept)
    if without := _compared_with_nobody(study, change.get("evaluation", study.evaluation), set(runs)):
        change |= _without_benchmarks(study, change.get("evaluation", study.evaluation), without)
        left_out.append(f"{_list(without)} (compared with a run that is left out)")
    if study.teachers:
        change["teachers"] = _teachers(study, study.teachers, change)
    return study.model_copy(update=change), [line for line in left_out if line]


def _teachers(study: Study, found: Teachers, change: Mapping[str, Any]) -> Teachers | None:
    """The section without what was left out; None if nothing is left to compare."""
    runs, measures = change["runs"], change["measures"]
    models = study.responses.models if study.responses else []
    kept = change.get("responses", study.responses)
    gone = set(models) - set(kept.models if kept else [])
    starts = {row.model for row in runs.values()}
    bases = [base for base in found.bases if base in starts]
    predictors = {n: p for n, p in found.predictors.items() if p.measure is None or p.measure in measures}
    car = found.car if found.car and found.car.reward in measures else None
    evaluated = change.get("evaluation", study.evaluation)
    benchmarks = [b for b in found.benchmarks if evaluated and b in evaluated.benchmarks]
    over: dict[str, Any] = {
        "bases": bases,
        "benchmarks": benchmarks,
        "teachers": [teacher for teacher in found.teachers if teacher not in gone],
        "runs": None if found.runs is None else [run for run in found.runs if run in runs],
        "variants": {name: one for name, one in found.variants.items() if one.run in runs},
        "predictors": predictors,
        "car": car,
    }
    lost = (found.teachers and not over["teachers"]) or (kept is None and not study.imports)
    if not (bases and benchmarks and (predictors or car)) or lost:
        return None
    return found.model_copy(update=over)


def _findings(study: Study, runs: set[str], models: set[str]) -> dict[str, Any]:
    """The findings' settings, without runs and models that were left out: the findings choose others."""
    found = study.findings
    if found is None:
        return {}
    over: dict[str, Any] = {}
    if found.lead not in runs:
        over["lead"] = None
    if found.pair and not set(found.pair) <= models:
        over["pair"] = None
    for key in ("baselines", "radar"):
        named = getattr(found, key)
        if named is not None:
            over[key] = [run for run in named if run in runs] or None
    return {"findings": found.model_copy(update=over)}


def _follow(study: Study, runs: set[str], models: set[str]) -> dict[str, Any]:
    """Sections that name runs, without those that were left out."""
    change: dict[str, Any] = {}
    if study.inherited_style:
        named = [run for run in study.inherited_style.runs if run in runs]
        style = study.inherited_style.model_copy(update={"runs": named}) if named else None
        change["inherited_style"] = style
    change |= _findings(study, runs, models)
    evaluation = study.evaluation
    if evaluation is not None:
        if not runs:
            change["evaluation"] = None
        elif evaluation.runs is not None:
            named = [run for run in evaluation.runs if run in runs]
            change["evaluation"] = evaluation.model_copy(update={"runs": named}) if named else None
    return change


def _compared_with_nobody(study: Study, evaluation: Evaluation | None, runs: set[str]) -> list[str]:
    """Benchmarks that compare answers with those of a run that was left out."""
    if evaluation is None:
        return []
    evaluated = runs if evaluation.runs is None else runs & set(evaluation.runs)
    against = study.judging.baselines
    return [b for b in evaluation.benchmarks if b in against and against[b] not in evaluated]


def _without_benchmarks(study: Study, evaluation: Evaluation | None, gone: Sequence[str]) -> dict[str, Any]:
    """The evaluation without some benchmarks, and nothing said of how they are judged."""
    assert evaluation is not None
    left = [benchmark for benchmark in evaluation.benchmarks if benchmark not in gone]
    own: dict[str, Any] = {
        key: {b: value for b, value in getattr(study.judging, key).items() if b not in gone}
        for key in ("baselines", "limits")
    }
    answers = study.judging.answers
    sampling = {b: value for b, value in answers.sampling.items() if b not in gone}
    own["answers"] = answers.model_copy(update={"sampling": sampling})
    return {
        "evaluation": evaluation.model_copy(update={"benchmarks": left}) if left else None,
        "judging": study.judging.model_copy(update=own),
    }


def _needs(study: Study, run: str, dgms: set[str], seen: frozenset[str] = frozenset()) -> list[str]:
    """The study's models whose responses a run rests on, or which it is."""
    row = study.runs[run]
    found: list[str] = []
    if row.model in study.runs and row.model != run and row.model not in seen:
        found += _needs(study, row.model, dgms, seen | {run})
    elif row.model in dgms:
        found.append(row.model)
    if row.mix in study.mixes:
        found += _mixed(study, study.mixes[row.mix])
    elif row.mix in study.preferences:
        found.append(study.preferences[row.mix].model)
    return list(dict.fromkeys(model for model in found if model in dgms))


def _mixed(study: Study, mix: Mix) -> list[str]:
    """The models that a mix rests on: whose responses it reads, and those that its measures compare with."""
    named = {m for c in mix.conditions() for m in named_subjects(c[1].measure, study.measures)}
    return [*mix.models(), *mix.sampled(), *sorted(named)]


def _lacks(study: Study, run: str, kept: set[str], everything: set[str]) -> list[str]:
    return [model for model in _needs(study, run, everything) if model not in kept]


def _with_starts(study: Study, runs: Sequence[str]) -> list[str]:
    """Some runs and those that they start from, in the study's order."""
    wanted = set(runs)
    todo = list(runs)
    while todo:
        start = study.runs[todo.pop()].model
        if start in study.runs and start not in wanted:
            wanted.add(start)
            todo.append(start)
    return [run for run in study.runs if run in wanted]


def _chosen(key: str, names: tuple[str, ...] | None, known: Sequence[str], where: str) -> list[str]:
    """The known names that are meant, in the study's order."""
    if names is None:
        return list(known)
    if not known:
        what = "has no section 'responses', so no models" if key == "models" else "has no runs"
        raise ConfigError(f"{where}: {key}=: the study {what} to choose from")
    meant: set[str] = set(known) if all(name.startswith(MINUS) for name in names) else set()
    for given in names:
        name = given.removeprefix(MINUS)
        found = _matching(name, known)
        if not found:
            kind = "no name matches" if _is_pattern(name) else "unknown name"
            raise ConfigError(
                f"{where}: {key}=: {kind} '{name}'{nearest(name, known)} (the study's {key}: {_few(known)})"
            )
        meant = meant.difference(found) if given.startswith(MINUS) else meant.union(found)
    if not meant:
        raise ConfigError(f"{where}: {key}=: nothing is left of the study's {key}")
    return [name for name in known if name in meant]


def _matching(name: str, known: Iterable[str]) -> list[str]:
    same: Callable[[str], bool] = (
        (lambda k: fnmatchcase(k, name)) if _is_pattern(name) else (lambda k: k == name)
    )
    return [k for k in known if same(k)]


def _is_pattern(name: str) -> bool:
    return any(c in name for c in "*?[")


def _names(key: str, value: Any) -> tuple[str, ...]:
    given = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or not all(isinstance(n, str) and n for n in given):
        raise ConfigError(
            f"--config {key}=: names with commas between them were expected, such as "
            f"{key}=a,b or '{key}=[a, b]', not {value!r}"
        )
    return tuple(given)


def _line(what: str, kept: int, of: int) -> str:
    return f"{of - kept} of {of} {what}" if kept < of else ""


def _few(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown}, … {len(names) - most} more" if len(names) > most else shown


def _list(names: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)

"""What each run of a study is: its name in tables, what it learned from, how much of it.

All of it follows from the study's ``runs`` and ``mixes``. Light to import: the workflow finds out here which
runs the tables and figures of a study need.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rewild.config.mixes import Mix, size_name
from rewild.config.models import Model, pretrained_of
from rewild.config.study import Study
from rewild.config.trainings import start_of
from rewild.core.errors import known_name


@dataclass(frozen=True)
class Entry:
    """One run.

    Attributes:
        run: its key in the study's ``runs``.
        label: its name in tables, as the paper writes it: ``L8B : Q72 (500k)``.
        kind: none: a model as it is; dgm: fine-tuned on one model's responses; blend: on several models';
            mixture: also on other data; other: neither (preference pairs, a fine-tune tuned again).
        model: the slug of the model it starts from.
        base: the same as tables name it.
        dgms: slugs of the models whose responses it learned from.
        dgm: the same as tables name them, joined by `` + ``.
        size: conversations it was fine-tuned on; None where a mix takes all.
        recipe: how it was fine-tuned, a row of recipes.yaml; None for a model as it is.
        truncated: whether responses were cut to another model's length.
        related: whether all models it learned from are of the base model's family.
        billions: parameters of the one model it learned from, or that it is.
        roots: slug of the pretrained model that the model goes back to; None if unknown.
        baseline: whether its model has the role baseline.
    """

    run: str
    label: str
    kind: str
    model: str
    base: str
    dgms: tuple[str, ...]
    dgm: str | None
    size: int | None
    recipe: str | None
    truncated: bool
    related: bool | None
    billions: float | None
    roots: str | None
    baseline: bool


@dataclass(frozen=True)
class Roster:
    """The runs of a study, and what is usual among them.

    Attributes:
        entries: the runs, in the study's order.
        base: the model that Tables 2 and 7 train.
        size: the size that labels do not name.
        recipe: the recipe that tables keep to.
    """

    entries: tuple[Entry, ...]
    base: str | None
    size: int | None
    recipe: str | None
    by_run: Mapping[str, Entry] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_run", {entry.run: entry for entry in self.entries})

    def __getitem__(self, run: str) -> Entry:
        return self.by_run[known_name(run, self.by_run, "findings: unknown run", listed="runs")]

    def kind(self, *kinds: str) -> list[Entry]:
        """The runs of some kinds."""
        return [entry for entry in self.entries if entry.kind in kinds]

    def itself(self, model: str) -> Entry | None:
        """The run that is a model as it is."""
        return next((e for e in self.kind("none") if e.model == model), None)

    def tuned(self, base: str, dgm: str, size: int | None) -> Entry | None:
        """The run of ``base`` on ``dgm``'s responses, of one size, nothing cut."""
        wanted = (base, (dgm,), size)
        return next((e for e in self.plain("dgm") if (e.model, e.dgms, e.size) == wanted), None)

    def plain(self, *kinds: str) -> list[Entry]:
        """The fine-tunes of some kinds by the usual recipe, nothing cut."""
        return [e for e in self.kind(*kinds) if e.recipe == self.recipe and not e.truncated]


def make_roster(study: Study, models: Mapping[str, Model]) -> Roster:
    """What the study's runs are.

    Args:
        study: with ``runs`` and ``mixes``.
        models: ``models.yaml``, with those that the study makes itself.

    Raises:
        ConfigError: a run names a model or mix that does not exist.
    """
    found = [_describe(study, run, models) for run in study.runs]
    tuned = [row for row in found if row["kind"] in ("dgm", "blend")]
    settings = study.findings
    base = (settings.base if settings else None) or most_frequent(row["model"] for row in tuned)
    recipe = most_frequent(row["recipe"] for row in tuned)
    size = (settings.size if settings else None) or most_frequent(row["size"] for row in tuned if row["size"])
    for row in found:
        given, named = row.pop("given"), [row["base"], row["dgm"] or row.pop("mix", None) or "None"]
        row.pop("mix", None)
        notes = [size_name(row["size"])] if row["size"] and row["size"] != size and row["dgm"] else []
        notes += ["truncated"] if row["truncated"] else []
        row["label"] = given or " : ".join(named) + (f" ({', '.join(notes)})" if notes else "")
    times = Counter(row["label"] for row in found)
    for row in found:  # two rows of a table cannot have one name
        if times[row["label"]] > 1:
            row["label"] += f" [{row['run']}]"
    return Roster(tuple(Entry(**row) for row in found), base, size, recipe)


def most_frequent(values: Iterable[Any]) -> Any:
    """The most frequent value, of equally frequent ones the first."""
    return next((value for value, _ in Counter(values).most_common(1)), None)


def _describe(study: Study, run: str, models: Mapping[str, Model]) -> dict[str, Any]:
    """An entry without its label."""
    found = study.runs[run]
    start = start_of(study, run, models).row if found.model not in study.runs else None
    model = start.slug if start else found.model
    row: dict[str, Any] = {
        "run": run,
        "given": found.label,
        "kind": "none",
        "model": model,
        "base": start.name if start else model,
        "dgms": (),
        "dgm": None,
        "size": None,
        "recipe": found.recipe,
        "truncated": False,
        "related": None,
        "billions": _billions(start),
        "roots": pretrained_of(models, model) if model in models else None,
        "baseline": bool(start and "baseline" in start.roles),
    }
    if found.mix is None:
        return row
    mix = study.mixes.get(found.mix)
    if mix is None or start is None:
        return row | {"kind": "other", "mix": found.mix, "billions": None}
    return row | _learned(study, mix, found.mix, start, models)


def _learned(study: Study, mix: Mix, name: str, start: Model, models: Mapping[str, Model]) -> dict[str, Any]:
    """What follows from a run's mix."""
    size, slugs = mix.total(), mix.answering()
    if not slugs:
        return {"kind": "mixture", "mix": name, "size": size, "billions": None}
    named = [models[s].name if s in models else s for s in slugs]
    rows = [models.get(s) for s in slugs]
    given = study.findings.related if study.findings else {}
    if start.slug in given:
        related: bool | None = all(s in given[start.slug] for s in slugs)
    else:
        related = all(row is not None and _family(row) == _family(start) for row in rows)
    return {
        "kind": "dgm" if len(slugs) == 1 else "blend",
        "dgms": tuple(slugs),
        "dgm": " + ".join(named),
        "size": size,
        "truncated": mix.truncated,
        "related": related,
        "billions": _billions(rows[0]) if len(rows) == 1 else None,
    }


def _family(model: Model) -> str:
    """A family's name before its number: llama-3.1 and llama-3.3 are both llama."""
    return re.split(r"[-\d]", model.family, maxsplit=1)[0]


def _billions(model: Model | None) -> float | None:
    return model.parameters.total / 1e9 if model and model.parameters else None

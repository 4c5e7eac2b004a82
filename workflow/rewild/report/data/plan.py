"""Which figures and tables a study's data can have, of which measures; and why others are left out.

Light to import: the workflow plans with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rewild.config.assumptions import load_assumptions
from rewild.config.data import MOST_SETS, PARTS, Data, DataSet, Role, candidates
from rewild.config.measures.base import PROMPTS
from rewild.config.measures.safety import Safety, guards
from rewild.config.study import Study

LABELS: tuple[Role, ...] = ("quality", "difficulty")


@dataclass(frozen=True)
class View:
    """One figure.

    Attributes:
        title: what it shows.
        figure: its number in MAGPIE.
        roles: its panels.
    """

    title: str
    figure: int
    roles: tuple[Role, ...]


VIEWS: dict[str, View] = {
    "labels": View("Quality and difficulty of prompts", 2, LABELS),
    "distances": View("Distance to the nearest prompt, and reward", 3, ("distance", "difference", "reward")),
    "lengths": View("Length of prompts and responses", 6, ("prompt_length", "response_length")),
    "categories": View("Task categories of prompts", 9, ("category",)),
    "verbs": View("Verbs of prompts and their objects", 10, ("verbs",)),
    "settings": View("What sampling does to prompts", 11, (*LABELS, "distance")),
    "system": View("Prompts written without and with a system prompt", 12, LABELS),
    "annotators": View("Quality and difficulty by who labels", 13, LABELS),
}
"""Every figure; the maps of embeddings (7, 8) are made where the embeddings are."""


PRINTED = {
    "statistics": "sizes",
    "topics": "settings",
    "safety": "settings",
    "contamination": "settings",
    "costs": "costs",
}
"""Every table, and the file of MAGPIE's room with what its text prints beside it."""


@dataclass(frozen=True)
class Use:
    """A measure of a set, in a panel.

    Attributes:
        role: the panel.
        set: the set's name.
        measure, column: what is shown.
        subject: of the measure's files.
        series: what the legend calls it.
        levels: what the column may be, from the lowest to the highest; empty where there is no order.
    """

    role: Role
    set: str
    measure: str
    column: str
    subject: str
    series: str
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A panel, or a set in it, that is not shown, and why."""

    view: str
    role: str
    set: str | None
    reason: str


@dataclass(frozen=True)
class Plan:
    """What of a study's data is shown.

    Attributes:
        sets: name → set, all that follows filled in.
        views: figure → what it shows; only those that show something.
        tables: in order.
        left_out: what is not shown.
    """

    sets: Mapping[str, DataSet]
    views: Mapping[str, tuple[Use, ...]]
    tables: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


@dataclass
class _Making:
    study: Study
    data: Data
    sets: dict[str, DataSet]
    left_out: list[LeftOut] = field(default_factory=list)

    def _reach(self, view: str, role: Role, measure: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The sets that a measure says something of, each with the subject."""
        of = self.study.measures[measure].of
        for name in names:
            subject = PROMPTS if of == PROMPTS else self.sets[name].responses
            if subject is None:
                reason = f"no model answers its prompts, or several do: then name data.sets.{name}.responses"
                self.left_out.append(LeftOut(view, role, name, reason))
            else:
                yield name, subject

    def use(self, view: str, role: Role, measure: str, names: Iterable[str], label: str = "") -> list[Use]:
        """A measure in a panel, of the sets that it says something of."""
        columns = self.study.measures[measure].columns()
        column = next(iter(columns))
        if role in ("prompt_length", "response_length"):
            column = "tokens" if "tokens" in columns else "words"
        return [
            Use(
                role,
                name,
                measure,
                column,
                subject,
                label or str(self.sets[name].title),
                columns[column].levels,
            )
            for name, subject in self._reach(view, role, measure, names)
        ]

    def measure(self, role: Role) -> str | None:
        """The measure that plays a part."""
        if named := self.data.measures.get(role):
            return named
        return next(iter(candidates(role, self.study.measures)), None)

    def panels(self, view: str, names: list[str], none: str = "") -> list[Use]:
        """Every panel of a figure, of some sets."""
        found: list[Use] = []
        for role in VIEWS[view].roles:
            measure = self.measure(role)
            if none or measure is None:
                reason = none or f"no measure says it: add {PARTS[role]}"
                self.left_out.append(LeftOut(view, role, None, reason))
            else:
                found += self.use(view, role, measure, names)
        return found

    def annotators(self) -> list[Use]:
        """The same labels by every measure that gives them."""
        found: list[Use] = []
        for role in VIEWS["annotators"].roles:
            every = candidates(role, self.study.measures)
            if len(every) < 2:
                reason = f"it compares measures, and {len(every)} of the study's is {PARTS[role]}"
                self.left_out.append(LeftOut("annotators", role, None, reason))
                continue
            fit = max(1, MOST_SETS // len(every))  # sets whose every label has a look of its own
            for name, row in list(self.sets.items())[:fit]:
                for measure in every[:MOST_SETS]:
                    label = measure if len(self.sets) == 1 else f"{row.title}, {measure}"
                    found += self.use("annotators", role, measure, [name], label)
            for name in list(self.sets)[fit:]:
                reason = f"a figure tells {MOST_SETS} apart, and {len(every)} measures label each set"
                self.left_out.append(LeftOut("annotators", role, name, reason))
        return found


def plan_data(study: Study) -> Plan:
    """What is shown of a study's data; nothing without the section ``data``."""
    data = study.data
    if data is None:
        return Plan({}, {}, (), ())
    mixes = {name: mix.models() for name, mix in study.mixes.items()}
    sets = data.resolved(study.written, study.answering, mixes)
    sets = {name: row for name, row in sets.items() if row.mix is None or row.mix in mixes}  # none left out
    making = _Making(study, data, sets)
    every = list(sets)
    views: dict[str, list[Use]] = {}
    for view in VIEWS:
        if view == "annotators":
            views[view] = making.annotators()
        elif view == "settings":
            several = [name for name in every if sampled(study, sets[name])]
            none = "" if several else "no source of prompts is sampled with several settings"
            views[view] = making.panels(view, several, none)
        elif view == "system":
            none = "" if data.system else "data.system names no sets"
            views[view] = making.panels(view, [name for name in data.system or () if name in sets], none)
        else:
            views[view] = making.panels(view, every)
    shown = {view: tuple(uses) for view, uses in views.items() if uses}
    return Plan(sets, shown, tuple(_tables(making)), tuple(making.left_out))


def sampled(study: Study, row: DataSet) -> bool:
    """Whether the prompts of a set were sampled with several settings, known for each of them."""
    sources = study.prompts.sources if study.prompts else []
    patterns = [getattr(s, "pattern", ()) for s in sources if s.name == row.source]
    return any(len({repr(setting) for setting in pattern}) > 1 for pattern in patterns)


def _tables(making: _Making) -> Iterator[str]:
    """The tables, and why others are left out."""
    yield "statistics"
    if making.study.coverage:
        yield "topics"
    else:
        making.left_out.append(LeftOut("topics", "topics", None, "the study has no section 'coverage'"))
    named: tuple[Role, ...] = ("safety", "contamination")
    for role in named:
        if making.measure(role):
            yield role
        else:
            reason = f"no measure says it: add {PARTS[role]}"
            making.left_out.append(LeftOut(role, role, None, reason))
    if making.study.responses:
        yield "costs"
    else:
        making.left_out.append(LeftOut("costs", "costs", None, "the study generates no responses"))


TABLE_ROLES: dict[str, tuple[Role, ...]] = {
    "statistics": ("prompt_length", "response_length"),
    "safety": ("safety",),
    "contamination": ("contamination",),
    "topics": (),
    "costs": (),
}


def table_uses(study: Study, table: str) -> tuple[Use, ...]:
    """The measures that a table is made of."""
    if study.data is None:
        return ()
    sets = plan_data(study).sets
    making = _Making(study, study.data, dict(sets))
    return tuple(
        use
        for role in TABLE_ROLES[table]
        if (found := making.measure(role))
        for use in making.use(table, role, found, sets)
    )


def used_sources(study: Study) -> list[str]:
    """The sources of prompts that the sets are of."""
    named = [row.source for row in plan_data(study).sets.values()]
    return list(study.written) if None in named else list(dict.fromkeys(filter(None, named)))


def used_mixes(study: Study) -> list[str]:
    """The mixes that the sets are of."""
    return list(dict.fromkeys(row.mix for row in plan_data(study).sets.values() if row.mix))


def price_of(study: Study) -> tuple[float | None, str]:
    """Dollars per GPU-hour of a study's GPUs, and where that is from."""
    if study.data and study.data.price:
        return study.data.price.dollars, study.data.price.source
    gpu = study.responses.compute.gpu if study.responses else None
    if gpu is None:
        return None, "the study's models run without a GPU"
    known = load_assumptions().gpu_hour
    if gpu not in known:
        return None, f"no price of {gpu} is known: give data.price"
    return float(known[gpu].value), f"{gpu}, {known[gpu].kind}: {known[gpu].source}"


def categories_of(study: Study) -> dict[str, str]:
    """Code → name, of the categories of the guard model that the table `safety` is of."""
    rows = [study.measures[use.measure] for use in table_uses(study, "safety")]
    return dict(guards()[rows[0].guard].categories) if rows and isinstance(rows[0], Safety) else {}

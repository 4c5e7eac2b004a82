"""Under which terms a release stands: the licences of all that is inside, and what follows from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rewild.config.judging import files_of, judged_rows
from rewild.config.mixes import FromPrompts, FromResponses, FromSamples
from rewild.config.models import Model
from rewild.config.prompts import AlpacaEval, Demo, FormFiles, Hub, MTBench, WildChatFile
from rewild.config.release import Release
from rewild.config.study import Study
from rewild.core.errors import ConfigError, known_name, nearest
from rewild.operate.licences import TABLE, Licence, find_licence, load_licences

HUB_DATASETS = {"allenai/WildChat-1M": "odc-by", "allenai/WildChat": "odc-by"}
"""Data sets whose licence their cards state."""
RUBRIC = "rubric"
"""The judge that is a program of this repository."""
STUDY = "the study's own"


@dataclass(frozen=True)
class Part:
    """Something in a release that is under a licence.

    Attributes:
        what: what it is, for people: ``prompts: wildchat``.
        name: its key, where the study may say its licence.
        licence: a row of the table; None where none is established.
        said: what the study or a table says, where that is no row.
    """

    what: str
    name: str
    licence: str | None
    said: str = ""


@dataclass(frozen=True)
class Terms:
    """The licences of what is inside, and what they allow."""

    parts: list[Part]
    rows: Mapping[str, Licence]
    base: str | None = None  # of a fine-tune: the licence of the model it starts from
    weights: bool = False

    @property
    def plain(self) -> dict[str, Any]:
        """As ``release.json`` has it; :meth:`read` reads it."""
        return {"parts": [asdict(part) for part in self.parts], "base": self.base, "weights": self.weights}

    @classmethod
    def read(cls, plain: Mapping[str, Any], rows: Mapping[str, Licence]) -> Terms:
        """The terms of :attr:`plain`."""
        return cls([Part(**part) for part in plain["parts"]], rows, plain["base"], plain["weights"])

    @property
    def licences(self) -> list[str]:
        """Each once, the base model's first."""
        return list(dict.fromkeys(part.licence for part in self.parts if part.licence))

    @property
    def hub(self) -> str:
        """What the hub's card names: the one licence, or `other`."""
        binding = [n for n in self.licences if self.rows[n].texts != "free" or self.rows[n].weights != "free"]
        named = {self.rows[n].hub for n in (binding or self.licences[:1])}
        return named.pop() if len(named) == 1 else "other"

    @property
    def commercial(self) -> bool:
        """Whether every licence allows commercial use."""
        return all(self.rows[name].commercial for name in self.licences)

    def faults(self, accepted: Collection[str]) -> list[str]:
        """Why it may not be passed on, a sentence each; empty where it may."""
        found = []
        for part in self.parts:
            if part.licence is None:
                said = f"it is said to be '{part.said[:80]}', which is" if part.said else "it is"
                hint = nearest(part.said, self.rows) if part.said else ""
                found.append(
                    f"{part.what}: its licence is not established ({said} no row of {TABLE}{hint}); say it "
                    f"in the study: release: licences: {{{part.name}: LICENCE}}, or leave it out"
                )
                continue
            row = self.rows[part.licence]
            grant = row.weights if self.weights else row.texts
            if grant == "refused":
                found.append(f"{part.what}: {row.title}: it may not be passed on; leave it out")
            elif grant == "conditions" and part.licence not in accepted:
                found.append(
                    f"{part.what}: {row.title} has conditions ({' '.join(row.terms)}): read it, then accept "
                    f"it: `rewild accept {part.licence}`"
                )
            if self.weights and row.only and self.base not in row.only and part is not self.parts[0]:
                found.append(
                    f"{part.what}: {row.title} lets its texts train models under {', '.join(row.only)} "
                    f"alone, and the base model is under {self.base}"
                )
        return found


class Ledger:
    """Who owns what: the licences of a study's sources, models, benchmarks and mixes."""

    def __init__(self, study: Study, models: Mapping[str, Model], released: Mapping[str, object]):
        """
        Args:
            study: the study.
            models: the table of models, with those that the study makes.
            released: the collections of released files, as :func:`rewild.core.fetch.read_manifest` gives.

        Raises:
            ConfigError: a licence of the study's section `release` that is no row, or of nothing it has.
        """
        self.study, self.models, self.released = study, models, released
        self.given = (study.release or Release.model_validate({})).licences
        self.rows = load_licences()
        for name, said in self.given.items():
            known_name(said, self.rows, f"study {study.name}: release.licences: {name}: no licence")

    def part(self, what: str, name: str, said: str | None) -> Part:
        """Something under the licence that the study says, or else the tables."""
        return Part(what, name, find_licence(self.given.get(name, said), self.rows), said or "")

    def model(self, slug: str, what: str = "text of") -> Part:
        """A model, or a run's first model; `rubric` is a program of this repository."""
        run = self.study.runs.get(slug)
        if run is not None and run.model != slug:
            return self.model(run.model, what)
        row = self.models.get(slug)
        said = "this repository's licence" if slug == RUBRIC else row.licence if row else None
        if row is None and slug != RUBRIC:
            row = next((m for m in self.models.values() if slug in (m.api, m.hub)), None)
            said = row.licence if row else None
        return self.part(f"{what} {slug}", slug, said)

    def prompts(self) -> list[Part]:
        """The sources of the study's prompts; of imports, what they import."""
        sources = self.study.prompts.sources if self.study.prompts else []
        found = []
        for source in sources:
            what = f"prompts: {source.name}"
            writer = getattr(source, "model", None)
            match source:
                case Hub():
                    found.append(self.part(what, source.name, HUB_DATASETS.get(source.repository)))
                case Demo():
                    found.append(self.part(what, source.name, "this repository's licence"))
                case AlpacaEval() | MTBench():
                    found.append(self.part(what, source.name, self.of_files([source.file])))
                case WildChatFile() | FormFiles():
                    found.append(self.part(what, source.name, self.of_files(source.files)))
                case _ if writer:
                    found.append(self.part(what, source.name, self._said(writer)))
                case _:
                    found.append(self.part(what, source.name, None))
        for row in self.study.imports:
            collection = getattr(row, "collection", None)
            said = self.of_files([f"released:{collection}"]) if collection else None
            found.append(self.part(f"prompts: {row.name}", row.name, said))
        return found

    def _said(self, slug: str) -> str | None:
        return self.given.get(slug) or (self.models[slug].licence if slug in self.models else None)

    def of_files(self, files: list[str]) -> str | None:
        """The licence of files: of a released collection, or of this repository; None where it is unknown."""
        said = set()
        for path in files:
            text = path.removeprefix("results/downloads/")
            if path.startswith("released:"):
                held = self.released.get(path.removeprefix("released:").partition("/")[0], [])
                said |= {getattr(file, "licence", None) for file in held}  # type: ignore[attr-defined]
            elif path.startswith("resources/"):
                said.add("this repository's licence")
            else:
                known = [f for files in self.released.values() for f in files if f.name == text]  # type: ignore[attr-defined]
                said |= {file.licence for file in known} or {None}
        return said.pop() if len(said) == 1 else None

    def benchmark(self, slug: str, benchmarks: Mapping[str, object]) -> Part:
        """The questions of a judged benchmark."""
        rows = judged_rows([slug], benchmarks)  # type: ignore[arg-type]
        said = None
        if rows:
            try:
                said = self.of_files(list(files_of(rows[0], self.released).values()))  # type: ignore[arg-type]
            except ConfigError:
                said = None
        return self.part(f"questions of {slug}", slug, said)

    def mix(self, name: str) -> list[Part]:
        """What a mix, or a set of preference pairs, is made of."""
        if pairs := self.study.preferences.get(name):
            return [*self._asked(pairs.origins), self.model(pairs.model)]
        found: list[Part] = []
        for source in self.study.mixes[name].sources:
            if isinstance(source, FromResponses):
                found += [*self._asked(source.origins), self.model(source.model)]
            elif isinstance(source, FromPrompts):
                found += self._asked(source.origins)
            elif isinstance(source, FromSamples):
                found += self.mix(source.of)
            else:
                found.append(self.part(f"data: {source.label}", source.label, source.licence))
        return list(dict.fromkeys(found))

    def _asked(self, origins: list[str]) -> list[Part]:
        return [part for part in self.prompts() if not origins or part.name in origins]

    def base(self, run: str) -> list[Part]:
        """The model that a fine-tune starts from, then all that it, and those it goes on from, learned."""
        row = self.study.runs[run]
        earlier = (
            self.base(row.model)
            if row.model in self.study.runs and row.model != run
            else [self.model(row.model, "base model")]
        )
        return [*earlier, *(self.mix(row.mix) if row.mix else [])]

    def terms(self, parts: list[Part]) -> Terms:
        """The terms of a data set."""
        return Terms(list(dict.fromkeys(parts)), self.rows)

    def terms_of_run(self, run: str) -> Terms:
        """The terms of a fine-tune."""
        parts = list(dict.fromkeys(self.base(run)))
        return Terms(parts, self.rows, base=parts[0].licence, weights=True)

"""What a study's files say of themselves: failures by reason, what was spent, what it ran on, findings.

Nothing here stops at a bad file: it is named among the problems, and the rest is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rewild.audit import report as audits
from rewild.audit.outcome import VERDICTS
from rewild.core.errors import RewildError
from rewild.core.files import sha256
from rewild.core.reading import any_fault, read_json, read_model
from rewild.core.table import read_table
from rewild.evaluation.judged.schema import Spent as Judging
from rewild.generation.schema import Measurement
from rewild.report.findings import report as findings
from rewild.report.findings.headline import shown
from rewild.report.teachers.schema import FINDINGS
from rewild.training.runs.schema import Measured

T = TypeVar("T")
MOVES = ("read", "drawn", "not_drawn")
"""What a mix's card says of a source that is no reason why a conversation was left out."""


@dataclass
class Reader:
    """Reads files of one study's folder, and keeps what is wrong with them."""

    folder: Path
    problems: list[str] = field(default_factory=list)

    def each(self, pattern: str, what: str, pick: Callable[[Path], T]) -> list[T]:
        """What is picked from every file of a pattern."""
        paths = (p for p in sorted(self.folder.glob(pattern)) if not p.name.startswith("."))
        found = (self.tried(lambda p=path: pick(p), path, what) for path in paths)  # type: ignore[misc]
        return [one for one in found if one is not None]

    def tried(self, make: Callable[[], T], where: object, what: str) -> T | None:
        """What is made; None where its files are broken, which is then a problem."""
        try:
            with any_fault(where, what):
                return make()
        except RewildError as error:
            self.problems.append(str(error))
        return None


@dataclass(frozen=True)
class Failure:
    """Rows that failed or were left out for one reason."""

    stage: str
    what: str
    reason: str
    count: int
    of: int


def failures(reader: Reader) -> list[Failure]:
    """What was recorded as failed or left out, and why, of every stage."""

    def counted(*reasons: str, of: str) -> Callable[[Path], list[Failure]]:
        def pick(path: Path) -> list[Failure]:
            stage, *names = path.relative_to(reader.folder).parts[:-1]
            one, what = read_json(path), "/".join(names) or "all"
            found = {reason: n for key in reasons for reason, n in one[key].items()}
            return [Failure(stage, what, str(r), int(n), int(one[of])) for r, n in found.items() if n]

        return pick

    def of_mix(path: Path) -> list[Failure]:
        found = []
        for source, outcomes in read_json(path)["outcomes"].items():
            what = f"{path.parent.name}: {source}"
            rows = [(r, int(n)) for r, n in outcomes.items() if r not in MOVES and n]
            found += [Failure("mixes", what, str(r), n, int(outcomes["read"])) for r, n in rows]
        return found

    lists = [
        *reader.each(
            "prompts/report.json", "the account of prompts", counted("dropped", "failures", of="rows_in")
        ),
        *reader.each("synthesis/*/manifest.json", "a manifest", counted("failures", of="samples")),
        *reader.each("responses/*/manifest.json", "a manifest", counted("failures_by_reason", of="rows")),
        *reader.each("mixes/*/card.json", "the card of a mix", of_mix),
        *reader.each("preferences/*/card.json", "a card", counted("dropped", of="prompts")),
        *reader.each("preferences/*/card.json", "a card", counted("answers_without_score", of="answers")),
        *reader.each("benchmarks/*/*/judging.json", "what judging cost", counted("failures", of="calls")),
    ]
    return [failure for found in lists for failure in found]


def summed(found: Iterable[Failure]) -> list[tuple[str, str, int, int]]:
    """Stage, reason, how many rows, and in how many models, mixes or the like; the most frequent first."""
    rows: Counter[tuple[str, str]] = Counter()
    places: Counter[tuple[str, str]] = Counter()
    for one in found:
        rows[one.stage, one.reason] += one.count
        places[one.stage, one.reason] += 1
    return [(stage, reason, n, places[stage, reason]) for (stage, reason), n in rows.most_common()]


@dataclass
class Spent:
    """What finished jobs of one stage of ``rewild cost`` took, as they measured it themselves."""

    jobs: int = 0
    gpu_hours: float = 0.0
    hours: float = 0.0
    tokens: int = 0
    dollars: float = 0.0


@dataclass
class Rests:
    """What results rest on: versions and hardware with how many jobs had them, and hashes of settings."""

    versions: Counter[tuple[str, str]] = field(default_factory=Counter)
    hardware: Counter[tuple[str, str]] = field(default_factory=Counter)
    recipes: dict[str, str] = field(default_factory=dict)

    def note(self, versions: Mapping[str, Any], hardware: Mapping[str, Any], gpus: int = 0) -> None:
        """Count one job."""
        self.versions.update((str(name), str(version)) for name, version in versions.items())
        told = ", ".join(f"{key} {value}" for key, value in hardware.items())
        self.hardware[f"{gpus} GPU{'' if gpus == 1 else 's'}" if gpus else "CPU only", told] += 1


def spent(reader: Reader) -> tuple[dict[str, Spent], Rests]:
    """What finished shards, trainings and judgments took, by stage of ``rewild cost``; what they ran on."""
    found: dict[str, Spent] = {}
    rests = Rests()

    def add(stage: str, **more: float) -> None:
        one = found.setdefault(stage, Spent(tokens=0))
        one.jobs += 1
        for name, value in more.items():
            setattr(one, name, getattr(one, name) + value)

    def answered(stage: str) -> Callable[[Path], None]:
        def pick(path: Path) -> None:
            m = Measurement.model_validate(
                {k: v for k, v in read_json(path).items() if k in Measurement.model_fields}
            )
            hours = (m.load_seconds + m.generate_seconds) / 3600
            add(stage, gpu_hours=hours * m.gpus, hours=hours, tokens=m.input_tokens + m.output_tokens)
            rests.note(m.versions, m.hardware, m.gpus)

        return pick

    def trained(path: Path) -> None:
        m = read_model(path, Measured, "a training's report")
        gpus = m.processes if "gpu" in m.hardware else 0
        add("training", gpu_hours=m.hours * gpus, hours=m.hours, tokens=m.tokens or 0)
        rests.note(m.versions, m.hardware, gpus)
        rests.recipes[f"runs/{m.run}"] = m.identity

    def judged(path: Path) -> None:
        m = read_model(path, Judging, "what judging cost")
        add("judging", dollars=m.price or 0.0, tokens=m.input_tokens + m.output_tokens)

    def identified(path: Path) -> None:
        rests.recipes[path.parent.relative_to(reader.folder).as_posix()] = str(read_json(path)["recipe"])

    reader.each("responses/*/[0-9]*.json", "a measurement", answered("responses"))
    reader.each("synthesis/*/*/[0-9]*.json", "a measurement", answered("synthesis"))
    reader.each("runs/*/training.json", "a training's report", trained)
    reader.each("benchmarks/*/*/judging.json", "what judging cost", judged)
    reader.each("responses/*/manifest.json", "a manifest", identified)
    reader.each("synthesis/*/manifest.json", "a manifest", identified)
    return found, rests


def stated_findings(reader: Reader) -> dict[str, Any] | None:
    """The headline table and the statements with their numbers, ready to be shown; None without findings."""

    def pick(path: Path) -> dict[str, Any]:
        data = findings.read(path)
        head = data["headline"]
        return {
            "columns": [str(c) for c in head["columns"]],
            "rows": [
                (str(r["label"]), [(shown(c), str(c["note"])) for c in r["cells"]]) for r in head["rows"]
            ],
            "average": f"{head['columns'][-1]}: {head['average']['meaning']}",
            "stated": [
                {
                    "title": str(f["title"]),
                    "statement": f["statement"],
                    "missing": f["missing"],
                    "numbers": [
                        (str(n["what"]), str(n["shown"]), findings.interval(n), n["n"]) for n in f["numbers"]
                    ],
                }
                for f in data["findings"]
            ],
        }

    return next(iter(reader.each("findings/findings.json", "findings", pick)), None)


def taught(reader: Reader) -> list[dict[str, Any]]:
    """What is stated of teachers, in the form of ``stated``."""

    def pick(path: Path) -> list[dict[str, Any]]:
        found = []
        for row in read_table(path, FINDINGS, allow_empty=True).iter_rows(named=True):
            of = ", ".join(filter(None, (row["base"], row["family"])))
            value, low, high = ("" if row[k] is None else f"{row[k]:.3g}" for k in ("value", "low", "high"))
            interval = f"{low} to {high}" if low and high else ""
            found.append(
                {
                    "title": f"Teachers: {row['finding']}" + (f" ({of})" if of else ""),
                    "statement": row["statement"],
                    "missing": row["missing"],
                    "numbers": [(row["finding"], value, interval, row["n"] or "")] if value else [],
                }
            )
        return found

    return next(iter(reader.each("teachers/findings.csv", "findings of teachers", pick)), [])


def audited(reader: Reader) -> list[dict[str, Any]]:
    """Of every paper's audit: how its claims ended, and which headlines it contradicts."""

    def pick(path: Path) -> dict[str, Any]:
        data = audits.read(path)
        said = audits.by_importance(data, "contradicted")
        return {
            "paper": str(data["paper"]["name"]),
            "cite": str(data["paper"]["cite"]),
            "page": path.with_suffix(".html").relative_to(reader.folder).as_posix(),
            "counts": [(v, audits.MARKS[v], name, int(data["counts"][v])) for v, name in VERDICTS.items()],
            "claims": len(data["claims"]),
            "contradicted": [
                {key: str(c[key]) for key in ("id", "says", "published", "computed")}
                for c in said
                if c["importance"] == "headline"
            ],
        }

    return reader.each("*/audit/audit.json", "an audit", pick)


def digest(path: Path) -> str:
    """A file's SHA-256; empty where there is none."""
    return sha256(path) if path.is_file() else ""

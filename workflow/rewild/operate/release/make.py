"""Local folders ready for the hub, and what the gates say of them.

=========================================== =================================================================
``results/{study}/release/release.json``     :data:`SCHEMA`: repositories, files with SHA-256, gates
``results/{study}/release/found.csv``        :data:`rewild.operate.release.scan.FOUND`: rows that gates name
``results/{study}/release/datasets/{name}/`` a data set: ``README.md``, ``croissant.json``, ``data/*.parquet``
``results/{study}/release/models/{name}/``   a fine-tune: ``README.md``, its checkpoint
=========================================== =================================================================

Tables of a single owner are the study's own files, byte for byte. What is made twice of the same files and
settings is the same, and is not made again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256 as digest
from pathlib import Path
from typing import Any

import polars as pl

from rewild import __version__, own
from rewild.config.base import trigger
from rewild.core.errors import DataError, RewildError, known_name
from rewild.core.files import atomic, filling, read_report, sha256, write_json, write_text
from rewild.core.table import about_table, provenance, read_table, write_table
from rewild.operate.licences import TABLE, load_licences
from rewild.operate.release.cards import dataset_card, model_card
from rewild.operate.release.croissant import describe
from rewild.operate.release.scan import FOUND, GATES, Scanner, scan_file, scan_table
from rewild.operate.release.terms import Terms
from rewild.operate.release.units import Case, Table, Unit, find_units
from rewild.operate.sources import code_of

SCHEMA = {"schema": "release", "version": 1}
PLAIN = (".yaml", ".json", ".csv")
SHOWN = 5
"""Rows that a message names of a gate; found.csv has all."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Gate:
    """What a gate says: closed where ``faults`` are there and nobody has accepted them."""

    name: str
    faults: Sequence[str]
    accepted: bool = False

    @property
    def open(self) -> bool:
        """Whether a release may pass."""
        return not self.faults or self.accepted


def make_release(case: Case, folder: Path, scanner: Callable[[], Scanner], say: Say) -> dict[str, Any]:
    """Write a study's release; what is there of the same files and settings is left as it is.

    Args:
        case: the study and its results.
        folder: where to: ``results/{study}/release``.
        scanner: makes what looks through texts; called only if there is something to look through.
        say: called with a line of progress at a time.

    Returns:
        ``release.json``.

    Raises:
        ConfigError, DataError: of :func:`rewild.operate.release.units.find_units`.
    """
    units, missing = find_units(case)
    made_from = _made_from(case, units)
    path = folder / "release.json"
    if path.exists():
        try:
            before = read_report(path, SCHEMA, "a release")
        except DataError as error:
            say(f"{error}; it is made again")
        else:
            if before["made_from"] == made_from and not changed(folder, before):
                say(f"{path}: made of the same files and settings; not made again")
                return before
    look = scanner()
    for kind in ("datasets", "models"):
        _remove(folder / kind)
        (folder / kind).mkdir(parents=True)
    repositories, findings = [], []
    with filling(folder):
        for unit in units:
            say(f"{unit.name}: {len(unit.tables)} tables, {len(unit.files)} other files")
            entry, found = _make(case, unit, folder, look)
            repositories.append(entry)
            findings.append(found)
    found = pl.concat(findings)
    write_table(folder / "found.csv", found, FOUND, provenance(study=case.study.name))
    release = {
        **SCHEMA,
        "study": case.study.name,
        "rewild": __version__,
        "made_from": made_from,
        "repositories": repositories,
        "not_there": missing,
        "left_out": dict(case.release.leave_out),
        "found": {gate: found.filter(pl.col("gate") == gate).height for gate in GATES},
    }
    write_json(path, release)
    return release


def _made_from(case: Case, units: Sequence[Unit]) -> str:
    """A hash of all that a release follows from."""
    paths = sorted({path for unit in units for path in unit.sources})
    held = [
        trigger(case.release), case.study.title, __version__, case.study.seed, code_of("release"),
        sha256(own(TABLE)),
        [[unit.name, unit.terms.plain, unit.facts] for unit in units],
        [[str(path), sha256(path)] for path in paths],
    ]  # fmt: skip
    return digest(json.dumps(held, sort_keys=True, default=str).encode()).hexdigest()


def changed(folder: Path, release: Mapping[str, Any]) -> str | None:
    """The first file that is not as the release says; None if all are."""
    for entry in release["repositories"]:
        for target, about in entry["files"].items():
            path = folder / entry["folder"] / target
            if not path.is_file() or sha256(path) != about["sha256"]:
                return str(path)
    return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _make(case: Case, unit: Unit, folder: Path, look: Scanner) -> tuple[dict[str, Any], pl.DataFrame]:
    """Write one repository. Returns its entry in ``release.json``, and what was found in its texts."""
    place = f"{unit.kind}s/{unit.name}"
    files: dict[str, dict[str, Any]] = {}
    found = [FOUND.frame([], unit.name)]
    counts: dict[str, int] = {}
    for table in unit.tables:
        frame = table.read()
        counts[table.target] = frame.height
        unit.faults += table.faults(frame)
        if frame.is_empty():
            continue
        _put(table, frame, folder / place / table.target)
        found.append(scan_table(unit.name, table, frame, look))
    for target, source in unit.files.items():
        _link(source, folder / place / target)
        if target.endswith(PLAIN) and (unit.kind == "dataset" or "/" in target):
            found.append(scan_file(unit.name, target, source, look))
    everything = pl.concat(found)
    for target in [*(t.target for t in unit.tables if counts[t.target]), *unit.files]:
        path = folder / place / target
        files[target] = {"sha256": sha256(path), "bytes": path.stat().st_size}
        if target in counts:
            files[target]["rows"] = counts[target]
    if unit.kind == "dataset":
        write_json(folder / place / "croissant.json", describe(case, unit, files))
        card = dataset_card(case, unit, counts, everything)
    else:
        card = model_card(case, unit, everything)
    write_text(folder / place / "README.md", card)
    own = ["README.md", *(["croissant.json"] if unit.kind == "dataset" else []), "release.json"]
    inside = {"study": case.study.name, "rewild": __version__, "files": files}
    write_json(folder / place / "release.json", inside)
    for target in own:
        path = folder / place / target
        files[target] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    entry = {
        "kind": unit.kind,
        "what": unit.what,
        "name": unit.name,
        "folder": place,
        "licence": unit.terms.hub,
        "licences": unit.terms.licences,
        "terms": unit.terms.plain,
        "rows": sum(counts.values()),
        "files": files,
        "faults": unit.faults,
    }
    return entry, everything


def _put(table: Table, frame: pl.DataFrame, path: Path) -> None:
    """A table in its place: the file itself, or the rows of its source with what the file says of itself."""
    if table.origin is None:
        _link(table.source, path)
        return
    about = about_table(table.source)
    write_table(path, frame, table.schema, about.get("provenance", {}) if about else {})


def _link(source: Path, path: Path) -> None:
    """The same bytes at another place, without a second copy where the file system can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), path)
    except OSError:
        with atomic(path) as temporary:
            shutil.copyfile(source, temporary)


def read_found(folder: Path) -> pl.DataFrame:
    """What the scan of a release found: :data:`rewild.operate.release.scan.FOUND`; it may be nothing."""
    return read_table(folder / "found.csv", FOUND, allow_empty=True)


def judge_gates(
    release: Mapping[str, Any],
    found: pl.DataFrame,
    agreed: Collection[str],
    accept: Collection[str],
) -> list[Gate]:
    """What every gate says.

    Args:
        release: of :func:`make_release`.
        found: its ``found.csv``.
        agreed: licences that the person has read and accepts.
        accept: gates of :data:`GATES` whose findings the person has looked at.

    Raises:
        ConfigError: ``accept`` names what is no such gate.
    """
    for name in accept:
        known_name(name, GATES, "--accept: no gate", listed="gates that may be accepted")
    known = load_licences()
    terms = [
        f"{entry['name']}: {fault}"
        for entry in release["repositories"]
        for fault in Terms.read(entry["terms"], known).faults(agreed)
    ]
    rows = [f"{entry['name']}: {fault}" for entry in release["repositories"] for fault in entry["faults"]]
    gates = [Gate("licences", terms), Gate("rows", rows)]
    for gate in GATES:
        mine = found.filter(pl.col("gate") == gate)
        faults = [
            f"{one['repository']}: {one['file']}, row {one['row']} ({one['key']}), {one['column']}: "
            f"{one['kind']} at {one['start']}"
            for one in mine.iter_rows(named=True)
        ]
        gates.append(Gate(gate, faults, gate in accept))
    return gates


def refuse_closed(study: str, gates: Sequence[Gate], folder: Path) -> None:
    """Raise a :class:`RewildError` that names what closes each gate."""
    closed = [gate for gate in gates if not gate.open]
    if not closed:
        return
    lines = []
    for gate in closed:
        shown = [f"  {fault}" for fault in gate.faults[:SHOWN]]
        more = len(gate.faults) - SHOWN
        rest = [f"  … and {more:,} more ({folder}/found.csv has all rows)"] if more > 0 else []
        how = f"; look at them, then --accept {gate.name}" if gate.name in GATES else ""
        lines += [f"{gate.name}: {len(gate.faults):,} reasons{how}", *shown, *rest]
    raise RewildError(f"study {study}: nothing leaves, {len(closed)} gates are closed\n" + "\n".join(lines))

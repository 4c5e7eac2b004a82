"""Pin a study: the present commit of everything that it takes from the hub and does not pin itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from rewild.config.benchmarks import Benchmark
from rewild.config.engines import find_engine
from rewild.config.pins import FILE, Pins, open_ends
from rewild.core.errors import RewildError
from rewild.core.files import write_text
from rewild.core.hub import AwayError, Hub, Kind
from rewild.operate.cost.base import CostInputs
from rewild.operate.preflight import used_models

HEAD = """\
# Commits of what rows of the tables and studies take from the hub and do not pin themselves: written by
# `rewild pin STUDY`, kept in the repository. Another commit is another result: it is made again.
"""


@dataclass(frozen=True, order=True)
class Open:
    """Something of the hub without a commit: its kind, its id, and what of the study takes it."""

    kind: Kind
    name: str
    of: str


@dataclass
class Pinning:
    """What came of asking: new commits, what moved as ``(was, is)``, what was refused with the reason."""

    new: dict[Open, str] = field(default_factory=dict)
    same: dict[Open, str] = field(default_factory=dict)
    moved: dict[Open, tuple[str, str]] = field(default_factory=dict)
    refused: dict[Open, str] = field(default_factory=dict)


def pinnable(benchmarks: Mapping[str, Benchmark]) -> list[Benchmark]:
    """The rows whose questions lm-eval takes from the hub."""
    return [row for row in benchmarks.values() if row.runner == "lm-eval" and row.dataset]


def unpinned(inputs: CostInputs) -> list[Open]:
    """Everything that a study takes from the hub and neither it nor a table pins, by kind and name.

    Args:
        inputs: the study and all tables, read without the lock file.
    """
    found: dict[tuple[Kind, str], list[str]] = {}
    for kind, name, of in _unpinned(inputs):
        found.setdefault((kind, name), []).append(of)
    return sorted(
        Open(kind, name, ", ".join(dict.fromkeys(of)))
        for (kind, name), of in found.items()
        if name.count("/") == 1 and not name.startswith(("/", ".")) and not Path(name).is_dir()
    )


def _unpinned(inputs: CostInputs) -> Iterator[tuple[Kind, str, str]]:
    for slug, model in used_models(inputs).items():
        hub, revision = model.row.checkpoint(model.precision)
        if not model.local and hub is not None and revision is None:
            yield "models", hub, slug
    listed = inputs.study.evaluation.benchmarks if inputs.study.evaluation else []
    for row in pinnable({name: inputs.benchmarks[name] for name in listed if name in inputs.benchmarks}):
        if row.revision is None:
            yield "datasets", str(row.dataset), row.slug
    for kind, name, section in open_ends(inputs.study):
        engine = getattr(section, "engine", None)
        if isinstance(engine, str) and find_engine(engine).remote:
            continue  # the name that an endpoint knows it by
        if name in inputs.models or getattr(section, "commit", None):  # a row's own; a default's own
            continue
        yield ("datasets" if kind == "datasets" else "models"), name, type(section).__name__.lower()


def ask(hub: Hub, wanted: Sequence[Open], pins: Pins) -> Pinning:
    """The present commit of each, told apart by what the lock file has.

    Raises:
        AwayError: the hub cannot be reached; nothing is known then.
    """
    found = Pinning()
    for one in wanted:
        was = getattr(pins, one.kind).get(one.name)
        try:
            now = str(hub.info(one.kind, one.name)["sha"])
        except AwayError:
            raise
        except RewildError as error:
            found.refused[one] = str(error)
            continue
        if was is None:
            found.new[one] = now
        elif was == now:
            found.same[one] = now
        else:
            found.moved[one] = (was, now)
    return found


def pin_study(
    config: Path,
    wanted: Sequence[Open],
    pins: Pins,
    overwrite: Callable[[Sequence[tuple[Open, tuple[str, str]]]], bool],
    say: Callable[[str], None],
) -> Pinning:
    """Ask for what is wanted and write the lock file; what moved only if ``overwrite`` says so.

    Args:
        config: the folder of the lock file.
        wanted: of :func:`unpinned`.
        pins: the lock file as it is.
        overwrite: asked once, with what moved: each with the commit that it had and has.
        say: called with a line at a time.

    Raises:
        RewildError: the hub cannot be reached: what would be asked is said first; or it refused some of them:
            the others are written.
    """
    with Hub(say=say) as hub:
        try:
            found = ask(hub, wanted, pins)
        except AwayError as error:
            would_ask(hub, wanted, pins, say)
            raise RewildError(f"{error}; nothing is pinned. Run this where the hub can be reached") from None
    for one, commit in found.new.items():
        say(f"{one.name}: {commit} (new; {one.of})")
    for one, commit in found.same.items():
        say(f"{one.name}: {commit} (as before; {one.of})")
    for one, (was, now) in found.moved.items():
        say(f"{one.name}: moved since it was pinned: {was} → {now} ({one.of})")
    if found.new:
        write_pins(config, pins, found.new)
        say(f"{config / FILE}: {len(found.new)} added")
    if found.moved and overwrite(list(found.moved.items())):
        write_pins(config, pins, found.new | {one: now for one, (_, now) in found.moved.items()})
        say(f"{config / FILE}: {len(found.moved)} overwritten")
    elif found.moved:
        say(f"{len(found.moved)} stay as they were pinned")
    if found.refused:
        reasons = "\n".join(f"  {reason}" for reason in found.refused.values())
        raise RewildError(f"{len(found.refused)} of {len(wanted)} are not pinned:\n{reasons}")
    return found


def would_ask(hub: Hub, wanted: Sequence[Open], pins: Pins, say: Callable[[str], None]) -> None:
    """Say what would be asked, without asking."""
    for one in wanted:
        was = getattr(pins, one.kind).get(one.name)
        state = f"now {was}" if was else "not pinned"
        say(f"would ask GET {hub.address(one.kind, one.name)} ({one.of}; {state})")


def write_pins(config: Path, pins: Pins, taken: Mapping[Open, str]) -> None:
    """Write the lock file with these commits too: sorted, so that two who pin write the same bytes."""
    made: dict[str, dict[str, str]] = {kind: dict(getattr(pins, kind)) for kind in ("models", "datasets")}
    for one, commit in taken.items():
        made[one.kind][one.name] = commit
    plain = {
        kind: dict(sorted(rows.items(), key=lambda row: row[0].lower()))
        for kind, rows in made.items()
        if rows
    }
    write_text(config / FILE, HEAD + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))

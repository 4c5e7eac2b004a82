"""Every command: a bad input or a path that cannot be written is one message, no traceback, exit status 1.

The commands and their paths are those of the program itself, so that a new command is tried too.
"""

from __future__ import annotations

import inspect
import random
import socket
import sys
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from typer.models import OptionInfo

from rewild import __main__ as program
from rewild.cli import PHASES
from rewild.core.table import write_table
from rewild.training.runs.schema import LOSS
from viewer_data import answer, write_responses

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "workflow/rewild/papers/wildchat50m/data"


@dataclass(frozen=True)
class Parameter:
    """One argument or option of a command."""

    name: str
    path: bool
    option: str | None
    required: bool

    @property
    def output(self) -> bool:
        """Whether it says where results go."""
        return self.name in OUTPUTS or self.name.startswith("out_")

    def words(self, value: str) -> list[str]:
        """As on a command line."""
        return [self.option, value] if self.option else [value]


FOLDERS = {"config", "results"}  # the workflow's own, the same for every command
OUTPUTS = {"out", "to", "into", "folder", "cells", "figure", "archive"}
INPUTS_ALL_THE_SAME = {
    *(("collect-imports", "folder"), ("plot-similarity", "folder"), ("findings", "figure")),
    ("home", "folder"),
}
VALUES = {
    "study": "demo",
    "paper": "wildchat50m",
    "run": "weak-sft",
    "model": "demo-plain",
    "name": "table1",
    "collection": "wildbench",
    "title": "a title",
    "settings": '{"seed": 1}',
    "metric": "rougeL",
    "shard": "0000",
    "shards": "0000",
    "number": "0",
    "benchmark": "ifeval",
    "repository": "owner/name",
    "hub": "owner/name",
    "revision": "0" * 40,
    "table": "table2",
    "evidence": "workbook=nothing.xlsx",
}
BESIDES = {"fetch": {"mirror": "nowhere"}}  # else it tries the network several times
PER_COMMAND = {("figure", "name"): "figure2", ("figure", "study"): "paper", ("cells", "study"): "released"}


def commands() -> dict[str, list[Parameter]]:
    """The parameters of each command, by the command's name."""
    found = {}
    for phase in PHASES:
        for command in phase.app.registered_commands:
            assert command.callback
            name = command.name or command.callback.__name__.replace("_", "-")
            hints = typing.get_type_hints(command.callback, include_extras=True)
            found[name] = [
                _parameter(name, key, hints[key], given.default)
                for key, given in inspect.signature(command.callback).parameters.items()
                if hints[key] is not typer.Context
            ]
    return found


def _parameter(command: str, name: str, hint: Any, default: Any) -> Parameter:
    kind, *marks = typing.get_args(hint)
    return Parameter(
        name=name,
        path=Path in _kinds(kind),
        option=next((_option(name, mark) for mark in marks if isinstance(mark, OptionInfo)), None),
        required=default is inspect.Parameter.empty,
    )


def _kinds(kind: Any) -> list[Any]:
    """A type and what it is made of."""
    return [kind, *(inner for part in typing.get_args(kind) for inner in _kinds(part))]


def _option(name: str, mark: OptionInfo) -> str:
    """What is typed for an option: typer takes the first name for a default."""
    names = [given for given in (mark.default, *(mark.param_decls or ())) if isinstance(given, str)]
    return names[0] if names else f"--{name.replace('_', '-')}"


COMMANDS = commands()


def is_output(command: str, parameter: Parameter) -> bool:
    if (command, parameter.name) == ("build-env", "folder"):
        return True
    return parameter.output and (command, parameter.name) not in INPUTS_ALL_THE_SAME


BAD = {
    "missing": None,
    "a folder": None,
    "empty": b"",
    "random bytes": random.Random(5).randbytes(3000),
    "brackets": b"[" * 100_000,
    "cut parquet": b"PAR1\0\0\0\0\x15\x04PAR1",
    "half a surrogate": b'{"a": "\\ud800", "rows": [NaN]}',
}


def bad(folder: Path, kind: str, name: str) -> Path:
    """A bad input, with a name of the right kind."""
    path = folder / f"bad{Path(name).suffix}"
    if kind == "a folder":
        path.mkdir()
    elif kind != "missing":
        content = BAD[kind]
        assert content is not None
        path.write_bytes(content)
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like the repository, without results; nothing outside is reached."""
    for name in ("config", "resources", "envs", "profiles", "Snakefile", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("REWILD_CONFIG", raising=False)
    return tmp_path


def line(command: str, given: dict[str, str]) -> list[str]:
    words = [command]
    for parameter in COMMANDS[command]:
        value = given.get(parameter.name) or BESIDES.get(command, {}).get(parameter.name)
        if value is None and parameter.required:
            value = PER_COMMAND.get((command, parameter.name)) or VALUES.get(parameter.name)
            if value is None:
                value = f"out/{parameter.name}" if is_output(command, parameter) else f"none/{parameter.name}"
        if value is not None:
            words += parameter.words(value)
    return words


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and what was said; a traceback is an exception here."""
    given, sys.argv = sys.argv, ["rewild", *words]
    try:
        program.main()
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        sys.argv = given
    return status, capsys.readouterr().err


CASES = [
    (command, parameter, kind)
    for command, parameters in COMMANDS.items()
    for parameter in parameters
    if (parameter.path and not is_output(command, parameter)) or parameter.name == "evidence"
    for kind in (("missing", "empty") if parameter.name in FOLDERS else BAD)
]


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 60
    assert [p.option for p in COMMANDS["wordnet"]] == ["--to", "--from", "--optional"]
    assert {p.name for p in COMMANDS["viewer"] if p.path} == {"responses", "out", "similarity", "judgments"}


@pytest.mark.parametrize(
    ("command", "parameter", "kind"), CASES, ids=[f"{c}-{p.name}-{k}" for c, p, k in CASES]
)
def test_a_bad_input_is_one_message(
    place: Path, capsys: pytest.CaptureFixture[str], command: str, parameter: Parameter, kind: str
) -> None:
    path = bad(place, kind, parameter.name)
    value = f"workbook={path}" if parameter.name == "evidence" else str(path)
    status, said = run(line(command, {parameter.name: value}), capsys)
    if status or parameter.required:
        assert status == 1, said
        assert said.count("error: ") == 1
    assert not [p for p in place.rglob("*") if p.is_file() and not p.is_symlink() and p != path and status]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Small good inputs of commands, by parameter: enough to come to the writing."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = [
        answer([f"question {n}"], 0, model, f"The answer {n} of {model}, in words.")
        for n in range(4)
        for model in ("a", "b")
    ]
    responses = str(write_responses(folder / "responses.parquet", rows))
    of_one = str(write_responses(folder / "of_one.parquet", rows[::2]))
    loss = folder / "loss.csv"
    steps = pl.DataFrame({name: [1, 2, 3] for name in LOSS.columns}, schema=LOSS.dtypes, strict=False)
    write_table(loss, steps, LOSS, {})
    return {
        "resolve": {},
        "make-questions": {},
        "figure-notes": {},
        "figure": {},
        "table": {"out_csv": "", "out_md": "", "out_tex": "", "out_html": ""},
        "proportional": {"published": str(PAPER / "table3.csv")},
        "audit": {"evidence": f"tables={PAPER}"},
        "draw-loss": {"loss": str(loss)},
        "draw-dag": {},
        "schema": {},
        "style-responses": {"responses": of_one},
        "similarity": {"responses": responses},
        "diversity": {"responses": responses, "resamples": "2"},
        "viewer": {"responses": responses},
    }


WRITES = [
    (command, p) for command, parameters in COMMANDS.items() for p in parameters if is_output(command, p)
]


@pytest.mark.heavy
@pytest.mark.parametrize(("command", "parameter"), WRITES, ids=[f"{c}-{p.name}" for c, p in WRITES])
def test_a_place_that_cannot_be_written_is_one_message(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    inputs: dict[str, dict[str, str]],
    command: str,
    parameter: Parameter,
) -> None:
    """Under a file; a file where a folder is needed or the other way round. What is there is kept."""
    (place / "file").write_text("kept")
    (place / "taken/x.csv").mkdir(parents=True)
    (place / "taken/x.csv/inside").write_text("kept")
    given = {k: v for k, v in inputs.get(command, {}).items() if v}
    for path in ("file/x.csv", "taken/x.csv")[: 1 if command == "draw-dag" else 2]:  # it is slow
        status, said = run(line(command, given | {parameter.name: path}), capsys)
        if command in inputs and path.startswith("file"):
            assert status == 1, said
            assert "file" in said.split("; ")[0]
        if status:
            assert status == 1, said
            assert said.count("error: ") == 1
        assert (place / "file").read_text() == "kept"
        assert (place / "taken/x.csv/inside").read_text() == "kept"
        assert not [p for p in place.rglob(".*") if p.is_file()]

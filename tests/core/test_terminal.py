"""Tables in the terminal: names stay whole at any width; every command prints on any terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from hostile import HOSTILE
from rewild.__main__ import COMMANDS, app, program
from rewild.config import load_benchmarks, load_models, load_study
from rewild.core.escape import line
from rewild.core.terminal import Heading, headings, print_table
from rewild.evaluation.judged.estimate import COLUMNS as ESTIMATES
from rewild.operate.site import Check, print_checks

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = (120, 80, 60)
MODELS = load_models(ROOT / "config")
FULL = load_study(ROOT / "config", "wildchat50m")


@cache
def planned() -> list[str]:
    output = run("plan", width=400)
    return [name for name in MODELS if f" {name} " in output]


def run(*arguments: str, width: int) -> str:
    found = CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(width)}, catch_exceptions=False)
    assert found.exit_code in (0, 1), found.output
    return found.output


assert FULL.responses is not None
TABLES: dict[str, tuple[tuple[str, ...], Callable[[], Sequence[str]]]] = {
    "models": (("models",), lambda: list(MODELS)),
    "benchmarks": (("benchmarks",), lambda: list(load_benchmarks(ROOT / "config", MODELS))),
    "plan": (("plan",), planned),
    "status": (("status", "wildchat50m"), lambda: FULL.responses.models),  # type: ignore[union-attr]
    "runs": (("runs", "wildchat50m"), lambda: list(FULL.runs)),
    "mixes": (("mixes", "wildchat50m"), lambda: [*FULL.mixes, *FULL.preferences]),
    "cost": (("cost", "wildchat50m"), lambda: ["responses", "training", "judging"]),
    "cost of each": (("cost", "wildchat50m", "--each"), lambda: FULL.responses.models),  # type: ignore[union-attr]
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("table", TABLES)
def test_every_name_is_whole_and_every_row_a_line(
    table: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    arguments, names_of = TABLES[table]
    names = names_of()
    output = run(*arguments, width=width)
    words = [text.split() for text in output.splitlines()]
    for name in names:
        assert any(name in row for row in words), f"{name} is not whole at {width}"
    tables = output.split("\nIt rests on")[0]  # below the tables of cost come sentences
    rows = [text for text in tables.splitlines() if any(text.strip().startswith(f"{n} ") for n in names)]
    assert all(cell_len(text.rstrip()) <= width for text in rows), max(rows, key=len)


def test_a_command_that_is_made_alone_is_what_it_is_among_all() -> None:
    assert {"plan", "respond", "table"} < set(COMMANDS)
    for given in (["plan", "--help"], ["respond", "tiny"], ["table", "--nothing"]):
        alone, among = (CliRunner().invoke(made, given) for made in (program(given), app))
        assert (alone.exit_code, alone.output) == (among.exit_code, among.output)
        assert alone.output
    for given in ([], ["--version"], ["pln"]):
        assert program(given) is app


@pytest.mark.parametrize("width", WIDTHS)
def test_checks_keep_their_names(width: int) -> None:
    names = ["weights of llama-3.1-nemotron-70b-instruct-hf", "licence", "partition gpu-long"]
    said = "a sentence that is longer than what there is room for at sixty columns /and/a/path/to/be/copied"
    stream = io.StringIO()
    print_checks("a site", [Check(n, "missing", said) for n in names], Console(file=stream, width=width))
    output = stream.getvalue()
    assert max(map(len, output.splitlines()[:-1])) <= width
    for name in names:
        for word in name.split():
            assert word in output.split()
    assert output.splitlines()[-1] == "a site: 0 well, 0 to look at (?), 3 missing (no)"


def printed(
    columns: Sequence[Heading], rows: Sequence[Sequence[object]], width: int, **more: object
) -> list[str]:
    stream = io.StringIO()
    print_table(columns, rows, console=Console(file=stream, width=width, **more))  # type: ignore[arg-type]
    return [text.rstrip() for text in stream.getvalue().splitlines() if text.strip()]


def test_the_least_important_columns_go_first() -> None:
    columns = [Heading("name"), Heading("b", 2), Heading("c", 1, right=True), Heading("d", 3)]
    rows = [("a-long-model-name", "bbbbbb", "cccccc", "dddddd")]
    found = {
        w: [c.name for c in columns if c.name in printed(columns, rows, w)[0].split()] for w in range(10, 60)
    }
    assert found[59] == ["name", "b", "c", "d"]
    seen = list(dict.fromkeys(tuple(found[w]) for w in sorted(found, reverse=True)))
    assert seen == [("name", "b", "c", "d"), ("name", "b", "c"), ("name", "c"), ("name",)]
    for width in range(3, 60):
        assert "a-long-model-name" in printed(columns, rows, width)[-1]
    assert "No room for: b, d." in " ".join(printed(columns, rows, 32, force_terminal=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_cell_is_text(name: str) -> None:
    cells = printed([Heading("n"), Heading("x")], [(name, "[red]x[/]")], 500)[-1].split()
    assert cells == [*line(name).split(), "[red]x[/]"]


def test_estimates_name_run_and_benchmark_at_any_width() -> None:
    assert [c.name for c in headings(ESTIMATES) if not c.rank] == ["run", "benchmark"]


ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
EVERY_HELP = """
import sys
from typer.main import get_command
from rewild.__main__ import app
from rewild.core.terminal import accept_any_character
accept_any_character()
root = get_command(app)
for name in [None, *root.commands]:
    try:
        root.main([*([name] if name else []), "--help"], prog_name="rewild", standalone_mode=False)
    except SystemExit as end:
        assert not end.code, name
    print("helped", name)
print("\\u65e5 \\ud800 \\u2013 \\u2192")
"""


def ascii_run(*command: str) -> subprocess.CompletedProcess[bytes]:
    """A command whose terminal knows ASCII only."""
    environment = {k: v for k, v in os.environ.items() if k not in ("LANG", "LC_CTYPE")}
    environment |= ASCII | {"PYTHONPATH": str(ROOT / "workflow"), "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


@pytest.mark.heavy
def test_the_help_of_every_command_prints_on_an_ascii_terminal() -> None:
    found = ascii_run("-c", EVERY_HELP)
    text = found.stdout.decode("ascii")
    assert found.returncode == 0, text[-3000:]
    assert text.count("\nhelped ") > 50
    assert text.splitlines()[-1] == "\\u65e5 \\ud800 - ->"


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--help",), "Start here"),
        (("plan", "qwen2.5-72b-instruct"), "qwen2.5-72b-instruct"),
        (("cost", "wildchat50m"), "beside the paper"),
        (("models", "--family", "mixtral"), "mixtral-8x7b-v0.1"),
        (("benchmarks",), "mt-bench"),
        (("validate", "paper"), "paper:"),
        (("resolve", "demo"), "name: demo"),
        (("status", "wildchat50m"), "left"),
        (("runs", "wildchat50m"), "tokens/s"),
        (("mixes", "wildchat50m"), "Mixes of wildchat50m"),
        (("show", "d\u00e9mo"), "error: "),
        (("models", "--family", "\u65e5\u672c"), "unknown family"),
    ],
)
def test_commands_print_on_an_ascii_terminal(arguments: tuple[str, ...], said: str) -> None:
    found = ascii_run("-m", "rewild", *arguments)
    text = found.stdout.decode("ascii")
    assert "Traceback" not in text
    assert said in text
    assert found.returncode == (1 if said in ("error: ", "unknown family") else 0), text

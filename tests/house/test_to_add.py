"""The table "to add X, touch Y" of docs/development.md is true: each is added so in a copy, and works."""

from __future__ import annotations

import filecmp
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import TRACKED, copy_workflow
from endpoint_study import Place, prompts
from mixes_data import conversation, write_responses
from paper_room import write_room
from rewild.core.table import read_table
from rewild.evaluation.scores.tidy import SCORES
from rewild.generation.schema import RESPONSES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "workflow/rewild"


def touched(what: str) -> set[str]:
    """The files of a row of the table; ``NAME`` stands for a name, and a folder ends in a slash."""
    for line in (ROOT / "docs/development.md").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"| {what} |"):
            return set(re.findall(r"`((?:workflow|config)/[^`]+)`", line))
    raise AssertionError(f"docs/development.md has no row '{what}'")


def changed(copy: Path) -> set[str]:
    """The files of a copy that are not those of the repository; what a user's study is does not count."""
    found = set()
    for path in (p for name in TRACKED for p in sorted((copy / name).rglob("*")) if p.is_file()):
        name = str(path.relative_to(copy))
        ours = ROOT / name
        if "__pycache__" in name or name.startswith("config/studies/"):
            continue
        if not ours.is_file() or not filecmp.cmp(path, ours, shallow=False):
            found.add(name)
    return found


def as_named(files: set[str], name: str) -> set[str]:
    """The same, with ``NAME`` for the name; the files of a room become its folder."""
    room = f"{PACKAGE}/papers/{name}/"
    return {
        f"{PACKAGE}/papers/NAME/" if f.startswith(room) else f.replace(f"/{name}.py", "/NAME.py")
        for f in files
    }


def insert(path: Path, before: str, text: str) -> None:
    """Put a text before another, which stands there once."""
    old = path.read_text(encoding="utf-8")
    assert old.count(before) == 1, before
    path.write_text(old.replace(before, text + before), encoding="utf-8")


def rewild(copy: Path, *words: str, at: Path | None = None) -> str:
    """Run a command of the copy's own package."""
    return python(copy, "-m", "rewild", *words, at=at)


def python(copy: Path, *words: str, at: Path | None = None) -> str:
    """Run the copy's own package, in the copy or in another folder."""
    path = os.pathsep.join((str(copy / "workflow"), str(ROOT / "tests")))
    run = subprocess.run(
        [sys.executable, *words],
        cwd=at or copy,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def add_measure(copy: Path) -> None:
    kinds = copy / PACKAGE / "config/measures"
    section = (
        "from typing import Literal\n\n"
        "from pydantic import Field\n\n"
        "from rewild.config.measures.base import Kind, Row, Value\n\n\n"
        "class Vowels(Row):\n"
        '    """How many vowels a text has."""\n\n'
        '    row = Kind("rewild.measures.vowels:Vowels", {"vowels": Value("integer", "Vowels")})\n'
        '    kind: Literal["vowels"]\n'
        '    letters: str = Field("aeiou", description="What counts")\n'
    )
    (kinds / "vowels.py").write_text(section, encoding="utf-8")
    insert(
        kinds / "__init__.py", "Measure = Annotated[", "from rewild.config.measures.vowels import Vowels\n\n"
    )
    text = (kinds / "__init__.py").read_text(encoding="utf-8")
    (kinds / "__init__.py").write_text(
        text.replace("    Language\n", "    Vowels\n    | Language\n", 1), encoding="utf-8"
    )
    (copy / PACKAGE / "measures/vowels.py").write_text(
        "from rewild.measures.base import Measurer\n\n\n"
        "class Vowels(Measurer):\n"
        "    def one(self, text):\n"
        '        return {"vowels": sum(text.count(v) for v in self.settings.letters)}\n',
        encoding="utf-8",
    )
    rewild(copy, "schema")


def use_measure(copy: Path) -> None:
    """It measures, and a filter of a mix knows it."""
    study = copy / "config/studies/demo.yaml"
    given = yaml.safe_load(study.read_text(encoding="utf-8"))
    given["measures"] |= {"v": {"kind": "vowels", "letters": "ae"}}
    given["mixes"]["herald"] = {
        "sources": [{"kind": "responses", "model": "demo-herald"}],
        "filters": {"measures": [{"measure": "v", "at_least": 3}]},
    }
    study.write_text(yaml.safe_dump(given), encoding="utf-8")
    write_responses(copy / "results/demo", "demo-herald", conversation(2, "demo-herald"), shards=1)
    answers = "results/demo/responses/demo-herald/0000.parquet"
    rewild(copy, "measure", "demo", "v", answers, "--subject", "demo-herald", "--out", "v.parquet")
    rewild(copy, "summarise-measure", "v.parquet", "--out", "v.csv")
    texts = [row["response"] for row in conversation(2, "demo-herald")]
    mean = sum(text.count("a") + text.count("e") for text in texts) / len(texts)
    line = next(
        x for x in (copy / "v.csv").read_text().splitlines() if x.startswith("v,demo-herald,vowels,,")
    )
    assert line.split(",")[4] == str(len(texts))
    assert any(float(x) == pytest.approx(mean) for x in line.split(",")[5:] if x)


def add_engine(copy: Path) -> None:
    insert(
        copy / PACKAGE / "config/engines.py",
        '    "classifier": EngineRow(\n',
        '    "echo": EngineRow("rewild.engines.echo:Echo", ("generate",), remote=True),\n',
    )
    (copy / PACKAGE / "engines/echo.py").write_text(
        "from rewild.engines.base import About, Completion, Engine\n\n\n"
        "class Echo(Engine):\n"
        "    def __init__(self, **_):\n"
        "        pass\n\n"
        "    def generate(self, requests, sampling):\n"
        "        said = [request.messages[-1]['content'] for request in requests]\n"
        "        return [Completion(f'You said: {text}', finish_reason='stop') for text in said]\n\n"
        "    def about(self):\n"
        "        return About('echo')\n",
        encoding="utf-8",
    )
    rewild(copy, "schema")


def use_engine(copy: Path) -> None:
    """It answers a shard, and says so beside every answer."""
    place = Place(copy / "place", engine="echo")
    prompts(place.layout.prompts("0000"), [["Hello", "And?"], ["Why?"]])
    rewild(copy, "respond", "talk", "m1", "0000", at=place.folder)
    rows = read_table(place.layout.responses("m1") / "0000.parquet", RESPONSES)
    assert sorted(rows["response"]) == ["You said: And?", "You said: Hello", "You said: Why?"]
    assert set(rows["engine"]) == {"echo"}


def add_benchmark(copy: Path) -> None:
    insert(
        copy / PACKAGE / "config/runners.py",
        '    "alpaca-eval": _alpaca_eval("AlpacaEval"),\n',
        '    "polite": Runner(\n        "rewild.evaluation.judged.polite:Polite",\n'
        '        dict.fromkeys(("questions", "references", "prompts"), (GIVEN, "the file")),\n    ),\n',
    )
    (copy / PACKAGE / "evaluation/judged/polite.py").write_text(
        "from rewild.evaluation.judged.mt_bench import MTBench\n\n\n"
        "class Polite(MTBench):\n"
        '    """One turn of each question, and no reference."""\n\n'
        "    def questions(self, files):\n"
        "        return [replace(q, turns=q.turns[:1], references=()) for q in super().questions(files)]\n",
        encoding="utf-8",
    )
    module = copy / PACKAGE / "evaluation/judged/polite.py"
    insert(module, "from rewild", "from dataclasses import replace\n\n")
    rows = copy / "config/benchmarks.yaml"
    given = yaml.safe_load(rows.read_text(encoding="utf-8"))["demo-chat"] | {
        "runner": "polite",
        "title": "Polite",
    }
    rows.write_text(rows.read_text(encoding="utf-8") + yaml.safe_dump({"polite": given}), encoding="utf-8")
    rewild(copy, "schema")


def use_benchmark(copy: Path) -> None:
    """Answers that are there are judged by the rubric, and scored."""
    program = (
        "from pathlib import Path; from judging_workspace import Workspace, knowing; import yaml; "
        "work = Workspace.at(Path()); work.write_study({}); path = Path('config/studies/try.yaml'); "
        "study = yaml.safe_load(path.read_text()); study['evaluation'] = {'benchmarks': ['polite']}; "
        "study['judging'] = {}; path.write_text(yaml.safe_dump(study)); "
        "work.answer(work.task('polite'), 'one', knowing)"
    )
    python(copy, "-c", program)
    rewild(copy, "judge", "try", "one", "polite")
    rewild(copy, "score", "try", "one", "polite")
    scores = read_table(copy / "results/try/benchmarks/one/polite/scores.csv", SCORES)
    [whole] = scores.filter(metric="average", part="all").to_dicts()
    assert (whole["judge"], whole["value"] > 5) == ("rubric", True)
    assert set(scores["part"]) & {"turn-1", "turn-2"} == {"turn-1"}


def use_paper(copy: Path) -> None:
    """Its table is made by the command (Snakemake makes the rest in tests/papers/test_rooms.py)."""
    assert "| one | **3.5** |" in rewild(copy, "table", "nothing", "scores")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("what", "name", "add", "use"),
    [
        ("a kind of measure", "vowels", add_measure, use_measure),
        ("an engine", "echo", add_engine, use_engine),
        ("a judged benchmark", "polite", add_benchmark, use_benchmark),
        ("a paper", "nothing", write_room, use_paper),
    ],
)
def test_it_is_added_by_exactly_the_files_of_its_row(
    tmp_path: Path, what: str, name: str, add: Callable[[Path], None], use: Callable[[Path], None]
) -> None:
    copy = copy_workflow(tmp_path / "copy")
    assert changed(copy) == set()
    add(copy)
    assert as_named(changed(copy), name) == touched(what)
    use(copy)

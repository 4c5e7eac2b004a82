"""What the pages name is there: links, anchors, commands, options, paths, modules, studies, keys."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel, ValidationError

from rewild.__main__ import app
from rewild.audit.claims import Claim
from rewild.config.base import _models as models_in
from rewild.config.benchmarks import Benchmark
from rewild.config.models import Model
from rewild.config.recipes import Recipe
from rewild.config.site import Site
from rewild.config.study import Defaults, Study
from rewild.config.templates import expand
from rewild.core.errors import RewildError
from rewild.operate.docs.links import links, target, tokens
from rewild.operate.docs.prose import slug
from rewild.operate.docs.site import CONTENTS, REFERENCE, contents, reference

ROOT = Path(__file__).resolve().parents[2]
PROGRAM: Any = typer.main.get_command(app)
FOLDERS = "workflow|rewild|config|docs|envs|tests|resources|profiles|benchmarks(?!/\\{run|/RUN)"
EXAMPLES = {
    *("profiles/slurm/site.yaml", "config/own_models.yaml", "config/pins.yaml", "config/accepted.yaml"),
    *("config/studies/tone.yaml", "tests/PHASE/test_x.py"),
}
"""What a command writes, or a page tells you to make."""


def written() -> list[str]:
    """The pages that somebody wrote."""
    found = [path.relative_to(ROOT) for path in ROOT.rglob("*.md")]
    ours = (path for path in found if not re.match(r"[._]|results/(?!README)|shared/|slurm/", str(path)))
    return sorted(str(path) for path in ours if "node_modules" not in path.parts)


PAGES = written()


@cache
def texts() -> dict[str, str]:
    """All pages of the site and of the repository: path → Markdown."""
    made = {f"reference/{name}.md": text for name, text in reference(PROGRAM).items()}
    return made | {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}


@cache
def anchors(text: str) -> list[str]:
    """The anchors of a page's headings; one that comes again has a number, as GitHub gives it."""
    found: list[str] = []
    read = tokens(text)
    for token, said in pairwise(read):
        if token.type == "heading_open":
            parts = (part.content for part in said.children or () if part.type in ("text", "code_inline"))
            found.append(slug("".join(parts)))
    return [f"{name}-{found[:n].count(name)}" if name in found[:n] else name for n, name in enumerate(found)]


def broken(page: str, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    found = []
    for link in links(text):
        led = target(page, link)
        if led is None:
            continue
        path, anchor = led
        known = texts().get(path)
        if known is None:
            there = not anchor and not path.startswith("..") and (ROOT / path).exists()
        else:
            there = not anchor or anchor in anchors(known)
        found += [] if there else [link]
    return found


def codes(text: str) -> Iterator[str]:
    """What a page writes as code: spans and blocks, lines that go on put together."""
    for token in tokens(text):
        if token.type in ("code_inline", "fence", "code_block"):
            yield re.sub(r"\\\n\s*", "", token.content)


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Commands of the program that a page mentions, and the rest of the line."""
    for code in codes(text):
        yield from re.findall(r"(?:^|-m |&& |; |\$ )rewild ([a-z][\w-]*)([^\n#]*)", code, re.MULTILINE)


def unknown_commands(text: str) -> list[str]:
    found = []
    for name, rest in commands(text):
        command = PROGRAM.commands.get(name)
        if command is None:
            found.append(name)
            continue
        known = {"--help", *(name for param in command.params for name in param.opts + param.secondary_opts)}
        found += [
            f"{name} {option}"
            for option in re.findall(r"(?<!\S)(--?[a-z][\w-]*)", rest)
            if option not in known
        ]
    return found


def unknown_paths(text: str) -> list[str]:
    """Paths of the repository that are not there; NAME, {name}, `*` and … stand for any name."""
    found = []
    named = re.findall(r"\bdocs/[\w-]+\.md", text)
    for code in codes(text):
        named += re.findall(rf"(?<![\w./-])(?:{FOLDERS})/(?:[\w./*…-]|\{{\w+\}})*", code)
        for tool in re.findall(r"\.envs/([a-z][\w-]*)", code):
            if tool != "apptainer" and not (ROOT / f"envs/{tool}.txt").is_file():
                found.append(f".envs/{tool}")
    for path in named:
        pattern = re.sub(
            r"\{\w+\}|…|\b(?!README)[A-Z]{3,}\b", "*", re.sub("^rewild/", "workflow/rewild/", path)
        )
        there = any(ROOT.glob(pattern.rstrip("/."))) or any(ROOT.glob(pattern + ".*"))
        if path not in EXAMPLES and not there:
            found.append(path)
    return found


def unknown_modules(text: str) -> list[str]:
    found = []
    for code in codes(text):
        for name in re.findall(r"(?<![\w./-])rewild(?:\.\w+)+", code):
            parent, _, last = name.rpartition(".")
            try:
                importlib.import_module(name)
            except ImportError:
                try:
                    assert hasattr(importlib.import_module(parent), last)
                except (ImportError, AssertionError):
                    found.append(name)
    return found


def unknown_names(text: str) -> list[str]:
    """Targets of make, and studies, that there are not."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    studies = {path.stem for path in (ROOT / "config/studies").glob("*.yaml")}
    found = []
    for code in codes(text):
        made = re.findall(r"(?:^|&& |; )make ([a-z][\w-]*)", code, re.MULTILINE)
        found += [f"make {name}" for name in made if name not in targets]
        named = re.findall(r"\bstudy=([a-z][\w-]*)", code)
        found += [f"study={name}" for name in named if name not in studies | {"mine", "my"}]
    return found


WRONG = ("extra_forbidden", "literal_error", "union_tag_invalid")


def sections(of: type[BaseModel], found: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """A section and those within it, by their names."""
    if f"{of.__module__}.{of.__name__}" not in found:
        found[f"{of.__module__}.{of.__name__}"] = of
        for field in of.model_fields.values():
            for inner in models_in(field.annotation):
                sections(inner, found)
    return found


@cache
def known() -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    for root in (Study, Defaults, Model, Benchmark, Recipe, Site, Claim):
        sections(root, found)
    return found


def keys(of: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in of.model_fields.items()}


def unknown_keys(text: str) -> list[str]:
    """Keys and values in examples that no study has; any other example is some section, or rows of one."""
    found = []
    for token in tokens(text):
        if token.type != "fence" or token.info.strip() != "yaml":
            continue
        given = yaml.safe_load(token.content)
        if isinstance(given, dict) and set(given) <= set(Study.model_fields):
            try:
                Study.model_validate(
                    {"name": "x", "title": "x", "source": "computed"} | expand(given, "an example")
                )
            except ValidationError as error:
                said = [
                    (".".join(map(str, e["loc"])), e["msg"]) for e in error.errors() if e["type"] in WRONG
                ]
                found += [f"{where}: {message}" for where, message in said]
            continue
        rows = given if isinstance(given, list) else [given]
        if isinstance(given, dict) and all(isinstance(row, dict) for row in given.values()):
            rows = [given, *given.values()]
        fits = [{*row} <= keys(one) for row in rows for one in known().values()]
        if not any(fits):
            found.append(f"of no section: {', '.join(map(str, given))}")
    return found


CHECKS = (unknown_commands, unknown_paths, unknown_modules, unknown_names, unknown_keys)


@pytest.mark.parametrize("page", [*PAGES, *(f"reference/{name}.md" for name in REFERENCE)])
def test_what_a_page_names_is_there(page: str) -> None:
    text = texts()[page]
    now = page != "CHANGELOG.md"  # it also says what was
    found = {"links": broken(page, text)} | {check.__name__: check(text) for check in CHECKS if now}
    assert {name: faults for name, faults in found.items() if faults} == {}


FAULTS = """
# A page

[a](nowhere.md) [b](scores.md#no-such-heading) [c](#a-page) [d](../LICENSE) ![e](images/none.svg)
[f](../../x.md) [g](https://example.org/nowhere) <img src="images/gone.svg">
[h](measures.md#filters) See docs/lost.md.
`rewild skore STUDY`, `rewild score STUDY --ruun x`, `rewild score --help`, `python -m rewild nothing`
`config/modles.yaml`, `workflow/rewild/ROOM/`, `tests/{phase}/nothing.py`, `rewild/core/escape.py`
`.envs/nothing`
`rewild.core.escape`, `rewild.core.escape.html`, `rewild.core.escape.xml`
`make chek`, `make check`, `study=papre`

    rewild mix STUDY NAME \\
        --nothing

```yaml
mixes: {m: {sources: [{kind: responses, modle: x}], draw: twice}}
```

```yaml
kind: language
size: 3
```
"""


def test_each_kind_of_fault_is_found() -> None:
    """The checks above can fail, and find no more than what is wrong."""
    assert broken("docs/page.md", FAULTS.replace("(#a-page)", "(scores.md)")) == [
        "nowhere.md",
        "scores.md#no-such-heading",
        "images/none.svg",
        "../../x.md",
        "images/gone.svg",
    ]
    assert unknown_commands(FAULTS) == ["skore", "score --ruun", "nothing", "mix --nothing"]
    assert unknown_paths(FAULTS) == [
        ".envs/nothing",
        "docs/lost.md",
        "config/modles.yaml",
        "tests/{phase}/nothing.py",
    ]
    assert unknown_modules(FAULTS) == ["rewild.core.escape.xml"]
    assert unknown_names(FAULTS) == ["make chek", "study=papre"]
    found = unknown_keys(FAULTS)
    assert [line.partition(":")[0] for line in found] == [
        "mixes.m.sources.0.responses.modle",
        "mixes.m.draw",
        "of no section",
    ]


def test_anchors_are_those_of_github() -> None:
    page = "# A page\n\n## `mixes.NAME`: A & b\n\n## win_rates\n\n### Again\n\n### Again\n\nText\n====\n"
    assert anchors(page) == ["a-page", "mixesname-a--b", "win_rates", "again", "again-1", "text"]


def test_the_configuration_says_which_keys_there_are() -> None:
    """config/README.md is the short list: each key of config.yaml and each section of a study, once."""
    page = texts()["config/README.md"]
    short = {
        part: re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)))
        for part, text in zip(("config", "study"), page.split("## ")[1:], strict=True)
    }
    assert sorted(short["config"]) == sorted(Defaults.model_fields)
    assert sorted(short["study"]) == sorted({*Study.model_fields} - {"name"})


def test_the_tree_of_results_is_whole() -> None:
    """results/README.md names every folder and file that rules write directly in a study's folder."""
    rules = [path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").rglob("*.smk")]
    made = set(re.findall(r"results/\{(?:study|wildcards\.study|study\.name)\}/(\w[\w-]*)", " ".join(rules)))
    assert made > {"responses", "runs", "work"}
    tree = texts()["results/README.md"].split("```")[1]
    assert {
        name for name in made if not re.search(rf"STUDY/{name}\b|; {name}\.zip|is {name}/", tree)
    } == set()


def test_every_page_has_its_place(tmp_path: Path) -> None:
    pages = [page for phase in contents().values() for page in phase]
    assert sorted(pages) == [page for page in PAGES if page.startswith("docs/") and page != str(CONTENTS)]
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/one.md").write_text("# One\n")
    (tmp_path / "docs/two.md").write_text("# Two\n")
    for rows, said in (("[one.md](one.md)", "two.md stands in its table 0 times"), ("", "one.md stands in")):
        (tmp_path / CONTENTS).write_text(f"| phase | pages |\n|---|---|\n| a | {rows} |\n")
        with pytest.raises(RewildError, match=said):
            contents(tmp_path)
    both = "[one.md](one.md), [two.md](two.md), [elsewhere](https://example.org/x.md)"
    (tmp_path / CONTENTS).write_text(f"| phase | pages |\n|---|---|\n| a | {both} |\n| b | [x](one.md) |\n")
    with pytest.raises(RewildError, match=r"one\.md stands in its table 2 times"):
        contents(tmp_path)
    (tmp_path / CONTENTS).write_text(f"| phase | pages |\n|---|---|\n| a | {both} |\n")
    assert contents(tmp_path) == {"a": ["docs/one.md", "docs/two.md"]}

"""What a study or a path says never becomes a command: every placeholder of every rule is quoted.

The workflow is laid out in a checkout whose path holds what a shell, Make and Snakemake read. The study
`paper` is made in such a one, for real, in tests/config/test_studies.py.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import conftest
from hostile import ODD, TRAP, nothing_ran
from parsed import LARGE, STUDIES, rules
from rewild.__main__ import words

ROOT = Path(__file__).resolve().parents[2]
FEW_SHARDS = 'prompts={"shards": 2}'


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow in a folder with an odd name."""
    folder = tmp_path_factory.mktemp("odd") / ODD
    folder.mkdir(parents=True)
    return conftest.copy_workflow(folder)


def unquoted(command: str) -> list[str]:
    """The placeholders of a shell string that are not quoted."""
    found = re.findall(r"(?<!\{)\{(?!\{)([^{}]*)\}", command)
    return [field for field in found if not field.endswith(":q")]


def test_an_unquoted_placeholder_is_found() -> None:
    assert unquoted("a {input.x:q} {params.y} {{literal}} {threads}") == ["params.y", "threads"]


@pytest.fixture(scope="module")
def parsed():
    return rules()


def test_every_placeholder_of_every_rule_is_quoted(parsed) -> None:
    found = parsed
    assert sum(rule.shellcmd.count(":q}") for rule in found if rule.shellcmd) > 200
    assert {rule.name: bad for rule in found if rule.shellcmd and (bad := unquoted(rule.shellcmd))} == {}
    # `$(dirname {x:q})` and "{x:q}" would undo it.
    for rule in found:
        assert not re.search(r"""\$\([^)]*\{|["'][^"' ]*\{[\w.]+:q\}""", rule.shellcmd or ""), rule.name


@pytest.mark.workflow
@pytest.mark.parametrize("study", [name for name in STUDIES if name != "paper"])
def test_every_study_is_laid_out_in_an_odd_folder(odd: Path, snakemake, study: str) -> None:
    few = [FEW_SHARDS] if study in LARGE else []
    run = snakemake(odd, "-n", "--quiet", "all", "--config", f"study={study}", *few)
    assert run.returncode == 0, run.stdout[-3000:]
    assert re.search(r"^total +\d+$", run.stdout, re.MULTILINE)


@pytest.mark.workflow
def test_a_text_with_an_odd_name_is_one_word(odd: Path, snakemake) -> None:
    """`demo.text` reaches two rules; its name is printed as the shell will read it."""
    (odd / f"{TRAP}.txt").write_text("text\n")
    over = json.dumps({"text": f"{TRAP}.txt"})
    run = snakemake(odd, "-n", "-p", "--config", "study=demo", f"demo={over}", "--until", "make_questions")
    assert run.returncode == 0, run.stdout[-3000:]
    (line,) = [line for line in run.stdout.splitlines() if "make-questions --text" in line]
    script = f"rewild() {{ printf '%s\\n' \"$@\"; }}; {line[line.index('rewild ') :].partition(' > ')[0]}"
    said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=odd).stdout
    assert f"--text\n{TRAP}.txt\n" in said
    assert nothing_ran(odd.parents[2])


@pytest.mark.heavy
def test_make_quotes_the_mirror() -> None:
    run = subprocess.run(
        ["make", "-n", "released", f"MIRROR=/m {TRAP}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = [line for line in run.stdout.splitlines() if "study=released" in line]
    said = subprocess.run(
        ["bash", "-c", line.replace(".venv/bin/python", "printf '%s\\n'")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"mirror=/m {TRAP}" in said.splitlines()
    assert nothing_ran(ROOT)


def test_no_program_of_pip_is_called_by_its_path() -> None:
    """Such a script begins with the path of its Python, which a shell reads if it has a space."""
    called = re.findall(r"\$\(BIN\)/([\w.-]+)", (ROOT / "Makefile").read_text())
    assert set(called) == {"python"}


def test_words_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "words").write_bytes("a b\0--shard=0001\0é\0\0".encode())
    assert words(["--words", str(tmp_path / "words"), "collect", "study"]) == [
        *("collect", "study", "a b", "--shard=0001", "é")
    ]
    assert words(["collect", "--words", "x"]) == ["collect", "--words", "x"]


@pytest.mark.workflow
def test_a_study_of_200_more_models_is_resolved(tmp_path: Path, snakemake) -> None:
    """Its JSON is longer than an argument may be on Linux (131,071 bytes), and is in no command."""
    copy = conftest.copy_workflow(tmp_path / "copy")
    models = copy / "config/models.yaml"
    row = yaml.safe_load(models.read_text())["qwen2-7b-instruct"]
    row = {key: value for key, value in row.items() if key not in ("abbreviation", "listed")}
    slugs = [f"more-{number:03}" for number in range(200)]
    more = {slug: row | {"hub": f"some/{slug}"} for slug in slugs}
    models.write_text(f"{models.read_text()}\n{yaml.safe_dump(more)}")
    study = yaml.safe_load((copy / "config/studies/wildchat50m.yaml").read_text())
    study["responses"]["models"] += slugs
    study["runs"] |= {f"itself-{slug}": {"model": slug} for slug in slugs}
    study["mixes"] |= {
        f"mix-{slug}": {"size": 1000, "sources": [{"kind": "responses", "model": slug}]} for slug in slugs
    }
    (copy / "config/studies/large.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    target = "results/large/config.yaml"
    run = snakemake(copy, "--cores", "1", "-p", "--config", "study=large", "--", target)
    assert run.returncode == 0, run.stdout[-3000:]
    resolved = yaml.safe_load((copy / target).read_text())
    assert set(slugs) <= set(resolved["responses"]["models"])
    assert len(resolved["mixes"]) > 200
    assert len(json.dumps(resolved)) > 131_071
    assert max(map(len, run.stdout.splitlines())) < 2_000


@pytest.mark.heavy
def test_a_long_list_goes_through_a_file(tmp_path: Path) -> None:
    """54 models × 1,000 shards are 4 MB of paths, more than any command line holds."""
    prefix = re.search(r'"(words\(\) .*?\}; )"', (ROOT / "workflow/rules/common.smk").read_text())
    assert prefix
    function = prefix[1].encode().decode("unicode_escape")
    paths = [f"results/study/responses/model with a long name {i:05}/{i:09}.json" for i in range(54_000)]
    count = "import sys; from rewild.__main__ import words; print(len(words(sys.argv[1:])))"
    script = tmp_path / "script"
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(count)}"
    script.write_text(f"{function}{command} --words <(words {shlex.join(paths)}) throughput\n")
    run = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=True)
    assert run.stdout == "54001\n"


def test_lists_that_grow_are_handed_over_as_files(parsed) -> None:
    """Every named input of a rule that is a list, and every list of options, by how many a study may have."""
    growing = {
        *("input.responses", "input.pairs", "input.measurements", "input.counts"),
        *("params.folders", "params.names", "params.similarity", "params.judgments", "params.sizes"),
        "params.written",
    }
    seen = set()
    for rule in parsed:
        inside = " ".join(re.findall(r"<\(words ([^)]*)\)", rule.shellcmd or ""))
        outside = re.sub(r"<\(words [^)]*\)", "", rule.shellcmd or "")
        seen |= {name for name in growing if name in inside}
        one_file = rule.name in {"compare_style"}
        assert one_file or not [name for name in growing if f"{{{name}:q}}" in outside], rule.name
    assert seen == growing

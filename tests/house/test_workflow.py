"""The workflow as a whole: a mistake is one message, every rule is complete.

Every study is laid out from nothing in tests/house/test_quoting.py, the largest also in
tests/config/test_full_study.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from parsed import rules

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.workflow
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["study=papr"], "error: unknown study 'papr'; did you mean 'paper'?"),
        (["study=paper", "papres=x"], "unknown key 'papres'; did you mean 'papers'?"),
        (["study=paper", "seed=many"], "seed: input should be a valid integer (it is 'many')"),
    ],
)
def test_a_mistake_is_one_message_without_a_traceback(copy: Path, snakemake, settings, message: str) -> None:
    run = snakemake(copy, "-n", "--config", *settings)
    assert run.returncode == 1
    assert message in run.stdout
    assert "Traceback" not in run.stdout
    assert "Building DAG" not in run.stdout


def test_the_package_does_not_know_snakemake() -> None:
    for path in (ROOT / "workflow/rewild").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import snakemake" not in text, path
        assert "from snakemake" not in text, path


@pytest.fixture(scope="module")
def parsed():  # type: ignore[no-untyped-def]
    return rules()


def test_every_rule_says_what_it_needs(parsed) -> None:
    from snakemake.io import is_flagged

    jobs = [rule for rule in parsed if rule.name != "all"]
    assert len(jobs) > 10
    for rule in jobs:
        assert rule.output, rule.name
        assert all(name for name, _ in rule.output._allitems()), f"{rule.name}: an output has no name"
        named = [name or is_flagged(item, "unpack") for name, item in rule.input._allitems()]
        assert all(named), f"{rule.name}: an input has no name"
        assert rule.log, f"{rule.name}: no log"
        assert rule.benchmark, f"{rule.name}: no benchmark"
        assert rule.message, f"{rule.name}: no message"
        assert rule.conda_env, f"{rule.name}: no environment"
        assert rule.shellcmd, f"{rule.name}: not a shell rule"
        assert "_" in rule.name, f"{rule.name}: not verb_noun"
        assert {"mem_mb", "runtime"} <= set(rule.resources), f"{rule.name}: see also test_resources.py"


def test_the_snakefile_stays_short() -> None:
    assert len((ROOT / "Snakefile").read_text().splitlines()) < 100


@pytest.mark.workflow
def test_lint_finds_nothing_but_functions_beside_their_rules(snakemake) -> None:
    """Input functions stand beside the rules that use them, on purpose; every other remark is a fault."""
    said = snakemake(ROOT, "--lint").stdout
    remarks = re.findall(r"^    \* (.+?):?$", said, re.MULTILINE)
    assert remarks, said
    assert set(remarks) == {"Mixed rules and functions in same snakefile."}, said

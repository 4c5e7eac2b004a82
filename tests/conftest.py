"""Shared fixtures: the repository, a copy of it to run Snakemake in, the released files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest
import yaml
from hypothesis import settings

# A slow machine is no failure; in continuous integration the examples are the same at every run.
settings.register_profile("rewild", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("rewild")

# Servers that tests start on this machine are asked directly, whatever proxy it uses.
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))

# Snakemake's plugin asks whatever SLURM is configured here as soon as it is imported, and waits for it ten
# seconds: that of a run of tests/slurm that was killed, for example. Those tests unset this.
os.environ["SLURM_CONF"] = os.devnull

# GNU readline leaves the size of some terminal to a program's children: those of pytest-xdist, for example.
for name in ("LINES", "COLUMNS"):
    os.environ.pop(name, None)

ROOT = Path(__file__).resolve().parent.parent

# `make check` runs what is not heavy. A test is heavy by its folder, by a fixture of its or by its mark.
HEAVY_FOLDERS = ("axolotl", "demo", "engine", "release", "slurm", "smollm2", "space")
ALLOWED = ("git", "which", "scontrol")  # Snakemake's plugin looks for a SLURM
HEAVY_FIXTURES = {
    "snakemake",
    "rewild",
    "program",
    "on_a_cluster",
    "driver",
    "mirror",
    "papers",
    "workbook",
    "demo",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as heavy what is so by its folder or fixtures; files in which Snakemake runs come first.

    They take longest: two processes that take file after file then end at about the same time.
    """
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        if folder in HEAVY_FOLDERS or HEAVY_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("heavy")
    first = {item.path for item in items if "snakemake" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in first)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that is not heavy can start no program but those of ALLOWED."""
    with pytest.MonkeyPatch.context() as patch:
        if not item.get_closest_marker("heavy"):
            patch.setattr(subprocess, "Popen", _Refused)
        return (yield)


class _Refused(subprocess.Popen):  # type: ignore[type-arg]
    def __init__(self, args: Any, *more: Any, **named: Any) -> None:
        if args[0] not in ALLOWED:
            pytest.fail(
                f"this test starts a program ({args}): mark it @pytest.mark.heavy (docs/development.md)"
            )
        super().__init__(args, *more, **named)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def mirror() -> Path:
    """A local copy of the released files; tests that need it skip with the reason where there is none."""
    folder = Path(os.environ.get("REWILD_MIRROR") or ROOT.parent / "shared/mirror")
    if not folder.is_dir():
        pytest.skip(f"needs the released files: {folder} is not there (set REWILD_MIRROR to a local copy)")
    return folder.resolve()


@pytest.fixture(scope="session")
def papers() -> Path:
    """The papers' full text; tests that need it are skipped, with the reason, where there is none."""
    folder = ROOT.parent / "shared/papers"
    if not folder.is_dir():
        pytest.skip(f"needs the papers' text: {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def workbook(mirror: Path) -> Path:
    """The released workbook of benchmark scores."""
    commit = "297e4b9f630e7155048eebf528979d90895654d6"
    path = mirror / "penfever/wildchat-50m" / commit / "tables/wc50m_results.xlsx"
    if not path.is_file():
        pytest.skip(f"needs the released workbook: {path} is not there")
    return path


TRACKED = ("Snakefile", "config", "profiles", "resources", "workflow", "envs")


def copy_workflow(target: Path) -> Path:
    """Copy the workflow, without results, into a folder."""
    for name in TRACKED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            target.mkdir(exist_ok=True)
            shutil.copy2(source, target / name)
    return target


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the workflow in a temporary folder, free to be broken."""
    return copy_workflow(tmp_path / "copy")


# A cluster, as profiles/slurm/site.yaml describes one.
SITE = {
    "account": None,
    "partitions": {
        "cpu": {"max_runtime": "7-00:00:00"},
        "gpu": {"max_runtime": "2-00:00:00", "max_gpu": 8, "available_gpu_models": ["h100"]},
    },
    "gpu_names": {"H100-80": "h100"},
    "constraint": None,
    "qos": None,
    "preemptible": False,
    "accounting": False,
    "setup": [],
    "scratch": None,
    "containers": None,
}


@pytest.fixture(scope="module")
def on_a_cluster(tmp_path_factory):
    """``on_a_cluster(**site)``: the rules as parsed with a site's file."""
    made = {}

    def parse(**site):
        key = yaml.safe_dump(site)
        if key not in made:
            made.clear()  # the rules' functions see what was parsed last
            path = tmp_path_factory.mktemp("site") / "site.yaml"
            path.write_text(yaml.safe_dump(SITE | site, sort_keys=False))
            before, os.environ["REWILD_SITE"] = os.environ.get("REWILD_SITE"), str(path)
            from snakemake.jobs import Job

            from parsed import rules

            tries = Job.restart_times
            try:
                made[key] = {rule.name: rule for rule in rules()}
            finally:
                Job.restart_times = tries
                os.environ.pop("REWILD_SITE")
                if before:
                    os.environ["REWILD_SITE"] = before
        return made[key]

    return parse


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def snakemake() -> Run:
    """Run Snakemake as a user would: ``snakemake(folder, *arguments)``, both outputs together.

    A dry run forks from a process that has imported Snakemake. A real run is a start of its own: what it
    records is then compared by a process with other hashes of strings, where the order of a set would matter.
    """
    from forked import dry_run

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        if {"-n", "--dry-run"}.intersection(arguments):
            return dry_run(folder, list(arguments))
        return subprocess.run(
            [Path(sys.executable).parent / "snakemake", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def rewild() -> Run:
    """The command line: ``rewild(folder, *arguments)``, both outputs together. It runs in this process.

    ``program`` starts one, with other hashes of strings: for the same bytes a second time, for example.
    """
    from rewild import __main__

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        status, words, before = 0, ["rewild", *map(str, arguments)], dict(os.environ)
        with pytest.MonkeyPatch.context() as patch, TemporaryFile("w+", encoding="utf-8") as said:
            patch.chdir(folder)
            patch.setenv("COLUMNS", "120")
            patch.setattr(sys, "argv", words)
            for name in ("stdout", "stderr"):
                patch.setattr(sys, name, said)
            try:
                __main__.main()
            except SystemExit as ended:
                status = int(ended.code or 0)
            finally:
                os.environ.clear()
                os.environ.update(before)
            said.seek(0)
            return subprocess.CompletedProcess(words, status, said.read(), None)

    return run


@pytest.fixture(scope="session")
def program() -> Run:
    """The command line as a program of its own: ``program(folder, *arguments)``."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rewild", *map(str, arguments)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, snakemake: Run) -> Path:
    """A copy of the workflow in which the whole demo has run; only tests/demo uses it.

    Its 60 jobs with torch, lm-eval or Axolotl are forks of three processes that have imported these.

    While a test is being written, REWILD_DEMO may name a copy in which it has run already.
    """
    from warm import LIBRARIES, link

    if made := os.environ.get("REWILD_DEMO"):
        return Path(made)
    folder = copy_workflow(tmp_path_factory.mktemp("demo") / "copy")
    (folder / ".envs").mkdir()
    for environment in (ROOT / ".envs").iterdir():
        warm = environment.name in LIBRARIES and (environment / "ready").exists()
        (link if warm else os.symlink)(environment, folder / ".envs" / environment.name)
    run = snakemake(folder, "--cores", str(os.cpu_count() or 1), "--config", "study=demo")
    assert run.returncode == 0, run.stdout[-5000:]
    return folder


@pytest.fixture(scope="session")
def results(demo: Path) -> Path:
    """The demo's results."""
    return demo / "results/demo"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """A headless browser (a selenium ``Chrome``)."""
    from viewer_browser import start_browser

    browser = start_browser()
    yield browser
    browser.quit()

"""A page that follows a run, `rewild` alone, and `rewild status --watch`."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import home_study as made_up
from conftest import Run
from rewild.core.errors import DataError
from rewild.operate.home import follow
from rewild.operate.home.follow import Follower
from rewild.operate.watch import show_parts, watch
from rewild.operate.where import Place, next_command, places, print_where

ROOT = Path(__file__).resolve().parents[2]


# The page of a run


class World:
    """A clock, and programs that are only noted."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.started: list[str] = []
        self.waited = 0
        self.busy = False
        world = self

        class Process:
            def __init__(self, args: list[str], **_: Any) -> None:
                world.started.append(args[-1])

            def poll(self) -> int | None:
                return None if world.busy else 0

            def wait(self) -> int:
                world.waited += 1
                world.busy = False
                return 0

        patch.setattr(follow.subprocess, "Popen", Process)
        for name in ("a", "b"):
            (folder / name).mkdir()
        self.handler = Follower(["rewild", "home"], {}, folder, 60, lambda: self.now)

    def log(self, event: str, **more: Any) -> None:
        record = logging.makeLogRecord({"event": event, **more})
        self.handler.handle(record)

    def job(
        self, number: int, study: str | None = "a", rule: str = "train", end: str = "job_finished"
    ) -> None:
        wildcards = {"study": study} if study else {}
        self.log("job_info", jobid=number, rule_name=rule, wildcards=wildcards)
        self.log(end, **{"jobid" if end == "job_error" else "job_id": number})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_page_is_made_a_minute_apart_as_jobs_end(world: World) -> None:
    world.job(1)
    assert world.started == [], "a short run has the rule's page only"
    world.now += 61
    world.log("job_info", jobid=2, rule_name="train", wildcards={"study": "a"})
    assert world.started == [], "a job that starts, as those of a dry run do, changes nothing"
    world.job(3, end="job_error")
    assert world.started == ["a"]
    world.job(4, "b")
    assert world.started == ["a"]
    world.now += 60
    world.job(5)
    assert world.started == ["a", "a", "b"]


def test_one_page_at_a_time_and_none_of_what_is_no_study(world: World) -> None:
    world.now += 61
    world.job(1, None, "build_env")
    world.job(2, "gone")
    assert world.started == []
    world.now += 61
    world.busy = True
    world.job(3)
    assert world.started == ["a"]
    world.now += 61
    world.job(4)
    assert world.started == ["a"], "the first is at work still"
    world.busy = False
    world.job(5)
    assert world.started == ["a", "a"]


def test_the_rules_page_is_the_last(world: World) -> None:
    world.now += 61
    world.busy = True
    world.job(1)
    world.job(2)
    world.job(3, rule="rewild_make_home")
    assert world.waited == 1, "an earlier page is not written over it"
    world.handler.close()
    assert world.started == ["a"]


def test_a_run_that_ends_with_an_error_shows_it(world: World) -> None:
    world.now += 30
    world.job(1, end="job_error")
    world.handler.close()
    assert world.started == [], "the run was short"
    world.now += 31
    world.handler.close()
    assert world.started == ["a"]


def test_a_page_that_cannot_be_made_stops_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(12, "no memory")

    monkeypatch.setattr(follow.subprocess, "Popen", fail)
    world.now += 61
    world.job(1)
    world.handler.close()


# `rewild` alone


def test_every_study_and_how_far_it_is(tmp_path: Path, copy: Path) -> None:
    made_up.put(copy / "config/studies/bad.yaml", "title: Bad\nsource: computed\nmodles: 3\n")
    made_up.put(tmp_path / "paper/promised.txt", "config.yaml\na/b.csv\na/c.csv\n")
    made_up.put(tmp_path / "paper/a/b.csv", "")
    made_up.put(tmp_path / "demo/config.yaml", "")
    found = {p.name: p.state for p in places(copy / "config", tmp_path)}
    assert found.pop("bad") == "not usable"
    assert found.pop("paper") == "1 of 2"
    assert found.pop("demo") == "some files"
    assert set(found.values()) == {"never run"}
    console = Console(width=100, record=True, file=io.StringIO())
    print_where(copy / "config", tmp_path, console)
    said = console.export_text()
    assert "modles" in said, "what is wrong with the study"
    assert "Next (paper is not complete):" in said


def place(name: str, state: str, touched: float = 0.0, **more: Any) -> Place:
    study = made_up.study(**more) if more.pop("usable", True) else None
    return Place(name, name, state, study, touched)


PUBLISHED: dict[str, Any] = {"source": "published", "prompts": None, "responses": None}


@pytest.mark.parametrize(
    ("found", "files", "command"),
    [
        ([place("paper", "never run", **PUBLISHED)], ["Makefile"], "make paper"),
        ([place("paper", "never run", **PUBLISHED)], [], "snakemake --cores all --config study=paper"),
        ([place("own", "never run")], [], "rewild preflight own"),
        ([place("own", "never run")], ["slurm"], "rewild preflight own --profile slurm"),
        ([place("own", "3 of 4", 1.0)], ["slurm"], "snakemake --profile slurm --config study=own"),
        (
            [place("a", "1 of 4", 1.0), place("b", "1 of 4", 2.0)],
            [],
            "snakemake --cores all --config study=b",
        ),
        ([place("own", "3 of 4", 1.0)], [".snakemake/locks/0"], "rewild status own --watch"),
        ([place("own", "complete", 1.0)], [], "rewild --help"),
        ([Place("own", "bad", "not usable", None)], [], "rewild validate own"),
        ([], [], "rewild --help"),
    ],
)
def test_the_next_command(found: list[Place], files: list[str], command: str, tmp_path: Path) -> None:
    for name in files:
        made_up.put(tmp_path / name, "")
    assert next_command(found, "paper", tmp_path)[0] == command


def test_rewild_alone_in_a_folder_without_a_workflow(rewild: Run, tmp_path: Path) -> None:
    run = rewild(tmp_path)
    assert run.returncode == 0
    assert "There is no config/config.yaml here" in run.stdout
    assert "rewild --help" in run.stdout


def test_the_commands_that_help_lists_stand_in_panels_by_phase() -> None:
    from rewild.__main__ import START
    from rewild.cli import PHASES

    for phase in PHASES:
        for command in phase.app.registered_commands:
            named = command.name or getattr(command.callback, "__name__", "").replace("_", "-")
            assert command.rich_help_panel == ("Start here" if named in START else phase.PANEL), named
    assert len({phase.PANEL for phase in PHASES}) == len(PHASES)


# `rewild status --watch`


def test_what_changes_is_shown_again_until_all_is_done(tmp_path: Path) -> None:
    folder = made_up.write(tmp_path / "made-up")
    console = Console(width=200, file=(tmp_path / "said").open("w+"))
    looks = iter(
        [None, "mixes/x/train.parquet", "mixes/x/card.json", "responses/n/manifest.json", "config.yaml"]
    )
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if name := next(looks):
            made_up.put(folder / name, "")

    watch(lambda console: show_parts(folder, console), 3, console, sleep)
    said = (tmp_path / "said").read_text().splitlines()
    assert [line.partition(":")[0] for line in said] == ["4 of 6 parts", "5 of 6 parts", "6 of 6 parts"]
    assert "Mixes 0/1" in said[0]
    assert waits == [3, 3, 3, 3]


def test_a_fault_is_said_and_looked_at_again(tmp_path: Path) -> None:
    console = Console(width=200, file=(tmp_path / "said").open("w+"))
    answers: list[Any] = [DataError("x.json: broken"), FileNotFoundError(2, "gone"), True]

    def show(_: Console) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    watch(show, 1, console, lambda _: None)
    assert (tmp_path / "said").read_text() == "error: x.json: broken\nerror: [Errno 2] gone\n"


@pytest.mark.heavy
def test_ctrl_c_ends_a_watch_that_has_no_terminal(tmp_path: Path) -> None:
    start = "import signal as s, rewild.__main__ as m; s.signal(s.SIGINT, s.default_int_handler); m.main()"
    words = [sys.executable, "-c", start, "status", "paper", "--watch", "--results", str(tmp_path)]
    environ = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    said = tmp_path / "said"
    with said.open("w") as out:
        run = subprocess.Popen(words, cwd=ROOT, env=environ, stdout=out, stderr=out)
        for _ in range(600):
            if said.stat().st_size:
                break
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0
    assert said.read_text() == f"{tmp_path}/paper: what it promises is not written down yet\n"

"""Engines that share a job or a machine: each takes GPUs of its own, and gives them back when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from rewild import engines
from rewild.engines import devices, make_engine
from rewild.engines.base import EngineError
from rewild.engines.devices import take_gpus, visible


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Locks in a folder of the test, of SLURM's job 7."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    yield monkeypatch
    give_back()


def give_back() -> None:
    while devices._held:
        devices._held.pop().close()


def taken(place: pytest.MonkeyPatch, seen: str, count: int) -> str:
    """What another engine of the same job is left with."""
    place.setenv("CUDA_VISIBLE_DEVICES", seen)
    take_gpus(count)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_each_engine_has_gpus_of_its_own(place: pytest.MonkeyPatch) -> None:
    assert [taken(place, "4,5,6,7", 1) for _ in range(4)] == ["4", "5", "6", "7"]
    give_back()
    assert [taken(place, "GPU-a, GPU-b,GPU-c ,MIG-1/2", 2) for _ in range(2)] == [
        "GPU-a,GPU-b",
        "GPU-c,MIG-1/2",
    ]


def test_what_is_not_shared_is_left_alone(place: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for seen, count in (("", 1), ("3", 1), ("2,3", 2), ("NoDevFiles", 1), ("0", 4)):
        assert taken(place, seen, count) == seen
    assert list(tmp_path.iterdir()) == []
    assert taken(place, "0,1", 1) == "0"
    place.setenv("SLURM_JOB_ID", "8")  # another job's GPUs may have the same numbers
    assert taken(place, "0,1", 1) == "0"


def test_too_few_are_said_and_none_is_kept(place: pytest.MonkeyPatch) -> None:
    assert taken(place, "0,1,2,3", 3) == "0,1,2"
    with pytest.raises(
        EngineError, match=r"2 GPUs are needed, and 1 of 4 \(0, 1, 2, 3\) are free.*--resources gpu=4"
    ):
        taken(place, "0,1,2,3", 2)
    assert taken(place, "0,1,2,3", 1) == "3"


def test_a_folder_that_cannot_be_used_is_named(place: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / f"rewild-gpus-{os.getuid()}-7").touch()
    with pytest.raises(EngineError, match=rf"^{tmp_path}/rewild-gpus-.*: GPUs cannot be shared out: "):
        taken(place, "0,1", 1)


def test_an_engine_takes_what_it_needs(place: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    place.setattr(engines, "take_gpus", asked.append)
    for name, arguments in (
        ("vllm", {"gpus": 2}),
        ("transformers", {"device": "auto"}),
        ("transformers", {"device": "cpu"}),
        ("openai", {}),
    ):
        with pytest.raises((TypeError, ImportError)):  # each lacks arguments, or its library
            make_engine(name, **arguments)
    assert asked == [2, 1]


HOLD = (
    "import sys; from rewild.engines.devices import take_gpus, visible; "
    "take_gpus(1); print(*visible(), flush=True); sys.stdin.read()"
)


@pytest.mark.heavy
def test_a_gpu_is_free_again_however_its_engine_ends(place: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "0,1,2", "TMPDIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        return process, process.stdout.readline().strip()

    running = {gpu: process for process, gpu in (start() for _ in range(3))}
    assert sorted(running) == ["0", "1", "2"]
    for gpu, number in (("1", signal.SIGKILL), ("2", signal.SIGTERM)):
        running[gpu].send_signal(number)
        running[gpu].communicate()
        running[gpu], found = start()
        assert found == gpu
    for process in running.values():
        process.communicate()


def test_the_driver_is_asked_where_nothing_is_said(place: pytest.MonkeyPatch) -> None:
    driver = SimpleNamespace(nvmlInit=lambda: None, nvmlDeviceGetCount=lambda: 3)
    place.delenv("CUDA_VISIBLE_DEVICES")
    place.setitem(sys.modules, "pynvml", driver)
    assert visible() == ["0", "1", "2"]
    place.setitem(sys.modules, "pynvml", None)
    assert visible() == []

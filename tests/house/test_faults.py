"""Full disks, folders that cannot be written, files in the way: one message each, nothing half-written."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rewild import __main__ as program
from rewild.core import files, locks
from rewild.core.errors import DataError, RewildError
from rewild.core.files import atomic, write_json, write_text
from rewild.core.system import WHAT_TO_DO, explain
from rewild.core.table import Column, TableSchema, provenance, write_table
from viewer_data import answer, write_responses

ROOT = Path(__file__).resolve().parents[2]
LETTERS = TableSchema("letters", 1, {"letter": Column(pl.String, "a letter")})


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk with 64 kB, which root may make; where that is not allowed the tests are skipped."""
    folder = tmp_path / "full"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"needs root, to mount a small disk: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def little() -> Iterator[None]:
    """No file may be longer than 20 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def random_letters(count: int) -> pl.DataFrame:
    return pl.DataFrame({"letter": [os.urandom(20).hex() for _ in range(count)]})


def by_text(path: Path) -> None:
    write_text(path, "x" * 200_000)


def by_json(path: Path) -> None:
    write_json(path, ["x" * 200_000])


def by_table(path: Path) -> None:
    write_table(path, random_letters(20_000), LETTERS, provenance())


def by_pyarrow(path: Path) -> None:
    with atomic(path) as temporary:
        pq.write_table(pa.table({"a": [os.urandom(20).hex() for _ in range(20_000)]}), temporary)


WRITERS = [
    (by_text, "a.txt"),
    (by_json, "a.json"),
    (by_table, "a.csv"),
    (by_table, "a.parquet"),
    (by_pyarrow, "a.parquet"),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_full_disk_is_one_message_with_the_path(full: Path, write, name: str) -> None:
    path = full / name
    path.write_text("old")
    with pytest.raises(OSError, match="No space left") as error:
        write(path)
    assert error.value.filename == str(path)
    assert explain(error.value) == f"{path}: No space left on device; {WHAT_TO_DO[errno.ENOSPC]}"
    assert list(full.iterdir()) == [path]
    assert path.read_text() == "old"


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_limit_on_files_is_one_message_with_the_path(tmp_path: Path, little, write, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(OSError, match="File too large") as error:
        write(path)
    assert explain(error.value) == f"{path}: File too large; {WHAT_TO_DO[errno.EFBIG]}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_text, lambda path, text: write_json(path, {"a": [text]})])
def test_half_a_surrogate_is_refused_with_the_file(tmp_path: Path, write) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(DataError) as error:
        write(path, "a name \udcff of a file")
    assert str(error.value).startswith(f"{path}: cannot be written: '\\udcff' is half of a surrogate pair")
    assert "a name \\udcff of a file" in str(error.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_installed_is_a_message() -> None:
    said = explain(ModuleNotFoundError("No module named 'vllm.engine'", name="vllm.engine"))
    assert said is not None
    assert said.startswith(f"'vllm.engine' is not installed in this environment ({sys.prefix})")
    assert explain(ModuleNotFoundError("No module named 'rewild.x'", name="rewild.x")) is None


def in_the_way(folder: Path, what: str) -> Path:
    """A path that cannot be written."""
    (folder / "file").write_text("kept")
    (folder / "taken").mkdir()
    (folder / "taken/inside").write_text("kept")
    (folder / "nowhere").symlink_to(folder / "nothing")
    (folder / "circle").symlink_to(folder / "circle")
    return {
        "a file where a folder is needed": folder / "file/a.txt",
        "a file two folders up": folder / "file/deep/a.txt",
        "a folder where a file is to be": folder / "taken",
        "a link to nowhere": folder / "nowhere/a.txt",
        "links in a circle": folder / "circle/a.txt",
        "a long name": folder / ("n" * 300),
        "a read-only file system": Path("/proc/sys/kernel/a.txt"),
        "a device": Path("/dev/null/a.txt"),
    }[what]


@pytest.mark.parametrize(
    "what",
    [
        "a file where a folder is needed",
        "a file two folders up",
        "a folder where a file is to be",
        "a link to nowhere",
        "links in a circle",
        "a long name",
        "a read-only file system",
        "a device",
    ],
)
def test_what_is_in_the_way_is_named_and_kept(tmp_path: Path, what: str) -> None:
    path = in_the_way(tmp_path, what)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    with pytest.raises(OSError) as error:  # noqa: PT011 - the number differs by system
        write_text(path, "new")
    message = explain(error.value)
    assert message is not None
    assert message.startswith("/")
    assert "; " in message  # what to do
    assert str(tmp_path if path.is_relative_to(tmp_path) else path.parts[1]) in message
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == (tmp_path / "taken/inside").read_text() == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_folder_of_somebody_else_is_a_message() -> None:
    folder, told = Path(mkdtemp()), os.pipe()  # pytest's own folder is private
    folder.chmod(0o755)
    child = os.fork()
    if not child:
        os.setuid(65534)
        try:
            write_text(folder / "a.txt", "x")
        except OSError as error:
            os.write(told[1], str(explain(error)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(told[0], 1000).decode() == f"{folder}/a.txt: Permission denied; {WHAT_TO_DO[errno.EACCES]}"
    folder.rmdir()


@pytest.mark.parametrize("code", sorted(WHAT_TO_DO))
def test_every_number_has_path_reason_and_advice(code: int) -> None:
    reason = os.strerror(code)
    assert explain(OSError(code, reason, "/a/b")) == f"/a/b: {reason}; {WHAT_TO_DO[code]}"
    said = explain(pl.exceptions.ComputeError(f"{reason} (os error {code})"))
    assert said is not None
    assert said.startswith(reason)
    outer = RuntimeError("in a worker")
    outer.__cause__ = OSError(code, reason, "/a/b")
    assert explain(ExceptionGroup("tasks", [ValueError("x"), outer])) == explain(outer.__cause__)


def test_a_fault_of_the_program_is_no_message() -> None:
    for error in (
        ValueError("No space left on device"),
        KeyError("x"),
        AssertionError(),
        RuntimeError("os error 28"),
    ):
        assert explain(error) is None
    assert explain(MemoryError()) is not None


def run(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail(given: list[str], **_: object) -> None:
        raise error

    monkeypatch.setattr(program, "app", fail)
    monkeypatch.setattr(sys, "argv", ["rewild", "x"])
    try:
        program.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_the_program_says_it_once_and_exits_with_1(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    assert run(monkeypatch, OSError(errno.EROFS, "Read-only file system", "/a")) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: /a: Read-only file system; ")
    assert run(monkeypatch, RewildError("bad")) == 1
    assert capsys.readouterr().err == "error: bad\n"
    assert run(monkeypatch, SystemExit(2)) == 2
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, KeyboardInterrupt())
    with pytest.raises(ZeroDivisionError):
        run(monkeypatch, ZeroDivisionError())


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "workflow")}


@pytest.mark.heavy
def test_a_reader_that_goes_away_is_no_traceback() -> None:
    for command in (["models"], ["benchmarks"], ["--help"]):
        with subprocess.Popen(
            [sys.executable, "-m", "rewild", *command],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.close()
            said = process.stderr.read()
        assert "Traceback" not in said
        assert "Exception ignored" not in said
        assert process.returncode in (0, 1)


@pytest.mark.heavy
def test_a_full_output_is_a_message() -> None:
    with Path("/dev/full").open("w") as nowhere:
        ended = subprocess.run(
            [sys.executable, "-m", "rewild", "models"],
            cwd=ROOT,
            env=environment(),
            stdout=nowhere,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert "error: No space left on device; free some space" in ended.stderr
    assert "Traceback" not in ended.stderr


# What killed processes leave


def killed_while_writing(folder: Path) -> None:
    """A process that writes ``train.parquet`` and is killed in the middle."""
    program = (
        "import os, sys; from pathlib import Path; from rewild.core.files import atomic\n"
        "with atomic(Path(sys.argv[1]) / 'train.parquet') as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, folder], env=environment(), check=False)


@pytest.mark.heavy
def test_what_a_killed_writer_left_is_swept_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_while_writing(tmp_path)
    assert len(list(tmp_path.glob(".train.*"))) == 1
    others = [
        tmp_path / name for name in (".train.parquet", ".other.abcdefgh.parquet", ".train.abcdefgh.csv", ".x")
    ]
    for other in others:
        other.write_text("kept")
    monkeypatch.setattr(files, "_swept", set())
    write_text(tmp_path / "train.parquet", "new")
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "train.parquet"])


def test_what_a_living_writer_writes_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_swept", set())
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("slow")
        monkeypatch.setattr(files, "_swept", set())
        write_text(tmp_path / "a.txt", "quick")
        assert (tmp_path / "a.txt").read_text() == "quick"
        assert temporary.exists()
    assert (tmp_path / "a.txt").read_text() == "slow"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_folders_are_swept_too_but_not_those_at_work(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".data.abcdefgh", tmp_path / ".data.bcdefghi"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "x").write_text("x")
    handle = locks.claim(alive)
    assert handle is not None
    assert locks.claim(alive) is None
    locks.sweep(tmp_path, ".data.")
    assert list(tmp_path.iterdir()) == [alive]
    os.close(handle)
    locks.sweep(tmp_path, ".data.")
    assert list(tmp_path.iterdir()) == []


def test_without_locks_nothing_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, what: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(files, "_swept", set())
    stray = tmp_path / ".a.abcdefgh.txt"
    stray.write_text("perhaps at work")
    write_text(tmp_path / "a.txt", "new")
    assert stray.exists()


def test_a_folder_that_fills_a_disk_is_named(tmp_path: Path) -> None:
    nameless, other = OSError(errno.ENOSPC, "x"), OSError(errno.ENOSPC, "x", "/other")
    for error, name in ((nameless, str(tmp_path)), (other, "/other")):
        with pytest.raises(OSError, match=r"x|No space") as found, files.filling(tmp_path):
            raise error
        assert found.value.filename == name
    with pytest.raises(OSError, match="y") as found, files.filling(tmp_path):
        raise OSError(errno.ENOENT, "y")  # of a file that is read
    assert found.value.filename is None


def responses(path: Path, conversations: int) -> Path:
    return write_responses(
        path, [answer([f"question {n}"], 0, "a", os.urandom(2_000).hex()) for n in range(conversations)]
    )


def viewer(*words: object) -> list[str]:
    return [sys.executable, "-m", "rewild", "viewer", *map(str, words)]


@pytest.mark.heavy
def test_a_viewer_that_fills_the_disk_names_its_folder(tmp_path: Path, full: Path) -> None:
    given = responses(tmp_path / "responses.parquet", 100)
    ended = subprocess.run(
        viewer(given, "--out", full / "viewer"),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {full}/viewer/data: No space left on device; free some space")
    assert ended.stderr.count("\n") == 1
    assert list((full / "viewer").iterdir()) == []


@pytest.mark.heavy
def test_a_viewer_that_was_killed_is_swept_by_the_next(tmp_path: Path) -> None:
    given, out = responses(tmp_path / "responses.parquet", 1_500), tmp_path / "viewer"
    with subprocess.Popen(viewer(given, "--out", out), env=environment(), stdout=subprocess.PIPE) as process:
        while process.poll() is None and not list(out.glob(".data.*/*/*")):
            pass
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert list(out.glob(".data.*"))
    command = viewer(given, "--out", out, "--max-conversations", 5)
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    assert sorted(path.name for path in out.iterdir()) == ["data", "index.html"]

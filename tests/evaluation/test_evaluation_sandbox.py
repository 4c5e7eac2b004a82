"""Hostile programs in the sandbox: what a model writes reaches no file, no network and no process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rewild.core.errors import ConfigError
from rewild.evaluation.harness import sandbox

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True, scope="module")
def _allowed() -> None:
    if (why := sandbox.why_not()) is not None:
        pytest.skip(f"needs unprivileged user namespaces: {why}")


def said(program: str, seconds: float = 5) -> str:
    return sandbox.run(program, seconds)


@pytest.mark.parametrize(
    "program",
    [
        "def add(a, b):\n    return a + b\nassert add(2, 3) == 5",
        "import re, math, heapq, itertools, collections, functools, datetime, json, bisect, string, random\n"
        "assert math.gcd(12, 18) == 6 and random.random() < 1",
        "import decimal, zlib, hashlib\nassert hashlib.sha256(b'').hexdigest()[:4] == 'e3b0'",
        "print('x' * 10**6)",
    ],
)
def test_honest_programs_pass(program: str) -> None:
    assert said(program) == "passed"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("def add(a, b):\n    return a * b\nassert add(2, 3) == 5", "failed: AssertionError"),
        ("def add(a, b:", "failed: SyntaxError"),
        ("raise SystemExit(0)", "failed: SystemExit"),
        ("import os\nos._exit(0)", "failed: it ended without a word"),
        ("input()", "failed: EOFError"),
        ("x = bytearray(3 << 30)", "failed: MemoryError"),
        ("f = lambda: f()\nf()", "failed: RecursionError"),
        ("\ud800 = 1", "failed: "),
        ("eval('(' * 3000 + ')' * 3000)", "failed: "),
    ],
)
def test_failures_are_told_apart_from_passes(program: str, why: str) -> None:
    assert said(program).startswith(why)


FILES = [
    str(Path(__file__)),
    str(ROOT / "README.md"),
    "/etc/passwd",
    "/etc/hostname",
    "/proc/self/environ",
    "/proc/1/environ",
    "/sys/kernel/uevent_seqnum",
    "/dev/mem",
    os.path.expanduser("~/.bashrc"),  # noqa: PTH111
]


def test_no_file_of_the_machine_can_be_read() -> None:
    secret = Path("/var/tmp") / f"rewild-secret-{os.getpid()}"
    secret.write_text("a token")
    try:
        program = (
            "import os, json\nfound = []\n"
            f"for path in json.loads({json.dumps([*FILES, str(secret)])!r}):\n"
            "    try:\n        open(path).read(1)\n        found.append(path)\n"
            "    except OSError:\n        pass\n"
            "assert not found, found\n"
            "assert not any('TOKEN' in k or 'KEY' in k for k in os.environ)\n"
            "assert not {'etc', 'proc', 'sys', 'var', 'dev', 'run', 'boot'} & set(os.listdir('/'))\n"
        )
        assert said(program) == "passed"
        assert sandbox.run(f"open({str(secret)!r}).read()", confined=False) == "passed"  # it could be read
    finally:
        secret.unlink()


def test_nothing_can_be_written_or_removed(tmp_path: Path) -> None:
    target = tmp_path / "kept.txt"
    target.write_text("kept")
    library = os.__file__
    program = (
        "import os\nfailed = 0\n"
        f"for path in ({str(target)!r}, '/new.txt', '/tmp/new.txt', '/dev/shm/new.txt', 'new.txt',"
        f" {library!r}):\n"
        "    for what in (lambda: open(path, 'w').write('x'), lambda: open(path, 'a').write('x'),"
        " lambda: os.remove(path), lambda: os.rename(path, path + 'x'), lambda: os.chmod(path, 0o777),"
        " lambda: os.symlink('/', path + 'y'), lambda: os.mkdir(path + 'z')):\n"
        "        try:\n            what()\n        except OSError:\n            failed += 1\n"
        "assert failed == 42, failed\n"
    )
    before = Path(library).read_bytes()
    assert said(program) == "passed"
    assert target.read_text() == "kept"
    assert Path(library).read_bytes() == before


def test_no_network_not_even_this_machines() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    port = server.getsockname()[1]
    try:
        for kind in (
            f"socket.create_connection(('127.0.0.1', {port}), 1)",
            "socket.socket(socket.AF_UNIX)",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            "socket.socketpair()",
            "socket.getaddrinfo('example.org', 80)",
        ):
            result = said(f"import socket\n{kind}")
            assert result in ("failed: PermissionError", "failed: gaierror"), kind
        with pytest.raises(TimeoutError):
            server.accept()
    finally:
        server.close()


@pytest.mark.parametrize(
    "program",
    [
        "import os\nwhile True:\n    os.fork()",
        "import os\nos.posix_spawn('/bin/sh', ['sh'], {})",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'pass'])",
        "import multiprocessing\np = multiprocessing.Process(target=print)\np.start()",
        "import os, sys\nos.execv(sys.executable, ['python'])",
        "import threading\n[threading.Thread(target=print).start() for _ in range(9999)]",
        "import os\nos.kill(-1, 9)",
        "import os\nos.kill(TESTS, 9)",  # this very process
    ],
)
def test_no_other_process(program: str) -> None:
    threads = threading.active_count()
    result = said(program.replace("TESTS", str(os.getpid())))
    assert result.startswith("failed: ")
    assert result != "failed: it ended without a word" or "multiprocessing" in program
    assert threading.active_count() == threads


def test_rights_that_would_open_the_sandbox_are_refused() -> None:
    program = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.unshare(0x10000000) == -1 and ctypes.get_errno() == 1\n"
        "assert libc.mount(b'none', b'/', b'tmpfs', 0, None) == -1\n"
        "assert libc.chroot(b'/') == -1\nassert libc.ptrace(0, 0, 0, 0) == -1\n"
        "assert libc.syscall(435, 0, 0) == -1\nassert libc.setuid(0) == -1\n"
    )
    assert said(program) == "passed"


@pytest.mark.parametrize(
    "program",
    [
        "while True:\n    pass",
        "import time\ntime.sleep(600)",
        "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)\nimport time\ntime.sleep(600)",
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True:\n    pass",
    ],
)
def test_programs_that_never_end_are_ended(program: str) -> None:
    assert said(program, 0.5) in ("timed out", "failed: it ended without a word")
    # The children go with it: none of this test's programs is left.
    left = subprocess.run(["ps", "-eo", "args"], text=True, capture_output=True, check=True).stdout
    assert not [line for line in left.splitlines() if str(sandbox.CHILD) in line and "-S" in line]


def test_pass_at_k_is_that_of_the_metric() -> None:
    metric = sandbox.CodeEval()
    right, wrong = "def add(a, b):\n    return a + b", "def add(a, b):\n    return a * b"
    test = "assert add(2, 3) == 5"
    found, results = metric.compute(
        references=[test, test], predictions=[[right, wrong, wrong], [wrong] * 3], k=[1, 2]
    )
    # 1 - C(n-c, k) / C(n, k) of each task: 1/3 and 0; 2/3 and 0.
    assert found == {"pass@1": pytest.approx(1 / 6), "pass@2": pytest.approx(1 / 3)}
    assert [about["passed"] for _, about in results[0]] == [True, False, False]
    assert results[1][0][1]["result"] == "failed: AssertionError"


def test_a_machine_without_a_sandbox_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sandbox, "run", lambda *_, **__: "no sandbox: user namespace: Operation not permitted"
    )
    with pytest.raises(ConfigError, match="allows none: user namespace: Operation not permitted"):
        sandbox.take_over(confined=True)
    with pytest.raises(ConfigError, match="allow_code: unconfined"):
        sandbox.CodeEval().compute(references=["assert 1"], predictions=[["pass"]], k=[1])


def test_where_namespaces_are_refused_nothing_runs(tmp_path: Path) -> None:
    """The child itself, on a machine that allows no user namespace: it says so, and runs nothing."""
    mark = tmp_path / "ran"
    job = {"program": f"open({str(mark)!r}, 'x')", "seconds": 5, "confined": True, "word": "w"}
    code = (
        "import runpy, ctypes\nclass Refusing:\n"
        "    def unshare(self, flags):\n        ctypes.set_errno(1)\n        return -1\n"
        "ctypes.CDLL = lambda *a, **k: Refusing()\n"
        f"runpy.run_path({str(sandbox.CHILD)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(job).encode(), capture_output=True, check=False
    )
    assert done.stdout == b"w no sandbox: user namespace: Operation not permitted\n"
    assert not mark.exists()

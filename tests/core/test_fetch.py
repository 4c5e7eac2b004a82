"""Fetching: against a real HTTP server on this machine that misbehaves on demand."""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from local_server import Handler, running
from rewild.core import fetch
from rewild.core.errors import DataError, RewildError
from rewild.core.fetch import COLUMNS, fetch_collection, read_manifest

FILES = {"one.txt": b"first " * 50_000, "deep/two words.txt": b"second " * 9, "three.txt": b"3"}


class Server(ThreadingHTTPServer):
    """Serves FILES; ``faults`` maps a path's end to a list of faults, one used up per request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: dict[str, list[str]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.encodings: set[str | None] = set()
        self.poured = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(Handler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802
        name = self.path.split("/", 4)[-1].replace("%20", " ")
        asked = self.headers.get("Range")
        self.server.requests.append((name, asked))
        self.server.encodings.add(self.headers.get("Accept-Encoding"))
        fault = self.server.faults.get(name, [])
        what = fault.pop(0) if fault else ""
        if what.isdigit():
            self.send_error(int(what))
            return
        if what.startswith("to:"):
            self.send_response(302)
            self.send_header("Location", what.removeprefix("to:"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = FILES[name] if what != "wrong" else bytes(len(FILES[name]))
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and what != "ignore-range" else 0
        self.send_response(206 if start or what == "part" else 200)
        sent = body[start:] if what != "cut" else body[start : start + 100_000]
        length = len(body) - start
        if what == "long":
            sent, length = sent + b"x" * 9, length + 9
        if what == "endless":
            length = 0
        if what in ("gzip", "br", "rubbish"):
            self.send_header("Content-Encoding", what if what == "br" else "gzip")
            sent = gzip.compress(sent) if what == "gzip" else b"rubbish"
            length = len(sent)
        if start or what == "part":
            shown = {"shifted": f"bytes {start - 1}-{len(body) - 1}/{len(body)}", "silent": "", "other": "x"}
            usual = f"bytes {start}-{len(body) - 1}/{len(body)}"
            if named := shown.get(what, usual):
                self.send_header("Content-Range", named)
        if length:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            self.wfile.write(sent)
            while what == "endless":
                self.wfile.write(bytes(1 << 16))
                self.server.poured += 1 << 16
        except OSError:
            return
        if what == "cut":
            self.connection.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with running(Server()) as server:
        yield server


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "files.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        for name, body in FILES.items():
            writer.writerow(["small", "o/r", "abc", name, len(body), hashlib.sha256(body).hexdigest(), "MIT"])
    return path


@pytest.fixture
def bring(tmp_path: Path, manifest: Path):  # type: ignore[no-untyped-def]
    def bring(base: str, lines: list[str] | None = None) -> Path:
        fetch_collection(
            "small",
            tmp_path / "got",
            base=base,
            manifest=manifest,
            cache=tmp_path / "cache",
            report=(lines if lines is not None else []).append,
        )
        return tmp_path / "got/o/r/abc"

    return bring


def whole(folder: Path) -> bool:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES


def test_files_arrive_where_a_raw_download_has_them(server: Server, bring) -> None:
    lines: list[str] = []
    assert whole(bring(server.base, lines))
    assert lines[0].startswith("small: 3 files, 0.3 MB from http://127.0.0.1")
    assert lines[-1] == "small: 3 of 3 files, 0.3 MB of 0.3 MB, checksums right"


def test_a_broken_connection_goes_on_where_it_broke(server: Server, bring) -> None:
    server.faults["one.txt"] = ["cut"]
    assert whole(bring(server.base))
    asked = [r for name, r in server.requests if name == "one.txt"]
    assert asked[0] is None
    assert 0 < int(asked[1].removeprefix("bytes=").removesuffix("-")) <= 100_000
    assert len(asked) == 2


def test_a_server_without_ranges_sends_all_again(server: Server, bring) -> None:
    server.faults["one.txt"] = ["cut", "ignore-range"]
    assert whole(bring(server.base))


@pytest.mark.parametrize(
    "fault", ["416", "shifted", "silent", "other", "wrong", "gzip", "rubbish", "br", "long"]
)
def test_a_resumed_download_that_does_not_fit_starts_from_zero(server: Server, bring, fault: str) -> None:
    """Cut at a third, then whatever the server says: nothing is to be removed by hand."""
    server.faults["one.txt"] = ["cut", fault]
    assert whole(bring(server.base))
    asked = [r for name, r in server.requests if name == "one.txt"]
    assert asked[0] is None
    assert asked[1] == f"bytes={fetch.CHUNK}-"
    assert asked[2:] in ([], [None])
    assert server.encodings == {"identity"}


@pytest.mark.parametrize(
    "kept", [b"x" * 100, FILES["one.txt"][:75_000] + b"x", b"x" * 300_000, b"x" * 900_000]
)
def test_rubbish_of_an_earlier_run_is_got_over(server: Server, bring, tmp_path: Path, kept: bytes) -> None:
    (tmp_path / "cache").mkdir()
    name = hashlib.sha256(FILES["one.txt"]).hexdigest()
    (tmp_path / f"cache/{name}.part").write_bytes(kept)
    assert whole(bring(server.base))
    assert not (tmp_path / f"cache/{name}.part").exists()


@pytest.mark.parametrize("fault", ["gzip", "part", "long", "rubbish"])
def test_a_first_answer_that_does_not_fit_is_asked_for_again(server: Server, bring, fault: str) -> None:
    server.faults["one.txt"] = [fault]
    assert whole(bring(server.base))


def test_no_more_is_taken_than_a_file_has(server: Server, bring, tmp_path: Path) -> None:
    server.faults["three.txt"] = ["endless"] * fetch.TRIES
    with pytest.raises(RewildError, match=r"three\.txt: could not be fetched .*more than the 1 bytes come"):
        bring(server.base)
    assert sum(p.stat().st_size for p in (tmp_path / "cache").rglob("*")) <= sum(map(len, FILES.values()))
    server.faults["three.txt"] = ["long"] * fetch.TRIES
    with pytest.raises(RewildError, match=r"10 bytes come where 1 are expected"):
        bring(server.base)
    assert whole(bring(server.base))


@pytest.mark.parametrize("status", [204, 300, 304, 402, 403, 405, 410, 422])
def test_a_refusal_is_a_message_at_once(server: Server, bring, status: int) -> None:
    server.faults["three.txt"] = [str(status)]
    with pytest.raises(RewildError, match=rf"\(try 1 of 5\): the server answered {status}\."):
        bring(server.base)


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("/o/r/abc/three.txt", "the server redirects without end"),
        ("ftp://127.0.0.1/x", "the address cannot be used: "),
        ("http://127.0.0.1:99999/x", "the address cannot be used|Error: "),
        ("http://[::/x", "could not be fetched"),
    ],
)
def test_bad_redirects_are_messages(server: Server, bring, to: str, message: str) -> None:
    server.faults["three.txt"] = [f"to:{to}"] * 200
    with pytest.raises(RewildError, match=message):
        bring(server.base)


@pytest.mark.parametrize(
    "base", ["http://[", "http://", "ftp://h/x", "http://a:b:c/", "://x", "http://\0", "h\ud800://x"]
)
def test_bad_addresses_are_messages(bring, base: str) -> None:
    with pytest.raises(RewildError):
        bring(base)


@pytest.mark.parametrize(
    "proxy", ["http://[", "socks5://127.0.0.1:1", "nonsense://x", "http://u:secret@127.0.0.1:1"]
)
def test_a_proxy_that_cannot_be_used_is_a_message(bring, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    with pytest.raises(RewildError) as error:
        bring("http://192.0.2.1")
    assert "secret" not in str(error.value)


def test_certificates_that_cannot_be_read_are_a_message(bring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    with pytest.raises(RewildError, match="certificates cannot be read"):
        bring("https://192.0.2.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST", "0.0.0.0", "127.1"])
def test_this_machine_is_asked_directly(
    server: Server, bring, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert whole(bring(server.base.replace("127.0.0.1", host)))


def test_a_password_is_in_no_message(server: Server, bring, tmp_path: Path) -> None:
    lines: list[str] = []
    said = []
    address = server.base.replace("://", "://me:sesame@")
    assert whole(bring(address, lines))
    for base in (
        address + "/?key=sesame",
        "http://me:sesame@[",
        "http://me:ses/ame@h/",
        "http://me:sesame@h:port",
    ):
        server.faults = {name: ["404"] for name in FILES}
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").mkdir()
        with pytest.raises(RewildError) as error:
            bring(base, lines)
        said.append(str(error.value))
        said += [str(error.value.__cause__)] if error.value.__cause__ else []
    for line in lines + said:
        assert not re.search(r"sesame|ses\b|\bame\b", line), line


@pytest.mark.heavy
def test_many_processes_at_once_all_succeed(server: Server, manifest: Path, tmp_path: Path) -> None:
    """They share one cache; two names of equal content share a download, too."""
    with manifest.open("a", newline="") as handle:
        body = FILES["one.txt"]
        csv.writer(handle).writerow(
            ["small", "o/r", "abc", "copy.txt", len(body), hashlib.sha256(body).hexdigest(), "MIT"]
        )
    FILES["copy.txt"] = FILES["one.txt"]
    server.faults["one.txt"] = server.faults["copy.txt"] = ["cut", "cut"]
    program = (
        "import os, sys, httpx; from pathlib import Path\n"
        "from rewild.core.fetch import fetch_collection as f\n"
        "children = []\n"
        "for i in range(30):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        f('small', Path(f'{sys.argv[1]}/got'), base=sys.argv[2], manifest=Path(sys.argv[3]),\n"
        "          cache=Path(sys.argv[1] + '/cache'), report=str); os._exit(0)\n"
        "    children.append(pid)\n"
        "sys.exit(sum(os.waitpid(pid, 0)[1] != 0 for pid in children))"
    )
    try:
        ended = subprocess.run(
            [sys.executable, "-c", program, tmp_path, server.base, manifest],
            env=os.environ | {"PYTHONPATH": str(Path(fetch.__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert whole(tmp_path / "got/o/r/abc")
        names = [name for name, _ in server.requests]
        assert names.count("one.txt") + names.count("copy.txt") == 3
    finally:
        del FILES["copy.txt"]


def test_passing_errors_are_tried_again(server: Server, bring) -> None:
    server.faults["three.txt"] = ["500", "429", "503"]
    assert whole(bring(server.base))
    assert [name for name, _ in server.requests].count("three.txt") == 4


def test_a_lasting_error_says_what_to_do(server: Server, bring) -> None:
    server.faults["three.txt"] = ["500"] * fetch.TRIES
    with pytest.raises(
        RewildError, match=r"three\.txt: could not be fetched \(try 5 of 5\): the server answered 500"
    ):
        bring(server.base)


def test_a_missing_file_is_not_tried_again(server: Server, bring) -> None:
    server.faults["three.txt"] = ["404"]
    with pytest.raises(RewildError, match=r"the server answered 404.*MIRROR=FOLDER"):
        bring(server.base)
    assert [name for name, _ in server.requests].count("three.txt") == 1


def test_no_server_at_all_is_a_clear_error(bring, server: Server) -> None:
    with pytest.raises(RewildError, match=r"could not be fetched .*Without this network, give a local copy"):
        bring("http://127.0.0.1:9")


def test_a_wrong_checksum_names_file_expected_and_found(server: Server, bring, tmp_path: Path) -> None:
    server.faults["three.txt"] = ["wrong"]
    with pytest.raises(RewildError) as error:
        bring(server.base)
    message = str(error.value)
    assert "wrong checksum for o/r/abc/three.txt" in message
    assert hashlib.sha256(b"3").hexdigest() in message
    assert hashlib.sha256(b"\0").hexdigest() in message
    assert not (tmp_path / "got/o/r/abc/three.txt").exists()
    assert whole(bring(server.base))  # and the bad download was thrown away


def test_what_arrived_is_not_fetched_again(server: Server, bring, tmp_path: Path) -> None:
    server.faults["three.txt"] = ["404"]
    with pytest.raises(RewildError):
        bring(server.base)
    (tmp_path / "cache" / hashlib.sha256(FILES["one.txt"]).hexdigest()).write_bytes(FILES["one.txt"])
    server.requests.clear()
    assert whole(bring(server.base))
    assert "one.txt" not in [name for name, _ in server.requests]


def test_a_rotten_cache_is_noticed_and_renewed(server: Server, bring, tmp_path: Path) -> None:
    bring(server.base)
    (tmp_path / "cache" / hashlib.sha256(b"3").hexdigest()).write_bytes(b"4")
    with pytest.raises(RewildError, match="wrong checksum"):
        bring(server.base)
    assert whole(bring(server.base))


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_folder_replaces_the_network(tmp_path: Path, bring, prefix: str) -> None:
    for name, body in FILES.items():
        path = tmp_path / "mirror/o/r/abc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    assert whole(bring(f"{prefix}{tmp_path / 'mirror'}"))
    if prefix:
        (tmp_path / "a b").symlink_to(tmp_path)
        assert whole(bring((tmp_path / "a b/mirror").as_uri()))  # a space is %20
    (tmp_path / "mirror/o/r/abc/three.txt").write_bytes(b"4")
    with pytest.raises(RewildError, match=r"wrong checksum for o/r/abc/three\.txt"):
        bring(str(tmp_path / "mirror"))
    (tmp_path / "mirror/o/r/abc/three.txt").unlink()
    with pytest.raises(
        RewildError, match="not in the mirror; a mirror holds files as OWNER/REPO/COMMIT/PATH"
    ):
        bring(str(tmp_path / "mirror"))
    with pytest.raises(RewildError, match="is not a folder"):
        bring(str(tmp_path / "nowhere"))


def test_an_unknown_collection_is_named(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(RewildError, match=r"unknown collection 'smal'; did you mean 'small'\?"):
        fetch_collection("smal", tmp_path, manifest=manifest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("sha256", "sha"), "line 1: the columns must be"),
        (lambda t: t + "small,o/r,abc\n", "line 5: 7 values were expected"),
        (lambda t: t + f"small,o/r,abc,../../x,1,{'0' * 64},MIT\n", "line 5: the path must stay inside"),
        (lambda t: t + "small,o/r,abc,x,big,00,MIT\n", "line 5: 'bytes' must be a number"),
    ],
)
def test_a_bad_manifest_is_named_with_its_line(manifest: Path, change, message: str) -> None:
    manifest.write_text(change(manifest.read_text().replace("\r\n", "\n")))
    with pytest.raises(DataError, match=message):
        read_manifest(manifest)


def test_the_manifest_matches_the_mirror_byte_for_byte(root: Path, mirror: Path) -> None:
    collections = read_manifest(root / "resources/released/files.csv")
    # Read from the repositories at those commits; no copies of them are among the released files.
    assert [f.bytes for f in collections.pop("arena-hard-prompts")] == [2400]
    assert [f.bytes for f in collections.pop("alpaca-eval-prompts")] == [1398]
    assert [f.bytes for f in collections.pop("mixeval-prompts")] == [8577, 7007]
    assert [f.bytes for f in collections.pop("wildbench-prompts")] == [2229]
    files = [f for c in collections.values() for f in c]
    assert len(files) == 179
    for file in files:
        assert hashlib.sha256((mirror / file.name).read_bytes()).hexdigest() == file.sha256, file.name
        assert (mirror / file.name).stat().st_size == file.bytes, file.name

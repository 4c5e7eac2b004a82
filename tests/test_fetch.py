"""Fetching: against a real HTTP server on this machine that misbehaves on demand."""

from __future__ import annotations

import csv
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rewild import fetch
from rewild.errors import DataError, RewildError
from rewild.fetch import COLUMNS, fetch_collection, read_manifest

FILES = {"one.txt": b"first " * 50_000, "deep/two words.txt": b"second " * 9, "three.txt": b"3"}


class Server(ThreadingHTTPServer):
    """Serves FILES; ``faults`` maps a path's end to a list of faults, one used up per request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: dict[str, list[str]] = {}
        self.requests: list[tuple[str, str | None]] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.split("/", 4)[-1].replace("%20", " ")
        asked = self.headers.get("Range")
        self.server.requests.append((name, asked))
        fault = self.server.faults.get(name, [])
        what = fault.pop(0) if fault else ""
        if what.isdigit():
            self.send_error(int(what))
            return
        body = FILES[name] if what != "wrong" else b"wrong"
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and what != "ignore-range" else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        sent = body[start:] if what != "cut" else body[start : start + 100_000]
        self.wfile.write(sent)
        if what == "cut":
            self.connection.close()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


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
    assert hashlib.sha256(b"wrong").hexdigest() in message
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

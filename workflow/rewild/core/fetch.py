"""Fetch released files: pinned commits, checked, retried, resumed, atomic.

The manifest (``resources/released/files.csv``) names every file by repository, commit and path, with its size
and SHA-256. A file is ``BASE/OWNER/REPO/COMMIT/PATH``: BASE is the public address, another, or a folder.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from rewild import own
from rewild.core.errors import DataError, RewildError, first_line, known_name, masked
from rewild.core.files import atomic, sha256
from rewild.core.hosts import proxied
from rewild.core.locks import lock_file
from rewild.core.reading import SMALL, read_csv

if TYPE_CHECKING:
    import httpx

PUBLIC = "https://raw.githubusercontent.com"
MANIFEST = "resources/released/files.csv"
TRIES = 5
CONNECTIONS = 8
CHUNK = 1 << 16
LONGEST, SLOWEST = 300, 10_000
"""Seconds that one try may take at most, with a second more for so many bytes."""
COLUMNS = ("collection", "repository", "commit", "path", "bytes", "sha256", "licence")


@dataclass(frozen=True)
class ReleasedFile:
    """One file of the manifest. ``bytes`` is its size, ``sha256`` its checksum in hexadecimal."""

    collection: str
    repository: str
    commit: str
    path: str
    bytes: int
    sha256: str
    licence: str

    @property
    def name(self) -> str:
        """``OWNER/REPO/COMMIT/PATH``: the file's place below a base, and below the downloads folder."""
        return f"{self.repository}/{self.commit}/{self.path}"


def read_manifest(path: Path | None = None) -> dict[str, list[ReleasedFile]]:
    """Read the manifest, without a path the workflow's own. Light: the DAG is built from it.

    Returns:
        Collection → its files, in the manifest's order.

    Raises:
        DataError: a missing file or column, a bad row (named by its line).
    """
    path = path or Path(own(MANIFEST))
    collections: dict[str, list[ReleasedFile]] = {}
    for line, row in read_csv(path, "the list of released files", limit=SMALL):
        where = f"{path}, line {line}"
        if tuple(row) != COLUMNS:
            raise DataError(f"{path}, line 1: the columns must be {', '.join(COLUMNS)}")
        if not re.fullmatch("[0-9a-f]{64}", row["sha256"]) or not re.fullmatch("[0-9]{1,15}", row["bytes"]):
            raise DataError(f"{where}: 'bytes' must be a number and 'sha256' 64 hexadecimal digits")
        if not all(map(_inside, (row["repository"], row["commit"], row["path"]))):
            raise DataError(f"{where}: the path must stay inside its repository: {row['path']}")
        file = ReleasedFile(bytes=int(row.pop("bytes")), **row)
        collections.setdefault(file.collection, []).append(file)
    return collections


def _inside(path: str) -> bool:
    """Whether a path, joined to a folder, stays below it."""
    return bool(path) and not path.startswith("/") and ".." not in Path(path).parts and "\0" not in path


def fetch_collection(
    name: str,
    folder: Path,
    *,
    base: str | None = None,
    manifest: Path | None = None,
    cache: Path = Path(".cache/downloads"),
    report: Callable[[str], None] = print,
) -> None:
    """Bring every file of a collection to ``folder/OWNER/REPO/COMMIT/PATH``.

    Args:
        name: the collection.
        folder: where the files go.
        base: a URL or a local folder in place of the public address.
        manifest: the list of files.
        cache: finished and partial downloads, by checksum; an interrupted fetch goes on from here.
        report: called with one line of progress at a time.

    Raises:
        RewildError: an unknown collection, a file that is not there, a wrong checksum, or no network.
    """
    collections = read_manifest(manifest)
    known_name(name, collections, "unknown collection", listed="collections", error=RewildError)
    files = collections[name]
    total = sum(f.bytes for f in files)
    root = base or PUBLIC
    report(f"{name}: {len(files)} files, {_size(total)} from {masked(root)}")
    source = root.removeprefix("file://")
    if source != root and not Path(source).is_dir():
        source = unquote(source)  # in a URL, a space is %20
    arrived: Iterator[ReleasedFile]
    if "://" in source:
        arrived = _download(files, source, folder, cache)
    else:
        arrived = _copy(files, Path(source).expanduser(), folder)
    done, shown = 0, time.monotonic()
    for number, file in enumerate(arrived, 1):
        done += file.bytes
        if number == len(files) or time.monotonic() - shown > 2:
            shown = time.monotonic()
            report(
                f"{name}: {number} of {len(files)} files, {_size(done)} of {_size(total)}, checksums right"
            )


def _copy(files: Iterable[ReleasedFile], source: Path, folder: Path) -> Iterator[ReleasedFile]:
    if not source.is_dir():
        raise RewildError(f"the mirror {source} is not a folder")
    for file in files:
        origin = source / file.name
        if not origin.is_file():
            raise RewildError(f"{origin}: not in the mirror; a mirror holds files as OWNER/REPO/COMMIT/PATH")
        with atomic(folder / file.name) as temporary:
            shutil.copyfile(origin, temporary)
            _check(temporary, file, str(origin))
        yield file


def _download(files: list[ReleasedFile], base: str, folder: Path, cache: Path) -> Iterator[ReleasedFile]:
    import httpx

    cache.mkdir(parents=True, exist_ok=True)
    base = base.rstrip("/")
    try:
        url = httpx.URL(base)
        if url.scheme not in ("http", "https") or not re.fullmatch(rb"[\w.:-]+", url.raw_host):
            raise RewildError(
                f"{masked(base, base)}: a mirror is a folder, or begins with http:// or https://"
            )
        if url.query or url.fragment:
            raise RewildError(f"{masked(base, base)}: a mirror's address has no query (? or #)")
        client = httpx.Client(
            timeout=httpx.Timeout(30, read=60),
            follow_redirects=True,
            # A transport of its own takes no proxy: none is asked for what this machine serves.
            transport=None if proxied(url.host) else httpx.HTTPTransport(),
            headers={"Accept-Encoding": "identity"},  # so that bytes on disk are bytes of the range asked for
        )
    except (httpx.InvalidURL, UnicodeError) as error:
        raise RewildError(f"the mirror is not a URL: {masked(first_line(error), base)}") from None
    except (ValueError, ImportError) as error:  # of the environment: HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE
        raise RewildError(
            "no connection can be made: a proxy named in the environment (HTTP_PROXY, HTTPS_PROXY or "
            f"ALL_PROXY) cannot be used: {masked(first_line(error))}"
        ) from None
    except OSError as error:
        raise RewildError(
            "certificates cannot be read (SSL_CERT_FILE, SSL_CERT_DIR): "
            f"{error.strerror or first_line(error)}"
        ) from error
    with client, ThreadPoolExecutor(CONNECTIONS) as pool:

        def bring(file: ReleasedFile) -> ReleasedFile:
            stored = cache / file.sha256
            # One process and one thread at a time: they share the partial file.
            with lock_file(cache / f"{file.sha256}.lock"):
                if not stored.is_file():
                    _download_one(client, f"{base}/{quote(file.name)}", file, stored)
                with atomic(folder / file.name) as temporary:
                    shutil.copyfile(stored, temporary)
                    try:
                        _check(temporary, file, str(stored))
                    except RewildError:
                        stored.unlink()  # a cache that rotted: the next run downloads it again
                        raise
            return file

        try:
            yield from pool.map(bring, files)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _AgainError(Exception):
    """What was brought so far is of no use: start again from zero."""


def _download_one(client: httpx.Client, url: str, file: ReleasedFile, stored: Path) -> None:
    """Download to ``stored`` through a partial file that survives interruptions.

    Nothing that the server says about a resumed download is believed: the checksum of the whole decides, and
    where it is wrong the download starts again from zero.
    """
    import httpx

    partial, shown = stored.with_suffix(".part"), masked(url)
    for attempt in range(1, TRIES + 1):
        start = partial.stat().st_size if partial.exists() else 0
        try:
            if start < file.bytes or not partial.exists():
                _continue(client, url, file, partial, start)
            _check(partial, file, shown)
        except (_AgainError, httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            if isinstance(error, _AgainError):
                partial.unlink(missing_ok=True)
            if _final(error) or attempt == TRIES:
                raise RewildError(
                    f"{shown}: could not be fetched (try {attempt} of {TRIES}): {_why(error, url)}. "
                    "Without this network, give a local copy of the files: make released MIRROR=FOLDER"
                ) from None  # the cause would show the address, with its password
            time.sleep(min(2**attempt / 2, 15))
        except RewildError:
            partial.unlink()
            if not start:  # it came whole and is another file
                raise
        else:
            partial.replace(stored)
            return
    raise RewildError(f"{shown}: could not be fetched whole in {TRIES} tries")


def _final(error: Exception) -> bool:
    """Whether another try would end the same way."""
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        return status < 500 and status not in (408, 416, 429)
    return isinstance(
        error, httpx.UnsupportedProtocol | httpx.TooManyRedirects | httpx.InvalidURL | UnicodeError
    )


def _why(error: Exception, url: str) -> str:
    import httpx

    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, httpx.TooManyRedirects):
        return "the server redirects without end"
    text = masked(first_line(error), url)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | UnicodeError):
        return f"the address cannot be used: {text}"
    return text if isinstance(error, _AgainError) else f"{type(error).__name__}: {text}"


def _continue(client: httpx.Client, url: str, file: ReleasedFile, partial: Path, start: int) -> None:
    """Append what is missing; a server that ignores the range sends all of it again.

    Raises:
        _AgainError: what comes is not what is missing.
        httpx.HTTPError: the connection broke, or the server refuses.
    """
    import httpx

    headers = {"Range": f"bytes={start}-"} if start else {}
    deadline = time.monotonic() + LONGEST + file.bytes / SLOWEST
    with client.stream("GET", url, headers=headers) as response:
        status = response.status_code
        if status == 416:
            raise _AgainError("the server has no such range of bytes (416)")
        if status not in (200, 206):
            raise httpx.HTTPStatusError("", request=response.request, response=response)
        if status == 206 and not start:
            raise _AgainError("the server sends a part (206) where all was asked for")
        ranged = response.headers.get("Content-Range", "").replace(" ", "").lower()
        if status == 206 and ranged not in (
            f"bytes{start}-{file.bytes - 1}/{total}" for total in (file.bytes, "*")
        ):
            raise _AgainError(f"the server sends another range of bytes ({ranged[:60] or 'it does not say'})")
        done = start if status == 206 else 0
        packed = response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")
        length = response.headers.get("Content-Length", "")
        if not packed and length.isdecimal() and done + int(length[:20]) > file.bytes:
            raise _AgainError(f"{done + int(length[:20])} bytes come where {file.bytes} are expected")
        with partial.open("ab" if done else "wb") as out:
            for block in _unpacked(response) if packed else response.iter_raw(CHUNK):
                done += len(block)
                if done > file.bytes:
                    raise _AgainError(f"more than the {file.bytes} bytes come that are expected")
                out.write(block)
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the server is too slow")
            out.flush()
            os.fsync(out.fileno())
    if done < file.bytes:
        if packed:
            raise _AgainError(f"{done} bytes come where {file.bytes} are expected")
        raise httpx.ReadError(f"{done} bytes came where {file.bytes} are expected")


def _unpacked(response: httpx.Response) -> Iterator[bytes]:
    """A body that was packed although that was not asked for, unpacked piece by piece."""
    name = response.headers["Content-Encoding"].strip().lower()
    if name not in ("gzip", "x-gzip", "deflate"):
        raise _AgainError(f"the server packs what it sends ({name[:40]}), which was not asked for")
    packer = zlib.decompressobj(47)  # of gzip or zlib, told by its first bytes
    try:
        for block in response.iter_raw(CHUNK):
            rest = block
            while rest and not packer.eof:
                yield packer.decompress(rest, CHUNK)
                rest = packer.unconsumed_tail
    except zlib.error as error:
        raise _AgainError(f"what the server sends cannot be unpacked: {error}") from error


def _check(path: Path, file: ReleasedFile, origin: str) -> None:
    if (found := sha256(path)) != file.sha256:
        raise RewildError(
            f"{origin}: wrong checksum for {file.name}\n"
            f"  expected SHA-256 {file.sha256} ({file.bytes} bytes)\n"
            f"  found    SHA-256 {found} ({path.stat().st_size} bytes)"
        )


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"

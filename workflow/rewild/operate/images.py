"""Digests of the images of ``envs/images.yaml``, as their registry states them: a tag can be moved."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, urlencode

from rewild.config.deployment import FILE, Image, load_images
from rewild.core.errors import RewildError, first_line
from rewild.core.files import write_text

# A manifest for all machines first: its digest is what every tool takes.
ACCEPTED = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
SECONDS = 30
LARGEST = 4_000_000  # bytes; a manifest has some thousands
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def pin_images(root: Path, registry: str | None, say: Callable[[str], None]) -> list[str]:
    """Write the digest behind each tag of ``envs/images.yaml``; tags and comments stay.

    Args:
        root: the repository.
        registry: the address of the registry of images whose name has no host; None asks ``skopeo``.
        say: called with a line per image.

    Returns:
        The tools whose image could not be read; their rows stay as they are.
    """
    path, rows = root / FILE, load_images(root)
    text = path.read_text(encoding="utf-8")
    unread: list[str] = []
    known: dict[str, str] = {}
    for tool, row in rows.items():
        if row.tag is None:
            say(f"{tool}: {row.image} has no tag to be read again")
            continue
        try:
            digest = known.get(row.tagged) or digest_of(row, registry)
        except RewildError as error:
            say(f"{tool}: {row.tagged} could not be read: {error}")
            unread.append(tool)
            continue
        known[row.tagged] = digest
        moved = f" (was {row.digest})" if row.digest not in (None, digest) else ""
        say(f"{tool}: {row.tagged} is {digest}{moved}")
    for tagged, digest in known.items():
        row_of = rf"(?m)^(\s*image:\s*){re.escape(tagged)}(?:@{DIGEST.pattern})?(?=\s|$)"
        text = re.sub(row_of, rf"\g<1>{tagged}@{digest}", text)
    write_text(path, text)
    return unread


def digest_of(image: Image, registry: str | None) -> str:
    """The digest that a tag has now: ``sha256:...``.

    Raises:
        RewildError: nobody can be asked, or the answer is none; the message says which.
    """
    host, _, rest = image.name.partition("/")
    if "." in host and rest:
        return _from_registry(f"https://{host}", rest, str(image.tag))
    if registry:
        return _from_registry(registry.rstrip("/"), image.name, str(image.tag))
    if shutil.which("skopeo"):
        return _from_skopeo(image.tagged)
    raise RewildError("no skopeo here; name the registry: --registry https://HOST")


def _from_skopeo(tagged: str) -> str:
    command = ["skopeo", "inspect", "--no-tags", "--format", "{{.Digest}}", f"docker://{tagged}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=4 * SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RewildError(f"skopeo: {first_line(error)}") from error
    if not DIGEST.fullmatch(done.stdout.strip()):
        last = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise RewildError(f"skopeo: {last[-1]}")
    return done.stdout.strip()


def _from_registry(registry: str, name: str, tag: str) -> str:
    """By the registry's HTTP API (OCI distribution specification 1.1, "Pulling manifests")."""
    url = f"{registry}/v2/{quote(name)}/manifests/{quote(tag)}"
    try:
        try:
            said, body = _get(url)
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            said, body = _get(url, _token(error.headers.get("WWW-Authenticate", ""), name))
    except (OSError, ValueError) as error:
        raise RewildError(f"{registry}: {first_line(error)}") from error
    digest = f"sha256:{sha256(body).hexdigest()}"
    if said not in (None, digest):
        raise RewildError(f"{registry} says {said}, but its manifest is {digest}")
    return digest


def _token(challenge: str, name: str) -> str:
    """What a registry wants to see of somebody who has no account, from where it sends them to."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = given.get("realm", "")
    if not challenge.startswith("Bearer ") or not realm.startswith(("https://", "http://")):
        raise RewildError("it wants an account")
    asked = {"service": given.get("service", ""), "scope": f"repository:{name}:pull"}
    _, body = _get(f"{realm}?{urlencode(asked)}")
    found = json.loads(body)
    token = found.get("token") or found.get("access_token") if isinstance(found, dict) else None
    if not isinstance(token, str):
        raise RewildError("it gives no token to read with")
    return token


def _get(url: str, token: str | None = None) -> tuple[str | None, bytes]:
    headers = {"Accept": ", ".join(ACCEPTED)} | ({"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=SECONDS) as answer:
        body = answer.read(LARGEST + 1)
        if len(body) > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes, which no manifest has")
        return answer.headers.get("Docker-Content-Digest"), body

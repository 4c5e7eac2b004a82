"""Digests of container images, read from a registry of this test's own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from conftest import Run
from local_server import Handler, running
from rewild.config.deployment import load_images
from rewild.operate.images import pin_images
from rewild.operate.site import _images

MANIFEST = json.dumps({"schemaVersion": 2, "manifests": [{"digest": "sha256:" + "1" * 64}]}).encode()
DIGEST = f"sha256:{sha256(MANIFEST).hexdigest()}"
ROWS = """\
# Images: a comment.
vllm:
  image: vllm/vllm-openai:v0.32.0   # the version of the lock
  python: /usr/bin/python3
lm-eval:
  image: vllm/vllm-openai:v0.32.0
  python: /usr/bin/python3
other:
  image: some/gone:v1
  python: /usr/bin/python3
longer:
  image: vllm/vllm-openai:v0.32.0.1
  python: /usr/bin/python3
"""


class Registry(Handler):
    """Gives a token to anybody, and manifests to who has it."""

    asked: list[str]

    def do_GET(self) -> None:  # noqa: N802
        url = urlsplit(self.path)
        self.asked.append(self.path)
        here = f"http://127.0.0.1:{self.server.server_address[1]}"
        if url.path == "/token":
            assert parse_qs(url.query) == {
                "service": ["it"],
                "scope": ["repository:vllm/vllm-openai:pull"],
            } or ("gone" in url.query)
            self.reply(200, b'{"token": "t"}')
        elif self.headers.get("Authorization") != "Bearer t":
            self.reply(401, b"", {"WWW-Authenticate": f'Bearer realm="{here}/token",service="it"'})
        elif url.path == "/v2/vllm/vllm-openai/manifests/v0.32.0":
            assert "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
            self.reply(200, MANIFEST, {"Docker-Content-Digest": DIGEST})
        elif url.path == "/v2/vllm/vllm-openai/manifests/v0.32.0.1":
            self.reply(200, MANIFEST, {"Docker-Content-Digest": "sha256:" + "2" * 64})
        else:
            self.reply(404, b"")


@pytest.fixture
def registry() -> Iterator[str]:
    Registry.asked = []
    with running(ThreadingHTTPServer(("127.0.0.1", 0), Registry)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/images.yaml").write_text(ROWS)
    return tmp_path


def test_digests_are_written_beside_tags(registry: str, root: Path) -> None:
    said: list[str] = []
    assert pin_images(root, registry, said.append) == ["other", "longer"]
    wanted = ROWS.replace("openai:v0.32.0 ", f"openai:v0.32.0@{DIGEST} ")
    wanted = wanted.replace("openai:v0.32.0\n", f"openai:v0.32.0@{DIGEST}\n")
    assert (root / "envs/images.yaml").read_text() == wanted, "comments and all other rows stay"
    assert load_images(root)["vllm"].where(None) == f"docker://vllm/vllm-openai@{DIGEST}"
    assert said[0] == f"vllm: vllm/vllm-openai:v0.32.0 is {DIGEST}"
    assert f"other: some/gone:v1 could not be read: {registry}: HTTP Error 404" in said[2]
    assert f"says sha256:{'2' * 64}, but its manifest is {DIGEST}" in said[3], "a proxy that alters it"
    assert sum(p.rpartition("openai/")[2] == "manifests/v0.32.0" for p in Registry.asked) == 2, (
        "once, and a token"
    )
    (check,) = _images(root)
    assert (check.state, check.detail.startswith("only a tag for other, longer:")) == ("unsure", True)


def test_a_tag_that_was_moved_is_said(registry: str, root: Path) -> None:
    path, old = root / "envs/images.yaml", f"sha256:{'0' * 64}"
    path.write_text(f"vllm: \n  image: vllm/vllm-openai:v0.32.0@{old}\n  python: /usr/bin/python3\n")
    said: list[str] = []
    assert pin_images(root, registry, said.append) == []
    assert said == [f"vllm: vllm/vllm-openai:v0.32.0 is {DIGEST} (was {old})"]
    assert yaml.safe_load(path.read_text())["vllm"]["image"] == f"vllm/vllm-openai:v0.32.0@{DIGEST}"
    assert [check.state for check in _images(root)] == ["ok"]


def test_skopeo_is_asked_where_no_registry_is_named(root: Path, rewild: Run, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(root / "bin"))
    run = rewild(root, "pin-images")
    assert run.returncode == 1
    assert "vllm: vllm/vllm-openai:v0.32.0 could not be read: no skopeo here; name the registry" in run.stdout
    assert "without a digest for vllm, lm-eval, other, longer" in run.stdout
    assert (root / "envs/images.yaml").read_text() == ROWS
    (root / "bin").mkdir()
    monkeypatch.undo()
    program = root / "bin/skopeo"
    program.write_text(f'#!/bin/sh\n[ "$5" = docker://some/gone:v1 ] && exec echo gone >&2\necho {DIGEST}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{root / 'bin'}:{os.environ['PATH']}")
    run = rewild(root, "pin-images")
    assert "other: some/gone:v1 could not be read: skopeo: gone" in run.stdout
    assert [row.digest for row in load_images(root).values()] == [DIGEST, DIGEST, None, DIGEST]


def test_nobody_answers(root: Path) -> None:
    said: list[str] = []
    assert len(pin_images(root, "http://127.0.0.1:1", said.append)) == 4
    assert all("could not be read: http://127.0.0.1:1: " in line for line in said)

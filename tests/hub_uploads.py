"""The test hub, which also takes uploads: repositories, files in one commit, large ones by Git LFS."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import Any
from urllib.parse import unquote, urlsplit

from hub_server import HubServer, _Handler

LARGE = (".parquet", ".safetensors")
TOKEN = "hf_" + "t" * 34


class HubUploads(HubServer):
    """As :class:`HubServer`. ``lost`` is how many bytes of each large file do not arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = _Uploads
        self.user: dict[str, Any] = {
            "name": "someone", "orgs": [{"name": "lab"}], "type": "user",
            "auth": {"accessToken": {"role": "write"}},
        }  # fmt: skip
        self.objects: dict[str, bytes] = {}
        self.lost = 0

    def take(  # noqa: PLR0911
        self, method: str, path: str, body: bytes
    ) -> tuple[int, dict[str, Any] | list[Any]]:
        """What a request that is no plain reading of a file does, and the answer."""
        parts = unquote(path).strip("/").split("/")
        if parts[:2] == ["api", "whoami-v2"]:
            return 200, self.user
        if parts[:2] == ["api", "validate-yaml"]:
            return 200, {"errors": [], "warnings": []}
        if parts == ["api", "repos", "create"]:
            return self._create(json.loads(body))
        if parts[0] == "upload":
            kept = body[: len(body) - self.lost]
            self.objects[parts[1]] = kept
            return 200, {}
        if path.endswith(".git/info/lfs/objects/batch"):
            return 200, {
                "transfer": "basic",
                "objects": [self._object(o) for o in json.loads(body)["objects"]],
            }
        key = (parts[1], "/".join(parts[2:4]))
        found = self.repositories.get(key)
        if parts[0] != "api" or found is None:
            return 404, {"error": "Repository not found"}
        if method == "GET":
            held = {path: content for (name, path), content in self.files.items() if name == key[1]}
            if parts[4:5] == ["tree"]:
                return 200, [
                    {"type": "file", "path": p, "size": len(c), "oid": "0" * 40} for p, c in held.items()
                ]
            siblings = [{"rfilename": p, "size": len(c)} for p, c in held.items()]
            return 200, {"id": key[1], **found, "siblings": siblings}
        if parts[4] == "preupload":
            modes = [
                {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular",
                 "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]  # fmt: skip
            return 200, {"files": modes}
        return self._commit(key, body)

    def _create(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = f"{asked.get('organization') or self.user['name']}/{asked['name']}"
        key = (f"{asked.get('type', 'model')}s", name)
        if key in self.repositories:
            return 409, {"error": "You already created this repo", "url": f"{self.url}/{name}"}
        self.add(*key, private=asked.get("visibility") == "private")
        return 200, {"url": f"{self.url}/{name}", "name": name}

    def _object(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] in self.objects:
            return asked
        return asked | {"actions": {"upload": {"href": f"{self.url}/upload/{asked['oid']}"}}}

    def _commit(self, key: tuple[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.files[key[1], value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.files[key[1], value["path"]] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del self.files[key[1], value["path"]]
        oid = hashlib.sha1(body).hexdigest()
        self.repositories[key]["sha"] = oid
        return 200, {
            "commitUrl": f"{self.url}/{key[1]}/commit/{oid}",
            "commitOid": oid,
            "pullRequestUrl": None,
        }

    def held(self, name: str) -> dict[str, bytes]:
        """The files of a repository."""
        return {path: content for (owner, path), content in self.files.items() if owner == name}


class _Uploads(_Handler):
    server: HubUploads

    def do_GET(self) -> None:  # noqa: N802
        path = urlsplit(self.path).path
        if path.startswith("/api/"):
            self._take("GET")
        else:
            super().do_GET()

    def do_POST(self) -> None:  # noqa: N802
        self._take("POST")

    def do_PUT(self) -> None:  # noqa: N802
        self._take("PUT")

    def _take(self, method: str) -> None:
        path = urlsplit(self.path).path
        self.server.asked.append((f"{method} {path}", self.headers.get("Authorization")))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        listed = next((f for end, f in self.server.faults.items() if path.endswith(end) and f), [])
        fault = listed.pop(0) if listed else ""
        if fault == "slow":
            threading.Event().wait(1)  # no sleep: tests take its place
        if fault == "cut":  # the connection breaks without an answer
            self.close_connection = True
            return
        if not path.startswith("/upload/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            status, said = 401, {"error": "Invalid credentials"}
        elif fault.isdecimal():
            status, said = int(fault), {"error": f"the test says {fault}"}
        else:
            status, said = self.server.take(method, path, body)
        self.reply(status, json.dumps(said).encode(), {"Content-Type": "application/json"})

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

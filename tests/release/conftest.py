"""Scanning and pushing with the real libraries: presidio, detect-secrets, the hub's own client.

The tests of this folder run in the environment .envs/release; elsewhere each module is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_uploads import TOKEN, HubUploads
from local_server import running


@pytest.fixture(scope="session", autouse=True)
def libraries() -> None:
    """Skip where they are not."""
    for name in ("presidio_analyzer", "huggingface_hub"):
        pytest.importorskip(name, reason=f"needs {name}: make test runs it in .envs/release")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubUploads]:
    """A hub of this machine, and the environment of somebody who has a token for it."""
    with running(HubUploads()) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        # The client reads some of these when it is imported; large files go by Git LFS, as a server may ask.
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        yield server

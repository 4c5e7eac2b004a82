"""The present commits of the hub's data sets, to be written into ``benchmarks.yaml`` as ``revision``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from rewild.config.benchmarks import Benchmark
from rewild.core.errors import RewildError

HUB = "https://huggingface.co"


def hub_url() -> str:
    """The hub's address, or what the variable ``HF_ENDPOINT`` has in its place."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def commits(datasets: Iterable[str], url: str) -> dict[str, str]:
    """Data set → its commit on the hub's main branch.

    Args:
        datasets: hub ids, such as ``TAUR-Lab/MuSR``.
        url: the hub's address.

    Raises:
        RewildError: the hub does not answer, or not with a commit; the message names the data set.
    """
    import httpx

    token = os.environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    found = {}
    with httpx.Client(headers=headers, timeout=30, follow_redirects=True) as client:
        for dataset in dict.fromkeys(datasets):
            where = f"{url}/api/datasets/{dataset}/revision/main"
            try:
                answer = client.get(where).raise_for_status()
                commit = str(answer.json()["sha"])
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
                why = f"HTTP {status}" if status else f"{type(error).__name__}: {error}"
                raise RewildError(
                    f"data set {dataset}: the hub gives no commit at {where} ({why})"
                ) from error
            if not re.fullmatch(r"[0-9a-f]{40}", commit):
                raise RewildError(f"data set {dataset}: '{commit[:60]}' of {where} is no commit")
            found[dataset] = commit
    return found


def pinnable(benchmarks: Mapping[str, Benchmark]) -> list[Benchmark]:
    """The rows whose questions lm-eval takes from the hub."""
    return [row for row in benchmarks.values() if row.runner == "lm-eval" and row.dataset]

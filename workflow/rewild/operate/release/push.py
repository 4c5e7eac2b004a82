"""Upload a release to the hub: private unless said otherwise, whole, and looked at again when it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rewild.core.errors import ConfigError, DataError, RewildError, first_line, masked, nearest
from rewild.core.hub import check_name, find_token, hub_url
from rewild.operate.release.make import changed

Say = Callable[[str], None]
SECONDS = 60
"""Without a byte, of one try; the hub's client tries six times."""
REMEDIES = {
    401: "the hub does not take the token (401): set HF_TOKEN to a token of yours that is valid",
    403: "the token has no right to write there (403): give HF_TOKEN a token that may write to it",
    404: "the hub has no such namespace or repository (404)",
    409: "the hub is busy with another change of it (409): try again",
    429: "the hub is asked too often (429): wait some minutes, then push again; what is there stays",
}


def check_names(release: Mapping[str, Any], namespace: str) -> list[str]:
    """The names of a release's repositories on the hub.

    Raises:
        ConfigError: a name that the hub does not allow; names it.
    """
    return [check_name(f"{namespace}/{entry['name']}") for entry in release["repositories"]]


def push(
    release: Mapping[str, Any], folder: Path, namespace: str | None, public: bool, say: Say
) -> list[dict[str, Any]]:
    """Upload every repository of a release whose gates are open.

    Args:
        release: ``release.json``.
        folder: where it is.
        namespace: a user or an organisation; None is the token's user.
        public: make new repositories public.
        say: called with a line of progress at a time.

    Returns:
        What is where: name, address, commit.

    Raises:
        ConfigError: a name that the hub does not allow; a namespace that the token cannot write to.
        DataError: a file is not as it was when the gates were asked.
        RewildError: no token, or the hub refuses; the message says what was pushed before.
    """
    token = find_token()
    if token is None:
        raise RewildError("--push needs a token: set HF_TOKEN to one of yours that may write")
    if namespace is not None:
        check_names(release, namespace)
    if odd := changed(folder, release):
        raise DataError(f"{odd}: not as it was when the gates were asked; make the release again")
    try:
        from huggingface_hub import HfApi, set_client_factory
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as error:
        raise RewildError(
            "--push needs the hub's client: its environment is .envs/release (snakemake .envs/release/ready)"
        ) from error
    disable_progress_bars()
    set_client_factory(_client)
    api = HfApi(endpoint=hub_url(), token=token)
    with _asking("who the token is"):
        known = api.whoami()
    names = check_names(release, _namespace(known, namespace))
    done: list[dict[str, Any]] = []
    for name, entry in zip(names, release["repositories"], strict=True):
        earlier = f"; pushed before it: {', '.join(one['name'] for one in done)}" if done else ""
        with _asking(f"{entry['kind']} {name}", earlier):
            api.create_repo(name, private=not public, repo_type=entry["kind"], exist_ok=True)
            info = api.repo_info(name, repo_type=entry["kind"])
            if not public and not info.private:
                raise RewildError(
                    f"{entry['kind']} {name}: it is there already and is public; make it private on the hub, "
                    f"or say --public{earlier}"
                )
            commit = api.upload_folder(
                repo_id=name,
                repo_type=entry["kind"],
                folder_path=folder / entry["folder"],
                commit_message=f"Release of the study {release['study']} by rewild {release['rewild']}",
                delete_patterns="*",
            )
            info = api.repo_info(name, repo_type=entry["kind"], revision=commit.oid, files_metadata=True)
        held = {one.rfilename: one.size for one in info.siblings or [] if one.rfilename != ".gitattributes"}
        wanted = {target: about["bytes"] for target, about in entry["files"].items()}
        for target in sorted({**wanted, **held}):
            if wanted.get(target) != held.get(target):
                raise RewildError(
                    f"{entry['kind']} {name}: on the hub {target} has {held.get(target)} bytes, here "
                    f"{wanted.get(target)}; push again{earlier}"
                )
        done.append({"name": name, "kind": entry["kind"], "commit": commit.oid, "private": info.private})
        say(f"{name}: {len(wanted)} files, commit {commit.oid}")
    return done


def _namespace(known: Mapping[str, Any], asked: str | None) -> str:
    """The namespace, if the token may write to it as far as the hub says."""
    user = str(known.get("name", ""))
    role = known.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise RewildError(f"the token of {user} may only read: give HF_TOKEN one that may write")
    spaces = [user, *(str(org.get("name", "")) for org in known.get("orgs", []))]
    if asked is not None and asked not in spaces:
        raise ConfigError(
            f"--to {asked}: no namespace of the token's{nearest(asked, spaces)} (it has: {', '.join(spaces)})"
        )
    return asked or user


def _client() -> Any:
    """The hub's own connection, which else waits for an answer without end."""
    from huggingface_hub.utils._http import default_client_factory

    client = default_client_factory()
    client.timeout = SECONDS
    return client


@contextmanager
def _asking(what: str, earlier: str = "") -> Iterator[None]:
    """Turn what the hub's client raises into one message."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except RewildError:
        raise
    except HfHubHTTPError as error:
        status = error.response.status_code
        why = REMEDIES.get(status, f"the hub answers {status}")
        said = (error.server_message or "")[:200]
        raise RewildError(f"{what}: {why}{f' (the hub says: {said})' if said else ''}{earlier}") from None
    except (httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
        kind = type(error).__name__
        raise RewildError(
            f"{what}: the hub at {masked(hub_url(), hub_url())} did not do it: {kind}: "
            f"{masked(first_line(error), hub_url())}{earlier}"
        ) from None

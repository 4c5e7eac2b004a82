"""Commands about the cluster that the workflow runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("check-site")
def check_site(
    probe: Annotated[
        bool, typer.Option("--probe", help="Run a job of two minutes on each partition too")
    ] = False,
) -> None:
    """Check profiles/slurm/site.yaml against the cluster, and say what is missing."""
    from rewild.config.site import load_site, site_path
    from rewild.core.errors import ConfigError
    from rewild.operate.site import check_site, print_checks

    site = load_site()
    found = check_site(site)
    if probe:
        from rewild.operate.probe import probe as ask_nodes

        found += ask_nodes(site, Path.cwd(), Path("logs/probe").resolve())
    print_checks(str(site_path()), found)
    missing = [check.name for check in found if check.state == "missing"]
    if missing:
        raise ConfigError(f"{site_path()}: not as the cluster is: {', '.join(missing)}")


@app.command("pin-images")
def pin_images(
    registry: Annotated[
        str | None, typer.Option(help="Registry of images without a host: https://HOST; else skopeo is asked")
    ] = None,
) -> None:
    """Write the digest behind each tag of envs/images.yaml, and say which could not be read."""
    from rewild.core.errors import RewildError
    from rewild.operate.images import pin_images as pin

    unread = pin(Path(), registry, lambda line: typer.echo(line, err=True))
    if unread:
        raise RewildError(
            f"envs/images.yaml: without a digest for {', '.join(unread)}; the others are written"
        )


@app.command("fetch-model")
def fetch_model(
    hub: Annotated[str, typer.Argument(help="The repository on the hub, OWNER/NAME")],
    revision: Annotated[str, typer.Argument(help="Its commit, or `unpinned`")],
    out: Annotated[Path, typer.Option(help="A record of what came (.json)")],
    code: Annotated[bool, typer.Option("--code", help="Fetch the repository's code too")] = False,
) -> None:
    """Download a model's safetensors into HF_HOME, without a GPU."""
    from rewild.core.weights import UNPINNED
    from rewild.core.weights import fetch_model as fetch

    pinned = None if revision == UNPINNED else revision
    fetch(hub, pinned, out, code, lambda line: typer.echo(line, err=True))

"""Commands about the cluster that the workflow runs on."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command("check-site")
def check_site() -> None:
    """Check profiles/slurm/site.yaml against the cluster, and say what is missing."""
    from rewild.config.site import load_site, site_path
    from rewild.errors import ConfigError
    from rewild.site import check_site, print_checks

    found = check_site(load_site())
    print_checks(str(site_path()), found)
    missing = [check.name for check in found if check.state == "missing"]
    if missing:
        raise ConfigError(f"{site_path()}: not as the cluster is: {', '.join(missing)}")

"""Commands about the cluster that the workflow runs on."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command("check-site")
def check_site() -> None:
    """Check profiles/slurm/site.yaml against the cluster, and say what is missing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rewild.config.site import load_site, site_path
    from rewild.errors import ConfigError
    from rewild.site import check_site

    found = check_site(load_site())
    shown = {"ok": "ok", "missing": "[red]no[/]", "unsure": "?"}
    table = Table("", "what", "found", box=None, pad_edge=False)
    for check in found:
        table.add_row(shown[check.state], check.name, Text(check.detail))
    Console().print(table)
    missing = [check.name for check in found if check.state == "missing"]
    if missing:
        raise ConfigError(f"{site_path()}: not as the cluster is: {', '.join(missing)}")

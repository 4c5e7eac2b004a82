"""rewild: the science of the pipeline. Nothing here imports Snakemake; every command works by hand."""

import re
from pathlib import Path

__version__ = "0.1.0"
FOLDER = Path(__file__).resolve().parents[1]
"""What ``PYTHONPATH`` needs for another Python to find this package."""


def own(path: str) -> str:
    """A file of the workflow itself: as the repository names it, by its full path in another folder.

    Args:
        path: relative to the repository, or a pattern; what lies in the working folder comes first.
    """
    whole = FOLDER.parent / path
    fixed = FOLDER.parent / re.split(r"[{*?\[]", path)[0]
    ours = path.split("/", maxsplit=1)[0] in ("config", "envs", "resources", "workflow") and fixed.exists()
    here = Path("workflow/rules/common.smk").is_file() or Path(path).exists()
    return str(whole) if ours and not here else path

"""The versions of the stages whose code is no input of their rules: what they make is dear, or feeds what is.

Raise a version when the same settings would give another result: the rules of the stage run again.
Other rules have their code as an input (``code`` in ``workflow/rules/common.smk``).
"""

from __future__ import annotations

from rewild.core.errors import known_name

VERSIONS = {
    "environments": 1,
    "fetch": 1,
    "demo": 1,
    "win-rates": 1,
    "prompts": 1,
    "synthesis": 1,
    "responses": 2,  # 2: content is never markup
    "collect": 1,
    "import-alpaca-eval": 1,
    "import-wildbench": 1,
    "import-wildchat": 2,
    "import-files": 1,
    "import-hub": 1,
    "similarity": 1,
    "measures": 1,  # of all kinds; each has a version of its own besides
    "mixes": 1,
    "pairs": 1,
    "grades": 2,  # 2: a chat that ends in what pads is read to its end
    "training": 2,
    "evaluation": 2,
    "judging": 2,  # how a judge's replies are read; they are kept, so reading them again costs nothing
}


def version(stage: str) -> int:
    """The version of a stage; a :class:`KeyError` with the nearest match for another name."""
    return VERSIONS[known_name(stage, VERSIONS, "no stage", error=KeyError)]

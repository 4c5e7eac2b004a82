"""The page itself: one HTML file with its style and script inside, and a policy that allows those only."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

SCRIPTS = ("data", "state", "select", "list", "text", "show", "main")
"""The parts of the script, in order."""

POLICY = (
    "default-src 'none'; script-src 'sha256-{script}' 'self' file:; style-src 'sha256-{style}'; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types rewild"
)
"""Nothing from the network, no styles or scripts in attributes, no frames, images, fonts or forms. ``'self'``
is for the data files where the page is served, ``file:`` where it is opened from a folder."""


def make_page() -> str:
    """``index.html``. It holds no data: these come from ``data/*.js``."""
    folder = files(__package__)
    style = (folder / "style.css").read_text(encoding="utf-8")
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    script = "\n".join(["'use strict';\n(() => {", *parts, "})();\n"])
    html = (folder / "index.html").read_text(encoding="utf-8")
    policy = POLICY.format(script=_hash(script), style=_hash(style))
    for mark, value in (("POLICY", policy), ("STYLE", style), ("SCRIPT", script)):
        before, after = html.split(f"{{{{{mark}}}}}")
        html = before + value + after
    return html


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

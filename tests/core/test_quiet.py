"""No command reports home, whatever tool it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from rewild.core.quiet import VARIABLES


def told(**environment: str) -> dict[str, str]:
    """The environment that a command's tools are started with."""
    code = (
        "import json, os, typer\nfrom rewild.__main__ import app\n"
        "@app.command('look')\ndef look():\n    print(json.dumps(dict(os.environ)))\n"
        "app(['look'])"
    )
    bare = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", code], env=bare | environment, text=True, capture_output=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.heavy
def test_every_command_turns_telemetry_off_but_for_what_the_user_set() -> None:
    found = told(WANDB_MODE="online")
    assert {key: found[key] for key in VARIABLES} == VARIABLES | {"WANDB_MODE": "online"}
    assert found["DO_NOT_TRACK"] == found["VLLM_NO_USAGE_STATS"] == found["AXOLOTL_DO_NOT_TRACK"] == "1"

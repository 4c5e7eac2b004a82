"""No tool that a job runs reports home: what turns each one's telemetry off, set before any is imported.

Looked up in vLLM 0.32 (usage statistics, on unless told), Axolotl 0.19 (PostHog, on unless told; without a
network it hangs at exit), huggingface_hub, datasets and evaluate (a request per loaded set, to be counted).
"""

from __future__ import annotations

import os

VARIABLES = {
    "DO_NOT_TRACK": "1",
    "AXOLOTL_DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "FALSE",
    "WANDB_MODE": "disabled",
}


def report_nothing() -> None:
    """Set :data:`VARIABLES` for this process and its children; what the user has set stays."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)

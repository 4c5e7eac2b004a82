"""A plan that no longer fits where it runs says by how many GiB, and what to change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rewild.engines.memory import explained, shortage
from rewild.engines.plan import plan
from test_plan import QWEN_72B

GIB = 2**30
MADE = plan(QWEN_72B, "H100-80", context=20_000)
FULL = (79 * GIB, int(79.1 * GIB))


def test_it_fits_as_planned() -> None:
    assert shortage(MADE, 0.95, [FULL] * 4) is None
    assert shortage(MADE, 0.95, []) is None, "no driver to ask: a CPU"


def test_a_smaller_gpu_is_told_by_how_much_it_is_short() -> None:
    """Four GPUs of 47.5 GiB: 36.35 GB of weights, 2.28 of activations, 2.3 of graphs, 1.0, 1.5 of cache."""
    needed = MADE.needed_bytes / GIB
    assert needed == pytest.approx(33.85 + 2.28 + 2.3 + 1.0 + 20_000 * 81_920 / GIB, abs=0.1)
    found = shortage(MADE, 0.8, [FULL, (47 * GIB, int(47.5 * GIB)), FULL, FULL])
    assert found is not None
    assert f"{needed - 0.8 * 47.5:.1f} GiB are missing" in found
    assert "GPU 1 has 47.5 GiB, of which vLLM may take 80%" in found
    for key in ("limits.context", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization"):
        assert key in found
    assert "one conversation of 20,000 tokens 1.5" in found


def test_memory_that_something_else_holds() -> None:
    found = shortage(MADE, 0.95, [FULL, FULL, (60 * GIB, FULL[1]), FULL])
    assert found is not None
    assert found.startswith("vLLM is to take 95% of GPU 2's 79.1 GiB, but only 60.0 GiB are free: 15.1 GiB")


def test_too_few_gpus_to_be_seen() -> None:
    assert shortage(MADE, 0.95, [FULL]) == (
        "the plan takes 4 GPUs, but 1 are to be seen (CUDA_VISIBLE_DEVICES)"
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "To serve at least one request with the model's max seq len (20000), (6.10 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (2.85 GiB). Based on",
            "3.25 GiB are missing for one conversation of the longest context. Give it a shorter limits",
        ),
        (
            "Free memory on device cuda:0 (60.0/79.1 GiB) on startup is less than desired GPU memory "
            "utilization (0.95, 75.15 GiB). Decrease",
            "15.15 GiB are missing, which something else holds",
        ),
        ("No available memory for the cache blocks. Try", "no memory is left for the KV cache. The plan"),
        (
            "Engine core initialization failed. See root cause above.",
            "(in the log). If it is memory, the plan",
        ),
    ],
)
def test_what_vllm_says_of_memory(message: str, said: str) -> None:
    """As vLLM 0.32 words it: v1/core/kv_cache_utils.py, v1/worker/utils.py, v1/engine/utils.py."""
    assert said in explained(message, MADE)


def test_other_errors_are_left_as_they_are() -> None:
    assert explained("no such architecture", replace(MADE)) == ""
    assert explained("Engine core initialization failed. See root cause above.", None) == ""

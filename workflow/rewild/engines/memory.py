"""A plan that no longer fits where it runs: by how many GiB, and what to change. No vLLM is imported here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rewild.config.gpus import GIB
from rewild.engines.devices import handles
from rewild.engines.plan import Plan

LESS = (
    "a shorter limits.context, a smaller compute.vllm max_num_seqs or max_num_batched_tokens, a larger "
    "compute.gpu_memory_utilization, or a larger type of GPU"
)
NEEDED = re.compile(r"\(([\d.]+) GiB KV\s+cache is needed, .*?available KV cache\s+memory \(([\d.]+) GiB\)")
FREE = re.compile(
    r"Free memory on device \S+ \(([\d.]+)/([\d.]+) GiB\) .*?\(([\d.]+), ([\d.]+) GiB\)", re.DOTALL
)


def gpus_here() -> list[tuple[int, int]]:
    """``(free, total)`` bytes of each GPU that this process may use, by the driver; empty without one."""
    try:
        import pynvml

        pynvml.nvmlInit()
        found = [pynvml.nvmlDeviceGetMemoryInfo(handle) for handle in handles(pynvml)]
    except Exception:  # no driver, or the CPU build
        return []
    return [(int(one.free), int(one.total)) for one in found]


def shortage(plan: Plan, share: float, gpus: Sequence[tuple[int, int]]) -> str | None:
    """Why a plan cannot start on these GPUs; None if it may.

    Args:
        plan: that was made before.
        share: of each GPU's memory, which vLLM may take.
        gpus: :func:`gpus_here`.
    """
    needed = plan.needed_bytes
    if 0 < len(gpus) < plan.gpus:
        return f"the plan takes {plan.gpus} GPUs, but {len(gpus)} are to be seen (CUDA_VISIBLE_DEVICES)"
    for number, (free, total) in enumerate(gpus[: plan.gpus]):
        usable = share * total
        if needed > usable:
            return (
                f"the plan for {plan.gpu} needs {_gib(needed)} GiB of each GPU ({described(plan)}), but GPU "
                f"{number} has {_gib(total)} GiB, of which vLLM may take {share:.0%}: "
                f"{_gib(needed - usable)} GiB are missing. Give it {LESS}"
            )
        if usable > free:
            return (
                f"vLLM is to take {share:.0%} of GPU {number}'s {_gib(total)} GiB, but only {_gib(free)} GiB "
                f"are free: {_gib(usable - free)} GiB are missing. Something else holds them: end it, or "
                "lower compute.gpu_memory_utilization"
            )
    return None


def described(plan: Plan) -> str:
    """What a plan reckons with, per GPU."""
    return (
        f"weights {_gib(plan.weight_bytes)}, activations {_gib(plan.activation_bytes)}, CUDA graphs "
        f"{_gib(plan.graph_bytes)}, one conversation of {plan.context:,} tokens "
        f"{_gib(plan.context_bytes)}, the rest {_gib(plan.reserve_bytes)}"
    )


def explained(message: str, plan: Plan | None) -> str:
    """What vLLM says of too little memory, as by how much and what to change; empty if it says nothing of it.

    Its engine runs in processes of its own, and their reason may be in the log only: then the plan is told.
    """
    if found := NEEDED.search(message):
        missing = float(found[1]) - float(found[2])
        return f": {missing:.2f} GiB are missing for one conversation of the longest context. Give it {LESS}"
    if found := FREE.search(message):
        missing = float(found[4]) - float(found[1])
        return (
            f": {missing:.2f} GiB are missing, which something else holds. End it, or lower "
            "compute.gpu_memory_utilization"
        )
    if "No available memory for the cache blocks" in message or "out of memory" in message:
        plans = f" The plan reckoned in GiB: {described(plan)}." if plan else ""
        return f": no memory is left for the KV cache.{plans} Give it {LESS}"
    if "root cause" in message and plan:
        return (
            f" (in the log). If it is memory, the plan reckoned in GiB of each GPU: {described(plan)}. "
            f"Give it {LESS}"
        )
    return ""


def _gib(number: float) -> str:
    return f"{number / GIB:.1f}"

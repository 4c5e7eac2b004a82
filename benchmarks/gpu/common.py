"""What the measurements share: shapes of models without their weights, what they find, why they skip.

They are started by run.sh, which finds a Python for each.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

SKIPPED = 77  # the exit status that says so; the last line on stderr says why
GIB = 2**30
ERROR = re.compile(r"\b\w*(Error|Exception|Interrupt)\b|^error:", re.MULTILINE)
SILENT = "it said nothing"
BARE: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 6, "rms_norm_eps": 1e-5}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu"},
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_act": "silu"},
    "gemma": {
        "model_type": "gemma2",
        "architectures": ["Gemma2ForCausalLM"],
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
    },
}
KINDS = {  # rows of config/models.yaml that can be made here → as which kind
    "llama-3.1-8b-instruct": "llama",
    "gemma-2-9b-it": "gemma",
    "qwen2.5-coder-32b-instruct": "qwen2",
    "yi-1.5-34b-chat": "llama",
}
SMALL = {
    "layers": 2,
    "hidden_size": 128,
    "intermediate_size": 128,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 32,
    "vocab": 512,
    "tie_embeddings": False,
}
# The dimensions of Llama-3.2-1B, which is tied.
LLAMA_1B = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "vocab_size": 128_256}
TINY = {"hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 512}


def skip(why: str) -> NoReturn:
    """End this measurement: it cannot be made here."""
    print(f"skipped: {why}", file=sys.stderr)
    sys.exit(SKIPPED)


def needs(*packages: str) -> None:
    """Skip without one of these packages."""
    from importlib.util import find_spec

    for name in packages:
        if find_spec(name) is None:
            skip(f"{sys.executable} has no '{name}' (docs/gpu.md says what to bring; PYTHON names another)")


def parser_for(about: str | None) -> argparse.ArgumentParser:
    """Options of every measurement."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tiny shape on the CPU: tries the script")
    parser.add_argument("--out", type=Path, help="JSON, written as results come")
    return parser


class Found:
    """What was measured so far, in a file that is whole whenever this process is killed."""

    def __init__(self, path: Path | None, **first: Any) -> None:
        self.path, self.all = path, dict(first)

    def add(self, **more: Any) -> None:
        """Keep these, and show them."""
        self.all.update(more)
        print(json.dumps(more), file=sys.stderr, flush=True)
        if self.path:
            write_json(self.path, self.all)


def write_json(path: Path, what: Any) -> None:
    """Write a file in one go."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(what, indent=1), encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """What :func:`write_json` wrote; None where it wrote nothing."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def why(log: Path) -> str:
    """The last line of a log that tells of an error, or its last one; at most 300 characters.

    vLLM's engine is a process of its own: its error stands above the one that only says so.
    """
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError as error:
        return f"no log: {error}"
    told = [line for line in lines if line]
    errors = [line for line in told if ERROR.search(line) and "See root cause above" not in line]
    return ([*told[-1:], *errors[-1:]] or [SILENT])[-1][:300]


def gpu_at_hand(small: bool, need_bytes: float = 0) -> dict[str, Any]:
    """Name and memory of the GPU that torch sees; skips without one, or where too little of it is free.

    Args:
        small: measure on the CPU.
        need_bytes: of memory that must be free on it.
    """
    needs("torch")
    import torch

    about: dict[str, Any] = {"torch": torch.__version__}
    if small:
        return about | {"gpu": "none: a tiny shape on the CPU"}
    if not torch.cuda.is_available():
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        skip(f"no NVIDIA GPU is visible to torch {torch.__version__} (built {built}) of {sys.executable}")
    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name(0)
    if free < need_bytes:
        skip(
            f"{name} has {free / GIB:.1f} GiB free of {total / GIB:.1f}, but the weights alone take "
            f"{need_bytes / GIB:.1f} GiB: end what else runs on it (nvidia-smi), or take a larger GPU"
        )
    return about | {"gpu": name, "gpu_gib": round(total / GIB, 2)}


def make_config(folder: Path, shape: str, context: int) -> Any:
    """Write ``config.json`` of a shape into ``folder``: all that dummy weights need.

    Args:
        folder: an empty folder.
        shape: a row of config/models.yaml among :data:`KINDS`, or ``small``.
        context: tokens.

    Returns:
        Its row, a :class:`rewild.config.models.Model`.
    """
    from rewild.config import load_models
    from rewild.config.models import Model

    if shape == "small":
        kind, row = (
            "llama",
            Model.model_validate(
                {
                    "slug": "small",
                    "family": "tiny",
                    "roles": ["dgm"],
                    "kind": "pretrained",
                    "dimensions": SMALL,
                }
                | {"native_context": 2048}
            ),
        )
    else:
        kind, row = KINDS[shape], load_models(Path("config"))[shape]
    d = row.dimensions
    config = FAMILIES[kind] | BARE
    config |= {
        "hidden_size": d.hidden_size,
        "intermediate_size": d.intermediate_size,
        "num_hidden_layers": d.layers,
        "num_attention_heads": d.heads,
        "num_key_value_heads": d.kv_heads,
        "head_dim": d.head_dim,
        "vocab_size": d.vocab,
        "tie_word_embeddings": bool(d.tie_embeddings),
        "max_position_embeddings": context,
        "rope_theta": 500_000.0,
        "torch_dtype": "bfloat16",
        "eos_token_id": None,  # answers have the length that is asked for
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return row


def make_llama(folder: Path, shape: dict[str, int], context: int, dtype: str, template: str | None) -> Path:
    """A tied Llama with random weights in ``folder``, and a tiny tokenizer.

    Args:
        folder: where to.
        shape: :data:`LLAMA_1B` or :data:`TINY`.
        context: tokens.
        dtype: of the stored weights, as torch names it.
        template: the tokenizer's chat template.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tiny import make_tokenizer

    heads = shape["hidden_size"] // (64 if shape["hidden_size"] > 128 else 32)
    config = LlamaConfig(
        **shape,
        num_attention_heads=heads,
        num_key_value_heads=max(2, heads // 4),
        max_position_embeddings=context,
        rope_theta=500_000.0,
        tie_word_embeddings=True,
        **BARE,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    make_tokenizer(template).save_pretrained(folder)
    return folder


def before_vllm(one_process: bool = False) -> None:
    """Settings of vLLM's that must stand before it is imported: no network.

    Args:
        one_process: the worker runs in this process, so that its own figures can be read; a study's does not.
    """
    from importlib.util import find_spec

    needs("vllm")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if find_spec("flashinfer") is None:  # vLLM imports it before it asks whether it can sample with it
        os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
    if one_process:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; only the CPU build reads it
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

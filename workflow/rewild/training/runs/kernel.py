"""The flash-attention kernel: fetched by a step without GPUs, and looked for by the preflight.

With ``attention: flash_attention_2``, Axolotl uses the package ``flash-attn`` or, without it, a kernel that
transformers loads from the hub when the model is loaded: on a GPU node, which may have no network. Here the
version that Axolotl pins is fetched for the torch that is installed, and a training is told where it lies
(``LOCAL_KERNELS``), so that nothing is asked of a network.
"""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rewild.core.errors import DataError, RewildError, first_line
from rewild.core.files import sha256, write_json
from rewild.core.reading import read_json
from rewild.training.runs.checks import RunCheck, checked

PLACE = Path("downloads/kernels/flash-attn2")  # below the folder of results: the same for every study
RECORD = "kernel.json"
ATTENTION = "flash_attention_2"
HOW = (
    "fetch it where there is a network (no GPU is needed): "
    "`snakemake -- results/downloads/kernels/flash-attn2/kernel.json`; "
    "or install flash-attn into .envs/axolotl, or set the recipe's attention to sdpa"
)


def fetch_kernel(folder: Path) -> dict[str, Any]:
    """Fetch the kernel for the torch of this environment; in Axolotl's environment, on any machine.

    Args:
        folder: where it goes: ``build/VARIANT/`` and ``kernel.json``, which says what it is.

    Raises:
        RewildError: there is no network, or no build for this torch.
    """
    from kernels.utils import _get_hf_api
    from kernels.variants import get_variants, resolve_variant, variants_trace_str

    repo, version = pinned()
    try:
        api = _get_hf_api()
        refs = api.list_repo_refs(repo_id=repo, repo_type="kernel")
        revision = next((b.target_commit for b in refs.branches if b.name == f"v{version}"), None)
        if revision is None:
            raise RewildError(f"{repo}: it has no version {version}, which Axolotl pins")
        variant, trace = resolve_variant(get_variants(api, repo_id=repo, revision=revision))
        if variant is None:
            raise RewildError(
                f"{repo} v{version}: no build for this torch ({_torch()}):\n{variants_trace_str(trace)}"
            )
        shutil.rmtree(folder / "build", ignore_errors=True)
        api.snapshot_download(
            repo,
            repo_type="kernel",
            revision=revision,
            local_dir=folder,
            allow_patterns=[f"build/{variant.variant_str}/*"],
            ignore_patterns=["*.pyc"],
        )
    except RewildError:
        raise
    except Exception as error:  # of a hub there are many kinds
        raise RewildError(f"{repo} v{version} cannot be fetched: {first_line(error)}; {HOW}") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub's own notes
    return record(folder, variant.variant_str, revision)


def record(folder: Path, variant: str, revision: str) -> dict[str, Any]:
    """Write and return what a fetched kernel is: ``kernel.json``."""
    repo, version = pinned()
    build = folder / "build" / variant
    files = {str(p.relative_to(folder)): sha256(p) for p in sorted(build.rglob("*")) if p.is_file()}
    if not files:
        raise RewildError(f"{repo} v{version}: nothing came for {variant}; {HOW}")
    found = {
        "repo": repo,
        "version": version,
        "revision": revision,
        "variant": variant,
        "torch": _torch(),
        "sha256": files,
    }
    write_json(folder / RECORD, found)
    return found


def pinned() -> tuple[str, int]:
    """The kernel's repository on the hub and its major version, as Axolotl and transformers have them."""
    from axolotl.monkeypatch.attention.fa2_hub_kernel import FA2_HUB_KERNEL_VERSION
    from transformers.modeling_flash_attention_utils import FLASH_ATTN_KERNEL_FALLBACK

    return str(FLASH_ATTN_KERNEL_FALLBACK[ATTENTION]), int(FA2_HUB_KERNEL_VERSION)


def flash_attention(attention: str, folder: Path) -> RunCheck:
    """The check `flash_attention`: what a training will need is here, whole, for this torch.

    Args:
        attention: of the recipe.
        folder: where the kernel was fetched to.
    """
    if attention != ATTENTION:
        return checked("flash_attention", True, f"{attention} needs no kernel")
    if find_spec("flash_attn"):
        return checked("flash_attention", True, "the package flash-attn is installed")
    wrong = missing(folder)
    if wrong:
        return checked("flash_attention", False, wrong, f"{HOW}.")
    known = read_json(folder / RECORD)
    found = f"{known['repo']} v{known['version']}, {known['variant']}, at {known['revision'][:12]}"
    return checked("flash_attention", True, found)


def missing(folder: Path) -> str | None:
    """What is wrong with a fetched kernel; None if it is whole and fits Axolotl's pin and this torch."""
    from kernels.variants import get_variants_local, resolve_variant

    repo, version = pinned()
    what = f"the kernel {repo} v{version}"
    try:
        known = read_json(folder / RECORD)
        is_other = (known["repo"], known["version"]) != (repo, version)
        damaged = [name for name, digest in known["sha256"].items() if _digest(folder / name) != digest]
    except (DataError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{what} for torch {_torch()} is not at {folder}"
    if is_other:
        return f"{folder} has {known['repo']} v{known['version']}, but Axolotl pins {repo} v{version}"
    variant, _ = resolve_variant(get_variants_local(folder / "build"))
    if variant is None:
        return f"{what} at {folder} was fetched for torch {known.get('torch')}, but here is {_torch()}"
    if damaged:
        return f"{what} at {folder} is damaged: {', '.join(damaged[:3])}"
    return None


def local_kernels(folder: Path) -> dict[str, str]:
    """The variable with which a training finds a fetched kernel, whatever the network; empty without one."""
    try:
        repo = read_json(folder / RECORD)["repo"]
    except (DataError, ValueError, KeyError, TypeError):
        return {}
    return {"LOCAL_KERNELS": f"{repo}={folder.resolve()}"}


def _digest(path: Path) -> str | None:
    return sha256(path) if path.is_file() else None


def _torch() -> str:
    import torch

    cuda = torch.version.cuda
    return f"{torch.__version__}, CUDA {cuda}" if cuda else f"{torch.__version__}, no CUDA"


if __name__ == "__main__":  # for the preflight of a study, which has no torch: the check, as JSON
    sys.stdout.write(flash_attention(ATTENTION, Path(sys.argv[1])).model_dump_json() + "\n")

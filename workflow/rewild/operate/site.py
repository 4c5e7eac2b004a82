"""What a cluster says of its site file: are the partitions, GPUs, paths and programs there that it names?"""

from __future__ import annotations

import fcntl
import getpass
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from rewild.config.deployment import FILE, load_images
from rewild.config.site import Partition, Site, expanded, minutes
from rewild.core.errors import nearest
from rewild.core.terminal import Heading, output, print_table

LEAST_ARRAY = 3  # of MaxArraySize, which is one more than the longest array
LEAST_JOB_AGE = 90  # seconds; squeue must still show a job when the profile first asks: three times 30 s
SHARED = (
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "fuse.ceph",
    "wekafs",
    "panfs",
    "glusterfs",
    "9p",
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what.
        state: ``ok``; ``missing`` is an error; ``unsure`` may be one.
        detail: what was found, and what to do about it.
    """

    name: str
    state: Literal["ok", "missing", "unsure"]
    detail: str


def check_site(site: Site, root: Path = Path()) -> list[Check]:
    """Ask the cluster about everything a site file names. Changes nothing.

    Args:
        site: the file's contents.
        root: the repository; its ``results`` is where jobs write.
    """
    found = list(_slurm(site)) if shutil.which("sbatch") else []
    if not found:
        found = [Check("sbatch", "missing", "no such program: run this on a login node of the cluster")]
    return [*found, *_setup(site), *_folders(site, root), *_paths(root), *_images(root)]


def print_checks(what: str, checks: Sequence[Check], console: Console | None = None) -> None:
    """Print checks as a table: what is missing first, then what may be, then what is well."""
    console = output(console)
    shown = {
        "missing": Text("no", style="red"),
        "unsure": Text("?", style="yellow"),
        "ok": Text("ok", style="green"),
    }
    rows = [(shown[check.state], check.name, check.detail) for check in checks]
    rows.sort(key=lambda row: list(shown.values()).index(row[0]))
    print_table(
        [Heading(""), Heading("check", prose=True), Heading("found", prose=True)], rows, console=console
    )
    counts = {state: sum(check.state == state for check in checks) for state in shown}
    console.print(
        f"{what}: {counts['ok']} well, {counts['unsure']} to look at (?), {counts['missing']} missing (no)",
        soft_wrap=True,
        markup=False,
    )


def _ask(*command: str) -> str | None:
    """What a program prints; None if it is not there, fails, or does not answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _slurm(site: Site) -> Iterator[Check]:
    text = _ask("sinfo", "--noheader", "--format=%P|%a|%l|%G")
    if text is None:
        yield Check("SLURM", "missing", "sinfo does not answer: is the controller up?")
        return
    rows = [line.split("|") for line in text.split("\n") if line.count("|") == 3]
    there = {name.rstrip("*").strip() for name, *_ in rows}
    for name, wanted in site.partitions.items():
        own = [row[1:] for row in rows if row[0].rstrip("*").strip() == name]
        if own:
            yield _partition(name, wanted, own)
        else:
            known = f"{nearest(name, there)} (there are: {', '.join(sorted(there))})"
            yield Check(f"partition {name}", "missing", f"no such partition{known}")
    yield from _nodes(site, _ask("sinfo", "--noheader", "--format=%P|%c|%m") or "")
    models = {model for p in site.partitions.values() for model in p.available_gpu_models}
    for kind, model in site.gpu_names.items():
        if model is not None and models and not site.fitting(1, model):
            detail = f"no partition above has a '{model}'{nearest(model, models)}"
            yield Check(f"GPU type {kind}", "missing", detail)
    config = _ask("scontrol", "show", "config") or ""
    yield _job_age(config)
    yield from _arrays(config)
    if _ask("squeue", "--noheader", "--me") is None:
        yield Check("squeue", "missing", "it does not answer: Snakemake asks it how jobs are")
    yield from _accounting(site)
    yield from _account(site)


def _nodes(site: Site, text: str) -> Iterator[Check]:
    """Whether nodes have the CPUs and the memory that jobs ask for; ``text`` is sinfo's partition|CPUs|MB."""
    rows = [
        line.replace("*", "").replace("+", "").split("|") for line in text.split("\n") if line.count("|") == 2
    ]
    for name, partition in site.partitions.items():
        own = [(int(cpus), int(mb) // 1000) for at, cpus, mb in rows if at.strip() == name]
        if not own:
            continue
        cpus, memory = max(c for c, _ in own), max(m for _, m in own)
        asked, node = partition.max_gpu * site.cpus_per_gpu, site.nodes.get(name)
        if asked > cpus:
            detail = (
                f"{partition.max_gpu} GPUs with cpus_per_gpu: {site.cpus_per_gpu} are {asked}, but a node "
                f"has {cpus}: {cpus // partition.max_gpu} at most"
            )
            yield Check(f"nodes of {name}", "missing", detail)
        elif node and (node.cpus > cpus or node.memory_gb > memory):
            detail = f"{node.cpus} CPUs and {node.memory_gb} GB, but a node has {cpus} and {memory}"
            yield Check(f"nodes of {name}", "missing", detail)
        elif node:
            yield Check(f"nodes of {name}", "ok", f"{node.cpus} CPUs and {node.memory_gb} GB for a job")
        else:
            detail = (
                f"not in `nodes`: nothing caps what a job asks for: {{cpus: {cpus}, memory_gb: {memory}}}"
            )
            yield Check(f"nodes of {name}", "unsure", detail)


def _partition(name: str, wanted: Partition, rows: list[list[str]]) -> Check:
    """Args: rows of sinfo: state, longest job, generic resources."""
    wrong = next(_against(wanted, rows), None)
    if wrong:
        return Check(f"partition {name}", "missing", wrong)
    kinds = "/".join(wanted.available_gpu_models) or "any"
    has = f"{wanted.max_gpu} GPUs a node ({kinds})" if wanted.max_gpu else "CPUs"
    return Check(f"partition {name}", "ok", f"{has}, {wanted.max_runtime}")


def _against(wanted: Partition, rows: list[list[str]]) -> Iterator[str]:
    """What a partition cannot do of what the site file says of it."""
    if any(state != "up" for state, *_ in rows):
        yield f"it is {rows[0][0]}, not up"
    if minutes(wanted.max_runtime) > max(minutes(limit) for _, limit, _ in rows):
        yield f"max_runtime is {wanted.max_runtime}, but its limit is {rows[0][1]}"
    # gpu:h100:8(S:0-1),nvme:1 — a type may be absent: gpu:8
    gpus = [m for *_, text in rows for m in re.finditer(r"\bgpu:(?:([^:,()]+):)?(\d+)", text)]
    types = {m[1] for m in gpus if m[1]}
    for model in wanted.available_gpu_models:
        if model not in types:
            shown = ", ".join(sorted(types)) or "no type"
            yield f"no GPU is called '{model}'{nearest(model, types)} (sinfo: {shown})"
    asked = wanted.available_gpu_models
    most = max((int(m[2]) for m in gpus if not asked or m[1] in asked), default=0)
    if wanted.max_gpu > most:
        yield f"max_gpu is {wanted.max_gpu}, but a node has {most or 'none'}"


def _job_age(config: str) -> Check:
    match = re.search(r"MinJobAge\s*=\s*(\d+)", config)
    if match is None:
        return Check("MinJobAge", "unsure", "scontrol show config does not say it")
    if int(match[1]) < LEAST_JOB_AGE:
        detail = (
            f"{match[1]} s: squeue forgets finished jobs before the profile asks; set "
            f"slurm-init-seconds-before-status-checks to {max(int(match[1]) // 3, 1)}"
        )
        return Check("MinJobAge", "missing", detail)
    return Check("MinJobAge", "ok", f"{match[1]} s")


def _accounting(site: Site) -> Iterator[Check]:
    if not site.accounting:
        return
    if _ask("sacct", "--noheader", "--starttime=now-1hour") is None:
        yield Check("accounting", "missing", "sacct does not answer; set accounting to false")
        return
    yield Check("accounting", "ok", "sacct answers")


def _arrays(config: str) -> Iterator[Check]:
    """The plugin refuses to start where MaxArraySize leaves no array of two, though none is asked for."""
    match = re.search(r"MaxArraySize\s*=\s*(\d+)", config)
    if match and int(match[1]) < LEAST_ARRAY:
        detail = f"{match[1]}: Snakemake's SLURM plugin does not start below {LEAST_ARRAY}; ask who runs it"
        yield Check("MaxArraySize", "missing", detail)


def _account(site: Site) -> Iterator[Check]:
    """The plugin asks sacctmgr, then sshare, and submits no job for an account that they do not name."""
    if not site.accounts:
        if shutil.which("sacct") is None:
            yield Check(
                "account", "missing", "null: the plugin guesses it with sacct, which is not here; name it"
            )
        return
    if shutil.which("sacctmgr") is None:
        detail = "the plugin asks sacctmgr for it, which is not here: write null, and export SBATCH_ACCOUNT"
        yield Check("account", "missing", detail)
        return
    user = getpass.getuser()
    text = _ask("sacctmgr", "-n", "-s", "list", "user", user, "format=account%256") or ""
    if not text.strip():
        shares = _ask("sshare", "-U", "--format", "Account%256", "--noheader")
        text = shares or ""
        if shares is None:
            detail = "neither sacctmgr nor sshare says which are yours: write null, and export SBATCH_ACCOUNT"
            yield Check("account", "missing", detail)
            return
    yours = sorted({line.strip().lower() for line in text.split("\n") if line.strip()})
    for account in site.accounts:
        if yours and account.lower() not in yours:
            detail = f"'{account}' is none of yours{nearest(account, yours)} ({', '.join(yours)})"
            yield Check("account", "missing", detail)
            return
    state: Literal["ok", "unsure"] = "ok" if yours else "unsure"
    yield Check("account", state, ", ".join(site.accounts) if yours else "sacctmgr does not list yours")


def _paths(root: Path) -> Iterator[Check]:
    """sbatch reads ``%`` in the path of a log as a pattern, and the plugin refuses ``%j`` in it."""
    if "%" in str(root.resolve()):
        detail = f"{root.resolve()}: SLURM reads % in the path of a log as a pattern; move the checkout"
        yield Check("path", "missing", detail)


def _images(root: Path) -> Iterator[Check]:
    """Whether containers are pinned by digests: who owns a tag can move it."""
    if not (root / FILE).is_file():
        return
    tags = [tool for tool, image in load_images(root).items() if image.digest is None]
    if tags:
        yield Check("images", "unsure", f"only a tag for {', '.join(tags)}: rewild pin-images reads digests")
    else:
        yield Check("images", "ok", "pinned by digest")


def _setup(site: Site) -> Iterator[Check]:
    if not site.setup:
        return
    script = "; ".join(["set -e", *site.setup])
    try:
        subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    except subprocess.TimeoutExpired:
        yield Check("setup", "unsure", "it does not end here within a minute")
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        yield Check("setup", "unsure", f"it fails here, perhaps not on the nodes: {last}")
    else:
        yield Check("setup", "ok", f"{len(site.setup)} commands")


def _folders(site: Site, root: Path) -> Iterator[Check]:
    results = root / "results"
    yield from _folder("results", results if results.is_dir() else root)
    if site.scratch:
        yield from _folder("scratch", Path(expanded(site.scratch)))
    if site.images:
        folder = Path(site.images)
        images = sorted(p.name for p in folder.glob("*.sif")) if folder.is_dir() else []
        state: Literal["ok", "missing"] = "ok" if images else "missing"
        yield Check("containers", state, ", ".join(images) or f"no .sif files in {folder}")


def _folder(name: str, folder: Path) -> Iterator[Check]:
    """Whether files can be written and locked there, and whether the nodes see it."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".check-site-") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        yield Check(name, "missing", f"{folder}: no such folder")
        return
    except OSError as error:
        yield Check(
            name, "missing", f"{folder}: {error.strerror}; files must be written and locked (flock) there"
        )
        return
    kind = _file_system(folder.resolve())
    if kind in SHARED:
        yield Check(name, "ok", f"{folder}: writable, shared ({kind})")
    else:
        yield Check(
            name, "unsure", f"{folder}: writable; a '{kind}' file system may not be seen by the nodes"
        )


def _file_system(folder: Path) -> str:
    """The type of the file system that a folder is on, as /proc/mounts names it."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    inside = [m for m in mounts if len(m) > 2 and folder.is_relative_to(m[1].replace("\\040", " "))]
    return max(inside, key=lambda m: len(m[1]))[2] if inside else "unknown"

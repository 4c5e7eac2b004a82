"""Two minutes on a node of each partition: driver, GPUs, CPUs, memory, disk; do compiled parts load?"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from rewild.config.site import Site
from rewild.operate.site import Check

LEAST_DRIVER = 580  # of CUDA 13, which the locks of vllm and axolotl are built for
LEAST_DISK_GB = 20
MINUTES = 2
WAIT = 900  # seconds in a queue

# A tool, and what of it is compiled: an import says whether driver, libc and CPU are those it wants.
COMPILED = {
    "vllm": "import torch, vllm, vllm._C",
    "axolotl": "import torch, bitsandbytes, triton, axolotl",
    "lm-eval": "import torch, lm_eval",
}


def script(site: Site, gpus: bool, root: Path) -> str:
    """What runs on the node: lines ``name=value``, each by itself, so that one failure hides no other."""
    lines = [
        site.shell() + site.places(root) + f"cd {quote(str(root))}",
        'echo "host=$(hostname)"',
        'echo "cpus=$(nproc)"',
        """echo "memory_kb=$(awk '/^MemTotal/ {print $2}' /proc/meminfo)" """.strip(),
        'place="${REWILD_STAGING:-${TMPDIR:-/tmp}}"',
        """echo "disk_kb=$(df -Pk "$place" | awk 'END {print $4}')" """,
    ]
    if gpus:
        query = "nvidia-smi --query-gpu=driver_version,name,memory.total --format=csv,noheader,nounits"
        lines.append(f"{query} 2>&1 | sed 's/^/gpu=/'")
        for tool, code in COMPILED.items():
            python = quote(str(root / f".envs/{tool}/bin/python"))
            tried = f"said=$({python} -c {quote(code)} 2>&1 >/dev/null) && said=done"
            lines.append(f"said=none; [ ! -x {python} ] || {{ {tried}; }}")
            lines.append(f'echo "import_{tool}=$(tail -n 1 <<< "$said")"')
    return "\n".join(lines)


def command(site: Site, partition: str, out: Path) -> list[str]:
    """``sbatch`` for one partition, as the plugin asks for a job with one GPU."""
    gpus = bool(site.partitions[partition].max_gpu)
    words = ["sbatch", "--wait", "--parsable", f"--partition={partition}", f"--time={MINUTES}", "--nodes=1"]
    words += [f"--output={out}", "--mem=8000", "--job-name=rewild-probe"]
    words += [f"--account={site.account}"] if site.account else []
    words += [f"--constraint={site.constraint}"] if site.constraint else []
    words += [f"--qos={site.qos}"] if site.qos else []
    if gpus:
        model = next(iter(site.partitions[partition].available_gpu_models), None)
        asked = f"{model}:1" if model else "1"
        if site.gpu_request == "gres":
            words += [f"--gres=gpu:{asked}", f"--cpus-per-task={site.cpus_per_gpu}"]
        else:
            words += [f"--gpus={asked}", f"--cpus-per-gpu={site.cpus_per_gpu}"]
    return words


def probe(site: Site, root: Path, folder: Path) -> list[Check]:
    """Run the probe on each partition and judge what it says.

    Args:
        site: the site's file.
        root: the repository, as the nodes see it.
        folder: a shared folder for what the jobs print.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Check] = []
    for name, partition in site.partitions.items():
        out = folder / f"{name}.txt"
        out.unlink(missing_ok=True)
        text = "#!/bin/bash\n" + script(site, bool(partition.max_gpu), root) + "\n"
        try:
            run = subprocess.run(
                command(site, name, out),
                input=text,
                capture_output=True,
                text=True,
                timeout=WAIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            found.append(
                Check(f"{name}: probe", "unsure", f"no node within {WAIT // 60} minutes: try again later")
            )
            continue
        except OSError as error:
            found.append(Check(f"{name}: probe", "missing", f"sbatch: {error.strerror}"))
            continue
        if run.returncode and not out.is_file():
            said = (run.stderr.strip().splitlines() or ["no message"])[-1]
            found.append(Check(f"{name}: probe", "missing", f"SLURM refused it: {said}"))
            continue
        said = out.read_text(encoding="utf-8", errors="replace") if out.is_file() else ""
        found += judge(site, name, said)
    return found


def judge(site: Site, partition: str, text: str) -> Iterator[Check]:
    """Verdicts on what a probe printed."""
    lines = [line.partition("=") for line in text.splitlines() if "=" in line]
    said: dict[str, list[str]] = {}
    for key, _, value in lines:
        said.setdefault(key, []).append(value.strip())

    def first(key: str) -> str:
        return said.get(key, [""])[0]

    if not first("host"):
        yield Check(
            f"{partition}: probe",
            "missing",
            f"the job said nothing of use: {text.strip()[-200:] or 'nothing'}",
        )
        return
    host, gpus = first("host"), bool(site.partitions[partition].max_gpu)
    wanted = site.cpus_per_gpu if gpus else 1
    cpus = int(first("cpus") or 0)
    yield Check(
        f"{partition}: CPUs",
        "ok" if cpus >= wanted else "missing",
        f"{cpus} for a job on {host}; {wanted} are asked for",
    )
    memory = int(first("memory_kb") or 0) // 1_000_000
    node = site.nodes.get(partition)
    short = node is not None and memory < node.memory_gb
    detail = f"{memory} GB on {host}" + (f"; nodes says {node.memory_gb}" if node else "")
    yield Check(f"{partition}: memory", "missing" if short else "ok", detail)
    disk = int(first("disk_kb") or 0) // 1_000_000
    place = site.staging or "TMPDIR"
    yield Check(
        f"{partition}: disk",
        "ok" if disk >= LEAST_DISK_GB else "unsure",
        f"{disk} GB free in {place} on {host}",
    )
    if gpus:
        yield from _gpus(partition, said.get("gpu", []))
        yield from _imports(partition, said)


def _gpus(partition: str, lines: list[str]) -> Iterator[Check]:
    rows = [row for line in lines if len(row := [part.strip() for part in line.split(",")]) == 3]
    if not rows:
        yield Check(f"{partition}: driver", "missing", f"nvidia-smi: {(lines or ['not there'])[-1]}")
        return
    driver = rows[0][0]
    major = re.match(r"\d+", driver)
    if major and int(major[0]) >= LEAST_DRIVER:
        yield Check(f"{partition}: driver", "ok", f"{driver}; CUDA 13 needs {LEAST_DRIVER}")
    else:
        detail = f"{driver}, but the locks are for CUDA 13, which needs {LEAST_DRIVER} or newer"
        yield Check(f"{partition}: driver", "missing", detail)
    detail = ", ".join(f"{name} ({memory} MiB)" for _, name, memory in rows)
    yield Check(f"{partition}: GPUs", "ok" if len(rows) == 1 else "unsure", f"{detail}; one was asked for")


def _imports(partition: str, said: dict[str, list[str]]) -> Iterator[Check]:
    for tool in COMPILED:
        found = said.get(f"import_{tool}", [])
        name = f"{partition}: {tool}"
        if found == ["done"]:
            yield Check(name, "ok", "its compiled parts load")
        elif found == ["none"]:
            yield Check(name, "unsure", f"not built yet: snakemake --profile slurm -- .envs/{tool}/ready")
        else:
            yield Check(name, "missing", f"it does not load: {(found or ['the time was up'])[0]}")

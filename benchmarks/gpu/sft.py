"""Fine-tuning on one GPU, as the rules do it: precision, speed, memory, a kill and a resume.

    benchmarks/gpu/run.sh sft                  conversations (packed), then pairs
    … python benchmarks/gpu/sft.py sft|dpo     one of them

The papers' recipes on a randomly initialised Llama of 1.24 billion parameters, for a few steps. The training
on conversations is killed after its first checkpoint and goes on from it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gpu.common import LLAMA_1B, TINY, Found, gpu_at_hand, make_llama, needs, parser_for, skip

DISK = 45e9  # bytes: the base model, two checkpoints with the optimiser's state, what is published
STEPS = {"sft": 8, "dpo": 6}
ACCUMULATION = 2  # passes per step: the recipes' eight or sixteen would say the same in more time


def make_mix(path: Path, tokens: int, words: int) -> Path:
    """Invented conversations of one turn, about so many tokens in all."""
    import polars as pl

    from tiny import WORDS

    draw = random.Random(0)
    rows = []
    for i in range(tokens // words + 2):
        length = draw.randint(words // 2, words)
        texts = [" ".join(draw.choices(WORDS, k=k)) for k in (max(4, length // 4), length)]
        chat = [{"role": r, "content": t} for r, t in zip(("user", "assistant"), texts, strict=True)]
        rows.append({"id": f"invented/{i}", "messages": chat})
    pl.DataFrame(rows).write_parquet(path)
    return path


def make_pairs(path: Path, count: int, words: int) -> Path:
    """Invented pairs of answers, each about so many tokens with its prompt."""
    import polars as pl

    from tiny import WORDS

    draw = random.Random(1)

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(least, most)))

    rows = []
    for i in range(count):
        prompt, better, worse = text(4, words // 4), text(words // 2, words), text(words // 2, words)
        rows.append(
            {
                "id": f"invented/{i}",
                "messages": [{"role": "user", "content": prompt}],
                "chosen": {"role": "assistant", "content": better},
                "rejected": {"role": "assistant", "content": worse},
            }
        )
    pl.DataFrame(rows).write_parquet(path)
    return path


def recipe_of(kind: str, small: bool) -> Any:
    """The study's recipe of this kind on one GPU; the demo's on a CPU."""
    from rewild.config.recipes import load_recipes

    recipes = load_recipes(Path("config"))
    if small:
        less = {"epochs": 1, "sequence_length": 128, "accumulation": 1, "checkpoints": 2, "warmup_steps": 0}
        return recipes["demo" if kind == "sft" else "demo-dpo"].model_copy(update=less)
    attention = "flash_attention_2" if find_spec("flash_attn") else "sdpa"
    on_one = {"gpus": 1, "fsdp": None, "attention": attention, "accumulation": ACCUMULATION}
    name = "wildchat50m" if kind == "sft" else "magpie-dpo"
    return recipes[name].model_copy(update=on_one | {"checkpoints": 2 if kind == "sft" else 1})


def children(pid: int) -> list[int]:
    """What a process has started, and what those have; Linux only."""
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text(encoding="utf-8").split()):
            found += [child, *children(child)]
    return found


class Killer:
    """Passes lines on, and kills the training once, when its first checkpoint is whole."""

    def __init__(self, work: Path) -> None:
        self.work, self.done = work, False

    def __call__(self, line: str) -> None:
        """A line of Axolotl's."""
        print(line, file=sys.stderr, flush=True)
        if not self.done and any(self.work.glob("*/out/checkpoint-*/sealed.json")):
            self.done = True
            for pid in children(os.getpid()):
                os.kill(pid, signal.SIGKILL)


def measure(folder: Path, kind: str, small: bool, found: Found) -> list[str]:
    """Train, be killed (conversations only), train on; what is wrong with what came of it."""
    from rewild.config.models import Model
    from rewild.config.trainings import ChatTemplate, Training, Weights
    from rewild.core.errors import RewildError
    from rewild.core.table import read_table
    from rewild.training.runs.gates import first_preference_loss, precision
    from rewild.training.runs.layout import RunFiles
    from rewild.training.runs.preflight import preflight
    from rewild.training.runs.schema import LOSS
    from rewild.training.runs.train import train
    from tiny import TEMPLATE

    recipe, shape = recipe_of(kind, small), TINY if small else LLAMA_1B
    base = make_llama(
        folder / "base", shape, recipe.sequence_length, "float32" if small else "bfloat16", template=None
    )
    (folder / "chat.jinja").write_text(TEMPLATE, encoding="utf-8")
    data, words = folder / f"{kind}.parquet", recipe.sequence_length // 8
    if kind == "sft":
        make_mix(data, STEPS[kind] * recipe.batch * recipe.sequence_length, words)
    else:
        make_pairs(data, STEPS[kind] * recipe.batch, words)
    row = Model(slug="base", family="tiny", roles=["base"], kind="pretrained", chat_template=False)
    template = ChatTemplate(file=str(folder / "chat.jinja"), end_of_turn="<|end|>", pad=None)
    start = Weights(str(base), None, True, False, row)
    training = Training("benchmark", kind, "invented", recipe, 0, start, template)
    files, threads = RunFiles(folder / "results", "benchmark", kind), 1 if small else 8
    found.add(
        recipe=recipe.slug,
        attention=recipe.attention,
        packing=recipe.packing,
        sequence_length=recipe.sequence_length,
        tokens_per_step=recipe.batch * recipe.sequence_length,
    )
    say = Killer(files.work)
    say.done = kind != "sft"
    report = preflight(training, data, files, threads, say)
    found.add(preflight={check.name: check.found for check in report.checks})
    try:
        done = train(training, data, files, threads, say)
    except RewildError as error:
        if not (kind == "sft" and say.done):
            raise
        found.add(killed=str(error).splitlines()[0])
        done = train(training, data, files, threads, say)
    losses = read_table(files.folder / "loss.csv", LOSS)["loss"].to_list()
    found.add(
        parameters=done.parameters,
        optimizer=done.optimizer,
        compute=done.compute,
        saved=done.saved,
        steps=done.steps,
        resumed_from=done.resumed,
        starts=done.starts,
        losses=[round(loss, 4) for loss in losses],
        tokens_per_second=done.tokens_per_second and round(done.tokens_per_second),
        trained_tokens_per_second=done.trained_tokens_per_second and round(done.trained_tokens_per_second),
        seconds_per_step=round(done.seconds / done.steps, 3),
        peak_gib=round(done.peak_memory / 2**30, 2),
        versions=done.versions,
    )
    checks = [precision(done.parameters, done.optimizer, done.compute, recipe.precision)]
    checks += [first_preference_loss(losses[0])] if kind == "dpo" else []
    wrong = [check.remedy for check in checks if not check.passed]
    if kind == "sft" and not (done.starts == 2 and 0 < done.resumed < done.steps):
        wrong.append(f"it was to be killed once and resumed: {done.starts} starts, from step {done.resumed}")
    found.add(checks={check.name: check.found for check in checks}, wrong=wrong)
    return wrong


def main() -> None:
    """Read the options, measure, complain."""
    parser = parser_for(__doc__)
    parser.add_argument("kind", choices=("sft", "dpo"))
    options = parser.parse_args()
    needs("axolotl", "polars", "pydantic")
    from rewild.core.quiet import report_nothing

    report_nothing()
    found = Found(options.out, kind=options.kind)
    found.add(**gpu_at_hand(options.small, 20e9))
    with TemporaryDirectory() as name:
        free = shutil.disk_usage(name).free
        if not options.small and free < DISK:
            skip(
                f"{name} has {free / 1e9:.0f} GB free, and {DISK / 1e9:.0f} are needed (TMPDIR names another)"
            )
        wrong = measure(Path(name), options.kind, options.small, found)
    if wrong:
        sys.exit("error: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
